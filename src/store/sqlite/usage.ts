/** Reads of the ledger, and corrections of it. Reports see every attempt with the sum of its adjusting entries, if it has any. */
import type { Adjustment, CacheMiss, LedgerRow, UsageFilter, UsageStore } from "../../ledger/usage-store.ts";
import type { Spent } from "../../ledger/ledger.ts";
import type { Payer } from "../../ledger/scope.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import { idFloor } from "../../kernel/ids.ts";
import { charged, nanoUsd, type NanoUsd } from "../../kernel/money.ts";
import { addCounts, zeroCounts, type TokenCounts, type UsageSource } from "../../kernel/usage.ts";
import { sqlScript, type SqlDatabase, type SqlRow } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { boolean, countsOf, integer, integerOrNull, json, money, text, textOrNull } from "./columns.ts";
import { takeOut } from "./rollups.ts";
import { createSpendBatch } from "./spend.ts";
import { coverage, floorOf, groups } from "./usage-groups.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteUsage(sql: SqlDatabase): UsageStore {
  let hasSessionIndex = false;
  return {
    groupBy: async (dimension, filter) => attempt(() => groups(sql, dimension, filter)),
    coverage: async (filter) => attempt(() => coverage(sql, filter)),
    rows: async (filter, limit) => attempt(() => ledgerRows(sql, filter, limit)),
    spendByKey: async (keyIds) => attempt(() => spend(sql, keyIds)),
    provisionalRows: async (limit, afterAttemptId) => attempt(() => provisional(sql, limit, afterAttemptId ?? "")),
    adjust: async (adjustments) => attempt(() => sql.transaction(() => writeAdjustments(sql, adjustments))),
    spentSince: async (sinceMs, stepMs) => attempt(() => spent(sql, { sinceMs, stepMs, sessionId: undefined })),
    async spentIn(sessionId, sinceMs) {
      return attempt(() => {
        if (!hasSessionIndex) sql.script(sessionIndex);
        hasSessionIndex = true;
        return spent(sql, { sinceMs, stepMs: 1_000, sessionId });
      });
    },
    unresolvedCount: async () => attempt(() => unresolved(sql)),
  };
}

/** It makes the commit of each opening about twice as dear, so it is made where somebody asks for sessions, and stays. */
const sessionIndex = sqlScript`CREATE INDEX IF NOT EXISTS attempts_session ON attempts (session_id) WHERE session_id IS NOT NULL`;

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}

/** The filter as bind values; null lets everything through. */
interface Bounds {
  readonly since: number | null;
  readonly until: number | null;
  readonly key: string | null;
  readonly user: string | null;
  readonly team: string | null;
  readonly session: string | null;
  readonly request: string | null;
  /** No wanted row has a smaller id. */
  readonly floor: string;
}

function boundsOf(filter: UsageFilter): Bounds {
  return {
    since: filter.sinceMs ?? null,
    until: filter.untilMs ?? null,
    key: filter.keyId ?? null,
    user: filter.userId ?? null,
    team: filter.teamId ?? null,
    session: filter.sessionId ?? null,
    request: filter.requestId ?? null,
    floor: floorOf(filter),
  };
}

/** Ordered by id, which is the order of opening within a process. */
function ledgerRows(sql: SqlDatabase, filter: UsageFilter, limit: number): readonly LedgerRow[] {
  const { since, until, key, user, team, session, request, floor } = boundsOf(filter);
  return sql.rows`
    SELECT a.*, d.delta_nano_usd, d.charge_delta_nano_usd, d.price_row AS adjusted_price_row, d.delta_input_tokens, d.delta_cache_read_tokens, d.delta_cache_write_5m_tokens,
      d.delta_cache_write_1h_tokens, d.delta_output_tokens
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.attempt_id >= ${floor}
      AND (${since} IS NULL OR a.opened_at_ms >= ${since}) AND (${until} IS NULL OR a.opened_at_ms < ${until})
      AND (${key} IS NULL OR a.key_id = ${key}) AND (${user} IS NULL OR a.user_id = ${user}) AND (${team} IS NULL OR a.team_id = ${team})
      AND (${session} IS NULL OR a.session_id = ${session}) AND (${request} IS NULL OR a.request_id = ${request})
    ORDER BY a.attempt_id DESC LIMIT ${limit}`.map(ledgerRowOf);
}

