/** Corrects what was booked at a stand-in price once the true price is known. Pure: the caller reads rows and writes adjustments. */
import type { PriceOverride, PricesConfig } from "../config/gateway-config.ts";
import { nanoUsd } from "../kernel/money.ts";
import { addCounts, zeroCounts, type TokenCounts, type Usage, type UsagePart } from "../kernel/usage.ts";
import type { Adjustment, LedgerRow } from "../ledger/usage-store.ts";
import type { PriceBook } from "./price-book.ts";
import { priceUsage } from "./pricing.ts";

/** What is read again from a row's `usageJson`; the dialect that wrote it knows how. */
export type ReportedUsage = Pick<Usage, "parts" | "speed" | "inferenceGeo" | "serviceTier">;

/** How the target of a row is priced today. */
export interface TargetPricing {
  readonly priceModel: string | undefined;
  readonly override: PriceOverride | undefined;
}

/** Everything a repricing needs besides the rows, so that it needs no clock and no store. */
export interface RepriceOptions {
  readonly book: PriceBook;
  readonly prices: PricesConfig;
  /** Kind of the provider that a row names. */
  readonly kindOf: (provider: string) => string;
  readonly nowMs: number;
  /** Without it, rows that were priced by an operator's override stay as they are. */
  readonly targetPricingOf?: (targetId: string) => TargetPricing | undefined;
  /** Variant of price that a provider's settings decide, by its name. */
  readonly regionOf?: (provider: string) => string | undefined;
  /** Reads a row's `usageJson`. Without it, rows whose report has several parts (`iterations`) or parts that are not billed stay as they are. */
  readonly readUsage?: (row: LedgerRow) => ReportedUsage | undefined;
}

/**
 * One adjustment for each row whose true price exists now, also when the difference is 0: it settles the row. A correction
 * is mostly negative, since stand-ins are dear. The id follows from the attempt's, so that a repetition writes nothing new.
 *
 * @param rows from `UsageStore.provisionalRows`
 */
export function repriceProvisional(rows: readonly LedgerRow[], options: RepriceOptions): Adjustment[] {
  const { book, prices, kindOf, nowMs } = options;
  return rows.flatMap((row) => {
    const target = options.targetPricingOf?.(row.targetId);
    const usage = usageOf(row, options.readUsage ?? (({ usageJson }) => readSinglePart(usageJson)));
    const isOverridden = row.priceRow.includes("+override");
    if (!row.isProvisional || usage === undefined || (isOverridden && target === undefined)) return [];
    const { upstreamModel } = row;
    const priced = priceUsage({ usage, provider: kindOf(row.provider), upstreamModel, priceModel: target?.priceModel, override: target?.override, region: options.regionOf?.(row.provider), book, prices });
    if (priced.isProvisional || priced.isUnpriced) return [];
    const deltaNanoUsd = nanoUsd(priced.costNanoUsd - row.costNanoUsd);
    return [{ id: adjustmentId(row.attemptId), attemptId: row.attemptId, atMs: nowMs, deltaNanoUsd, priceRow: priced.priceRows, reason: `price of ${upstreamModel} became known` }];
  });
}

function adjustmentId(attemptId: string): string {
  return `adj_${attemptId.replace(/^att_/, "")}`;
}

/**
 * The row's own counts are what was booked. The report only says how they split over models, which of them are billed and in
 * which variant; an estimated row may count more output than was reported, which then belongs to its first part.
 */
function usageOf(row: LedgerRow, read: (row: LedgerRow) => ReportedUsage | undefined): Usage | undefined {
  const { serverToolUses, source } = row;
  if (row.usageJson === "") {
    // A report too long to keep cannot be split again; an estimate never had one.
    if (source !== "estimated") return undefined;
    return { parts: [{ counts: row.counts, model: undefined }], serverToolUses, source, speed: undefined, inferenceGeo: undefined, serviceTier: undefined };
  }
  const reported = read(row);
  if (reported === undefined) return undefined;
  const { speed, inferenceGeo, serviceTier } = reported;
  const parts = partsOf(row.counts, reported.parts);
  return parts === undefined ? undefined : { parts, serverToolUses, source, speed, inferenceGeo, serviceTier };
}

/** Only the variant members of a report in Anthropic's format; its counts are those of the row. Parts that differ are left to the dialect. */
function readSinglePart(usageJson: string): ReportedUsage | undefined {
  const usage = parsedObject(usageJson);
  const isSplit = ["iterations", "tollgate_unbilled_parts"].some((name) => Array.isArray(usage?.[name]) && usage[name].length > 0);
  if (usage === undefined || isSplit) return undefined;
  const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
  return { parts: [], speed: text(usage["speed"]), inferenceGeo: text(usage["inference_geo"]), serviceTier: text(usage["service_tier"]) };
}

function parsedObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function partsOf(billed: TokenCounts, reported: readonly UsagePart[]): readonly UsagePart[] | undefined {
  const [first, ...others] = reported;
  if (first === undefined) return [{ counts: billed, model: undefined }];
  const rest = others.reduce((sum, part) => addCounts(sum, part.counts), zeroCounts);
  const counts: TokenCounts = {
    input: billed.input - rest.input,
    cacheRead: billed.cacheRead - rest.cacheRead,
    cacheWrite5m: billed.cacheWrite5m - rest.cacheWrite5m,
    cacheWrite1h: billed.cacheWrite1h - rest.cacheWrite1h,
    output: billed.output - rest.output,
  };
  // Reports that do not add up to what was billed are not ours to correct.
  return Object.values(counts).some((count) => count < 0) ? undefined : [{ ...first, counts }, ...others];
}
