/**
 * Limits of rate and concurrency around a call: room is taken under all that bind it before money is looked at, and freed at its end,
 * however it ends. Where no limit binds, nothing happens.
 */
import { GatewayError } from "../kernel/gateway-error.ts";
import type { KeyRecord } from "../identity/key-store.ts";
import type { Principal } from "../identity/principal.ts";
import { idOf, kindOf, membershipsOf, type Scope, type ScopeKind, type Spender } from "../ledger/scope.ts";
import type { Demand, Lease, Limit, LimitKind, RefusedLimit, TokenAmounts } from "../limits/limit.ts";
import { limitsOf, overriddenBy } from "../limits/limit-rules.ts";
import { limitText, tellLimits } from "../limits/limit-text.ts";
import { attributionOf } from "./attribution.ts";
import type { AttemptOpening } from "./books.ts";
import type { Exchange, Planned } from "./exchange.ts";
import type { Services } from "./services.ts";
import type { Snapshot } from "./snapshot.ts";

/** Known only once a target is chosen. */
const attemptKinds: ReadonlySet<ScopeKind> = new Set(["provider", "target"]);
/** Named by clients: one key's must not be another's. */
const clientKinds: ReadonlySet<ScopeKind> = new Set(["session", "end_user"]);
const noLimits: readonly Limit[] = [];
const noTokens: TokenAmounts = { total: 0, input: 0, output: 0 };

/** A call's place under its limits. */
export interface Turn {
  /**
   * The call goes on as one for another model, under the limits of that one.
   *
   * @throws GatewayError as {@link takeTurn}
   */
  move(planned: Planned): void;
  /** Frees it. A call that was never sent has burnt nothing. */
  leave(): void;
}

/**
 * @returns undefined where no limit can bind the caller
 * @throws GatewayError `client_rate_limited`; then nothing is taken
 */
export function takeTurn(services: Services, planned: Planned): Turn | undefined {
  const { exchange, principal } = planned;
  if (!mayBeLimited(exchange.snapshot, principal)) return undefined;
  let lease = enter(services, planned);
  return {
    move(other) {
      lease?.cancel(services.clock.monotonic());
      lease = undefined;
      lease = enter(services, other);
    },
    leave() {
      const { report, snapshot } = exchange;
      const now = services.clock.monotonic();
      if (report.attempts === 0) lease?.cancel(now);
      else lease?.end(report.tokens === undefined ? undefined : amountsOf(snapshot, report.tokens), now);
    },
  };
}

/** Room under all limits but those of a target; undefined where none binds. */
function enter(services: Services, planned: Planned): Lease | undefined {
  const { exchange, principal, facts } = planned;
  const attribution = attributionOf(exchange.request.headers, principal);
  const spender: Spender = { ...ownerOf(principal), ...attribution, model: planned.route.publicName, provider: "", targetId: "" };
  const limits = requestLimits(exchange.snapshot, principal, spender);
  if (limits.length === 0) return undefined;
  const isCount = exchange.operation === "count_tokens";
  const demand: Demand = {
    tokens: isCount ? noTokens : estimateOf(services, planned, { ...attribution, keyId: principal.keyId }),
    isStreaming: facts.isStreaming && !isCount,
    isCount,
    sessionId: attribution.sessionId ?? undefined,
    agentId: attribution.agentId ?? undefined,
    parentAgentId: attribution.parentAgentId ?? undefined,
  };
  const now = services.clock.monotonic();
  const verdict = services.limiter.admit(limits, demand, now);
  tell(services, exchange, limits, now);
  if (!verdict.isAdmitted) throw limitRefusal(verdict.refused, principal);
  return verdict.lease;
}

