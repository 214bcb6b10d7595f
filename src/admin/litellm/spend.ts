/** LiteLLM's `GET /spend/logs` over the ledger: rows in the shape of its `LiteLLM_SpendLogs`, or sums by day. */
import { z } from "zod";
import type { LedgerRow, UsageFilter, UsageStore } from "../../ledger/usage-store.ts";
import { nanoUsd, usdNumber, type NanoUsd } from "../../kernel/money.ts";
import { isoOrNull, parseInstant } from "../durations.ts";
import { fieldInvalid, parseFields, queryObject } from "../fields.ts";
import type { AdminHandler, AdminReply } from "../handler.ts";
import type { KeyService } from "../keys.ts";

const dayMs = 86_400_000;
/** Rows of one answer; LiteLLM has no bound, and its answers here can exceed any memory. */
const rowsMax = 1_000;
/** Days of one summary: each costs three sums over its own rows. */
const daysMax = 100;

const querySchema = z.strictObject({
  request_id: z.string().optional(),
  api_key: z.string().optional(),
  user_id: z.string().optional(),
  start_date: z.string().optional(),
  end_date: z.string().optional(),
  summarize: z
    .enum(["true", "false", "True", "False"], "it must be true or false")
    .transform((text) => text.toLowerCase() === "true")
    .optional(),
});

/**
 * With both dates and unless `summarize=false`: one element per day. Otherwise the newest rows, at most a thousand, with
 * `x-tollgate-truncated: true` when there are more. Dates are UTC days, the last one included; instants are taken as they are.
 */
export function createSpendLogsHandler({ keys, usage }: { readonly keys: KeyService; readonly usage: UsageStore }): AdminHandler {
  return async ({ query }) => {
    const wire = parseFields(querySchema, Object.fromEntries(Object.entries(queryObject(query)).filter(([, value]) => value !== "")));
    const range = rangeOf(wire.start_date, wire.end_date);
    const keyId = wire.api_key === undefined ? undefined : (keys.find(wire.api_key)?.id ?? ledgerOnlyId(wire.api_key));
    // A key that is not known has no rows; the whole ledger would be the wrong answer.
    if (wire.api_key !== undefined && keyId === undefined) return { status: 200, body: [] };
    const filter: UsageFilter = {
      ...range,
      ...(keyId === undefined ? {} : { keyId }),
      ...(wire.user_id === undefined ? {} : { userId: wire.user_id }),
      ...(wire.request_id === undefined ? {} : { requestId: wire.request_id }),
    };
    const { sinceMs, untilMs } = range;
    if (sinceMs !== undefined && untilMs !== undefined && wire.summarize !== false) return { status: 200, body: await summaries({ keys, usage }, { ...filter, sinceMs, untilMs }) };
    return rows({ keys, usage }, filter);
  };
}

/** Ids that the ledger knows although no live key has them: of revoked keys, and the admin's. */
function ledgerOnlyId(reference: string): string | undefined {
  return reference === "admin" || reference.startsWith("key_") ? reference : undefined;
}

function rangeOf(start: string | undefined, end: string | undefined): { readonly sinceMs?: number; readonly untilMs?: number } {
  const since = start === undefined ? undefined : parseInstant("start_date", start).ms;
  const last = end === undefined ? undefined : parseInstant("end_date", end);
  const until = last === undefined ? undefined : last.ms + (last.isDay ? dayMs : 0);
  if (since !== undefined && until !== undefined && since >= until) throw fieldInvalid("start_date: it must be before end_date.");
  return { ...(since === undefined ? {} : { sinceMs: since }), ...(until === undefined ? {} : { untilMs: until }) };
}

interface Sources {
  readonly keys: KeyService;
  readonly usage: UsageStore;
}

async function rows({ keys, usage }: Sources, filter: UsageFilter): Promise<AdminReply> {
  const found = await usage.rows(filter, rowsMax + 1);
  const truncated = found.length > rowsMax ? { headers: { "x-tollgate-truncated": "true" } } : {};
  return { status: 200, ...truncated, body: found.slice(0, rowsMax).map((row) => spendLogRow(row, keys)) };
}

