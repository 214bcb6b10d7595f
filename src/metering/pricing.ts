/** Usage times price, exact. A price is µUSD per million tokens, so price × tokens is pico-USD and nothing is ever rounded before the end. */
import type { PriceOverride, PricesConfig } from "../config/gateway-config.ts";
import { nanoFromPico, picoUsd, type NanoUsd, type PicoUsd } from "../kernel/money.ts";
import type { TokenCounts, Usage, UsagePart } from "../kernel/usage.ts";
import type { PriceBook } from "./price-book.ts";
import type { PriceCard, TokenPrices } from "./price-card.ts";
import { longContextId, simulatedProvider, simulatedRowId } from "./price-row.ts";

const unchangedPpm = 1_000_000n;

/** What decides the cost of an attempt. */
export interface PricingInput {
  readonly usage: Usage;
  /** Kind of the provider, as in `PriceQuery`. */
  readonly provider: string;
  /** The name sent upstream. */
  readonly upstreamModel: string;
  /** Priced as this model instead; undefined: as `upstreamModel`. */
  readonly priceModel: string | undefined;
  /** The target's own prices; they win over everything. */
  readonly override: PriceOverride | undefined;
  /** Variant of place that the reply does not tell: `regional` where the operator chose a region. Undefined: the place has none, or its names tell. */
  readonly region?: string | undefined;
  readonly book: PriceBook;
  readonly prices: PricesConfig;
}

/** What an attempt costs. */
export interface PricedUsage {
  /** Exact, the operator's multiplier included (rounded up to a pico-USD if it does not divide evenly). */
  readonly costPicoUsd: PicoUsd;
  /** Rounded up once, for the ledger. */
  readonly costNanoUsd: NanoUsd;
  /** Ids of the price rows used, comma separated, without repeats; `+override` marks an operator's price. */
  readonly priceRows: string;
  /** A stand-in was used; the true price may come later. */
  readonly isProvisional: boolean;
  /** Something was used that has no price; the cost is understated. */
  readonly isUnpriced: boolean;
}

/** Prices after the operator's overrides; `null` has no price. */
type EffectivePrices = { readonly [Member in keyof TokenPrices]: bigint | null };

/** Signature of `priceUsage`, for callers that take it as a parameter. */
export type PriceUsage = (input: PricingInput) => PricedUsage;

/**
 * Prices an attempt. Each part is priced at its own model and by its own input length; one that is not billed costs nothing. An
 * operator's override is the price of that model in every variant and at every length; the multiplier comes last. Never throws.
 */
export const priceUsage: PriceUsage = (input) => {
  const { usage } = input;
  if (usage.source === "none" || usage.source === "unresolved") return nothingPriced;
  // Neither list prices nor an operator's own make money of a simulation.
  if (input.provider === simulatedProvider) return { ...nothingPriced, priceRows: simulatedRowId };
  const sum = { cost: 0n, priceRows: "", isProvisional: false, isUnpriced: false };
  for (const part of usage.parts) if (part.isBilled !== false) addPart(sum, input, part);
  addServerTools(sum, input);
  const { multiplierPpm } = input.prices;
  const costPicoUsd = picoUsd(multiplierPpm === unchangedPpm ? sum.cost : multiplied(sum.cost, multiplierPpm));
  return { costPicoUsd, costNanoUsd: nanoFromPico(costPicoUsd), priceRows: sum.priceRows, isProvisional: sum.isProvisional, isUnpriced: sum.isUnpriced };
};

/** Exact cost of counts at prices; members without a price cost nothing here, see `hasUnpriced`. */
export function costOf(counts: TokenCounts, prices: EffectivePrices): PicoUsd {
  return picoUsd(
    times(counts.input, prices.input) + times(counts.cacheRead, prices.cacheRead) + times(counts.cacheWrite5m, prices.cacheWrite5m) +
    times(counts.cacheWrite1h, prices.cacheWrite1h) + times(counts.output, prices.output),
  );
}

/** True when a count above 0 has no price. */
export function hasUnpriced(counts: TokenCounts, prices: EffectivePrices): boolean {
  return (
    (counts.input > 0 && prices.input === null) || (counts.cacheRead > 0 && prices.cacheRead === null) || (counts.cacheWrite5m > 0 && prices.cacheWrite5m === null) ||
    (counts.cacheWrite1h > 0 && prices.cacheWrite1h === null) || (counts.output > 0 && prices.output === null)
  );
}

