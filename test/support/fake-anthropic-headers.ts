/**
 * Reply headers as the real service sends them, among them those that a gateway must hold back (quota, cookies) or keep
 * (request id). Values are invented, names are not.
 */
import { randomUUID } from "node:crypto";

/** The organisation that the fake's credential belongs to: the same for the life of the process. */
export const organizationId: string = randomUUID();

/** Cookie value that must never reach a client. */
export const cookieValue = "_cfuvid=fake-upstream-cookie; HttpOnly; Secure; Path=/";

/**
 * Headers of every reply; limits are those of one imaginary organisation.
 *
 * @source Anthropic's documentation of rate-limit headers; header names seen on api.anthropic.com
 */
export function replyHeaders(requestId: string, contentType: string): Record<string, string> {
  const reset = new Date(Date.now() + 60_000).toISOString().replace(/\.\d+Z$/, "Z");
  const limits: Record<string, string> = {};
  for (const [name, limit] of [["requests", "4000"], ["tokens", "4800000"], ["input-tokens", "4000000"], ["output-tokens", "800000"]] as const) {
    limits[`anthropic-ratelimit-${name}-limit`] = limit;
    limits[`anthropic-ratelimit-${name}-remaining`] = String(Number(limit) - 1);
    limits[`anthropic-ratelimit-${name}-reset`] = reset;
  }
  return {
    "content-type": contentType,
    ...(contentType.startsWith("text/event-stream") ? { "cache-control": "no-cache" } : {}),
    "request-id": requestId,
    "anthropic-organization-id": organizationId,
    ...limits,
    "anthropic-ratelimit-unified-status": "allowed",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "set-cookie": cookieValue,
    "cf-ray": "8fake0000000000-FRA",
    "cf-cache-status": "DYNAMIC",
    "x-robots-tag": "none",
    via: "1.1 google",
    server: "cloudflare",
  };
}
