/**
 * LiteLLM's routing as ours: strategies, retries, cooldowns, fallbacks and tags. What is written under `router_settings` wins over
 * `litellm_settings`, and both win over `tollgate.routing`. Meanings: https://docs.litellm.ai/docs/routing and /docs/proxy/reliability,
 * with the defaults of BerriAI/litellm's `router.py` (checked 2026-11).
 */
import type { FailureClass, Fallbacks, GatewayConfig, ModelConfig, RoutingConfig, RoutingStrategy, TimeoutsConfig } from "./gateway-config.ts";
import { matchesPattern } from "./checks.ts";
import { createFieldReader, isTrue, member, type Field } from "./litellm-values.ts";
import { fallbackFault } from "./routing-checks.ts";
import type { LoadContext } from "./sections.ts";
import { suggestion } from "./nearest.ts";

/** The two sections that may hold a key. */
export interface RouterSections {
  readonly router: Field | undefined;
  readonly library: Field | undefined;
}

type Models = Pick<GatewayConfig, "models" | "modelAliases">;

/** Our failures behind each of LiteLLM's exceptions; those that blame the request are none of a place. */
const exceptionClasses: Readonly<Record<string, readonly FailureClass[]>> = {
  AuthenticationError: ["credential"],
  TimeoutError: ["timeout"],
  RateLimitError: ["rate_limit"],
  InternalServerError: ["server_error", "overloaded", "connect", "broken", "invalid_reply"],
  BadRequestError: [],
  ContentPolicyViolationError: [],
};

/** How failures are met. @param base what `tollgate.routing` says, or the defaults */
export function readRouting({ general, ...sections }: RouterSections & { readonly general: Field | undefined }, base: RoutingConfig, context: LoadContext): RoutingConfig {
  const read = valueReader(sections, context);
  const retries = read.count("num_retries");
  const retriesMaxByClass = new Map([...base.retriesMaxByClass, ...read.byClass("retry_policy", "Retries")]);
  const retriesMost = Math.max(retries ?? 0, ...retriesMaxByClass.values());
  const fallbacksMax = read.count("max_fallbacks");
  const hasTags = read.isOn("enable_tag_filtering");
  return {
    ...base,
    retriesMax: retries ?? base.retriesMax,
    retriesMaxByClass,
    attemptsMax: Math.max(base.attemptsMax, retriesMost + 1),
    circuit: readCircuit(read, base.circuit),
    checkIntervalMs: readCheckInterval(general, context) ?? base.checkIntervalMs,
    fallbacksMax: fallbacksMax ?? base.fallbacksMax,
    tagMatch: hasTags === true ? (read.isOn("tag_filtering_match_any") === false ? "all" : "any") : base.tagMatch,
  };
}

/** LiteLLM's checks are calls that are paid for; here they count tokens. Its own interval is five minutes. */
function readCheckInterval(general: Field | undefined, { env, report }: LoadContext): number | undefined {
  if (!isTrue(member(general, "background_health_checks")?.node)) return undefined;
  return createFieldReader(env, report).seconds(member(general, "health_check_interval")) ?? 300_000;
}

function readCircuit(read: ValueReader, base: RoutingConfig["circuit"]): RoutingConfig["circuit"] {
  // It opens beyond the failures that are allowed, ours with the last that is not.
  const allowed = read.count("allowed_fails");
  const cooldownMs = read.milliseconds("cooldown_time");
  return {
    ...base,
    isEnabled: base.isEnabled && read.isOn("disable_cooldowns") !== true && cooldownMs !== 0,
    failuresMax: allowed === undefined ? base.failuresMax : allowed + 1,
    failuresMaxByClass: new Map([...base.failuresMaxByClass, ...[...read.byClass("allowed_fails_policy", "AllowedFails")].map(([name, count]) => [name, count + 1] as const)]),
    cooldownMs: cooldownMs === undefined || cooldownMs === 0 ? base.cooldownMs : cooldownMs,
  };
}

/** Times for targets that have none of their own. */
export function readTimeouts(sections: RouterSections, context: LoadContext): Partial<TimeoutsConfig> {
  const read = valueReader(sections, context);
  const plain = read.seconds("timeout") ?? read.seconds("request_timeout");
  const stream = read.seconds("ttft_timeout") ?? read.seconds("stream_timeout") ?? plain;
  const idle = read.seconds("stream_idle_timeout");
  return { ...(plain === undefined ? {} : { firstBytePlainMs: plain }), ...(stream === undefined ? {} : { firstByteStreamMs: stream }), ...(idle === undefined ? {} : { idleMs: idle }) };
}

