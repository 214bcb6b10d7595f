// Guarantee: when the configuration's budgets change while calls run, every budget then in force has counted exactly what its scope has
// spent and what runs, also what ended in the middle of the change; and a change that cannot be made leaves all as it was.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import { createBudgetBook, defaultOverrun, type BookChange, type Budget } from "./budget.ts";
import { createLedger, type Demand, type Hold, type Ledger, type Spent } from "./ledger.ts";
import type { Scope, Spender } from "./scope.ts";
import { followConfig, startLedger } from "./start-ledger.ts";
import { parseWindow } from "./window-words.ts";

const nowMs = Date.UTC(2026, 10, 23, 12);
const usd = (dollars: number): NanoUsd => BigInt(Math.round(dollars * 1e9)) as NanoUsd;

function windowOf(words: string): Budget["window"] {
  const parsed = parseWindow(words);
  if ("fault" in parsed) throw new Error(parsed.fault);
  return parsed.window;
}

function budget(scope: Budget["scope"], dollars: number, rest: Partial<Budget> = {}): Budget {
  const amountNanoUsd = usd(dollars);
  return {
    id: `${scope} ${rest.per ?? "pool"} ${rest.window?.key ?? "lifetime"}`, scope, per: "pool", amountNanoUsd, window: windowOf("lifetime"), mode: "incremental", onExhausted: "finish",
    overrunMaxNanoUsd: rest.mode === "strict" ? usd(0) : defaultOverrun(amountNanoUsd), downgradeModel: undefined, warnAtPercent: [], contact: undefined, ...rest,
  };
}

const spender: Spender = {
  keyId: "key_a", userId: "ann", teamId: "payments", organizationId: "acme", endUserId: null, project: null, tags: ["ci"],
  sessionId: "s1", model: "claude-opus", provider: "anthropic", targetId: "t1",
};
const demand = (dollars: number): Demand => ({ expected: usd(dollars), risk: 0n, bound: () => usd(dollars * 2) });
const change = (budgets: readonly Budget[], own: BookChange["own"] = new Map()): BookChange => ({ budgets, userBudget: "all", own });

function admitted(ledger: Ledger, attemptId: string, dollars: number, who = spender): Hold {
  const decision = ledger.admit(attemptId, who, [demand(dollars)], nowMs);
  if (!decision.isAdmitted) throw new Error(`no room under ${decision.shortages.map(({ scope }) => scope).join()}`);
  return decision.hold;
}

/** A store that has what was closed. */
function rowsOf(rows: readonly Spent[]) {
  return {
    spentSince: () => Promise.resolve(rows.map((row) => ({ ...row, spender: { ...row.spender, sessionId: null } }))),
    spentIn: (sessionId: string) => Promise.resolve(rows.filter((row) => row.spender.sessionId === sessionId)),
  };
}

const stateOf = (ledger: Ledger, scope: Scope): object | undefined => {
  const found = ledger.balances(nowMs).find((state) => state.scope === scope);
  return found === undefined ? undefined : { amount: found.budget.amountNanoUsd, settled: found.settled, held: found.held };
};

