/**
 * Decides whether there is room for an attempt under every budget that binds it, and keeps room for it until its cost is known.
 * Pure: integers, no clock, no store. All of one decision happens without a pause, so no two calls can take the same room. What it
 * knows is a function of the attempts' rows, from which it is made again at each start.
 */
import { assert } from "../kernel/assert.ts";
import { Balance, type AmountSource, type SpanSums } from "./balance.ts";
import type { Binding, Budget, BudgetBook } from "./budget.ts";
import { membershipsOf, type Scope, type Spender } from "./scope.ts";

/** What an attempt may cost, nano-USD. */
export interface Demand {
  /** Held by incremental budgets. */
  readonly expected: bigint;
  /** The most it can cost, held by strict budgets; undefined where there is no such bound. */
  readonly bound: bigint | undefined;
}

/** Room kept for one attempt under one budget. */
interface Line {
  readonly balance: Balance;
  /** Of the window open at dispatch, to which the amount belongs whenever it is settled. */
  readonly sums: SpanSums;
  held: bigint;
}

/** Room kept for one attempt. */
export interface Hold {
  readonly attemptId: string;
  readonly spender: Spender;
  readonly heldSinceMs: number;
  readonly lines: readonly Line[];
  /** The largest of its lines: what it counts for if nothing more is ever heard of it. */
  amount: bigint;
}

/** A budget without room. */
export interface Shortage {
  readonly budget: Budget;
  readonly scope: Scope;
  /** Nano-USD. */
  readonly settled: bigint;
  readonly held: bigint;
  /** Undefined under a strict budget: this call has no upper bound. */
  readonly needed: bigint | undefined;
  /** When its window, or the oldest part of a sliding one, ends; null for never. */
  readonly endMs: number | null;
}

export type Decision = { readonly isAdmitted: true; readonly hold: Hold } | { readonly isAdmitted: false; readonly shortages: readonly Shortage[] };

export interface Ledger {
  /** Replaces the budgets. What was spent under those that stay is kept; new ones begin at what {@link Ledger.restore} tells. */
  configure(book: BudgetBook): void;
  /** Room under every budget, or none under any. */
  admit(attemptId: string, spender: Spender, demand: Demand, nowMs: number): Decision;
  /**
   * Raises what is held to `needed` where it is less. Facts, such as a provider's report of its input, are held whatever there
   * is; growth to come is held within the overrun of budgets that let replies finish.
   *
   * @returns the budget that has no room for it; the reply must be cut then
   */
  raise(hold: Hold, needed: bigint, nowMs: number): Shortage | undefined;
  /** Lowers what is held to `needed` where it is more, once an estimate has given way to a report. Strict budgets keep their bound. */
  lower(hold: Hold, needed: bigint): void;
  /** Ends a hold with what the attempt cost. A second end is ignored. */
  settle(hold: Hold, cost: bigint, source: AmountSource): void;
  /** Ends a hold of an attempt that cost nothing. */
  release(hold: Hold): void;
  /** Adds what was spent before this process, or an adjusting entry. */
  restore(spender: Spender, dispatchedAtMs: number, amount: bigint, source: AmountSource): void;
  /** Of a budget, or of all: what is spent and held now. */
  balances(nowMs: number): readonly BalanceState[];
  holds(): readonly Hold[];
}

/** One budget of one scope, for people. */
export interface BalanceState {
  readonly budget: Budget;
  readonly scope: Scope;
  readonly settled: bigint;
  readonly held: bigint;
  readonly estimated: bigint;
  readonly unresolved: bigint;
  readonly endMs: number | null;
}

