// Guarantee: one beta named by a 400 is found and nothing else is taken for one; waiting times are read in each form they come in.
import { describe, expect, it } from "vitest";
import { anthropicErrorOf, plainSentence, refusedBetaOf, retryAfterOf } from "./error-reply.ts";

describe("betas in refusals", () => {
  it.each<[string, string | undefined]>([
    ["Unexpected value(s) `web-search-2025-03-05` for the `anthropic-beta` header. Please consult our documentation at docs.anthropic.com or try again without the header.", "web-search-2025-03-05"],
    ["Unexpected value(s) `a-1`, `b-2` for the `anthropic-beta` header.", undefined],
    ["context_management: Extra inputs are not permitted", undefined],
    ["invalid beta flag", undefined],
    ["Unexpected value(s) `a b` for the `anthropic-beta` header.", undefined],
  ])("%s", (message, beta) => expect(refusedBetaOf(message)).toBe(beta));
});

describe("waiting times", () => {
  it.each<[string[], number | undefined]>([
    [["retry-after", "12"], 12],
    [["Retry-After", "0.4"], 1],
    [["retry-after-ms", "1500", "retry-after", "9"], 2],
    [["date", "Mon, 23 Nov 2026 12:00:00 GMT", "retry-after", "Mon, 23 Nov 2026 12:00:30 GMT"], 30],
    [["retry-after", "Mon, 23 Nov 2026 12:00:30 GMT"], undefined],
    [["retry-after", "soon"], undefined],
    [[], undefined],
  ])("%j", (headers, seconds) => expect(retryAfterOf(headers)).toBe(seconds));
});

describe("sentences", () => {
  it("each status has Anthropic's type", () => {
    expect([400, 401, 403, 404, 413, 418, 429, 500, 503, 504, 529].map((status) => plainSentence(status, []).type)).toEqual([
      "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large", "invalid_request_error", "rate_limit_error", "api_error", "overloaded_error", "timeout_error", "overloaded_error",
    ]);
  });

  it("only Anthropic's own envelope counts as such", () => {
    expect(anthropicErrorOf({ type: "error", error: { type: "t", message: "m" } })).toEqual({ type: "t", message: "m" });
    for (const other of [undefined, null, [], "x", { error: { type: "t", message: "m" } }, { type: "error" }, { type: "error", error: { message: "m" } }]) expect(anthropicErrorOf(other)).toBeUndefined();
  });
});