describe("a changed configuration", () => {
  it("finds under a new budget what its scope has spent in the window that runs, and what runs", async () => {
    const rows: Spent[] = [{ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(3), source: "reported" }];
    const usage = rowsOf(rows);
    const ledger = await startLedger({ budgets: [budget("global", 100)], keys: [], usage, nowMs });
    const running = admitted(ledger, "att1", 1);
    await followConfig(ledger, change([budget("global", 100), budget("team:payments", 5)]), { usage, nowMs });
    expect(stateOf(ledger, "team:payments")).toEqual({ amount: usd(5), settled: usd(3), held: usd(1) });
    expect(stateOf(ledger, "global")).toEqual({ amount: usd(100), settled: usd(3), held: usd(1) });
    expect(ledger.admit("att2", spender, [demand(1.5)], nowMs).isAdmitted).toBe(false);
    ledger.settle(running, usd(0.5), "reported");
    expect(stateOf(ledger, "team:payments")).toEqual({ amount: usd(5), settled: usd(3.5), held: 0n });
  });

  it("keeps what was spent under a budget whose amount it changes, and the running reply is held to the new one", async () => {
    const ledger = createLedger(createBudgetBook([budget("team:payments", 10)]), { readSpent: async () => [] });
    const hold = admitted(ledger, "att1", 2);
    await ledger.reconfigure(change([budget("team:payments", 3, { overrunMaxNanoUsd: usd(0) })]), async () => []);
    expect(ledger.raise(hold, usd(2.5))).toBeUndefined();
    expect(ledger.raise(hold, usd(4))?.scope).toBe("team:payments");
  });

  it("ends a budget for those who run as well, and one that comes back has missed nothing", async () => {
    const rows: Spent[] = [];
    const usage = rowsOf(rows);
    const ledger = await startLedger({ budgets: [budget("team:payments", 1)], keys: [], usage, nowMs });
    const hold = admitted(ledger, "att1", 0.5);
    await followConfig(ledger, change([]), { usage, nowMs });
    expect(ledger.raise(hold, usd(50))).toBeUndefined();
    ledger.settle(hold, usd(50), "reported");
    rows.push({ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(50), source: "reported" });
    await followConfig(ledger, change([budget("team:payments", 1)]), { usage, nowMs });
    expect(stateOf(ledger, "team:payments")).toEqual({ amount: usd(1), settled: usd(50), held: 0n });
  });

  it("counts once what ends while the rows are being read", async () => {
    let answer: ((spent: readonly Spent[]) => void) | undefined;
    const ledger = createLedger(createBudgetBook([budget("global", 100)]), { readSpent: async () => [] });
    const [early, late, still] = [admitted(ledger, "early", 1), admitted(ledger, "late", 1), admitted(ledger, "still", 1)];
    ledger.settle(early, usd(1), "reported");
    const changed = ledger.reconfigure(change([budget("user:ann", 100)]), () => new Promise((resolve) => (answer = resolve)));
    ledger.settle(late, usd(2), "reported");
    ledger.restore({ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(4), source: "reported" });
    answer!([{ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(1), source: "reported" }]);
    await changed;
    expect(stateOf(ledger, "user:ann")).toEqual({ amount: usd(100), settled: usd(7), held: usd(1) });
    ledger.settle(still, usd(0.25), "reported");
    expect(stateOf(ledger, "user:ann")).toEqual({ amount: usd(100), settled: usd(7.25), held: 0n });
  });

  it("leaves all as it was when the rows cannot be read", async () => {
    const ledger = createLedger(createBudgetBook([budget("global", 2)]));
    const hold = admitted(ledger, "att1", 1);
    await expect(ledger.reconfigure(change([]), () => Promise.reject(new Error("down")))).rejects.toThrow("down");
    expect(stateOf(ledger, "global")).toEqual({ amount: usd(2), settled: 0n, held: usd(1) });
    expect(ledger.admit("att2", spender, [demand(1.5)], nowMs).isAdmitted).toBe(false);
    ledger.settle(hold, usd(1), "reported");
    expect(stateOf(ledger, "global")).toEqual({ amount: usd(2), settled: usd(1), held: 0n });
  });

  it("keeps the caps of keys, and puts in or takes away what operators set beside it", async () => {
    const usage = rowsOf([]);
    const ledger = await startLedger({ budgets: [], keys: [{ id: "key_a", maxBudgetUsd: "1", budgetDuration: null }], managed: [budget("team:payments", 7)], usage, nowMs });
    await followConfig(ledger, change([budget("team:payments", 9)], new Map([["team:payments", []]])), { usage, nowMs });
    expect(stateOf(ledger, "team:payments")).toMatchObject({ amount: usd(9) });
    expect(stateOf(ledger, "key:key_a")).toMatchObject({ amount: usd(1) });
    await followConfig(ledger, change([], new Map([["team:payments", [budget("team:payments", 7)]]])), { usage, nowMs });
    expect(stateOf(ledger, "team:payments")).toMatchObject({ amount: usd(7) });
  });

  it("that makes a budget strict holds the bound of calls that have one, and all that may come of others", async () => {
    const ledger = createLedger(createBudgetBook([budget("global", 100), budget("user:ann", 50, { mode: "strict" })]), { readSpent: async () => [] });
    const bounded = admitted(ledger, "att1", 1);
    await ledger.reconfigure(change([budget("global", 100, { mode: "strict" })]), async () => []);
    expect(stateOf(ledger, "global")).toMatchObject({ held: usd(2) });
    await ledger.reconfigure(change([budget("global", 100)]), async () => []);
    expect(stateOf(ledger, "global")).toMatchObject({ held: usd(1) });
    ledger.release(bounded);
    expect(stateOf(ledger, "global")).toMatchObject({ settled: 0n, held: 0n });
  });

  it("whose id changes hands counts for the new scope only", async () => {
    const rows: Spent[] = [{ spender: { ...spender, teamId: "search", sessionId: "other" }, dispatchedAtMs: nowMs, amountNanoUsd: usd(3), source: "reported" }];
    const usage = rowsOf(rows);
    const ledger = await startLedger({ budgets: [budget("team:search", 100, { id: "big" })], keys: [], usage, nowMs });
    await followConfig(ledger, change([budget("session:*", 100, { id: "big" })]), { usage, nowMs });
    await ledger.recall(spender, nowMs);
    expect(ledger.balancesOf(spender, nowMs)).toMatchObject([{ scope: "session:s1", settled: 0n }]);
    await followConfig(ledger, change([budget("team:search", 100, { id: "big" })]), { usage, nowMs });
    expect(stateOf(ledger, "team:search")).toMatchObject({ settled: usd(3) });
  });
});

