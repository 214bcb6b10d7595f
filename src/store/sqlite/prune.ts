/**
 * Removes rows of attempts that are old enough and final. What counts under budgets and what a provider may bill of them is kept in sums, in
 * the transaction that removes them; reports have them in theirs already.
 */
import { idFloor } from "../../kernel/ids.ts";
import type { SqlDatabase } from "../sql.ts";
import { integer, text } from "./columns.ts";

/** One step of a pass over the old end of the ledger. */
export interface PruneStep {
  /** The beginning of a UTC day; attempts opened before it go. */
  readonly horizonMs: number;
  /** The last id that the pass has looked at; empty at its beginning. */
  readonly after: string;
  /** Rows that it looks at, at most. */
  readonly rowsMax: number;
  /** Providers whose own figures can settle estimates: theirs stay until that has happened. */
  readonly reconcilable: readonly string[];
}

/** How far a step came; `after` is undefined where the pass has ended. */
export interface PruneProgress {
  readonly after: string | undefined;
  readonly pruned: number;
}

/**
 * Rows stay that run, that nobody knows the cost of until somebody adjusts it, that wait for a price, and that are not in the sums.
 * One transaction.
 */
export function prune(sql: SqlDatabase, { horizonMs, after, rowsMax, reconcilable }: PruneStep): PruneProgress {
  return sql.transaction(() => {
    const seen = sql.rows`
      SELECT a.attempt_id, a.state <> 'open' AND a.opened_at_ms < ${horizonMs} AND a.attempt_id NOT IN (SELECT attempt_id FROM rollup_pending)
          AND (a.is_provisional = 0 OR d.attempt_id IS NOT NULL)
          AND CASE WHEN a.state = 'unresolved' THEN d.attempt_id IS NOT NULL
            WHEN a.source = 'estimated' AND a.is_notional = 0 AND a.provider IN (SELECT value FROM json_each(${JSON.stringify(reconcilable)}))
              THEN d.attempt_id IS NOT NULL AND (d.delta_input_tokens, d.delta_cache_read_tokens, d.delta_cache_write_5m_tokens, d.delta_cache_write_1h_tokens,
                d.delta_output_tokens, d.delta_web_searches) <> (0, 0, 0, 0, 0, 0)
            ELSE 1 END AS is_prunable
      FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
      WHERE a.attempt_id > ${after} AND a.attempt_id < ${idFloor("att", horizonMs)} AND a.attempt_id <= (SELECT mark FROM rollup_state WHERE id = 1)
      ORDER BY a.attempt_id LIMIT ${rowsMax}`;
    const ids = seen.filter((row) => integer(row, "is_prunable") === 1).map((row) => text(row, "attempt_id"));
    if (ids.length > 0) remove(sql, ids, horizonMs);
    const last = seen.at(-1);
    return { after: last === undefined || seen.length < rowsMax ? undefined : text(last, "attempt_id"), pruned: ids.length };
  });
}

function remove(sql: SqlDatabase, ids: readonly string[], horizonMs: number): void {
  void sql.run`INSERT INTO prune_pass (attempt_id) SELECT value FROM json_each(${JSON.stringify(ids)})`;
  keepSpend(sql);
  keepBills(sql);
  void sql.run`DELETE FROM adjustments WHERE attempt_id IN (SELECT attempt_id FROM prune_pass)`;
  void sql.run`DELETE FROM attempts WHERE attempt_id IN (SELECT attempt_id FROM prune_pass)`;
  void sql.run`DELETE FROM rollup_strays WHERE attempt_id IN (SELECT attempt_id FROM prune_pass)`;
  void sql.run`DELETE FROM prune_pass`;
  void sql.run`UPDATE rollup_state SET pruned_before_ms = max(pruned_before_ms, CAST(${horizonMs} AS INTEGER)) WHERE id = 1`;
}

/** As the budgets' own read of the rows has it; by day, since a lifetime has no other parts, and by session for the budgets of those. */
function keepSpend(sql: SqlDatabase): void {
  void sql.run`INSERT INTO pruned_spend (day, key_id, user_id, team_id, organization_id, end_user_id, project, tags, session_id, model, provider, target_id, payer, amount_source, amount_nano_usd)
    SELECT a.opened_at_ms / 86400000, a.key_id, a.user_id, a.team_id, a.organization_id, a.end_user_id, a.project, a.tags, a.session_id,
      coalesce(a.model, a.requested_model), a.provider, a.target_id, a.payer, iif(a.source = 'estimated', 'estimated', 'reported'),
      sum(coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0))
    FROM prune_pass AS p CROSS JOIN attempts AS a ON a.attempt_id = p.attempt_id LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.payer IS NOT 'client' GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 HAVING sum(coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0)) <> 0
    ON CONFLICT DO UPDATE SET amount_nano_usd = amount_nano_usd + excluded.amount_nano_usd`;
}

/** As reconciling reads the rows. */
function keepBills(sql: SqlDatabase): void {
  const web = "$.web_search_requests";
  void sql.run`INSERT INTO pruned_bills
    SELECT a.provider, a.opened_at_ms / 86400000, coalesce(nullif(a.served_model, ''), a.upstream_model),
      CASE WHEN d.attempt_id IS NOT NULL AND (a.state = 'unresolved' OR (d.delta_input_tokens, d.delta_cache_read_tokens, d.delta_cache_write_5m_tokens, d.delta_cache_write_1h_tokens,
          d.delta_output_tokens, d.delta_web_searches) <> (0, 0, 0, 0, 0, 0)) THEN 'adjusted' ELSE a.source END,
      count(*), coalesce(sum(a.closed_at_ms / 86400000 > a.opened_at_ms / 86400000), 0),
      sum(a.input_tokens + coalesce(d.delta_input_tokens, 0)), sum(a.cache_read_tokens + coalesce(d.delta_cache_read_tokens, 0)),
      sum(a.cache_write_5m_tokens + coalesce(d.delta_cache_write_5m_tokens, 0)), sum(a.cache_write_1h_tokens + coalesce(d.delta_cache_write_1h_tokens, 0)),
      sum(a.output_tokens + coalesce(d.delta_output_tokens, 0)),
      sum(coalesce(json_extract(a.server_tool_uses, ${web}), 0) + coalesce(d.delta_web_searches, 0)),
      sum(a.cost_nano_usd + coalesce(d.delta_nano_usd, 0))
    FROM prune_pass AS p CROSS JOIN attempts AS a ON a.attempt_id = p.attempt_id LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.source <> 'none' AND a.is_notional = 0 GROUP BY 1, 2, 3, 4
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, over_midnight = over_midnight + excluded.over_midnight,
      input_tokens = input_tokens + excluded.input_tokens, cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
      cache_write_5m_tokens = cache_write_5m_tokens + excluded.cache_write_5m_tokens, cache_write_1h_tokens = cache_write_1h_tokens + excluded.cache_write_1h_tokens,
      output_tokens = output_tokens + excluded.output_tokens, web_searches = web_searches + excluded.web_searches, cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd`;
}
