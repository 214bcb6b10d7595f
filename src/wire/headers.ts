/**
 * Which headers cross the gateway, both ways. Lists are open by prefix where the format's owner adds names with each
 * release, and closed otherwise; credentials, hop-by-hop headers and whatever `Connection` names never cross.
 *
 * Header lists are flat (`name, value, name, value …`), the form node:http gives and undici takes, so that order,
 * spelling and repetition survive.
 */

/** Bedrock clients choose service tier and guardrail by headers of the last kind; other places do not know them. */
const requestPrefixes = ["anthropic-", "x-stainless-", "x-amzn-bedrock-"];
const requestNames = new Set(["accept", "content-type", "user-agent", "x-app", "x-claude-1p-request-class", "x-goog-user-project"]);
const claudeCodePrefix = "x-claude-code-";

/**
 * Choose a part of the account; see docs/decisions/0006. Google's is the project that a call counts against, which its libraries send
 * with a user's login (anthropics/anthropic-sdk-typescript packages/vertex-sdk/src/client.ts, checked 2026-11).
 */
const accountHeaders = new Set(["anthropic-workspace-id", "anthropic-user-profile-id", "anthropic-organization-id", "x-goog-user-project"]);

/** What decides beside the name of a header. */
export interface Forwarding {
  /** `x-claude-code-*`: session, agent and request class. */
  readonly includeClaudeCode: boolean;
  /** Workspace, user profile, organisation, and the project that Google counts a call against: whoever owns the login chooses them. */
  readonly mayChooseAccount: boolean;
}

/**
 * Headers that go upstream.
 *
 * @param rawHeaders as received, flat
 * @returns flat list without `accept-encoding`, `content-length` and `host`, which each attempt sets itself
 */
export function forwardableRequestHeaders(rawHeaders: readonly string[], { includeClaudeCode, mayChooseAccount }: Forwarding): string[] {
  const named = connectionNames(rawHeaders);
  const result: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    const mayCross =
      requestNames.has(name) || requestPrefixes.some((prefix) => name.startsWith(prefix)) || (name.startsWith(claudeCodePrefix) && includeClaudeCode);
    if (mayCross && (mayChooseAccount || !accountHeaders.has(name)) && !(named?.has(name) ?? false)) result.push(rawHeaders[index]!, rawHeaders[index + 1]!);
  }
  return result;
}

const replyNames = new Set(["content-type", "content-encoding", "content-length", "request-id", "retry-after", "retry-after-ms", "x-should-retry"]);

/**
 * Headers that go back to the client.
 *
 * @param rawHeaders the upstream's, flat
 * @param ownsQuota the upstream credential is the client's own, so its rate-limit headers are about them; otherwise they
 *   would show one team the organisation's quota as theirs
 */
export function forwardableReplyHeaders(rawHeaders: readonly string[], ownsQuota: boolean): string[] {
  const result: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    const mayCross = replyNames.has(name) || (name.startsWith("anthropic-") && (ownsQuota || !isAccountHeader(name)));
    if (mayCross) result.push(rawHeaders[index]!, rawHeaders[index + 1]!);
  }
  return result;
}

function isAccountHeader(name: string): boolean {
  return name.startsWith("anthropic-ratelimit-") || name === "anthropic-organization-id" || /-(?:limit|remaining|reset)$/.test(name);
}

/** First value of a header in a flat list; `name` in lower case. */
export function headerValue(headers: readonly string[], name: string): string | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const candidate = headers[index]!;
    if (candidate.length === name.length && candidate.toLowerCase() === name) return headers[index + 1];
  }
  return undefined;
}

/** The list without one header; `name` in lower case. */
export function withoutHeader(headers: readonly string[], name: string): string[] {
  const result: string[] = [];
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (headers[index]!.toLowerCase() !== name) result.push(headers[index]!, headers[index + 1]!);
  }
  return result;
}

function connectionNames(rawHeaders: readonly string[]): Set<string> | undefined {
  const value = headerValue(rawHeaders, "connection");
  if (value === undefined || value === "keep-alive" || value === "close") return undefined;
  return new Set(value.split(",").map((name) => name.trim().toLowerCase()));
}
