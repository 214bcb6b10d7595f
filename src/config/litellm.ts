/** A LiteLLM `config.yaml` as it is, to a configuration. Every key is accounted for; see `litellm-keys.ts`. */
import { headerNameFault } from "../kernel/header-rules.ts";
import { Secret } from "../kernel/secret.ts";
import { adminKeyFault } from "./checks.ts";
import type { FoundKey } from "./describe.ts";
import { type MapNode, type Node } from "./document.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { interpolate } from "./interpolate.ts";
import { unknownKey } from "./issues.ts";
import { mergeIncludes } from "./litellm-include.ts";
import { readProxyLimits } from "./litellm-limits.ts";
import { readProviderBudgets, readProxyBudget } from "./litellm-budgets.ts";
import { readModelList } from "./litellm-models.ts";
import { readRouting, readTimeouts, withFallbacks, withRouting } from "./litellm-routing.ts";
import { createFieldReader, isTrue, member, sectionOf, type Field } from "./litellm-values.ts";
import { createKeyJudge } from "./litellm-verdicts.ts";
import { reportDowngrades, type Draft } from "./native.ts";
import type { ProviderSchemas } from "./providers.ts";
import { extensionSchema } from "./schema.ts";
import type { ReadRateLimits } from "./rate-limits.ts";
import { buildRouting } from "./routing.ts";
import { buildSpending } from "./spending.ts";
import { besideFile, buildSections, checkSections, type LoadContext, type Sections } from "./sections.ts";


/** What a LiteLLM file gives. */
export interface LiteLlmReading {
  readonly draft: Draft;
  readonly found: readonly FoundKey[];
  /** The file with everything it includes. */
  readonly merged: MapNode;
  /** Position in `model_list` of each model of the draft. */
  readonly modelIndexes: readonly number[];
}

/** Complaints go to the report; the draft is only good when there are none. */
export function readLiteLlm(main: MapNode, outer: LoadContext, options: { readonly schemas: ProviderSchemas; readonly accept: readonly string[] }): LiteLlmReading {
  const { report } = outer;
  const merged = mergeIncludes(main, outer);
  const context: LoadContext = { ...outer, env: { ...outer.env, ...fileEnvironment(merged, outer) } };
  const read = createFieldReader(context.env, report);
  const judge = createKeyJudge(options.accept, report);
  judge.look("top", { node: merged.entries.has("include") ? merged : withInclude(merged, main), path: [] });
  lookAtEntries(merged, "model_list", (entry) => {
    judge.look("model", entry);
    judge.look("params", member(entry, "litellm_params"));
    judge.look("info", member(entry, "model_info"));
  });
  lookAtEntries(merged, "credential_list", (entry) => judge.look("credential", entry));
  const router = sectionOf(merged, "router_settings", report);
  const library = sectionOf(merged, "litellm_settings", report);
  const general = sectionOf(merged, "general_settings", report);
  judge.look("router", router);
  judge.look("litellm", library);
  judge.look("general", general);

  const { sections, budgets, spending, routing, rateLimits } = readExtension(merged, context);
  const keyHeaderField = member(general, "litellm_key_header_name");
  const keyHeader = readKeyHeader(keyHeaderField, context);
  const list = readModelList(merged, context, { schemas: options.schemas, keyHeader: keyHeader === undefined ? undefined : keyHeaderField, checksLength: isTrue(member(router, "enable_pre_call_checks")?.node) });
  const { providers, lent, limits } = list;
  const modelAliases = readAliases(member(router, "model_group_alias"), context);
  const { models, fallbacks } = withRouting({ models: list.models, modelAliases }, { router, library }, context);
  const sizeField = member(general, "max_request_size_mb");
  const size = read.text(sizeField);
  const bodyBytesMax = size === undefined ? sections.limits.bodyBytesMax : Math.round(Number(size) * 1024 * 1024);
  if (sizeField !== undefined && !(bodyBytesMax >= 1)) report.fail(sizeField.node.place, sizeField.path, "must be a number of megabytes above 0");
  const draft: Draft = {
    ...sections,
    limits: { ...sections.limits, bodyBytesMax },
    admin: readMasterKey(general, library, sections.listen.host, context),
    keyHeader,
    providers,
    models,
    lent,
    modelAliases,
    timeouts: { ...sections.timeouts, ...readTimeouts({ router, library }, context) },
    budgets: [...readProxyBudget(library, context), ...readProviderBudgets(router, providers, context), ...list.budgets, ...budgets],
    spending,
    routing: readRouting({ router, library, general }, withFallbacks(routing, fallbacks), context),
    // LiteLLM's own total has them in.
    rateLimits: { countsCacheReads: rateLimits.countsCacheReads ?? true, rules: [...readProxyLimits({ general, router, library }, context), ...limits, ...rateLimits.rules] },
    prices: { multiplierPpm: 1_000_000n, overrides: new Map() },
  };
  if (report.errors().length === 0) reportDowngrades(budgets, draft, { root: merged, base: ["tollgate"], report });
  return { draft, found: judge.finish(), merged, modelIndexes: models.map(list.placeOf) };
}

