/** What prices an attempt at a target, but its usage: one object for each target and name under one snapshot, by which prices are kept. */
import type { TargetConfig } from "../config/gateway-config.ts";
import type { PricingContext } from "../metering/price-sheet.ts";
import type { PlannedTarget } from "./exchange.ts";
import type { Snapshot } from "./snapshot.ts";

/** Where a pattern serves any name, clients name the models. */
const namesMax = 1_000;
const kept = new WeakMap<Snapshot, Map<string, PricingContext>>();
/** Of each target the one used last, since most serve one name. */
const latest = new WeakMap<TargetConfig, PricingContext>();

export function pricingContext(snapshot: Snapshot, { place, target, upstreamModel, priceRegion }: PlannedTarget): PricingContext {
  const last = latest.get(target);
  if (last !== undefined && last.upstreamModel === upstreamModel && last.region === priceRegion && last.book === snapshot.priceBook && last.prices === snapshot.config.prices) return last;
  const context = find(snapshot, { place, target, upstreamModel, priceRegion });
  latest.set(target, context);
  return context;
}

function find(snapshot: Snapshot, { place, target, upstreamModel, priceRegion }: Pick<PlannedTarget, "place" | "target" | "upstreamModel" | "priceRegion">): PricingContext {
  let contexts = kept.get(snapshot);
  if (contexts === undefined) kept.set(snapshot, (contexts = new Map()));
  const id = `${target.id} ${upstreamModel} ${priceRegion ?? ""}`;
  const known = contexts.get(id);
  if (known !== undefined) return known;
  const context: PricingContext = {
    provider: place.provider.id,
    upstreamModel,
    priceModel: target.priceModel,
    override: target.price,
    region: priceRegion,
    book: snapshot.priceBook,
    prices: snapshot.config.prices,
  };
  if (contexts.size >= namesMax) contexts.clear();
  contexts.set(id, context);
  return context;
}
