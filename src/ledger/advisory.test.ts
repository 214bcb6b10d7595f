// Guarantee: a soft budget counts like any other and is told of, and nothing that it counts is ever refused or cut for it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import { createBudgetBook } from "./budget.ts";
import { keyBudgets, type KeyBudgetFields } from "./key-budget.ts";
import { createLedger, type Demand, type Ledger } from "./ledger.ts";
import { createOutageAllowance } from "./outage-allowance.ts";
import type { Spender } from "./scope.ts";
import { crossedWarnings } from "./warnings.ts";

const nowMs = Date.UTC(2026, 10, 23, 12);
const usd = (dollars: number): NanoUsd => BigInt(Math.round(dollars * 1e9)) as NanoUsd;
const spender: Spender = { keyId: "key_a", userId: null, teamId: null, organizationId: null, endUserId: null, project: null, tags: [], sessionId: null, model: "m", provider: "p", targetId: "t" };
const unbounded = (expected: NanoUsd): Demand => ({ expected, risk: expected, bound: () => "max_tokens" });

function ledgerOf(fields: Partial<KeyBudgetFields>): Ledger {
  const ledger = createLedger(createBudgetBook([]));
  ledger.setOwn("key:key_a", keyBudgets({ id: "key_a", maxBudgetUsd: null, budgetDuration: null, ...fields }), []);
  return ledger;
}
const told = (ledger: Ledger): readonly string[] => crossedWarnings(ledger.balances(nowMs), nowMs).map(({ event }) => `${event.budget_id} ${event.threshold_percent} % of ${event.amount_usd}`);

describe("a soft budget", () => {
  it("admits every call and lets every reply grow, and counts all of it", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 12n), fc.array(fc.tuple(fc.bigInt(0n, 10n ** 13n), fc.bigInt(0n, 10n ** 13n)), { maxLength: 20 }), (soft, calls) => {
        const ledger = ledgerOf({ softBudgetUsd: (Number(soft) / 1e9).toFixed(9) });
        for (const [index, [expected, grown]] of calls.entries()) {
          const decision = ledger.admit(`att_${index}`, spender, [unbounded(expected as NanoUsd)], nowMs);
          expect(decision.isAdmitted).toBe(true);
          if (!decision.isAdmitted) return;
          expect([ledger.trueUp(decision.hold, expected), ledger.raise(decision.hold, grown)]).toEqual([undefined, undefined]);
          ledger.settle(decision.hold, grown, "reported");
        }
        const [state] = ledger.balances(nowMs);
        expect([state!.settled, state!.held]).toEqual([calls.reduce((sum, [, grown]) => sum + grown, 0n), 0n]);
      }),
    );
  });

  it("is told of when it is reached, also one of nothing, and does not stand in the way of the cap beside it", () => {
    const ledger = ledgerOf({ maxBudgetUsd: "10", softBudgetUsd: "4", budgetDuration: "30d" });
    ledger.restore({ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(3.99), source: "reported" });
    expect(told(ledger)).toEqual([]);
    ledger.restore({ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(0.01), source: "reported" });
    expect(told(ledger)).toEqual(["soft budget of key key_a 100 % of 4.00"]);
    const decision = ledger.admit("att_1", spender, [unbounded(usd(7))], nowMs);
    expect(decision.isAdmitted ? [] : decision.shortages.map(({ budget }) => budget.id)).toEqual(["key key_a"]);
    const zero = ledgerOf({ softBudgetUsd: "0" });
    expect(told(zero)).toEqual([]);
    zero.restore({ spender, dispatchedAtMs: nowMs, amountNanoUsd: 1n, source: "reported" });
    expect(told(zero)).toEqual(["soft budget of key key_a 100 % of 0.00"]);
  });

  it("is no cap: a call without a price and a call in an outage go by the rules for calls without budgets", () => {
    expect([ledgerOf({ softBudgetUsd: "1" }).isCapped(spender), ledgerOf({ softBudgetUsd: "1" }).isBound(spender), ledgerOf({ maxBudgetUsd: "1" }).isCapped(spender)]).toEqual([false, true, true]);
    const ledger = ledgerOf({ softBudgetUsd: "1" });
    const allowance = createOutageAllowance({ holdOf: (attemptId) => ledger.holdOf(attemptId), budgets: () => [], unbudgetedMs: 60_000 });
    ledger.admit("att_1", spender, [unbounded(usd(5))], nowMs);
    allowance.begin(0);
    expect([allowance.take("att_1", 59_999), allowance.take("att_1", 60_000)]).toEqual([true, false]);
  });
});