const strategies: Readonly<Record<string, RoutingStrategy>> = {
  "simple-shuffle": "weighted",
  "least-busy": "least-busy",
  "latency-based-routing": "latency",
  "usage-based-routing": "least-busy",
  "usage-based-routing-v2": "least-busy",
};

/** The models with the strategy and the fallbacks that the file gives them; a name that only a pattern serves gets a model of its own for its fallbacks. */
export function withRouting(config: Models, sections: RouterSections, context: LoadContext): { readonly models: readonly ModelConfig[]; readonly fallbacks: Fallbacks } {
  const general = readStrategy(member(sections.router, "routing_strategy"), context) ?? "weighted";
  const byGroup = readGroups(member(sections.router, "routing_groups"), context);
  const models = new Map(config.models.map((model) => [model.name, { ...model, strategy: byGroup.get(model.name) ?? general }]));
  const everybodys: Record<keyof Fallbacks, readonly string[]> = { failure: [], contextWindow: [], contentPolicy: [] };
  for (const [key, reason] of [["fallbacks", "failure"], ["context_window_fallbacks", "contextWindow"], ["content_policy_fallbacks", "contentPolicy"]] as const) {
    const field = member(sections.router, key) ?? member(sections.library, key);
    for (const entry of readFallbacks(field, context)) {
      if (entry.name === "*") everybodys[reason] = known(entry.models, config, { context, own: undefined });
      else {
        const own = modelOf(entry, models, config, context);
        if (own !== undefined) models.set(own.name, { ...own, fallbacks: { ...own.fallbacks, [reason]: known(entry.models, config, { context, own }) } });
      }
    }
  }
  const fieldOfAll = member(sections.router, "default_fallbacks") ?? member(sections.library, "default_fallbacks");
  const names = readNames(fieldOfAll, context);
  if (names.length > 0) everybodys.failure = known(names, config, { context, own: undefined });
  return { models: [...models.values()], fallbacks: everybodys };
}

/** What the file says for all models, and where it says nothing what there was. */
export function withFallbacks(routing: RoutingConfig, found: Fallbacks): RoutingConfig {
  const or = (reason: keyof Fallbacks): readonly string[] => (found[reason].length > 0 ? found[reason] : routing.fallbacks[reason]);
  return { ...routing, fallbacks: { failure: or("failure"), contextWindow: or("contextWindow"), contentPolicy: or("contentPolicy") } };
}

interface FallbackEntry {
  readonly name: string;
  readonly at: Field;
  readonly models: readonly NamedModel[];
}

interface NamedModel {
  readonly name: string;
  readonly at: Field;
}

/** A list of mappings from a model to those that step in for it. */
function readFallbacks(field: Field | undefined, context: LoadContext): readonly FallbackEntry[] {
  if (field === undefined || (field.node.kind === "scalar" && field.node.value === null)) return [];
  if (field.node.kind !== "list") {
    context.report.fail(field.node.place, field.path, "must be a list such as `[{MODEL: [OTHER]}]`");
    return [];
  }
  return field.node.items.flatMap((node, index): readonly FallbackEntry[] => {
    const item: Field = { node, path: [...field.path, index] };
    if (node.kind === "map") return [...node.entries.keys()].map((name) => ({ name, at: member(item, name)!, models: readNames(member(item, name), context) }));
    context.report.fail(node.place, item.path, "must be a mapping such as `{MODEL: [OTHER]}`");
    return [];
  });
}

/** Names, or mappings with a `model`, of which the rest is not acted on. */
function readNames(field: Field | undefined, context: LoadContext): readonly NamedModel[] {
  if (field === undefined || (field.node.kind === "scalar" && field.node.value === null)) return [];
  const read = createFieldReader(context.env, context.report);
  const items = field.node.kind === "list" ? field.node.items.map((node, index): Field => ({ node, path: [...field.path, index] })) : [field];
  return items.flatMap((item) => {
    const at = item.node.kind === "map" ? member(item, "model") : item;
    if (item.node.kind === "map" && item.node.entries.size > 1) context.report.warn(item.node.place, item.path, "only its `model` counts: a fallback gets the request as it came");
    const name = at === undefined ? undefined : read.text(at);
    if (name !== undefined) return [{ name, at: at! }];
    if (at === undefined) context.report.fail(item.node.place, item.path, "must be a model's name");
    return [];
  });
}

/** Of these names those that are served; the others are remarked on, as LiteLLM's own start lets them pass. */
function known(models: readonly NamedModel[], config: Models, { context, own }: { readonly context: LoadContext; readonly own: ModelConfig | undefined }): readonly string[] {
  return models.flatMap(({ name, at }) => {
    const fault = fallbackFault(name, config, own);
    if (fault === undefined) return [name];
    context.report.warn(at.node.place, at.path, `${fault}, so it never steps in`);
    return [];
  });
}

