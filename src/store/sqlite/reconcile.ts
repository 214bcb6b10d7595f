/** Reads of the ledger by day and model of one provider, to be held against that provider's bill. */
import { idFloor } from "../../kernel/ids.ts";
import type { BilledGroup, BilledQuery, Knowledge, ReconcileStore } from "../../ledger/reconcile-store.ts";
import type { Spent } from "../../ledger/ledger.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { integer, money, text } from "./columns.ts";
import { ledgerRowOf, spentRowOf } from "./usage.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteReconcile(sql: SqlDatabase): ReconcileStore {
  return {
    billed: async (query) => attempt(() => billed(sql, query)),
    uncertainRows: async (query, limit) => attempt(() => uncertain(sql, query, limit)),
    spentBy: async (attemptIds) => attempt(() => spentBy(sql, attemptIds)),
  };
}

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}

function billed(sql: SqlDatabase, { provider, sinceMs, untilMs }: BilledQuery): readonly BilledGroup[] {
  const web = "$.web_search_requests";
  return sql.rows`
    SELECT strftime('%Y-%m-%d', a.opened_at_ms / 1000, 'unixepoch') AS day, coalesce(nullif(a.served_model, ''), a.upstream_model) AS billed_model,
      CASE WHEN d.attempt_id IS NOT NULL THEN 'adjusted' WHEN a.state = 'unresolved' THEN 'unresolved' ELSE a.source END AS knowledge,
      count(*) AS attempts,
      sum(a.closed_at_ms / 86400000 > a.opened_at_ms / 86400000) AS over_midnight,
      sum(a.input_tokens + coalesce(d.delta_input_tokens, 0)) AS input_tokens,
      sum(a.cache_read_tokens + coalesce(d.delta_cache_read_tokens, 0)) AS cache_read_tokens,
      sum(a.cache_write_5m_tokens + coalesce(d.delta_cache_write_5m_tokens, 0)) AS cache_write_5m_tokens,
      sum(a.cache_write_1h_tokens + coalesce(d.delta_cache_write_1h_tokens, 0)) AS cache_write_1h_tokens,
      sum(a.output_tokens + coalesce(d.delta_output_tokens, 0)) AS output_tokens,
      sum(coalesce(json_extract(a.server_tool_uses, ${web}), 0) + coalesce(d.delta_web_searches, 0)) AS web_searches,
      sum(a.cost_nano_usd + coalesce(d.delta_nano_usd, 0)) AS cost_nano_usd
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.attempt_id >= ${idFloor("att", sinceMs)} AND a.opened_at_ms >= ${sinceMs} AND a.opened_at_ms < ${untilMs}
      AND a.provider = ${provider} AND a.state <> 'open' AND a.source <> 'none'
      AND a.is_notional = 0
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`.map(groupOf);
}

function uncertain(sql: SqlDatabase, { provider, sinceMs, untilMs }: BilledQuery, limit: number): ReturnType<typeof ledgerRowOf>[] {
  return sql.rows`
    SELECT a.*, NULL AS delta_nano_usd, NULL AS adjusted_price_row FROM attempts AS a
    WHERE a.attempt_id >= ${idFloor("att", sinceMs)} AND a.opened_at_ms >= ${sinceMs} AND a.opened_at_ms < ${untilMs}
      AND a.provider = ${provider} AND (a.state = 'unresolved' OR (a.state = 'closed' AND a.source = 'estimated'))
      AND a.is_notional = 0
      AND NOT EXISTS (SELECT 1 FROM adjustments AS d WHERE d.attempt_id = a.attempt_id)
    ORDER BY a.attempt_id LIMIT ${limit}`.map(ledgerRowOf);
}

/** As `spentSince` has them, without summing. */
function spentBy(sql: SqlDatabase, attemptIds: readonly string[]): readonly Spent[] {
  return sql.rows`
    SELECT a.key_id, a.user_id, a.team_id, a.organization_id, a.end_user_id, a.project, a.tags, a.session_id,
      coalesce(a.model, a.requested_model) AS model, a.provider, a.target_id, a.payer, a.opened_at_ms AS step_ms,
      CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN 'unresolved' WHEN a.source = 'estimated' THEN 'estimated' ELSE 'reported' END AS amount_source,
      CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN a.hold_nano_usd ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END AS amount_nano_usd,
      CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN max(a.hold_nano_usd, a.strict_hold_nano_usd) ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END AS strict_nano_usd
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.attempt_id IN (SELECT value FROM json_each(${JSON.stringify(attemptIds)})) AND a.state <> 'open'`.map(spentRowOf);
}

function groupOf(row: SqlRow): BilledGroup {
  return {
    day: text(row, "day"),
    model: text(row, "billed_model"),
    knowledge: text(row, "knowledge") as Knowledge,
    attempts: integer(row, "attempts"),
    overMidnight: integer(row, "over_midnight"),
    counts: {
      input: integer(row, "input_tokens"),
      cacheRead: integer(row, "cache_read_tokens"),
      cacheWrite5m: integer(row, "cache_write_5m_tokens"),
      cacheWrite1h: integer(row, "cache_write_1h_tokens"),
      output: integer(row, "output_tokens"),
    },
    webSearches: integer(row, "web_searches"),
    costNanoUsd: money(row, "cost_nano_usd"),
  };
}