function spend(sql: SqlDatabase, keyIds: readonly string[]): ReadonlyMap<string, NanoUsd> {
  const found = sql.rows`SELECT key_id, settled_nano_usd FROM key_spend WHERE key_id IN (SELECT value FROM json_each(${JSON.stringify(keyIds)}))`;
  return new Map(found.map((row) => [text(row, "key_id"), money(row, "settled_nano_usd")]));
}

/** What to read for budgets; one session's own rows are found by its index. */
interface SpentQuery {
  readonly sinceMs: number;
  readonly stepMs: number;
  readonly sessionId: string | undefined;
}

function spent(sql: SqlDatabase, query: SpentQuery): readonly Spent[] {
  const rows = query.sessionId === undefined ? [...spentByAll(sql, query), ...prunedByAll(sql, query)] : [...spentBySession(sql, query, query.sessionId), ...prunedBySession(sql, query, query.sessionId)];
  return rows.map(spentRowOf);
}

/** Of a day in which a window begins nobody knows any more what was in it: all of it counts, at the day's end, rather than nothing. */
function prunedByAll(sql: SqlDatabase, { sinceMs, stepMs }: SpentQuery): readonly SqlRow[] {
  return sql.rows`
    SELECT key_id, user_id, team_id, organization_id, end_user_id, project, tags, NULL AS session_id, model, provider, target_id, payer,
      (day + 1) * 86400000 - CAST(${stepMs} AS INTEGER) AS step_ms, amount_source, sum(amount_nano_usd) AS amount_nano_usd, sum(amount_nano_usd) AS strict_nano_usd
    FROM pruned_spend WHERE day >= CAST(${Math.floor(sinceMs / 86_400_000)} AS INTEGER) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14`;
}

function prunedBySession(sql: SqlDatabase, { sinceMs, stepMs }: SpentQuery, sessionId: string): readonly SqlRow[] {
  return sql.rows`
    SELECT key_id, user_id, team_id, organization_id, end_user_id, project, tags, session_id, model, provider, target_id, payer,
      (day + 1) * 86400000 - CAST(${stepMs} AS INTEGER) AS step_ms, amount_source, amount_nano_usd, amount_nano_usd AS strict_nano_usd
    FROM pruned_spend WHERE session_id = ${sessionId} AND day >= CAST(${Math.floor(sinceMs / 86_400_000)} AS INTEGER)`;
}

function spentByAll(sql: SqlDatabase, { sinceMs, stepMs }: SpentQuery): readonly SqlRow[] {
  return sql.rows`
    SELECT a.key_id, a.user_id, a.team_id, a.organization_id, a.end_user_id, a.project, a.tags, NULL AS session_id,
      coalesce(a.model, a.requested_model) AS model, a.provider, a.target_id, a.payer, a.opened_at_ms - a.opened_at_ms % CAST(${stepMs} AS INTEGER) AS step_ms,
      CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN 'unresolved' WHEN a.source = 'estimated' THEN 'estimated' ELSE 'reported' END AS amount_source,
      sum(CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN a.hold_nano_usd ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END) AS amount_nano_usd,
      sum(CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN max(a.hold_nano_usd, a.strict_hold_nano_usd) ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END) AS strict_nano_usd
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.attempt_id >= ${sinceMs <= 0 ? "" : idFloor("att", sinceMs)} AND a.opened_at_ms >= ${sinceMs} AND a.state <> 'open'
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14`;
}

function spentBySession(sql: SqlDatabase, { sinceMs, stepMs }: SpentQuery, sessionId: string): readonly SqlRow[] {
  return sql.rows`
    SELECT a.key_id, a.user_id, a.team_id, a.organization_id, a.end_user_id, a.project, a.tags, a.session_id,
      coalesce(a.model, a.requested_model) AS model, a.provider, a.target_id, a.payer, a.opened_at_ms - a.opened_at_ms % CAST(${stepMs} AS INTEGER) AS step_ms,
      CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN 'unresolved' WHEN a.source = 'estimated' THEN 'estimated' ELSE 'reported' END AS amount_source,
      sum(CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN a.hold_nano_usd ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END) AS amount_nano_usd,
      sum(CASE WHEN a.state = 'unresolved' AND d.attempt_id IS NULL THEN max(a.hold_nano_usd, a.strict_hold_nano_usd) ELSE coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) END) AS strict_nano_usd
    FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id
    WHERE a.session_id = ${sessionId} AND a.attempt_id >= ${sinceMs <= 0 ? "" : idFloor("att", sinceMs)} AND a.opened_at_ms >= ${sinceMs} AND a.state <> 'open'
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14`;
}

