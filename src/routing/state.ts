/** What routing has learnt while the process runs: who is well, who is busy, whose prompt cache is warm where. Nothing of it outlives the process. */
import type { RoutingConfig } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";
import { createAffinity, type Affinity } from "./affinity.ts";
import { createTargetHealth, type TargetHealth } from "./health.ts";
import { createRetryBudget, type RetryBudget } from "./retry-budget.ts";
import { createTargetStats, type TargetStats } from "./target-stats.ts";

export interface RoutingState {
  readonly health: TargetHealth;
  readonly stats: TargetStats;
  readonly affinity: Affinity;
  readonly retryBudget: RetryBudget;
  /** How often circuits of each target have opened or were parked. */
  readonly openings: ReadonlyMap<string, number>;
  /** In [0, 1). */
  random(): number;
}

/** @param inForce read for each call, since it may change @param random for the choice among equals and for waits; in [0, 1) */
export function createRoutingState(clock: Clock, inForce: Pick<RoutingConfig, "retryBudget">, random: () => number): RoutingState {
  const affinity = createAffinity(clock);
  const health = createTargetHealth(clock);
  // Who waits for a place that is down finds a warm cache there no sooner than it is up.
  const openings = new Map<string, number>();
  health.onOpen((key) => {
    const target = targetOf(key);
    affinity.releaseTarget(target);
    openings.set(target, (openings.get(target) ?? 0) + 1);
  });
  return { health, openings, stats: createTargetStats(clock), affinity, retryBudget: createRetryBudget(() => inForce.retryBudget), random };
}

/** One circuit for each model at each target. */
export function circuitKey({ target, upstreamModel }: { readonly target: { readonly id: string }; readonly upstreamModel: string }): string {
  return `${target.id}\n${upstreamModel}`;
}

/** The provider's name of the model of a circuit's key. */
export function modelOf(key: string): string {
  return key.slice(key.indexOf("\n") + 1);
}

/** Id of the target of a circuit's key. */
export function targetOf(key: string): string {
  return key.slice(0, key.indexOf("\n"));
}
