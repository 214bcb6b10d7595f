/**
 * From the name a client asks for to the targets that serve it. Names resolve in one order: exact name, alias, group alias,
 * target id, then patterns by specificity; what nothing answers to is looked for under the name it stands for: without a provider's prefix,
 * a cloud's id by Anthropic's name, a dated name by its alias. Pure.
 */
import type { GatewayConfig, ModelConfig, TargetConfig } from "../config/gateway-config.ts";

/** A resolved name. */
export interface Route {
  readonly model: ModelConfig;
  /**
   * The model's own name, under which it is counted and limited whatever alias it was asked for by; of a model whose name is a pattern
   * what was asked for, after the key's own aliases and without a context suffix.
   */
  readonly publicName: string;
  /** Names that give a right to it, any one of them: the one asked for, and the model's own behind an alias. */
  readonly rightsNames: readonly string[];
  readonly targets: readonly RouteTarget[];
}

/** A target with the upstream's name for this request. */
export interface RouteTarget {
  readonly target: TargetConfig;
  readonly upstreamModel: string;
}

/** Resolves names against one snapshot. */
export interface RouteTable {
  resolve(name: string): Route | undefined;
  /**
   * As `resolve`, for clients that name models as their cloud does: a public name, the id or ARN that a target is configured
   * with, or a cloud's id of a Claude model, which counts as the name Anthropic gives it, with its date or else without.
   *
   * @param envelope of the client; what is lent serves its own cloud's paths only
   */
  resolveCloudName(name: string, envelope?: string): Route | undefined;
  /** Public names to list, patterns expanded over `knownNames`, hidden aliases left out; in file order. */
  list(knownNames: readonly string[]): readonly Route[];
  /** Every Claude name resolves, and to itself: the upstream is asked for no other model than the client names. */
  readonly isOpen: boolean;
}

interface Pattern {
  readonly model: ModelConfig;
  readonly prefix: string;
  readonly suffix: string;
}

/** Claude Code strips `[1m]` itself and sends a beta; other clients may leave it on. */
const contextSuffix = /\[1m\]$/;

/** https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html, checked 2026-11. */
const bedrockId = /^(?:arn:aws[a-z-]*:bedrock:[^/]*:(?:inference-profile|foundation-model)\/)?(?:[a-z-]+\.)?anthropic\.(claude-[a-z0-9.-]+?)(?:-v\d+)?(?::\d+)?$/;
/** https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude, checked 2026-11. */
const vertexId = /^(claude-[a-z0-9.-]+)@(?:(\d{8})|default|latest)$/;

/** Clouds' ids have the date of a model, which the name that an operator wrote may leave out, as Anthropic's aliases do. */
const modelDate = /-20\d{6}$/;

/** Anthropic's name of a model that a cloud's id names; undefined for what is no such id. */
export function claudeNameOf(cloudName: string): string | undefined {
  const bedrock = bedrockId.exec(cloudName);
  if (bedrock !== null) return bedrock[1];
  const vertex = vertexId.exec(cloudName);
  if (vertex === null) return undefined;
  return vertex[2] === undefined ? vertex[1] : `${vertex[1]}-${vertex[2]}`;
}

/** LiteLLM's prefixes of names, with the kinds of provider behind each, and its routes to them. */
const prefixed = /^(anthropic|bedrock|vertex_ai|azure_ai)\/(?:converse\/|invoke\/)?(.+)$/;
const kindsByPrefix: Readonly<Record<string, readonly string[]>> = { anthropic: ["anthropic", "anthropic-aws"], bedrock: ["bedrock", "mantle"], vertex_ai: ["vertex"], azure_ai: ["foundry"] };

