/**
 * What the rest of the house sees of a configuration, native or LiteLLM's: validated, resolved, immutable. Nobody but
 * `config/` knows which file format it came from.
 */
import type { Budget } from "../ledger/budget.ts";
import type { UserBudget } from "../ledger/scope.ts";
import type { LimitRule } from "../limits/limit-rules.ts";
import type { Secret } from "../kernel/secret.ts";

/** One file, whole. Replaced as a whole, never changed. */
export interface GatewayConfig {
  readonly source: { readonly kind: "native" | "litellm" | "generated"; readonly path: string };
  readonly listen: ListenConfig;
  readonly egress: EgressConfig;
  readonly store: StoreConfig;
  readonly admin: AdminConfig;
  /** Lower-case header read first for the Tollgate key; the ordinary order follows. */
  readonly keyHeader: string | undefined;
  readonly providers: ReadonlyMap<string, ProviderConfig>;
  /** In file order; resolution prefers exact names, then the most specific pattern (`routing/route.ts`). */
  readonly models: readonly ModelConfig[];
  /** LiteLLM's `router_settings.model_group_alias`: name → name, hidden ones are served but not listed. */
  readonly modelAliases: ReadonlyMap<string, { readonly model: string; readonly isHidden: boolean }>;
  /**
   * By kind of provider: what serves a cloud's own names of models, on the paths of clouds' clients only, where nothing in `models`
   * does. Patterns `*`, never listed; a key's rights go by the name that was asked for.
   */
  readonly lent: ReadonlyMap<string, ModelConfig>;
  readonly budgets: readonly Budget[];
  readonly spending: SpendingConfig;
  readonly rateLimits: RateLimitsConfig;
  readonly routing: RoutingConfig;
  /** Told when a budget is nearly spent. */
  readonly webhook: WebhookConfig | undefined;
  readonly prices: PricesConfig;
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  readonly logging: LoggingConfig;
  /** Own listener for `/metrics` without a key; absent: only on the main listener, with an admin key. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  readonly forward: { readonly claudeCodeHeaders: boolean };
  /** Sentences for the start-up log and `config check`. */
  readonly warnings: readonly ConfigNotice[];
}

/** A remark or an error with its place. `line` and `column` count from 1; 0 when the whole file is meant. */
export interface ConfigNotice {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, for instance `models[0].targets[1].provider`. */
  readonly path: string;
  readonly message: string;
}

export interface ListenConfig {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** Must be true for any host that is not loopback. */
  readonly isPublic: boolean;
  readonly tls: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string | undefined } | undefined;
  /** Addresses or CIDR blocks whose `x-forwarded-for` is believed. */
  readonly trustedProxies: readonly string[];
}

export interface EgressConfig {
  /** `http://host:port` of a CONNECT proxy, may hold credentials in its user part. */
  readonly proxy: Secret | undefined;
  readonly noProxy: readonly string[];
  readonly caFile: string | undefined;
}

export interface StoreConfig {
  /** SQLite file; absent: `<data-dir>/tollgate.db`. */
  readonly path: string | undefined;
  /** `full` forces every commit to the disk; `normal` survives `kill -9` but may lose the last commits at power loss. */
  readonly sync: "normal" | "full";
  /** How long the rows of attempts stay, milliseconds, whole days; absent: for good. */
  readonly usageRetentionMs: number | undefined;
  readonly spill: {
    /** Absent: `<data-dir>/spill.jsonl`. */
    readonly path: string | undefined;
    /** How long calls that no budget binds go on while the store cannot be written, milliseconds; 0: not at all. */
    readonly unbudgetedMs: number;
  };
}

export interface AdminConfig {
  /** Absent: made at the first start and kept in `<data-dir>/admin-key`. */
  readonly key: Secret | undefined;
  /** LiteLLM's `master_key` may also infer. */
  readonly mayInfer: boolean;
}

/** A configured place. `settings` was checked by the schema of the provider `kind`, and only that provider reads it. */
export interface ProviderConfig {
  readonly name: string;
  readonly kind: string;
  readonly settings: unknown;
}

