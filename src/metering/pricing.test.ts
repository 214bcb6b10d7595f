// Guarantee: costs add up, never fall when usage grows, are rounded up once, and nothing that has no price is booked in silence.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PriceOverride, PricesConfig } from "../config/gateway-config.ts";
import { addCounts, zeroCounts, type TokenCounts, type Usage } from "../kernel/usage.ts";
import { loadPriceBook } from "./price-book.ts";
import { costOf, priceUsage, type PricedUsage, type PricingInput } from "./pricing.ts";

const book = loadPriceBook();
const plainPrices: PricesConfig = { multiplierPpm: 1_000_000n, overrides: new Map() };

const counts = (members: Partial<TokenCounts>): TokenCounts => ({ ...zeroCounts, ...members });
const usageOf = (members: Partial<TokenCounts>, rest: Partial<Usage> = {}): Usage => ({
  parts: [{ counts: counts(members), model: undefined }], serverToolUses: {}, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, source: "reported", ...rest,
});

function price(usage: Usage, rest: Partial<PricingInput> = {}): PricedUsage {
  return priceUsage({ usage, provider: "anthropic", upstreamModel: "claude-opus-5-5", priceModel: undefined, override: undefined, book, prices: plainPrices, ...rest });
}

describe("parts", () => {
  it("each part is priced at its own model, and all rows are named once", () => {
    const parts = [
      { counts: counts({ input: 1000, output: 10 }), model: "claude-opus-5-5" },
      { counts: counts({ input: 2000, output: 20 }), model: "claude-haiku-4-5-20251001" },
      { counts: counts({ input: 1, output: 1 }), model: undefined },
    ];
    // 1001 × 4 + 11 × 20 at Opus 5.5, 2000 × 1 + 20 × 5 at Haiku 4.5, in µUSD.
    expect(price(usageOf({}, { parts }))).toMatchObject({ costPicoUsd: 6_324_000_000n, priceRows: "anthropic/claude-opus-5-5,anthropic/claude-haiku-4-5" });
  });

  it("the length of each part decides its tier, not the sum", () => {
    const part = { counts: counts({ input: 60_000 }), model: undefined };
    expect(price(usageOf({}, { parts: [part, part] }), { upstreamModel: "claude-haiku-5-5" })).toMatchObject({ costPicoUsd: 12_000_000_000n, priceRows: "anthropic/claude-haiku-5-5" });
  });

  it("a long part names its long-context row", () => {
    const rows = (rest: Partial<Usage>): string => price(usageOf({ input: 100_001 }, rest), { upstreamModel: "claude-haiku-5-5" }).priceRows;
    expect([rows({}), rows({ inferenceGeo: "us" })]).toEqual(["anthropic/claude-haiku-5-5?>100000", "anthropic/claude-haiku-5-5?us&>100000"]);
  });

  it("a part that is not billed costs nothing, names no row and lacks no price", () => {
    const unbilled = { counts: counts({ input: 9_000, output: 9 }), model: "unheard-of", isBilled: false };
    expect(price(usageOf({}, { parts: [unbilled, { counts: counts({ input: 1000 }), model: undefined }] }))).toMatchObject({ costPicoUsd: 4_000_000_000n, priceRows: "anthropic/claude-opus-5-5", isUnpriced: false, isProvisional: false });
  });

  it("no parts cost nothing", () => expect(price(usageOf({}, { parts: [] }))).toMatchObject({ costPicoUsd: 0n, priceRows: "", isUnpriced: false }));
  it.each(["none", "unresolved"] as const)("usage of source %s costs nothing, whatever it counts", (source) => {
    expect(price(usageOf({ input: 5, output: 5 }, { source }))).toEqual({ costPicoUsd: 0n, costNanoUsd: 0n, priceRows: "", isProvisional: false, isUnpriced: false });
  });
});

describe("a place's region", () => {
  const at = (region: string | undefined, rest: Partial<Usage>): string => price(usageOf({ input: 1 }, rest), { provider: "vertex", upstreamModel: "claude-opus-5-5", region }).priceRows;

  it("decides where the reply tells none, and never over what the reply tells", () => {
    expect([at("regional", {}), at("regional", { inferenceGeo: "not_available" }), at(undefined, {}), at("regional", { inferenceGeo: "global" }), at(undefined, { inferenceGeo: "eu" })]).toEqual([
      "vertex/claude-opus-5-5?regional",
      "vertex/claude-opus-5-5?regional",
      "vertex/claude-opus-5-5",
      "vertex/claude-opus-5-5",
      "vertex/claude-opus-5-5?regional",
    ]);
  });
});

