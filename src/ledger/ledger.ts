/**
 * Decides whether there is room for an attempt under every budget that binds it, and keeps room for it until its cost is known.
 * Pure: integers, no clock, no store. All of one decision happens without a pause, so no two calls can take the same room. What it
 * knows is a function of the attempts' rows, from which it is made again at each start.
 */
import { recalledBalancesMax } from "../kernel/bounds.ts";
import type { Balance, AmountSource, SpanSums } from "./balance.ts";
import { Balances, isRecalled } from "./balances.ts";
import type { BookChange, Budget, BudgetBook } from "./budget.ts";
import { giveBack, isStrict, keep, lateLine, linesThatStay, moveHold } from "./hold-lines.ts";
import { createRecall, type ReadSpent } from "./recall.ts";
import { countsUnder, idOf, kindOf, type Payer, type Scope, type Spender } from "./scope.ts";

/** What an attempt may cost, nano-USD. */
export interface Demand {
  /** Held by incremental budgets. */
  readonly expected: bigint;
  /** How much more it costs if the prompt cache it counts on is cold; room is kept for it within the overrun until the provider has reported. */
  readonly risk: bigint;
  /** More than is likely to be needed, and taken only while the budget has plenty. */
  readonly isAmple?: boolean;
  /** The most it can cost, held by strict budgets, or why there is no such bound. Asked for only where such a budget binds. */
  bound(): bigint | BoundGap;
}

/**
 * Why a call has no upper bound: no price, no `max_tokens`, models or rounds of its own choice, tools of the provider's without a bound; or
 * no run to which what it costs belongs, where each run has a cap.
 */
export type BoundGap = "price" | "max_tokens" | "further_runs" | "server_tool" | "run";

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
  /** What incremental budgets hold, and what it counts for there if nothing more is ever heard of it. A reply that costs more has to ask for room. */
  amount: bigint;
  /** The same under strict budgets; 0 where none binds. */
  strictAmount: bigint;
}

