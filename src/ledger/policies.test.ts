// Guarantee: money counts under the scopes of who bears it and nowhere else; a cap on each run binds every run of its key by itself; and
// what sessions and runs have spent is known when they come back, however many there are, after any change, in any order.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import { createBudgetBook, defaultOverrun, type Budget } from "./budget.ts";
import { keyBudgets } from "./key-budget.ts";
import { createLedger, type Demand, type Hold, type Ledger, type Spent } from "./ledger.ts";
import { refusalText } from "./refusal-text.ts";
import { membershipsOf, scopeKinds, type Scope, type Spender } from "./scope.ts";
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
    overrunMaxNanoUsd: defaultOverrun(amountNanoUsd), downgradeModel: undefined, warnAtPercent: [], contact: undefined, ...rest,
  };
}

const spender: Spender = {
  keyId: "key_a", userId: "ann", teamId: "payments", organizationId: "acme", endUserId: "e", project: "p", tags: ["ci"],
  sessionId: "s1", model: "claude-opus", provider: "anthropic", targetId: "t1",
};
const demand = (dollars: number): Demand => ({ expected: usd(dollars), risk: 0n, bound: () => usd(dollars) });
const key = { id: "key_a", maxBudgetUsd: null, budgetDuration: null };

function admitted(ledger: Ledger, attemptId: string, dollars: number, who: Spender = spender): Hold {
  const decision = ledger.admit(attemptId, who, [demand(dollars)], nowMs);
  if (!decision.isAdmitted) throw new Error(`no room under ${decision.shortages.map(({ scope }) => scope).join()}`);
  return decision.hold;
}

const short = (ledger: Ledger, dollars: number, who: Spender = spender): readonly Scope[] => {
  const decision = ledger.admit("asked", who, [demand(dollars)], nowMs);
  if (decision.isAdmitted) ledger.release(decision.hold);
  return decision.isAdmitted ? [] : decision.shortages.map(({ scope }) => scope);
};
const settledOf = (ledger: Ledger): Readonly<Record<string, bigint>> => Object.fromEntries(ledger.balances(nowMs).filter(({ settled }) => settled !== 0n).map(({ scope, settled }) => [scope, settled]));
const everyKind = scopeKinds.map((kind) => budget(kind === "global" ? "global" : (`${kind}:*` as Budget["scope"]), 1_000));

describe("who bears an attempt", () => {
  it("decides under which scopes it counts", () => {
    const all = new Set(scopeKinds);
    expect(membershipsOf(spender, all)).toHaveLength(scopeKinds.length);
    expect(membershipsOf({ ...spender, payer: "platform" }, all).map(({ scope }) => scope)).toEqual(["global", "provider:anthropic", "target:t1"]);
    expect(membershipsOf({ ...spender, payer: "client" }, all)).toEqual([]);
  });

  it("may turn out to be the platform at its end; the room held for it comes back to everybody", () => {
    for (const end of ["settle", "abandon"] as const) {
      const ledger = createLedger(createBudgetBook(everyKind));
      const hold = admitted(ledger, "att", 1);
      if (end === "settle") ledger.settle(hold, usd(1), "reported", "platform");
      else ledger.abandon(hold, "platform");
      expect(settledOf(ledger)).toEqual({ global: usd(1), "provider:anthropic": usd(1), "target:t1": usd(1) });
      expect(ledger.balances(nowMs).every(({ held }) => held === 0n)).toBe(true);
    }
  });

  it("is the same for what is restored from rows, whatever became of it while it ran", () => {
    const outcome = fc.record({ payer: fc.constantFrom("caller", "platform", "client" as const), cost: fc.bigInt(0n, usd(3)), end: fc.constantFrom("settle", "abandon", "release"), session: fc.constantFrom("s1", "s2", null), team: fc.constantFrom("payments", null) });
    fc.assert(
      fc.property(fc.array(outcome, { maxLength: 30 }), fc.constantFrom("all" as const, "personal_keys" as const), (outcomes, userBudget) => {
        const budgets = everyKind.filter(({ scope }) => scope !== "run:*");
        const grown = createLedger(createBudgetBook(budgets, userBudget));
        const again = createLedger(createBudgetBook(budgets, userBudget));
        for (const [index, { payer, cost, end, session, team }] of outcomes.entries()) {
          const who: Spender = { ...spender, sessionId: session, teamId: team, ...(payer === "client" ? { payer } : {}) };
          const hold = admitted(grown, `att${index}`, 0.5, who);
          if (end === "release") grown.release(hold);
          else if (end === "settle") grown.settle(hold, cost, "reported", payer);
          else grown.abandon(hold, payer);
          if (end !== "release") again.restore({ spender: { ...who, payer }, dispatchedAtMs: nowMs, amountNanoUsd: end === "settle" ? cost : usd(0.5), source: end === "settle" ? "reported" : "unresolved" });
        }
        expect(settledOf(grown)).toEqual(settledOf(again));
      }),
      { numRuns: 100 },
    );
  });
});