interface Sum {
  cost: bigint;
  priceRows: string;
  isProvisional: boolean;
  isUnpriced: boolean;
}

const nothingPriced: PricedUsage = { costPicoUsd: picoUsd(0n), costNanoUsd: nanoFromPico(picoUsd(0n)), priceRows: "", isProvisional: false, isUnpriced: false };
const noPrices: EffectivePrices = { input: null, cacheRead: null, cacheWrite5m: null, cacheWrite1h: null, output: null };

function addPart(sum: Sum, input: PricingInput, part: UsagePart): void {
  const { counts } = part;
  const isOwn = isOwnModel(input, part.model);
  const model = isOwn ? (input.priceModel ?? input.upstreamModel) : part.model!;
  const card = cardOf(input, model);
  const inputTokens = counts.input + counts.cacheRead + counts.cacheWrite5m + counts.cacheWrite1h;
  const long = card?.longContext !== undefined && inputTokens > card.longContext.aboveTokens ? card.longContext : undefined;
  const general = overrideOf(input, model);
  const own = isOwn ? input.override : undefined;
  const isOverridden = general !== undefined || own !== undefined;
  const listed: EffectivePrices = long?.prices ?? card?.prices ?? noPrices;
  const prices = isOverridden ? merged(merged(listed, general), own) : listed;

  sum.cost += costOf(counts, prices);
  sum.isUnpriced ||= hasUnpriced(counts, prices);
  const hasTokens = inputTokens > 0 || counts.output > 0;
  sum.isProvisional ||= hasTokens && card?.isProvisional === true && !(isOverridden && isComplete(merged(merged(noPrices, general), own)));
  const listedId = card === undefined ? model : long === undefined ? card.id : longContextId(card.id, long.aboveTokens);
  if (card !== undefined || isOverridden) sum.priceRows = withRow(sum.priceRows, isOverridden ? `${listedId}+override` : listedId);
}

/** Uses of server tools are billed with the attempt's own model; the operator's token prices do not touch them. */
function addServerTools(sum: Sum, input: PricingInput): void {
  const { serverToolUses } = input.usage;
  for (const name in serverToolUses) {
    const uses = serverToolUses[name] ?? 0;
    if (uses === 0) continue;
    const prices = cardOf(input, input.priceModel ?? input.upstreamModel)?.serverToolUses;
    const price = prices !== undefined && Object.hasOwn(prices, name) ? prices[name] : undefined;
    if (price === undefined) sum.isUnpriced = true;
    else sum.cost += BigInt(uses) * price * 1_000_000n;
  }
}

function isOwnModel({ upstreamModel, book }: PricingInput, model: string | undefined): boolean {
  return model === undefined || model === upstreamModel || book.canonicalName(model) === book.canonicalName(upstreamModel);
}

function cardOf(input: PricingInput, model: string): PriceCard | undefined {
  const { speed, serviceTier } = input.usage;
  const reported = input.usage.inferenceGeo;
  const inferenceGeo = reported === undefined || reported === "not_available" ? (input.region ?? reported) : reported;
  return input.book.cardFor({ provider: input.provider, model, speed, inferenceGeo, serviceTier });
}

/** By the name as it is, else by the canonical one. */
function overrideOf({ prices, book }: PricingInput, model: string): PriceOverride | undefined {
  if (prices.overrides.size === 0) return undefined;
  return prices.overrides.get(model) ?? prices.overrides.get(book.canonicalName(model));
}

function merged(prices: EffectivePrices, override: PriceOverride | undefined): EffectivePrices {
  return override === undefined ? prices : { ...prices, ...override };
}

function isComplete(prices: EffectivePrices): boolean {
  return Object.values(prices).every((price) => price !== null);
}

function withRow(rows: string, id: string): string {
  if (rows === "") return id;
  return rows === id || rows.split(",").includes(id) ? rows : `${rows},${id}`;
}

function times(count: number, price: bigint | null): bigint {
  return count === 0 || price === null ? 0n : BigInt(count) * price;
}

function multiplied(cost: bigint, ppm: bigint): bigint {
  return (cost * ppm + unchangedPpm - 1n) / unchangedPpm;
}
