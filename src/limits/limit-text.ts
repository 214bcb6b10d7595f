/** What a call reads that a limit has no room for, and the headers that tell how the limits stand. */
import type { Limit, LimitKind, LimitStatus, RefusedLimit } from "./limit.ts";

const units: Readonly<Record<LimitKind, string>> = {
  requestsPerMinute: "requests a minute",
  countsPerMinute: "token counts a minute",
  tokensPerMinute: "tokens a minute",
  inputTokensPerMinute: "input tokens a minute",
  outputTokensPerMinute: "output tokens a minute",
  parallelRequests: "requests at once",
  openStreams: "open streams",
  parallelAgents: "agents at once",
  newAgentsPerMinute: "new agents a minute",
  newSessionsPerHour: "new sessions an hour",
};

/**
 * @param refused at least one
 * @param nameOf a limit's scope for people
 */
export function limitText(refused: readonly RefusedLimit[], nameOf: (limit: Limit) => string): string {
  const [worst, ...others] = refused.toSorted((a, b) => (b.retryAfterMs ?? Number.POSITIVE_INFINITY) - (a.retryAfterMs ?? Number.POSITIVE_INFINITY));
  const { limit, retryAfterMs } = worst!;
  const what = `${nameOf(limit)} has a limit of ${limit.max.toLocaleString("en-US")} ${units[limit.kind]}`;
  const when = retryAfterMs === undefined ? (limit.max === 0 ? ", which lets nothing through" : ", and this call alone is more") : ` and has reached it; there is room again in ${seconds(retryAfterMs)}`;
  const more = others.length === 0 ? "" : ` Without room as well: ${others.map((each) => `${nameOf(each.limit)}, ${units[each.limit.kind]}`).join("; ")}.`;
  return `${what}${when}.${more}`;
}

function seconds(waitMs: number): string {
  const whole = Math.max(1, Math.ceil(waitMs / 1_000));
  return `${whole} second${whole === 1 ? "" : "s"}`;
}

/** LiteLLM's names of scopes in `x-ratelimit-…` (BerriAI/litellm, parallel request limiter v3). */
const descriptors: Readonly<Record<string, string>> = {
  key: "api_key", team_user: "team_member", key_model: "model_per_key", team_model: "model_per_team",
};
const measures: Readonly<Partial<Record<LimitKind, string>>> = {
  requestsPerMinute: "requests", tokensPerMinute: "tokens", inputTokensPerMinute: "input-tokens", outputTokensPerMinute: "output-tokens", parallelRequests: "max_parallel_requests",
};
/** Members of `anthropic-ratelimit-…`. */
const anthropicMeasures: readonly (readonly [LimitKind, string])[] = [
  ["requestsPerMinute", "requests"], ["tokensPerMinute", "tokens"], ["inputTokensPerMinute", "input-tokens"], ["outputTokensPerMinute", "output-tokens"],
];

/** Names of headers that tell one limit, by what they hold; none for limits that nobody has a header for. */
interface LimitNames {
  readonly max: readonly string[];
  readonly remaining: readonly string[];
}

const noNames: LimitNames = { max: [], remaining: [] };
/** Limits of rules are always the same objects. */
const names = new WeakMap<Limit, LimitNames>();

/**
 * Tells how the limits of a call stand.
 *
 * @param isAnthropic the client reads Anthropic's own names; they tell the tightest limit of each kind
 * @param nowMs wall time
 * @param set takes a header's name and value; the same name again replaces it
 */
export function tellLimits(statuses: readonly LimitStatus[], { isAnthropic, nowMs }: { readonly isAnthropic: boolean; readonly nowMs: number }, set: (name: string, value: string) => void): void {
  for (const { limit, remaining } of statuses) {
    const { max: maxNames, remaining: remainingNames } = namesOf(limit);
    for (const name of maxNames) set(name, String(limit.max));
    for (const name of remainingNames) set(name, String(remaining));
  }
  if (!isAnthropic) return;
  for (const [kind, measure] of anthropicMeasures) {
    const tightest = tightestOf(statuses, kind);
    if (tightest === undefined) continue;
    set(`anthropic-ratelimit-${measure}-limit`, String(tightest.limit.max));
    set(`anthropic-ratelimit-${measure}-remaining`, String(tightest.remaining));
    if (tightest.resetAfterMs !== undefined) set(`anthropic-ratelimit-${measure}-reset`, instant(nowMs + tightest.resetAfterMs));
  }
}

function tightestOf(statuses: readonly LimitStatus[], kind: LimitKind): LimitStatus | undefined {
  let tightest: LimitStatus | undefined;
  for (const status of statuses) if (status.limit.kind === kind && (tightest === undefined || status.remaining < tightest.remaining)) tightest = status;
  return tightest;
}

/** To the second, rounded up: at the time that is told all of it is there. */
function instant(atMs: number): string {
  return `${new Date(Math.ceil(atMs / 1_000) * 1_000).toISOString().slice(0, 19)}Z`;
}

function namesOf(limit: Limit): LimitNames {
  let found = names.get(limit);
  if (found === undefined) names.set(limit, (found = makeNames(limit)));
  return found;
}

function makeNames({ kind, scope }: Limit): LimitNames {
  const measure = measures[kind];
  if (measure === undefined) return noNames;
  const colon = scope.indexOf(":");
  const scopeKind = colon === -1 ? scope : scope.slice(0, colon);
  const stem = `x-ratelimit-${descriptors[scopeKind] ?? scopeKind}`;
  const max = [`${stem}-limit-${measure}`];
  const remaining = [`${stem}-remaining-${measure}`];
  if (scopeKind === "key" && kind === "requestsPerMinute") max.push("x-litellm-key-rpm-limit");
  if (scopeKind === "key" && kind === "tokensPerMinute") max.push("x-litellm-key-tpm-limit");
  if (scopeKind === "key_model" && (measure === "requests" || measure === "tokens")) remaining.push(`x-litellm-key-remaining-${measure}-${headerPart(scope.slice(scope.indexOf("/") + 1))}`);
  return { max, remaining };
}

/** Names of models that no header's name could hold are told with dashes. */
function headerPart(model: string): string {
  return model.replace(/[^\w.-]/g, "-");
}