describe("server tools", () => {
  it("a web search costs one cent, a fetch nothing beyond its tokens", () => {
    expect(price(usageOf({}, { serverToolUses: { web_search_requests: 3, web_fetch_requests: 7 } }))).toMatchObject({ costNanoUsd: 30_000_000n, isUnpriced: false });
  });

  it("a fast or US-only reply pays no more for its searches", () => {
    expect(price(usageOf({}, { serverToolUses: { web_search_requests: 1 }, speed: "fast", inferenceGeo: "us" })).costNanoUsd).toBe(10_000_000n);
  });

  it.each(["code_execution_requests", "constructor", "toString"])("a tool without a price (%s) is marked", (name) => {
    expect(price(usageOf({ input: 1 }, { serverToolUses: { [name]: 1 } }))).toMatchObject({ costPicoUsd: 4_000_000n, isUnpriced: true });
    expect(price(usageOf({ input: 1 }, { serverToolUses: { [name]: 0 } })).isUnpriced).toBe(false);
  });
});

describe("without a price", () => {
  it("an unknown model is unpriced as soon as it used anything", () => {
    expect(price(usageOf({ output: 1 }), { upstreamModel: "gpt-6" })).toEqual({ costPicoUsd: 0n, costNanoUsd: 0n, priceRows: "", isProvisional: false, isUnpriced: true });
    expect(price(usageOf({}), { upstreamModel: "gpt-6" }).isUnpriced).toBe(false);
  });

  it("a place without a cache price is unpriced only when the cache was used", () => {
    const upstreamModel = "us.anthropic.claude-3-haiku-20240307-v1:0";
    expect(price(usageOf({ input: 8 }), { provider: "bedrock", upstreamModel })).toMatchObject({ costPicoUsd: 2_000_000n, isUnpriced: false });
    expect(price(usageOf({ input: 8, cacheRead: 1 }), { provider: "bedrock", upstreamModel })).toMatchObject({ costPicoUsd: 2_000_000n, isUnpriced: true });
  });

  it("an unknown Claude model costs what the dearest of its family costs, and says so", () => {
    expect(price(usageOf({ input: 1, output: 1 }), { upstreamModel: "claude-opus-9" })).toEqual({
      costPicoUsd: 90_000_000n, costNanoUsd: 90_000n, priceRows: "provisional:anthropic/claude-opus-4-1", isProvisional: true, isUnpriced: false,
    });
  });
});

describe("the operator's prices", () => {
  const override = (of: PriceOverride): Partial<PricingInput> => ({ override: of });

  it("a target's price wins over the list, members it leaves out keep the list's", () => {
    expect(price(usageOf({ input: 10, output: 10 }), override({ input: 1_000_000n }))).toMatchObject({ costPicoUsd: 210_000_000n, priceRows: "anthropic/claude-opus-5-5+override" });
  });

  it("a model's price counts for every spelling of its name, and a target's wins over it", () => {
    const prices: PricesConfig = { ...plainPrices, overrides: new Map([["claude-haiku-4-5", { input: 7n, output: 9n }]]) };
    const upstreamModel = "claude-haiku-4-5-20251001";
    expect(price(usageOf({ input: 1, output: 1 }), { prices, upstreamModel }).costPicoUsd).toBe(16n);
    expect(price(usageOf({ input: 1, output: 1 }), { prices, upstreamModel, override: { output: 100n } }).costPicoUsd).toBe(107n);
  });

  it("a target's price does not touch parts that ran on another model", () => {
    const parts = [{ counts: counts({ input: 1 }), model: "claude-opus-5-5" }, { counts: counts({ input: 1 }), model: "claude-haiku-4-5" }];
    expect(price(usageOf({}, { parts }), override({ input: 0n })).costPicoUsd).toBe(1_000_000n);
  });

  it("an override is the price at every length and in every variant", () => {
    const usage = usageOf({ input: 300_000 }, { inferenceGeo: "us" });
    expect(price(usage, { upstreamModel: "claude-haiku-5-5", override: { input: 2n } }).costPicoUsd).toBe(600_000n);
  });

  it("prices a model that no list knows; what it leaves out stays unpriced", () => {
    const own = { upstreamModel: "my-model", override: { input: 5n, output: 6n } };
    expect(price(usageOf({ input: 2, output: 1 }), own)).toMatchObject({ costPicoUsd: 16n, priceRows: "my-model+override", isUnpriced: false });
    expect(price(usageOf({ cacheRead: 1 }), own).isUnpriced).toBe(true);
  });

  it("only a complete override settles the price of an unknown Claude model", () => {
    const complete = { input: 1n, output: 1n, cacheRead: 1n, cacheWrite5m: 1n, cacheWrite1h: 1n };
    const unknown = (of: PriceOverride): boolean => price(usageOf({ input: 1 }), { upstreamModel: "claude-opus-9", override: of }).isProvisional;
    expect([unknown(complete), unknown({ input: 1n })]).toEqual([false, true]);
  });

  it("the price model stands in for the upstream's name", () => {
    expect(price(usageOf({ input: 1 }), { upstreamModel: "deployment-7", priceModel: "claude-haiku-4-5" })).toMatchObject({ costPicoUsd: 1_000_000n, priceRows: "anthropic/claude-haiku-4-5" });
  });

  it("the multiplier covers everything and rounds up to a pico-USD", () => {
    const prices: PricesConfig = { ...plainPrices, multiplierPpm: 1_150_000n };
    expect(price(usageOf({ input: 1 }, { serverToolUses: { web_search_requests: 1 } }), { prices }).costPicoUsd).toBe(11_504_600_000n);
    expect(price(usageOf({ input: 1 }), { prices: { ...plainPrices, multiplierPpm: 1n }, override: { input: 1n } }).costPicoUsd).toBe(1n);
  });
});

