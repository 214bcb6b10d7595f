/**
 * What a bill of the fake must cost by Anthropic's published list, written down here a second time: nano-USD a token. The
 * product's own price book is not asked, so that an error in it cannot confirm itself.
 */
import type { WireUsage } from "./fake-anthropic-types.ts";

interface TokenPrices {
  readonly input: bigint;
  readonly cacheRead: bigint;
  readonly cacheWrite5m: bigint;
  readonly cacheWrite1h: bigint;
  readonly output: bigint;
}

/** @source https://platform.claude.com/docs/en/about-claude/pricing, US dollars per million tokens × 1,000 */
const prices: Readonly<Record<string, TokenPrices>> = {
  "claude-opus-4-8": { input: 5_000n, cacheRead: 500n, cacheWrite5m: 6_250n, cacheWrite1h: 10_000n, output: 25_000n },
  "claude-haiku-4-5": { input: 1_000n, cacheRead: 100n, cacheWrite5m: 1_250n, cacheWrite1h: 2_000n, output: 5_000n },
};

/** Models with a price here. */
export const pricedModels: readonly string[] = Object.keys(prices);

/** Cost in nano-USD; exact, since every price is a whole number of nano-USD a token. */
export function billedNanoUsd(model: string, usage: WireUsage): bigint {
  const price = prices[model];
  if (price === undefined) throw new Error(`no price for ${model}`);
  return (
    BigInt(usage.input_tokens) * price.input +
    BigInt(usage.cache_read_input_tokens) * price.cacheRead +
    BigInt(usage.cache_creation.ephemeral_5m_input_tokens) * price.cacheWrite5m +
    BigInt(usage.cache_creation.ephemeral_1h_input_tokens) * price.cacheWrite1h +
    BigInt(usage.output_tokens) * price.output
  );
}
