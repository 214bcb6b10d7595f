/** In which order targets that may all serve are tried: by priority, then by the model's strategy. Pure; chance and what is known of targets come in. */
import type { RoutingConfig, RoutingStrategy, TargetConfig } from "../config/gateway-config.ts";

/** What decides among targets of equal priority. */
export interface Look {
  /** In [0, 1). */
  random(): number;
  /** Replies that run there now. */
  running(targetId: string): number;
  /** Usual time to the first event, milliseconds; undefined while nothing is known. */
  firstEventMs(targetId: string): number | undefined;
}

interface Orderable {
  readonly target: Pick<TargetConfig, "id" | "priority" | "weight">;
}

/** The same targets, the first to be tried first. */
export function orderTargets<T extends Orderable>(targets: readonly T[], strategy: RoutingStrategy, look: Look): readonly T[] {
  if (targets.length < 2) return targets;
  const priorities = [...new Set(targets.map(({ target }) => target.priority))].sort((a, b) => a - b);
  return priorities.flatMap((priority) => withinPriority(targets.filter(({ target }) => target.priority === priority), strategy, look));
}

function withinPriority<T extends Orderable>(targets: readonly T[], strategy: RoutingStrategy, look: Look): readonly T[] {
  switch (strategy) {
    case "listed":
      return targets;
    case "weighted":
      return byKey(targets, ({ target }) => weightedKey(target.weight, look.random()));
    case "least-busy":
      return byKey(shuffled(targets, look), ({ target }) => look.running(target.id));
    case "latency":
      return byLatency(targets, look);
  }
}

/**
 * Sorting by exponential variates of rate `weight` draws without replacement in proportion to the weights (Efraimidis and Spirakis,
 * https://doi.org/10.1016/j.ipl.2005.11.003). Those of weight 0 come last, in random order.
 */
function weightedKey(weight: number, random: number): number {
  const variate = -Math.log(1 - random);
  return weight > 0 ? variate / weight : Number.MAX_VALUE * (0.5 + random / 2);
}

/** The better of two random ones goes first, so that not all calls run to the one that was quickest last; who has not been measured is tried. */
function byLatency<T extends Orderable>(targets: readonly T[], look: Look): readonly T[] {
  const latency = ({ target }: T): number => look.firstEventMs(target.id) ?? 0;
  const [one, other] = shuffled(targets, look);
  if (one === undefined || other === undefined) return targets;
  const first = latency(one) <= latency(other) ? one : other;
  return [first, ...byKey(targets.filter((target) => target !== first), latency)];
}

function shuffled<T>(targets: readonly T[], look: Look): readonly T[] {
  return byKey(targets, () => look.random());
}

function byKey<T>(targets: readonly T[], keyOf: (target: T) => number): readonly T[] {
  return targets
    .map((target) => ({ target, key: keyOf(target) }))
    .sort((a, b) => a.key - b.key)
    .map(({ target }) => target);
}

/**
 * Those that serve callers with these tags: targets that have them, or else targets with the tag `default`; for a caller without tags targets
 * with the tag `default`, or else all. The rule is LiteLLM's (BerriAI/litellm, `router_strategy/tag_based_routing.py`, checked 2026-11).
 */
export function withTags<T extends { readonly target: Pick<TargetConfig, "tags"> }>(targets: readonly T[], asked: readonly string[], match: RoutingConfig["tagMatch"]): readonly T[] {
  if (match === "off") return targets;
  const has = ({ target }: T): boolean => asked.length > 0 && (match === "any" ? asked.some((tag) => target.tags.includes(tag)) : asked.every((tag) => target.tags.includes(tag)));
  const found = targets.filter(has);
  if (found.length > 0) return found;
  const byDefault = targets.filter(({ target }) => target.tags.includes("default"));
  return byDefault.length > 0 || asked.length > 0 ? byDefault : targets;
}
