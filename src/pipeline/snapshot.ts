/** The immutable view one request has of the configuration. A new configuration makes a new snapshot; running requests keep theirs. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { LimitRules } from "../limits/limit-rules.ts";
import type { PriceBook } from "../metering/price-book.ts";
import type { Destination, Provider } from "../providers/provider.ts";
import type { RouteTable } from "../routing/route.ts";

/** A provider with its checked settings. */
export interface Place {
  readonly name: string;
  readonly provider: Provider;
  readonly settings: unknown;
  /** What the provider's login gave; kept fresh by itself. */
  readonly credentials: unknown;
  readonly destination: Destination;
}

export interface Snapshot {
  readonly config: GatewayConfig;
  readonly routes: RouteTable;
  readonly places: ReadonlyMap<string, Place>;
  readonly priceBook: PriceBook;
  readonly limitRules: LimitRules;
}
