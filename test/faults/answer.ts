/** The one answer that all cells ask for, and the same as finished bytes for replies that are written by hand. */
import type { Chunk } from "../support/fake-anthropic-encode.ts";
import { chunkFrame } from "../support/fake-bedrock-frames.ts";
import type { AnswerBlock } from "../support/fake-anthropic-types.ts";
import { isCloudMode, isStreamMode, type Mode, type Phase } from "./axes.ts";

export const model = "claude-opus-4-8";

const toolInput = { command: "echo hello", description: "says hello" };

/** @param textBytes of the text; more than a socket takes at once makes a slow reader felt */
export function answerBlocks(textBytes: number): readonly AnswerBlock[] {
  const sentence = "Some words for the middle. ";
  return [
    { type: "text", text: sentence.repeat(Math.ceil(textBytes / sentence.length)) },
    { type: "tool_use", name: "Bash", input: toolInput },
  ];
}

const usage = { input_tokens: 12, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 9 };
const message = { id: "msg_01RawReply00000000000000", type: "message", role: "assistant", model, content: [{ type: "text", text: "Words written by hand." }], stop_reason: "end_turn", stop_sequence: null, usage };

/** Of the finished answer, in order. */
const events: readonly (readonly [Phase | "stop", Record<string, unknown>])[] = [
  ["first-event", { type: "message_start", message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } }],
  ["mid-text", { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }],
  ["mid-text", { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Words written by hand." } }],
  ["before-usage", { type: "content_block_stop", index: 0 }],
  ["after-usage", { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: usage.output_tokens } }],
  ["stop", { type: "message_stop" }],
];

/** The finished answer in the framing of a mode. */
export function rawBody(mode: Mode): Buffer {
  if (!isStreamMode(mode)) return Buffer.from(JSON.stringify(message));
  return Buffer.concat(events.map(([, data]) => (isCloudMode(mode) ? chunkFrame(JSON.stringify(data)) : Buffer.from(`event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`))));
}

/** How many of its bytes have gone out at a phase. */
export function rawBytesAt(mode: Mode, phase: Phase): number {
  const body = rawBody(mode);
  if (phase === "connect" || phase === "headers") return 0;
  if (phase === "end" || phase === "idle") return body.length;
  if (!isStreamMode(mode)) return phase === "after-usage" ? body.length - 1 : Math.floor(body.length / 2);
  let length = 0;
  for (const [name, data] of events) {
    const size = (isCloudMode(mode) ? chunkFrame(JSON.stringify(data)) : Buffer.from(`event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`)).length;
    length += size;
    if (name === phase) return phase === "mid-text" ? length + 20 : length;
  }
  return Math.floor(body.length / 2);
}

/** What an upstream says that its reply is. */
export function contentTypeOf(mode: Mode): string {
  return isStreamMode(mode) ? (isCloudMode(mode) ? "application/vnd.amazon.eventstream" : "text/event-stream; charset=utf-8") : "application/json";
}

/** Where a phase begins among an answer's chunks. */
export function indexAt(chunks: readonly Chunk[], phase: Phase): number {
  const middleOf = (kind: Chunk["kind"]): number => {
    const indexes = chunks.flatMap((chunk, index) => (chunk.kind === kind ? [index] : []));
    return (indexes[Math.floor(indexes.length / 2)] ?? Math.floor(chunks.length / 2)) + 1;
  };
  const usageAt = chunks.findIndex(({ kind }) => kind === "usage");
  const places: Record<Phase, number> = { connect: 0, headers: 0, "first-event": 1, "mid-text": middleOf("text"), "mid-tool-json": middleOf("tool"), "before-usage": usageAt, "after-usage": usageAt + 1, end: chunks.length, idle: chunks.length };
  return places[phase];
}

/** Puts bytes in at a phase. */
export function insertAt(phase: Phase, bytes: Buffer): (chunks: readonly Chunk[]) => readonly Chunk[] {
  return (chunks) => {
    const index = indexAt(chunks, phase);
    const before = chunks[index - 1];
    const inserted: Chunk = { bytes, characters: before?.characters ?? 0, isStart: before?.isStart ?? false, isUsage: before?.isUsage ?? false, kind: "other" };
    return [...chunks.slice(0, index), inserted, ...chunks.slice(index)];
  };
}
