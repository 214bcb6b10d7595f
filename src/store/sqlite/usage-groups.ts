/**
 * Reports: attempts summed by a dimension. Whole days come from the sums that are kept; rows are read only where those cannot know: attempts
 * that are not in them yet, parts of a day, and sessions and agents.
 */
import type { UsageCoverage, UsageDimension, UsageFilter, UsageGroup } from "../../ledger/usage-store.ts";
import { idFloor } from "../../kernel/ids.ts";
import { nanoUsd } from "../../kernel/money.ts";
import { addCounts, type TokenCounts } from "../../kernel/usage.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { countsOf, integer, money, text } from "./columns.ts";
import { idSlackMs } from "./rollups.ts";

const dayMs = 86_400_000;
/** Before and after every day that is. */
const [firstDay, lastDay] = [-1_000_000_000, 1_000_000_000];
/** After every id. */
const lastId = "~";

/** `developer`: the user, else the key. */
type Dimension = UsageDimension | "developer";

/** What the sums are at one state of the store. */
interface State {
  readonly mark: string;
  readonly prunedBeforeMs: number;
}

function stateOf(sql: SqlDatabase): State {
  const row = sql.row`SELECT mark, pruned_before_ms FROM rollup_state WHERE id = 1` ?? {};
  return { mark: text(row, "mark"), prunedBeforeMs: integer(row, "pruned_before_ms") };
}

/** The range that {@link groups} sums: where rows may be gone, whole days. */
export function coverage(sql: SqlDatabase, filter: UsageFilter): UsageCoverage {
  return coverageOf(filter, stateOf(sql).prunedBeforeMs);
}

function coverageOf(filter: UsageFilter, prunedBeforeMs: number): UsageCoverage {
  const { sinceMs, untilMs } = filter;
  if (prunedBeforeMs <= Math.max(0, sinceMs ?? 0)) return { sinceMs, untilMs, prunedBeforeMs: undefined };
  if (isOfRows(filter)) return { sinceMs, untilMs, prunedBeforeMs };
  return {
    sinceMs: sinceMs === undefined ? undefined : Math.floor(sinceMs / dayMs) * dayMs,
    untilMs: untilMs === undefined || untilMs >= prunedBeforeMs ? untilMs : Math.ceil(untilMs / dayMs) * dayMs,
    prunedBeforeMs,
  };
}

/** No sum tells of sessions and requests. */
function isOfRows({ sessionId, requestId }: UsageFilter): boolean {
  return sessionId !== undefined || requestId !== undefined;
}

/** In the order of the values. */
export function groups(sql: SqlDatabase, dimension: UsageDimension, filter: UsageFilter): readonly UsageGroup[] {
  return sql.read(() => {
    const state = stateOf(sql);
    const { sinceMs, untilMs, prunedBeforeMs } = coverageOf(filter, state.prunedBeforeMs);
    const { sinceMs: _since, untilMs: _until, ...rest } = filter;
    const whole = { ...rest, ...(sinceMs === undefined ? {} : { sinceMs }), ...(untilMs === undefined ? {} : { untilMs }) };
    const isRowDimension = dimension === "session" || dimension === "agent" || dimension === "path";
    if (!isOfRows(whole) && !isRowDimension) return sorted(kept(sql, { dimension, filter: whole, state }));
    const found = new Groups().add(rowsBetween(sql, dimension, whole, { from: floorOf(whole), upTo: lastId, hasPending: true }));
    if (isRowDimension && !isOfRows(whole) && prunedBeforeMs !== undefined) addPruned(found, sql, { dimension, filter: whole, state });
    return sorted(found);
  });
}

interface Query {
  readonly dimension: Dimension;
  readonly filter: UsageFilter;
  readonly state: State;
}

/** What the sums have more than the rows is of rows that are gone: their sessions and agents are not known, their developers are. */
function addPruned(found: Groups, sql: SqlDatabase, { dimension, filter, state }: Query): void {
  const by = dimension === "path" ? "developer" : "provider";
  const missing = kept(sql, { dimension: by, filter, state });
  missing.add(rowsBetween(sql, by, filter, { from: floorOf(filter), upTo: lastId, hasPending: true }), -1);
  found.add(missing.values().map((group) => ({ ...group, value: dimension === "path" ? JSON.stringify([group.value, "", ""]) : "" })));
}

