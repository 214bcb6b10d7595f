// Guarantee: spend by any dimension adds up to its total, in exact decimals; unknown keys are an error, not an empty report.
import { describe, expect, it } from "vitest";
import { createControlPlane, faultOf, type ControlPlane } from "../../test/support/control-plane.ts";
import { createMemoryUsageStore, ledgerRow } from "../../test/support/memory-usage-store.ts";
import { nanoUsd } from "../kernel/money.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { AdminCall } from "./handler.ts";
import type { KeyService } from "./keys.ts";
import { createUsageHandler } from "./usage.ts";

interface Report {
  readonly simulated_attempts: number;
  readonly groups: readonly Record<string, unknown>[];
  readonly total: Record<string, unknown>;
  readonly rows?: readonly Record<string, unknown>[];
}

async function usage(plane: ControlPlane, query: string): Promise<Report> {
  const reply = await plane.call(`GET /api/v1/usage${query}`);
  expect(reply.status).toBe(200);
  return reply.body as Report;
}

it("an attempt with two tags stands under both, and once in the total", async () => {
  const plane = await createControlPlane();
  plane.rows.push(ledgerRow({ tags: ["a", "b"], costNanoUsd: nanoUsd(5n), chargeNanoUsd: nanoUsd(5n) }), ledgerRow({ tags: ["a"], costNanoUsd: nanoUsd(2n), chargeNanoUsd: nanoUsd(2n) }), ledgerRow({ tags: [], costNanoUsd: nanoUsd(1n), chargeNanoUsd: nanoUsd(1n) }));
  const { groups, total } = (await plane.call("GET /api/v1/usage?by=tag")).body as { groups: readonly Record<string, unknown>[]; total: Record<string, unknown> };
  expect(groups.map(({ value, attempts, cost_usd }) => [value, attempts, cost_usd])).toEqual([["a", 2, "0.000000007"], ["b", 1, "0.000000005"], ["", 1, "0.000000001"]]);
  expect(total).toMatchObject({ attempts: 3, cost_usd: "0.000000008" });
});

describe("where rows are gone", () => {
  const day = (number: number, hour = 0): number => Date.UTC(2026, 0, number, hour);
  /** What is said of a query whose range is widened to whole days before 20 January. */
  const notesOf = async (query: string): Promise<{ since: unknown; until: unknown; pruned_before: unknown; notes: readonly string[] }> => {
    const usage: UsageStore = {
      ...createMemoryUsageStore([]),
      coverage: async ({ sinceMs, untilMs, sessionId }) => ({
        sinceMs: sinceMs === undefined || sessionId !== undefined ? sinceMs : Math.floor(sinceMs / 86_400_000) * 86_400_000,
        untilMs,
        prunedBeforeMs: (sinceMs ?? 0) < day(20) ? day(20) : undefined,
      }),
    };
    const keys = { find: () => undefined, list: () => [] } as unknown as KeyService;
    const handler = createUsageHandler({ keys, usage, adjustments: { entriesOf: async () => new Map() }, simulated: new Set() });
    return (await handler({ query: new URLSearchParams(query), nowMs: day(31) } as AdminCall)).body as Awaited<ReturnType<typeof notesOf>>;
  };

  it("the answer tells of which days it is", async () => {
    expect(await notesOf("by=team&since=2026-01-10T05:00:00Z")).toMatchObject({
      since: "2026-01-10T00:00:00.000Z",
      until: null,
      pruned_before: "2026-01-20T00:00:00.000Z",
      notes: ["The ledger has attempts before 2026-01-20 as sums of whole days (UTC), so the days in which the range begins and ends are in it as a whole."],
    });
    expect(await notesOf("by=team&since=2026-01-10")).toMatchObject({ pruned_before: "2026-01-20T00:00:00.000Z", notes: [] });
    expect(await notesOf("by=path&rows=5&since=2026-01-20T05:00:00Z")).toMatchObject({ pruned_before: null, notes: [] });
  });

  it.each([
    ["by=agent", ["Which session and agent attempts before 2026-01-20 were of is no longer known; they are in the sums without a name."]],
    ["by=day&rows=10", ["Single attempts before 2026-01-20 were pruned and are not among the rows."]],
    ["by=session&session=s1", ["This session's attempts before 2026-01-20 were pruned and are not in these sums."]],
  ])("%s says what is no longer known", async (query, notes) => {
    expect((await notesOf(query)).notes).toEqual(notes);
  });
});

