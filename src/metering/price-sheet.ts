/**
 * The prices that a call to one target can meet, worked out once instead of for every call: what it is expected to pay, and the dearest
 * of every variant it could be billed at. The same rules as `priceUsage`, to which the tests hold it.
 */
import type { PriceOverride } from "../config/gateway-config.ts";
import { nanoFromPico, picoUsd, type NanoUsd } from "../kernel/money.ts";
import type { PriceCard, TokenPrices } from "./price-card.ts";
import { simulatedProvider } from "./price-row.ts";
import type { PricingInput } from "./pricing.ts";

/** All that prices a call but its usage. Sheets are kept by this object's identity: make it once per target and snapshot, and never change it. */
export type PricingContext = Omit<PricingInput, "usage">;

/** Members of the request that change prices; undefined where it does not name them. */
export interface RequestedVariant {
  readonly speed: string | undefined;
  readonly inferenceGeo: string | undefined;
  readonly serviceTier: string | undefined;
}

/** Pico-USD for one token, without the operator's multiplier. A missing price is 0 here, as it is for `priceUsage`. */
export interface Rates {
  readonly input: bigint;
  readonly cacheRead: bigint;
  readonly cacheWrite5m: bigint;
  readonly cacheWrite1h: bigint;
  readonly output: bigint;
}

/** Prices by length of the whole input. */
export interface Tariff {
  readonly short: Rates;
  /** For inputs above {@link Tariff.aboveTokens}. */
  readonly long: Rates;
  /** Infinity where the length does not matter. */
  readonly aboveTokens: number;
}

export interface PriceSheet {
  /** There is no price for input or none for output. */
  readonly isUnpriced: boolean;
  /** A stand-in was used. */
  readonly isProvisional: boolean;
  /** Of the variant that was asked for. */
  readonly asked: Tariff;
  /** Member by member the dearest of all variants that the reply could be billed at. */
  readonly dearest: Tariff;
  /** Pico-USD for one use, by the member name in the reply's `server_tool_use`. */
  readonly serverToolUses: ReadonlyMap<string, bigint>;
  readonly multiplierPpm: bigint;
}

interface Sheets {
  plain: PriceSheet | undefined;
  readonly special: Map<string, PriceSheet>;
}

/** Variants are named by clients. */
const variantsMax = 16;
const unchangedPpm = 1_000_000n;
const picoPerMicro = 1_000_000n;
/** Service tiers of requests; replies name the one that served. */
const tierWishes = new Set(["auto", "standard_only"]);
/** A workspace may be bound to this region although no request says so, and pays more for it. */
const surchargedGeo = "us";

const kept = new WeakMap<PricingContext, Sheets>();

export function priceSheet(context: PricingContext, variant: RequestedVariant): PriceSheet {
  let sheets = kept.get(context);
  if (sheets === undefined) kept.set(context, (sheets = { plain: undefined, special: new Map() }));
  const { speed, inferenceGeo, serviceTier } = variant;
  if (speed === undefined && inferenceGeo === undefined && serviceTier === undefined) return (sheets.plain ??= sheetOf(context, variant));
  const key = JSON.stringify([speed, inferenceGeo, serviceTier]);
  let sheet = sheets.special.get(key);
  if (sheet === undefined) {
    if (sheets.special.size >= variantsMax) sheets.special.clear();
    sheets.special.set(key, (sheet = sheetOf(context, variant)));
  }
  return sheet;
}

/** A sum of rates as money of the ledger: the multiplier last, rounded up once. */
export function amountOf(sum: bigint, { multiplierPpm }: PriceSheet): NanoUsd {
  return nanoFromPico(picoUsd(multiplierPpm === unchangedPpm ? sum : (sum * multiplierPpm + unchangedPpm - 1n) / unchangedPpm));
}

/** The rates that hold for an input of so many tokens, caches included. */
export function ratesFor(tariff: Tariff, inputTokens: number): Rates {
  return inputTokens > tariff.aboveTokens ? tariff.long : tariff.short;
}

