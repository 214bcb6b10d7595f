/** The statements of the hot path: one row per attempt, opened, then closed. */
import type { AttemptClosing, AttemptOpening } from "../../pipeline/books.ts";
import type { NanoUsd } from "../../kernel/money.ts";
import type { SqlDatabase } from "../sql.ts";

/** Inserts the row, in state `open`. Throws SQLite's constraint error when the id exists already. */
export function openAttempt(sql: SqlDatabase, opening: AttemptOpening): void {
  void sql.run`INSERT INTO attempts (attempt_id, state, request_id, ordinal, opened_at_ms, key_id, user_id, team_id, project, tags,
      session_id, agent_id, parent_agent_id, request_class, requested_model, upstream_model, provider, target_id, is_streaming, request_bytes,
      organization_id, end_user_id, model, hold_nano_usd, strict_hold_nano_usd,
      payer, is_notional, margin_ppm, expected_cache_read_tokens)
    VALUES (${opening.attemptId}, 'open', ${opening.requestId}, ${opening.ordinal}, ${opening.openedAtMs}, ${opening.keyId}, ${opening.userId},
      ${opening.teamId}, ${opening.project}, ${opening.tags.length === 0 ? null : JSON.stringify(opening.tags)}, ${opening.sessionId},
      ${opening.agentId}, ${opening.parentAgentId}, ${opening.requestClass}, ${opening.requestedModel}, ${opening.upstreamModel},
      ${opening.provider}, ${opening.targetId}, ${opening.isStreaming ? 1 : 0}, ${opening.requestBytes},
      ${opening.organizationId}, ${opening.endUserId}, ${opening.model === opening.requestedModel ? null : opening.model}, ${opening.holdNanoUsd}, ${opening.strictHoldNanoUsd},
      ${payerOrNull(opening)}, ${opening.isNotional === true ? 1 : 0}, ${opening.marginPpm ?? null}, ${opening.expectedCacheReadTokens ?? 0})`;
}

/** Of an attempt that is still open. */
export function raiseHold(sql: SqlDatabase, attemptId: string, holdNanoUsd: bigint): void {
  void sql.run`UPDATE attempts SET hold_nano_usd = ${holdNanoUsd} WHERE attempt_id = ${attemptId} AND state = 'open'`;
}

/** @returns false when the row is not open, that is when it has been closed before; nothing is written then */
export function closeAttempt(sql: SqlDatabase, closing: AttemptClosing): boolean {
  const { counts } = closing;
  return (
    sql.run`UPDATE attempts SET state = ${closing.source === "unresolved" ? "unresolved" : "closed"}, closed_at_ms = ${whole(closing.closedAtMs)},
      outcome = ${closing.outcome}, status = ${whole(closing.status)}, source = ${closing.source}, input_tokens = ${whole(counts.input)},
      cache_read_tokens = ${whole(counts.cacheRead)}, cache_write_5m_tokens = ${whole(counts.cacheWrite5m)},
      cache_write_1h_tokens = ${whole(counts.cacheWrite1h)}, output_tokens = ${whole(counts.output)},
      server_tool_uses = ${jsonUnlessEmpty(closing.serverToolUses)}, served_model = ${closing.servedModel}, cost_nano_usd = ${closing.costNanoUsd},
      price_row = ${closing.priceRow}, is_provisional = ${closing.isProvisional ? 1 : 0}, is_unpriced = ${closing.isUnpriced ? 1 : 0},
      usage_json = ${closing.usageJson}, first_event_ms = ${closing.firstEventMs === null ? null : whole(closing.firstEventMs)},
      duration_ms = ${whole(closing.durationMs)}, response_bytes = ${whole(closing.responseBytes)}, upstream_request_id = ${closing.upstreamRequestId},
      loss = ${closing.loss === "" ? null : closing.loss}, payer = ${payerOrNull(closing)},
      margin_ppm = CASE WHEN ${payerOrNull(closing)} IS NULL THEN margin_ppm END, is_wasted = ${closing.isWasted === true ? 1 : 0},
      charge_nano_usd = ${closing.chargeNanoUsd === closing.costNanoUsd ? null : (closing.chargeNanoUsd ?? null)},
      cache_miss = ${closing.cacheMiss?.reason ?? null}, lost_cache_read_tokens = ${whole(closing.cacheMiss?.lostTokens ?? 0)}, cache_miss_nano_usd = ${closing.cacheMiss?.costNanoUsd ?? 0n}
      WHERE attempt_id = ${closing.attemptId} AND state = 'open'` === 1
  );
}

/** Ends an attempt without any figures. */
export function abandonAttempt(sql: SqlDatabase, attemptId: string, closedAtMs: number): void {
  void sql.run`UPDATE attempts SET state = 'unresolved', outcome = 'unresolved', source = 'unresolved', closed_at_ms = ${whole(closedAtMs)}
    WHERE attempt_id = ${attemptId} AND state = 'open'`;
}

/** What a closing adds to the spend of its key. */
export function keySpendOf({ payer, costNanoUsd, chargeNanoUsd }: AttemptClosing): NanoUsd {
  return payer === undefined || payer === "caller" ? (chargeNanoUsd ?? costNanoUsd) : (0n as NanoUsd);
}

function payerOrNull({ payer }: Pick<AttemptOpening, "payer">): string | null {
  return payer === undefined || payer === "caller" ? null : payer;
}

/** INTEGER columns of a STRICT table refuse fractions, and a refused closing would lose its money with its milliseconds. */
function whole(value: number): number {
  return Number.isSafeInteger(value) ? value : Number.isFinite(value) ? Math.round(value) : 0;
}

function jsonUnlessEmpty(uses: Readonly<Record<string, number>>): string | null {
  for (const _ in uses) return JSON.stringify(uses);
  return null;
}