const noMisses = { expected_cache_read_tokens: 0, lost_cache_read_tokens: 0, cache_misses: 0, moved_cache_misses: 0, cache_miss_usd: "0.00" };

describe("GET /api/v1/usage", () => {
  it("tells of prompt caches what was expected, what was lost and what that costs more, without notional money", async () => {
    const plane = await createControlPlane();
    const missed = (reason: "vanished" | "moved", members: Parameters<typeof ledgerRow>[0] = {}) => ledgerRow({ expectedCacheReadTokens: 60_000, cacheMiss: { reason, lostTokens: 50_000, costNanoUsd: nanoUsd(287_500_000n) }, ...members });
    plane.rows.push(ledgerRow({ expectedCacheReadTokens: 40_000 }), missed("vanished"), missed("moved", { isNotional: true }), ledgerRow({ expectedCacheReadTokens: 7, source: "none" }));
    const { total, rows } = await usage(plane, "?rows=3");
    expect(total).toMatchObject({ expected_cache_read_tokens: 160_000, lost_cache_read_tokens: 100_000, cache_misses: 2, moved_cache_misses: 1, cache_miss_usd: "0.2875" });
    expect(rows).toMatchObject([{ cache_miss: null, lost_cache_read_tokens: 0 }, { cache_miss: "moved" }, { cache_miss: "vanished", expected_cache_read_tokens: 60_000, lost_cache_read_tokens: 50_000, cache_miss_usd: "0.2875" }]);
  });

  it("groups by key with its alias or name, dearest first, with the total", async () => {
    const plane = await createControlPlane();
    const [named, nameless] = [await plane.create({ alias: "ada-laptop" }), await plane.create()];
    plane.rows.push(
      ledgerRow({ keyId: named.record.id }),
      ledgerRow({ keyId: nameless.record.id, costNanoUsd: nanoUsd(3_000_000_001n), source: "estimated" }),
      ledgerRow({ keyId: "key_revoked", costNanoUsd: nanoUsd(0n), source: "unresolved", state: "unresolved", isUnpriced: true }),
    );
    const report = await usage(plane, "");
    const counts = { input_tokens: 1, cache_read_tokens: 2, cache_write_5m_tokens: 3, cache_write_1h_tokens: 4, output_tokens: 5 };
    expect(report).toEqual({
      by: "key",
      since: null,
      until: null,
      pruned_before: null,
      notes: [],
      simulated_attempts: 0,
      groups: [
        { value: nameless.record.id, label: nameless.record.name, attempts: 1, ...counts, cost_usd: "3.000000001", charge_usd: "3.000000001", reported_usd: "0.00", estimated_usd: "3.000000001", adjusted_usd: "0.00", wasted_usd: "0.00", notional_usd: "0.00", unresolved_usd: "0.00", unresolved_attempts: 0, unpriced_attempts: 0, ...noMisses },
        { value: named.record.id, label: "ada-laptop", attempts: 1, ...counts, cost_usd: "1.00", charge_usd: "1.00", reported_usd: "1.00", estimated_usd: "0.00", adjusted_usd: "0.00", wasted_usd: "0.00", notional_usd: "0.00", unresolved_usd: "0.00", unresolved_attempts: 0, unpriced_attempts: 0, ...noMisses },
        { value: "key_revoked", label: "key_revoked", attempts: 1, ...counts, cost_usd: "0.00", charge_usd: "0.00", reported_usd: "0.00", estimated_usd: "0.00", adjusted_usd: "0.00", wasted_usd: "0.00", notional_usd: "0.00", unresolved_usd: "0.00", unresolved_attempts: 1, unpriced_attempts: 1, ...noMisses },
      ],
      total: {
        attempts: 3,
        input_tokens: 3,
        cache_read_tokens: 6,
        cache_write_5m_tokens: 9,
        cache_write_1h_tokens: 12,
        output_tokens: 15,
        unresolved_usd: "0.00",
        cost_usd: "4.000000001",
        charge_usd: "4.000000001",
        reported_usd: "1.00",
        estimated_usd: "3.000000001",
        adjusted_usd: "0.00",
        wasted_usd: "0.00",
        notional_usd: "0.00",
        unresolved_attempts: 1,
        unpriced_attempts: 1,
        ...noMisses,
      },
    });
  });

  it.each(["user", "team", "project", "model", "provider", "day", "session", "agent"])("groups by %s, the unattributed under an empty value", async (by) => {
    const plane = await createControlPlane();
    plane.rows.push(ledgerRow(), ledgerRow({ agentId: "agent-1", project: "gate" }));
    const report = await usage(plane, `?by=${by}`);
    expect(report.groups.reduce((sum, group) => sum + Number(group["attempts"]), 0)).toBe(2);
    expect(report.groups.some(({ value }) => value === "")).toBe(["project", "agent"].includes(by));
  });

  it("counts the attempts that were simulated, however they are grouped", async () => {
    const plane = await createControlPlane();
    plane.rows.push(ledgerRow({ provider: "demo" }), ledgerRow({ provider: "demo", userId: "bea" }), ledgerRow());
    for (const query of ["", "?by=provider", "?by=model"]) expect((await usage(plane, query)).simulated_attempts).toBe(2);
    expect((await usage(plane, "?user=bea")).simulated_attempts).toBe(1);
  });

  it("keeps days in their order", async () => {
    const plane = await createControlPlane();
    plane.rows.push(ledgerRow({ openedAtMs: Date.UTC(2026, 0, 2), costNanoUsd: nanoUsd(9n) }), ledgerRow({ openedAtMs: Date.UTC(2026, 0, 1), costNanoUsd: nanoUsd(1n) }));
    expect((await usage(plane, "?by=day")).groups.map(({ value }) => value)).toEqual(["2026-01-01", "2026-01-02"]);
  });

  it("takes a half-open range and filters, keys in whatever form", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create({ alias: "one" });
    plane.rows.push(ledgerRow({ keyId: record.id, openedAtMs: Date.UTC(2026, 0, 1) }), ledgerRow({ keyId: "key_2", openedAtMs: Date.UTC(2026, 0, 2), userId: "bea", teamId: "hulls", sessionId: "s2" }));
    const attempts = async (query: string): Promise<unknown> => (await usage(plane, query)).total["attempts"];
    for (const reference of [key, record.id, record.tokenHash, "one"]) expect(await attempts(`?key=${reference}`)).toBe(1);
    for (const query of ["?key=key_2", "?user=bea", "?team=hulls", "?session=s2", "?since=2026-01-02", "?until=2026-01-02T00:00:00Z"]) expect(await attempts(query)).toBe(1);
    for (const query of ["?key=admin", "?user=nobody", "?since=2026-01-03"]) expect(await attempts(query)).toBe(0);
    expect(await usage(plane, "?since=2026-01-01&until=2026-02-01")).toMatchObject({ since: "2026-01-01T00:00:00.000Z", until: "2026-02-01T00:00:00.000Z" });
  });

  it("adds the newest rows of the ledger on request", async () => {
    const plane = await createControlPlane();
    plane.rows.push(ledgerRow({ attemptId: "att_1" }), ledgerRow({ attemptId: "att_2", tags: ["x"] }));
    expect((await usage(plane, "")).rows).toBeUndefined();
    const { rows } = await usage(plane, "?rows=1");
    expect(rows).toHaveLength(1);
    expect(rows![0]).toMatchObject({ attempt_id: "att_2", request_id: "req_1", state: "closed", opened_at: "2026-01-01T12:00:00.000Z", cost_usd: "1.00", input_tokens: 1, source: "reported", tags: ["x"], price_row: "row" });
  });

  it.each([["by=color", 400], ["since=soon", 400], ["since=2026-01-02&until=2026-01-02", 400], ["rows=1001", 400], ["rows=-1", 400], ["colour=x", 400], ["by=key&by=user", 400], ["key=sk-unknown", 404], ["key=nobody", 404]])("refuses ?%s with %i", async (query, status) => {
    expect((await faultOf((await createControlPlane()).call(`GET /api/v1/usage?${query}`))).spec.status).toBe(status);
  });
});
