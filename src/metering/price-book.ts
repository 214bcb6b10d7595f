/**
 * Finds the price card of an attempt. Known names get exactly their row; an unknown Claude name gets the dearest card of
 * its family, so that a new model is never free and never cheap by accident.
 */
import priceFile from "./price-book.json" with { type: "json" };
import { claudeFamily, normalizeModelName } from "./model-name.ts";
import type { PriceCard, PriceQuery, TokenPrices } from "./price-card.ts";
import { rowId, simulatedProvider, simulatedRowId, type PriceFile, type PriceRow } from "./price-row.ts";

/** Answers are kept per query; names come from clients, so the memory is bounded. */
const answersMax = 4096;
const bookOfKind: Readonly<Record<string, string>> = { demo: "anthropic", foundry: "anthropic", "anthropic-aws": "anthropic", mantle: "bedrock" };

/** Of every name that the simulation answers to. */
const simulatedCard: PriceCard = {
  id: simulatedRowId,
  provider: simulatedProvider,
  model: "simulated",
  prices: { input: 0n, cacheRead: 0n, cacheWrite5m: 0n, cacheWrite1h: 0n, output: 0n },
  longContext: undefined,
  serverToolUses: {},
  source: "",
  checkedOn: "",
  isProvisional: false,
};

/** Read-only; safe to share between requests. */
export interface PriceBook {
  /**
   * The card for a query, a stand-in (`isProvisional`, id `provisional:…`) for an unknown Claude model or variant, or
   * undefined: such usage is unpriced. One map look-up after the first time.
   */
  cardFor(query: PriceQuery): PriceCard | undefined;
  /** Public Claude names that this kind of provider offers today, newest generation of each family first. */
  models(provider: string): readonly string[];
  /** The name that all spellings of a model share: `claude-sonnet-4-5-20250929` → `claude-sonnet-4-5`. */
  canonicalName(model: string): string;
}

/** A query in the book's terms; an empty member is the ordinary variant. */
interface Wanted {
  readonly provider: string;
  readonly model: string;
  readonly speed: string;
  readonly inferenceGeo: string;
  readonly serviceTier: string;
}

interface Entry {
  readonly wanted: Wanted;
  readonly card: PriceCard;
}

/** The book that ships with this version. */
export function loadPriceBook(): PriceBook {
  return createPriceBook(priceFile);
}

/** A book of the given rows. */
export function createPriceBook(file: PriceFile): PriceBook {
  const entries = entriesOf(file.rows);
  const exact = new Map(entries.map((entry) => [keyOf(entry.wanted), entry.card]));
  const aliases = new Map(Object.entries(file.aliases));
  const answers = new Map<string, PriceCard | undefined>();
  const canonicalName = (model: string): string => {
    const name = normalizeModelName(model).model;
    return aliases.get(name) ?? name;
  };
  const find = (query: PriceQuery): PriceCard | undefined => {
    const wanted = wantedBy(query, canonicalName(query.model));
    return exact.get(keyOf(wanted)) ?? standIn(entries, wanted);
  };
  return {
    cardFor(query) {
      if (query.provider === simulatedProvider) return simulatedCard;
      const key = `${query.provider}\n${query.model}\n${query.speed ?? ""}\n${query.inferenceGeo ?? ""}\n${query.serviceTier ?? ""}`;
      const known = answers.get(key);
      if (known !== undefined || answers.has(key)) return known;
      const card = find(query);
      if (answers.size >= answersMax) answers.clear();
      answers.set(key, card);
      return card;
    },
    models(provider) {
      const place = bookOfKind[provider] ?? provider;
      return file.listed.filter((model) => entries.some(({ wanted }) => wanted.provider === place && wanted.model === model));
    },
    canonicalName,
  };
}

function wantedBy(query: PriceQuery, model: string): Wanted {
  const provider = bookOfKind[query.provider] ?? query.provider;
  return {
    provider,
    model,
    speed: query.speed === undefined || query.speed === "standard" ? "" : query.speed,
    inferenceGeo: geoOf(provider, query),
    serviceTier: query.serviceTier === undefined || query.serviceTier === "standard" ? "" : query.serviceTier,
  };
}

/**
 * Bedrock says the region in the name, and a name without prefix is a regional one. Elsewhere the reply or the provider
 * says it; Anthropic reports `not_available` for models that do not take the parameter.
 */