async function summaries(sources: Sources, filter: UsageFilter & { readonly sinceMs: number; readonly untilMs: number }): Promise<readonly unknown[]> {
  const firstDayMs = Math.floor(filter.sinceMs / dayMs) * dayMs;
  const days = Math.ceil((filter.untilMs - firstDayMs) / dayMs);
  if (days > daysMax) throw fieldInvalid(`end_date: a summary spans at most ${daysMax} days.`);
  const used = new Set((await sources.usage.groupBy("day", filter)).map(({ value }) => value));
  const found: unknown[] = [];
  for (let index = 0; index < days; index++) {
    const startMs = firstDayMs + index * dayMs;
    const day = new Date(startMs).toISOString().slice(0, 10);
    const within = { ...filter, sinceMs: Math.max(startMs, filter.sinceMs), untilMs: Math.min(startMs + dayMs, filter.untilMs) };
    found.push(used.has(day) ? await summary(sources, day, within) : { users: {}, models: {}, spend: 0, startTime: day });
  }
  return found;
}

/** LiteLLM puts each key's sum beside `users` and `models`, under the key's hash. */
async function summary({ keys, usage }: Sources, day: string, filter: UsageFilter): Promise<unknown> {
  const byKey = await usage.groupBy("key", filter);
  const [users, models] = [await usage.groupBy("user", filter), await usage.groupBy("model", filter)];
  const sums = (groups: typeof byKey): Record<string, number> => Object.fromEntries(groups.map(({ value, chargeNanoUsd }) => [value, usdNumber(chargeNanoUsd)]));
  const spend = byKey.reduce<NanoUsd>((sum, { chargeNanoUsd }) => nanoUsd(sum + chargeNanoUsd), nanoUsd(0n));
  const perKey = Object.fromEntries(byKey.map(({ value, chargeNanoUsd }) => [keys.find(value)?.tokenHash ?? value, usdNumber(chargeNanoUsd)]));
  return { ...perKey, users: sums(users), models: sums(models), spend: usdNumber(spend), startTime: day };
}

/** One attempt. `request_id` is the request's, so that failed-over attempts of one request stand together. */
function spendLogRow(row: LedgerRow, keys: KeyService): Record<string, unknown> {
  const key = keys.find(row.keyId);
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output } = row.counts;
  // LiteLLM counts everything read from or written to a cache among the prompt's tokens.
  const promptTokens = input + cacheRead + cacheWrite5m + cacheWrite1h;
  return {
    request_id: row.requestId,
    litellm_call_id: row.requestId,
    call_type: "anthropic_messages",
    api_key: key?.tokenHash ?? row.keyId,
    // What the caller's own login pays is no spend of the gateway's.
    spend: row.isNotional ? 0 : usdNumber(row.chargeNanoUsd),
    total_tokens: promptTokens + output,
    prompt_tokens: promptTokens,
    completion_tokens: output,
    startTime: isoOrNull(row.openedAtMs),
    endTime: isoOrNull(row.closedAtMs),
    completionStartTime: isoOrNull(row.firstEventMs === null ? null : row.openedAtMs + row.firstEventMs),
    request_duration_ms: row.durationMs,
    model: row.servedModel === "" ? row.upstreamModel : row.servedModel,
    model_id: row.targetId,
    model_group: row.requestedModel,
    custom_llm_provider: row.provider,
    user: row.userId ?? "",
    team_id: row.teamId,
    organization_id: row.organizationId,
    end_user: null,
    session_id: row.sessionId,
    agent_id: row.agentId,
    request_tags: row.tags,
    status: row.outcome === "completed" ? "success" : "failure",
    // About a response cache, which there is none of; prompt caches are in the usage.
    cache_hit: "",
    cache_key: "",
    messages: {},
    response: {},
    metadata: metadataOf(row, key?.alias ?? null),
  };
}

function metadataOf(row: LedgerRow, alias: string | null): Record<string, unknown> {
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output } = row.counts;
  const promptTokens = input + cacheRead + cacheWrite5m + cacheWrite1h;
  return {
    user_api_key_alias: alias,
    user_api_key_user_id: row.userId,
    user_api_key_team_id: row.teamId,
    status: row.outcome === "completed" ? "success" : "failure",
    usage_object: {
      prompt_tokens: promptTokens,
      completion_tokens: output,
      total_tokens: promptTokens + output,
      cache_read_input_tokens: cacheRead,
      cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
      prompt_tokens_details: {
        text_tokens: input,
        cached_tokens: cacheRead,
        cache_creation_tokens: cacheWrite5m + cacheWrite1h,
        cache_creation_token_details: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
      },
      ...(Object.keys(row.serverToolUses).length === 0 ? {} : { server_tool_use: row.serverToolUses }),
    },
    tollgate: { attempt_id: row.attemptId, ordinal: row.ordinal, state: row.state, source: row.source, price_row: row.priceRow, is_provisional: row.isProvisional, is_unpriced: row.isUnpriced, cost_usd: usdNumber(row.costNanoUsd), payer: row.payer, is_wasted: row.isWasted, is_notional: row.isNotional },
  };
}