describe("whatever is changed, in whatever order", () => {
  const scopes: readonly Budget["scope"][] = ["global", "team:payments", "team:*", "user:*", "session:*", "key:key_b"];
  const people: readonly Spender[] = [spender, { ...spender, keyId: "key_b", teamId: "search", sessionId: "s2" }, { ...spender, sessionId: null, teamId: null }];
  const step = fc.oneof(
    fc.record({ kind: fc.constant("open" as const), who: fc.nat(2), cents: fc.nat(500) }),
    fc.record({ kind: fc.constant("end" as const), at: fc.nat(9), cents: fc.nat(500), isRelease: fc.boolean() }),
    fc.record({ kind: fc.constant("raise" as const), at: fc.nat(9), cents: fc.nat(900) }),
    fc.record({ kind: fc.constant("change" as const), chosen: fc.subarray([...scopes]), isStrict: fc.boolean(), endsMeanwhile: fc.nat(9) }),
  );

  it("each budget knows what its scope has spent and holds", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const rows: Spent[] = [];
        const usage = rowsOf(rows);
        const ledger = await startLedger({ budgets: [budget("global", 1e6)], keys: [], usage, nowMs });
        const running: { hold: Hold | undefined; who: Spender; id: string }[] = [];
        const end = (index: number, cents: number, isRelease: boolean): void => {
          const [call] = running.length === 0 ? [] : running.splice(index % running.length, 1);
          if (call === undefined) return;
          if (isRelease) return call.hold === undefined ? undefined : ledger.release(call.hold);
          const spent: Spent = { spender: call.who, dispatchedAtMs: nowMs, amountNanoUsd: usd(cents / 100), source: "reported" };
          if (call.hold === undefined) ledger.restore(spent);
          else ledger.settle(call.hold, spent.amountNanoUsd, "reported");
          rows.push(spent);
        };
        for (const [index, each] of steps.entries()) {
          if (each.kind === "open") {
            const who = people[each.who]!;
            await ledger.recall(who, nowMs);
            running.push({ who, id: `att${index}`, hold: ledger.isBound(who) ? admitted(ledger, `att${index}`, each.cents / 100, who) : undefined });
          } else if (each.kind === "end") end(each.at, each.cents, each.isRelease);
          else if (each.kind === "raise") {
            const call = running[each.at % Math.max(1, running.length)];
            if (call?.hold !== undefined) ledger.raise(call.hold, usd(each.cents / 100));
          } else {
            const budgets = each.chosen.map((scope) => budget(scope, 1e6, each.isStrict && scope === "global" ? { mode: "strict" } : {}));
            const changed = followConfig(ledger, change(budgets), { usage, nowMs });
            end(each.endsMeanwhile, 123, false);
            await changed;
          }
          for (const who of people) {
            await ledger.recall(who, nowMs);
            for (const state of ledger.balancesOf(who, nowMs)) {
              const own = (candidate: Spender): boolean => ledger.balancesOf(candidate, nowMs).some(({ scope, budget: { id } }) => scope === state.scope && id === state.budget.id);
              expect(state.settled).toBe(rows.filter((row) => own(row.spender)).reduce((sum, row) => sum + row.amountNanoUsd, 0n));
              const held = running.filter((call) => call.hold !== undefined && own(call.who)).map(({ hold }) => (state.budget.mode === "strict" ? hold!.strictAmount : hold!.amount));
              expect(state.held).toBe(held.reduce((sum, amount) => sum + amount, 0n));
            }
          }
        }
      }),
      { numRuns: 150 },
    ));
});
