/**
 * Keeps sums of attempts by day abreast of the rows. Nothing of it is in the transaction that opens or closes an attempt: rows are added some
 * time after their opening, and one that changes later is taken out again first, so that sums and rows that are not in them make up the ledger
 * after every commit.
 */
import { idFloor } from "../../kernel/ids.ts";
import { sqlScript, type SqlDatabase } from "../sql.ts";
import { integer, text } from "./columns.ts";

/** The newest id that was looked at, as the last commit has it; moved by the upkeep alone. */
export interface RollupMark {
  value: string;
}

/** As the store has it. */
export function readRollupMark(sql: SqlDatabase): RollupMark {
  return { value: text(sql.row`SELECT mark FROM rollup_state WHERE id = 1` ?? {}, "mark") };
}

/** Call for each attempt in the transaction that inserts it: one behind the mark, after a clock was set back, would be in no report. */
export function noteOpened(sql: SqlDatabase, mark: RollupMark, attemptId: string): void {
  if (attemptId <= mark.value) void sql.run`INSERT OR IGNORE INTO rollup_pending (attempt_id) VALUES (${attemptId})`;
}

/** Call before ended attempts change, in the transaction that changes them: they leave the sums and wait to be added again. */
export function takeOut(sql: SqlDatabase, attemptIds: readonly string[]): void {
  const found = sql.rows`SELECT attempt_id FROM attempts WHERE attempt_id IN (SELECT value FROM json_each(${JSON.stringify(attemptIds)}))
    AND attempt_id <= (SELECT mark FROM rollup_state WHERE id = 1) AND attempt_id NOT IN (SELECT attempt_id FROM rollup_pending)`;
  if (found.length === 0) return;
  const ids = JSON.stringify(found.map((row) => text(row, "attempt_id")));
  addAmounts(sql, ids, -1n);
  void sql.run`INSERT INTO rollup_pending (attempt_id) SELECT value FROM json_each(${ids})`;
}

/** A step's rows, and up to where. */
export interface RollupStep {
  /** Rows that it looks at, at most. */
  readonly rowsMax: number;
  /** Attempts with ids made from here on wait; most of them run, and would have to be looked at again. */
  readonly untilMs: number;
}

/**
 * Adds ended attempts to the sums, in one transaction: those that were passed over and have ended, then the next ones behind the mark.
 *
 * @returns how many rows it looked at; 0 when there is nothing to do now
 */
export function rollUp(sql: SqlDatabase, mark: RollupMark, { rowsMax, untilMs }: RollupStep): number {
  const { last, seen } = sql.transaction(() => {
    const ended = sql.rows`SELECT a.attempt_id, a.opened_at_ms FROM rollup_pending AS p CROSS JOIN attempts AS a ON a.attempt_id = p.attempt_id
      WHERE a.state <> 'open' LIMIT ${rowsMax}`;
    const next = sql.rows`SELECT attempt_id, opened_at_ms, state FROM attempts WHERE attempt_id > ${mark.value} AND attempt_id < ${idFloor("att", untilMs)}
      ORDER BY attempt_id LIMIT ${rowsMax - ended.length}`;
    const { true: open = [], false: closed = [] } = Object.groupBy(next, (row) => (row["state"] === "open" ? "true" : "false"));
    const added = [...ended, ...closed];
    if (added.length > 0) addAmounts(sql, JSON.stringify(added.map((row) => text(row, "attempt_id"))), 1n);
    for (const row of ended) void sql.run`DELETE FROM rollup_pending WHERE attempt_id = ${text(row, "attempt_id")}`;
    for (const row of open) void sql.run`INSERT INTO rollup_pending (attempt_id) VALUES (${text(row, "attempt_id")})`;
    for (const row of added) if (isStray(text(row, "attempt_id"), integer(row, "opened_at_ms"))) void sql.run`INSERT OR IGNORE INTO rollup_strays (attempt_id) VALUES (${text(row, "attempt_id")})`;
    const newest = next.at(-1);
    if (newest !== undefined) void sql.run`UPDATE rollup_state SET mark = ${text(newest, "attempt_id")} WHERE id = 1`;
    return { last: newest === undefined ? mark.value : text(newest, "attempt_id"), seen: ended.length + next.length };
  });
  mark.value = last;
  return seen;
}

/** How much later than its attempt's opening an id may have been made for a range of ids to find it. */
export const idSlackMs = 3_600_000;

function isStray(attemptId: string, openedAtMs: number): boolean {
  return attemptId < idFloor("att", openedAtMs) || attemptId >= idFloor("att", openedAtMs + idSlackMs);
}

/** What one call adds, before it is added to the two tables; of this connection only. */
const staging = sqlScript`CREATE TEMP TABLE IF NOT EXISTS rollup_chunk AS SELECT * FROM usage_sums WHERE 0`;

