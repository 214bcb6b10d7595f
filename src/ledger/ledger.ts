/**
 * Decides whether there is room for an attempt under every budget that binds it, and keeps room for it until its cost is known.
 * Pure: integers, no clock, no store. All of one decision happens without a pause, so no two calls can take the same room. What it
 * knows is a function of the attempts' rows, from which it is made again at each start.
 */
import { assert } from "../kernel/assert.ts";
import { Balance, type AmountSource, type SpanSums } from "./balance.ts";
import type { Binding, Budget, BudgetBook } from "./budget.ts";
import { kindOf, membershipsOf, type Scope, type Spender } from "./scope.ts";

/** What an attempt may cost, nano-USD. */
export interface Demand {
  /** Held by incremental budgets. */
  readonly expected: bigint;
  /** How much more it costs if the prompt cache it counts on is cold; must fit within the overrun until the provider has reported. */
  readonly risk: bigint;
  /** The most it can cost, held by strict budgets, or why there is no such bound. Asked for only where such a budget binds. */
  bound(): bigint | BoundGap;
}

/** Why a call has no upper bound: no price, no `max_tokens`, models or rounds of its own choice, tools of the provider's without a bound. */
export type BoundGap = "price" | "max_tokens" | "further_runs" | "server_tool";

/** Room kept for one attempt under one budget. */
export interface Line {
  readonly balance: Balance;
  /** Of the window open at dispatch, to which the amount belongs whenever it is settled. */
  readonly sums: SpanSums;
  held: bigint;
  risk: bigint;
}

/** Room kept for one attempt. */
export interface Hold {
  readonly attemptId: string;
  readonly spender: Spender;
  readonly heldSinceMs: number;
  readonly lines: Line[];
  /** The largest of its lines: what it counts for if nothing more is ever heard of it. */
  amount: bigint;
}

/** An amount of an attempt that has ended. */
export interface Spent {
  readonly spender: Spender;
  readonly dispatchedAtMs: number;
  /** Nano-USD; may be negative for a correction. */
  readonly amountNanoUsd: bigint;
  readonly source: AmountSource;
}

/** A budget without room. */
export interface Shortage {
  readonly budget: Budget;
  readonly scope: Scope;
  /** Nano-USD. */
  readonly settled: bigint;
  readonly held: bigint;
  /** Under a strict budget, why this call has no upper bound. */
  readonly needed: bigint | BoundGap;
  /** When its window, or the oldest part of a sliding one, ends; null for never. */
  readonly endMs: number | null;
}

export type Decision = { readonly isAdmitted: true; readonly hold: Hold } | { readonly isAdmitted: false; readonly shortages: readonly Shortage[] };

export interface Ledger {
  /**
   * Gives a scope budgets of its own, from now on, in place of earlier ones of its own. What was spent under those that stay in
   * the same window is known; for others it is read from `spent`, and calls that run count from now on.
   *
   * @param spent everything that counts of attempts that have ended, as far back as the budgets' windows reach
   */
  setOwn(scope: Scope, budgets: readonly Budget[], spent: readonly Spent[]): void;
  /** Whether any budget binds; where none does, there is nothing to ask for. */
  isBound(spender: Spender): boolean;
  /**
   * Room under every budget, or none under any.
   *
   * @param demands at least one; the first that fits is taken, so a careful one may be followed by one that is just enough
   */
  admit(attemptId: string, spender: Spender, demands: readonly Demand[], nowMs: number): Decision;
  /**
   * Raises what is held to `needed` where it is less, within the overrun of budgets that let replies finish.
   *
   * @returns the budget that has no room for it; it is held all the same, and the reply must be cut
   */
  raise(hold: Hold, needed: bigint, nowMs: number): Shortage | undefined;
  /** An estimate has given way to a report: what is held becomes `needed`, more or less. Strict budgets keep their bound; otherwise as `raise`. */
  trueUp(hold: Hold, needed: bigint, nowMs: number): Shortage | undefined;
  /** Ends a hold with what the attempt cost. A second end is ignored. */
  settle(hold: Hold, cost: bigint, source: AmountSource): void;
  /** Ends a hold of an attempt that cost nothing. */
  release(hold: Hold): void;
  /** Adds what was spent before this process, or an adjusting entry. */
  restore(spent: Spent): void;
  /** Of a budget, or of all: what is spent and held now. */
  balances(nowMs: number): readonly BalanceState[];
  holds(): readonly Hold[];
  /** Of an attempt that runs; undefined where no budget binds it. */
  holdOf(attemptId: string): Hold | undefined;
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
  const balances = new Map<string, Balance>();
  const open = new Map<string, Hold>();

  /** One for each budget and scope; a budget that gets another window begins a new one. */
  const balanceOf = (binding: Binding): Balance => {
    const { budget, scope } = binding;
    const id = `${budget.id} ${budget.window.key} ${scope}`;
    let balance = balances.get(id);
    if (balance === undefined) {
      balance = new Balance(binding);
      balances.set(id, balance);
    }
    balance.budget = budget;
    return balance;
  };