/** @param config `providers` tells which targets a prefix is about; absent: none is known to be */
export function createRouteTable(config: Pick<GatewayConfig, "models" | "modelAliases"> & Partial<Pick<GatewayConfig, "providers">>): RouteTable {
  const exact = new Map<string, ModelConfig>();
  const byTarget = new Map<string, { model: ModelConfig; target: TargetConfig }>();
  const byUpstreamName = new Map<string, { model: ModelConfig; target: TargetConfig }>();
  const patterns: Pattern[] = [];
  for (const model of config.models) {
    const star = model.name.indexOf("*");
    if (star === -1) setOnce(exact, model.name, model);
    else patterns.push({ model, prefix: model.name.slice(0, star), suffix: model.name.slice(star + 1) });
    for (const alias of model.aliases) setOnce(exact, alias, model);
    for (const target of model.targets) {
      setOnce(byTarget, target.id, { model, target });
      if (!model.name.includes("*") && !target.model.includes("*")) setOnce(byUpstreamName, target.model, { model, target });
    }
  }
  // Longer fixed parts are more specific; equal ones keep file order.
  patterns.sort((a, b) => b.prefix.length + b.suffix.length - a.prefix.length - a.suffix.length);

  const resolveDirect = (name: string): Route | undefined => {
    const model = exact.get(name);
    if (model !== undefined) return routeOf(model, name, undefined);
    const byId = byTarget.get(name);
    if (byId !== undefined && !byId.model.name.includes("*")) return { model: byId.model, publicName: byId.model.name, rightsNames: [byId.model.name], targets: [targetOf(byId.target, byId.model.name, undefined)] };
    for (const { model: patternModel, prefix, suffix } of patterns) {
      if (name.length >= prefix.length + suffix.length && name.startsWith(prefix) && name.endsWith(suffix)) {
        return routeOf(patternModel, name, name.slice(prefix.length, name.length - suffix.length));
      }
    }
    return undefined;
  };

  const resolve = (name: string): Route | undefined => {
    if (exact.has(name)) return resolveDirect(name);
    const group = config.modelAliases.get(name);
    if (group !== undefined) {
      const route = resolveDirect(group.model);
      return route === undefined ? undefined : { ...route, rightsNames: [name, ...route.rightsNames] };
    }
    // Before patterns: one would take the suffix for a part of the name.
    return contextSuffix.test(name) ? resolve(name.replace(contextSuffix, "")) : (resolveDirect(name) ?? resolveMeant(name));
  };

  /** Rights come from the names that are found, never from how they were written. */
  const resolveMeant = (name: string): Route | undefined => {
    const [, prefix = "", rest = ""] = prefixed.exec(name) ?? [];
    if (rest !== "") {
      const route = resolve(rest);
      const targets = route?.targets.filter(({ target }) => kindsByPrefix[prefix]!.includes(config.providers?.get(target.provider)?.kind ?? ""));
      return route === undefined || targets === undefined || targets.length === 0 ? undefined : { ...route, targets };
    }
    const claudeName = claudeNameOf(name);
    if (claudeName !== undefined) return resolve(claudeName);
    return modelDate.test(name) ? resolveDirect(name.replace(modelDate, "")) : undefined;
  };

  const isPlain = config.modelAliases.size === 0 && config.models.every((model) => model.aliases.length === 0 && model.targets.every((target) => target.model === model.name));
  return {
    isOpen: isPlain && config.models.some(({ name }) => name === "*" || name === "claude-*"),
    resolve,
    resolveCloudName(name) {
      if (exact.has(name) || config.modelAliases.has(name)) return resolve(name);
      const configured = byUpstreamName.get(name);
      if (configured !== undefined) return routeOf(configured.model, configured.model.name, undefined);
      const claudeName = claudeNameOf(name);
      // Before patterns: `*` would take a cloud's id for a name that every place knows.
      const byName = claudeName === undefined ? undefined : (resolve(claudeName) ?? resolve(claudeName.replace(modelDate, "")));
      return byName ?? resolve(name);
    },
    list(knownNames) {
      const names = new Set<string>();
      for (const model of config.models) {
        if (!model.name.includes("*")) names.add(model.name);
        for (const alias of model.aliases) names.add(alias);
      }
      for (const [alias, { isHidden }] of config.modelAliases) if (!isHidden) names.add(alias);
      for (const name of knownNames) if (resolveDirect(name) !== undefined) names.add(name);
      return [...names].flatMap((name) => {
        const route = resolve(name);
        return route === undefined ? [] : [{ ...route, publicName: name }];
      });
    },
  };
}

function routeOf(model: ModelConfig, asked: string, matched: string | undefined): Route {
  const publicName = model.name.includes("*") ? asked : model.name;
  const rightsNames = publicName === asked ? [asked] : [asked, publicName];
  return { model, publicName, rightsNames, targets: model.targets.map((target) => targetOf(target, publicName, matched)) };
}

function targetOf(target: TargetConfig, publicName: string, matched: string | undefined): RouteTarget {
  const upstreamModel = target.model.includes("*") ? target.model.replace("*", () => matched ?? publicName) : target.model;
  return { target, upstreamModel };
}

function setOnce<Value>(map: Map<string, Value>, key: string, value: Value): void {
  if (!map.has(key)) map.set(key, value);
}

/** The listed names nearest to one that was not found, best first, for the sentence of a refusal. Never reveals more than `names`. */
export function nearestNames(name: string, names: readonly string[], limit = 3): readonly string[] {
  return names
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(4, candidate.length / 2))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, limit)
    .map(({ candidate }) => candidate);
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
