/** Entries of LiteLLM's `model_list` to models and the upstreams they share. */
import { headerNameFault } from "../kernel/header-rules.ts";
import type { MapNode } from "./document.ts";
import { plainModel, plainTarget, type ModelConfig, type PriceOverride, type ProviderConfig, type TargetConfig, type TimeoutsConfig } from "./gateway-config.ts";
import type { Budget } from "../ledger/budget.ts";
import { readBudget } from "./litellm-budgets.ts";
import type { LimitRule } from "../limits/limit-rules.ts";
import { readLent, type Lender } from "./litellm-lent.ts";
import { readEntryLimits } from "./litellm-limits.ts";
import { providerOf, type PlaceScope } from "./litellm-places.ts";
import { litellmProviders, type LiteLlmProvider } from "./litellm-providers.ts";
import { createFieldReader, member, type Field, type FieldReader } from "./litellm-values.ts";
import { stars } from "./native-models.ts";
import { nearestName } from "./nearest.ts";
import type { ProviderSchemas } from "./providers.ts";
import { shown } from "./report.ts";
import type { LoadContext } from "./sections.ts";
import { targetId } from "./target-id.ts";
import { headerValue } from "./values.ts";

/** Models in the order of their first entries. */
export interface LiteLlmModels {
  readonly models: readonly ModelConfig[];
  /** Position of a model's first entry in `model_list`. */
  readonly placeOf: (model: ModelConfig) => number;
  readonly providers: ReadonlyMap<string, ProviderConfig>;
  readonly lent: ReadonlyMap<string, ModelConfig>;
  /** Of single entries. */
  readonly limits: readonly LimitRule[];
  readonly budgets: readonly Budget[];
}

interface Scope extends PlaceScope {
  /** `credential_values` by `credential_name`. */
  readonly credentials: ReadonlyMap<string, Field>;
  readonly ids: Set<string>;
  /** `router_settings.enable_pre_call_checks`. */
  readonly checksLength: boolean;
}

/**
 * @param context `env` holds the file's own variables already
 * @param keyHeader `litellm_key_header_name`, where it names a header
 */
export function readModelList(root: MapNode, context: LoadContext, { schemas, keyHeader, checksLength }: { readonly schemas: ProviderSchemas; readonly keyHeader: Field | undefined; readonly checksLength: boolean }): LiteLlmModels {
  const { report } = context;
  const read = createFieldReader(context.env, report);
  const scope: Scope = { root, context, read, schemas, credentials: readCredentials(root, context, read), providers: new Map(), providerNames: new Map(), ids: new Set(), checksLength };
  const groups = new Map<string, Group>();
  const lenders: Lender[] = [];
  const limits: LimitRule[] = [];
  const budgets: Budget[] = [];
  const list = root.entries.get("model_list")?.value;
  const isNone = list === undefined || (list.kind === "scalar" && list.value === null);
  if (!isNone && list.kind !== "list") report.fail(list.place, ["model_list"], "must be a list: begin each model with `- `");
  const items = list?.kind === "list" ? list.items : [];
  for (const [index, node] of items.entries()) {
    const entry = readEntry({ node, path: ["model_list", index] }, scope);
    if (entry === undefined) continue;
    const lender = lenderOf(entry, scope);
    if (lender !== undefined) lenders.push(lender);
    const group = groups.get(entry.name) ?? { index, entries: [], targets: [] };
    groups.set(entry.name, group);
    const target = buildTarget(entry, scope);
    group.entries.push(entry);
    group.targets.push(target);
    limits.push(...readEntryLimits({ name: entry.name, targetId: target.id, param: (name) => entry.param(name) }, context));
    budgets.push(...readBudget({ amount: entry.param("max_budget"), duration: entry.param("budget_duration"), id: `target ${target.id}`, scope: `target:${target.id}` }, context));
  }
  const models = [...groups].map(([name, { entries, targets }]): ModelConfig => {
    const accessGroups = [...new Set(entries.flatMap(({ info }) => read.texts(member(info, "access_groups"))))];
    return { name, aliases: [], accessGroups, targets: withOrder(targets, entries, scope), ...plainModel };
  });
  const lent = readLent(root, lenders, { ...scope, keyHeader });
  if (items.length === 0 && lent.size === 0 && (isNone || list.kind === "list")) report.fail(list?.place ?? root.place, ["model_list"], "is empty: name at least one model");
  const places = new Map([...groups.values()].map(({ index, targets }) => [targets[0]!.id, index]));
  return { models, placeOf: ({ targets }) => places.get(targets[0]!.id) ?? 0, providers: scope.providers, lent, limits, budgets };
}

