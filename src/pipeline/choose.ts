/**
 * Stage 3, second half: in which order the plan's targets are tried. A session goes where its prompt cache is warm; then by priority and
 * the model's strategy; what is known to be down comes last. Nothing is refused here: a place that is down may be all there is.
 */
import type { CircuitConfig, RoutingStrategy } from "../config/gateway-config.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { affinityKey } from "../routing/affinity-key.ts";
import type { CircuitState } from "../routing/health.ts";
import { orderTargets, withTags } from "../routing/order.ts";
import { circuitKey } from "../routing/state.ts";
import { attributionOf } from "./attribution.ts";
import type { Planned, PlannedTarget, Warmth } from "./exchange.ts";
import type { Services } from "./services.ts";

/** A target's place in a plan, and why. */
export interface Ranked {
  readonly target: PlannedTarget;
  readonly state: CircuitState;
  /** Another call is finding out whether it is well again. */
  readonly isProbed: boolean;
  /** The session's prompt cache is warm there. */
  readonly isWarm: boolean;
}

/** Lifetimes of prompt caches, from the last hit (https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching, checked 2026-11). */
const cacheMs = 5 * 60_000;
const longCacheMs = 60 * 60_000;

/** @throws GatewayError `client_model_unavailable` where no target serves the caller's tags */
export function choose(services: Services, planned: Planned): Planned {
  const found = chooseInstead(services, planned);
  if (found === undefined) throw noTarget(planned);
  return found;
}

/** As {@link choose}, for a model that steps in: undefined where no target serves the caller's tags, which is no answer to what was asked for. */
export function chooseInstead(services: Services, planned: Planned): Planned | undefined {
  const { route, targets } = planned;
  const warmth = warmthOf(planned);
  const { circuit, tagMatch } = planned.exchange.snapshot.config.routing;
  if (targets.length === 1 && route.targets.length === 1 && tagMatch === "off") return warmth === undefined ? planned : { ...planned, warmth };
  const [preferred, ...others] = rank(services, { targets: usable(services, planned), strategy: route.model.strategy, circuit, warmTargetId: warmth === undefined ? undefined : services.routing.affinity.find(warmth.key)?.targetId }).map(({ target }) => target);
  if (preferred === undefined) return undefined;
  services.routing.health.mayTry(circuitKey(preferred), circuit);
  return { ...planned, preferred, targets: [preferred, ...others], warmth };
}

/** Targets that all may serve, and what decides among them. */
export interface Rankable {
  readonly targets: readonly PlannedTarget[];
  readonly strategy: RoutingStrategy;
  readonly circuit: CircuitConfig;
  /** Where the session's prompt cache is warm. */
  readonly warmTargetId: string | undefined;
}

/** The first is tried first. @param random in [0, 1) */
export function rank({ routing }: Pick<Services, "routing">, { targets, strategy, circuit, warmTargetId }: Rankable, random = (): number => routing.random()): readonly Ranked[] {
  const { health, stats } = routing;
  const ranked = orderTargets(targets, strategy, { random, running: (id) => stats.running(id), firstEventMs: (id) => stats.firstEventMs(id) }).map(
    (target): Ranked => ({ target, state: health.state(circuitKey(target), circuit), isProbed: health.isProbed(circuitKey(target)), isWarm: target.target.id === warmTargetId }),
  );
  const placeOf = ({ state, isProbed, isWarm }: Ranked): number => (state === "open" || isProbed ? 2 : isWarm ? 0 : 1);
  const waitOf = ({ target, state }: Ranked): number => (state === "open" ? (health.opensInMs(circuitKey(target)) ?? 0) : 0);
  return ranked.toSorted((a, b) => placeOf(a) - placeOf(b) || waitOf(a) - waitOf(b));
}

/** Undefined where it makes no difference. */
function warmthOf({ route, facts, payload, exchange, principal, clientCredential }: Planned): Warmth | undefined {
  const { model, targets } = route;
  const { routing } = exchange.snapshot.config;
  const hasFallbacks = [model.fallbacks, routing.fallbacks].some(({ failure, contextWindow, contentPolicy }) => failure.length + contextWindow.length + contentPolicy.length > 0);
  if (!model.hasAffinity || (targets.length === 1 && !hasFallbacks)) return undefined;
  const { sessionId } = attributionOf(exchange.request.headers, principal);
  const key = affinityKey({ keyId: principal.keyId, sessionId, model: route.publicName, hasOwnLogin: clientCredential !== undefined, promptPrefix: () => facts.promptPrefix(payload.bytes) });
  return key === undefined ? undefined : { key, ttlMs: facts.costFacts(payload.bytes).hasOneHourCache ? longCacheMs : cacheMs };
}

/** Those that serve the caller's tags; of them those that take a prompt as long as this one, where there are any. */
function usable(services: Services, { exchange, principal, targets, route, payload, facts }: Planned): readonly PlannedTarget[] {
  const { tagMatch } = exchange.snapshot.config.routing;
  const { sessionId, agentId, tags } = attributionOf(exchange.request.headers, principal);
  const tagged = withTags(targets, tags, tagMatch);
  if (tagged.every(({ target }) => target.inputTokensMax === undefined)) return tagged;
  const { input, cacheRead } = services.estimates.tokens({ keyId: principal.keyId, sessionId, agentId, model: route.publicName, requestBytes: payload.bytes.length, openedAtMs: services.clock.now() }, facts.outputTokensMax);
  return takingPrompt(tagged, input + cacheRead);
}

/** Those that take a prompt of so many tokens, or all where none does. */
export function takingPrompt(targets: readonly PlannedTarget[], tokens: number): readonly PlannedTarget[] {
  const fitting = targets.filter(({ target }) => tokens <= (target.inputTokensMax ?? Infinity));
  return fitting.length === 0 ? targets : fitting;
}

function noTarget({ facts }: Planned): GatewayError {
  return new GatewayError("client_model_unavailable", { publicText: `The model ${JSON.stringify(facts.model)} is not served for the tags of this request. Ask your gateway's operator.` });
}

