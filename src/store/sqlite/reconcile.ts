/** Reads of the ledger by day and model of one provider, to be held against that provider's bill. */
import { idFloor } from "../../kernel/ids.ts";
import type { BilledGroup, BilledQuery, Knowledge, ReconcileStore, UncertainAttempt } from "../../ledger/reconcile-store.ts";
import type { Spent } from "../../ledger/ledger.ts";
import type { Adjustment } from "../../ledger/usage-store.ts";
import type { TokenCounts } from "../../kernel/usage.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { countsOf, integer, money, text } from "./columns.ts";
import { deltaCountsOf, ledgerRowOf, spentRowOf } from "./usage.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteReconcile(sql: SqlDatabase): ReconcileStore {
  return {
    billed: async (query) => attempt(() => billed(sql, query)),
    uncertainRows: async (query, limit) => attempt(() => uncertain(sql, query, limit)),
    spentBy: async (attemptIds) => attempt(() => spentBy(sql, attemptIds)),
    entriesOf: async (attemptIds) => attempt(() => Map.groupBy(entries(sql, attemptIds), ({ attemptId }) => attemptId)),
  };
}

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}

/** Rows, and what was kept of those that are gone; some of a day may be either. */
function billed(sql: SqlDatabase, query: BilledQuery): readonly BilledGroup[] {
  return sql.read(() => [...billedRows(sql, query), ...prunedBills(sql, query)]).map(groupOf);
}

/** Ranges are whole days. */
function prunedBills(sql: SqlDatabase, { provider, sinceMs, untilMs }: BilledQuery): readonly SqlRow[] {
  return sql.rows`
    SELECT strftime('%Y-%m-%d', day * 86400, 'unixepoch') AS day, model AS billed_model, knowledge, attempts, over_midnight, input_tokens, cache_read_tokens,
      cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, web_searches, cost_nano_usd
    FROM pruned_bills WHERE provider = ${provider} AND day * 86400000 >= ${sinceMs} AND day * 86400000 < ${untilMs} ORDER BY day, model, knowledge`;
}

function billedRows(sql: SqlDatabase, { provider, sinceMs, untilMs }: BilledQuery): readonly SqlRow[] {
  const web = "$.web_search_requests";
  return sql.rows`
    SELECT strftime('%Y-%m-%d', a.opened_at_ms / 1000, 'unixepoch') AS day, coalesce(nullif(a.served_model, ''), a.upstream_model) AS billed_model,
      CASE WHEN d.attempt_id IS NOT NULL AND (a.state = 'unresolved' OR (d.delta_input_tokens, d.delta_cache_read_tokens, d.delta_cache_write_5m_tokens, d.delta_cache_write_1h_tokens,
          d.delta_output_tokens, d.delta_web_searches) <> (0, 0, 0, 0, 0, 0)) THEN 'adjusted'
        WHEN a.state = 'unresolved' THEN 'unresolved' ELSE a.source END AS knowledge,
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
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`;
}

function uncertain(sql: SqlDatabase, { provider, sinceMs, untilMs }: BilledQuery, limit: number): readonly UncertainAttempt[] {
  const web = "$.web_search_requests";
  return sql.rows`
    SELECT a.*, d.delta_nano_usd, d.charge_delta_nano_usd, d.price_row AS adjusted_price_row, d.delta_input_tokens, d.delta_cache_read_tokens, d.delta_cache_write_5m_tokens,
      d.delta_cache_write_1h_tokens, d.delta_output_tokens, coalesce(d.delta_web_searches, 0) AS delta_web_searches,
      coalesce(json_extract(a.server_tool_uses, ${web}), 0) AS own_web_searches,
      (SELECT count(*) FROM adjusting_entries AS e WHERE e.attempt_id = a.attempt_id) AS entries,
      a.cost_nano_usd + (SELECT coalesce(sum(e.delta_nano_usd), 0) FROM adjusting_entries AS e WHERE e.attempt_id = a.attempt_id AND (e.delta_input_tokens, e.delta_cache_read_tokens,
        e.delta_cache_write_5m_tokens, e.delta_cache_write_1h_tokens, e.delta_output_tokens, e.delta_web_searches) = (0, 0, 0, 0, 0, 0)) AS own_cost_nano_usd,
      coalesce((SELECT e.price_row FROM adjusting_entries AS e WHERE e.attempt_id = a.attempt_id AND (e.delta_input_tokens, e.delta_cache_read_tokens, e.delta_cache_write_5m_tokens,
        e.delta_cache_write_1h_tokens, e.delta_output_tokens, e.delta_web_searches) = (0, 0, 0, 0, 0, 0) ORDER BY e.sequence DESC LIMIT 1), a.price_row) AS own_price_row
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.attempt_id >= ${idFloor("att", sinceMs)} AND a.opened_at_ms >= ${sinceMs} AND a.opened_at_ms < ${untilMs}
      AND a.provider = ${provider} AND (a.state = 'unresolved' OR (a.state = 'closed' AND a.source = 'estimated'))
      AND a.is_notional = 0
    ORDER BY a.attempt_id LIMIT ${limit}`.map(uncertainOf);
}

function uncertainOf(columns: SqlRow): UncertainAttempt {
  const row = ledgerRowOf(columns);
  const own = { counts: countsOf(columns), webSearches: integer(columns, "own_web_searches"), costNanoUsd: money(columns, "own_cost_nano_usd"), priceRow: text(columns, "own_price_row") };
  const [entries, webSearches] = [integer(columns, "entries"), own.webSearches + integer(columns, "delta_web_searches")];
  const isOwn = webSearches === own.webSearches && Object.entries(own.counts).every(([kind, count]) => row.counts[kind as keyof TokenCounts] === count);
  return { row, webSearches, own, entries, isSettled: row.state === "unresolved" ? entries > 0 : !isOwn };
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

function entries(sql: SqlDatabase, attemptIds: readonly string[]): readonly Adjustment[] {
  return sql.rows`SELECT * FROM adjusting_entries WHERE attempt_id IN (SELECT value FROM json_each(${JSON.stringify(attemptIds)})) ORDER BY attempt_id, sequence`.map((row) => ({
    id: text(row, "id"),
    attemptId: text(row, "attempt_id"),
    sequence: integer(row, "sequence"),
    atMs: integer(row, "at_ms"),
    deltaNanoUsd: money(row, "delta_nano_usd"),
    deltaCounts: deltaCountsOf(row),
    deltaWebSearches: integer(row, "delta_web_searches"),
    priceRow: text(row, "price_row"),
    reason: text(row, "reason"),
  }));
}

function groupOf(row: SqlRow): BilledGroup {
  return {
    day: text(row, "day"),
    model: text(row, "billed_model"),
    knowledge: text(row, "knowledge") as Knowledge,
    attempts: integer(row, "attempts"),
    overMidnight: integer(row, "over_midnight"),
    counts: countsOf(row),
    webSearches: integer(row, "web_searches"),
    costNanoUsd: money(row, "cost_nano_usd"),
  };
}
