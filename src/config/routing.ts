/** The section `routing`: how failures of places are met; and the members of models and targets by which one is chosen. */
import { z } from "zod";
import { defaultRouting, type FailureClass, type Fallbacks, type RoutingConfig, type RoutingStrategy } from "./gateway-config.ts";
import { limitAmountMax } from "../kernel/bounds.ts";
import { targetLimits } from "./rate-limits.ts";
import { duration, flag, formatDuration, integer, multiplier, text } from "./values.ts";

const defaults = defaultRouting;
const names = (description: string) => z.array(text, { error: "must be a list" }).default([]).meta({ description });
const wait = (defaultMs: number, description: string) => duration.prefault(formatDuration(defaultMs)).meta({ title: "duration", description });
const count = (fallback: number, max: number, min: number, description: string) => integer(min, max).prefault(fallback).meta({ title: "integer", description });

const failureClasses = ["connect", "timeout", "rate_limit", "overloaded", "server_error", "credential", "not_found", "invalid_reply", "broken"] as const satisfies readonly FailureClass[];
const strategies = ["listed", "weighted", "least-busy", "latency"] as const satisfies readonly RoutingStrategy[];

const share = multiplier.refine((ppm) => ppm <= 1_000_000n, "must be a share from 0 to 1").transform((ppm) => Number(ppm) / 1_000_000);

