/**
 * Guarantee: with several targets of which one fails for a while, sessions keep their prompt caches: what they cost stays within a twentieth of what one
 * target that never fails would, whichever life caches have. `TOLLGATE_AFFINITY_SEEDS=N` runs more worlds.
 */
import { describe, expect, it } from "vitest";
import { noteFigure } from "../support/figures.ts";
import { affinityCost, type Cost, type Way } from "./affinity.ts";

const worlds = Number(process.env["TOLLGATE_AFFINITY_SEEDS"] ?? 3);
const ways: readonly Way[] = ["single", "random", "sticky", "tollgate"];

describe.each([5, 60] as const)("prompt caches of %i minutes", (cacheMinutes) => {
  it(`cost hardly more than with one target that never fails, in ${worlds} worlds`, () => {
    const sums = Object.fromEntries(ways.map((way) => [way, { usd: 0, share: 0, calls: 0, failovers: 0 }])) as Record<Way, { usd: number; share: number; calls: number; failovers: number }>;
    let worst = 0;
    for (let seed = 1; seed <= worlds; seed++) {
      const costs = Object.fromEntries(ways.map((way) => [way, affinityCost(way, { seed, developers: 20, hours: 4, cacheMinutes })])) as Record<Way, Cost>;
      for (const way of ways) {
        const { usd, cacheReadShare, calls, failovers } = costs[way];
        sums[way].usd += usd;
        sums[way].share += cacheReadShare / worlds;
        sums[way].calls += calls;
        sums[way].failovers += failovers;
      }
      worst = Math.max(worst, costs.tollgate.usd / costs.single.usd);
      expect(costs.tollgate.usd, `seed ${seed}`).toBeLessThanOrEqual(costs.single.usd * 1.05);
      expect(costs.random.usd, `seed ${seed}`).toBeGreaterThan(costs.tollgate.usd);
    }
    noteFigure(cacheMinutes === 5 ? "affinity-5" : "affinity-60", {
      worlds,
      calls: sums.tollgate.calls,
      worstPercent: percent(worst - 1),
      ...Object.fromEntries(ways.flatMap((way) => [[`${way}Usd`, Math.round((sums[way].usd / worlds) * 100) / 100], [`${way}ReadPercent`, percent(sums[way].share)], [`${way}MorePercent`, percent(sums[way].usd / sums.single.usd - 1)], [`${way}Failovers`, sums[way].failovers]])),
    });
  }, 120_000);
});

function percent(share: number): number {
  return Math.round(share * 1_000) / 10;
}
