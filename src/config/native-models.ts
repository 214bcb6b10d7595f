/** One entry of `models` to the form the router reads, with the rules a schema cannot say: names, patterns, references. */
import type { LimitRule } from "../limits/limit-rules.ts";
import { nodeAt, placeAt, type MapNode, type Path } from "./document.ts";
import { plainTarget, type ModelConfig, type PriceOverride, type TargetConfig, type TimeoutsConfig } from "./gateway-config.ts";
import { remarksOf } from "./issues.ts";
import { suggestion } from "./nearest.ts";
import { shown, type Report } from "./report.ts";
import { fallbacksOf } from "./routing.ts";
import { configSchema, type NativeModel, type NativeTarget } from "./schema.ts";
import { targetId } from "./target-id.ts";

/** What entries of one file share. */
export interface ModelScope {
  readonly root: MapNode;
  readonly report: Report;
  /** Names in `providers`, those with faults included. */
  readonly providers: ReadonlySet<string>;
  /** Those of them that take no caller's own login. */
  readonly withoutClientLogin: ReadonlySet<string>;
  /** Public names so far, with the path of each. */
  readonly names: Map<string, string>;
  /** Ids so far, with the path of each. */
  readonly targetIds: Map<string, string>;
  /** Of targets so far. */
  readonly limits: LimitRule[];
}

const modelSchema = configSchema.shape.models.unwrap().element;
const targetKeys = ["id", "provider", "model", "credential", "price_model", "headers", "timeouts", "priority", "weight", "tags", "limits", "max_input_tokens"] as const;

/** @returns undefined, after complaints, when the entry does not fit the schema */
export function buildModel(value: unknown, index: number, scope: ModelScope): ModelConfig | undefined {
  const { root, report } = scope;
  const path: Path = ["models", index];
  const checked = modelSchema.safeParse(value);
  if (!checked.success) {
    report.addErrors(remarksOf(checked.error.issues, root, path, modelSchema).filter((remark) => !report.hasErrorAt(remark.path)));
    return undefined;
  }
  const model = checked.data;
  checkNames(model, path, scope);
  const targets = targetsOf(model, path, scope).map(({ target, targetPath }) => buildTarget(model, target, targetPath, scope));
  return { name: model.name, aliases: model.aliases, accessGroups: model.access_groups, targets, strategy: model.strategy, hasAffinity: model.cache_affinity, fallbacks: fallbacksOf(model) };
}

function checkNames(model: NativeModel, path: Path, { root, report, names }: ModelScope): void {
  const isPattern = model.name.includes("*");
  if (stars(model.name) > 1) report.fail(placeAt(root, [...path, "name"]), [...path, "name"], "a pattern has one `*`");
  const claim = (name: string, at: Path): void => {
    const holder = names.get(name);
    if (holder === undefined) names.set(name, `models[${path[1]}]`);
    else report.fail(placeAt(root, at), at, `${shown(nodeAt(root, at))} is a name of ${holder} already`);
  };
  claim(model.name, [...path, "name"]);
  for (const [index, alias] of model.aliases.entries()) {
    const at = [...path, "aliases", index];
    if (alias.includes("*")) report.fail(placeAt(root, at), at, "an alias is a plain name, without `*`");
    else if (isPattern) report.fail(placeAt(root, at), at, "a pattern cannot have aliases: it is unknown which of its models is meant");
    else claim(alias, at);
  }
}

interface FoundTarget {
  readonly target: NativeTarget;
  readonly targetPath: Path;
}