/** Of the columns of a spender, `step_ms`, `amount_source`, `amount_nano_usd` and `strict_nano_usd`. */
export function spentRowOf(row: SqlRow): Spent {
  return {
    spender: {
      keyId: text(row, "key_id"),
      userId: textOrNull(row, "user_id"),
      teamId: textOrNull(row, "team_id"),
      organizationId: textOrNull(row, "organization_id"),
      endUserId: textOrNull(row, "end_user_id"),
      project: textOrNull(row, "project"),
      tags: json<readonly string[]>(row, "tags", []),
      sessionId: textOrNull(row, "session_id"),
      model: text(row, "model"),
      provider: text(row, "provider"),
      targetId: text(row, "target_id"),
      ...payerOf(row),
    },
    dispatchedAtMs: integer(row, "step_ms"),
    amountNanoUsd: money(row, "amount_nano_usd"),
    strictNanoUsd: money(row, "strict_nano_usd"),
    source: text(row, "amount_source") as Spent["source"],
  };
}

function provisional(sql: SqlDatabase, limit: number, afterAttemptId: string): readonly LedgerRow[] {
  return sql.rows`
    SELECT a.*, NULL AS delta_nano_usd, NULL AS charge_delta_nano_usd, NULL AS adjusted_price_row FROM attempts AS a
    WHERE a.is_provisional = 1 AND a.state = 'closed' AND a.attempt_id > ${afterAttemptId} AND NOT EXISTS (SELECT 1 FROM adjustments AS d WHERE d.attempt_id = a.attempt_id)
    ORDER BY a.attempt_id LIMIT ${limit}`.map(ledgerRowOf);
}

function unresolved(sql: SqlDatabase): number {
  const found = sql.row`SELECT count(*) AS attempts FROM attempts AS a
    WHERE a.state = 'unresolved' AND NOT EXISTS (SELECT 1 FROM adjustments AS d WHERE d.attempt_id = a.attempt_id)`;
  return integer(found ?? {}, "attempts");
}

/** The entries, and the totals of their keys, in the transaction under way. An entry whose number its attempt has already is not written. */
function writeAdjustments(sql: SqlDatabase, adjustments: readonly Adjustment[]): void {
  const batch = createSpendBatch();
  takeOut(sql, adjustments.map(({ attemptId }) => attemptId));
  for (const { id, attemptId, sequence = 0, atMs, deltaNanoUsd, deltaCounts = zeroCounts, deltaWebSearches = 0, priceRow, reason } of adjustments) {
    const owner = sql.row`SELECT a.key_id, a.payer, a.margin_ppm, a.cost_nano_usd + coalesce(d.delta_nano_usd, 0) AS cost_nano_usd,
        coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0) AS charge_nano_usd
      FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id WHERE a.attempt_id = ${attemptId} AND a.state <> 'open'`;
    if (owner === undefined) throw new GatewayError("gateway_internal", { internal: `there is no closed attempt ${attemptId} to adjust` });
    const chargeDelta = chargeDeltaOf(owner, deltaNanoUsd);
    const written = sql.run`INSERT INTO adjusting_entries (attempt_id, sequence, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason,
        delta_input_tokens, delta_cache_read_tokens, delta_cache_write_5m_tokens, delta_cache_write_1h_tokens, delta_output_tokens, delta_web_searches)
      VALUES (${attemptId}, ${sequence}, ${id}, ${atMs}, ${deltaNanoUsd}, ${chargeDelta === deltaNanoUsd ? null : chargeDelta}, ${priceRow}, ${reason},
        ${deltaCounts.input}, ${deltaCounts.cacheRead}, ${deltaCounts.cacheWrite5m}, ${deltaCounts.cacheWrite1h}, ${deltaCounts.output}, ${deltaWebSearches})`;
    if (written === 1 && owner["payer"] === null) batch.add(text(owner, "key_id"), chargeDelta, 0);
  }
  batch.write(sql);
}

/** What the correction of a cost makes of the charge, by the margin of the attempt's own time; both as earlier entries left them. */
function chargeDeltaOf(attemptRow: SqlRow, deltaNanoUsd: NanoUsd): NanoUsd {
  const cost = money(attemptRow, "cost_nano_usd");
  return nanoUsd(charged(cost + deltaNanoUsd, integerOrNull(attemptRow, "margin_ppm") ?? undefined) - money(attemptRow, "charge_nano_usd"));
}

function payerOf(row: SqlRow): { readonly payer?: Payer } {
  const payer = textOrNull(row, "payer");
  return payer === null ? {} : { payer: payer as Payer };
}

