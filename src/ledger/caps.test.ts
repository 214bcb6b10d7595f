/**
 * Guarantee: a cap holds where several things come together: caches that may be cold beside replies that grow, strict budgets beside
 * incremental ones, windows that end while a call runs, clocks that jump, budgets that come and go under running calls. Each case was
 * once found by the simulation.
 */
import { describe, expect, it } from "vitest";
import { nanoUsd } from "../kernel/money.ts";
import { createBudgetBook, type Budget } from "./budget.ts";
import { createLedger, type Demand, type Hold, type Ledger, type Spent } from "./ledger.ts";
import type { Spender } from "./scope.ts";
import { startLedger } from "./start-ledger.ts";
import { isToTheMinute } from "./window.ts";
import { parseWindow } from "./window-words.ts";

const startMs = Date.UTC(2026, 10, 16, 10, 20);
const dayMs = 86_400_000;
const usd = (amount: number): bigint => BigInt(Math.round(amount * 1e9));

function budget(scope: Budget["scope"], amount: number, { words = "lifetime", ...changes }: Partial<Budget> & { readonly words?: string } = {}): Budget {
  const parsed = parseWindow(words);
  if ("fault" in parsed) throw new Error(parsed.fault);
  return {
    id: `${scope} ${words}`, scope, per: "pool", amountNanoUsd: nanoUsd(usd(amount)), window: parsed.window, mode: "incremental", onExhausted: "finish",
    overrunMaxNanoUsd: nanoUsd(0n), downgradeModel: undefined, warnAtPercent: [], contact: undefined, ...changes,
  };
}

const spender: Spender = {
  keyId: "key_a", userId: "ann", teamId: "payments", organizationId: null, endUserId: null, project: null, tags: [], sessionId: "s1", model: "claude-opus", provider: "anthropic", targetId: "t1",
};

function demand(expected: number, { risk = 0, bound = expected }: { readonly risk?: number; readonly bound?: number } = {}): Demand {
  return { expected: usd(expected), risk: usd(risk), bound: () => usd(bound) };
}

let serial = 0;

function admitted(ledger: Ledger, wanted: Demand, nowMs = startMs): Hold {
  const decision = ledger.admit(`att_${serial++}`, spender, [wanted], nowMs);
  if (!decision.isAdmitted) throw new Error("refused");
  return decision.hold;
}

const sumsOf = (ledger: Ledger, nowMs = startMs): readonly (readonly [string, bigint, bigint])[] => ledger.balances(nowMs).map(({ budget: { mode }, settled, held }) => [mode, settled, held] as const);

describe("demands that are ample", () => {
  it("are met while three quarters of the budget are not used, and give way to the next then", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1)]));
    const ample = { ...demand(0.2), isAmple: true };
    const held = (): number => {
      const decision = ledger.admit(`att_${serial++}`, spender, [ample, demand(0.1)], startMs);
      return decision.isAdmitted ? Number(decision.hold.amount) / 1e9 : 0;
    };
    expect([held(), held(), held(), held(), held(), held()]).toEqual([0.2, 0.2, 0.2, 0.1, 0.1, 0.1]);
    expect(held()).toBe(0.1);
    expect(held()).toBe(0);
  });
});

describe("caches that may be cold", () => {
  it("keep their room from replies that grow", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1, { overrunMaxNanoUsd: nanoUsd(usd(0.5)) })]));
    const reply = admitted(ledger, demand(0.5));
    admitted(ledger, demand(0.2, { risk: 0.4 }));
    expect(ledger.raise(reply, usd(0.9))).toBeUndefined();
    expect(ledger.raise(reply, usd(1))?.scope).toBe("global");
  });

  it("keep their room from calls that risk nothing themselves", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1, { overrunMaxNanoUsd: nanoUsd(usd(0.5)) })]));
    admitted(ledger, demand(0.1, { risk: 1.3 }));
    expect(ledger.admit("late", spender, [demand(0.3)], startMs).isAdmitted).toBe(false);
    expect(ledger.admit("late", spender, [demand(0.1)], startMs).isAdmitted).toBe(true);
  });
});

