// Guarantee: a scope has the limits that its rules give it, the particular before the general, each kind once, and always the same objects.
import { expect, it } from "vitest";
import { createLimitRules, overriddenBy } from "./limit-rules.ts";
import { limitText, tellLimits } from "./limit-text.ts";

const rules = createLimitRules([
  { scope: "key:*", max: { requestsPerMinute: 100, openStreams: 5 } },
  { scope: "key:k", max: { requestsPerMinute: 10 } },
  { scope: "key:k", max: { requestsPerMinute: 20, parallelRequests: 2 } },
  { scope: "global", max: { requestsPerMinute: 1_000 } },
]);

it("the named scope's limits stand in for those of its kind, and of two for one scope the stricter counts", () => {
  expect(rules.of("key:k", "key:k")).toEqual([
    { scope: "key:k", kind: "requestsPerMinute", max: 10, hasClientName: false }, { scope: "key:k", kind: "openStreams", max: 5, hasClientName: false },
    { scope: "key:k", kind: "parallelRequests", max: 2, hasClientName: false },
  ]);
  expect(rules.of("key:other", "key:other").map(({ max }) => max)).toEqual([100, 5]);
  expect(rules.of("team:t", "team:t")).toEqual([]);
  expect(rules.kinds).toEqual(new Set(["key", "global"]));
});

it("where two ids are joined, either may be any, and the more particular rule counts", () => {
  const pairs = createLimitRules([
    { scope: "key_model:*", max: { requestsPerMinute: 4 } },
    { scope: "key_model:*/opus", max: { requestsPerMinute: 3 } },
    { scope: "key_model:k/*", max: { requestsPerMinute: 2 } },
    { scope: "key_model:k/haiku", max: { requestsPerMinute: 1 } },
  ]);
  const maxOf = (id: string): readonly number[] => pairs.of(`key_model:${id}`, `key_model:${id}`).map(({ max }) => max);
  expect([maxOf("j/haiku"), maxOf("j/opus"), maxOf("k/opus"), maxOf("k/haiku")]).toEqual([[4], [3], [2], [1]]);
  // Elsewhere a slash is a part of the one id.
  expect(createLimitRules([{ scope: "target:a/*", max: { requestsPerMinute: 1 } }]).of("target:a/b", "target:a/b")).toEqual([]);
});

it("a scope that clients can make up is marked so, unless a rule names it", () => {
  const open = createLimitRules([{ scope: "session:*", max: { requestsPerMinute: 1 } }, { scope: "session:main", max: { openStreams: 1 } }]);
  expect(open.of("session:s", "session:k/s").map(({ hasClientName }) => hasClientName)).toEqual([true]);
  expect(open.of("session:main", "session:k/main").map(({ hasClientName }) => hasClientName)).toEqual([false, false]);
});

it("a scope has the same limits each time, counted under the name it was given", () => {
  expect(rules.of("key:k", "key:k")).toBe(rules.of("key:k", "key:k"));
  expect(rules.of("global", "elsewhere")[0]!.scope).toBe("elsewhere");
});

it("a key's own limits replace those of the same kind only", () => {
  const own = [{ scope: "key:k", kind: "requestsPerMinute" as const, max: 1 }];
  expect(overriddenBy(rules.of("key:k", "key:k"), own).map(({ kind, max }) => [kind, max])).toEqual([["openStreams", 5], ["parallelRequests", 2], ["requestsPerMinute", 1]]);
});

it("the sentence names the limit that takes longest first", () => {
  const limit = (max: number): { readonly scope: string; readonly kind: "requestsPerMinute"; readonly max: number } => ({ scope: "key:k", kind: "requestsPerMinute", max });
  expect(limitText([{ limit: limit(1_200), retryAfterMs: 400 }, { limit: limit(9), retryAfterMs: 61_000 }], () => "Key k")).toBe(
    "Key k has a limit of 9 requests a minute and has reached it; there is room again in 61 seconds. Without room as well: Key k, requests a minute.",
  );
});

it("headers tell the tightest limit in Anthropic's names and each in LiteLLM's", () => {
  const status = (scope: string, max: number, remaining: number) => ({ limit: { scope, kind: "tokensPerMinute" as const, max }, remaining, resetAfterMs: 1_500 });
  const statuses = [status("key:k", 100, 50), status("team_model:t/claude/x y", 90, 40)];
  const told = (isAnthropic: boolean): readonly (readonly [string, string])[] => {
    const headers = new Map<string, string>();
    tellLimits(statuses, { isAnthropic, nowMs: Date.UTC(2026, 0, 1) }, (name, value) => void headers.set(name, value));
    return [...headers];
  };
  expect(told(true)).toEqual([
    ["x-ratelimit-api_key-limit-tokens", "100"], ["x-litellm-key-tpm-limit", "100"], ["x-ratelimit-api_key-remaining-tokens", "50"],
    ["x-ratelimit-model_per_team-limit-tokens", "90"], ["x-ratelimit-model_per_team-remaining-tokens", "40"],
    ["anthropic-ratelimit-tokens-limit", "90"], ["anthropic-ratelimit-tokens-remaining", "40"], ["anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:02Z"],
  ]);
  expect(told(false)).toEqual(told(true).slice(0, 5));
});