/** Of the five columns of an adjustment. */
export function deltaCountsOf(row: SqlRow): TokenCounts {
  return {
    input: integer(row, "delta_input_tokens"),
    cacheRead: integer(row, "delta_cache_read_tokens"),
    cacheWrite5m: integer(row, "delta_cache_write_5m_tokens"),
    cacheWrite1h: integer(row, "delta_cache_write_1h_tokens"),
    output: integer(row, "delta_output_tokens"),
  };
}

function largerOf(a: NanoUsd, b: NanoUsd): NanoUsd {
  return a > b ? a : b;
}

function cacheMissOf(row: SqlRow): CacheMiss | null {
  const reason = textOrNull(row, "cache_miss");
  return reason === null ? null : { reason: reason as CacheMiss["reason"], lostTokens: integer(row, "lost_cache_read_tokens"), costNanoUsd: money(row, "cache_miss_nano_usd") };
}

/** Of all columns of an attempt, with those of its adjustments' sum or NULL. An adjusted row shows the price row of its last adjustment and is no longer provisional; the stored row stays as it was. */
export function ledgerRowOf(row: SqlRow): LedgerRow {
  const isAdjusted = row["delta_nano_usd"] !== null;
  const cost = money(row, "cost_nano_usd");
  const charge = row["charge_nano_usd"] === null ? cost : money(row, "charge_nano_usd");
  return {
    attemptId: text(row, "attempt_id"),
    requestId: text(row, "request_id"),
    ordinal: integer(row, "ordinal"),
    state: text(row, "state") as LedgerRow["state"],
    openedAtMs: integer(row, "opened_at_ms"),
    closedAtMs: integerOrNull(row, "closed_at_ms"),
    keyId: text(row, "key_id"),
    userId: textOrNull(row, "user_id"),
    teamId: textOrNull(row, "team_id"),
    organizationId: textOrNull(row, "organization_id"),
    endUserId: textOrNull(row, "end_user_id"),
    project: textOrNull(row, "project"),
    tags: json<readonly string[]>(row, "tags", []),
    sessionId: textOrNull(row, "session_id"),
    agentId: textOrNull(row, "agent_id"),
    parentAgentId: textOrNull(row, "parent_agent_id"),
    requestClass: textOrNull(row, "request_class"),
    requestedModel: text(row, "requested_model"),
    model: textOrNull(row, "model") ?? text(row, "requested_model"),
    upstreamModel: text(row, "upstream_model"),
    servedModel: text(row, "served_model"),
    provider: text(row, "provider"),
    targetId: text(row, "target_id"),
    isStreaming: boolean(row, "is_streaming"),
    outcome: text(row, "outcome"),
    status: integer(row, "status"),
    source: text(row, "source") as UsageSource,
    counts: isAdjusted ? addCounts(countsOf(row), deltaCountsOf(row)) : countsOf(row),
    serverToolUses: json<Readonly<Record<string, number>>>(row, "server_tool_uses", {}),
    costNanoUsd: isAdjusted ? ((cost + money(row, "delta_nano_usd")) as NanoUsd) : cost,
    chargeNanoUsd: isAdjusted ? nanoUsd(charge + money(row, row["charge_delta_nano_usd"] === null ? "delta_nano_usd" : "charge_delta_nano_usd")) : charge,
    marginPpm: integerOrNull(row, "margin_ppm"),
    payer: payerOf(row).payer ?? "caller",
    isWasted: boolean(row, "is_wasted"),
    isNotional: boolean(row, "is_notional"),
    holdNanoUsd: money(row, "hold_nano_usd"),
    strictHoldNanoUsd: largerOf(money(row, "hold_nano_usd"), money(row, "strict_hold_nano_usd")),
    priceRow: text(row, isAdjusted ? "adjusted_price_row" : "price_row"),
    isProvisional: !isAdjusted && boolean(row, "is_provisional"),
    isUnpriced: boolean(row, "is_unpriced"),
    usageJson: text(row, "usage_json"),
    firstEventMs: integerOrNull(row, "first_event_ms"),
    durationMs: integerOrNull(row, "duration_ms"),
    requestBytes: integer(row, "request_bytes"),
    responseBytes: integer(row, "response_bytes"),
    upstreamRequestId: textOrNull(row, "upstream_request_id"),
    loss: textOrNull(row, "loss") ?? "",
    expectedCacheReadTokens: integer(row, "expected_cache_read_tokens"),
    cacheMiss: cacheMissOf(row),
  };
}
