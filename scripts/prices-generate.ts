/**
 * Makes the price book from `@pydantic/genai-prices` and our own overrides. Every price of every variant is worked out
 * here, once, with exact decimals, so that the gateway only reads and a reviewer sees each number in the diff.
 */
import { findProvider, type ModelInfo, type ModelPrice } from "@pydantic/genai-prices";
import { parseDecimal } from "../src/kernel/money.ts";
import { normalizeModelName } from "../src/metering/model-name.ts";
import { rowId, type PriceFile, type PriceRow } from "../src/metering/price-row.ts";
import overrides from "./prices-overrides.json" with { type: "json" };

interface Origin {
  readonly source: string;
  readonly checkedOn: string;
}
type PriceMember = "input" | "cacheRead" | "cacheWrite5m" | "cacheWrite1h" | "output";

const members: readonly PriceMember[] = ["input", "cacheRead", "cacheWrite5m", "cacheWrite1h", "output"];
const packageMembers: Readonly<Record<PriceMember, string>> = {
  input: "input_mtok", cacheRead: "cache_read_mtok", cacheWrite5m: "cache_write_mtok", cacheWrite1h: "cache_write_1h_mtok", output: "output_mtok",
};
const packageProviders = [["anthropic", "anthropic"], ["aws", "bedrock"], ["google", "vertex"]] as const;

/**
 * The price file that the package and the overrides give.
 *
 * @throws Error when a price is not a whole number of µUSD, a row exists twice, or an override names nothing
 */
export function generatePriceFile(): PriceFile {
  let rows = packageRows();
  rows = rows.filter((row) => row.aboveTokens === undefined || !overrides.flat.some((rule) => rule.provider === row.provider && rule.models.includes(row.model)));
  for (const rule of overrides.rows) rows.push(overrideRow(rule));
  for (const rule of overrides.oneHourWrites) {
    rows = rows.map((row) => (rule.providers.includes(row.provider) && row.cacheWrite1h === null && row.cacheWrite5m !== null ? { ...row, cacheWrite1h: times(row.input, rule.factorOfInput) } : row));
  }
  for (const rule of overrides.longContext) rows.push(...matching(rows, rule.provider, rule.models).map((row) => longContextRow(row, rule)));
  for (const rule of overrides.copies) rows.push(...copiedRows(rows, rule));
  for (const rule of overrides.factors) rows.push(...factorRows(rows, rule));
  return { rows: finished(rows), aliases: overrides.aliases, listed: overrides.listed };
}

/** The file's text: one row a line, so that a changed price is one changed line. */
export function printPriceFile(file: PriceFile): string {
  const rows = file.rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  return `{\n  "aliases": ${JSON.stringify(file.aliases)},\n  "listed": ${JSON.stringify(file.listed)},\n  "rows": [\n${rows}\n  ]\n}\n`;
}

function packageRows(): PriceRow[] {
  return packageProviders.flatMap(([providerId, provider]) => {
    const found = findProvider({ providerId });
    if (found === undefined) throw new Error(`the price package has no provider ${providerId}`);
    const isExcluded = (id: string): boolean => overrides.exclude.some((rule) => rule.provider === provider && rule.id === id);
    const origin = { source: overrides.package.sources[provider], checkedOn: overrides.package.checkedOn };
    const rows = found.models.filter(({ id }) => id.includes("claude") && !isExcluded(id)).flatMap((model) => modelRows(provider, model, origin));
    // Bedrock lists two versions of Sonnet 3.5, which cost the same and have one canonical name.
    return rows.filter((row, at) => !rows.slice(0, at).some((earlier) => samePrices(earlier, row)));
  });
}

function modelRows(provider: "anthropic" | "bedrock" | "vertex", info: ModelInfo, origin: Origin): PriceRow[] {
  const names: Readonly<Record<string, string>> = provider === "bedrock" ? {} : overrides.names[provider];
  // The package calls Bedrock's non-global profiles `regional.`; ours do so by geography.
  const geo = info.id.startsWith("regional.") ? { inferenceGeo: "regional" } : {};
  const plainId = info.id.replace(/^regional\./, "us.");
  const model = names[info.id] ?? normalizeModelName(plainId).model;
  const prices = currentPrices(info);
  const thresholds = new Set(members.flatMap((member) => tiersOf(prices[packageMembers[member]]).map((tier) => tier.start)));
  const row = (aboveTokens: number | undefined): PriceRow => {
    const price = (member: PriceMember): number | null => packagePrice(prices[packageMembers[member]], aboveTokens);
    const input = price("input");
    const output = price("output");
    if (input === null || output === null) throw new Error(`${info.id} has no input or output price`);
    return {
      provider, model, ...geo, ...(aboveTokens === undefined ? {} : { aboveTokens }),
      input, cacheRead: price("cacheRead"), cacheWrite5m: price("cacheWrite5m"), cacheWrite1h: price("cacheWrite1h"), output, ...origin,
    };
  };
  return [row(undefined), ...[...thresholds].map(row)];
}

/** Prices that changed over time come as a list, oldest first; the newest holds. */
function currentPrices(info: ModelInfo): ModelPrice {
  if (!Array.isArray(info.prices)) return info.prices;
  const last = info.prices.at(-1);
  if (last === undefined) throw new Error(`${info.id} has no prices`);
  return last.prices;
}

