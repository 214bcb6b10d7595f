// Guarantee: each bill below comes out to the pico-USD. The amounts were worked out from the providers' price pages apart
// from this code, so a wrong row, a wrong variant and a wrong formula all show.
import { expect, it } from "vitest";
import type { Usage } from "../kernel/usage.ts";
import { loadPriceBook } from "./price-book.ts";
import { priceUsage } from "./pricing.ts";

type Counts = readonly [input: number, cacheRead: number, cacheWrite5m: number, cacheWrite1h: number, output: number];

/** Name, kind of provider, model, variant words (`fast`, `batch`, else a region), counts, pico-USD. */
const bills: readonly (readonly [string, string, string, string, Counts, bigint])[] = [
  ["plain input and output", "anthropic", "claude-opus-5-5", "", [1000, 0, 0, 0, 500], 14_000_000_000n],
  ["one token of input", "anthropic", "claude-opus-5-5", "", [1, 0, 0, 0, 0], 4_000_000n],
  ["one token of output", "anthropic", "claude-opus-5-5", "", [0, 0, 0, 0, 1], 20_000_000n],
  ["a cache read of Opus 5.5 is a twentieth of its input", "anthropic", "claude-opus-5-5", "", [12, 48211, 0, 0, 3], 9_750_200_000n],
  ["a five-minute write", "anthropic", "claude-opus-5-5", "", [3, 0, 20111, 0, 77], 102_107_000_000n],
  ["a one-hour write", "anthropic", "claude-opus-5-5", "", [3, 0, 0, 20111, 77], 162_440_000_000n],
  ["all five counts", "anthropic", "claude-opus-5-5", "", [7, 31007, 2003, 4001, 911], 66_472_400_000n],
  ["fast", "anthropic", "claude-opus-5-5", "fast", [1000, 2000, 300, 40, 500], 32_440_000_000n],
  ["fast with caches of both lifetimes", "anthropic", "claude-opus-5-5", "fast", [1, 99999, 777, 888, 4096], 225_825_600_000n],
  ["US only", "anthropic", "claude-opus-5-5", "us", [1000, 2000, 300, 40, 500], 17_842_000_000n],
  ["US only and fast", "anthropic", "claude-opus-5-5", "fast us", [1000, 2000, 300, 40, 500], 35_684_000_000n],
  ["batch", "anthropic", "claude-opus-5-5", "batch", [1000, 2000, 300, 40, 500], 8_110_000_000n],
  ["batch in the US", "anthropic", "claude-opus-5-5", "us batch", [1001, 2003, 305, 47, 509], 9_067_080_000n],
  ["Opus 5", "anthropic", "claude-opus-5", "", [1234, 56789, 1011, 1213, 1415], 88_388_250_000n],
  ["Opus 5 fast", "anthropic", "claude-opus-5", "fast", [1234, 56789, 1011, 1213, 1415], 176_776_500_000n],
  ["Opus 4.8", "anthropic", "claude-opus-4-8", "", [55, 66, 77, 88, 99], 4_144_250_000n],
  ["Opus 4.7 in the US", "anthropic", "claude-opus-4-7", "us", [55, 66, 77, 88, 99], 4_558_675_000n],
  ["Opus 4.6 costs the same over its whole window", "anthropic", "claude-opus-4-6", "", [900000, 0, 0, 0, 10], 4_500_250_000_000n],
  ["Opus 4.5 by its date", "anthropic", "claude-opus-4-5-20251101", "", [9, 8, 7, 6, 5], 277_750_000n],
  ["Opus 4.1 by its date", "anthropic", "claude-opus-4-1-20250805", "", [321, 654, 987, 123, 456], 62_192_250_000n],
  ["Opus 4 by an old alias", "anthropic", "claude-opus-4-0", "", [321, 654, 987, 123, 456], 62_192_250_000n],
  ["Fable 5.2", "anthropic", "claude-fable-5-2", "", [2048, 150000, 4096, 8192, 1024], 259_376_000_000n],
  ["Fable 5.1 reads at a fortieth", "anthropic", "claude-fable-5-1", "", [2048, 150000, 4096, 8192, 1024], 324_220_000_000n],
  ["Fable 5 reads at a tenth", "anthropic", "claude-fable-5", "", [2048, 150000, 4096, 8192, 1024], 436_720_000_000n],
  ["Fable 5.1 in a batch", "anthropic", "claude-fable-5-1", "batch", [10, 11, 12, 13, 14], 606_375_000n],
  ["Sonnet 5.5 reads at a twentieth", "anthropic", "claude-sonnet-5-5", "", [17, 190000, 0, 2500, 800], 37_034_000_000n],
  ["Sonnet 5 reads at a tenth", "anthropic", "claude-sonnet-5", "", [17, 190000, 0, 2500, 800], 56_034_000_000n],
  ["Sonnet 4.6", "anthropic", "claude-sonnet-4-6", "", [500000, 400000, 0, 2500, 800], 1_647_000_000_000n],
  ["Sonnet 4.5 at its threshold", "anthropic", "claude-sonnet-4-5", "", [100000, 60000, 30000, 10000, 1000], 505_500_000_000n],
  ["Sonnet 4.5 one token above its threshold", "anthropic", "claude-sonnet-4-5", "", [100001, 60000, 30000, 10000, 1000], 1_003_506_000_000n],
  ["Sonnet 4.5 long by its caches alone", "anthropic", "claude-sonnet-4-5-20250929", "", [1, 250000, 0, 0, 1], 150_028_500_000n],
  ["Sonnet 4.5 long, in a batch", "anthropic", "claude-sonnet-4-5", "batch", [250000, 0, 0, 0, 100], 751_125_000_000n],
  ["output does not count for the threshold", "anthropic", "claude-sonnet-4-5", "", [150000, 0, 0, 0, 64000], 1_410_000_000_000n],
  ["Haiku 5.5 at its threshold", "anthropic", "claude-haiku-5-5", "", [50000, 30000, 15000, 5000, 777], 8_563_500_000n],
  ["Haiku 5.5 one token above its threshold", "anthropic", "claude-haiku-5-5", "", [50000, 30000, 15000, 5001, 777], 42_818_500_000n],
  ["Haiku 5.5 long, US, batch", "anthropic", "claude-haiku-5-5", "us batch", [100001, 1, 1, 1, 1], 27_502_571_250n],
  ["Haiku 4.5", "anthropic", "claude-haiku-4-5-20251001", "", [4321, 8765, 219, 31, 100], 6_033_250_000n],
  ["Haiku 3.5", "anthropic", "claude-3-5-haiku-latest", "", [4321, 8765, 219, 31, 100], 4_826_600_000n],
  ["Haiku 3, whose cache prices are no multiples", "anthropic", "claude-3-haiku-20240307", "", [4321, 8765, 219, 31, 100], 1_549_400_000n],
  ["the demo provider, which is a simulation and no money", "demo", "claude-opus-5-5", "fast", [1000, 20, 30, 40, 500], 0n],
  ["Bedrock, global profile", "bedrock", "global.anthropic.claude-opus-4-8", "", [11, 22, 33, 44, 55], 2_087_250_000n],
  ["Bedrock, US profile", "bedrock", "us.anthropic.claude-opus-4-8", "", [11, 22, 33, 44, 55], 2_295_975_000n],
  ["Bedrock, one region", "bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", "", [11, 22, 33, 44, 55], 459_195_000n],
  ["Bedrock, GovCloud", "bedrock", "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0", "", [10, 20, 30, 40, 50], 455_400_000n],
  ["Google Cloud, global", "vertex", "claude-sonnet-4-6@default", "", [11, 22, 33, 44, 55], 1_252_350_000n],
  ["Google Cloud, one region", "vertex", "claude-sonnet-4-6", "europe-west1", [10, 20, 30, 40, 50], 1_252_350_000n],
];

const book = loadPriceBook();

it.each(bills)("%s", (_name, provider, upstreamModel, variant, [input, cacheRead, cacheWrite5m, cacheWrite1h, output], pico) => {
  const words = variant.split(" ").filter((word) => word !== "");
  const usage: Usage = {
    parts: [{ counts: { input, cacheRead, cacheWrite5m, cacheWrite1h, output }, model: undefined }],
    serverToolUses: {},
    speed: words.find((word) => word === "fast"),
    serviceTier: words.find((word) => word === "batch"),
    inferenceGeo: words.find((word) => word !== "fast" && word !== "batch"),
    source: "reported",
  };
  const prices = { multiplierPpm: 1_000_000n, overrides: new Map() };
  const priced = priceUsage({ usage, provider, upstreamModel, priceModel: undefined, override: undefined, book, prices });
  if (provider === "demo") expect(priced.priceRows).toBe("demo/simulated");
  expect(priced).toMatchObject({ costPicoUsd: pico, costNanoUsd: (pico + 999n) / 1000n, isProvisional: false, isUnpriced: false });
});
