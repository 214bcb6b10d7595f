/** The usage store's port over a list of rows, for tests of reports: filters and sums as the port promises. */
import type { LedgerRow, UsageDimension, UsageFilter, UsageGroup, UsageStore } from "../../src/ledger/usage-store.ts";
import type { ReconcileOptions } from "../../src/admin/reconcile.ts";
import { nanoUsd, type NanoUsd } from "../../src/kernel/money.ts";
import { addCounts, zeroCounts } from "../../src/kernel/usage.ts";

/** A closed, reported row of a dollar; members replace its own. */
export function ledgerRow(members: Partial<LedgerRow> = {}): LedgerRow {
  return {
    attemptId: "att_1",
    requestId: "req_1",
    ordinal: 0,
    state: "closed",
    openedAtMs: Date.UTC(2026, 0, 1, 12),
    closedAtMs: Date.UTC(2026, 0, 1, 12, 0, 2),
    keyId: "key_1",
    userId: "ada",
    teamId: "engines",
    organizationId: null,
    endUserId: null,
    project: null,
    tags: [],
    sessionId: "session-1",
    agentId: null,
    parentAgentId: null,
    requestClass: null,
    requestedModel: "claude-opus-4-8",
    model: "claude-opus-4-8",
    upstreamModel: "claude-opus-4-8",
    servedModel: "claude-opus-4-8",
    provider: "anthropic",
    targetId: "anthropic/claude-opus-4-8",
    isStreaming: true,
    outcome: "completed",
    status: 200,
    source: "reported",
    counts: { input: 1, cacheRead: 2, cacheWrite5m: 3, cacheWrite1h: 4, output: 5 },
    serverToolUses: {},
    costNanoUsd: nanoUsd(1_000_000_000n),
    chargeNanoUsd: members.costNanoUsd ?? nanoUsd(1_000_000_000n),
    marginPpm: null,
    payer: "caller",
    isWasted: false,
    isNotional: false,
    holdNanoUsd: nanoUsd(0n),
    strictHoldNanoUsd: nanoUsd(0n),
    priceRow: "row",
    isProvisional: false,
    isUnpriced: false,
    usageJson: "{}",
    firstEventMs: 500,
    durationMs: 2_000,
    requestBytes: 10,
    responseBytes: 20,
    upstreamRequestId: null,
    loss: "",
    expectedCacheReadTokens: 0,
    cacheMiss: null,
    ...members,
  };
}

/** @param rows oldest first */
export function createMemoryUsageStore(rows: readonly LedgerRow[]): UsageStore {
  const select = (filter: UsageFilter): LedgerRow[] =>
    rows.filter(
      (row) =>
        row.openedAtMs >= (filter.sinceMs ?? Number.NEGATIVE_INFINITY) &&
        row.openedAtMs < (filter.untilMs ?? Number.POSITIVE_INFINITY) &&
        [undefined, row.keyId].includes(filter.keyId) &&
        (filter.userId === undefined || filter.userId === row.userId) &&
        (filter.teamId === undefined || filter.teamId === row.teamId) &&
        (filter.sessionId === undefined || filter.sessionId === row.sessionId) &&
        [undefined, row.requestId].includes(filter.requestId),
    );
  return {
    async groupBy(dimension, filter) {
      const groups = Map.groupBy(select(filter), (row) => valueOf(row, dimension));
      return [...groups].map(([value, members]) => groupOf(value, members)).sort((a, b) => (a.value < b.value ? -1 : 1));
    },
    coverage: async ({ sinceMs, untilMs }) => ({ sinceMs, untilMs, prunedBeforeMs: undefined }),
    rows: async (filter, limit) => select(filter).reverse().slice(0, limit),
    async spendByKey(keyIds) {
      const spent = new Map<string, NanoUsd>();
      for (const { keyId, costNanoUsd } of rows) if (keyIds.includes(keyId)) spent.set(keyId, nanoUsd((spent.get(keyId) ?? 0n) + costNanoUsd));
      return spent;
    },
    provisionalRows: async () => [],
    adjust: async () => {},
    spentSince: () => Promise.resolve([]),
    spentIn: () => Promise.resolve([]),
    unresolvedCount: async () => rows.filter(({ state }) => state === "unresolved").length,
  };
}

function valueOf(row: LedgerRow, dimension: UsageDimension): string {
  const values: Readonly<Record<UsageDimension, string | null>> = {
    key: row.keyId,
    user: row.userId,
    team: row.teamId,
    project: row.project,
    model: row.servedModel,
    provider: row.provider,
    day: new Date(row.openedAtMs).toISOString().slice(0, 10),
    session: row.sessionId,
    agent: row.agentId,
    tags: row.tags.length === 0 ? null : JSON.stringify(row.tags),
    path: JSON.stringify([row.userId ?? row.keyId, row.sessionId ?? "", row.agentId ?? ""]),
  };
  return values[dimension] ?? "";
}

function groupOf(value: string, rows: readonly LedgerRow[]): UsageGroup {
  const cost = (source: string | undefined): NanoUsd => nanoUsd(rows.filter((row) => !row.isNotional && (source === undefined || row.source === source)).reduce((sum, row) => sum + row.costNanoUsd, 0n));
  return {
    value,
    attempts: rows.length,
    counts: rows.reduce((sum, row) => addCounts(sum, row.counts), zeroCounts),
    costNanoUsd: cost(undefined),
    chargeNanoUsd: cost(undefined),
    wastedNanoUsd: nanoUsd(rows.reduce((sum, row) => (row.isWasted && !row.isNotional ? sum + row.chargeNanoUsd : sum), 0n)),
    notionalNanoUsd: nanoUsd(rows.reduce((sum, row) => (row.isNotional ? sum + row.costNanoUsd : sum), 0n)),
    reportedNanoUsd: cost("reported"),
    estimatedNanoUsd: cost("estimated"),
    adjustedNanoUsd: nanoUsd(0n),
    unresolvedAttempts: rows.filter(({ state }) => state === "unresolved").length,
    unresolvedNanoUsd: nanoUsd(rows.reduce((sum, row) => (row.state === "unresolved" ? sum + row.holdNanoUsd : sum), 0n)),
    unpricedAttempts: rows.filter(({ isUnpriced }) => isUnpriced).length,
    cache: {
      expectedReadTokens: rows.reduce((sum, row) => (row.source === "reported" ? sum + row.expectedCacheReadTokens : sum), 0),
      lostReadTokens: rows.reduce((sum, { cacheMiss }) => sum + (cacheMiss?.lostTokens ?? 0), 0),
      misses: rows.filter(({ cacheMiss }) => cacheMiss !== null).length,
      moved: rows.filter(({ cacheMiss }) => cacheMiss?.reason === "moved").length,
      missNanoUsd: nanoUsd(rows.reduce((sum, { isNotional, cacheMiss }) => (isNotional ? sum : sum + (cacheMiss?.costNanoUsd ?? 0n)), 0n)),
    },
  };
}

/** A ledger that no provider's figures can be held against: it has none whose exports can be read. */
export function createMemoryReconcile(): Pick<ReconcileOptions, "store" | "audit" | "prices"> {
  return {
    store: { billed: () => Promise.resolve([]), uncertainRows: () => Promise.resolve([]), spentBy: () => Promise.resolve([]), entriesOf: () => Promise.resolve(new Map()) },
    audit: { append: () => Promise.resolve() },
    prices: { providers: [], canonicalName: (model) => model, price: () => ({ costNanoUsd: nanoUsd(0n), priceRow: "", isPriced: true }), webSearchCost: () => 0n },
  };
}