/** Entries of one name. */
interface Group {
  /** Of the first one. */
  readonly index: number;
  readonly entries: ModelEntry[];
  readonly targets: TargetConfig[];
}

/**
 * Who is tried first, and how often. Shares are by `weight`, else by `rpm` or `tpm`, whichever some entry has, and those without it are
 * the last resort; entries without an `order` come after those with one (BerriAI/litellm, `router_strategy/simple_shuffle.py`, checked 2026-11).
 */
function withOrder(targets: readonly TargetConfig[], entries: readonly ModelEntry[], scope: Scope): readonly TargetConfig[] {
  const measure = ["weight", "rpm", "tpm"].find((name) => entries.some((entry) => entry.param(name) !== undefined));
  // Limits are complained about where they are read as such.
  const shareOf = (field: Field | undefined): number => (measure === "weight" ? readNumber(field, scope) : Number(scope.read.text(field) ?? 0) || 0) ?? 0;
  const orders = entries.map((entry) => readNumber(entry.param("order"), scope));
  const last = Math.max(0, ...orders.map((order) => order ?? 0)) + 1;
  const hasOrder = orders.some((order) => order !== undefined);
  return targets.map((target, index) => ({
    ...target,
    priority: hasOrder ? (orders[index] ?? last) : target.priority,
    weight: measure === undefined ? target.weight : shareOf(entries[index]!.param(measure)),
  }));
}

function readNumber(field: Field | undefined, { read, context }: Scope): number | undefined {
  const text = read.text(field);
  if (field === undefined || text === undefined) return undefined;
  const value = /^\d{1,12}(?:\.\d{1,12})?$|^\.\d{1,12}$/.test(text) ? Number(text) : undefined;
  if (value === undefined) context.report.fail(field.node.place, field.path, "must be a number of at least 0");
  return value;
}

/** An entry whose login serves the paths of its cloud as well; undefined, after a remark, where there are none. */
function lenderOf(entry: ModelEntry, scope: Scope): Lender | undefined {
  const { read, context } = scope;
  const field = entry.param("use_in_pass_through");
  if (field === undefined || !/^(?:true|yes|on|1)$/i.test(read.text(field) ?? "")) return undefined;
  const { provider: row, model } = entry.upstream;
  if (!row.hasOwnPaths) {
    context.report.warn(field.node.place, field.path, "lends nothing here: only Bedrock and Vertex AI have paths of their own for names that `model_list` does not have");
    return undefined;
  }
  const { provider, address } = providerOf({ row, model, param: (name) => entry.param(name), place: entry.paramsField }, scope);
  return { kind: row.kind, field, provider, address, headers: readHeaders(entry.param("extra_headers"), scope), timeouts: readTimeouts(entry, read) };
}

function readCredentials(root: MapNode, context: LoadContext, read: FieldReader): ReadonlyMap<string, Field> {
  const credentials = new Map<string, Field>();
  const list = root.entries.get("credential_list")?.value;
  if (list === undefined || (list.kind === "scalar" && list.value === null)) return credentials;
  if (list.kind !== "list") context.report.fail(list.place, ["credential_list"], "must be a list");
  else {
    for (const [index, node] of list.items.entries()) {
      const entry: Field = { node, path: ["credential_list", index] };
      const name = read.text(member(entry, "credential_name"));
      const values = member(entry, "credential_values");
      if (name === undefined || values === undefined) context.report.fail(node.place, entry.path, "needs `credential_name` and `credential_values`");
      else credentials.set(name, values);
    }
  }
  return credentials;
}

/** Where an entry is served, and its name there. */
interface Upstream {
  readonly provider: LiteLlmProvider;
  readonly model: string;
}

/** An entry whose name and upstream are understood. */
interface ModelEntry {
  readonly name: string;
  readonly nameField: Field;
  readonly upstream: Upstream;
  readonly info: Field | undefined;
  /** A parameter of the entry itself, else of the credential it names. */
  param(name: string): Field | undefined;
  readonly paramsField: Field;
}