/** The `targets` list, or the one target whose keys stand in the model itself. */
function targetsOf(model: NativeModel, path: Path, { root, report, providers }: ModelScope): readonly FoundTarget[] {
  if (model.targets !== undefined) {
    const doubled = targetKeys.filter((key) => nodeAt(root, [...path, key]) !== undefined);
    for (const key of doubled) report.fail(placeAt(root, [...path, key]), [...path, key], "belongs into the entries of `targets` when there is such a list");
    return model.targets.map((target, index) => ({ target, targetPath: [...path, "targets", index] }));
  }
  if (model.provider === undefined) {
    report.fail(placeAt(root, path), [...path, "provider"], `is required; known here: ${[...providers].join(", ") || "none, add one under `providers`"}`);
    return [];
  }
  const { id, credential, price_model, headers, timeouts, priority, weight, tags, limits, max_input_tokens } = model;
  return [{ target: { id, provider: model.provider, model: model.model, credential, price_model, prices: undefined, headers, timeouts, priority, weight, tags, limits, max_input_tokens }, targetPath: path }];
}

function buildTarget(model: NativeModel, target: NativeTarget, path: Path, scope: ModelScope): TargetConfig {
  const { root, report } = scope;
  if (!scope.providers.has(target.provider)) {
    const near = suggestion(target.provider, scope.providers);
    const known = [...scope.providers].join(", ");
    const rest = near !== "" ? near : known === "" ? "; there are none, add one under `providers`" : `; known here: ${known}`;
    report.fail(placeAt(root, [...path, "provider"]), [...path, "provider"], `there is no provider ${shown(nodeAt(root, [...path, "provider"]))}${rest}`);
  }
  if (target.credential === "client" && scope.withoutClientLogin.has(target.provider)) {
    const at = [...path, "credential"];
    report.fail(placeAt(root, at), at, `${target.provider} takes no caller's own login, so this target would serve nobody`);
  }
  const upstreamModel = target.model ?? model.name;
  const modelPath = [...path, "model"];
  if (target.model !== undefined && stars(target.model) > 1) report.fail(placeAt(root, modelPath), modelPath, "a pattern has one `*`");
  else if (upstreamModel.includes("*") && !model.name.includes("*")) report.fail(placeAt(root, modelPath), modelPath, "`*` stands for nothing here: the model's own name has none");
  const id = target.id ?? targetId([model.name, target.provider, upstreamModel, target.credential]);
  const holder = scope.targetIds.get(id);
  if (holder !== undefined) report.fail(placeAt(root, target.id === undefined ? path : [...path, "id"]), path, target.id === undefined ? `is the same as ${holder}; give one of them an \`id\` if that is meant` : `${holder} has this id already`);
  scope.targetIds.set(id, path.length === 2 ? `models[${path[1]}]` : `models[${path[1]}].targets[${path[3]}]`);
  if (target.limits !== undefined && Object.keys(target.limits).length > 0) scope.limits.push({ scope: `target:${id}`, max: target.limits });
  return {
    id,
    provider: target.provider,
    model: upstreamModel,
    credential: target.credential,
    priceModel: target.price_model,
    price: mergedPrices(model.prices, target.prices),
    headers: new Map(Object.entries(target.headers).map(([name, value]) => [name.toLowerCase(), value])),
    timeouts: targetTimeouts(target.timeouts),
    priority: target.priority ?? plainTarget.priority,
    weight: target.weight ?? plainTarget.weight,
    tags: target.tags,
    inputTokensMax: target.max_input_tokens,
  };
}

/** Member by member, the target's own first. */
function mergedPrices(model: PriceOverride | undefined, target: PriceOverride | undefined): PriceOverride | undefined {
  const merged = { ...model, ...target };
  return Object.keys(merged).length === 0 ? undefined : merged;
}

function targetTimeouts(own: NativeTarget["timeouts"]): Partial<TimeoutsConfig> {
  return {
    ...(own.first_byte_stream === undefined ? {} : { firstByteStreamMs: own.first_byte_stream }),
    ...(own.first_byte_plain === undefined ? {} : { firstBytePlainMs: own.first_byte_plain }),
    ...(own.idle === undefined ? {} : { idleMs: own.idle }),
  };
}

/** How many `*` a name has. */
export function stars(name: string): number {
  return name.split("*").length - 1;
}
