// Guarantee: a row booked at a stand-in gets exactly one correction to its true price once there is one, and none before.
import { describe, expect, it } from "vitest";
import { nanoUsd } from "../kernel/money.ts";
import { zeroCounts } from "../kernel/usage.ts";
import type { LedgerRow } from "../ledger/usage-store.ts";
import { createPriceBook } from "./price-book.ts";
import type { PriceRow } from "./price-row.ts";
import { repriceProvisional, type RepriceOptions } from "./reprice.ts";

const origin = { source: "https://example.com/prices", checkedOn: "2026-11-23" };
const priceRow = (model: string, input: number, rest: Partial<PriceRow> = {}): PriceRow => ({
  provider: "anthropic", model, input, cacheRead: input / 10, cacheWrite5m: input * 1.25, cacheWrite1h: input * 2, output: input * 5, ...origin, ...rest,
});
const book = createPriceBook({
  rows: [priceRow("claude-opus-4", 15_000_000), priceRow("claude-opus-6", 4_000_000), priceRow("claude-opus-6", 8_000_000, { speed: "fast" }), priceRow("claude-haiku-6", 1_000_000)],
  aliases: {},
  listed: [],
});
const options: RepriceOptions = { book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() }, kindOf: () => "anthropic", nowMs: 1_800_000_000_000 };

function row(members: Partial<LedgerRow> = {}): LedgerRow {
  return {
    attemptId: "att_1", requestId: "req_1", ordinal: 1, state: "closed", openedAtMs: 0, closedAtMs: 1, keyId: "key_1", userId: null, teamId: null, organizationId: null, endUserId: null, project: null, tags: [],
    sessionId: null, agentId: null, parentAgentId: null, requestClass: null, requestedModel: "claude-opus-6", model: "claude-opus-6", upstreamModel: "claude-opus-6", servedModel: "claude-opus-6",
    provider: "main", targetId: "target", isStreaming: true, outcome: "completed", status: 200, source: "reported", counts: { ...zeroCounts, input: 1000, output: 100 },
    serverToolUses: {}, costNanoUsd: nanoUsd(22_500_000n), chargeNanoUsd: nanoUsd(22_500_000n), marginPpm: null, payer: "caller", isWasted: false, isNotional: false, holdNanoUsd: nanoUsd(0n), strictHoldNanoUsd: nanoUsd(0n), priceRow: "provisional:anthropic/claude-opus-4", isProvisional: true, isUnpriced: false,
    usageJson: '{"input_tokens":1000,"output_tokens":100,"service_tier":"standard"}', firstEventMs: 1, durationMs: 2, requestBytes: 10, responseBytes: 10, upstreamRequestId: null, loss: "", expectedCacheReadTokens: 0, cacheMiss: null,
    ...members,
  };
}

const deltas = (rows: readonly LedgerRow[], rest: Partial<RepriceOptions> = {}): bigint[] => repriceProvisional(rows, { ...options, ...rest }).map(({ deltaNanoUsd }) => deltaNanoUsd);

describe("repricing", () => {
  it("books the difference to the true price", () => {
    expect(repriceProvisional([row()], options)).toEqual([
      { id: "adj_1", attemptId: "att_1", atMs: 1_800_000_000_000, deltaNanoUsd: 6_000_000n - 22_500_000n, priceRow: "anthropic/claude-opus-6", reason: "price of claude-opus-6 became known" },
    ]);
  });

  it("a repetition gives the same adjustment", () => expect(repriceProvisional([row()], options)).toEqual(repriceProvisional([row()], options)));
  it("leaves a row alone whose price is still unknown", () => expect(deltas([row({ upstreamModel: "claude-opus-7" })])).toEqual([]));
  it("leaves a row alone that is not provisional", () => expect(deltas([row({ isProvisional: false })])).toEqual([]));
  it("settles a row that was right by chance", () => expect(deltas([row({ costNanoUsd: nanoUsd(6_000_000n) })])).toEqual([0n]));

  it("reads the variant from the kept report", () => {
    expect(deltas([row({ usageJson: '{"speed":"fast"}' })])).toEqual([12_000_000n - 22_500_000n]);
  });

  it("prices an estimate without a report by its counts", () => {
    expect(deltas([row({ usageJson: "", source: "estimated" })])).toEqual([-16_500_000n]);
  });

  it.each(["", "not json", "[", '{"iterations":[{"input_tokens":1}]}'])("leaves a reported row alone whose report %j cannot be read", (usageJson) => {
    expect(deltas([row({ usageJson })])).toEqual([]);
  });

  it("splits parts by the given reader, and gives the first what an estimate added", () => {
    const readUsage = (): ReturnType<NonNullable<RepriceOptions["readUsage"]>> => ({
      parts: [{ counts: { ...zeroCounts, input: 900, output: 50 }, model: undefined }, { counts: { ...zeroCounts, input: 100, output: 40 }, model: "claude-haiku-6" }],
      speed: undefined, inferenceGeo: undefined, serviceTier: undefined,
    });
    // Opus 6: 900 × 4 + 60 × 20, Haiku 6: 100 × 1 + 40 × 5, in µUSD.
    expect(deltas([row()], { readUsage })).toEqual([5_100_000n - 22_500_000n]);
    expect(deltas([row({ counts: zeroCounts })], { readUsage })).toEqual([]);
  });

  it("never adds a part back that was not billed", () => {
    const unbilled = { counts: { ...zeroCounts, input: 400 }, model: undefined, isBilled: false };
    const readUsage = (): ReturnType<NonNullable<RepriceOptions["readUsage"]>> => ({
      parts: [unbilled, { counts: { ...zeroCounts, input: 600, output: 100 }, model: "claude-haiku-6" }], speed: undefined, inferenceGeo: undefined, serviceTier: undefined,
    });
    // Haiku 6 alone: 600 × 1 + 100 × 5, in µUSD.
    expect(deltas([row()], { readUsage })).toEqual([1_100_000n - 22_500_000n]);
    expect(deltas([row({ usageJson: '{"input_tokens":1000,"tollgate_unbilled_parts":[0]}' })])).toEqual([]);
  });

  it("touches a row with an operator's price only when it is told that price", () => {
    const overridden = row({ priceRow: "provisional:anthropic/claude-opus-4+override" });
    expect(deltas([overridden])).toEqual([]);
    expect(deltas([overridden], { targetPricingOf: () => ({ priceModel: undefined, override: { input: 0n } }) })).toEqual([2_000_000n - 22_500_000n]);
  });
});