function readEntry(entry: Field, scope: Scope): ModelEntry | undefined {
  const { read, context: { report } } = scope;
  const params = member(entry, "litellm_params");
  const nameField = member(entry, "model_name");
  if (entry.node.kind !== "map" || params?.node.kind !== "map" || nameField === undefined) {
    report.fail(params?.node.place ?? entry.node.place, entry.path, "needs `model_name` and `litellm_params`");
    return undefined;
  }
  const name = read.text(nameField);
  const modelField = member(params, "model");
  const model = read.text(modelField);
  if (name === undefined) report.fail(nameField.node.place, nameField.path, "is required");
  else if (stars(name) > 1) report.fail(nameField.node.place, nameField.path, "a pattern has one `*` in this build");
  if (modelField === undefined) report.fail(params.node.place, [...params.path, "model"], "is required");
  const mode = member(entry, "model_info") === undefined ? undefined : read.text(member(member(entry, "model_info"), "mode"));
  if (mode !== undefined && !["chat", "completion", "responses"].includes(mode)) report.warn(member(member(entry, "model_info"), "mode")!.node.place, [...entry.path, "model_info", "mode"], "only chat models are served by this build");
  const credential = credentialOf(params, scope);
  const param = (key: string): Field | undefined => member(params, key) ?? member(credential, key);
  if (name === undefined || modelField === undefined || model === undefined) return undefined;
  const upstream = upstreamOf(name, model, modelField, param("custom_llm_provider"), scope);
  return upstream === undefined ? undefined : { name, nameField, upstream, info: member(entry, "model_info"), param, paramsField: params };
}

function credentialOf(params: Field, { read, credentials, context: { report } }: Scope): Field | undefined {
  const field = member(params, "litellm_credential_name");
  const name = read.text(field);
  if (field === undefined || name === undefined) return undefined;
  const credential = credentials.get(name);
  if (credential === undefined) {
    const near = nearestName(name, credentials.keys());
    report.fail(field.node.place, field.path, `\`credential_list\` has no ${shown(field.node)}${near === undefined ? "" : `; did you mean \`${near}\`?`}`);
  }
  return credential;
}

/** A place and the model's name there; undefined, after a complaint, for another place or a `*` that stands for nothing. */
function upstreamOf(publicName: string, model: string, field: Field, providerField: Field | undefined, scope: Scope): Upstream | undefined {
  const { read, schemas, context: { report } } = scope;
  const slash = model.indexOf("/");
  const chosen = read.text(providerField);
  const prefix = chosen ?? (slash > 0 ? model.slice(0, slash) : model === "*" || /claude/i.test(model) ? "anthropic" : undefined);
  const at = chosen !== undefined && providerField !== undefined ? providerField : field;
  if (prefix === undefined) {
    report.fail(at.node.place, at.path, "names no provider, and is no Claude model; write `anthropic/NAME`");
    return undefined;
  }
  const provider = litellmProviders.find((candidate) => candidate.prefix === prefix && schemas.has(candidate.kind));
  if (provider === undefined) {
    const isReference = at.node.kind === "scalar" && at.node.text.startsWith("os.environ/");
    const known = litellmProviders.filter(({ kind }) => schemas.has(kind)).map((candidate) => `\`${candidate.prefix}\``);
    report.fail(at.node.place, at.path, `${isReference ? "this provider" : `provider \`${prefix}\``} is not in this build yet; ${known.join(", ")} ${known.length === 1 ? "is" : "are"}`);
    return undefined;
  }
  const name = nameAtPlace(model, provider);
  if (provider.otherApis?.test(name) === true) {
    report.fail(field.node.place, field.path, `this is a way to other APIs of the place than this build speaks; \`${[prefix, ...provider.routes.map((route) => `${prefix}/${route}`)].map((way) => `${way}/NAME`).join("`, `")}\` are taken`);
    return undefined;
  }
  if (name.includes("*") && !publicName.includes("*")) {
    report.fail(field.node.place, field.path, "`*` stands for nothing here: `model_name` has none");
    return undefined;
  }
  if (provider.kind !== "anthropic" && !name.includes("*") && !/claude|^arn:/i.test(name)) report.warn(field.node.place, field.path, "only Claude models of this place are served by this build");
  if (model === "*") report.warn(field.node.place, field.path, "`*` means every provider in LiteLLM; here Anthropic serves it");
  const publicPrefix = publicName.slice(0, Math.max(0, publicName.indexOf("*")));
  if (name === "*" && /claude-?$/.test(publicPrefix)) {
    report.warn(field.node.place, field.path, `the upstream is asked for what \`*\` stands for, without \`${publicPrefix}\`; \`${prefix}/claude-*\` is probably meant`);
  }
  return { provider, model: name };
}