describe("properties", () => {
  const count = fc.integer({ min: 0, max: 2 ** 32 });
  const anyCounts = fc.record({ input: count, cacheRead: count, cacheWrite5m: count, cacheWrite1h: count, output: count });
  const model = fc.constantFrom(...book.models("anthropic"), "claude-opus-9", "gpt-6");
  const prices = book.cardFor({ provider: "anthropic", model: "claude-opus-5-5", speed: undefined, inferenceGeo: undefined, serviceTier: undefined })!.prices;

  it("the cost of a sum is the sum of the costs", () => {
    fc.assert(fc.property(anyCounts, anyCounts, (a, b) => costOf(addCounts(a, b), prices) === costOf(a, prices) + costOf(b, prices)));
  });

  it("more usage never costs less, across the long-context threshold too", () => {
    fc.assert(fc.property(model, anyCounts, anyCounts, (upstreamModel, a, b) => price(usageOf(addCounts(a, b)), { upstreamModel }).costPicoUsd >= price(usageOf(a), { upstreamModel }).costPicoUsd));
  });

  it("several parts cost what they cost alone", () => {
    fc.assert(fc.property(fc.array(fc.record({ counts: anyCounts, model: fc.option(model, { nil: undefined }) }), { maxLength: 5 }), (parts) => {
      const alone = parts.map((part) => price(usageOf({}, { parts: [part] })).costPicoUsd as bigint);
      expect(price(usageOf({}, { parts })).costPicoUsd).toBe(alone.reduce((sum, cost) => sum + cost, 0n));
    }));
  });

  it("the ledger's amount is the exact one rounded up, by less than one nano-USD", () => {
    fc.assert(fc.property(model, anyCounts, (upstreamModel, used) => {
      const { costPicoUsd, costNanoUsd } = price(usageOf(used), { upstreamModel });
      const rounding = costNanoUsd * 1000n - costPicoUsd;
      expect(rounding >= 0n && rounding < 1000n).toBe(true);
    }));
  });

  it("a stand-in never costs less than any model of the family on offer", () => {
    const families = fc.constantFrom("opus", "sonnet", "haiku", "fable").chain((family) =>
      fc.record({ family: fc.constant(family), known: fc.constantFrom(...book.models("anthropic").filter((name) => name.includes(`-${family}-`))) }));
    const short = fc.integer({ min: 0, max: 20_000 });
    fc.assert(fc.property(families, fc.record({ input: short, cacheRead: short, cacheWrite5m: short, cacheWrite1h: short, output: count }), ({ family, known }, used) =>
      price(usageOf(used), { upstreamModel: `claude-${family}-99` }).costPicoUsd >= price(usageOf(used), { upstreamModel: known }).costPicoUsd));
  });
});