/** `include` is gone from the merged file, but it is a key that the table should show. */
function withInclude(merged: MapNode, main: MapNode): MapNode {
  const include = main.entries.get("include");
  return include === undefined ? merged : { ...merged, entries: new Map([["include", include], ...merged.entries]) };
}

function lookAtEntries(root: MapNode, name: string, look: (entry: Field) => void): void {
  const list = root.entries.get(name)?.value;
  if (list?.kind === "list") for (const [index, node] of list.items.entries()) look({ node, path: [name, index] });
}

/** `environment_variables`; they may refer to the process's own, and win over them. */
function fileEnvironment(root: MapNode, context: LoadContext): Record<string, string> {
  const section = sectionOf(root, "environment_variables", context.report);
  const read = createFieldReader(context.env, context.report);
  const result: Record<string, string> = {};
  if (section?.node.kind !== "map") return result;
  for (const name of section.node.entries.keys()) {
    const value = read.text(member(section, name));
    if (value !== undefined) result[name] = value;
  }
  return result;
}

/** The `tollgate` section; here references are written `${NAME}`, as in the native file. */
function readExtension(root: MapNode, context: LoadContext): { readonly sections: Sections; readonly budgets: GatewayConfig["budgets"]; readonly spending: GatewayConfig["spending"]; readonly routing: GatewayConfig["routing"]; readonly rateLimits: ReadRateLimits } {
  const { report } = context;
  const own = root.entries.get("tollgate");
  const part: MapNode = { ...root, entries: own === undefined ? new Map() : new Map([["tollgate", own]]) };
  const resolved = interpolate(part, { env: context.env, readFile: (name) => context.readFile(besideFile(context.path, name)) });
  report.addErrors(resolved.faults);
  const section = sectionOf(resolved.root, "tollgate", report);
  const names = Object.keys(extensionSchema.shape);
  if (section?.node.kind === "map") {
    for (const [name, { keyPlace }] of section.node.entries) if (!names.includes(name)) report.fail(keyPlace, ["tollgate", name], unknownKey(name, names));
  }
  const checked = checkSections(extensionSchema.shape, resolved.root, ["tollgate"], report);
  return { sections: buildSections(checked, resolved.root, ["tollgate"], context), budgets: checked.budgets, spending: buildSpending(checked.spending, "personal_keys"), routing: buildRouting(checked.routing), rateLimits: checked.rate_limits };
}

function readMasterKey(general: Field | undefined, library: Field | undefined, host: string, context: LoadContext): GatewayConfig["admin"] {
  const { report } = context;
  const stray = member(library, "master_key");
  if (stray !== undefined) report.warn(stray.node.place, stray.path, "LiteLLM reads `master_key` under `general_settings` only; it is taken all the same");
  const field = member(general, "master_key") ?? stray;
  const key = createFieldReader(context.env, report).text(field) ?? (field === undefined ? context.env["LITELLM_MASTER_KEY"] : undefined);
  if (key === undefined || key === "") {
    if (field?.node.kind === "scalar" && (field.node.value === null || field.node.text === "")) report.fail(field.node.place, field.path, "is empty");
    return { key: undefined, mayInfer: false };
  }
  const fault = adminKeyFault(key, host, context.allowInsecureDevKey);
  if (fault !== undefined && field !== undefined) report.fail(field.node.place, field.path, fault);
  else if (fault !== undefined) report.fail({ file: context.path, line: 0, column: 0 }, ["general_settings", "master_key"], `LITELLM_MASTER_KEY of the environment: ${fault}`);
  return { key: new Secret(key), mayInfer: true };
}

function readKeyHeader(field: Field | undefined, context: LoadContext): string | undefined {
  const name = createFieldReader(context.env, context.report).text(field);
  if (field === undefined || name === undefined) return undefined;
  const fault = headerNameFault(name);
  if (fault !== undefined) context.report.fail(field.node.place, field.path, fault);
  return name.toLowerCase();
}

/** Name → name, or name → `{model, hidden}`. */
function readAliases(section: Field | undefined, context: LoadContext): GatewayConfig["modelAliases"] {
  const { report } = context;
  const read = createFieldReader(context.env, report);
  const aliases = new Map<string, { readonly model: string; readonly isHidden: boolean }>();
  if (section === undefined || isEmpty(section.node)) return aliases;
  if (section.node.kind !== "map") {
    report.fail(section.node.place, section.path, "must be a mapping of names to models");
    return aliases;
  }
  for (const [alias, { value }] of section.node.entries) {
    const field: Field = { node: value, path: [...section.path, alias] };
    const modelField = value.kind === "map" ? member(field, "model") : field;
    const model = read.text(modelField);
    if (modelField === undefined || (model === undefined && isEmpty(modelField.node))) report.fail(value.place, field.path, "must be a model's name, or `{model: NAME, hidden: true}`");
    else if (model !== undefined) aliases.set(alias, { model, isHidden: isTrue(member(field, "hidden")?.node) });
  }
  return aliases;
}

function isEmpty(node: Node): boolean {
  return node.kind === "scalar" && (node.value === null || node.text === "");
}
