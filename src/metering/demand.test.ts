// Guarantee: no bill within a request's bytes and max_tokens is above the bound, estimates follow the price book exactly, and what has no bound says so.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PriceOverride, PricesConfig } from "../config/gateway-config.ts";
import { zeroCounts, type TokenCounts, type Usage } from "../kernel/usage.ts";
import { boundOf, demandOf, hiddenPromptTokensMax, type DemandInput } from "./demand.ts";
import { createLearnedOutput, type LearnedOutput } from "./learned-output.ts";
import { loadPriceBook } from "./price-book.ts";
import type { PricingContext, RequestedVariant } from "./price-sheet.ts";
import { priceUsage } from "./pricing.ts";
import { createSessionMemory, type SessionMemory } from "./session-memory.ts";

const model = "claude-opus-5-5";
const book = loadPriceBook();
const plainPrices: PricesConfig = { multiplierPpm: 1_000_000n, overrides: new Map() };
const ordinary: RequestedVariant = { speed: undefined, inferenceGeo: undefined, serviceTier: undefined };
const opus: PricingContext = { provider: "anthropic", upstreamModel: model, priceModel: undefined, override: undefined, book, prices: plainPrices };

function inputOf(members: Partial<DemandInput> = {}): DemandInput {
  const requestBytes = members.requestBytes ?? 240_000;
  return {
    pricing: opus, variant: ordinary, keyId: "vk_1", model, sessionId: "s", nowMs: 10_000, requestBytes, textBytes: requestBytes, imageTokens: 0, outputTokensMax: 128_000, hasOneHourCache: false,
    unseenInputTokensMax: () => 0, hasFurtherRuns: false, serverTools: {}, learned: createLearnedOutput(), sessions: createSessionMemory(), ...members,
  };
}
const usageOf = (members: Partial<TokenCounts>, rest: Partial<Usage> = {}): Usage => ({
  parts: [{ counts: { ...zeroCounts, ...members }, model: undefined }], serverToolUses: {}, ...ordinary, source: "reported", ...rest,
});
const cost = (pricing: PricingContext, usage: Usage): bigint => priceUsage({ ...pricing, usage }).costNanoUsd;

/** Bodies of four bytes a token. */
function learnedAtFour(): LearnedOutput {
  const learned = createLearnedOutput();
  for (let count = 0; count < 200; count++) learned.noteInput(model, 40_000, 10_000);
  return learned;
}

/** After a turn of 60,000 tokens, 97 % of them read from the cache. */
function warmSession(hasOneHourCache = false): SessionMemory {
  const sessions = createSessionMemory();
  const written = hasOneHourCache ? { cacheWrite1h: 1_800 } : { cacheWrite5m: 1_800 };
  sessions.note("s", model, { parts: [{ counts: { ...zeroCounts, cacheRead: 58_200, ...written }, model: undefined }], requestBytes: 240_000, hasOneHourCache, atMs: 1_000 });
  return sessions;
}

describe("a turn of 60,000 tokens on Opus", () => {
  it("costs $0.30 cold, $0.60 where an hour is asked for, and a fortieth once its session is warm", () => {
    const demand = demandOf(inputOf({ learned: learnedAtFour(), sessions: warmSession(), requestBytes: 247_200 }));
    // 61,800 tokens at $5; 60,000 at $0.20 and 1,800 at $5.
    expect(demand).toMatchObject({ cold: 309_000_000n, warm: 21_000_000n });
    expect(demandOf(inputOf({ learned: learnedAtFour(), requestBytes: 240_000 }))).toMatchObject({ cold: 300_000_000n, warm: undefined });
    expect(demandOf(inputOf({ learned: learnedAtFour(), hasOneHourCache: true, sessions: warmSession(true), requestBytes: 247_200, nowMs: 3_000_000 }))).toMatchObject({ cold: 494_400_000n, warm: 26_400_000n });
  });

  it("expects the learnt p99 of output, gives the mean beside it, and caps both by max_tokens", () => {
    const learned = learnedAtFour();
    for (let count = 0; count < 200; count++) learned.note("vk_1", model, count < 195 ? 350 : 6_000);
    const demand = demandOf(inputOf({ learned, sessions: warmSession() }));
    expect(demand.outputP99).toBe(cost(opus, usageOf({ output: learned.p99("vk_1", model) })));
    expect(demand.outputMean).toBe(cost(opus, usageOf({ output: learned.mean("vk_1", model) })));
    expect(demand.expected).toBe(demand.warm! + demand.outputP99);
    expect(demandOf(inputOf({ learned, outputTokensMax: 100 }))).toMatchObject({ outputP99: 2_000_000n, outputMean: 2_000_000n });
  });

  it("is bounded by its bytes at the dearest cache write and by max_tokens, in the region that costs most", () => {
    // 242,000 at $8.80 and 128,000 at $22.
    expect(boundOf(inputOf())).toBe(2_129_600_000n + 2_816_000_000n);
    expect(boundOf(inputOf({ variant: { ...ordinary, speed: "fast" } }))).toBe(2n * (2_129_600_000n + 2_816_000_000n));
  });
});

