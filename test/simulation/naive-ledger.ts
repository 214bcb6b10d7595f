/**
 * What the ledger should say, worked out the slow way: a list of attempts, and sums over it whenever somebody asks. It stands in
 * front of the real ledger and objects to every decision that it would have made otherwise.
 */
import type { Budget } from "../../src/ledger/budget.ts";
import type { Demand, Ledger } from "../../src/ledger/ledger.ts";
import type { Payer, Scope, Spender } from "../../src/ledger/scope.ts";
import { windowAt } from "../../src/ledger/window.ts";
import { windowLabel } from "./calendar.ts";

/** A budget as it binds one scope, named by both. */
interface Account {
  readonly id: string;
  readonly budget: Budget;
  readonly scope: Scope;
}

interface Kept {
  held: bigint;
  risk: bigint;
}

/** One attempt. */
interface Entry {
  readonly spender: Spender;
  readonly atMs: number;
  /** What it is known to need, as far as it has got. */
  expected: bigint;
  /** By account, while it runs. */
  readonly kept: Map<string, Kept>;
  /** By accounts that came while it ran: what it was taken to need then. No budget that was not there bounds it. */
  readonly foundAt: Map<string, bigint>;
  payer: Payer;
  /** Once it has ended: what it counts for under a budget. */
  amount: ((account: Account) => bigint) | undefined;
}

/** An attempt's row, once it has ended. */
export interface EndedRow {
  readonly attemptId: string;
  readonly spender: Spender;
  readonly openedAtMs: number;
  readonly payer: Payer;
  readonly isUnresolved: boolean;
  /** What it counts for under incremental budgets, and under strict ones. */
  readonly amount: bigint;
  readonly strictAmount: bigint;
}

/** The most that an account may come to in any window; carried from one process to the next. */
export type Allowances = Map<string, bigint>;

export interface NaiveOptions {
  readonly budgets: readonly Budget[];
  /** Of scopes that have their own. */
  readonly own: ReadonlyMap<Scope, readonly Budget[]>;
  /** Of the store, now. */
  readonly rows: () => readonly EndedRow[];
  readonly allowances: Allowances;
  readonly nowMs: () => number;
  readonly object: (text: string) => void;
}

export class NaiveLedger {
  readonly #options: NaiveOptions;
  readonly #own: Map<Scope, readonly Budget[]>;
  readonly #entries = new Map<string, Entry>();
  refusals = 0;
  /** The most that any account came to beyond what it may, by its mode; 0 as long as the promise is kept. */
  readonly overMost = { strict: 0n, incremental: 0n };
  /** The most that any account has held. */
  heldMost = 0n;
  /** The least that the first budget of a refused caller had spent and held then. */
  usedAtRefusalLeast: bigint | undefined;

  constructor(options: NaiveOptions) {
    this.#options = options;
    this.#own = new Map(options.own);
    this.#readRows();
    for (const [scope, budgets] of this.#own) this.#allowOwn(scope, budgets);
  }

  /** A key may have been changed while no process ran: what was spent under it by then is not its new budget's fault. */
  #allowOwn(scope: Scope, budgets: readonly Budget[]): void {
    const { allowances, nowMs } = this.#options;
    for (const budget of budgets) {
      const id = accountId(budget, scope);
      const before = allowances.get(id) ?? this.#sums({ id, budget, scope }, nowMs()).settled;
      allowances.set(id, larger(before, budget.amountNanoUsd + budget.overrunMaxNanoUsd));
    }
  }

