/** Everything a store offers, opened and closed as one. What `main.ts` gets from SQLite now and from PostgreSQL later. */
import type { AuditStore } from "../audit/audit-store.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { Books } from "../pipeline/books.ts";

export interface Stores {
  readonly keys: KeyStore;
  readonly books: Books;
  readonly usage: UsageStore;
  readonly audit: AuditStore;
  /** Attempts that a crash had left open and that are `unresolved` since this opening. */
  readonly recoveredAttempts: number;
  /** Resolves when a write and a read went through just now; rejects with the reason otherwise. */
  probe(): Promise<void>;
  /** Writes what waits, then closes. Nothing may be called afterwards. */
  close(): Promise<void>;
}
