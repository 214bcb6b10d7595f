// Guarantee: at every moment, under every budget, what is settled is the sum of what attempts of the window cost, what is held is the
// sum of what runs, and nobody is let in without room; whatever the order in which calls begin, grow, end and break.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import { createBudgetBook, defaultOverrun, type Budget } from "./budget.ts";
import { createLedger, type Demand, type Hold, type Ledger } from "./ledger.ts";
import type { Scope, Spender } from "./scope.ts";
import { parseWindow } from "./window-words.ts";

const startMs = Date.UTC(2026, 10, 23, 12);
const usd = (dollars: number): NanoUsd => BigInt(Math.round(dollars * 1e9)) as NanoUsd;

function windowOf(words: string): Budget["window"] {
  const parsed = parseWindow(words);
  if ("fault" in parsed) throw new Error(parsed.fault);
  return parsed.window;
}

function budget(scope: Budget["scope"], dollars: number, rest: Partial<Budget> = {}): Budget {
  const amountNanoUsd = usd(dollars);
  return {
    id: `${scope} ${rest.per ?? "pool"} ${rest.window?.key ?? "month"}`,
    scope,
    per: "pool",
    amountNanoUsd,
    window: windowOf("month"),
    mode: "incremental",
    onExhausted: "finish",
    overrunMaxNanoUsd: rest.mode === "strict" || rest.onExhausted === "cut" ? usd(0) : defaultOverrun(amountNanoUsd),
    downgradeModel: undefined,
    warnAtPercent: [],
    contact: undefined,
    ...rest,
  };
}

const spender: Spender = {
  keyId: "key_a", userId: "ann", teamId: "payments", organizationId: null, endUserId: null, project: null, tags: ["ci"],
  sessionId: "s1", model: "claude-opus", provider: "anthropic", targetId: "t1",
};
const demand = (expected: number, bound: number | undefined = expected): Demand => ({ expected: usd(expected), risk: 0n, bound: () => (bound === undefined ? "max_tokens" : usd(bound)) });

function admitted(ledger: Ledger, attemptId: string, wanted: Demand, who = spender, nowMs = startMs): Hold {
  const decision = ledger.admit(attemptId, who, [wanted], nowMs);
  if (!decision.isAdmitted) throw new Error(`no room under ${decision.shortages.map(({ scope }) => scope).join()}`);
  return decision.hold;
}

const scopesShort = (ledger: Ledger, wanted: Demand, who = spender, nowMs = startMs): Scope[] => {
  const decision = ledger.admit("refused", who, [wanted], nowMs);
  return decision.isAdmitted ? [] : decision.shortages.map(({ scope }) => scope);
};

describe("room", () => {
  it("is given to as many as fit, and to no more", () => {
    const ledger = createLedger(createBudgetBook([budget("team:payments", 1)]));
    const results = Array.from({ length: 40 }, (_, index) => ledger.admit(`att${index}`, spender, [demand(0.1)], startMs).isAdmitted);
    expect(results.filter(Boolean)).toHaveLength(10);
  });

  it("must be there under every budget; those without are all told, and nothing is taken from the others", () => {
    const ledger = createLedger(createBudgetBook([budget("global", 100), budget("team:payments", 1), budget("key:key_a", 0.5)]));
    expect(scopesShort(ledger, demand(2))).toEqual(["team:payments", "key:key_a"]);
    expect(ledger.balances(startMs).every(({ held }) => held === 0n)).toBe(true);
  });

  it("of nothing blocks, also a call that costs nothing", () => {
    expect(scopesShort(createLedger(createBudgetBook([budget("key:key_a", 0)])), demand(0))).toEqual(["key:key_a"]);
  });

  it("without a budget is unlimited", () => {
    expect(scopesShort(createLedger(createBudgetBook([budget("team:search", 0)])), demand(1e6))).toEqual([]);
  });

  it("comes back at once when a call ends below what was held for it", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1)]));
    const hold = admitted(ledger, "att1", demand(0.9));
    expect(scopesShort(ledger, demand(0.2))).toEqual(["key:key_a"]);
    ledger.settle(hold, usd(0.1), "reported");
    expect(scopesShort(ledger, demand(0.2))).toEqual([]);
  });

  it("comes back with the next window, and what began in the last one ends there", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1, { window: windowOf("day") })]));
    const hold = admitted(ledger, "att1", demand(0.9));
    const tomorrowMs = startMs + 86_400_000;
    const next = admitted(ledger, "att2", demand(0.9), spender, tomorrowMs);
    ledger.settle(hold, usd(1), "reported");
    ledger.settle(next, usd(0.25), "reported");
    expect(ledger.balances(tomorrowMs).map(({ settled, held }) => [settled, held])).toEqual([[usd(0.25), 0n]]);
  });

  it("under a sliding window leaves step by step", () => {
    const window = windowOf("rolling: 24h");
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1, { window })]));
    ledger.restore({ spender, dispatchedAtMs: startMs, amountNanoUsd: usd(0.6), source: "reported" });
    ledger.restore({ spender, dispatchedAtMs: startMs + 12 * 3_600_000, amountNanoUsd: usd(0.3), source: "reported" });
    const settledAfter = (hours: number): bigint => ledger.balances(startMs + hours * 3_600_000)[0]!.settled;
    expect([settledAfter(13), settledAfter(23), settledAfter(25), settledAfter(38)]).toEqual([usd(0.9), usd(0.9), usd(0.3), 0n]);
  });
});