  /** The real ledger with this one looking on. */
  watch(real: Ledger): Ledger {
    return {
      ...real,
      setOwn: (scope, budgets, spent) => {
        real.setOwn(scope, budgets, spent);
        this.#setOwn(scope, budgets);
      },
      admit: (attemptId, spender, demands, nowMs) => {
        const decision = real.admit(attemptId, spender, demands, nowMs);
        this.#admit(attemptId, spender, { demands, nowMs, isAdmitted: decision.isAdmitted });
        return decision;
      },
      raise: (hold, needed, wanted = needed) => {
        const hasMore = this.#hasRoom(hold.attemptId, wanted);
        const shortage = real.raise(hold, needed, wanted);
        this.#change(hold.attemptId, { needed: hasMore ? wanted : needed, isReport: false, isShort: shortage !== undefined });
        return shortage;
      },
      trueUp: (hold, needed) => {
        const shortage = real.trueUp(hold, needed);
        this.#change(hold.attemptId, { needed, isReport: true, isShort: shortage !== undefined });
        return shortage;
      },
      settle: (hold, cost, source, payer) => {
        real.settle(hold, cost, source, payer);
        this.#settle(hold.attemptId, payer, () => cost);
      },
      abandon: (hold, payer) => {
        const kept = new Map([...(this.#entries.get(hold.attemptId)?.kept ?? [])].map(([id, { held }]) => [id, held]));
        const strict = hold.strictAmount;
        const { amount } = hold;
        real.abandon(hold, payer);
        this.#settle(hold.attemptId, payer, ({ id, budget }) => kept.get(id) ?? (budget.mode === "strict" ? larger(strict, amount) : amount));
      },
      release: (hold) => {
        real.release(hold);
        if (this.#entries.get(hold.attemptId)?.amount === undefined) this.#entries.delete(hold.attemptId);
      },
      restore: (spent) => {
        real.restore(spent);
        // It had no hold, and its row is yet to come; when that is read it must not count twice.
        const { attemptId } = spent.spender as Spender & Pick<EndedRow, "attemptId">;
        this.#entries.set(attemptId, { spender: spent.spender, payer: spent.spender.payer ?? "caller", atMs: spent.dispatchedAtMs, expected: 0n, kept: new Map(), foundAt: new Map(), amount: () => spent.amountNanoUsd });
        // Nor did any budget: what it took is nobody's fault.
        for (const { id, budget } of this.#accountsOf(spent.spender)) {
          const { allowances } = this.#options;
          allowances.set(id, larger(allowances.get(id) ?? 0n, budget.amountNanoUsd + budget.overrunMaxNanoUsd) + spent.amountNanoUsd);
        }
      },
    };
  }

  /** Whether the real one shows the same sums. */
  compare(real: Ledger, when: string): void {
    const nowMs = this.#options.nowMs();
    for (const { budget, scope, settled, held } of real.balances(nowMs)) {
      if (!this.#accountsIn(scope).some((own) => own.id === budget.id && own.window.key === budget.window.key)) continue;
      const sums = this.#sums({ id: accountId(budget, scope), budget, scope }, nowMs);
      if (sums.settled !== settled) this.#options.object(`${when}: ${scope} under ${budget.id} has settled ${settled}, by the rows ${sums.settled}`);
      if (sums.held !== held) this.#options.object(`${when}: ${scope} under ${budget.id} holds ${held}, by what runs ${sums.held}`);
    }
  }

  /** Attempts that no budget bound are known from their rows only. */
  #readRows(): void {
    for (const { attemptId, spender, openedAtMs, payer, amount, strictAmount } of this.#options.rows()) {
      if (!this.#entries.has(attemptId)) this.#entries.set(attemptId, { spender, payer, atMs: openedAtMs, expected: 0n, kept: new Map(), foundAt: new Map(), amount: ({ budget }) => (budget.mode === "strict" ? strictAmount : amount) });
    }
  }

  #accountsOf(spender: Spender): readonly Account[] {
    return scopesOf(spender).flatMap((scope) => this.#accountsIn(scope).map((budget) => ({ id: accountId(budget, scope), budget, scope })));
  }

  /** The scope's own budgets; those written for it; those of members of its group; those of every scope of its kind. */
  #accountsIn(scope: Scope): readonly Budget[] {
    const ownOf = (name: Scope, per: Budget["per"]): readonly Budget[] => (this.#own.get(name) ?? []).filter((budget) => budget.per === per);
    const own = ownOf(scope, "pool");
    if (own.length > 0) return own;
    const written = (name: string, per: Budget["per"]): readonly Budget[] => this.#options.budgets.filter((budget) => budget.scope === name && budget.per === per);
    const [kind, id = ""] = split(scope);
    if (kind === "run") return ownOf(`key:${id.split("/")[0]}`, "member");
    const groups = kind === "team_user" ? [`team:${id.split("/")[0]}`, "team:*"] : kind === "user" ? ["global"] : [];
    for (const found of [written(scope, "pool"), ...groups.map((group) => written(group, "member")), written(`${kind}:*`, "pool")]) if (found.length > 0) return found;
    return [];
  }

  #sums(account: Account, nowMs: number): { settled: bigint; held: bigint; risk: bigint } {
    const sums = { settled: 0n, held: 0n, risk: 0n };
    const counts = countsAt(account.budget, nowMs);
    for (const { spender, payer, atMs, kept, amount } of this.#entries.values()) {
      const own = kept.get(account.id);
      if (amount === undefined ? own === undefined : !paysUnder(payer, account.scope) || !scopesOf(spender).includes(account.scope)) continue;
      if (!counts(atMs)) continue;
      if (amount !== undefined) sums.settled += amount(account);
      else {
        sums.held += own!.held;
        sums.risk += own!.risk;
      }
    }
    return sums;
  }

  #admit(attemptId: string, spender: Spender, { demands, nowMs, isAdmitted }: { readonly demands: readonly Demand[]; readonly nowMs: number; readonly isAdmitted: boolean }): void {
    const accounts = this.#accountsOf(spender).map((account) => ({ account, sums: this.#sums(account, nowMs) }));
    if (!isAdmitted) {
      this.refusals++;
      const { settled = 0n, held = 0n } = accounts[0]?.sums ?? {};
      if (this.usedAtRefusalLeast === undefined || settled + held < this.usedAtRefusalLeast) this.usedAtRefusalLeast = settled + held;
    }
    const fitting = demands.find((demand) =>
      accounts.every(({ account: { budget }, sums }) => {
        const needed = budget.mode === "strict" ? demand.bound() : demand.expected;
        if (typeof needed === "string" || budget.amountNanoUsd === 0n) return false;
        const risk = budget.mode === "strict" ? 0n : demand.risk;
        const reserve = demand.isAmple === true && budget.mode === "incremental" ? budget.amountNanoUsd / 4n : 0n;
        const total = sums.settled + sums.held + needed + reserve;
        return total <= budget.amountNanoUsd && total + sums.risk + risk <= budget.amountNanoUsd + budget.overrunMaxNanoUsd;
      }),
    );
    if (isAdmitted !== (fitting !== undefined)) this.#options.object(isAdmitted ? `${attemptId} was admitted without room` : `${attemptId} was refused although there was room`);
    if (!isAdmitted || fitting === undefined) return;
    const kept = new Map(accounts.map(({ account }) => [account.id, account.budget.mode === "strict" ? { held: BigInt(fitting.bound()), risk: 0n } : { held: fitting.expected, risk: fitting.risk }]));
    this.#entries.set(attemptId, { spender, payer: spender.payer ?? "caller", atMs: nowMs, expected: fitting.expected, kept, foundAt: new Map(), amount: undefined });
    for (const { account, sums } of accounts) this.heldMost = larger(this.heldMost, sums.held + kept.get(account.id)!.held);
  }

  /** Whether a running reply may come to so much. */
  #hasRoom(attemptId: string, needed: bigint): boolean {
    const entry = this.#entries.get(attemptId);
    if (entry === undefined || entry.amount !== undefined) return false;
    return this.#accountsOf(entry.spender).every((account) => {
      const { settled, held, risk } = this.#sums(account, entry.atMs);
      const { held: before } = entry.kept.get(account.id) ?? { held: needed };
      return needed <= before || settled + held + risk + needed - before <= account.budget.amountNanoUsd + account.budget.overrunMaxNanoUsd;
    });
  }