export interface ModelConfig {
  /** A public name, or a pattern with one `*`. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly accessGroups: readonly string[];
  /** In file order, at least one. */
  readonly targets: readonly TargetConfig[];
  /** How one is chosen among targets of equal priority. */
  readonly strategy: RoutingStrategy;
  /** Whether a session stays where its prompt cache is warm. */
  readonly hasAffinity: boolean;
  /** Models that step in when every target has failed, by why; names as clients ask for them. */
  readonly fallbacks: Fallbacks;
}

/**
 * `listed`: as they stand in the file. `weighted`: at random, by weight. `least-busy`: the fewest replies running. `latency`: the better of
 * two random ones by the moving average of the time to the first event.
 */
export type RoutingStrategy = "listed" | "weighted" | "least-busy" | "latency";

/** In the order in which they are tried. */
export interface Fallbacks {
  readonly failure: readonly string[];
  /** The prompt is too long for the model. */
  readonly contextWindow: readonly string[];
  /** The provider's content policy refused it. */
  readonly contentPolicy: readonly string[];
}

export interface TargetConfig {
  /** Stable, shown as `x-litellm-model-id`. */
  readonly id: string;
  /** Name in `providers`. */
  readonly provider: string;
  /** Upstream name; `*` takes what the pattern's `*` matched. Equal to the public name: the body goes out untouched. */
  readonly model: string;
  /** `client`: the caller's own provider login is relayed to this target's host, and to no other. */
  readonly credential: "provider" | "client";
  /** Price of this upstream name instead of `model`'s (LiteLLM's `base_model`). */
  readonly priceModel: string | undefined;
  readonly price: PriceOverride | undefined;
  readonly headers: ReadonlyMap<string, string>;
  readonly timeouts: Partial<TimeoutsConfig>;
  /** Lower ones first; a higher one only when all lower ones cannot serve. */
  readonly priority: number;
  /** Share under `weighted`, ≥ 0; one of 0 serves only when no other can. */
  readonly weight: number;
  /** For callers that ask for one of them, where tag routing is on. */
  readonly tags: readonly string[];
  /** Calls whose prompt is likely to be longer go elsewhere, where there is an elsewhere. */
  readonly inputTokensMax: number | undefined;
}

/** How failures are met. */
export interface RoutingConfig {
  /** Attempts of one call at the most, over all targets and fallbacks. */
  readonly attemptsMax: number;
  /** Times that one target is tried again after a failure that may pass, when no other is left. */
  readonly retriesMax: number;
  /** The same after failures of one class. */
  readonly retriesMaxByClass: ReadonlyMap<FailureClass, number>;
  /** From admission on, in which a further attempt may begin, milliseconds. */
  readonly failoverMs: number;
  /** How long the start of a stream is held for an error in place of content, milliseconds; 0: not at all. */
  readonly holdEventsMs: number;
  /** Retries, and attempts at targets whose circuit is not closed, take a token each. */
  readonly retryBudget: { readonly tokensPerCall: number; readonly burst: number };
  readonly circuit: CircuitConfig;
  /** Models tried in the place of one that has no fallbacks of its own. */
  readonly fallbacks: Fallbacks;
  /** Models that step in for one call at the most. */
  readonly fallbacksMax: number;
  /** Whether a fallback may step in for a session whose prompt cache is warm. */
  readonly fallsBackInSessions: boolean;
  /** How often targets are asked for a count of tokens, milliseconds; undefined: never. */
  readonly checkIntervalMs: number | undefined;
  /** `off`: tags decide nothing. `any`, `all`: how many of the tags asked for a target must have. */
  readonly tagMatch: "off" | "any" | "all";
}

/** When a target is left alone for a while. */
export interface CircuitConfig {
  readonly isEnabled: boolean;
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  /** Share of failures over `windowMs`, of at least `callsMin` calls, that opens it; 0 to 1. */
  readonly failureRateMax: number;
  readonly windowMs: number;
  readonly callsMin: number;
  /** How long it stays open before one probe is let through, milliseconds. */
  readonly cooldownMs: number;
  /** Failures in a row by class, in the place of `failuresMax`. */
  readonly failuresMaxByClass: ReadonlyMap<FailureClass, number>;
}

/** What a failure tells of a target. */
export type FailureClass = "connect" | "timeout" | "rate_limit" | "overloaded" | "server_error" | "credential" | "not_found" | "invalid_reply" | "broken";

/** µUSD per million tokens, ≥ 0. An absent member keeps the book's price. */
export interface PriceOverride {
  readonly input?: bigint;
  readonly output?: bigint;
  readonly cacheRead?: bigint;
  readonly cacheWrite5m?: bigint;
  readonly cacheWrite1h?: bigint;
}

