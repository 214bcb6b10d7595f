/** What a native file says about routing that cannot be meant: names that nothing serves are errors, keys without an effect are remarked on. */
import { isServed } from "./checks.ts";
import { nodeAt, placeAt, type MapNode, type Path } from "./document.ts";
import type { Fallbacks, GatewayConfig, ModelConfig } from "./gateway-config.ts";
import { nearestName } from "./nearest.ts";
import type { Report } from "./report.ts";

/** Keys of the native file by member. */
const listKeys = { failure: "fallbacks", contextWindow: "context_window_fallbacks", contentPolicy: "content_policy_fallbacks" } as const satisfies Record<keyof Fallbacks, string>;

/** @param models all of them, each at its position in `models` */
export function checkRouting({ models, routing }: Pick<GatewayConfig, "models" | "routing">, root: MapNode, report: Report): void {
  const check = (names: readonly string[], at: Path, own?: ModelConfig): void => {
    for (const [index, name] of names.entries()) {
      const path = [...at, index];
      const fault = fallbackFault(name, { models, modelAliases: noAliases }, own);
      if (fault !== undefined) report.fail(placeAt(root, path), path, fault);
    }
  };
  for (const [member, key] of Object.entries(listKeys) as [keyof Fallbacks, string][]) {
    check(routing.fallbacks[member], ["routing", `default_${key}`]);
    for (const [index, model] of models.entries()) check(model.fallbacks[member], ["models", index, key], model);
  }
  for (const [index, model] of models.entries()) remarkOnIdleKeys(model, ["models", index], { root, report, isTagged: routing.tagMatch !== "off" });
}

const noAliases: GatewayConfig["modelAliases"] = new Map();

/** Why a model cannot step in; undefined when it can. @param own the model whose fallback it is; undefined: everybody's */
export function fallbackFault(name: string, config: Pick<GatewayConfig, "models" | "modelAliases">, own: ModelConfig | undefined): string | undefined {
  if (own !== undefined && (name === own.name || own.aliases.includes(name))) return "is the model itself";
  if (isServed(name, config)) return undefined;
  const near = nearestName(name, config.models.flatMap((model) => [model.name, ...model.aliases]));
  return `nothing serves \`${name}\`${near === undefined ? "" : `; did you mean \`${near}\`?`}`;
}

/** Keys that are written and decide nothing. */
function remarkOnIdleKeys(model: ModelConfig, path: Path, { root, report, isTagged }: { readonly root: MapNode; readonly report: Report; readonly isTagged: boolean }): void {
  const remark = (at: Path, message: string): void => {
    if (nodeAt(root, at) !== undefined) report.warn(placeAt(root, at), at, message);
  };
  const isAlone = model.targets.length === 1;
  if (isAlone) for (const key of ["strategy", "priority", "weight"]) remark([...path, key], "decides nothing: this model has one target");
  const targetPaths = nodeAt(root, [...path, "targets"]) === undefined ? [path] : model.targets.map((_, index): Path => [...path, "targets", index]);
  for (const at of targetPaths) {
    if (!isAlone && model.strategy !== "weighted") remark([...at, "weight"], "decides nothing: the model's `strategy` is not `weighted`");
    if (!isTagged) remark([...at, "tags"], "decide nothing: `routing.tag_match` is `off`");
  }
}
