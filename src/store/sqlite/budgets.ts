/** Budgets that operators set while the gateway runs; each change is one transaction with its audit record. */
import type { BudgetStore } from "../../ledger/budget-store.ts";
import type { SqlDatabase } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { insertAudit } from "./audit.ts";
import { integer, json, text } from "./columns.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteBudgets(sql: SqlDatabase): BudgetStore {
  return {
    load: async () =>
      attempt(() =>
        sql.rows`SELECT * FROM budgets ORDER BY id`.map((row) => ({
          id: text(row, "id"), scope: text(row, "scope"), definition: json<Readonly<Record<string, unknown>>>(row, "definition", {}), createdAtMs: integer(row, "created_at_ms"), updatedAtMs: integer(row, "updated_at_ms"),
        })),
      ),
    put: async ({ id, scope, definition, createdAtMs, updatedAtMs }, audit) =>
      attempt(() =>
        sql.transaction(() => {
          void sql.run`INSERT INTO budgets (id, scope, definition, created_at_ms, updated_at_ms) VALUES (${id}, ${scope}, ${JSON.stringify(definition)}, ${createdAtMs}, ${updatedAtMs})
            ON CONFLICT (id) DO UPDATE SET scope = excluded.scope, definition = excluded.definition, updated_at_ms = excluded.updated_at_ms`;
          insertAudit(sql, audit);
        }),
      ),
    remove: async (id, audit) =>
      attempt(() =>
        sql.transaction(() => {
          void sql.run`DELETE FROM budgets WHERE id = ${id}`;
          insertAudit(sql, audit);
        }),
      ),
  };
}

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}
