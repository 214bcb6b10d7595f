// Guarantee: no credential and no hop-by-hop header crosses in either direction, and the open lists stay open.
import { describe, expect, it } from "vitest";
import { forwardableReplyHeaders, forwardableRequestHeaders, headerValue, withoutHeader } from "./headers.ts";

const credentials = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization", "x-litellm-api-key", "cookie"];

const all = { includeClaudeCode: true, mayChooseAccount: true };

describe("forwardableRequestHeaders", () => {
  it("leaves the choice of a workspace, a user profile, an organisation and a quota project to who owns the login", () => {
    const raw = ["Anthropic-Workspace-Id", "w", "anthropic-user-profile-id", "u", "anthropic-organization-id", "o", "X-Goog-User-Project", "p", "anthropic-version", "1"];
    expect(forwardableRequestHeaders(raw, all)).toEqual(raw);
    expect(forwardableRequestHeaders(raw, { ...all, mayChooseAccount: false })).toEqual(["anthropic-version", "1"]);
  });

  it("never forwards a credential, a hop-by-hop header, or where the request came from", () => {
    const names = [...credentials, "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length", "accept-encoding", "forwarded", "x-forwarded-for", "x-real-ip", "expect", "origin"];
    const raw = names.flatMap((name) => [name.toUpperCase(), "v"]);
    expect(forwardableRequestHeaders(raw, all)).toEqual([]);
  });

  it("forwards anthropic-*, x-claude-code-* and content headers as they came, also names of next month, also repeated", () => {
    const raw = ["Anthropic-Beta", "a", "anthropic-beta", "b", "anthropic-brand-new", "1", "X-Claude-Code-Session-Id", "s", "Content-Type", "application/json", "User-Agent", "claude-cli/9", "X-Stainless-Lang", "js"];
    expect(forwardableRequestHeaders(raw, all)).toEqual(raw);
    expect(forwardableRequestHeaders(raw, { ...all, includeClaudeCode: false })).toEqual(raw.toSpliced(6, 2));
  });

  it("drops whatever Connection names", () => {
    expect(forwardableRequestHeaders(["Connection", "close, Anthropic-Beta", "anthropic-beta", "a", "anthropic-version", "1"], all)).toEqual(["anthropic-version", "1"]);
  });
});

describe("forwardableReplyHeaders", () => {
  it("holds back cookies, the server's name and the organisation's quota", () => {
    const raw = ["Content-Type", "application/json", "request-id", "req_1", "set-cookie", "a=1", "server", "cloudflare", "cf-ray", "x", "anthropic-ratelimit-requests-remaining", "5", "anthropic-organization-id", "org", "retry-after", "3", "x-should-retry", "true", "access-control-allow-origin", "*", "anthropic-new", "1"];
    expect(forwardableReplyHeaders(raw, false)).toEqual(["Content-Type", "application/json", "request-id", "req_1", "retry-after", "3", "x-should-retry", "true", "anthropic-new", "1"]);
    expect(forwardableReplyHeaders(raw, true)).toContain("anthropic-ratelimit-requests-remaining");
  });
});

describe("flat lists", () => {
  it("are searched and filtered without regard to case", () => {
    expect(headerValue(["X-A", "1", "x-b", "2"], "x-a")).toBe("1");
    expect(headerValue(["x-ab", "1"], "x-a")).toBeUndefined();
    expect(withoutHeader(["X-A", "1", "x-b", "2", "x-a", "3"], "x-a")).toEqual(["x-b", "2"]);
  });
});
