/** The few bytes of the Messages API that the simulated provider speaks. */
import type { WireUsage } from "../support/fake-anthropic-types.ts";

function frame(type: string, fields: Readonly<Record<string, unknown>>): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

export function startFrame(model: string, usage: WireUsage): Buffer {
  const message = { id: "msg_simulated", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null, usage };
  return Buffer.from(frame("message_start", { message }) + frame("content_block_start", { index: 0, content_block: { type: "text", text: "" } }));
}

export function deltaFrame(text: string): Buffer {
  return Buffer.from(frame("content_block_delta", { index: 0, delta: { type: "text_delta", text } }), "latin1");
}

/** The block's end, the closing usage, the last event: one piece, as they most often come. */
export function endFrames(usage: WireUsage): Buffer {
  const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens } = usage;
  const told = { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens };
  return Buffer.from(frame("content_block_stop", { index: 0 }) + frame("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: told }) + frame("message_stop", {}));
}

export function plainBody(model: string, usage: WireUsage, text: string): Buffer {
  return Buffer.from(JSON.stringify({ id: "msg_simulated", type: "message", role: "assistant", model, content: [{ type: "text", text }], stop_reason: "end_turn", stop_sequence: null, usage }));
}

const errorTypes: Readonly<Record<number, string>> = { 400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error" };

export function errorBody(status: number): Buffer {
  return Buffer.from(JSON.stringify({ type: "error", error: { type: errorTypes[status] ?? "api_error", message: "as the weather had it" } }));
}
