/**
 * Which betas a target has refused lately. A place that answers 400 for one beta gets one more try without it, and for an
 * hour nobody has to find that out again.
 */
import type { Clock } from "../kernel/clock.ts";

const rememberedMs = 60 * 60_000;
const entriesMax = 64;

export interface BetaMemory {
  refusedBy(targetId: string): ReadonlySet<string>;
  remember(targetId: string, beta: string): void;
}

const none: ReadonlySet<string> = new Set();

export function createBetaMemory(clock: Clock): BetaMemory {
  /** In order of remembering, so that the first is the oldest. */
  const entries = new Map<string, { readonly targetId: string; readonly beta: string; readonly atMs: number }>();
  return {
    refusedBy(targetId) {
      if (entries.size === 0) return none;
      const found = new Set<string>();
      for (const [key, entry] of entries) {
        if (clock.monotonic() - entry.atMs > rememberedMs) entries.delete(key);
        else if (entry.targetId === targetId) found.add(entry.beta);
      }
      return found;
    },
    remember(targetId, beta) {
      const key = JSON.stringify([targetId, beta]);
      entries.delete(key);
      entries.set(key, { targetId, beta, atMs: clock.monotonic() });
      const oldest = entries.keys().next().value;
      if (entries.size > entriesMax && oldest !== undefined) entries.delete(oldest);
    },
  };
}
