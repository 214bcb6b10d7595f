// Guarantee: two calls have the same mark if a prompt cache can serve both, and another if what comes before the messages has changed.
import { describe, expect, it } from "vitest";
import type { PromptShape } from "../dialect.ts";
import { inspect } from "./inspect.ts";

const tool = (name: string, bytes = 200): unknown => ({ name, description: "d".repeat(bytes), input_schema: { type: "object" } });
const attribution = (text: string): unknown => ({ type: "text", text: `x-anthropic-billing-header: ${text}` });
const block = (text: string): unknown => ({ type: "text", text, cache_control: { type: "ephemeral" } });
const turns = (count: number): unknown[] => Array.from({ length: count }, (_, index) => ({ role: index % 2 === 0 ? "user" : "assistant", content: `turn ${index}` }));
const base = { model: "claude-opus-4-8", max_tokens: 64, system: [block("You are")], tools: [tool("Read"), tool("Write")], messages: turns(1) };

function shapeOf(members: Record<string, unknown> = {}): PromptShape | undefined {
  const body = Buffer.from(JSON.stringify({ ...base, ...members }));
  return inspect(body).promptShape(body);
}

describe("the mark of a prompt", () => {
  it.each<[string, Record<string, unknown>]>([
    ["more messages", { messages: turns(9) }],
    ["another bound of output, and a stream", { max_tokens: 9_000, stream: true }],
    ["another metadata", { metadata: { user_id: "u" } }],
    ["thinking that is kept", { context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] } }],
  ])("is the same with %s", (_what, members) => expect(shapeOf(members)?.mark).toBe(shapeOf()?.mark));

  it.each<[string, Record<string, unknown>]>([
    ["a tool more", { tools: [tool("Read"), tool("Write"), tool("Edit")] }],
    ["no tools", { tools: undefined }],
    ["a tool described in other words", { tools: [tool("Read", 199), tool("Write")] }],
    ["another system prompt of the same length", { system: [block("You ARE")] }],
    ["a system prompt as a string", { system: "You are" }],
    ["a choice of tools", { tool_choice: { type: "any" } }],
    ["thinking", { thinking: { type: "adaptive" } }],
    ["another speed", { speed: "fast" }],
    ["another effort", { output_config: { effort: "low" } }],
  ])("is another with %s", (_what, members) => expect(shapeOf(members)?.mark).not.toBe(shapeOf()?.mark));

  it("does not depend on Claude Code's line about itself, which is no part of the prompt", () => {
    const withLine = (text: string): number | undefined => shapeOf({ system: [attribution(text), block("You are")] })?.mark;
    expect(withLine("cc_version=2.1.112; cch=00001;")).toBe(withLine("cc_version=2.1.112; cch=00002abc;"));
    expect(withLine("cc_version=2.1.112;")).not.toBe(shapeOf({ system: [attribution("cc_version=2.1.112;"), block("You were")] })?.mark);
  });

  it("of long tools is told by their beginning, their end and their length", () => {
    const long = (first: string, last: string, bytes: number): number | undefined => shapeOf({ tools: [tool(first), tool("Long", bytes), tool(last)] })?.mark;
    const marks = [long("A", "Z", 90_000), long("B", "Z", 90_000), long("A", "Y", 90_000), long("A", "Z", 90_001)];
    expect(new Set(marks).size).toBe(4);
    expect(marks.every(Number.isSafeInteger)).toBe(true);
  });
});

it("tells how long the messages are", () => {
  expect(shapeOf()?.messagesBytes).toBe(JSON.stringify(turns(1)).length);
});

it.each<[string, Record<string, unknown>]>([
  ["lets the provider clear results of tools", { context_management: { edits: [{ type: "clear_tool_uses_20250919" }] } }],
  ["lets it compact", { context_management: { edits: [{ type: "compact_20260112" }] } }],
  ["has no messages", { messages: undefined }],
])("a call is not followed that %s", (_what, members) => expect(shapeOf(members)).toBeUndefined());
