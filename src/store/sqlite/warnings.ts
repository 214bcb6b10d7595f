/** Warnings of budgets that were told, and those that wait for their receiver. */
import type { WarningStore } from "../../ledger/warning-store.ts";
import type { SqlDatabase } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { integer, text } from "./columns.ts";

/** Windows end, and nobody asks for a warning of one that ended long ago. */
const keptMs = 400 * 86_400_000;

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteWarnings(sql: SqlDatabase): WarningStore {
  return {
    note: async (warnings, isDelivered) =>
      attempt(() =>
        sql.transaction(() => {
          const added = new Set<string>();
          for (const { id, atMs, isNewAfterMs, event } of warnings) {
            const nextTryMs = isDelivered ? atMs : null;
            const written = sql.run`INSERT INTO budget_warnings (id, at_ms, body, attempts, next_try_ms) VALUES (${id}, ${atMs}, ${JSON.stringify(event)}, 0, ${nextTryMs})
              ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms, body = excluded.body, attempts = 0, next_try_ms = excluded.next_try_ms
              WHERE budget_warnings.at_ms < ${isNewAfterMs}`;
            if (written > 0) added.add(id);
          }
          if (added.size > 0) void sql.run`DELETE FROM budget_warnings WHERE at_ms < ${Math.min(...warnings.map(({ atMs }) => atMs)) - keptMs}`;
          return added;
        }),
      ),
    due: async (nowMs, limit) =>
      attempt(() =>
        sql.rows`SELECT id, at_ms, body, attempts FROM budget_warnings WHERE next_try_ms <= ${nowMs} ORDER BY at_ms, id LIMIT ${limit}`.map((row) => ({
          id: text(row, "id"), atMs: integer(row, "at_ms"), body: text(row, "body"), attempts: integer(row, "attempts"),
        })),
      ),
    done: async (id) => attempt(() => void sql.run`UPDATE budget_warnings SET next_try_ms = NULL WHERE id = ${id}`),
    failed: async (id, nextTryMs) => attempt(() => void sql.run`UPDATE budget_warnings SET attempts = attempts + 1, next_try_ms = ${nextTryMs} WHERE id = ${id}`),
  };
}

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}