/** The kept sums of whole days, and rows for what is not in them. */
function kept(sql: SqlDatabase, { dimension, filter, state: { mark } }: Query): Groups {
  const { sinceMs, untilMs } = filter;
  const from = sinceMs === undefined ? firstDay : Math.ceil(sinceMs / dayMs);
  const to = untilMs === undefined ? lastDay : Math.floor(untilMs / dayMs);
  const found = new Groups();
  if (from < to) found.add(isFiltered(filter) || !keptDimensions.has(dimension) ? sums(sql, dimension, filter, { from, to }) : sumsBy(sql, dimension, { from, to }));
  found.add(rowsBetween(sql, dimension, filter, { from: laterOf(floorOf(filter), `${mark} `), upTo: lastId, hasPending: false }));
  found.add(rowsOf(sql, dimension, filter, idsOf(sql.rows`SELECT attempt_id FROM rollup_pending`)));
  for (const part of partsOfDays(sinceMs, untilMs)) {
    const upTo = idFloor("att", part.untilMs + idSlackMs);
    found.add(rowsBetween(sql, dimension, { ...filter, ...part }, { from: idFloor("att", part.sinceMs), upTo: upTo < mark ? upTo : mark, hasPending: false }));
    found.add(rowsOf(sql, dimension, { ...filter, ...part }, idsOf(sql.rows`SELECT attempt_id FROM rollup_strays WHERE attempt_id NOT IN (SELECT attempt_id FROM rollup_pending)`)), 1);
  }
  return found;
}

/** What of a range is not whole days. */
function partsOfDays(sinceMs: number | undefined, untilMs: number | undefined): readonly { readonly sinceMs: number; readonly untilMs: number }[] {
  const head = sinceMs === undefined ? undefined : { sinceMs, untilMs: Math.min(untilMs ?? Infinity, Math.ceil(sinceMs / dayMs) * dayMs) };
  const tail = untilMs === undefined ? undefined : { sinceMs: Math.max(head?.untilMs ?? 0, Math.floor(untilMs / dayMs) * dayMs), untilMs };
  return [head, tail].filter((part) => part !== undefined && part.sinceMs < part.untilMs) as { sinceMs: number; untilMs: number }[];
}

function isFiltered({ keyId, userId, teamId }: UsageFilter): boolean {
  return keyId !== undefined || userId !== undefined || teamId !== undefined;
}

/** Those with sums of their own. Keys and users are so many that theirs would be hardly fewer than those of everything. */
const keptDimensions: ReadonlySet<Dimension> = new Set<Dimension>(["team", "project", "model", "provider", "tags", "day"]);

/** No wanted row has a smaller id: an id is never older than the moment or the request it was made for. */
export function floorOf({ sinceMs, requestId }: UsageFilter): string {
  const bySince = sinceMs === undefined ? "" : idFloor("att", sinceMs);
  const byRequest = /^req_[0-9A-Z]{26}$/.test(requestId ?? "") ? `att_${requestId?.slice(4, 14)}` : "";
  return laterOf(bySince, byRequest);
}

function laterOf(a: string, b: string): string {
  return a > b ? a : b;
}

function idsOf(rows: readonly SqlRow[]): string {
  return JSON.stringify(rows.map((row) => text(row, "attempt_id")));
}

/** Both included. */
interface IdRange {
  readonly from: string;
  readonly upTo: string;
  /** Whether rows that the sums have passed over are wanted here. */
  readonly hasPending: boolean;
}

/**
 * One statement for every dimension: which column it groups by is a bound value, so no text is ever put together. Grouping
 * reads the whole range in any case, and the choice costs a comparison a row.
 */