/** The model that a fallback is of, by its own name or by one that a pattern or an alias serves. */
function modelOf({ name, at }: FallbackEntry, models: ReadonlyMap<string, ModelConfig>, config: Models, { report }: LoadContext): ModelConfig | undefined {
  const asked = config.modelAliases.get(name)?.model ?? name;
  const own = models.get(asked);
  if (own !== undefined) return own;
  const [pattern] = [...models.values()].filter((model) => model.name.includes("*") && matchesPattern(model.name, asked)).toSorted((a, b) => b.name.length - a.name.length);
  if (pattern === undefined) {
    report.warn(at.node.place, at.path, `nothing serves \`${name}\`, so nothing steps in for it${suggestion(name, models.keys())}`);
    return undefined;
  }
  const star = pattern.name.indexOf("*");
  const matched = asked.slice(star, asked.length - (pattern.name.length - star - 1));
  return { ...pattern, name: asked, targets: pattern.targets.map((target) => ({ ...target, model: target.model.replace("*", () => matched) })) };
}

function readStrategy(field: Field | undefined, context: LoadContext): RoutingStrategy | undefined {
  const { report } = context;
  const name = createFieldReader(context.env, report).text(field);
  if (field === undefined || name === undefined) return undefined;
  const strategy = Object.hasOwn(strategies, name) ? strategies[name] : undefined;
  if (name.startsWith("usage-based-routing")) report.warn(field.node.place, field.path, `\`${name}\` is served as \`least-busy\`: the entry with the fewest replies running is tried first, and \`rpm\` and \`tpm\` are limits of each`);
  if (strategy === undefined && name === "cost-based-routing") report.fail(field.node.place, field.path, "`cost-based-routing` is not in this build: give the cheaper entries the lower `order`");
  else if (strategy === undefined) report.fail(field.node.place, field.path, `must be one of ${Object.keys(strategies).join(", ")}${suggestion(name, Object.keys(strategies))}`);
  return strategy;
}

/** `{group_name, models, routing_strategy}`: the strategy of some models. */
function readGroups(field: Field | undefined, context: LoadContext): ReadonlyMap<string, RoutingStrategy> {
  const read = createFieldReader(context.env, context.report);
  const found = new Map<string, RoutingStrategy>();
  if (field?.node.kind !== "list") return found;
  for (const [index, node] of field.node.items.entries()) {
    const group: Field = { node, path: [...field.path, index] };
    const strategy = readStrategy(member(group, "routing_strategy"), context);
    if (strategy !== undefined) for (const name of read.texts(member(group, "models"))) found.set(name, strategy);
  }
  return found;
}

interface ValueReader {
  count(name: string): number | undefined;
  /** Above 0, as milliseconds. */
  seconds(name: string): number | undefined;
  /** From seconds, at least 0. */
  milliseconds(name: string): number | undefined;
  isOn(name: string): boolean | undefined;
  byClass(name: string, suffix: string): ReadonlyMap<FailureClass, number>;
}

function valueReader({ router, library }: RouterSections, { env, report }: LoadContext): ValueReader {
  const read = createFieldReader(env, report);
  const find = (name: string): Field | undefined => member(router, name) ?? member(library, name);
  const countOf = (field: Field | undefined): number | undefined => {
    const text = read.text(field);
    if (field === undefined || text === undefined) return undefined;
    if (/^\d{1,6}$/.test(text)) return Number(text);
    report.fail(field.node.place, field.path, "must be a whole number of at least 0");
    return undefined;
  };
  return {
    count: (name) => countOf(find(name)),
    seconds: (name) => read.seconds(find(name)),
    milliseconds(name) {
      const field = find(name);
      return field !== undefined && /^0+(?:\.0*)?$/.test(read.text(field) ?? "") ? 0 : read.seconds(field);
    },
    isOn(name) {
      const field = find(name);
      return field === undefined || (field.node.kind === "scalar" && field.node.value === null) ? undefined : isTrue(field.node);
    },
    byClass(name, suffix) {
      const field = find(name);
      const found = new Map<FailureClass, number>();
      if (field?.node.kind !== "map") return found;
      for (const [key, { keyPlace }] of field.node.entries) {
        const classes = key.endsWith(suffix) ? exceptionClasses[key.slice(0, -suffix.length)] : undefined;
        const count = countOf(member(field, key));
        if (classes === undefined) report.fail(keyPlace, [...field.path, key], `must be one of ${Object.keys(exceptionClasses).map((exception) => `${exception}${suffix}`).join(", ")}`);
        else if (count !== undefined) for (const each of classes) found.set(each, count);
      }
      return found;
    },
  };
}