/** Room under the limits of a target and its provider, for one attempt. */
export function takeTargetTurn(services: Services, { exchange, facts }: Planned, opening: AttemptOpening): { readonly lease: Lease | undefined } | { readonly refused: readonly RefusedLimit[] } {
  const limits = targetLimits(exchange.snapshot, opening);
  if (limits.length === 0) return { lease: undefined };
  const { input, cacheRead, output } = services.estimates.tokens(opening, facts.outputTokensMax);
  const demand: Demand = { tokens: amountsOf(exchange.snapshot, { input, cacheRead, output }), isStreaming: opening.isStreaming, isCount: false, sessionId: undefined, agentId: undefined, parentAgentId: undefined };
  const verdict = services.limiter.admit(limits, demand, services.clock.monotonic());
  return verdict.isAdmitted ? { lease: verdict.lease } : { refused: verdict.refused };
}

/** Those of a target and of its provider. */
function targetLimits({ limitRules }: Snapshot, { provider, targetId }: Pick<AttemptOpening, "provider" | "targetId">): readonly Limit[] {
  if (!limitRules.kinds.has("target") && !limitRules.kinds.has("provider")) return noLimits;
  return [`provider:${provider}`, `target:${targetId}`].flatMap((scope) => limitRules.of(scope, scope));
}

/** What a prompt of so many tokens would be told by the limits of a target now; undefined where it has room. Nothing is taken. */
export function targetLimitText({ limiter, clock }: Pick<Services, "limiter" | "clock">, snapshot: Snapshot, { inputTokens, ...target }: Pick<AttemptOpening, "provider" | "targetId"> & { readonly inputTokens: number }): string | undefined {
  const demand: Demand = { tokens: amountsOf(snapshot, { input: inputTokens, cacheRead: 0, output: 0 }), isStreaming: true, isCount: false, sessionId: undefined, agentId: undefined, parentAgentId: undefined };
  const refused = limiter.refused(targetLimits(snapshot, target), demand, clock.monotonic());
  return refused.length === 0 ? undefined : limitText(refused, ({ scope }) => `${kindOf(scope as Scope)} ${idOf(scope as Scope)}`);
}

/** The refusal of a call that limits have no room for. */
export function limitRefusal(refused: readonly RefusedLimit[], principal: Principal): GatewayError {
  const longestMs = Math.max(...refused.map(({ retryAfterMs }) => retryAfterMs ?? Number.POSITIVE_INFINITY));
  const publicText = limitText(refused, ({ scope }) => nameOf(scope as Scope, principal));
  // To try again what never fits would only make it wait for nothing.
  return new GatewayError("client_rate_limited", Number.isFinite(longestMs) ? { publicText, retryAfterSeconds: Math.max(1, Math.ceil(longestMs / 1_000)) } : { publicText, shouldRetry: false });
}

/** Tokens as the operator wants them counted. */
export function amountsOf({ config }: Snapshot, { input, cacheRead, output }: { readonly input: number; readonly cacheRead: number; readonly output: number }): TokenAmounts {
  const counted = input + (config.rateLimits.countsCacheReads ? cacheRead : 0);
  return { total: counted + output, input: counted, output };
}

function mayBeLimited({ limitRules }: Snapshot, { key }: Principal): boolean {
  return limitRules.kinds.size > 0 || (key !== undefined && hasOwnLimits(key));
}

function ownerOf({ keyId, userId, teamId, organizationId }: Principal): Pick<Spender, "keyId" | "userId" | "teamId" | "organizationId"> {
  return { keyId, userId, teamId, organizationId };
}

function requestLimits({ limitRules }: Snapshot, { key }: Principal, spender: Spender): readonly Limit[] {
  const own = key === undefined ? undefined : ownLimits(key);
  const found: Limit[] = [];
  const keyKinds = own === undefined ? noKinds : ownKinds;
  for (const { scope } of membershipsOf(spender, kindsOf(limitRules.kinds, keyKinds))) {
    const kind = kindOf(scope);
    if (attemptKinds.has(kind)) continue;
    const general = limitRules.kinds.has(kind) ? limitRules.of(scope, clientKinds.has(kind) ? `${kind}:${spender.keyId}/${idOf(scope)}` : scope) : noLimits;
    const particular = kind === "key" ? own?.key : kind === "key_model" ? own?.models.get(spender.model) : undefined;
    found.push(...overriddenBy(general, particular ?? noLimits));
  }
  // A call without a session's id shares one with all others of its key that have none.
  if (spender.sessionId === null && limitRules.kinds.has("session")) found.push(...limitRules.of("session:none", `session:${spender.keyId}/none`));
  return found;
}