function rowsBetween(sql: SqlDatabase, dimension: Dimension, filter: UsageFilter, { from, upTo, hasPending }: IdRange): readonly UsageGroup[] {
  const { since, until, key, user, team, session, request } = bindsOf(filter);
  return sql.rows`
    SELECT coalesce(CASE ${dimension} WHEN 'key' THEN key_id WHEN 'user' THEN user_id WHEN 'team' THEN team_id WHEN 'project' THEN project WHEN 'model' THEN model
        WHEN 'provider' THEN provider WHEN 'day' THEN strftime('%Y-%m-%d', day * 86400, 'unixepoch') WHEN 'session' THEN session_id WHEN 'agent' THEN agent_id WHEN 'tags' THEN tags
        WHEN 'developer' THEN coalesce(nullif(user_id, ''), key_id) WHEN 'path' THEN json_array(coalesce(nullif(user_id, ''), key_id), coalesce(session_id, ''), coalesce(agent_id, '')) END, '') AS value,
      count(*) AS attempts, sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
      sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(output_tokens) AS output_tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(charge_nano_usd) AS charge_nano_usd,
      sum(reported_nano_usd) AS reported_nano_usd, sum(estimated_nano_usd) AS estimated_nano_usd, sum(adjusted_nano_usd) AS adjusted_nano_usd, sum(wasted_nano_usd) AS wasted_nano_usd,
      sum(notional_nano_usd) AS notional_nano_usd, sum(unresolved_attempts) AS unresolved_attempts, sum(unresolved_nano_usd) AS unresolved_nano_usd, sum(unpriced_attempts) AS unpriced_attempts,
      sum(expected_cache_read_tokens) AS expected_cache_read_tokens, sum(lost_cache_read_tokens) AS lost_cache_read_tokens, sum(cache_misses) AS cache_misses, sum(moved_cache_misses) AS moved_cache_misses, sum(cache_miss_nano_usd) AS cache_miss_nano_usd
    FROM attempt_amounts
    WHERE attempt_id >= ${from} AND attempt_id <= ${upTo} AND (${hasPending ? 1 : 0} OR attempt_id NOT IN (SELECT attempt_id FROM rollup_pending))
      AND (${since} IS NULL OR opened_at_ms >= ${since}) AND (${until} IS NULL OR opened_at_ms < ${until})
      AND (${key} IS NULL OR key_id = ${key}) AND (${user} IS NULL OR user_id = ${user}) AND (${team} IS NULL OR team_id = ${team})
      AND (${session} IS NULL OR session_id = ${session}) AND (${request} IS NULL OR request_id = ${request})
    GROUP BY 1`.map(groupOf);
}

/** @param ids a JSON list */
function rowsOf(sql: SqlDatabase, dimension: Dimension, filter: UsageFilter, ids: string): readonly UsageGroup[] {
  const { since, until, key, user, team } = bindsOf(filter);
  if (ids === "[]") return [];
  return sql.rows`
    SELECT CASE ${dimension} WHEN 'key' THEN key_id WHEN 'user' THEN user_id WHEN 'team' THEN team_id WHEN 'project' THEN project WHEN 'model' THEN model
        WHEN 'provider' THEN provider WHEN 'day' THEN strftime('%Y-%m-%d', day * 86400, 'unixepoch') WHEN 'tags' THEN tags
        WHEN 'developer' THEN coalesce(nullif(user_id, ''), key_id) END AS value,
      count(*) AS attempts, sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
      sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(output_tokens) AS output_tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(charge_nano_usd) AS charge_nano_usd,
      sum(reported_nano_usd) AS reported_nano_usd, sum(estimated_nano_usd) AS estimated_nano_usd, sum(adjusted_nano_usd) AS adjusted_nano_usd, sum(wasted_nano_usd) AS wasted_nano_usd,
      sum(notional_nano_usd) AS notional_nano_usd, sum(unresolved_attempts) AS unresolved_attempts, sum(unresolved_nano_usd) AS unresolved_nano_usd, sum(unpriced_attempts) AS unpriced_attempts,
      sum(expected_cache_read_tokens) AS expected_cache_read_tokens, sum(lost_cache_read_tokens) AS lost_cache_read_tokens, sum(cache_misses) AS cache_misses, sum(moved_cache_misses) AS moved_cache_misses, sum(cache_miss_nano_usd) AS cache_miss_nano_usd
    FROM attempt_amounts
    WHERE attempt_id IN (SELECT value FROM json_each(${ids})) AND (${since} IS NULL OR opened_at_ms >= ${since}) AND (${until} IS NULL OR opened_at_ms < ${until})
      AND (${key} IS NULL OR key_id = ${key}) AND (${user} IS NULL OR user_id = ${user}) AND (${team} IS NULL OR team_id = ${team})
    GROUP BY 1`.map(groupOf);
}

