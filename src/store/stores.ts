/** Everything a store offers, opened and closed as one. What `main.ts` gets from SQLite now and from PostgreSQL later. */
import type { AuditStore } from "../audit/audit-store.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { KeyTermsStore } from "../identity/key-terms.ts";
import type { ReconcileStore } from "../ledger/reconcile-store.ts";
import type { BudgetStore } from "../ledger/budget-store.ts";
import type { WarningStore } from "../ledger/warning-store.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { Books } from "../pipeline/books.ts";

/** Attempts from the spill file, and what of it could not be read or kept; all 0 where there was nothing. */
export interface SpillReplay {
  readonly openedAttempts: number;
  readonly closedAttempts: number;
  /** Entries that were damaged or that the ledger cannot hold; the file with them was put aside. */
  readonly lostEntries: number;
}

/** Which rows of attempts may go. */
export interface Retention {
  /** Rows of attempts that are this old go, in milliseconds; absent: none. */
  readonly retentionMs?: number | undefined;
  /** Attempts begun here or later stay, since a budget reads them again at the next start; absent: retention alone decides. */
  readonly neededSinceMs?: () => number;
  /** Providers whose own figures can settle what was estimated: such attempts of theirs stay until that has happened. */
  readonly reconcilable?: readonly string[];
}

/** What a store does by itself: keeps sums of usage, and removes old rows. Nothing of it changes what anybody reads. */
export interface Upkeep {
  /** Works in pieces of a few milliseconds, with long pauses, until the store is closed. */
  start(retention: Retention): void;
  /**
   * One piece of it now.
   *
   * @returns whether there is more to do at once
   * @throws GatewayError `gateway_store_unavailable`; nothing of the piece is done
   */
  step(retention: Retention): boolean;
}

export interface Stores {
  readonly keys: KeyStore;
  readonly keyTerms: KeyTermsStore;
  readonly books: Books;
  readonly usage: UsageStore;
  readonly reconcile: ReconcileStore;
  readonly audit: AuditStore;
  readonly warnings: WarningStore;
  readonly budgets: BudgetStore;
  readonly upkeep: Upkeep;
  /** Attempts that a crash had left open and that are `unresolved` since this opening. */
  readonly recoveredAttempts: number;
  /** What an earlier process had left in the spill file, and is in the ledger since this opening. */
  readonly replayed: SpillReplay;
  /** Resolves when a write and a read went through just now; rejects with the reason otherwise. */
  probe(): Promise<void>;
  /** Writes what waits, then closes. Nothing may be called afterwards. */
  close(): Promise<void>;
}