describe("a user's budget", () => {
  it("binds all of a user's keys, or those without a team only", () => {
    const personal: Spender = { ...spender, teamId: null };
    for (const [userBudget, withTeam] of [["all", ["user:ann"]], ["personal_keys", []]] as const) {
      const ledger = createLedger(createBudgetBook([budget("user:ann", 1)], userBudget));
      expect(short(ledger, 2)).toEqual(withTeam);
      expect(short(ledger, 2, personal)).toEqual(["user:ann"]);
    }
  });

  it("that comes from the whole gateway is none of a key with a team either; a team's own for its members is", () => {
    const book = createBudgetBook([budget("global", 1, { per: "member" }), budget("team:payments", 3, { per: "member" })], "personal_keys");
    expect(book.bindings(spender).map(({ scope }) => scope)).toEqual(["team_user:payments/ann"]);
  });
});

describe("a key's budget for each run", () => {
  const withRuns = (amount: string, book = createBudgetBook([])): Ledger => {
    const ledger = createLedger(book);
    ledger.setOwn("key:key_a", keyBudgets({ ...key, runBudgetUsd: amount }), []);
    return ledger;
  };

  it("binds each run by itself, and no other key's", () => {
    const ledger = withRuns("1");
    ledger.settle(admitted(ledger, "att1", 0.9), usd(1), "reported");
    expect(short(ledger, 0.1)).toEqual(["run:key_a/s1"]);
    expect(short(ledger, 0.1, { ...spender, sessionId: "s2" })).toEqual([]);
    expect(short(ledger, 5, { ...spender, keyId: "key_b" })).toEqual([]);
  });

  it("stands beside the key's own, comes before one for every run, and of nothing lets nothing through", () => {
    const book = createBudgetBook([budget("run:*", 100)]);
    const ledger = createLedger(book);
    ledger.setOwn("key:key_a", keyBudgets({ ...key, maxBudgetUsd: "3", runBudgetUsd: "2" }), []);
    expect(short(ledger, 2.5)).toEqual(["run:key_a/s1"]);
    expect(short(ledger, 3.5)).toEqual(["key:key_a", "run:key_a/s1"]);
    expect(short(ledger, 3.5, { ...spender, keyId: "key_b" })).toEqual([]);
    expect(short(withRuns("0"), 0)).toEqual(["run:key_a/s1"]);
  });

  it("has no room for a call that names no run, and says how to name one", () => {
    const ledger = withRuns("5");
    const decision = ledger.admit("att", { ...spender, sessionId: null }, [demand(0.1)], nowMs);
    expect(decision.isAdmitted).toBe(false);
    if (decision.isAdmitted) return;
    expect(refusalText(decision.shortages, { nowMs, nameOf: () => undefined, openModels: [], requestId: "req_1" })).toBe("Each run of this key has a budget of $5, and this call says to which it belongs in no header: send x-claude-code-session-id. Ref req_1");
  });

  it("that changes while a run is under way counts what the run has spent and holds", async () => {
    const rows: Spent[] = [];
    const ledger = createLedger(createBudgetBook([]), { readSpent: async () => rows });
    ledger.setOwn("key:key_a", keyBudgets({ ...key, runBudgetUsd: "10" }), []);
    await ledger.recall(spender, nowMs);
    const running = admitted(ledger, "att1", 1);
    const ended = admitted(ledger, "att2", 1);
    ledger.settle(ended, usd(2), "reported");
    rows.push({ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(2), source: "reported" });
    ledger.setOwn("key:key_a", keyBudgets({ ...key, runBudgetUsd: "3.5" }), []);
    await ledger.recall(spender, nowMs);
    expect(short(ledger, 0.5)).toEqual([]);
    expect(short(ledger, 0.6)).toEqual(["run:key_a/s1"]);
    ledger.settle(running, usd(0.25), "reported");
    expect(short(ledger, 1.25)).toEqual([]);
    ledger.setOwn("key:key_a", keyBudgets(key), []);
    expect(short(ledger, 100)).toEqual([]);
  });
});