const byClass = (min: number, max: number, description: string) =>
  z.partialRecord(z.enum(failureClasses, { error: `must be one of ${failureClasses.join(", ")}` }), integer(min, max)).default({}).meta({ title: "integer", description: `${description}: ${failureClasses.map((name) => `\`${name}\``).join(", ")}.` });

/** Of a model. */
export const choosing = {
  strategy: z
    .enum(strategies, { error: `must be one of ${strategies.join(", ")}` })
    .default("listed")
    .meta({ description: "Which of several targets of one priority is tried first: `listed`: as they stand here; `weighted`: at random, by `weight`; `least-busy`: the one with the fewest replies running; `latency`: the quicker of two random ones." }),
  cache_affinity: flag.prefault(true).meta({ title: "boolean", description: "Whether a session stays at the target where its prompt cache is warm." }),
  fallbacks: names("Models that step in, in this order, when every target of this one has failed."),
  context_window_fallbacks: names("Models that step in when a prompt is too long for this one."),
  content_policy_fallbacks: names("Models that step in when the provider's content policy refuses a request."),
};

/** Of a target. */
export const chosen = {
  priority: integer(1, 1_000).optional().meta({ title: "integer", description: "Targets of a lower number are tried first. Absent: 1." }),
  weight: z
    .union([z.number(), z.string()], { error: "must be a number from 0 to 1000000" })
    .transform(Number)
    .refine((value) => value >= 0 && value <= 1_000_000, "must be a number from 0 to 1000000")
    .optional()
    .meta({ title: "number", description: "Share of the calls under `weighted`; 0: only when no other can serve. Absent: 1." }),
  tags: names("For callers that ask for one of them, where `routing.tag_match` says so."),
  limits: targetLimits.optional().meta({ description: "Limits of this target, as `rate_limits` with its `target:` would have them; calls that they have no room for go to the next one." }),
  max_input_tokens: integer(1, limitAmountMax).optional().meta({ title: "integer", description: "Calls whose prompt is likely to be longer go to another target, where there is one." }),
};

export const routing = z
  .strictObject({
    attempts: count(defaults.attemptsMax, 20, 1, "Tries of one call at the most, over all targets and fallbacks."),
    retries: count(defaults.retriesMax, 10, 0, "How often a target is tried again, after a random wait, when no other is left. Clients such as Claude Code retry by themselves."),
    retries_by_class: byClass(0, 10, "The same after single kinds of failure"),
    failover_time: wait(defaults.failoverMs, "After which no further try begins."),
    hold_events: z
      .union([z.literal([0, "0"]).transform(() => 0), duration], { error: "must be a duration such as `2s`, or 0" })
      .prefault(formatDuration(defaults.holdEventsMs))
      .meta({ title: "duration", description: "How long the start of a stream is held back for an error in the place of content, where another target could serve; 0: not at all." }),
    retry_budget: z
      .strictObject({
        per_call: multiplier.prefault(String(defaults.retryBudget.tokensPerCall)).meta({ title: "factor", description: "Tokens that each call of a client adds." }),
        burst: count(defaults.retryBudget.burst, 100_000, 0, "Tokens there are at the most."),
      })
      .prefault({})
      .meta({ description: "Retries, and tries at targets whose circuit is not closed, take a token each: with everything down, upstreams get hardly more calls than clients make." }),
    circuit: z
      .strictObject({
        enabled: flag.prefault(defaults.circuit.isEnabled).meta({ title: "boolean", description: "Whether targets that fail are left alone for a while." }),
        failures: count(defaults.circuit.failuresMax, 1_000, 1, "Failures in a row that open it."),
        failures_by_class: byClass(1, 1_000, "The same for single kinds of failure"),
        failure_rate: share.prefault(String(defaults.circuit.failureRateMax)).meta({ title: "share", description: "Share of failures over `window` that opens it, from 0 to 1." }),
        window: wait(defaults.circuit.windowMs, "Over which that share is taken."),
        min_calls: count(defaults.circuit.callsMin, 1_000_000, 1, "Calls in the window below which the share says nothing."),
        cooldown: wait(defaults.circuit.cooldownMs, "Until one call is let through to see; twice as long each time that fails, at most ten times."),
      })
      .prefault({})
      .meta({ description: "One for each model at each target. A limit that says when it ends is no failure: the target is left alone until then." }),
    default_fallbacks: names("Models that step in for those that have no `fallbacks` of their own."),
    default_context_window_fallbacks: names("The same for `context_window_fallbacks`."),
    default_content_policy_fallbacks: names("The same for `content_policy_fallbacks`."),
    fallbacks_max: count(defaults.fallbacksMax, 20, 0, "Models that step in for one call at the most."),
    fall_back_in_sessions: flag.prefault(defaults.fallsBackInSessions).meta({ title: "boolean", description: "Whether another model may step in for a session whose prompt cache is warm." }),
    check_interval: duration.optional().meta({ title: "duration", description: "How often each target that names one model is asked for a count of tokens, which costs nothing, so that one that is down or back again is known. Absent: never." }),
    tag_match: z
      .enum(["off", "any", "all"], { error: "must be `off`, `any` or `all`" })
      .default(defaults.tagMatch)
      .meta({ description: "Whether callers' tags decide which targets serve them, and how many of the tags a target must have. Where none has them, and for callers without tags, targets with the tag `default` serve; without such, callers without tags have all." }),
  })
  .prefault({});

export function buildRouting(own: z.output<typeof routing>): RoutingConfig {
  const { circuit, retry_budget: budget } = own;
  return {
    attemptsMax: own.attempts,
    retriesMax: own.retries,
    retriesMaxByClass: new Map(Object.entries(own.retries_by_class) as [FailureClass, number][]),
    failoverMs: own.failover_time,
    holdEventsMs: own.hold_events,
    retryBudget: { tokensPerCall: Number(budget.per_call) / 1_000_000, burst: budget.burst },
    circuit: {
      isEnabled: circuit.enabled,
      failuresMax: circuit.failures,
      failuresMaxByClass: new Map(Object.entries(circuit.failures_by_class) as [FailureClass, number][]),
      failureRateMax: circuit.failure_rate,
      windowMs: circuit.window,
      callsMin: circuit.min_calls,
      cooldownMs: circuit.cooldown,
    },
    fallbacks: { failure: own.default_fallbacks, contextWindow: own.default_context_window_fallbacks, contentPolicy: own.default_content_policy_fallbacks },
    fallbacksMax: own.fallbacks_max,
    fallsBackInSessions: own.fall_back_in_sessions,
    checkIntervalMs: own.check_interval,
    tagMatch: own.tag_match,
  };
}

/** A model's own fallbacks. */
export function fallbacksOf(own: { readonly fallbacks: readonly string[]; readonly context_window_fallbacks: readonly string[]; readonly content_policy_fallbacks: readonly string[] }): Fallbacks {
  return { failure: own.fallbacks, contextWindow: own.context_window_fallbacks, contentPolicy: own.content_policy_fallbacks };
}
