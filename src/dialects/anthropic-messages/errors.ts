/** Refusals of the gateway in Anthropic's error envelope (https://docs.anthropic.com/en/api/errors, checked 2026-11). */
import type { GatewayError } from "../../kernel/gateway-error.ts";
import { encodeEvent } from "../../wire/sse.ts";
import type { RenderedError } from "../dialect.ts";

/** A whole reply: status, headers and `{type: "error", error: {type, message}, request_id}`. */
export function renderError(error: GatewayError, requestId: string): RenderedError {
  const spec = error.spec;
  const headers: Record<string, string> = { "content-type": "application/json", "request-id": requestId };
  if (spec.shouldRetry === false) headers["x-should-retry"] = "false";
  if (spec.retryAfterSeconds !== undefined) headers["retry-after"] = String(spec.retryAfterSeconds);
  if (spec.closes === true) headers["connection"] = "close";
  return { status: spec.status, headers, body: envelope(error, requestId) };
}

/** The one event that ends a stream which cannot go on. */
export function streamError(error: GatewayError, requestId: string): Buffer {
  return encodeEvent("error", envelope(error, requestId));
}

function envelope(error: GatewayError, requestId: string): string {
  const spec = error.spec;
  return JSON.stringify({ type: "error", error: { type: spec.type, message: spec.text }, request_id: requestId });
}

/**
 * By the sentences that clients heal by too (https://docs.anthropic.com/en/api/errors; `Output blocked by content filtering policy`:
 * https://github.com/anthropics/claude-code/issues/28205, checked 2026-11).
 */
export function refusedFor(words: string): "contextWindow" | "contentPolicy" | undefined {
  if (/prompt is too long|input is too long|exceed context limit|prompt_too_long|max_tokens_context_overflow/i.test(words)) return "contextWindow";
  return /content filtering policy|content management policy/i.test(words) ? "contentPolicy" : undefined;
}