/** Half-open. */
interface Days {
  readonly from: number;
  readonly to: number;
}

function sums(sql: SqlDatabase, dimension: Dimension, filter: UsageFilter, { from, to }: Days): readonly UsageGroup[] {
  const { key, user, team } = bindsOf(filter);
  return sql.rows`
    SELECT CASE ${dimension} WHEN 'key' THEN key_id WHEN 'user' THEN user_id WHEN 'team' THEN team_id WHEN 'project' THEN project WHEN 'model' THEN model
        WHEN 'provider' THEN provider WHEN 'day' THEN strftime('%Y-%m-%d', day * 86400, 'unixepoch') WHEN 'tags' THEN tags
        WHEN 'developer' THEN coalesce(nullif(user_id, ''), key_id) END AS value,
      sum(attempts) AS attempts, sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
      sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(output_tokens) AS output_tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(charge_nano_usd) AS charge_nano_usd,
      sum(reported_nano_usd) AS reported_nano_usd, sum(estimated_nano_usd) AS estimated_nano_usd, sum(adjusted_nano_usd) AS adjusted_nano_usd, sum(wasted_nano_usd) AS wasted_nano_usd,
      sum(notional_nano_usd) AS notional_nano_usd, sum(unresolved_attempts) AS unresolved_attempts, sum(unresolved_nano_usd) AS unresolved_nano_usd, sum(unpriced_attempts) AS unpriced_attempts,
      sum(expected_cache_read_tokens) AS expected_cache_read_tokens, sum(lost_cache_read_tokens) AS lost_cache_read_tokens, sum(cache_misses) AS cache_misses, sum(moved_cache_misses) AS moved_cache_misses, sum(cache_miss_nano_usd) AS cache_miss_nano_usd
    FROM usage_sums
    WHERE day >= ${from} AND day < ${to} AND (${key} IS NULL OR key_id = ${key}) AND (${user} IS NULL OR user_id = ${user}) AND (${team} IS NULL OR team_id = ${team})
    GROUP BY 1`.map(groupOf);
}

/** Days have no sums of their own: those of the few providers make them. */
function sumsBy(sql: SqlDatabase, dimension: Dimension, { from, to }: Days): readonly UsageGroup[] {
  return sql.rows`
    SELECT iif(${dimension} = 'day', strftime('%Y-%m-%d', day * 86400, 'unixepoch'), value) AS value,
      sum(attempts) AS attempts, sum(input_tokens) AS input_tokens, sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
      sum(cache_write_1h_tokens) AS cache_write_1h_tokens, sum(output_tokens) AS output_tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(charge_nano_usd) AS charge_nano_usd,
      sum(reported_nano_usd) AS reported_nano_usd, sum(estimated_nano_usd) AS estimated_nano_usd, sum(adjusted_nano_usd) AS adjusted_nano_usd, sum(wasted_nano_usd) AS wasted_nano_usd,
      sum(notional_nano_usd) AS notional_nano_usd, sum(unresolved_attempts) AS unresolved_attempts, sum(unresolved_nano_usd) AS unresolved_nano_usd, sum(unpriced_attempts) AS unpriced_attempts,
      sum(expected_cache_read_tokens) AS expected_cache_read_tokens, sum(lost_cache_read_tokens) AS lost_cache_read_tokens, sum(cache_misses) AS cache_misses, sum(moved_cache_misses) AS moved_cache_misses, sum(cache_miss_nano_usd) AS cache_miss_nano_usd
    FROM usage_sums_by
    WHERE dimension = ${dimension === "day" ? "provider" : dimension} AND day >= ${from} AND day < ${to} GROUP BY 1`.map(groupOf);
}

/** The filter as bind values; null lets everything through. */
function bindsOf({ sinceMs, untilMs, keyId, userId, teamId, sessionId, requestId }: UsageFilter) {
  return { since: sinceMs ?? null, until: untilMs ?? null, key: keyId ?? null, user: userId ?? null, team: teamId ?? null, session: sessionId ?? null, request: requestId ?? null };
}