export function createLedger(book: BudgetBook): Ledger {
  let current = book;
  const balances = new Map<string, Balance>();
  const open = new Map<string, Hold>();

  const balanceOf = (binding: Binding): Balance => {
    const id = `${binding.budget.id} ${binding.scope}`;
    let balance = balances.get(id);
    if (balance === undefined) {
      balance = new Balance(binding);
      balances.set(id, balance);
    }
    return balance;
  };

  return {
    configure(next) {
      current = next;
      const byId = new Map(next.budgets.map((budget) => [budget.id, budget]));
      for (const [id, balance] of balances) {
        const budget = byId.get(balance.budget.id);
        if (budget === undefined) balances.delete(id);
        else balance.budget = budget;
      }
    },
    admit(attemptId, spender, demand, nowMs) {
      const bound = current.bindings(membershipsOf(spender)).map(balanceOf);
      const shortages = bound.map((balance) => shortageOf(balance, neededBy(balance, demand), nowMs, 0n)).filter((shortage) => shortage !== undefined);
      if (shortages.length > 0) return { isAdmitted: false, shortages };
      let amount = demand.expected;
      const lines = bound.map((balance): Line => {
        const held = neededBy(balance, demand)!;
        const sums = balance.at(nowMs);
        sums.held += held;
        sums.holds++;
        if (held > amount) amount = held;
        return { balance, sums, held };
      });
      const hold: Hold = { attemptId, spender, heldSinceMs: nowMs, lines, amount };
      open.set(attemptId, hold);
      return { isAdmitted: true, hold };
    },
    raise(hold, needed, nowMs) {
      if (!open.has(hold.attemptId)) return undefined;
      let shortage: Shortage | undefined;
      for (const line of hold.lines) {
        const more = needed - line.held;
        if (more <= 0n) continue;
        shortage ??= shortageOf(line.balance, more, nowMs, line.balance.budget.overrunMaxNanoUsd);
        line.sums.held += more;
        line.held = needed;
      }
      if (needed > hold.amount) hold.amount = needed;
      return shortage;
    },
    lower(hold, needed) {
      if (!open.has(hold.attemptId)) return;
      let amount = needed;
      for (const line of hold.lines) {
        if (line.held > needed && line.balance.budget.mode === "incremental") {
          line.sums.held -= line.held - needed;
          line.held = needed;
        }
        if (line.held > amount) amount = line.held;
      }
      hold.amount = amount;
    },
    settle(hold, cost, source) {
      if (!open.delete(hold.attemptId)) return;
      for (const { sums, held } of hold.lines) {
        giveBack(sums, held);
        addTo(sums, cost, source);
      }
    },
    release(hold) {
      if (open.delete(hold.attemptId)) for (const { sums, held } of hold.lines) giveBack(sums, held);
    },
    restore(spender, dispatchedAtMs, amount, source) {
      for (const binding of current.bindings(membershipsOf(spender))) addTo(balanceOf(binding).at(dispatchedAtMs), amount, source);
    },
    balances: (nowMs) => [...balances.values()].map((balance) => stateOf(balance, nowMs)),
    holds: () => [...open.values()],
  };
}

function neededBy({ budget }: Balance, demand: Demand): bigint | undefined {
  return budget.mode === "strict" ? demand.bound : demand.expected;
}

function shortageOf(balance: Balance, needed: bigint | undefined, nowMs: number, overrun: bigint): Shortage | undefined {
  const { budget, scope } = balance;
  const { settled, held } = balance.used(nowMs);
  const isFull = needed === undefined || settled + held + needed > budget.amountNanoUsd + overrun || budget.amountNanoUsd === 0n;
  return isFull ? { budget, scope, settled, held, needed, endMs: balance.at(nowMs).span.endMs } : undefined;
}

function giveBack(sums: SpanSums, held: bigint): void {
  sums.held -= held;
  sums.holds--;
  assert(sums.held >= 0n && sums.holds >= 0, "more was given back than was held");
}

function addTo(sums: SpanSums, amount: bigint, source: AmountSource): void {
  sums.settled += amount;
  if (source === "estimated") sums.estimated += amount;
  if (source === "unresolved") sums.unresolved += amount;
}

function stateOf(balance: Balance, nowMs: number): BalanceState {
  const { settled, held } = balance.used(nowMs);
  const { span, estimated, unresolved } = balance.at(nowMs);
  return { budget: balance.budget, scope: balance.scope, settled, held, estimated, unresolved, endMs: span.endMs };
}