describe("sessions and runs, of which there is no end", () => {
  /** The journal's rows, and a reader of them that answers when it is told to. */
  const store = () => {
    const rows: Spent[] = [];
    let reads = 0;
    return { rows, reads: () => reads, readSpent: async (scope: Scope): Promise<readonly Spent[]> => ((reads += 1), rows.filter(({ spender: who }) => scope.endsWith(who.sessionId ?? "-"))) };
  };

  it("are forgotten beyond a number of them, and known again when they come back", async () => {
    const { rows, reads, readSpent } = store();
    const ledger = createLedger(createBudgetBook([budget("session:*", 2)]), { readSpent, recalledMax: 10 });
    const call = async (sessionId: string, cost: number): Promise<boolean> => {
      const who = { ...spender, sessionId };
      for (let reading = ledger.recall(who, nowMs); reading !== undefined; reading = ledger.recall(who, nowMs)) await reading;
      const decision = ledger.admit(`${sessionId} ${rows.length}`, who, [demand(cost)], nowMs);
      if (!decision.isAdmitted) return false;
      ledger.settle(decision.hold, usd(cost), "reported");
      rows.push({ spender: who, dispatchedAtMs: nowMs, amountNanoUsd: usd(cost), source: "reported" });
      return true;
    };
    for (let index = 0; index < 500; index++) expect(await call(`s${index}`, 1.5)).toBe(true);
    expect(ledger.balances(nowMs).length).toBeLessThanOrEqual(11);
    for (const index of [0, 250, 499]) expect(await call(`s${index}`, 0.6)).toBe(false);
    expect(await call("s0", 0.5)).toBe(true);
    const before = reads();
    expect(await call("s0", 0.1)).toBe(false);
    expect(reads()).toBe(before);
  });

  it("are not forgotten while a call of theirs runs, and cost no memory for calls that come to nothing", async () => {
    const ledger = createLedger(createBudgetBook([budget("session:*", 2), budget("end_user:*", 2), budget("model:*", 2)]), { readSpent: async () => [], recalledMax: 2 });
    const running = admitted(ledger, "long", 1.5, { ...spender, sessionId: "long" });
    for (let index = 0; index < 100; index++) {
      const who = { ...spender, sessionId: `s${index}`, endUserId: `e${index}`, model: `claude-${index}` };
      await ledger.recall(who, nowMs);
      ledger.release(admitted(ledger, `att${index}`, 0.1, who));
    }
    expect(ledger.balances(nowMs).length).toBeLessThan(8);
    expect(short(ledger, 1, { ...spender, sessionId: "long", endUserId: null, model: "x" })).toEqual(["session:long"]);
    ledger.settle(running, usd(0), "reported");
  });

  it("that operators do not name either, like end users, go when their windows are over and there are many", () => {
    const ledger = createLedger(createBudgetBook([budget("end_user:*", 2, { window: windowOf("day") })]));
    const callOf = (endUserId: string, atMs: number): void => {
      const decision = ledger.admit(endUserId, { ...spender, endUserId }, [demand(0.1)], atMs);
      if (decision.isAdmitted) ledger.settle(decision.hold, usd(0.1), "reported");
    };
    for (let index = 0; index < 9_999; index++) callOf(`e${index}`, nowMs);
    const laterMs = nowMs + 3 * 86_400_000;
    for (let index = 0; index < 3; index++) callOf(`late${index}`, laterMs);
    expect(ledger.balances(laterMs).length).toBeLessThan(5);
  });

  it("count what ends while they are being read exactly once", async () => {
    let answer: ((spent: readonly Spent[]) => void) | undefined;
    const ledger = createLedger(createBudgetBook([budget("global", 100)]), { readSpent: () => new Promise((resolve) => (answer = resolve)) });
    const early = admitted(ledger, "early", 1);
    const late = admitted(ledger, "late", 1);
    const still = admitted(ledger, "still", 1);
    ledger.settle(early, usd(1), "reported");
    ledger.setOwn("key:key_a", keyBudgets({ ...key, runBudgetUsd: "10" }), []);
    const known = ledger.recall(spender, nowMs)!;
    const again = ledger.recall(spender, nowMs)!;
    ledger.settle(late, usd(2), "reported");
    answer!([{ spender, dispatchedAtMs: nowMs, amountNanoUsd: usd(1), source: "reported" }]);
    await Promise.all([known, again]);
    expect(ledger.recall(spender, nowMs)).toBeUndefined();
    expect(ledger.balances(nowMs).find(({ scope }) => scope === "run:key_a/s1")).toMatchObject({ settled: usd(3), held: usd(1) });
    ledger.settle(still, usd(0.5), "reported");
    expect(ledger.balances(nowMs).find(({ scope }) => scope === "run:key_a/s1")).toMatchObject({ settled: usd(3.5), held: 0n });
  });

  it("stay unknown when they cannot be read, so that the next call asks again", async () => {
    let isDown = true;
    const ledger = createLedger(createBudgetBook([budget("session:*", 2)]), { readSpent: () => (isDown ? Promise.reject(new Error("down")) : Promise.resolve([])) });
    await expect(ledger.recall(spender, nowMs)).rejects.toThrow("down");
    isDown = false;
    await ledger.recall(spender, nowMs);
    expect(ledger.recall(spender, nowMs)).toBeUndefined();
  });
});