/** Groups by their values; those that are added twice are one. */
class Groups {
  readonly #byValue = new Map<string, UsageGroup>();

  add(added: Iterable<UsageGroup>, sign: 1 | -1 = 1): this {
    for (const group of added) {
      const known = this.#byValue.get(group.value);
      this.#byValue.set(group.value, known === undefined && sign === 1 ? group : sumOf(known, group, sign));
    }
    return this;
  }

  values(): readonly UsageGroup[] {
    return [...this.#byValue.values()].filter(({ attempts }) => attempts !== 0);
  }
}

function sorted(found: Groups): readonly UsageGroup[] {
  return found.values().toSorted((a, b) => (a.value < b.value ? -1 : 1));
}

function sumOf(a: UsageGroup | undefined, b: UsageGroup, sign: 1 | -1): UsageGroup {
  const by = (of: (group: UsageGroup) => bigint) => nanoUsd((a === undefined ? 0n : of(a)) + BigInt(sign) * of(b));
  const counts = scaled(b.counts, sign);
  return {
    value: b.value,
    attempts: (a?.attempts ?? 0) + sign * b.attempts,
    counts: a === undefined ? counts : addCounts(a.counts, counts),
    costNanoUsd: by((group) => group.costNanoUsd),
    chargeNanoUsd: by((group) => group.chargeNanoUsd),
    wastedNanoUsd: by((group) => group.wastedNanoUsd),
    notionalNanoUsd: by((group) => group.notionalNanoUsd),
    reportedNanoUsd: by((group) => group.reportedNanoUsd),
    estimatedNanoUsd: by((group) => group.estimatedNanoUsd),
    adjustedNanoUsd: by((group) => group.adjustedNanoUsd),
    unresolvedAttempts: (a?.unresolvedAttempts ?? 0) + sign * b.unresolvedAttempts,
    unresolvedNanoUsd: by((group) => group.unresolvedNanoUsd),
    unpricedAttempts: (a?.unpricedAttempts ?? 0) + sign * b.unpricedAttempts,
    cache: {
      expectedReadTokens: (a?.cache.expectedReadTokens ?? 0) + sign * b.cache.expectedReadTokens,
      lostReadTokens: (a?.cache.lostReadTokens ?? 0) + sign * b.cache.lostReadTokens,
      misses: (a?.cache.misses ?? 0) + sign * b.cache.misses,
      moved: (a?.cache.moved ?? 0) + sign * b.cache.moved,
      missNanoUsd: by((group) => group.cache.missNanoUsd),
    },
  };
}

function scaled(counts: TokenCounts, sign: 1 | -1): TokenCounts {
  if (sign === 1) return counts;
  return { input: -counts.input, cacheRead: -counts.cacheRead, cacheWrite5m: -counts.cacheWrite5m, cacheWrite1h: -counts.cacheWrite1h, output: -counts.output };
}

function groupOf(row: SqlRow): UsageGroup {
  return {
    value: text(row, "value"),
    attempts: integer(row, "attempts"),
    counts: countsOf(row),
    costNanoUsd: money(row, "cost_nano_usd"),
    chargeNanoUsd: money(row, "charge_nano_usd"),
    wastedNanoUsd: money(row, "wasted_nano_usd"),
    notionalNanoUsd: money(row, "notional_nano_usd"),
    reportedNanoUsd: money(row, "reported_nano_usd"),
    estimatedNanoUsd: money(row, "estimated_nano_usd"),
    adjustedNanoUsd: money(row, "adjusted_nano_usd"),
    unresolvedAttempts: integer(row, "unresolved_attempts"),
    unresolvedNanoUsd: money(row, "unresolved_nano_usd"),
    unpricedAttempts: integer(row, "unpriced_attempts"),
    cache: {
      expectedReadTokens: integer(row, "expected_cache_read_tokens"),
      lostReadTokens: integer(row, "lost_cache_read_tokens"),
      misses: integer(row, "cache_misses"),
      moved: integer(row, "moved_cache_misses"),
      missNanoUsd: money(row, "cache_miss_nano_usd"),
    },
  };
}
