/** Brings a database file to the newest schema, one numbered step after the other, and refuses files it cannot know. */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { sqlScript, type SqlDatabase, type SqlScript } from "../sql.ts";
import { initialSchema } from "./0001-initial.ts";
import { lossColumn } from "./0002-loss.ts";
import { holdColumns } from "./0003-holds.ts";
import { organizationColumn } from "./0004-organizations.ts";
import { adjustedCounts } from "./0005-adjusted-counts.ts";
import { strictHoldColumn } from "./0006-strict-holds.ts";
import { payerColumns } from "./0007-who-pays.ts";
import { budgetWarnings } from "./0008-budget-warnings.ts";
import { budgetTable } from "./0009-budgets.ts";
import { keyTermsTable } from "./0010-key-terms.ts";
import { adjustingEntries } from "./0011-adjusting-entries.ts";
import { keyCaps } from "./0012-key-caps.ts";
import { usageRollups } from "./0013-usage-rollups.ts";
import { cacheReads } from "./0014-cache-reads.ts";

/** Step `n` is at index `n - 1`; steps are only ever added at the end. */
const steps: readonly SqlScript[] = [initialSchema, lossColumn, holdColumns, organizationColumn, adjustedCounts, strictHoldColumn, payerColumns, budgetWarnings, budgetTable, keyTermsTable, adjustingEntries, keyCaps, usageRollups, cacheReads];

/** The schema this build writes. */
export const schemaVersion = steps.length;

/**
 * Each step is durable with its version, or not done at all.
 *
 * @throws GatewayError `gateway_store_unavailable` when the file was written by a newer Tollgate or is not Tollgate's; it is unchanged
 */
export function migrate(sql: SqlDatabase, path: string, nowMs: number): void {
  const current = versionOf(sql, path);
  if (current > schemaVersion) {
    throw new GatewayError("gateway_store_unavailable", {
      internal: `the store ${path} has schema ${current}, and this Tollgate knows schemas up to ${schemaVersion}: start the newer Tollgate that wrote it, or use another data directory`,
    });
  }
  for (let version = current + 1; version <= schemaVersion; version++) {
    sql.transaction(() => {
      if (version === 1) sql.script(versionTable);
      sql.script(steps[version - 1]!);
      void sql.run`INSERT INTO schema_version (version, applied_at_ms) VALUES (${version}, ${nowMs})`;
    });
  }
}

const versionTable = sqlScript`CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at_ms INTEGER NOT NULL) STRICT`;

/** 0 for an empty file. */
function versionOf(sql: SqlDatabase, path: string): number {
  const found = sql.row`SELECT count(*) AS tables, sum(name = 'schema_version') AS versions FROM sqlite_schema WHERE type = 'table'`;
  if (Number(found?.["tables"] ?? 0) === 0) return 0;
  if (Number(found?.["versions"] ?? 0) === 0) {
    throw new GatewayError("gateway_store_unavailable", { internal: `${path} is a database of something else than Tollgate: choose another path` });
  }
  return Number(sql.row`SELECT coalesce(max(version), 0) AS version FROM schema_version`?.["version"] ?? 0);
}
