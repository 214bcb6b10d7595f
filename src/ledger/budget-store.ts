/** Port to where budgets live that operators set while the gateway runs. */
import type { AuditRecord } from "../audit/record.ts";

/** A budget as its operator wrote it. */
export interface StoredBudget {
  readonly id: string;
  readonly scope: string;
  /** The entry in the words of the file's `budgets`, with its id; JSON-able. Kept as written, so that defaults may change. */
  readonly definition: Readonly<Record<string, unknown>>;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface BudgetStore {
  load(): Promise<readonly StoredBudget[]>;
  /**
   * Inserted, or replaced as a whole, with its audit record. Durable when it resolves.
   *
   * @throws GatewayError `gateway_store_unavailable`; nothing is written
   */
  put(budget: StoredBudget, audit: AuditRecord): Promise<void>;
  /** With its audit record; one that is not there stays so. */
  remove(id: string, audit: AuditRecord): Promise<void>;
}