/** An amount of an attempt that has ended. */
export interface Spent {
  readonly spender: Spender;
  readonly dispatchedAtMs: number;
  /** Nano-USD; may be negative for a correction. */
  readonly amountNanoUsd: bigint;
  /** What it counts for under strict budgets; absent: the same. */
  readonly strictNanoUsd?: bigint;
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
  /**
   * Puts the budgets of another configuration in force. Under every budget that is then there is counted anew what `read` gives, and what
   * ends meanwhile; calls that run keep their room, under the budgets that bind them then. When it rejects, nothing has changed.
   *
   * @param read what counts of attempts that have ended, as far back as the windows of these budgets reach; all that was given to the
   *   journal before the call must be in it, and nothing that is given later
   */
  reconfigure(change: BookChange, read: (budgets: readonly Budget[]) => Promise<readonly Spent[]>): Promise<void>;
  /** Scopes to which {@link Ledger.setOwn} gave budgets that they still have. */
  ownScopes(): readonly Scope[];
  /** Whether a spender's money counts under a scope. */
  includes(scope: Scope, spender: Spender): boolean;
  /** Whether any budget binds; where none does, there is nothing to ask for. */
  isBound(spender: Spender): boolean;
  /** Whether a budget binds that may refuse. */
  isCapped(spender: Spender): boolean;
  /**
   * What sessions and runs have spent is read when a call of theirs comes: undefined when everything is known that {@link Ledger.admit}
   * asks for; otherwise ask again when it resolves. Rejects as the reading does.
   */
  recall(spender: Spender, nowMs: number): Promise<void> | undefined;
  /**
   * Room under every budget, or none under any.
   *
   * @param demands at least one; the first that fits is taken, so a careful one may be followed by one that is just enough
   */
  admit(attemptId: string, spender: Spender, demands: readonly Demand[], nowMs: number): Decision;
  /**
   * Raises what is held to `needed` where it is less, within the overrun of budgets that let replies finish.
   *
   * @param wanted held instead where there is room for it, so that a reply does not ask at each event
   * @returns the budget that has no room for it; it is held all the same, and the reply must be cut
   */
  raise(hold: Hold, needed: bigint, wanted?: bigint): Shortage | undefined;
  /** An estimate has given way to a report: what is held becomes `needed`, more or less. Strict budgets keep their bound; otherwise as `raise`. */
  trueUp(hold: Hold, needed: bigint): Shortage | undefined;
  /** Ends a hold with what the attempt cost. A second end is ignored. @param payer where that was not known before; absent: the spender's */
  settle(hold: Hold, cost: bigint, source: AmountSource, payer?: Payer): void;
  /** Ends a hold of an attempt whose cost nobody knows: it counts at what is held for it. */
  abandon(hold: Hold, payer?: Payer): void;
  /** Ends a hold of an attempt that cost nothing. */
  release(hold: Hold): void;
  /** Adds what was spent before this process, or an adjusting entry. */
  restore(spent: Spent): void;
  /** What is spent and held now, under budgets of one scope each, and of scopes that have spent under budgets of many. */
  balances(nowMs: number): readonly BalanceState[];
  /** Of the budgets that bind a spender, in the order of its scopes; for sessions and runs only after {@link Ledger.recall}. */
  balancesOf(spender: Spender, nowMs: number): readonly BalanceState[];
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

/** How a ledger knows what sessions and runs have spent. */
export interface LedgerOptions {
  /** Absent: they have spent nothing before this process. */
  readonly readSpent?: ReadSpent;
  /** Sessions and runs that are known while no call of theirs runs. */
  readonly recalledMax?: number;
}

export function createLedger(book: BudgetBook, { readSpent, recalledMax = recalledBalancesMax }: LedgerOptions = {}): Ledger {
  const balances = new Balances(recalledMax);
  const open = new Map<string, Hold>();
  /** What has ended since a reading of the rows began, one list for each. */
  const lateLists = new Set<Spent[]>();

  /** Lets a budget count a call that it did not bind when it was sent. */
  const joinLate = (hold: Hold, own: readonly Balance[]): void => {
    const risk = hold.lines.reduce((most, line) => (line.risk > most ? line.risk : most), 0n);
    const missing = own.filter((balance) => !hold.lines.some((line) => line.balance === balance));
    hold.lines.push(...missing.map((balance) => lateLine(balance, hold, risk)));
  };
  const recall = createRecall({
    book,
    balances,
    readSpent,
    fill(scope, own, spent) {
      for (const each of spent) if (book.includes(scope, each.spender)) for (const balance of own) addSpent(balance, each);
      for (const hold of open.values()) if (book.includes(scope, hold.spender)) joinLate(hold, own);
    },
  });
  const end = (hold: Hold, payer: Payer | undefined, spent: Omit<Spent, "spender" | "dispatchedAtMs">): void => {
    if (!open.delete(hold.attemptId)) return;
    for (const line of hold.lines) {
      giveBack(line);
      if (countsUnder(payer, kindOf(line.balance.scope))) addTo(line.sums, amountFor(line.balance, spent), spent.source);
    }
    noteEnded({ spender: withPayer(hold.spender, payer), dispatchedAtMs: hold.heldSinceMs, ...spent });
  };
  const noteEnded = (spent: Spent): void => {
    recall.note(spent);
    for (const late of lateLists) late.push(spent);
  };

  return {
    setOwn(scope, budgets, spent) {
      const before = new Set(balances.values());
      book.setOwn(scope, budgets);
      const own = budgets.filter(({ per }) => per === "pool").map((budget) => balances.of({ budget, scope }, 0));
      // One that stops binding hears of nothing more, so it must not come back with what it knew; runs are known again when they are asked for.
      const isStale = (balance: Balance): boolean => (balance.scope === scope && !own.includes(balance)) || isRunOf(balance.scope, scope);
      balances.drop(isStale);
      const added = own.filter((balance) => !before.has(balance));
      for (const each of spent) if (book.includes(scope, each.spender)) for (const balance of added) addSpent(balance, each);
      for (const hold of open.values()) {
        if (!book.includes(scope, hold.spender)) continue;
        // What the scope's earlier budgets kept is theirs no more, and cuts no reply.
        for (const line of hold.lines) if (isStale(line.balance)) giveBack(line);
        joinLate(hold, own);
        hold.lines.splice(0, Infinity, ...hold.lines.filter((line) => !isStale(line.balance)));
      }
    },
    async reconfigure(change, read) {
      const late: Spent[] = [];
      lateLists.add(late);
      try {
        const spent = await read([...book.all(), ...change.budgets, ...[...change.own.values()].flat()]);
        book.configure(change);
        recall.forget();
        // What is known of sessions and runs whose calls run would have to be read again, and nobody asks before their next call.
        const kept = new Set([...open.values()].flatMap((hold) => linesThatStay(hold, book)).map(({ balance }) => balance));
        balances.reset((balance) => readSpent === undefined || kept.has(balance));
        for (const each of [...spent, ...late]) for (const binding of book.bindings(each.spender)) if (!isRecalled(binding.scope)) addSpent(balances.of(binding, each.dispatchedAtMs), each);
        for (const hold of open.values()) moveHold(hold, book.bindings(hold.spender).filter((binding) => !isRecalled(binding.scope) || balances.has(binding)).map((binding) => balances.of(binding, hold.heldSinceMs)));
      } finally {
        lateLists.delete(late);
      }
    },
    isBound: (spender) => book.bindings(spender).length > 0,
    ownScopes: () => book.ownScopes(),
    includes: (scope, spender) => book.includes(scope, spender),
    isCapped: (spender) => book.bindings(spender).some(({ budget }) => budget.mode !== "advisory"),
    recall: (spender, nowMs) => recall.of(spender, nowMs),
    admit(attemptId, spender, demands, nowMs) {
      const bound = book.bindings(spender).map((binding) => balances.of(binding, nowMs));
      let shortages: readonly Shortage[] = [];
      for (const demand of demands) {
        shortages = bound.flatMap((balance) => shortageOf(balance, demand, nowMs) ?? []);
        if (shortages.length > 0) continue;
        const lines = bound.map((balance) => lineOf(balance, demand, nowMs));
        const strictAmount = lines.find(isStrict)?.held ?? 0n;
        const hold: Hold = { attemptId, spender, heldSinceMs: nowMs, lines, amount: demand.expected, strictAmount };
        open.set(attemptId, hold);
        return { isAdmitted: true, hold };
      }
      return { isAdmitted: false, shortages };
    },
    raise(hold, needed, wanted = needed) {
      if (!open.has(hold.attemptId)) return undefined;
      const most = needed > hold.amount ? needed : hold.amount;
      return change(hold, wanted > most && hasRoom(hold, wanted) ? wanted : most);
    },
    trueUp(hold, needed) {
      if (!open.has(hold.attemptId)) return undefined;
      for (const line of hold.lines) {
        line.sums.atRisk -= line.risk;
        line.risk = 0n;
      }
      return change(hold, needed);
    },
    settle: (hold, cost, source, payer = hold.spender.payer) => end(hold, payer, { amountNanoUsd: cost, source }),
    abandon: (hold, payer = hold.spender.payer) => end(hold, payer, { amountNanoUsd: hold.amount, strictNanoUsd: hold.strictAmount, source: "unresolved" }),
    release(hold) {
      if (!open.delete(hold.attemptId)) return;
      for (const line of hold.lines) {
        giveBack(line);
        balances.released(line.balance);
      }
    },
    restore(spent) {
      noteEnded(spent);
      // A session or run that is not known is read from the rows, in which this is.
      for (const binding of book.bindings(spent.spender)) if (!isRecalled(binding.scope) || readSpent === undefined || balances.has(binding)) addSpent(balances.of(binding, spent.dispatchedAtMs), spent);
    },
    balances(nowMs) {
      const unspent = book.named().filter((binding) => !isRecalled(binding.scope) && !balances.has(binding));
      return [...balances.values(), ...unspent.map((binding) => balances.peek(binding))].map((balance) => stateOf(balance, nowMs));
    },
    balancesOf: (spender, nowMs) => book.bindings(spender).map((binding) => stateOf(balances.peek(binding), nowMs)),
    holds: () => [...open.values()],
    holdOf: (attemptId) => open.get(attemptId),
  };
}

function isRunOf(scope: Scope, key: Scope): boolean {
  return kindOf(key) === "key" && scope.startsWith(`run:${idOf(key)}/`);
}

function withPayer(spender: Spender, payer: Payer | undefined): Spender {
  return payer === spender.payer || payer === undefined ? spender : { ...spender, payer };
}

function neededBy({ budget, scope }: Balance, demand: Demand): bigint | BoundGap {
  if (scope.endsWith("/") && kindOf(scope) === "run") return "run";
  return budget.mode === "strict" ? demand.bound() : demand.expected;
}

/** A strict budget holds the cold price already. */
function riskFor({ budget }: Balance, demand: Demand): bigint {
  return budget.mode === "strict" ? 0n : demand.risk;
}

/** What an ample demand leaves: as money grows scarce, calls get no more than they are likely to need, so that more of them find room. */
function reserveOf({ mode, amountNanoUsd }: Budget, { isAmple = false }: Demand): bigint {
  return isAmple && mode === "incremental" ? amountNanoUsd / 4n : 0n;
}

function shortageOf(balance: Balance, demand: Demand, nowMs: number): Shortage | undefined {
  const { budget } = balance;
  if (budget.mode === "advisory") return undefined;
  const { settled, held, atRisk } = balance.used(nowMs);
  const needed = neededBy(balance, demand);
  if (typeof needed === "string" || budget.amountNanoUsd === 0n) return shortage(balance, needed, nowMs);
  const risk = riskFor(balance, demand);
  const total = settled + held + needed + reserveOf(budget, demand);
  // If everything that may turn out dearer does, all of it together must still be within the overrun.
  const fits = total <= budget.amountNanoUsd && total + atRisk + risk <= budget.amountNanoUsd + budget.overrunMaxNanoUsd;
  return fits ? undefined : shortage(balance, needed, nowMs);
}

function shortage(balance: Balance, needed: bigint | BoundGap, nowMs: number): Shortage {
  const { settled, held } = balance.used(nowMs);
  return { budget: balance.budget, scope: balance.scope, settled, held, needed, endMs: balance.at(nowMs).span.endMs };
}

function lineOf(balance: Balance, demand: Demand, nowMs: number): Line {
  const needed = neededBy(balance, demand);
  return keep({ balance, sums: balance.at(nowMs), held: typeof needed === "string" ? 0n : needed, risk: riskFor(balance, demand) });
}

/** What a line grows by; strict ones give nothing back. */
function growthOf(line: Line, needed: bigint): bigint {
  return isStrict(line) && line.held > needed ? 0n : needed - line.held;
}

/** Whether each budget has room for more of a running reply: in the window to which the amount belongs, even if it has ended. */
function hasRoom({ lines, heldSinceMs }: Hold, needed: bigint): boolean {
  return lines.every((line) => isWithin(line, growthOf(line, needed), heldSinceMs));
}

function isWithin({ balance }: Line, more: bigint, heldSinceMs: number): boolean {
  const { amountNanoUsd, overrunMaxNanoUsd, mode } = balance.budget;
  const { settled, held, atRisk } = balance.used(heldSinceMs);
  return more <= 0n || mode === "advisory" || settled + held + atRisk + more <= amountNanoUsd + overrunMaxNanoUsd;
}

/** Gives each line its new amount; the first budget that this takes beyond its overrun is told. */
function change(hold: Hold, needed: bigint): Shortage | undefined {
  let found: Shortage | undefined;
  hold.amount = needed;
  for (const line of hold.lines) {
    const more = growthOf(line, needed);
    if (found === undefined && !isWithin(line, more, hold.heldSinceMs)) found = shortage(line.balance, more, hold.heldSinceMs);
    line.sums.held += more;
    line.held += more;
    if (isStrict(line)) hold.strictAmount = line.held;
  }
  return found;
}

function addTo(sums: SpanSums, amount: bigint, source: AmountSource): void {
  sums.settled += amount;
  if (source === "estimated") sums.estimated += amount;
  if (source === "unresolved") sums.unresolved += amount;
}

function addSpent(balance: Balance, spent: Spent): void {
  addTo(balance.at(spent.dispatchedAtMs), amountFor(balance, spent), spent.source);
}

function amountFor({ budget }: Balance, { amountNanoUsd, strictNanoUsd }: Pick<Spent, "amountNanoUsd" | "strictNanoUsd">): bigint {
  return budget.mode === "strict" ? (strictNanoUsd ?? amountNanoUsd) : amountNanoUsd;
}

function stateOf(balance: Balance, nowMs: number): BalanceState {
  const { settled, held, estimated, unresolved } = balance.used(nowMs);
  return { budget: balance.budget, scope: balance.scope, settled, held, estimated, unresolved, endMs: balance.at(nowMs).span.endMs };
}
