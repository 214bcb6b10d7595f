/** Guarantee: however calls and retries come, there are never more retries than the share of the calls and the burst. */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { createRetryBudget } from "./retry-budget.ts";

it("retries stay within the share and the burst, over any stretch of time", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 400 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 20 }), (isCall, tokensPerCall, burst) => {
      const budget = createRetryBudget(() => ({ tokensPerCall, burst }));
      const taken = isCall.map((call) => {
        if (!call) return budget.take();
        budget.call();
        return false;
      });
      for (let from = 0; from < isCall.length; from += 37) {
        const calls = isCall.slice(from).filter(Boolean).length;
        const retries = taken.slice(from).filter(Boolean).length;
        expect(retries).toBeLessThanOrEqual(calls * tokensPerCall + burst + 1e-6);
      }
      expect(budget.left()).toBeGreaterThanOrEqual(0);
      expect(budget.left()).toBeLessThanOrEqual(Math.max(burst, 0));
    }),
  );
});

it("a refused retry takes nothing, and a smaller burst holds from the next call on", () => {
  let burst = 3;
  const budget = createRetryBudget(() => ({ tokensPerCall: 0.5, burst }));
  expect([budget.take(), budget.take(), budget.take(), budget.take()]).toEqual([true, true, true, false]);
  budget.call();
  expect([budget.take(), budget.left()]).toEqual([false, 0.5]);
  budget.call();
  expect([budget.take(), budget.left()]).toEqual([true, 0]);
  for (let index = 0; index < 10; index++) budget.call();
  burst = 1;
  budget.call();
  expect(budget.left()).toBe(1);
});