describe("members", () => {
  const each = [budget("team:payments", 5, { per: "member" })];

  it("of a team have an amount each", () => {
    const ledger = createLedger(createBudgetBook(each));
    admitted(ledger, "att1", demand(4));
    expect(scopesShort(ledger, demand(4))).toEqual(["team_user:payments/ann"]);
    expect(scopesShort(ledger, demand(4), { ...spender, userId: "bo" })).toEqual([]);
  });

  it("keep to their own budget where they have one", () => {
    const ledger = createLedger(createBudgetBook([...each, budget("team_user:payments/ann", 50)]));
    expect(scopesShort(ledger, demand(40))).toEqual([]);
  });

  it("of a kind have an amount each, unless their own is set", () => {
    const ledger = createLedger(createBudgetBook([budget("session:*", 1), budget("session:long", 10)]));
    expect(scopesShort(ledger, demand(2))).toEqual(["session:s1"]);
    expect(scopesShort(ledger, demand(2), { ...spender, sessionId: "long" })).toEqual([]);
  });
});

describe("a key's own budget", () => {
  const own = (dollars: number, window = windowOf("month")): Budget => budget("key:key_a", dollars, { id: "key_a", window });

  it("comes before the default of all keys, and goes again", () => {
    const ledger = createLedger(createBudgetBook([budget("key:*", 1)]));
    ledger.setOwn("key:key_a", [own(5)], []);
    expect(scopesShort(ledger, demand(4), { ...spender, sessionId: null })).toEqual([]);
    ledger.setOwn("key:key_a", [], []);
    expect(scopesShort(ledger, demand(4))).toEqual(["key:key_a"]);
  });

  it("set later knows what was spent before, and counts what runs", () => {
    const ledger = createLedger(createBudgetBook([]));
    const hold = admitted(ledger, "att1", demand(0.5));
    const other = { ...spender, keyId: "key_b" };
    ledger.setOwn("key:key_a", [own(2)], [
      { spender, dispatchedAtMs: startMs - 1_000, amountNanoUsd: usd(1), source: "reported" },
      { spender: other, dispatchedAtMs: startMs - 1_000, amountNanoUsd: usd(9), source: "reported" },
    ]);
    expect(ledger.balances(startMs).map(({ settled, held }) => [settled, held])).toEqual([[usd(1), usd(0.5)]]);
    ledger.settle(hold, usd(0.75), "reported");
    expect(ledger.balances(startMs).map(({ settled, held }) => [settled, held])).toEqual([[usd(1.75), 0n]]);
  });

  it("with another amount keeps what was spent; with another window reads it anew", () => {
    const ledger = createLedger(createBudgetBook([]));
    const spent = [{ spender, dispatchedAtMs: startMs - 86_400_000, amountNanoUsd: usd(1), source: "reported" as const }];
    ledger.setOwn("key:key_a", [own(2)], spent);
    ledger.setOwn("key:key_a", [own(1)], []);
    expect(scopesShort(ledger, demand(0.1))).toEqual(["key:key_a"]);
    ledger.setOwn("key:key_a", [own(1, windowOf("day"))], spent);
    expect(scopesShort(ledger, demand(0.1))).toEqual([]);
  });
});