const noKinds: ReadonlySet<string> = new Set();
const ownKinds: ReadonlySet<string> = new Set(["key", "key_model"]);
const unions = new WeakMap<ReadonlySet<string>, ReadonlySet<ScopeKind>>();

function kindsOf(rules: ReadonlySet<string>, own: ReadonlySet<string>): ReadonlySet<ScopeKind> {
  if (own.size === 0) return rules as ReadonlySet<ScopeKind>;
  let union = unions.get(rules);
  if (union === undefined) unions.set(rules, (union = new Set([...rules, ...own]) as Set<ScopeKind>));
  return union;
}

interface OwnLimits {
  readonly key: readonly Limit[];
  readonly models: ReadonlyMap<string, readonly Limit[]>;
}

const own = new WeakMap<KeyRecord, OwnLimits>();

/** Of the key's record, which is replaced as a whole when it changes. */
function ownLimits(key: KeyRecord): OwnLimits {
  let limits = own.get(key);
  if (limits === undefined) own.set(key, (limits = readOwnLimits(key)));
  return limits;
}

function hasOwnLimits(key: KeyRecord): boolean {
  const { key: whole, models } = ownLimits(key);
  return whole.length > 0 || models.size > 0;
}

function readOwnLimits({ id, rpmLimit, tpmLimit, maxParallelRequests, metadata }: KeyRecord): OwnLimits {
  const whole: (readonly [LimitKind, number | null])[] = [["requestsPerMinute", rpmLimit], ["tokensPerMinute", tpmLimit], ["parallelRequests", maxParallelRequests]];
  const models = new Map<string, Map<LimitKind, number>>();
  for (const [member, kind] of [["model_rpm_limit", "requestsPerMinute"], ["model_tpm_limit", "tokensPerMinute"]] as const) {
    for (const [model, max] of Object.entries((metadata[member] ?? {}) as Record<string, unknown>)) {
      if (typeof max !== "number") continue;
      models.set(model, new Map([...(models.get(model) ?? []), [kind, max]]));
    }
  }
  return {
    key: limitsOf(`key:${id}`, new Map(whole.filter((each): each is readonly [LimitKind, number] => each[1] !== null))),
    models: new Map([...models].map(([model, max]) => [model, limitsOf(`key_model:${id}/${model}`, max)])),
  };
}

function estimateOf(services: Services, { exchange, facts, payload, route }: Planned, call: { readonly keyId: string; readonly sessionId: string | null; readonly agentId: string | null }): TokenAmounts {
  const { keyId, sessionId, agentId } = call;
  return amountsOf(exchange.snapshot, services.estimates.tokens({ keyId, sessionId, agentId, model: route.publicName, requestBytes: payload.bytes.length, openedAtMs: services.clock.now() }, facts.outputTokensMax));
}

/** As they stand with this call in. */
function tell({ limiter, clock }: Services, { response, ingress }: Exchange, limits: readonly Limit[], now: number): void {
  tellLimits(limiter.snapshot(limits, now), { isAnthropic: ingress.envelope === "messages", nowMs: clock.now() }, (name, value) => void response.setHeader(name, value));
}

/** A scope for the one who calls. */
function nameOf(scope: Scope, { key }: Principal): string {
  const kind = kindOf(scope);
  const id = idOf(scope);
  if (kind === "global") return "This gateway";
  if (kind === "session" || kind === "run") return `This ${kind}`;
  if (kind === "key") return `Key ${key?.alias ?? key?.name ?? id}`;
  const slash = id.indexOf("/");
  const second = id.slice(slash + 1);
  if (kind === "key_model") return `This key's model ${second}`;
  if (kind === "team_model") return `Your team's model ${second}`;
  if (kind === "team_user") return `Your share of team ${id.slice(0, slash)}`;
  if (kind === "end_user") return `End user ${second}`;
  return `${kind.slice(0, 1).toUpperCase()}${kind.slice(1)} ${id}`;
}