function tiersOf(price: ModelPrice[string]): readonly { readonly start: number; readonly price: number }[] {
  return typeof price === "object" ? price.tiers : [];
}

function packagePrice(price: ModelPrice[string], aboveTokens: number | undefined): number | null {
  if (price === undefined) return null;
  if (typeof price === "number") return microUsd(String(price));
  return microUsd(String(aboveTokens === undefined ? price.base : (price.tiers.find((tier) => tier.start === aboveTokens)?.price ?? price.base)));
}

function overrideRow(rule: (typeof overrides.rows)[number]): PriceRow {
  const { provider, model, source, checkedOn } = rule;
  return {
    provider, model, ...("aboveTokens" in rule ? { aboveTokens: rule.aboveTokens } : {}),
    input: microUsd(rule.input), cacheRead: microUsd(rule.cacheRead), cacheWrite5m: microUsd(rule.cacheWrite5m), cacheWrite1h: microUsd(rule.cacheWrite1h), output: microUsd(rule.output),
    source, checkedOn,
  };
}

function longContextRow(row: PriceRow, rule: (typeof overrides.longContext)[number]): PriceRow {
  if (row.aboveTokens !== undefined) throw new Error(`${rowId(row)} already has a long-context price`);
  const scaled = scaledRow(row, rule.inputFactor, rule);
  return { ...scaled, aboveTokens: rule.aboveTokens, output: times(row.output, rule.outputFactor) };
}

function copiedRows(rows: readonly PriceRow[], rule: (typeof overrides.copies)[number]): PriceRow[] {
  const { to } = rule;
  return to.models.flatMap((model) => {
    const from = "model" in rule.from ? rule.from.model : model;
    return matching(rows, rule.from.provider, [from]).map((row) => ({ ...row, provider: to.provider, model, source: rule.source, checkedOn: rule.checkedOn }));
  });
}

function factorRows(rows: readonly PriceRow[], rule: (typeof overrides.factors)[number]): PriceRow[] {
  const models = typeof rule.models === "string" ? [...new Set(rows.filter(({ provider }) => provider === rule.provider).map(({ model }) => model))] : rule.models;
  return matching(rows, rule.provider, models)
    .filter((row) => !("notWith" in rule) || (rule.notWith === "speed" ? row.speed : row.inferenceGeo) === undefined)
    .map((row) => ({ ...scaledRow(row, rule.factor, rule), [rule.member]: rule.value }));
}

function matching(rows: readonly PriceRow[], provider: string, models: readonly string[]): PriceRow[] {
  return models.flatMap((model) => {
    const found = rows.filter((row) => row.provider === provider && row.model === model);
    if (found.length === 0) throw new Error(`an override names ${provider}/${model}, which has no row`);
    return found;
  });
}

function scaledRow(row: PriceRow, factor: string, origin: Origin): PriceRow {
  const scaled = (price: number | null): number | null => (price === null ? null : times(price, factor));
  return {
    ...row, input: times(row.input, factor), cacheRead: scaled(row.cacheRead), cacheWrite5m: scaled(row.cacheWrite5m), cacheWrite1h: scaled(row.cacheWrite1h),
    output: times(row.output, factor), source: origin.source, checkedOn: origin.checkedOn,
  };
}

/** Sorts, adds the prices of server tools, and refuses doubles. */
function finished(rows: readonly PriceRow[]): PriceRow[] {
  const seen = new Set<string>();
  return rows
    .map((row) => ({ row, id: rowId(row) }))
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ row, id }) => {
      if (seen.has(id)) throw new Error(`two rows for ${id}`);
      seen.add(id);
      const tools = overrides.serverToolUses.find((rule) => rule.providers.includes(row.provider));
      return orderedRow(tools === undefined ? row : { ...row, serverToolUses: tools.microUsd });
    });
}

/** One order of members, so that the text does not depend on which rule made a row. */
function orderedRow(row: PriceRow): PriceRow {
  const { provider, model, speed, inferenceGeo, serviceTier, aboveTokens, input, cacheRead, cacheWrite5m, cacheWrite1h, output, serverToolUses, source, checkedOn } = row;
  return {
    provider, model,
    ...(speed === undefined ? {} : { speed }), ...(inferenceGeo === undefined ? {} : { inferenceGeo }),
    ...(serviceTier === undefined ? {} : { serviceTier }), ...(aboveTokens === undefined ? {} : { aboveTokens }),
    input, cacheRead, cacheWrite5m, cacheWrite1h, output,
    ...(serverToolUses === undefined ? {} : { serverToolUses }), source, checkedOn,
  };
}

function samePrices(a: PriceRow, b: PriceRow): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Dollars per million tokens as decimal text, exactly. */
function microUsd(text: string): number {
  return exact(parseDecimal(text, 18), 10n ** 12n, text);
}

function times(price: number, factor: string): number {
  const scaled = parseDecimal(factor, 12);
  return exact(scaled === undefined ? undefined : scaled * BigInt(price), 10n ** 12n, `${price} x ${factor}`);
}

function exact(value: bigint | undefined, divisor: bigint, what: string): number {
  if (value === undefined || value % divisor !== 0n) throw new Error(`${what} is not a whole number of µUSD per million tokens`);
  return Number(value / divisor);
}