describe("growth", () => {
  it("is held within the overrun of a budget that lets replies finish, and refused beyond it", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1, { overrunMaxNanoUsd: usd(0.5) })]));
    const hold = admitted(ledger, "att1", demand(0.9));
    expect(ledger.raise(hold, usd(1.5))).toBeUndefined();
    expect(ledger.raise(hold, usd(1.6))?.scope).toBe("key:key_a");
  });

  it("finds nothing beyond a budget that cuts", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1, { onExhausted: "cut" })]));
    const hold = admitted(ledger, "att1", demand(0.9));
    expect(ledger.raise(hold, usd(1))).toBeUndefined();
    expect(ledger.raise(hold, usd(1.01))?.scope).toBe("key:key_a");
  });

  it("of what may turn out dearer has to fit into the overrun as well, for all calls together, until it is known", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 2, { overrunMaxNanoUsd: usd(0.5) })]));
    const warm: Demand = { expected: usd(0.1), risk: usd(0.9), bound: () => "max_tokens" };
    const cold: Demand = { expected: usd(1), risk: 0n, bound: () => "max_tokens" };
    const first = admitted(ledger, "att1", warm);
    admitted(ledger, "att2", warm);
    expect(scopesShort(ledger, warm)).toEqual(["key:key_a"]);
    // A call without any risk of its own would take the room that the others may need.
    expect(scopesShort(ledger, cold)).toEqual(["key:key_a"]);
    ledger.trueUp(first, usd(0.1));
    const decision = ledger.admit("att3", spender, [{ ...warm, risk: usd(2) }, cold], startMs);
    expect(decision.isAdmitted && decision.hold.amount).toBe(usd(1));
    if (decision.isAdmitted) ledger.release(decision.hold);
    expect(scopesShort(ledger, warm)).toEqual([]);
  });

  it("gives way to a report that is lower, except under a strict budget", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 10), budget("team:payments", 10, { mode: "strict" })]));
    const hold = admitted(ledger, "att1", demand(1, 4));
    ledger.trueUp(hold, usd(0.25));
    expect(ledger.balances(startMs).map(({ scope, held }) => [scope, held])).toEqual([["team:payments", usd(4)], ["key:key_a", usd(0.25)]]);
    expect([hold.amount, hold.strictAmount]).toEqual([usd(0.25), usd(4)]);
  });

  it("a call without an upper bound has no room under a strict budget", () => {
    const ledger = createLedger(createBudgetBook([budget("key:key_a", 1_000, { mode: "strict" })]));
    expect(scopesShort(ledger, { expected: usd(0.1), risk: 0n, bound: () => "max_tokens" })).toEqual(["key:key_a"]);
  });
});