export interface WebhookConfig {
  /** `http` or `https`, without a user. */
  readonly url: string;
  /** Signs what is sent. */
  readonly secret: Secret;
}

export interface RateLimitsConfig {
  /** Whether tokens read from a prompt cache count as input. */
  readonly countsCacheReads: boolean;
  readonly rules: readonly LimitRule[];
}

/** Whose money counts where. */
export interface SpendingConfig {
  /** Parts per million of what a call costs at a plan's first target, above which a further one is left out; undefined: no bound. */
  readonly failoverPriceMaxPpm: bigint | undefined;
  /** Who bears attempts that were given up for others. */
  readonly wastedPayer: "platform" | "caller";
  readonly userBudget: UserBudget;
  /** What becomes of calls without a price where a budget binds. */
  readonly unpriced: "refuse" | "warn" | "free";
  /** Calls with the callers' own logins count under budgets. */
  readonly countsClientCredentials: boolean;
  /** What is charged, parts per million of the cost, ≥ 1 000 000; a team's own comes first. */
  readonly margin: { readonly generalPpm: number | undefined; readonly byTeam: ReadonlyMap<string, number> };
}

export interface PricesConfig {
  /** Applied to every cost, as parts per million (1 000 000 = unchanged). */
  readonly multiplierPpm: bigint;
  readonly overrides: ReadonlyMap<string, PriceOverride>;
}

export interface LimitsConfig {
  readonly bodyBytesMax: number;
  /** Requests in work at once; beyond it 529. */
  readonly inFlightMax: number;
  /** Of one key; undefined: as many as there may be. */
  readonly inFlightPerKeyMax: number | undefined;
}

/** All in milliseconds, > 0. */
export interface TimeoutsConfig {
  readonly connectMs: number;
  /** To the first reply byte of a stream. */
  readonly firstByteStreamMs: number;
  /** To the first reply byte of a plain call. */
  readonly firstBytePlainMs: number;
  /** Between two reply bytes. */
  readonly idleMs: number;
  /** From admission to the last byte. */
  readonly totalMs: number;
  /** Silence of a stream after which Tollgate sends a ping. */
  readonly pingMs: number;
  /** For the request body. */
  readonly requestBodyMs: number;
  /** For streams to finish after SIGTERM. */
  readonly drainMs: number;
}

export interface LoggingConfig {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** One line per request. */
  readonly requests: boolean;
}

/** The defaults, in one place; the reference page is generated from them. */
export const defaultTimeouts: TimeoutsConfig = {
  connectMs: 5_000,
  firstByteStreamMs: 120_000,
  firstBytePlainMs: 600_000,
  idleMs: 300_000,
  totalMs: 3_600_000,
  pingMs: 15_000,
  requestBodyMs: 300_000,
  drainMs: 600_000,
};
export const noFallbacks: Fallbacks = { failure: [], contextWindow: [], contentPolicy: [] };
/** A model and a target about whose routing nothing is written. */
export const plainModel: Pick<ModelConfig, "strategy" | "hasAffinity" | "fallbacks"> = { strategy: "listed", hasAffinity: true, fallbacks: noFallbacks };
export const plainTarget: Pick<TargetConfig, "priority" | "weight" | "tags" | "inputTokensMax"> = { priority: 1, weight: 1, tags: [], inputTokensMax: undefined };
export const defaultRouting: RoutingConfig = {
  attemptsMax: 4,
  retriesMax: 0,
  retriesMaxByClass: new Map(),
  failoverMs: 60_000,
  holdEventsMs: 2_000,
  retryBudget: { tokensPerCall: 0.1, burst: 10 },
  circuit: { isEnabled: true, failuresMax: 5, failureRateMax: 0.5, windowMs: 30_000, callsMin: 20, cooldownMs: 30_000, failuresMaxByClass: new Map() },
  fallbacks: noFallbacks,
  fallbacksMax: 5,
  fallsBackInSessions: false,
  checkIntervalMs: undefined,
  tagMatch: "off",
};
export const defaultLimits: LimitsConfig = { bodyBytesMax: 32 * 1024 * 1024, inFlightMax: 10_000, inFlightPerKeyMax: undefined };
