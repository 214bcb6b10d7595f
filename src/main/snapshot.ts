/** From a configuration to the snapshot that requests see. Places whose settings have not changed are taken over, with their logins. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { CredentialRuntime } from "../credentials/runtime.ts";
import { isSame } from "../kernel/same.ts";
import { createLimitRules } from "../limits/limit-rules.ts";
import type { PriceBook } from "../metering/price-book.ts";
import type { Place, Snapshot } from "../pipeline/snapshot.ts";
import { providers } from "../providers/registry.ts";
import { claudeNameOf, createRouteTable, type RouteTable } from "../routing/route.ts";

export interface SnapshotParts {
  readonly priceBook: PriceBook;
  /** For logins of new places. */
  readonly runtime: CredentialRuntime;
  /** Where the simulated provider listens; undefined when it does not run. */
  readonly demoUrl: string | undefined;
}

/**
 * @param previous whose places live on where nothing about them has changed: a token that they have is not fetched again
 * @throws Error for a provider of a kind that there is not
 */
export function makeSnapshot(config: GatewayConfig, previous: Pick<Snapshot, "places"> | undefined, { priceBook, runtime, demoUrl }: SnapshotParts): Snapshot {
  const places = new Map<string, Place>();
  for (const { name, kind, settings } of config.providers.values()) {
    const provider = providers[kind];
    if (provider === undefined) throw new Error(`provider ${name}: there is no kind ${kind}`);
    const own = kind === "demo" && demoUrl !== undefined ? provider.settings.parse({ base_url: demoUrl }) : settings;
    const known = previous?.places.get(name);
    const isKnown = known?.provider === provider && isSame(known.settings, own);
    places.set(name, isKnown ? known : { name, provider, settings: own, credentials: provider.login?.(own, runtime), destination: provider.destination(own) });
  }
  return { config, priceBook, places, routes: withLent(createRouteTable(config), config.lent), limitRules: createLimitRules(config.rateLimits.rules) };
}

/** Bedrock's ids and ARNs say whose they are; Vertex's are Anthropic's names, older ones with their date behind an `@`. */
function cloudOf(name: string): string {
  return /^arn:aws[a-z-]*:bedrock:|(?:^|\.)anthropic\.claude-/.test(name) ? "bedrock" : name.startsWith("claude-") ? "vertex" : "";
}

/** The routes with what is lent to clients that name models as their cloud does; rights go by that name, or by Anthropic's for it. */
function withLent(routes: RouteTable, lent: GatewayConfig["lent"]): RouteTable {
  if (lent.size === 0) return routes;
  const tables = new Map([...lent].map(([kind, model]) => [kind, createRouteTable({ models: [model], modelAliases: new Map() })]));
  return {
    ...routes,
    resolveCloudName(name, envelope) {
      const own = routes.resolveCloudName(name);
      const borrowed = own === undefined && cloudOf(name) === envelope ? tables.get(envelope)?.resolve(name) : undefined;
      return borrowed === undefined ? own : { ...borrowed, rightsNames: [name, claudeNameOf(name) ?? name] };
    },
  };
}

/** Ids of targets whose place is there as before, but with other settings: what was learnt of it holds no more. */
export function movedTargets(before: Snapshot, after: Snapshot): ReadonlySet<string> {
  const moved = new Set([...after.places.values()].filter((place) => before.places.get(place.name) !== place).map(({ name }) => name));
  return new Set(after.config.models.flatMap(({ targets }) => targets).filter(({ provider }) => moved.has(provider)).map(({ id }) => id));
}