function sheetOf(context: PricingContext, { speed, inferenceGeo, serviceTier: wish }: RequestedVariant): PriceSheet {
  const model = context.priceModel ?? context.upstreamModel;
  const { multiplierPpm } = context.prices;
  const serviceTier = wish === undefined || tierWishes.has(wish) ? undefined : wish;
  const geo = inferenceGeo === undefined || inferenceGeo === "not_available" ? (context.region ?? inferenceGeo) : inferenceGeo;
  const cardFor = (members: RequestedVariant): PriceCard | undefined => context.book.cardFor({ provider: context.provider, model, ...members });
  const overrides = overridesFor(context, model);

  const card = cardFor({ speed, inferenceGeo: geo, serviceTier });
  const asked = tariffOf(card, overrides);
  let dearest = asked;
  for (const eachSpeed of new Set([undefined, speed])) {
    for (const eachGeo of new Set([undefined, geo, inferenceGeo, surchargedGeo])) {
      for (const eachTier of new Set([undefined, serviceTier])) {
        const other = cardFor({ speed: eachSpeed, inferenceGeo: eachGeo, serviceTier: eachTier });
        // A model that cannot be bound to a region has no such row; its stand-in would be the dearest of the family.
        const isOnlyPossible = eachGeo === surchargedGeo && eachGeo !== geo && other?.isProvisional === true && card?.isProvisional !== true;
        if (!isOnlyPossible) dearest = dearer(dearest, tariffOf(other, overrides));
      }
    }
  }
  const isPriced = (member: "input" | "output"): boolean => card !== undefined || overrides.some((override) => override[member] !== undefined);
  return {
    isUnpriced: !isPriced("input") || !isPriced("output"),
    isProvisional: card?.isProvisional === true,
    asked,
    dearest,
    serverToolUses: new Map(Object.entries(card?.serverToolUses ?? {}).map(([name, price]) => [name, price * picoPerMicro])),
    multiplierPpm,
  };
}

/** The operator's own prices, the stronger last. A simulation has none. */
function overridesFor({ provider, prices, book, override }: PricingContext, model: string): readonly PriceOverride[] {
  if (provider === simulatedProvider) return [];
  return [prices.overrides.get(model) ?? prices.overrides.get(book.canonicalName(model)), override].filter((each) => each !== undefined);
}

function tariffOf(card: PriceCard | undefined, overrides: readonly PriceOverride[]): Tariff {
  const short = ratesOf(card?.prices, overrides);
  const longContext = card?.longContext;
  return longContext === undefined ? { short, long: short, aboveTokens: Number.POSITIVE_INFINITY } : { short, long: ratesOf(longContext.prices, overrides), aboveTokens: longContext.aboveTokens };
}

function ratesOf(prices: TokenPrices | undefined, overrides: readonly PriceOverride[]): Rates {
  const price = (member: keyof TokenPrices): bigint => overrides.findLast((override) => override[member] !== undefined)?.[member] ?? prices?.[member] ?? 0n;
  return { input: price("input"), cacheRead: price("cacheRead"), cacheWrite5m: price("cacheWrite5m"), cacheWrite1h: price("cacheWrite1h"), output: price("output") };
}

function dearer(a: Tariff, b: Tariff): Tariff {
  return { short: dearerRates(a.short, b.short), long: dearerRates(a.long, b.long), aboveTokens: Math.min(a.aboveTokens, b.aboveTokens) };
}

function dearerRates(a: Rates, b: Rates): Rates {
  return {
    input: larger(a.input, b.input),
    cacheRead: larger(a.cacheRead, b.cacheRead),
    cacheWrite5m: larger(a.cacheWrite5m, b.cacheWrite5m),
    cacheWrite1h: larger(a.cacheWrite1h, b.cacheWrite1h),
    output: larger(a.output, b.output),
  };
}

/** Of two amounts. */
export function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
