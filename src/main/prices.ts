/** Prices for what was booked before: by a stand-in that has a true row now, or as unknown until the provider's own figures came. */
import type { ReconcilePrices } from "../admin/reconcile.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { dialects } from "../dialects/registry.ts";
import { nanoUsd } from "../kernel/money.ts";
import { zeroCounts, type TokenCounts, type Usage } from "../kernel/usage.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { PriceBook } from "../metering/price-book.ts";
import { priceUsage } from "../metering/pricing.ts";
import { repriceProvisional, type RepriceOptions, type TargetPricing } from "../metering/reprice.ts";
import { providers } from "../providers/registry.ts";

/** Rows of the ledger that are priced again in one go, so that a long ledger does not have to fit into memory. */
const repricedAtOnce = 1_000;

/** What a row's provider and target mean for its price, by the configuration of today. */
interface PriceTables {
  readonly kindOf: (provider: string) => string;
  readonly regionOf: (provider: string) => string | undefined;
  readonly targetPricingOf: (targetId: string) => TargetPricing | undefined;
}

function priceTablesOf(config: GatewayConfig): PriceTables {
  const targets = new Map(config.models.flatMap((model) => model.targets).map((target) => [target.id, target]));
  return {
    kindOf: (provider) => config.providers.get(provider)?.kind ?? provider,
    regionOf(name) {
      const provider = config.providers.get(name);
      return provider === undefined ? undefined : providers[provider.kind]?.priceRegion?.(provider.settings);
    },
    targetPricingOf(targetId) {
      const target = targets.get(targetId);
      return target === undefined ? undefined : { priceModel: target.priceModel, override: target.price };
    },
  };
}

/** Costs that were booked by a stand-in are corrected once the book has the true row; each by its own entry. */
export async function repriceOld(usage: Pick<UsageStore, "provisionalRows" | "adjust">, book: PriceBook, config: GatewayConfig, nowMs: number): Promise<void> {
  const tables = priceTablesOf(config);
  const options: RepriceOptions = { ...tables, book, prices: config.prices, nowMs, readUsage: ({ provider, upstreamModel, usageJson }) => dialectOf(tables.kindOf(provider), upstreamModel)?.readUsage(usageJson) };
  for (let after = ""; ; ) {
    const rows = await usage.provisionalRows(repricedAtOnce, after);
    const adjustments = repriceProvisional(rows, options);
    if (adjustments.length > 0) await usage.adjust(adjustments);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.attemptId;
  }
}

/** The format a place answers in; its reports are in the ledger's rows as they came. */
function dialectOf(kind: string, upstreamModel: string): Dialect | undefined {
  const known: Readonly<Record<string, Dialect>> = dialects;
  return providers[kind]?.dialects(upstreamModel).map((id) => known[id]).find((dialect) => dialect !== undefined);
}

/** Kinds of provider whose exports can be read. */
const readableKinds: readonly string[] = ["anthropic"];

/** What the provider's figures say of attempts is priced as the attempts themselves would have been. */
export function createReconcilePrices(book: PriceBook, inForce: () => GatewayConfig): ReconcilePrices {
  let made: { readonly config: GatewayConfig; readonly tables: PriceTables } | undefined;
  const tablesNow = (): PriceTables => {
    const config = inForce();
    if (made?.config !== config) made = { config, tables: priceTablesOf(config) };
    return made.tables;
  };
  return {
    get providers() {
      return readableProviders(inForce());
    },
    canonicalName: (model) => book.canonicalName(model),
    price(row, used) {
      const [tables, { prices }] = [tablesNow(), inForce()];
      const target = tables.targetPricingOf(row.targetId);
      const region = tables.regionOf(row.provider);
      const { costNanoUsd, priceRows, isUnpriced } = priceUsage({ usage: usageOf(used), provider: tables.kindOf(row.provider), upstreamModel: row.upstreamModel, priceModel: target?.priceModel, override: target?.override, region, book, prices });
      return { costNanoUsd, priceRow: priceRows, isPriced: !isUnpriced };
    },
    webSearchCost(provider, model, uses) {
      const tables = tablesNow();
      const usage = usageOf({ counts: zeroCounts, webSearches: uses });
      return nanoUsd(priceUsage({ usage, provider: tables.kindOf(provider), upstreamModel: model, priceModel: undefined, override: undefined, region: tables.regionOf(provider), book, prices: inForce().prices }).costNanoUsd);
    },
  };
}

function readableProviders(config: GatewayConfig): readonly string[] {
  return [...config.providers.values()].filter(({ kind }) => readableKinds.includes(kind)).map(({ name }) => name);
}

function usageOf({ counts, webSearches }: { readonly counts: TokenCounts; readonly webSearches: number }): Usage {
  return {
    parts: [{ counts, model: undefined }],
    serverToolUses: webSearches === 0 ? {} : { web_search_requests: webSearches },
    speed: undefined,
    inferenceGeo: undefined,
    serviceTier: undefined,
    source: "reported",
  };
}