function geoOf(provider: string, query: PriceQuery): string {
  if (provider === "bedrock") {
    const geo = normalizeModelName(query.model).bedrockGeo ?? "regional";
    return geo === "global" ? "" : geo;
  }
  const geo = query.inferenceGeo;
  if (geo === undefined || geo === "global" || geo === "not_available") return "";
  return provider === "vertex" ? "regional" : geo;
}

/**
 * Known model, unknown variant: its own dearest row that is special in the same ways (a service tier without a row counts
 * as the ordinary one). Otherwise the dearest row of the family, ordinary ones included; a family that has no such
 * special row at all, and a Claude name without a family, gets the dearest of all Claude.
 */
function standIn(entries: readonly Entry[], wanted: Wanted): PriceCard | undefined {
  const family = claudeFamily(wanted.model);
  if (family === undefined) return undefined;
  const here = entries.filter((entry) => entry.wanted.provider === wanted.provider && entry.wanted.serviceTier === "" && fits(entry.wanted, wanted));
  const isAsSpecial = (entry: Entry): boolean => fits(wanted, entry.wanted);
  const own = here.filter((entry) => entry.wanted.model === wanted.model && isAsSpecial(entry));
  const ofFamily = here.filter((entry) => claudeFamily(entry.wanted.model) === family);
  const pool = own.length > 0 ? own : ofFamily.some(isAsSpecial) ? ofFamily : here;
  const dearest = pool.map(({ card }) => card).reduce<PriceCard | undefined>((best, card) => (best === undefined || isDearer(card, best) ? card : best), undefined);
  return dearest === undefined ? undefined : { ...dearest, id: `provisional:${dearest.id}`, isProvisional: true };
}

/** True when `row` is not special in a way in which `other` is ordinary. */
function fits(row: Wanted, other: Wanted): boolean {
  return (row.speed === "" || other.speed !== "") && (row.inferenceGeo === "" || other.inferenceGeo !== "");
}

function isDearer(a: PriceCard, b: PriceCard): boolean {
  const difference = rankOf(a).map((value, at) => value - rankOf(b)[at]!).find((value) => value !== 0n);
  return difference === undefined ? a.id > b.id : difference > 0n;
}

/** What makes a card dear, most important first. A missing price counts as less than a free one. */
function rankOf({ prices, longContext }: PriceCard): readonly bigint[] {
  const long = longContext === undefined ? 0n : longContext.prices.input + longContext.prices.output;
  return [prices.input + prices.output, prices.cacheRead ?? -1n, prices.cacheWrite1h ?? -1n, prices.cacheWrite5m ?? -1n, long];
}

function entriesOf(rows: readonly PriceRow[]): Entry[] {
  const long = new Map(rows.filter((row) => row.aboveTokens !== undefined).map((row) => [keyOf(variantOf(row)), row]));
  return rows.filter((row) => row.aboveTokens === undefined).map((row) => ({ wanted: variantOf(row), card: cardOf(row, long.get(keyOf(variantOf(row)))) }));
}

function cardOf(row: PriceRow, long: PriceRow | undefined): PriceCard {
  return {
    id: rowId(row),
    provider: row.provider,
    model: row.model,
    prices: pricesOf(row),
    longContext: long?.aboveTokens === undefined ? undefined : { aboveTokens: long.aboveTokens, prices: pricesOf(long) },
    serverToolUses: Object.fromEntries(Object.entries(row.serverToolUses ?? {}).map(([name, price]) => [name, BigInt(price)])),
    source: row.source,
    checkedOn: row.checkedOn,
    isProvisional: false,
  };
}

function pricesOf(row: PriceRow): TokenPrices {
  const price = (value: number | null): bigint | null => (value === null ? null : BigInt(value));
  return { input: BigInt(row.input), cacheRead: price(row.cacheRead), cacheWrite5m: price(row.cacheWrite5m), cacheWrite1h: price(row.cacheWrite1h), output: BigInt(row.output) };
}

function variantOf(row: PriceRow): Wanted {
  return { provider: row.provider, model: row.model, speed: row.speed ?? "", inferenceGeo: row.inferenceGeo ?? "", serviceTier: row.serviceTier ?? "" };
}

function keyOf(wanted: Wanted): string {
  return `${wanted.provider}\n${wanted.model}\n${wanted.speed}\n${wanted.inferenceGeo}\n${wanted.serviceTier}`;
}
