/** Guarantee: while the store is down no scope of a budget has more held and spent than its share, no longer than its time, and a call goes on only if every budget that binds it says so. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nanoUsd } from "../kernel/money.ts";
import { createBudgetBook, type Budget } from "./budget.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { createOutageAllowance, type OutageAllowance } from "./outage-allowance.ts";
import type { Spender } from "./scope.ts";
import { parseWindow } from "./window-words.ts";

const atMs = Date.UTC(2026, 10, 23, 12);
const minuteMs = 60_000;
const month = parseWindow("month");
if (!("window" in month)) throw new Error(month.fault);
const { window } = month;

/** 1,000 nano-USD a month and 2 % for ten minutes, unless told otherwise. */
function budget(members: Partial<Budget>): Budget {
  return {
    id: `budget of ${members.scope ?? "global"}`,
    scope: "global",
    per: "pool",
    amountNanoUsd: nanoUsd(1_000n),
    window,
    mode: "incremental",
    onExhausted: "finish",
    overrunMaxNanoUsd: nanoUsd(100n),
    downgradeModel: undefined,
    warnAtPercent: [],
    contact: undefined,
    failOpen: { sharePpm: 20_000n, forMs: 10 * minuteMs },
    ...members,
  };
}

const spender = (members: Partial<Spender> = {}): Spender => ({
  keyId: "key_1", userId: null, teamId: null, organizationId: null, endUserId: null, project: null, tags: [], sessionId: null, model: "m", provider: "p", targetId: "t", ...members,
});

interface Setup {
  readonly ledger: Ledger;
  readonly allowance: OutageAllowance;
  /** Asks for room in the ledger, then for a part of the allowance. */
  readonly take: (attemptId: string, held: bigint, options?: { readonly by?: Spender; readonly afterMs?: number }) => boolean;
}

function setUp(budgets: readonly Budget[], unbudgetedMs = 0): Setup {
  const ledger = createLedger(createBudgetBook(budgets));
  const allowance = createOutageAllowance({ holdOf: (attemptId) => ledger.holdOf(attemptId), budgets: () => budgets, unbudgetedMs });
  return {
    ledger,
    allowance,
    take(attemptId, held, { by = spender(), afterMs = 0 } = {}) {
      if (ledger.isBound(by)) expect(ledger.admit(attemptId, by, [{ expected: held, risk: 0n, bound: () => held }], atMs)).toMatchObject({ isAdmitted: true });
      return allowance.take(attemptId, afterMs);
    },
  };
}

describe("the allowance of an outage", () => {
  it("is nothing outside an outage, and whole again in the next one", () => {
    const { allowance, take } = setUp([budget({})]);
    expect(take("a", 1n)).toBe(false);
    allowance.begin(0);
    expect([take("b", 20n), take("c", 1n)]).toEqual([true, false]);
    allowance.end();
    expect(take("d", 1n)).toBe(false);
    allowance.begin(minuteMs);
    expect(take("e", 20n, { afterMs: minuteMs })).toBe(true);
  });

  it("ends with its time, counted from the beginning of the outage, however often the store is said to fail", () => {
    const { allowance, take } = setUp([budget({ failOpen: { sharePpm: 20_000n, forMs: 5 * minuteMs } })]);
    allowance.begin(0);
    allowance.begin(4 * minuteMs);
    expect(take("a", 1n, { afterMs: 5 * minuteMs - 1 })).toBe(true);
    expect(allowance.mayTake(5 * minuteMs - 1)).toBe(true);
    expect(take("b", 1n, { afterMs: 5 * minuteMs })).toBe(false);
    expect(allowance.mayTake(5 * minuteMs)).toBe(false);
  });

  it("needs every budget that binds the call", () => {
    const { allowance, take } = setUp([budget({}), budget({ scope: "team:*", failOpen: { sharePpm: 10_000n, forMs: minuteMs } }), budget({ scope: "team:shut", failOpen: undefined } as never)]);
    allowance.begin(0);
    expect(take("alone", 1n)).toBe(true);
    expect(take("shut", 1n, { by: spender({ teamId: "shut" }) })).toBe(false);
    expect(take("blue", 10n, { by: spender({ teamId: "blue" }) })).toBe(true);
    expect(take("blue too", 1n, { by: spender({ teamId: "blue" }) })).toBe(false);
    expect(take("red", 9n, { by: spender({ teamId: "red" }) })).toBe(true);
    expect(take("global is used up", 1n)).toBe(false);
  });

  it("counts what runs at what is held for it, what has ended at its cost, and what never left not at all", () => {
    const { ledger, allowance, take } = setUp([budget({})]);
    allowance.begin(0);
    expect(take("a", 5n)).toBe(true);
    ledger.raise(ledger.holdOf("a")!, 18n);
    expect(take("b", 3n)).toBe(false);
    ledger.settle(ledger.holdOf("a")!, 2n, "reported");
    allowance.closed("a", 2n);
    allowance.closed("a", 2n);
    allowance.closed("unknown", 100n);
    expect(take("c", 18n)).toBe(true);
    allowance.giveBack("c");
    expect(take("d", 18n)).toBe(true);
    expect(take("e", 1n)).toBe(false);
  });

  it("of calls that no budget binds is a time of its own, and nothing unless it was given", () => {
    const bound = budget({ scope: "team:*" });
    const closed = setUp([bound]);
    closed.allowance.begin(0);
    expect(closed.take("a", 0n)).toBe(false);
    const open = setUp([bound], minuteMs);
    open.allowance.begin(0);
    expect([open.take("a", 0n, { afterMs: minuteMs - 1 }), open.take("b", 0n, { afterMs: minuteMs })]).toEqual([true, false]);
    expect(setUp([budget({ failOpen: undefined } as never)]).allowance.mayTake(0)).toBe(false);
  });

  it("never lets more through than the share of any scope, whatever comes in whichever order", () => {
    const step = fc.record({ team: fc.constantFrom("blue", "red"), held: fc.bigInt(0n, 15n), cost: fc.option(fc.bigInt(0n, 15n)) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { ledger, allowance, take } = setUp([budget({ amountNanoUsd: nanoUsd(100_000n), failOpen: { sharePpm: 1_000n, forMs: minuteMs } }), budget({ scope: "team:*", amountNanoUsd: nanoUsd(100_000n), failOpen: { sharePpm: 500n, forMs: minuteMs } })]);
        allowance.begin(0);
        const counted = new Map<string, bigint>();
        for (const [index, { team, held, cost }] of steps.entries()) {
          const id = `att ${index}`;
          if (!take(id, held, { by: spender({ teamId: team }) })) continue;
          // A call that ends costs at most what was held for it here, so the sum can only fall.
          const end = cost === null ? held : cost < held ? cost : held;
          for (const scope of ["global", team]) counted.set(scope, (counted.get(scope) ?? 0n) + end);
          if (cost === null) continue;
          ledger.settle(ledger.holdOf(id)!, end, "reported");
          allowance.closed(id, end);
        }
        expect((counted.get("global") ?? 0n) <= 100n && [...counted].every(([scope, sum]) => scope === "global" || sum <= 50n)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
