/**
 * What error replies of clouds have in common: Anthropic's own words inside them, waiting times, and the plain sentences that
 * a client gets in place of words that may name accounts, projects and addresses.
 */
import { headerValue } from "../wire/headers.ts";
import type { ReplyVerdict } from "./provider.ts";

/** An error in Anthropic's envelope. */
export interface AnthropicError {
  readonly type: string;
  readonly message: string;
}

/** A reply's body as JSON; undefined when it is none. */
export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

/** A member of an unknown value; undefined when that is no object. */
export function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

/** `{"type":"error","error":{"type","message"}}`. */
export function anthropicErrorOf(json: unknown): AnthropicError | undefined {
  const error = memberOf(json, "error");
  const type = memberOf(error, "type");
  const message = memberOf(error, "message");
  return memberOf(json, "type") === "error" && typeof type === "string" && typeof message === "string" ? { type, message } : undefined;
}

/**
 * The beta that a 400 refuses, when it names exactly one:
 * ``Unexpected value(s) `web-search-2025-03-05` for the `anthropic-beta` header.``
 * (https://github.com/anthropics/claude-code/issues/12429, checked 2026-11). Several at once are left to the client, which
 * drops one per try.
 */
export function refusedBetaOf(message: string): string | undefined {
  const list = /Unexpected value\(s\) ((?:`[^`]+`(?:, )?)+) for the `anthropic-beta` header/.exec(message)?.[1];
  const names = list?.match(/[^`, ]+/g) ?? [];
  return names.length === 1 && /^[\w.-]{1,100}$/.test(names[0]!) ? names[0] : undefined;
}

/**
 * Seconds that a reply asks to wait: `retry-after-ms`, then `retry-after` in seconds or as a date, the latter measured from
 * the reply's own `date`. Undefined when it does not say.
 */
export function retryAfterOf(headers: readonly string[]): number | undefined {
  const milliseconds = numberOf(headerValue(headers, "retry-after-ms"));
  if (milliseconds !== undefined) return Math.ceil(milliseconds / 1000);
  const text = headerValue(headers, "retry-after");
  const seconds = numberOf(text);
  if (seconds !== undefined) return Math.ceil(seconds);
  const untilMs = Date.parse(text ?? "") - Date.parse(headerValue(headers, "date") ?? "");
  return Number.isNaN(untilMs) ? undefined : Math.max(0, Math.ceil(untilMs / 1000));
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}(?:\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** What a client is told of a status, in Anthropic's types (https://docs.anthropic.com/en/api/errors). */
const byStatus: Readonly<Record<number, { readonly type: string; readonly message: string }>> = {
  400: { type: "invalid_request_error", message: "The model provider refused the request as invalid." },
  401: { type: "authentication_error", message: "The model provider refused the login of this request." },
  402: { type: "billing_error", message: "The model provider refused the request for a billing reason." },
  403: { type: "permission_error", message: "The model provider does not permit this request with this login." },
  404: { type: "not_found_error", message: "The model is not available at this provider." },
  408: { type: "timeout_error", message: "The model provider did not answer in time." },
  413: { type: "request_too_large", message: "The request is larger than the model provider accepts." },
  429: { type: "rate_limit_error", message: "The model provider's limit is reached; try again later." },
  503: { type: "overloaded_error", message: "The model provider is not available at the moment." },
  504: { type: "timeout_error", message: "The model provider did not answer in time." },
  529: { type: "overloaded_error", message: "The model provider is overloaded." },
};

/** A plain sentence for a status, with the reply's waiting time where it gives one. */
export function plainSentence(status: number, headers: readonly string[], message?: string): NonNullable<ReplyVerdict["told"]> {
  const known = byStatus[status] ?? (status >= 500 ? { type: "api_error", message: "The model provider failed on the request." } : byStatus[400]!);
  const retryAfterSeconds = retryAfterOf(headers);
  return { type: known.type, message: message ?? known.message, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
}