  return {
    setOwn(scope, budgets, spent) {
      const before = new Set(balances.values());
      book.setOwn(scope, budgets);
      const added = new Set(budgets.map((budget) => balanceOf({ budget, scope })).filter((balance) => !before.has(balance)));
      if (added.size === 0) return;
      const kinds = new Set([kindOf(scope)]);
      const belongs = (spender: Spender): boolean => membershipsOf(spender, kinds).some((membership) => membership.scope === scope);
      for (const each of spent.filter(({ spender }) => belongs(spender))) for (const balance of added) addTo(balance.at(each.dispatchedAtMs), each.amountNanoUsd, each.source);
      for (const hold of open.values()) {
        if (!belongs(hold.spender)) continue;
        for (const balance of added) {
          const sums = balance.at(hold.heldSinceMs);
          sums.held += hold.amount;
          sums.holds++;
          hold.lines.push({ balance, sums, held: hold.amount, risk: 0n });
        }
      }
    },
    isBound: (spender) => book.bindings(spender).length > 0,
    admit(attemptId, spender, demands, nowMs) {
      const bound = book.bindings(spender).map(balanceOf);
      let shortages: readonly Shortage[] = [];
      for (const demand of demands) {
        shortages = bound.flatMap((balance) => shortageOf(balance, demand, nowMs) ?? []);
        if (shortages.length > 0) continue;
        const hold = holdFor({ attemptId, spender, heldSinceMs: nowMs, lines: bound.map((balance) => lineOf(balance, demand, nowMs)), amount: demand.expected });
        open.set(attemptId, hold);
        return { isAdmitted: true, hold };
      }
      return { isAdmitted: false, shortages };
    },
    raise(hold, needed, nowMs) {
      if (!open.has(hold.attemptId)) return undefined;
      return change(hold, nowMs, (line) => (needed > line.held ? needed : line.held));
    },
    trueUp(hold, needed, nowMs) {
      if (!open.has(hold.attemptId)) return undefined;
      for (const line of hold.lines) {
        line.sums.atRisk -= line.risk;
        line.risk = 0n;
      }
      return change(hold, nowMs, (line) => (line.balance.budget.mode === "strict" && line.held > needed ? line.held : needed));
    },
    settle(hold, cost, source) {
      if (!open.delete(hold.attemptId)) return;
      for (const line of hold.lines) {
        giveBack(line);
        addTo(line.sums, cost, source);
      }
    },
    release(hold) {
      if (open.delete(hold.attemptId)) for (const line of hold.lines) giveBack(line);
    },
    restore({ spender, dispatchedAtMs, amountNanoUsd, source }) {
      for (const binding of book.bindings(spender)) addTo(balanceOf(binding).at(dispatchedAtMs), amountNanoUsd, source);
    },
    balances: (nowMs) => [...balances.values()].map((balance) => stateOf(balance, nowMs)),
    holds: () => [...open.values()],
    holdOf: (attemptId) => open.get(attemptId),
  };
}

function neededBy({ budget }: Balance, demand: Demand): bigint | BoundGap {
  return budget.mode === "strict" ? demand.bound() : demand.expected;
}

/** A strict budget holds the cold price already. */
function riskFor({ budget }: Balance, demand: Demand): bigint {
  return budget.mode === "strict" ? 0n : demand.risk;
}

function shortageOf(balance: Balance, demand: Demand, nowMs: number): Shortage | undefined {
  const { budget } = balance;
  const { settled, held, atRisk } = balance.used(nowMs);
  const needed = neededBy(balance, demand);
  if (typeof needed === "string" || budget.amountNanoUsd === 0n) return shortage(balance, needed, nowMs);
  const risk = riskFor(balance, demand);
  const total = settled + held + needed;
  // What may turn out dearer shares the overrun with running replies; without any risk of its own, a call adds none to it.
  const fits = total <= budget.amountNanoUsd && (risk === 0n || total + atRisk + risk <= budget.amountNanoUsd + budget.overrunMaxNanoUsd);
  return fits ? undefined : shortage(balance, needed, nowMs);
}

function shortage(balance: Balance, needed: bigint | BoundGap, nowMs: number): Shortage {
  const { settled, held } = balance.used(nowMs);
  return { budget: balance.budget, scope: balance.scope, settled, held, needed, endMs: balance.at(nowMs).span.endMs };
}

function lineOf(balance: Balance, demand: Demand, nowMs: number): Line {
  const needed = neededBy(balance, demand);
  const held = typeof needed === "string" ? 0n : needed;
  const risk = riskFor(balance, demand);
  const sums = balance.at(nowMs);
  sums.held += held;
  sums.atRisk += risk;
  sums.holds++;
  return { balance, sums, held, risk };
}

function holdFor(hold: Hold): Hold {
  for (const line of hold.lines) if (line.held > hold.amount) hold.amount = line.held;
  return hold;
}

/** Gives each line its new amount; the first budget that this takes beyond its overrun is told. */
function change(hold: Hold, nowMs: number, heldBy: (line: Line) => bigint): Shortage | undefined {
  let found: Shortage | undefined;
  hold.amount = 0n;
  for (const line of hold.lines) {
    const more = heldBy(line) - line.held;
    line.sums.held += more;
    line.held += more;
    if (line.held > hold.amount) hold.amount = line.held;
    if (more <= 0n || found !== undefined) continue;
    const { budget } = line.balance;
    const { settled, held } = line.balance.used(nowMs);
    if (settled + held > budget.amountNanoUsd + budget.overrunMaxNanoUsd) found = shortage(line.balance, more, nowMs);
  }
  return found;
}

function giveBack({ sums, held, risk }: Line): void {
  sums.held -= held;
  sums.atRisk -= risk;
  sums.holds--;
  assert(sums.held >= 0n && sums.atRisk >= 0n && sums.holds >= 0, "more was given back than was held");
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
