/** `GET /api/v1/usage`: spend by any dimension, money as decimal strings, and the ledger's own rows on request. */
import { z } from "zod";
import type { ReconcileStore } from "../ledger/reconcile-store.ts";
import type { Adjustment, LedgerRow, UsageCoverage, UsageFilter, UsageGroup, UsageStore } from "../ledger/usage-store.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { formatUsd, nanoUsd } from "../kernel/money.ts";
import { addCounts, zeroCounts, type TokenCounts } from "../kernel/usage.ts";
import { isoOrNull, parseInstant } from "./durations.ts";
import { fieldInvalid, parseFields, queryObject } from "./fields.ts";
import type { AdminHandler } from "./handler.ts";
import type { KeyService } from "./keys.ts";

const dimensions = ["key", "user", "team", "project", "model", "provider", "day", "session", "agent", "tag", "path"] as const;
const rowsMax = 1_000;
const moneyDigits = 2;

const querySchema = z.strictObject({
  by: z.enum(dimensions, `it must be one of ${dimensions.join(", ")}`).default("key"),
  since: z.string().optional(),
  until: z.string().optional(),
  key: z.string().optional(),
  user: z.string().optional(),
  team: z.string().optional(),
  session: z.string().optional(),
  rows: z
    .string()
    .regex(/^\d{1,6}$/, "it must be a whole number")
    .transform(Number)
    .refine((count) => count <= rowsMax, `it must be at most ${rowsMax}`)
    .optional(),
});

/** Where it reads. */
export interface UsageSources {
  readonly keys: KeyService;
  readonly usage: UsageStore;
  readonly adjustments: Pick<ReconcileStore, "entriesOf">;
  /** Names of providers whose answers are simulated. */
  readonly simulated: ReadonlySet<string>;
}

/**
 * Groups, dearest first (days in their own order), with their total and how many attempts a simulation answered; `rows=N` adds the newest N rows, each with its adjusting entries. The range is half open over
 * the time an attempt was opened; a bare date is its beginning in UTC. Where rows are gone, `since` and `until` are those of whole days, and
 * `notes` says so in sentences, as it does of what is no longer known there.
 */
export function createUsageHandler({ keys, usage, adjustments, simulated }: UsageSources): AdminHandler {
  return async ({ query }) => {
    const wire = parseFields(querySchema, queryObject(query));
    const filter = filterOf(wire, keys);
    const groups = wire.by === "tag" ? byTag(await usage.groupBy("tags", filter)) : [...(await usage.groupBy(wire.by, filter))];
    // Days stay in their own order; everything else is read from the top.
    if (wire.by !== "day") groups.sort((a, b) => Number(b.chargeNanoUsd > a.chargeNanoUsd) - Number(b.chargeNanoUsd < a.chargeNanoUsd) || (a.value < b.value ? -1 : 1));
    const byProvider = wire.by === "provider" ? groups : await usage.groupBy("provider", filter);
    const rows = wire.rows === undefined ? {} : { rows: await renderRows(await usage.rows(filter, wire.rows), adjustments) };
    // Asked last: rows that go while the others are read must not be missing without a word.
    const coverage = await usage.coverage(filter);
    return {
      status: 200,
      body: {
        by: wire.by,
        since: isoOrNull(coverage.sinceMs ?? null),
        until: isoOrNull(coverage.untilMs ?? null),
        pruned_before: isoOrNull(coverage.prunedBeforeMs ?? null),
        notes: notesOf(wire, filter, coverage),
        simulated_attempts: byProvider.reduce((sum, { value, attempts }) => sum + (simulated.has(value) ? attempts : 0), 0),
        groups: groups.map((group) => ({ value: group.value, label: labelOf(wire.by, group.value, keys), ...renderSums(group) })),
        // Not of the groups: an attempt with two tags stands in both.
        total: renderSums(byProvider.reduce(addGroups, emptySums)),
        ...rows,
      },
    };
  };
}

/** One sentence for each thing that the answer cannot tell of attempts whose rows are gone. */
function notesOf({ by, session, rows }: z.infer<typeof querySchema>, { sinceMs, untilMs }: UsageFilter, coverage: UsageCoverage): readonly string[] {
  if (coverage.prunedBeforeMs === undefined) return [];
  const before = `attempts before ${new Date(coverage.prunedBeforeMs).toISOString().slice(0, 10)}`;
  const isWidened = coverage.sinceMs !== sinceMs || coverage.untilMs !== untilMs;
  return [
    ...(session === undefined ? [] : [`This session's ${before} were pruned and are not in these sums.`]),
    ...(isWidened ? [`The ledger has ${before} as sums of whole days (UTC), so the days in which the range begins and ends are in it as a whole.`] : []),
    ...(session === undefined && (by === "session" || by === "agent" || by === "path") ? [`Which session and agent ${before} were of is no longer known; they are in the sums without a name.`] : []),
    ...(rows === undefined ? [] : [`Single ${before} were pruned and are not among the rows.`]),
  ];
}