const contexts = fc.record({
  place: fc.constantFrom(
    { provider: "anthropic", upstreamModel: model }, { provider: "anthropic", upstreamModel: "claude-haiku-5-5" }, { provider: "anthropic", upstreamModel: "claude-sonnet-4-5-20250929" },
    { provider: "anthropic", upstreamModel: "claude-opus-9" }, { provider: "vertex", upstreamModel: "claude-haiku-5-5" }, { provider: "vertex", upstreamModel: "claude-fable-5-2", region: "regional" },
    { provider: "bedrock", upstreamModel: "us.anthropic.claude-3-haiku-20240307-v1:0" }, { provider: "bedrock", upstreamModel: "eu.anthropic.claude-opus-4-5-20251101-v1:0" }, { provider: "demo", upstreamModel: "x" },
  ),
  priceModel: fc.constantFrom(undefined, undefined, "claude-sonnet-4-5"),
  override: fc.option(fc.record({ input: fc.bigInt(0n, 20_000_000n), output: fc.bigInt(0n, 99_000_000n), cacheWrite5m: fc.bigInt(0n, 20_000_000n) }, { requiredKeys: [] }), { nil: undefined }),
  general: fc.option(fc.record({ cacheRead: fc.bigInt(0n, 9_000_000n), input: fc.bigInt(0n, 9_000_000n) }, { requiredKeys: [] }), { nil: undefined }),
  multiplierPpm: fc.constantFrom(1_000_000n, 1_234_567n, 333_333n),
}).map(({ place, priceModel, override, general, multiplierPpm }): PricingContext => ({
  ...place, priceModel, override: override as PriceOverride | undefined, book,
  prices: { multiplierPpm, overrides: general === undefined ? new Map() : new Map([[book.canonicalName(priceModel ?? place.upstreamModel), general as PriceOverride]]) },
}));

/** Bytes around the borders of long context as well as any others. */
const sizes = fc.oneof(fc.integer({ min: 0, max: 2_000_000 }), fc.integer({ min: 97_990, max: 100_010 }), fc.integer({ min: 297_000, max: 303_000 }), fc.integer({ min: 598_000, max: 602_000 }));