describe("whatever happens in whatever order", () => {
  interface Model { readonly hold: Hold; readonly atMs: number; readonly bound: bigint }
  const amount = fc.integer({ min: 0, max: 400 }).map((cents) => usd(cents / 100));
  const step = fc.oneof(
    fc.record({ kind: fc.constant("admit" as const), who: fc.nat(2), expected: amount, extra: amount, unbounded: fc.boolean() }),
    fc.record({ kind: fc.constant("raise" as const), pick: fc.nat(), needed: amount }),
    fc.record({ kind: fc.constant("lower" as const), pick: fc.nat(), needed: amount }),
    fc.record({ kind: fc.constant("settle" as const), pick: fc.nat(), share: fc.integer({ min: 0, max: 100 }), source: fc.constantFrom("reported" as const, "estimated" as const, "unresolved" as const) }),
    fc.record({ kind: fc.constant("release" as const), pick: fc.nat() }),
    fc.record({ kind: fc.constant("wait" as const), minutes: fc.integer({ min: -30, max: 900 }) }),
  );
  const spenders = [spender, { ...spender, keyId: "key_b", userId: "bo" }, { ...spender, keyId: "key_c", userId: null, teamId: null, sessionId: null }];
  const budgets = [
    budget("global", 9, { window: windowOf("day") }),
    budget("team:payments", 6, { window: windowOf("week") }),
    budget("team:payments", 3, { per: "member", window: windowOf("rolling: 12h"), onExhausted: "cut" }),
    budget("key:*", 4, { mode: "strict", window: windowOf("lifetime") }),
    budget("model:claude-opus", 7),
  ];

  it("sums are those of the attempts, caps hold, and at rest nothing is held", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const ledger = createLedger(createBudgetBook(budgets));
        let nowMs = startMs;
        let serial = 0;
        const running: Model[] = [];
        const ended: { readonly who: Spender; readonly atMs: number; readonly cost: bigint }[] = [];
        const take = (pick: number): Model | undefined => running.splice(pick % Math.max(1, running.length), 1)[0];
        for (const each of steps) {
          if (each.kind === "wait") nowMs += each.minutes * 60_000;
          else if (each.kind === "admit") {
            const who = spenders[each.who]!;
            const bound = each.expected + each.extra;
            const before = ledger.balances(nowMs);
            const decision = ledger.admit(`att${serial++}`, who, [{ expected: each.expected, risk: 0n, bound: () => (each.unbounded ? "max_tokens" : bound) }], nowMs);
            if (decision.isAdmitted) running.push({ hold: decision.hold, atMs: nowMs, bound });
            else for (const state of before) expect(ledger.balances(nowMs)).toContainEqual(state);
          } else if (each.kind === "raise") {
            const model = running[each.pick % Math.max(1, running.length)];
            // The caller cuts a reply that finds no room; it then costs less than what had been held before.
            if (model !== undefined && ledger.raise(model.hold, each.needed < model.bound ? each.needed : model.bound) !== undefined) ledger.trueUp(model.hold, 0n);
          } else if (each.kind === "lower") {
            const model = running[each.pick % Math.max(1, running.length)];
            if (model !== undefined && each.needed < model.hold.amount) ledger.trueUp(model.hold, each.needed);
          } else if (each.kind === "release") {
            const model = take(each.pick);
            if (model !== undefined) ledger.release(model.hold);
          } else {
            const model = take(each.pick);
            if (model === undefined) continue;
            const held = model.hold.lines.reduce((least, line) => (line.held < least ? line.held : least), model.hold.amount);
            const cost = (held * BigInt(each.share)) / 100n;
            ledger.settle(model.hold, cost, each.source);
            ledger.settle(model.hold, cost * 7n, each.source);
            ended.push({ who: model.hold.spender, atMs: model.atMs, cost });
          }
          check(ledger, nowMs, ended, running);
        }
        for (const { hold } of running.splice(0)) ledger.release(hold);
        expect(ledger.balances(nowMs).every(({ held }) => held === 0n)).toBe(true);
        expect(ledger.holds()).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  /** Against a ledger that is told the ended attempts only, in reverse: the order of settlements changes no sum. */
  function check(ledger: Ledger, nowMs: number, ended: readonly { readonly who: Spender; readonly atMs: number; readonly cost: bigint }[], running: readonly Model[]): void {
    const again = createLedger(createBudgetBook(budgets));
    for (const { who, atMs, cost } of ended.toReversed()) again.restore({ spender: who, dispatchedAtMs: atMs, amountNanoUsd: cost, source: "reported" });
    const settledAgain = new Map(again.balances(nowMs).map(({ budget: { id }, scope, settled }) => [`${id} ${scope}`, settled]));
    for (const state of ledger.balances(nowMs)) {
      expect(state.settled).toBe(settledAgain.get(`${state.budget.id} ${state.scope}`) ?? 0n);
      expect(state.settled <= state.budget.amountNanoUsd + state.budget.overrunMaxNanoUsd).toBe(true);
      if (state.budget.window.text === "lifetime") {
        const held = running.flatMap(({ hold }) => hold.lines).filter(({ balance }) => balance.budget.id === state.budget.id && balance.scope === state.scope);
        expect(state.held).toBe(held.reduce((sum, line) => sum + line.held, 0n));
      }
    }
  }
});