/** A developer, session and agent; the key by its alias where no user is known. */
function labelOf(dimension: (typeof dimensions)[number], value: string, keys: KeyService): string {
  if (dimension === "key") return keyLabel(keys, value);
  if (dimension !== "path") return value;
  const [developer = "", ...rest] = JSON.parse(value) as readonly string[];
  return JSON.stringify([developer.startsWith("key_") ? keyLabel(keys, developer) : developer, ...rest]);
}

/** Each attempt under each of its tags, and under none where it has none. */
function byTag(sets: readonly UsageGroup[]): UsageGroup[] {
  const tags = new Map<string, Sums>();
  for (const { value, ...sums } of sets) {
    for (const tag of value === "" ? [""] : new Set(JSON.parse(value) as readonly string[])) tags.set(tag, addGroups(tags.get(tag) ?? emptySums, sums));
  }
  return [...tags].map(([value, sums]) => ({ value, ...sums }));
}

function filterOf(wire: z.infer<typeof querySchema>, keys: KeyService): UsageFilter {
  const sinceMs = wire.since === undefined ? undefined : parseInstant("since", wire.since).ms;
  const untilMs = wire.until === undefined ? undefined : parseInstant("until", wire.until).ms;
  if (sinceMs !== undefined && untilMs !== undefined && sinceMs >= untilMs) throw fieldInvalid("since: it must be before until.");
  return {
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(wire.key === undefined ? {} : { keyId: keyIdOf(keys, wire.key) }),
    ...(wire.user === undefined ? {} : { userId: wire.user }),
    ...(wire.team === undefined ? {} : { teamId: wire.team }),
    ...(wire.session === undefined ? {} : { sessionId: wire.session }),
  };
}

/** An id is taken as it is, since the ledger outlives its keys; anything else must be a live key. */
function keyIdOf(keys: KeyService, reference: string): string {
  if (reference === "admin" || reference.startsWith("key_")) return reference;
  const found = keys.find(reference) ?? keys.list().find(({ alias }) => alias === reference);
  if (found === undefined) throw new GatewayError("client_object_missing", { publicText: "There is no such key." });
  return found.id;
}

function keyLabel(keys: KeyService, keyId: string): string {
  const key = keys.find(keyId);
  return key?.alias ?? key?.name ?? keyId;
}

type Sums = Omit<UsageGroup, "value">;

const emptySums: Sums = {
  attempts: 0,
  counts: zeroCounts,
  costNanoUsd: nanoUsd(0n),
  chargeNanoUsd: nanoUsd(0n),
  wastedNanoUsd: nanoUsd(0n),
  notionalNanoUsd: nanoUsd(0n),
  reportedNanoUsd: nanoUsd(0n),
  estimatedNanoUsd: nanoUsd(0n),
  adjustedNanoUsd: nanoUsd(0n),
  unresolvedAttempts: 0,
  unresolvedNanoUsd: nanoUsd(0n),
  unpricedAttempts: 0,
  cache: { expectedReadTokens: 0, lostReadTokens: 0, misses: 0, moved: 0, missNanoUsd: nanoUsd(0n) },
};

function addGroups(a: Sums, b: Sums): Sums {
  return {
    attempts: a.attempts + b.attempts,
    counts: addCounts(a.counts, b.counts),
    costNanoUsd: nanoUsd(a.costNanoUsd + b.costNanoUsd),
    chargeNanoUsd: nanoUsd(a.chargeNanoUsd + b.chargeNanoUsd),
    wastedNanoUsd: nanoUsd(a.wastedNanoUsd + b.wastedNanoUsd),
    notionalNanoUsd: nanoUsd(a.notionalNanoUsd + b.notionalNanoUsd),
    reportedNanoUsd: nanoUsd(a.reportedNanoUsd + b.reportedNanoUsd),
    estimatedNanoUsd: nanoUsd(a.estimatedNanoUsd + b.estimatedNanoUsd),
    adjustedNanoUsd: nanoUsd(a.adjustedNanoUsd + b.adjustedNanoUsd),
    unresolvedAttempts: a.unresolvedAttempts + b.unresolvedAttempts,
    unresolvedNanoUsd: nanoUsd(a.unresolvedNanoUsd + b.unresolvedNanoUsd),
    unpricedAttempts: a.unpricedAttempts + b.unpricedAttempts,
    cache: {
      expectedReadTokens: a.cache.expectedReadTokens + b.cache.expectedReadTokens,
      lostReadTokens: a.cache.lostReadTokens + b.cache.lostReadTokens,
      misses: a.cache.misses + b.cache.misses,
      moved: a.cache.moved + b.cache.moved,
      missNanoUsd: nanoUsd(a.cache.missNanoUsd + b.cache.missNanoUsd),
    },
  };
}

