/** The ledger of a new process: what was spent before, read from the attempts' rows, under the budgets of the configuration and of the keys. */
import { createBudgetBook, type Budget } from "./budget.ts";
import { keyBudgets, type KeyBudgetFields } from "./key-budget.ts";
import { createLedger, type Ledger, type Spent } from "./ledger.ts";
import { kindOf } from "./scope.ts";
import type { UsageStore } from "./usage-store.ts";
import { windowAt } from "./window.ts";

export interface LedgerStart {
  readonly budgets: readonly Budget[];
  readonly keys: readonly KeyBudgetFields[];
  readonly usage: Pick<UsageStore, "spentSince">;
  readonly nowMs: number;
}

/** Attempts that a crash left open must be `unresolved` already; they count at what was held for them. */
export async function startLedger({ budgets, keys, usage, nowMs }: LedgerStart): Promise<Ledger> {
  const book = createBudgetBook(budgets);
  for (const key of keys) book.setOwn(`key:${key.id}`, keyBudgets(key));
  const ledger = createLedger(book);
  const all = book.all();
  if (all.length > 0) for (const spent of await spentUnder(all, usage, nowMs)) ledger.restore(spent);
  return ledger;
}

/** A key's budget after a change of the key, or after its end. */
export async function followKey(ledger: Ledger, key: KeyBudgetFields & { readonly revokedAtMs: number | null }, usage: Pick<UsageStore, "spentSince">, nowMs: number): Promise<void> {
  const budgets = key.revokedAtMs === null ? keyBudgets(key) : [];
  ledger.setOwn(`key:${key.id}`, budgets, budgets.length === 0 ? [] : await spentUnder(budgets, usage, nowMs));
}

function spentUnder(budgets: readonly Budget[], usage: Pick<UsageStore, "spentSince">, nowMs: number): Promise<readonly Spent[]> {
  const sinceMs = Math.min(...budgets.map(({ window }) => windowAt(window, nowMs).countsFromMs));
  return usage.spentSince(Math.max(0, sinceMs), budgets.some(({ scope }) => kindOf(scope as never) === "session"));
}