describe("a strict budget beside an incremental one", () => {
  const both = [budget("global", 10, { mode: "strict" }), budget("key:key_a", 1)];

  it("does not hide from it that a reply has outgrown what is held there", () => {
    const ledger = createLedger(createBudgetBook(both));
    const hold = admitted(ledger, demand(0.5, { bound: 4 }));
    expect([hold.amount, hold.strictAmount]).toEqual([usd(0.5), usd(4)]);
    expect(ledger.raise(hold, usd(1.1))?.scope).toBe("key:key_a");
  });

  it("counts what nobody knows at the most it can have cost, and the other at what was expected", () => {
    const ledger = createLedger(createBudgetBook(both));
    ledger.abandon(admitted(ledger, demand(0.5, { bound: 4 })));
    expect(sumsOf(ledger)).toEqual([["strict", usd(4), 0n], ["incremental", usd(0.5), 0n]]);
  });

  it("shows the same after a start from the rows", async () => {
    const row: Spent = { spender, dispatchedAtMs: startMs, amountNanoUsd: usd(0.5), strictNanoUsd: usd(4), source: "unresolved" };
    const ledger = await startLedger({ budgets: both, keys: [], usage: { spentSince: () => Promise.resolve([row]), spentIn: () => Promise.resolve([]) }, nowMs: startMs });
    expect(sumsOf(ledger)).toEqual([["strict", usd(4), 0n], ["incremental", usd(0.5), 0n]]);
  });
});

describe("a reply that grows", () => {
  it("is given more than it needs where there is room, and what it needs where there is no more", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1)]));
    const hold = admitted(ledger, demand(0.5));
    expect(ledger.raise(hold, usd(0.6), usd(0.7))).toBeUndefined();
    expect(hold.amount).toBe(usd(0.7));
    expect(ledger.raise(hold, usd(0.9), usd(1.1))).toBeUndefined();
    expect(hold.amount).toBe(usd(0.9));
    expect(ledger.raise(hold, usd(1.01), usd(1.2))?.scope).toBe("global");
  });
});

describe("a window that has ended", () => {
  it("still bounds the replies that were sent in it", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1, { words: "day" })]));
    const hold = admitted(ledger, demand(0.9));
    expect(ledger.raise(hold, usd(1))).toBeUndefined();
    ledger.balances(startMs + dayMs);
    expect(ledger.raise(hold, usd(1.1))?.scope).toBe("global");
  });

  it("is still known when the clock comes back to it, from however far", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 1, { words: "day" })]));
    ledger.settle(admitted(ledger, demand(0.9)), usd(0.9), "reported");
    for (const days of [1, -1, 40, -40, 3_650]) ledger.settle(admitted(ledger, demand(0.1), startMs + days * dayMs), usd(0.1), "reported");
    expect(ledger.balances(startMs)[0]?.settled).toBe(usd(0.9));
    expect(ledger.admit("again", spender, [demand(0.2)], startMs).isAdmitted).toBe(false);
  });

  it("is not mistaken for the next one after a start, however short it is", async () => {
    const steps: number[] = [];
    const usage = { spentSince: (_sinceMs: number, stepMs: number) => Promise.resolve((steps.push(stepMs), [])), spentIn: () => Promise.resolve([]) };
    for (const words of ["month", "5m", "30s", "rolling: 1h"]) await startLedger({ budgets: [budget("global", 1, { words })], keys: [], usage, nowMs: startMs });
    expect(steps).toEqual([60_000, 60_000, 1_000, 1_000]);
    for (const words of ["month", "day", "5m", "1h", "rolling: 7d"]) expect(isToTheMinute(budget("global", 1, { words }).window), words).toBe(true);
    for (const words of ["30s", "rolling: 1h"]) expect(isToTheMinute(budget("global", 1, { words }).window), words).toBe(false);
  });
});

describe("a budget that comes while calls run", () => {
  it("keeps room for what they may turn out to cost", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 100, { overrunMaxNanoUsd: nanoUsd(usd(1)) })]));
    admitted(ledger, demand(0.5, { risk: 0.4 }));
    ledger.setOwn("key:key_a", [budget("key:key_a", 1)], []);
    expect(ledger.admit("next", spender, [demand(0.2)], startMs).isAdmitted).toBe(false);
    expect(ledger.admit("next", spender, [demand(0.1)], startMs).isAdmitted).toBe(true);
  });

  it("takes the place of one that cuts no reply any more", () => {
    const ledger = createLedger(createBudgetBook([]));
    ledger.setOwn("key:key_a", [budget("key:key_a", 1)], []);
    const hold = admitted(ledger, demand(0.9));
    ledger.setOwn("key:key_a", [budget("key:key_a", 10, { words: "month" })], []);
    expect(ledger.raise(hold, usd(5))).toBeUndefined();
    ledger.settle(hold, usd(5), "reported");
    expect(sumsOf(ledger)).toEqual([["incremental", usd(5), 0n]]);
  });

  it("knows what was spent while it was away", () => {
    const ledger = createLedger(createBudgetBook([]));
    const own = budget("key:key_a", 10);
    ledger.setOwn("key:key_a", [own], []);
    ledger.setOwn("key:key_a", [], []);
    ledger.setOwn("key:key_a", [own], [{ spender, dispatchedAtMs: startMs, amountNanoUsd: usd(3), source: "reported" }]);
    expect(ledger.balances(startMs)[0]?.settled).toBe(usd(3));
  });
});
