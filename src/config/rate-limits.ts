/** The `rate_limits` of the operator's file: what a rule may say, and the limits it becomes. */
import { z } from "zod";
import { limitAmountMax } from "../kernel/bounds.ts";
import type { LimitKind } from "../limits/limit.ts";
import type { LimitRule } from "../limits/limit-rules.ts";
import { kindOf, type Scope } from "../ledger/scope.ts";
import { patternText } from "./budgets.ts";
import { flag, integer } from "./values.ts";

/** The section as read. */
export interface ReadRateLimits {
  /** Undefined where the file leaves it to its format. */
  readonly countsCacheReads: boolean | undefined;
  readonly rules: readonly LimitRule[];
}

/** What a rule's members mean. */
const kinds = {
  requests_per_minute: ["requestsPerMinute", "Calls a minute that may cost money."],
  tokens_per_minute: ["tokensPerMinute", "Input and output tokens a minute."],
  input_tokens_per_minute: ["inputTokensPerMinute", "Input tokens a minute."],
  output_tokens_per_minute: ["outputTokensPerMinute", "Output tokens a minute."],
  counts_per_minute: ["countsPerMinute", "`count_tokens` calls a minute, which nothing else limits."],
  parallel_requests: ["parallelRequests", "Calls at once."],
  open_streams: ["openStreams", "Streamed replies at once."],
  agents_in_parallel: ["parallelAgents", "Agents at once, best with `session:*`."],
  new_agents_per_minute: ["newAgentsPerMinute", "Agents a minute that were not seen before."],
  new_sessions_per_hour: ["newSessionsPerHour", "Sessions an hour that were not seen before."],
} as const satisfies Record<string, readonly [LimitKind, string]>;

/** Of a target or a provider, which see nothing of who calls. */
const attemptMembers: readonly string[] = ["requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute", "parallel_requests", "open_streams"];

const maximum = (description: string) => integer(0, limitAmountMax).optional().meta({ title: "integer", description: `${description} 0 lets nothing through; absent: no limit.` });
const members = Object.fromEntries(Object.entries(kinds).map(([name, [, description]]) => [name, maximum(description)])) as { [Name in keyof typeof kinds]: ReturnType<typeof maximum> };

const scope = patternText.meta({ description: "Whom it binds, in the words of `budgets`; `*` may also stand for one of two joined names, as in `key_model:*/claude-opus-5-5`." });
const rule = z.strictObject({ scope, ...members }).transform((own, context): LimitRule => {
  const max: Partial<Record<LimitKind, number>> = {};
  const isOfAttempts = ["target", "provider"].includes(kindOf(own.scope as Scope));
  for (const [name, [kind]] of Object.entries(kinds) as [keyof typeof kinds, readonly [LimitKind, string]][]) {
    if (own[name] === undefined) continue;
    if (isOfAttempts && !attemptMembers.includes(name)) context.addIssue({ code: "custom", message: "is not for a target or a provider, which see calls and tokens only", path: [name] });
    max[kind] = own[name];
  }
  if (Object.keys(max).length === 0) context.addIssue({ code: "custom", message: `limits nothing: give it one of ${Object.keys(kinds).join(", ")}` });
  return { scope: own.scope, max };
});

/** What a target may have written at itself. */
export const targetLimits = z
  .strictObject({ requests_per_minute: members.requests_per_minute, tokens_per_minute: members.tokens_per_minute, input_tokens_per_minute: members.input_tokens_per_minute, output_tokens_per_minute: members.output_tokens_per_minute, parallel_requests: members.parallel_requests, open_streams: members.open_streams })
  .transform((own) => Object.fromEntries(Object.entries(own).flatMap(([name, value]) => (value === undefined ? [] : [[kinds[name as keyof typeof kinds][0], value]]))) as LimitRule["max"]);

/** The section. */
export const rateLimits = z
  .strictObject({
    count_cache_reads: flag.optional().meta({ title: "boolean", description: "Count tokens read from a prompt cache as input, as LiteLLM does. Absent: `false`, in a LiteLLM file `true`." }),
    rules: z.array(rule, { error: "must be a list" }).default([]).meta({ description: "Limits by scope. All that a call falls under must have room; of `kind:*` and a named scope the named one counts." }),
  })
  .transform(({ count_cache_reads, rules }): ReadRateLimits => ({ countsCacheReads: count_cache_reads, rules }));