describe("properties", () => {
  it("no usage within the request's bytes, max_tokens and uses costs more than the bound", () => {
    const shares = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 5, maxLength: 5 });
    const variants = fc.record({ speed: fc.constantFrom(undefined, "standard", "asked"), inferenceGeo: fc.constantFrom(undefined, "not_available", "global", "asked"), serviceTier: fc.constantFrom(undefined, "standard", "priority", "batch") });
    const requested = fc.record({ speed: fc.constantFrom(undefined, "fast"), inferenceGeo: fc.constantFrom(undefined, "us", "global"), serviceTier: fc.constantFrom(undefined, "auto") });
    fc.assert(
      fc.property(contexts, sizes, fc.integer({ min: 1, max: 128_000 }), shares, requested, variants, fc.nat(20), fc.nat(5_000), (pricing, requestBytes, outputTokensMax, parts, variant, served, uses, unseenInputTokensMax) => {
        const hasTools = pricing.provider !== "demo";
        const input = inputOf({ pricing, requestBytes, outputTokensMax, variant, unseenInputTokensMax: () => unseenInputTokensMax, serverTools: hasTools ? { web_search_requests: 20 } : {} });
        const demand = demandOf(input);
        const bound = boundOf(input);
        const total = requestBytes + hiddenPromptTokensMax + unseenInputTokensMax;
        const sum = Math.max(1, parts[0]! + parts[1]! + parts[2]! + parts[3]!);
        const tokens = (index: number): number => Math.floor((total * parts[index]!) / sum);
        const usage = usageOf(
          { input: tokens(0), cacheRead: tokens(1), cacheWrite5m: tokens(2), cacheWrite1h: tokens(3), output: Math.floor((outputTokensMax * parts[4]!) / 100) },
          {
            speed: served.speed === "asked" ? variant.speed : served.speed, inferenceGeo: served.inferenceGeo === "asked" ? variant.inferenceGeo : served.inferenceGeo, serviceTier: served.serviceTier,
            serverToolUses: hasTools ? { web_search_requests: uses } : {},
          },
        );
        if (typeof bound === "string") {
          expect(bound).toBe("server_tool");
          return;
        }
        expect(bound).toBeGreaterThanOrEqual(cost(pricing, usage));
        expect(bound).toBeGreaterThanOrEqual(demand.cold + demand.serverTools - 1n);
      }),
      { numRuns: 2_000 },
    );
  });

  it("a model that has a row for US-only replies is bounded for them though the request names no region", () => {
    const usage = usageOf({ cacheWrite1h: 242_000, output: 128_000 }, { inferenceGeo: "us" });
    expect(boundOf(inputOf())).toBe(cost(opus, usage));
  });

  it("the cold price is that of the pricing rules, at every length, variant, multiplier and override", () => {
    const requested = fc.record({ speed: fc.constantFrom(undefined, "fast"), inferenceGeo: fc.constantFrom(undefined, "us", "not_available"), serviceTier: fc.constant(undefined) });
    fc.assert(
      fc.property(contexts, sizes, requested, fc.boolean(), (pricing, requestBytes, variant, hasOneHourCache) => {
        const demand = demandOf(inputOf({ pricing, requestBytes, variant, hasOneHourCache }));
        const tokens = Math.ceil(requestBytes / 3);
        const priced = (members: Partial<TokenCounts>): bigint => cost(pricing, usageOf(members, variant));
        const all = [priced({ input: tokens }), priced({ cacheWrite5m: tokens }), ...(hasOneHourCache ? [priced({ cacheWrite1h: tokens })] : [])];
        expect(demand.cold).toBe(all.reduce((a, b) => (a > b ? a : b)));
      }),
      { numRuns: 500 },
    );
  });

  it("a longer body never costs less, and a warm session never more than a cold one", () => {
    const learned = learnedAtFour();
    const sessions = warmSession();
    const bytes = fc.integer({ min: 240_000, max: 3_000_000 });
    fc.assert(
      fc.property(bytes, bytes, fc.constantFrom(model, "claude-haiku-5-5", "claude-sonnet-4-5"), (a, b, upstreamModel) => {
        const pricing = { ...opus, upstreamModel };
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((requestBytes) => {
          const input = inputOf({ pricing, learned, sessions, requestBytes });
          return { ...demandOf(input), bound: boundOf(input) as bigint };
        });
        for (const member of ["expected", "cold", "warm", "outputP99", "bound"] as const) expect(more![member]).toBeGreaterThanOrEqual(less![member]!);
        expect(more!.warm).toBeLessThanOrEqual(more!.cold);
      }),
      { numRuns: 300 },
    );
  });
});

describe("what has no bound", () => {
  it.each<[string, Partial<DemandInput>]>([
    ["max_tokens", { outputTokensMax: undefined }],
    ["further_runs", { hasFurtherRuns: true }],
    ["server_tool", { serverTools: { web_search_requests: "unbounded" } }],
    ["server_tool", { serverTools: { code_execution_requests: 3 } }],
    ["server_tool", { serverTools: { constructor: 1 } }],
  ])("says so: %s", (gap, members) => expect(boundOf(inputOf(members))).toBe(gap));

  it("uses of server tools are held: all that are allowed, one where nothing bounds them", () => {
    const tools = (serverTools: DemandInput["serverTools"]): bigint => demandOf(inputOf({ serverTools })).serverTools;
    expect([tools({ web_search_requests: 5 }), tools({ web_search_requests: "unbounded" }), tools({})]).toEqual([50_000_000n, 10_000_000n, 0n]);
  });
});

describe("without a price", () => {
  it("an unknown model is unpriced; a target's own prices make it priced", () => {
    const unknown = { ...opus, upstreamModel: "gpt-6" };
    expect(demandOf(inputOf({ pricing: unknown }))).toMatchObject({ isUnpriced: true, expected: 0n });
    expect(boundOf(inputOf({ pricing: unknown }))).toBe("price");
    expect(demandOf(inputOf({ pricing: { ...unknown, override: { input: 1n } } })).isUnpriced).toBe(true);
    expect(demandOf(inputOf({ pricing: { ...unknown, override: { input: 1_000_000n, output: 2_000_000n } } }))).toMatchObject({ isUnpriced: false, cold: 80_000_000n });
  });

  it("an unknown Claude model has a stand-in's price and says so; a simulation costs nothing", () => {
    expect(demandOf(inputOf({ pricing: { ...opus, upstreamModel: "claude-opus-9" } }))).toMatchObject({ isUnpriced: false, isProvisional: true });
    expect(demandOf(inputOf({ pricing: { ...opus, provider: "demo", override: { input: 9n, output: 9n } } }))).toMatchObject({ isUnpriced: false, expected: 0n });
  });
});
