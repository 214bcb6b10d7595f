/** Port to the append-only audit table. */
import type { AuditRecord } from "./record.ts";

export interface AuditStore {
  /** Durable when it resolves. */
  append(records: readonly AuditRecord[]): Promise<void>;
  /** Newest first. */
  list(query: { readonly limit: number; readonly beforeId?: string; readonly action?: string }): Promise<readonly AuditRecord[]>;
}
