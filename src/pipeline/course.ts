/**
 * What may still be tried for one call after a try has failed: the plan's other targets, the same one again, and models that step in.
 * Bounded by attempts, by time, and by the budget of retries, so that a place that is down is not kept down by those who wait for it.
 */
import type { FailureClass, Fallbacks, RoutingConfig } from "../config/gateway-config.ts";
import type { Route } from "../routing/route.ts";
import { circuitKey } from "../routing/state.ts";
import { admitInstead, isTooDear, openNext } from "./admit.ts";
import { chooseInstead } from "./choose.ts";
import type { Admitted, Opened, PlannedTarget } from "./exchange.ts";
import type { Turn } from "./limits.ts";
import { planInstead } from "./plan.ts";
import type { Services } from "./services.ts";

/** A target with its attempt opened in the ledger. */
export interface Try {
  readonly admitted: Admitted;
  readonly target: PlannedTarget;
  readonly opened: Opened;
}

/** Why a further try is wanted. */
export interface Failed {
  readonly last: Try;
  /** The same target may do better in a while. */
  readonly isPassing: boolean;
  /** What it tells of the place. */
  readonly failure: FailureClass | undefined;
  /** How long it asks to be left alone, seconds. */
  readonly waitSeconds: number | undefined;
  /** The request was refused for something that other models may take; other places of this one would refuse it too. */
  readonly refusedFor: Exclude<keyof Fallbacks, "failure"> | undefined;
}

export interface Course {
  /** Opened so far. */
  attempts(): number;
  /** Whether a try that fails in this way would have another after it, as far as can be told before there is room for it. */
  hasMore(refusedFor?: Failed["refusedFor"]): boolean;
  /** Leaves out targets that are too dear for this call. Call before `hasMore`. */
  leaveOutDear(last: Try): void;
  /** The next try, its attempt open; undefined when there is none, or no room for any. @throws GatewayError as `admit` when the ledger cannot be written */
  next(failed: Failed): Promise<Try | undefined>;
  /** The same target at once, for a request that was changed; no retry. */
  again(last: Try): Promise<Try | undefined>;
}

/** First wait of a retry; twice as long for each after it, and each a random share of that (full jitter). */
const backoffMs = 500;
const backoffMsMax = 8_000;

export function createCourse(services: Services, first: Admitted, turn: Turn | undefined): Course {
  const { clock, routing } = services;
  const { exchange } = first;
  const { config } = exchange.snapshot;
  const { attemptsMax, failoverMs, retriesMax, retriesMaxByClass, fallbacksMax, circuit, fallsBackInSessions } = config.routing;
  const retriesMost = Math.max(retriesMax, ...retriesMaxByClass.values());
  const startedAt = clock.monotonic();
  const isInSession = first.warmth !== undefined && routing.affinity.find(first.warmth.key)?.isConfirmed === true;
  let waiting: readonly PlannedTarget[] = first.targets.slice(1);
  let admitted = first;
  let attempts = 1;
  let retries = 0;
  const stoodIn = new Set<string>();
  routing.retryBudget.call();

  const leftMs = (): number => failoverMs - (clock.monotonic() - startedAt);
  const isShut = (target: PlannedTarget): boolean => routing.health.state(circuitKey(target), circuit) !== "closed";
  const hasToken = (): boolean => routing.retryBudget.left() >= 1;
  const mayGoOn = (): boolean => attempts < attemptsMax && leftMs() > 0 && exchange.ending.reason === undefined;

  /** The model's own, or else everybody's; those that have not been tried. */
  const standIns = (reason: keyof Fallbacks): readonly string[] => {
    if (isInSession && !fallsBackInSessions) return [];
    return listedFallbacks(config.routing, first.route, reason).slice(0, fallbacksMax).filter((model) => !stoodIn.has(model) && model !== first.route.publicName);
  };

  const open = async (target: PlannedTarget): Promise<Try | undefined> => {
    const opened = await openNext(services, admitted, target, attempts + 1);
    if (opened === undefined) return undefined;
    attempts += 1;
    return { admitted, target, opened };
  };

  const nextTarget = async (): Promise<Try | undefined> => {
    for (;;) {
      const [target, ...others] = waiting;
      if (target === undefined) return undefined;
      waiting = others;
      if (isShut(target) && !routing.retryBudget.take()) continue;
      const found = await open(target);
      if (found !== undefined) return found;
    }
  };

  const retry = async ({ last, isPassing, failure, waitSeconds }: Failed): Promise<Try | undefined> => {
    if (!isPassing || retries >= ((failure === undefined ? undefined : retriesMaxByClass.get(failure)) ?? retriesMax)) return undefined;
    const waitMs = Math.max((waitSeconds ?? 0) * 1_000, routing.random() * Math.min(backoffMsMax, backoffMs * 2 ** retries));
    if (waitMs >= leftMs() || !routing.retryBudget.take()) return undefined;
    retries += 1;
    await pause(services, first, waitMs);
    return mayGoOn() ? open(last.target) : undefined;
  };

  const standIn = async (reason: keyof Fallbacks): Promise<Try | undefined> => {
    for (const model of standIns(reason)) {
      stoodIn.add(model);
      const other = planInstead(first, model, { reason: "fallback", count: stoodIn.size });
      const chosen = other === undefined ? undefined : chooseInstead(services, other);
      const found = chosen === undefined ? undefined : await admitInstead(services, chosen, turn, attempts + 1);
      if (found === undefined) continue;
      attempts += 1;
      admitted = found;
      waiting = found.targets.slice(1);
      return { admitted, target: found.targets[0]!, opened: found.first };
    }
    return undefined;
  };

  return {
    attempts: () => attempts,
    hasMore(refusedFor) {
      if (!mayGoOn()) return false;
      if (refusedFor !== undefined) return standIns(refusedFor).length > 0;
      return waiting.some((target) => !isShut(target) || hasToken()) || (retries < retriesMost && hasToken()) || standIns("failure").length > 0;
    },
    leaveOutDear({ opened }) {
      waiting = waiting.filter((other) => !isTooDear(services, admitted, other, opened.opening));
    },
    async next(failed) {
      if (!mayGoOn()) return undefined;
      if (failed.refusedFor !== undefined) return standIn(failed.refusedFor);
      return (await nextTarget()) ?? (await retry(failed)) ?? (mayGoOn() ? standIn("failure") : undefined);
    },
    again: ({ target }) => open(target),
  };
}

/** The model's own, or else everybody's. */
export function listedFallbacks({ fallbacks }: Pick<RoutingConfig, "fallbacks">, { model }: Route, reason: keyof Fallbacks): readonly string[] {
  const own = model.fallbacks[reason];
  return own.length > 0 ? own : fallbacks[reason];
}

/** Until the time is over, or the caller has left. */
function pause({ clock }: Services, { exchange }: Admitted, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      exchange.ending.remove(end);
      resolve();
    };
    const timer = clock.after(waitMs, end);
    exchange.ending.add(end);
  });
}
