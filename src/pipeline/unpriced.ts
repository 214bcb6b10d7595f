/** What becomes of a call to a model without a price where a budget binds: refused, or let through with nothing held for it. */
import type { Demand } from "../ledger/ledger.ts";
import type { Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";

/** Of a call that nothing has to be held for. */
export const free: readonly Demand[] = [{ expected: 0n, risk: 0n, bound: () => 0n }];
const told = new WeakMap<Services, Set<string>>();
/** Clients name models; beyond this many one may be told again. */
const namesMax = 1_000;

/** Undefined where such a call is refused. Each model is logged once where the operator wants to hear of it. */
export function demandsOfUnpriced(services: Services, { exchange }: Planned, { place, upstreamModel }: PlannedTarget): readonly Demand[] | undefined {
  const { unpriced } = exchange.snapshot.config.spending;
  if (unpriced === "refuse") return undefined;
  if (unpriced === "warn" && isNew(services, `${place.name}/${upstreamModel}`)) services.log.warn({ provider: place.name, model: upstreamModel }, "this model has no price, so its calls count under no budget");
  return free;
}

function isNew(services: Services, name: string): boolean {
  let names = told.get(services);
  if (names === undefined) told.set(services, (names = new Set()));
  if (names.has(name)) return false;
  if (names.size >= namesMax) names.clear();
  names.add(name);
  return true;
}