/** Without the place's prefix and LiteLLM's own routes to it: `bedrock/converse/anthropic.claude-…`. */
function nameAtPlace(model: string, { prefix, routes }: LiteLlmProvider): string {
  let name = model.startsWith(`${prefix}/`) ? model.slice(prefix.length + 1) : model;
  for (const route of routes) if (name.startsWith(`${route}/`)) name = name.slice(route.length + 1);
  return name;
}

function buildTarget(entry: ModelEntry, scope: Scope): TargetConfig {
  const { read, ids, context: { report } } = scope;
  const { provider: row, model } = entry.upstream;
  const { provider, address } = providerOf({ row, model, param: (name) => entry.param(name), place: entry.paramsField }, scope);
  const idField = member(entry.info, "id");
  const id = read.text(idField) ?? freeId([entry.name, row.kind, model, address], ids);
  if (ids.has(id)) report.fail(idField!.node.place, idField!.path, "another entry has this id already");
  ids.add(id);
  const baseModel = read.text(member(entry.info, "base_model"));
  return {
    id,
    provider,
    model,
    credential: "provider",
    priceModel: baseModel?.slice(baseModel.lastIndexOf("/") + 1),
    price: readPrices(entry, read),
    headers: readHeaders(entry.param("extra_headers"), scope),
    timeouts: readTimeouts(entry, read),
    ...plainTarget,
    tags: read.texts(entry.param("tags")),
    inputTokensMax: scope.checksLength ? readNumber(member(entry.info, "max_input_tokens"), scope) : undefined,
  };
}

/** Entries that differ in nothing but their login are told apart by their order. */
function freeId(parts: readonly string[], ids: ReadonlySet<string>): string {
  for (let count = 1; ; count++) {
    const id = targetId(count === 1 ? parts : [...parts, String(count)]);
    if (!ids.has(id)) return id;
  }
}

function readPrices(entry: ModelEntry, read: FieldReader): PriceOverride | undefined {
  const prices = {
    input: read.price(entry.param("input_cost_per_token")),
    output: read.price(entry.param("output_cost_per_token")),
    cacheRead: read.price(entry.param("cache_read_input_token_cost")),
    cacheWrite5m: read.price(entry.param("cache_creation_input_token_cost")),
    cacheWrite1h: read.price(entry.param("cache_creation_input_token_cost_above_1hr")),
  };
  const given = Object.entries(prices).filter(([, price]) => price !== undefined);
  return given.length === 0 ? undefined : (Object.fromEntries(given) as PriceOverride);
}

function readTimeouts(entry: ModelEntry, read: FieldReader): Partial<TimeoutsConfig> {
  const plain = read.seconds(entry.param("timeout"));
  const stream = read.seconds(entry.param("ttft_timeout")) ?? read.seconds(entry.param("stream_timeout")) ?? plain;
  const idle = read.seconds(entry.param("stream_idle_timeout"));
  return { ...(plain === undefined ? {} : { firstBytePlainMs: plain }), ...(stream === undefined ? {} : { firstByteStreamMs: stream }), ...(idle === undefined ? {} : { idleMs: idle }) };
}

function readHeaders(field: Field | undefined, { read, context: { report } }: Scope): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  if (field === undefined || (field.node.kind === "scalar" && field.node.value === null)) return headers;
  if (field.node.kind !== "map") {
    report.fail(field.node.place, field.path, "must be a mapping of header names to values");
    return headers;
  }
  for (const [name, { keyPlace }] of field.node.entries) {
    const value = member(field, name)!;
    const fault = headerNameFault(name);
    if (fault !== undefined) report.fail(keyPlace, value.path, fault);
    const text = read.text(value);
    if (text === undefined) continue;
    if (!headerValue.safeParse(text).success) report.fail(value.node.place, value.path, "must be one line of characters that HTTP headers allow");
    headers.set(name.toLowerCase(), text);
  }
  return headers;
}