function renderSums(sums: Sums): Record<string, unknown> {
  return {
    attempts: sums.attempts,
    ...renderCounts(sums.counts),
    cost_usd: formatUsd(sums.costNanoUsd, moneyDigits),
    charge_usd: formatUsd(sums.chargeNanoUsd, moneyDigits),
    reported_usd: formatUsd(sums.reportedNanoUsd, moneyDigits),
    estimated_usd: formatUsd(sums.estimatedNanoUsd, moneyDigits),
    adjusted_usd: formatUsd(sums.adjustedNanoUsd, moneyDigits),
    wasted_usd: formatUsd(sums.wastedNanoUsd, moneyDigits),
    notional_usd: formatUsd(sums.notionalNanoUsd, moneyDigits),
    unresolved_attempts: sums.unresolvedAttempts,
    unresolved_usd: formatUsd(sums.unresolvedNanoUsd, moneyDigits),
    unpriced_attempts: sums.unpricedAttempts,
    expected_cache_read_tokens: sums.cache.expectedReadTokens,
    lost_cache_read_tokens: sums.cache.lostReadTokens,
    cache_misses: sums.cache.misses,
    moved_cache_misses: sums.cache.moved,
    cache_miss_usd: formatUsd(sums.cache.missNanoUsd, moneyDigits),
  };
}

function renderCounts(counts: TokenCounts): Record<string, number> {
  return {
    input_tokens: counts.input,
    cache_read_tokens: counts.cacheRead,
    cache_write_5m_tokens: counts.cacheWrite5m,
    cache_write_1h_tokens: counts.cacheWrite1h,
    output_tokens: counts.output,
  };
}

async function renderRows(rows: readonly LedgerRow[], adjustments: Pick<ReconcileStore, "entriesOf">): Promise<readonly Record<string, unknown>[]> {
  const entries = await adjustments.entriesOf(rows.map(({ attemptId }) => attemptId));
  return rows.map((row) => ({ ...renderRow(row), adjustments: (entries.get(row.attemptId) ?? []).map(renderAdjustment) }));
}

function renderAdjustment({ id, atMs, deltaNanoUsd, deltaCounts = zeroCounts, priceRow, reason }: Adjustment): Record<string, unknown> {
  return { id, at: isoOrNull(atMs), delta_usd: formatUsd(deltaNanoUsd, moneyDigits), ...renderCounts(deltaCounts), price_row: priceRow, reason };
}

function renderRow(row: LedgerRow): Record<string, unknown> {
  return {
    attempt_id: row.attemptId,
    request_id: row.requestId,
    ordinal: row.ordinal,
    state: row.state,
    opened_at: isoOrNull(row.openedAtMs),
    closed_at: isoOrNull(row.closedAtMs),
    key_id: row.keyId,
    user_id: row.userId,
    team_id: row.teamId,
    project: row.project,
    tags: row.tags,
    session_id: row.sessionId,
    agent_id: row.agentId,
    parent_agent_id: row.parentAgentId,
    request_class: row.requestClass,
    requested_model: row.requestedModel,
    model: row.model,
    upstream_model: row.upstreamModel,
    served_model: row.servedModel,
    provider: row.provider,
    target_id: row.targetId,
    is_streaming: row.isStreaming,
    outcome: row.outcome,
    status: row.status,
    source: row.source,
    ...renderCounts(row.counts),
    server_tool_uses: row.serverToolUses,
    cost_usd: formatUsd(row.costNanoUsd, moneyDigits),
    charge_usd: formatUsd(row.chargeNanoUsd, moneyDigits),
    payer: row.payer,
    is_wasted: row.isWasted,
    is_notional: row.isNotional,
    price_row: row.priceRow,
    is_provisional: row.isProvisional,
    is_unpriced: row.isUnpriced,
    usage_json: row.usageJson,
    first_event_ms: row.firstEventMs,
    duration_ms: row.durationMs,
    request_bytes: row.requestBytes,
    response_bytes: row.responseBytes,
    upstream_request_id: row.upstreamRequestId,
    loss: row.loss,
    expected_cache_read_tokens: row.expectedCacheReadTokens,
    cache_miss: row.cacheMiss?.reason ?? null,
    lost_cache_read_tokens: row.cacheMiss?.lostTokens ?? 0,
    cache_miss_usd: formatUsd(row.cacheMiss?.costNanoUsd ?? nanoUsd(0n), moneyDigits),
  };
}