  #change(attemptId: string, { needed, isReport, isShort }: { readonly needed: bigint; readonly isReport: boolean; readonly isShort: boolean }): void {
    const entry = this.#entries.get(attemptId);
    if (entry === undefined || entry.amount !== undefined) return;
    entry.expected = isReport ? needed : larger(needed, entry.expected);
    if (isReport) for (const kept of entry.kept.values()) kept.risk = 0n;
    let found = false;
    for (const account of this.#accountsOf(entry.spender)) {
      const kept = entry.kept.get(account.id);
      if (kept === undefined) continue;
      const before = kept.held;
      kept.held = account.budget.mode === "strict" ? larger(before, entry.expected) : entry.expected;
      const { settled, held, risk } = this.#sums(account, entry.atMs);
      if (kept.held > before && settled + held + risk > account.budget.amountNanoUsd + account.budget.overrunMaxNanoUsd) found = true;
    }
    if (found !== isShort) this.#options.object(found ? `${attemptId} goes on without room` : `${attemptId} is cut although there is room`);
  }

  #settle(attemptId: string, payer: Payer | undefined, amount: (account: Account) => bigint): void {
    const entry = this.#entries.get(attemptId);
    if (entry === undefined || entry.amount !== undefined) return;
    entry.amount = amount;
    entry.payer = payer ?? entry.payer;
    const { allowances } = this.#options;
    for (const account of this.#accountsOf(entry.spender)) {
      const found = entry.foundAt.get(account.id);
      const beyond = found === undefined ? 0n : amount(account) - found;
      if (beyond > 0n) allowances.set(account.id, (allowances.get(account.id) ?? 0n) + beyond);
      this.#checkCap(account, entry.atMs);
    }
  }

  /** The promise itself: no window of any account comes to more than it may. */
  #checkCap(account: Account, atMs: number): void {
    const { budget, scope, id } = account;
    if (budget.mode === "advisory" || budget.window.rule.kind === "rolling") return;
    const cap = budget.amountNanoUsd + budget.overrunMaxNanoUsd;
    const allowed = larger(cap, this.#options.allowances.get(id) ?? 0n);
    const { settled } = this.#sums(account, atMs);
    this.overMost[budget.mode] = larger(this.overMost[budget.mode], settled - allowed);
    if (settled > allowed) this.#options.object(`overspent: ${scope} under ${budget.id} (${budget.mode}) settled ${settled} of ${budget.amountNanoUsd} + ${budget.overrunMaxNanoUsd}`);
  }

  /** What has been spent and is held when a budget comes is not that budget's fault. */
  #setOwn(scope: Scope, budgets: readonly Budget[]): void {
    this.#readRows();
    const before = new Set(this.#accountsIn(scope).map((budget) => accountId(budget, scope)));
    const earlier = this.#accountsIn(scope);
    const { allowances } = this.#options;
    this.#allowOwn(scope, earlier);
    this.#own.set(scope, budgets);
    const now = new Set(budgets.map((budget) => accountId(budget, scope)));
    const riskOf = new Map([...this.#entries.values()].map((entry) => [entry, [...entry.kept.values()].map(({ risk }) => risk).reduce(larger, 0n)]));
    for (const { kept } of this.#entries.values()) for (const id of before) if (!now.has(id)) kept.delete(id);
    for (const budget of budgets) {
      const id = accountId(budget, scope);
      for (const entry of this.#entries.values()) {
        if (entry.amount !== undefined || before.has(id) || entry.kept.has(id) || !scopesOf(entry.spender).includes(scope)) continue;
        const found = { held: entry.expected, risk: riskOf.get(entry) ?? 0n };
        entry.kept.set(id, found);
        entry.foundAt.set(id, found.held + found.risk);
      }
      const running = [...this.#entries.values()].filter(({ amount, kept }) => amount === undefined && kept.has(id));
      for (const atMs of [this.#options.nowMs(), ...running.map((entry) => entry.atMs)]) {
        const { settled, held, risk } = this.#sums({ id, budget, scope }, atMs);
        allowances.set(id, larger(allowances.get(id) ?? 0n, settled + held + risk));
      }
    }
  }
}

function accountId({ id, window }: Budget, scope: Scope): string {
  return `${id} ${window.key} ${scope}`;
}

function split(scope: string): readonly string[] {
  const colon = scope.indexOf(":");
  return colon === -1 ? [scope] : [scope.slice(0, colon), scope.slice(colon + 1)];
}

/** What nobody saw is the platform's, which has budgets of its own bill only; what the caller's own login pays is nobody's. */
function paysUnder(payer: Payer, scope: Scope): boolean {
  return payer === "caller" || (payer === "platform" && /^(?:global|provider:|target:)/.test(scope));
}

const scopesKnown = new WeakMap<Spender, readonly Scope[]>();

/** Of the kinds that the simulation has budgets of. */
function scopesOf(spender: Spender): readonly Scope[] {
  const found = scopesKnown.get(spender);
  if (found !== undefined) return found;
  const { keyId, userId, teamId, model, provider, targetId, sessionId } = spender;
  const scopes: Scope[] = ["global", `key:${keyId}`, `model:${model}`, `key_model:${keyId}/${model}`, `provider:${provider}`, `target:${targetId}`];
  if (teamId !== null) scopes.push(`team:${teamId}`, `team_model:${teamId}/${model}`);
  if (userId !== null) scopes.push(`user:${userId}`);
  if (teamId !== null && userId !== null) scopes.push(`team_user:${teamId}/${userId}`);
  if (sessionId !== null) scopes.push(`session:${sessionId}`, `run:${keyId}/${sessionId}`);
  scopesKnown.set(spender, scopes);
  return scopes;
}

/** Whether an amount of an instant counts now. */
function countsAt({ window }: Budget, nowMs: number): (atMs: number) => boolean {
  if (window.rule.kind === "rolling") {
    const { countsFromMs } = windowAt(window, nowMs);
    return (atMs) => windowAt(window, atMs).startMs >= countsFromMs;
  }
  const label = windowLabel(window, nowMs);
  return (atMs) => windowLabel(window, atMs) === label;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
