/** The ledger of a new process: what was spent before, read from the attempts' rows, under the budgets of the configuration and of the keys. */
import { isRecalledKind } from "./balances.ts";
import { createBudgetBook, kindBoundBy, type BookChange, type Budget } from "./budget.ts";
import { isOwnScope, keyBudgets, type KeyBudgetFields } from "./key-budget.ts";
import { createLedger, type Ledger, type Spent } from "./ledger.ts";
import { idOf, kindOf, type Scope, type UserBudget } from "./scope.ts";
import type { UsageStore } from "./usage-store.ts";
import { isToTheMinute, windowAt } from "./window.ts";

export interface LedgerStart {
  readonly budgets: readonly Budget[];
  readonly keys: readonly KeyBudgetFields[];
  /** Set while an earlier process ran. */
  readonly managed?: readonly Budget[];
  readonly usage: Pick<UsageStore, "spentSince" | "spentIn">;
  /** Absent: `all`. */
  readonly userBudget?: UserBudget;
  readonly nowMs: number;
}

/** Attempts that a crash left open must be `unresolved` already; they count at what was held for them. */
export async function startLedger({ budgets, keys, managed = [], usage, userBudget, nowMs }: LedgerStart): Promise<Ledger> {
  const book = createBudgetBook(budgets, userBudget);
  for (const key of keys) for (const [scope, own] of byScope(keyBudgets(key))) book.setOwn(scope, own);
  for (const [scope, own] of byScope(managed)) book.setOwn(scope, own);
  const ledger = createLedger(book, { readSpent: (scope, sinceMs) => usage.spentIn(sessionOf(scope), sinceMs) });
  for (const spent of await spentUnder(book.all(), usage, nowMs)) ledger.restore(spent);
  // The first reading of a session makes an index, for which no call should have to wait.
  if (book.mayBind("session") || book.mayBind("run")) await usage.spentIn("", nowMs);
  return ledger;
}

/** The id of a run is that of its session behind its key's. */
function sessionOf(scope: Scope): string {
  const id = idOf(scope);
  return kindOf(scope) === "run" ? id.slice(id.indexOf("/") + 1) : id;
}

/** Keys' budgets after a change of a key, or of terms that several have, or after a key's end. The rows are read once for all of them. */
export async function followKeys(ledger: Ledger, keys: readonly (KeyBudgetFields & { readonly revokedAtMs: number | null })[], usage: Pick<UsageStore, "spentSince">, nowMs: number): Promise<void> {
  const changed = keys.map((key) => ({ id: key.id, budgets: key.revokedAtMs === null ? keyBudgets(key) : [] }));
  const spent = Map.groupBy(await spentUnder(changed.flatMap(({ budgets }) => budgets), usage, nowMs), ({ spender }) => spender.keyId);
  for (const { id, budgets } of changed) {
    const own = byScope(budgets);
    // A cap that is gone leaves its scope without any.
    const scopes = new Set<Scope>([`key:${id}`, ...ledger.ownScopes().filter((scope) => isOwnScope(id, scope)), ...own.keys()]);
    for (const scope of scopes) ledger.setOwn(scope, own.get(scope) ?? [], (spent.get(id) ?? []).filter(({ spender }) => ledger.includes(scope, spender)));
  }
}

function byScope(budgets: readonly Budget[]): ReadonlyMap<Scope, readonly Budget[]> {
  return Map.groupBy(budgets, ({ scope }) => scope as Scope);
}

/** A scope's budgets after an operator has changed them. */
export async function followScope(ledger: Ledger, scope: Scope, budgets: readonly Budget[], { usage, nowMs }: { readonly usage: Pick<UsageStore, "spentSince">; readonly nowMs: number }): Promise<void> {
  ledger.setOwn(scope, budgets, await spentUnder(budgets, usage, nowMs));
}

/**
 * The budgets of another configuration, with those that operators set beside it.
 *
 * @param change see {@link Ledger.reconfigure}; the budgets of keys are none of it
 * @throws GatewayError `gateway_store_unavailable` when what was spent cannot be read; then nothing has changed
 */
export function followConfig(ledger: Ledger, change: BookChange, { usage, nowMs }: { readonly usage: Pick<UsageStore, "spentSince">; readonly nowMs: number }): Promise<void> {
  return ledger.reconfigure(change, (budgets) => spentUnder(budgets, usage, nowMs));
}

/** A clock that is set back by this much finds what was spent in the windows it comes back to. */
const clockSlackMs = 86_400_000;

/** Attempts begun here or later have to be known one by one for what counts under these budgets; of a lifetime their sums are enough. */
export function neededSince(budgets: readonly Budget[], nowMs: number): number {
  const windows = new Set(budgets.map(({ window }) => window).filter(({ rule }) => rule.kind !== "lifetime"));
  return Math.min(nowMs, ...[...windows].map((window) => windowAt(window, Math.max(0, nowMs - clockSlackMs)).countsFromMs));
}

/** What sessions and runs have spent is read when they come. */
async function spentUnder(budgets: readonly Budget[], usage: Pick<UsageStore, "spentSince">, nowMs: number): Promise<readonly Spent[]> {
  const windows = budgets.filter((budget) => !isRecalledKind(kindBoundBy(budget))).map(({ window }) => window);
  if (windows.length === 0) return [];
  const sinceMs = Math.min(...windows.map((window) => windowAt(window, Math.max(0, nowMs - clockSlackMs)).countsFromMs));
  return usage.spentSince(Math.max(0, sinceMs), windows.every(isToTheMinute) ? 60_000 : 1_000);
}
