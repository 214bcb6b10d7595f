// Guarantee: a stream that breaks the grammar of Anthropic message events is never judged legal, and what a legal one amounts
// to (text, tools, usage) is read right.
import { describe, expect, it } from "vitest";
import { checkStreamGrammar } from "./stream-grammar.ts";

type Data = Record<string, unknown>;

function event(type: string, data: Data = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
}

const start = event("message_start", {
  message: { id: "msg_1", type: "message", role: "assistant", model: "claude-x", content: [], usage: { input_tokens: 5, output_tokens: 1, cache_creation: { ephemeral_5m_input_tokens: 2 } } },
});
const open = (index: number, block: Data = { type: "text", text: "" }): string => event("content_block_start", { index, content_block: block });
const delta = (index: number, value: Data): string => event("content_block_delta", { index, delta: value });
const text = (index: number, value: string): string => delta(index, { type: "text_delta", text: value });
const json = (index: number, value: string): string => delta(index, { type: "input_json_delta", partial_json: value });
const close = (index: number): string => event("content_block_stop", { index });
const end = event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 9, input_tokens: null } });
const stop = event("message_stop");
const error = event("error", { error: { type: "overloaded_error", message: "Overloaded" } });
const ping = event("ping");
const tool = { type: "tool_use", id: "toolu_1", name: "Bash", input: {} };

function check(...parts: string[]): ReturnType<typeof checkStreamGrammar> {
  return checkStreamGrammar(Buffer.from(parts.join("")));
}

function problem(...parts: string[]): string {
  const result = check(...parts);
  return result.ok ? "none" : result.problem;
}

describe("legal streams", () => {
  it("a whole answer gives text, tools and merged usage", () => {
    const result = check(start, ping, open(0), text(0, "Hé"), text(0, "llo"), close(0), open(1, tool), json(1, ""), json(1, '{"a":'), json(1, "1}"), close(1), end, stop);
    expect(result).toMatchObject({
      ok: true, outcome: "stop", text: "Héllo", pings: 1, model: "claude-x", stopReason: "end_turn",
      toolUses: [{ id: "toolu_1", name: "Bash", input: { a: 1 } }],
      usage: { input_tokens: 5, output_tokens: 9, cache_creation: { ephemeral_5m_input_tokens: 2 } },
    });
  });

  it("one error may end it anywhere between events, also at the beginning and inside a block", () => {
    expect(check(error)).toMatchObject({ ok: true, outcome: "error", error: { type: "overloaded_error" } });
    expect(check(ping, start, open(0), text(0, "a"), error)).toMatchObject({ ok: true, outcome: "error", text: "a" });
  });

  it("comments and CRLF line ends are transport, not events", () => {
    expect(check(": hello\n\n", start, open(0), text(0, "a"), close(0), ": keep\n\n", end, stop)).toMatchObject({ ok: true, text: "a" });
    expect(check([start, open(0), close(0), end, stop].join("").replaceAll("\n", "\r\n"))).toMatchObject({ ok: true });
  });

  it("thinking with its signature is legal", () => {
    const result = check(start, open(0, { type: "thinking", thinking: "" }), delta(0, { type: "thinking_delta", thinking: "hm" }), delta(0, { type: "signature_delta", signature: "s" }), close(0), end, stop);
    expect(result).toMatchObject({ ok: true, thinking: "hm" });
  });
});

describe("illegal streams", () => {
  const whole = [start, open(0), text(0, "a"), close(0), end, stop];

  it.each([
    ["nothing at all", [], "empty"],
    ["no end", whole.slice(0, -1), "ends without"],
    ["a ping only", [ping], "ends without"],
    ["two starts", [start, ...whole], "second message_start"],
    ["a block before the start", [open(0)], "before message_start"],
    ["something after the end", [...whole, ping], "after the end"],
    ["an error after the end", [...whole, error], "after the end"],
    ["two errors", [start, error, error], "after the end"],
    ["a skipped index", [start, open(1)], "expected 0"],
    ["a repeated index", [start, open(0), close(0), open(0)], "expected 1"],
    ["a block inside a block", [start, open(0), open(1)], "inside block 0"],
    ["a delta without a block", [start, text(0, "a")], "without an open block"],
    ["a delta for another block", [start, open(0), text(1, "a")], "open is 0"],
    ["a stop of another block", [start, open(0), close(1)], "open is 0"],
    ["JSON in a text block", [start, open(0), json(0, "{}")], "input_json_delta in a block of type text"],
    ["text in a tool block", [start, open(0, tool), text(0, "a")], "text_delta in a block of type tool_use"],
    ["broken tool input", [start, open(0, tool), json(0, '{"a'), close(0)], "no JSON"],
    ["usage inside a block", [start, open(0), end], "inside an open block"],
    ["a stop without message_delta", [start, stop], "without message_delta"],
    ["a block after message_delta", [start, end, open(0)], "after message_delta"],
    ["an unknown event", [start, event("surprise")], "unknown event"],
    ["a type that differs from its name", ["event: ping\ndata: {\"type\":\"pong\"}\n\n"], "holds data of type"],
    ["data that is no JSON", ["event: ping\ndata: {\n\n"], "no JSON"],
    ["a partial last line", [...whole, "event: pi"], "inside a line"],
    ["a partial last event", [...whole, "event: ping\n"], "inside an event"],
    ["an error without a type", [event("error", { error: {} })], "no type or message"],
  ])("%s", (_name, parts, expected) => {
    expect(problem(...parts)).toContain(expected);
  });

  it("bytes that are not UTF-8", () => {
    expect(checkStreamGrammar(Buffer.from([0xc3, 0x28, 0x0a, 0x0a]))).toMatchObject({ ok: false, problem: "bytes are not UTF-8" });
  });

  it("a stream cut at any byte but the last is illegal", () => {
    const bytes = Buffer.from(whole.join(""));
    for (let length = 0; length < bytes.length; length++) expect(checkStreamGrammar(bytes.subarray(0, length)).ok).toBe(false);
    expect(checkStreamGrammar(bytes).ok).toBe(true);
  });
});
