/** The append-only audit table. It offers no way to change a line, and the schema's triggers refuse one that others try. */
import type { AuditStore } from "../../audit/audit-store.ts";
import type { AuditAction, AuditRecord } from "../../audit/record.ts";
import type { Id } from "../../kernel/ids.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { integer, json, text } from "./columns.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteAudit(sql: SqlDatabase): AuditStore {
  return {
    async append(records) {
      if (records.length === 0) return;
      try {
        sql.transaction(() => {
          for (const record of records) insertAudit(sql, record);
        });
      } catch (error) {
        throw storeError(error);
      }
    },
    async list({ limit, beforeId, action }) {
      try {
        return sql.rows`
          SELECT id, at_ms, action, actor, object, details, source_address FROM audit
          WHERE (${beforeId ?? null} IS NULL OR seq < (SELECT seq FROM audit WHERE id = ${beforeId ?? null}))
            AND (${action ?? null} IS NULL OR action = ${action ?? null})
          ORDER BY seq DESC LIMIT ${limit}`.map(recordOf);
      } catch (error) {
        throw storeError(error);
      }
    },
  };
}

/** Adds one line to the transaction that is under way. */
export function insertAudit(sql: SqlDatabase, record: AuditRecord): void {
  void sql.run`INSERT INTO audit (id, at_ms, action, actor, object, details, source_address)
    VALUES (${record.id}, ${record.atMs}, ${record.action}, ${record.actor}, ${record.object}, ${JSON.stringify(record.details)}, ${record.sourceAddress})`;
}

function recordOf(row: SqlRow): AuditRecord {
  return {
    id: text(row, "id") as Id<"aud">,
    atMs: integer(row, "at_ms"),
    action: text(row, "action") as AuditAction,
    actor: text(row, "actor"),
    object: text(row, "object"),
    details: json(row, "details", {}),
    sourceAddress: text(row, "source_address"),
  };
}