/** @param ids a JSON list of attempts; as they are now, added to the sums or taken off them */
function addAmounts(sql: SqlDatabase, ids: string, sign: 1n | -1n): void {
  sql.script(staging);
  void sql.run`DELETE FROM temp.rollup_chunk`;
  void sql.run`INSERT INTO temp.rollup_chunk
    SELECT day, key_id, user_id, team_id, organization_id, project, model, provider, tags, ${sign} * count(*),
      ${sign} * sum(input_tokens), ${sign} * sum(cache_read_tokens), ${sign} * sum(cache_write_5m_tokens), ${sign} * sum(cache_write_1h_tokens), ${sign} * sum(output_tokens),
      ${sign} * sum(cost_nano_usd), ${sign} * sum(charge_nano_usd), ${sign} * sum(reported_nano_usd), ${sign} * sum(estimated_nano_usd), ${sign} * sum(adjusted_nano_usd),
      ${sign} * sum(wasted_nano_usd), ${sign} * sum(notional_nano_usd), ${sign} * sum(unresolved_attempts), ${sign} * sum(unresolved_nano_usd), ${sign} * sum(unpriced_attempts),
      ${sign} * sum(expected_cache_read_tokens), ${sign} * sum(lost_cache_read_tokens), ${sign} * sum(cache_misses), ${sign} * sum(moved_cache_misses), ${sign} * sum(cache_miss_nano_usd)
    FROM attempt_amounts WHERE attempt_id IN (SELECT value FROM json_each(${ids})) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9`;
  void sql.run`INSERT INTO usage_sums SELECT * FROM temp.rollup_chunk WHERE true
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
      input_tokens = input_tokens + excluded.input_tokens, cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
      cache_write_5m_tokens = cache_write_5m_tokens + excluded.cache_write_5m_tokens, cache_write_1h_tokens = cache_write_1h_tokens + excluded.cache_write_1h_tokens,
      output_tokens = output_tokens + excluded.output_tokens, cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd, charge_nano_usd = charge_nano_usd + excluded.charge_nano_usd,
      reported_nano_usd = reported_nano_usd + excluded.reported_nano_usd, estimated_nano_usd = estimated_nano_usd + excluded.estimated_nano_usd,
      adjusted_nano_usd = adjusted_nano_usd + excluded.adjusted_nano_usd, wasted_nano_usd = wasted_nano_usd + excluded.wasted_nano_usd,
      notional_nano_usd = notional_nano_usd + excluded.notional_nano_usd, unresolved_attempts = unresolved_attempts + excluded.unresolved_attempts,
      unresolved_nano_usd = unresolved_nano_usd + excluded.unresolved_nano_usd, unpriced_attempts = unpriced_attempts + excluded.unpriced_attempts,
      expected_cache_read_tokens = expected_cache_read_tokens + excluded.expected_cache_read_tokens, lost_cache_read_tokens = lost_cache_read_tokens + excluded.lost_cache_read_tokens,
      cache_misses = cache_misses + excluded.cache_misses, moved_cache_misses = moved_cache_misses + excluded.moved_cache_misses, cache_miss_nano_usd = cache_miss_nano_usd + excluded.cache_miss_nano_usd`;
  void sql.run`INSERT INTO usage_sums_by
    SELECT n.value, c.day, CASE n.value WHEN 'team' THEN c.team_id WHEN 'project' THEN c.project WHEN 'model' THEN c.model WHEN 'provider' THEN c.provider
        WHEN 'tags' THEN c.tags END, sum(attempts),
      sum(input_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(output_tokens),
      sum(cost_nano_usd), sum(charge_nano_usd), sum(reported_nano_usd), sum(estimated_nano_usd), sum(adjusted_nano_usd),
      sum(wasted_nano_usd), sum(notional_nano_usd), sum(unresolved_attempts), sum(unresolved_nano_usd), sum(unpriced_attempts),
      sum(expected_cache_read_tokens), sum(lost_cache_read_tokens), sum(cache_misses), sum(moved_cache_misses), sum(cache_miss_nano_usd)
    FROM json_each('["team","project","model","provider","tags"]') AS n CROSS JOIN temp.rollup_chunk AS c WHERE true GROUP BY 1, 2, 3
    ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts,
      input_tokens = input_tokens + excluded.input_tokens, cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
      cache_write_5m_tokens = cache_write_5m_tokens + excluded.cache_write_5m_tokens, cache_write_1h_tokens = cache_write_1h_tokens + excluded.cache_write_1h_tokens,
      output_tokens = output_tokens + excluded.output_tokens, cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd, charge_nano_usd = charge_nano_usd + excluded.charge_nano_usd,
      reported_nano_usd = reported_nano_usd + excluded.reported_nano_usd, estimated_nano_usd = estimated_nano_usd + excluded.estimated_nano_usd,
      adjusted_nano_usd = adjusted_nano_usd + excluded.adjusted_nano_usd, wasted_nano_usd = wasted_nano_usd + excluded.wasted_nano_usd,
      notional_nano_usd = notional_nano_usd + excluded.notional_nano_usd, unresolved_attempts = unresolved_attempts + excluded.unresolved_attempts,
      unresolved_nano_usd = unresolved_nano_usd + excluded.unresolved_nano_usd, unpriced_attempts = unpriced_attempts + excluded.unpriced_attempts,
      expected_cache_read_tokens = expected_cache_read_tokens + excluded.expected_cache_read_tokens, lost_cache_read_tokens = lost_cache_read_tokens + excluded.lost_cache_read_tokens,
      cache_misses = cache_misses + excluded.cache_misses, moved_cache_misses = moved_cache_misses + excluded.moved_cache_misses, cache_miss_nano_usd = cache_miss_nano_usd + excluded.cache_miss_nano_usd`;
}
