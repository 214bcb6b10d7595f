/** Answers whose events, frames or documents are wrong or odd, though the HTTP around them is in order. */
import type { Chunk } from "../support/fake-anthropic-encode.ts";
import { chunkFrame, exceptionFrame, frame } from "../support/fake-bedrock-frames.ts";
import type { JsonObject } from "../support/fake-anthropic-types.ts";
import { indexAt, insertAt } from "./answer.ts";
import { isAfterContent, plainModes, streamModes, type Expectation, type Fault, type Mode, type Phase, type Where } from "./axes.ts";
import { canaryWords } from "./status-faults.ts";

const inner: readonly Phase[] = ["first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage", "end"];
const begun: readonly Phase[] = ["mid-text", "mid-tool-json", "before-usage"];
/** Modes whose upstream sends events as text. */
const textModes: readonly Mode[] = ["stream", "framed"];

function eventOf(data: JsonObject): Buffer {
  return Buffer.from(`event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`);
}

interface Odd {
  readonly phases?: readonly Phase[];
  readonly modes?: readonly Mode[];
  readonly expect?: Fault["expect"];
}

function inserted(name: string, bytes: string | Buffer, { phases = inner, modes = streamModes, expect = "verbatim" }: Odd = {}): Fault {
  return { name, group: "events", phases, modes, play: ({ phase }) => ({ behaviour: { events: insertAt(phase, Buffer.from(bytes as string)) } }), expect };
}

function changed(name: string, change: (chunks: readonly Chunk[], where: Where) => readonly Chunk[], { phases = ["mid-text"], modes = streamModes, expect = "verbatim" }: Odd = {}): Fault {
  return { name, group: "events", phases, modes, play: (where) => ({ behaviour: { events: (chunks) => change(chunks, where) } }), expect };
}

function rewritten(chunk: Chunk, rewrite: (text: string) => string | Buffer): Chunk {
  return { ...chunk, bytes: Buffer.from(rewrite(chunk.bytes.toString("utf8")) as string) };
}

const everyChunk = (rewrite: (text: string) => string) => (chunks: readonly Chunk[]) => chunks.map((chunk) => rewritten(chunk, rewrite));
const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
const start = eventOf({ type: "message_start", message: { id: "msg_again", type: "message", role: "assistant", model: "claude-opus-4-8", content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } } });
const errorWords = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
const usages: readonly (readonly [string, unknown])[] = [["zero", 0], ["negative", -5], ["huge", 1e21], ["a string", "12"], ["a fraction", 1.5], ["null", null], ["an object", {}]];

/** One document with one part of it changed. */
function document(name: string, rewrite: (text: string) => string | Buffer, expect: Expectation): Fault {
  return {
    name: `a document ${name}`,
    group: "events",
    phases: ["mid-text"],
    modes: plainModes,
    play: () => ({
      behaviour: {
        events(chunks) {
          const last = chunks.at(-1)!;
          return [{ ...last, bytes: Buffer.from(rewrite(Buffer.concat(chunks.map(({ bytes }) => bytes)).toString("utf8")) as string) }];
        },
      },
    }),
    expect,
    hasOddUsage: true,
  };
}

/** Pings behind the end pass as they came, though the grammar has no place for them. */
const behindTheEnd = ({ phase }: Where): Expectation => (phase === "end" ? "verbatim" : "answer");

function errorAt(where: Where): Expectation {
  return isAfterContent(where) ? "broken" : "elsewhere";
}

export const eventFaults: readonly Fault[] = [
  { name: "an error event", group: "events", phases: ["headers", "first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage"], modes: ["stream", "framed"], play: ({ phase }) => ({ behaviour: { isBilled: phase !== "headers", message: "Overloaded", fault: { at: phase === "idle" ? "end" : phase, does: "error-event" } } }), expect: errorAt },
  { name: "an error event of the request's own making", group: "events", phases: ["first-event", "mid-text"], modes: ["stream", "framed"], play: ({ phase }) => ({ behaviour: { fault: { at: phase === "mid-text" ? "mid-text" : "first-event", does: "error-event", errorType: "invalid_request_error" } } }), expect: "late" },
  inserted("an error event and more behind it", eventOf(errorWords), { phases: [...begun, "after-usage"], modes: textModes, expect: "verbatim" }),
  inserted("a second message_start", start),
  inserted("a second message_stop", eventOf({ type: "message_stop" }), { phases: ["end"] }),
  inserted("an early message_stop", eventOf({ type: "message_stop" }), { phases: [...begun, "first-event"] }),
  inserted("content behind the end", eventOf({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "more" } }), { phases: ["end"] }),
  inserted("an event of a type that nobody knows", eventOf({ type: "future_event", value: 1 })),
  inserted("a ping", eventOf({ type: "ping" }), { expect: behindTheEnd }),
  inserted("an event with keys like __proto__", 'event: ping\ndata: {"type":"ping","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}\n\n', { expect: behindTheEnd }),
  inserted("an event with a key twice", 'event: ping\ndata: {"type":"error","type":"ping"}\n\n', { expect: "verbatim" }),
  inserted("an event 100,000 deep", `event: ping\ndata: {"type":"ping","deep":${deep}}\n\n`, { expect: behindTheEnd }),
  inserted("an event that is no JSON", 'event: content_block_delta\ndata: {"type":"content_bl\n\n', { modes: textModes }),
  inserted("an event that is no object", "event: ping\ndata: 7\n\n"),
  inserted("comments", ": one\n: two\n\n: three\n\n", { modes: textModes, expect: "answer" }),
  inserted("fields that nobody knows", "id: 7\nretry: 1\nother: x\n\n", { modes: textModes }),
  inserted("an event without data", "event: ping\n\n", { modes: textModes }),
  inserted("a byte order mark", "\ufeff", { modes: textModes }),
  inserted("NUL", "event: ping\ndata: {\"type\":\"ping\"}\0\n\n", { modes: textModes }),
  inserted("half of a pair of surrogates", 'event: ping\ndata: {"type":"ping","text":"\\ud83d"}\n\n', { expect: behindTheEnd }),
  inserted("bytes that are no UTF-8", Buffer.from("event: ping\ndata: {\"type\":\"ping\",\"text\":\"\xff\xfe\xc3\"}\n\n", "latin1"), { modes: textModes }),
  inserted("a usage that nobody asked for", eventOf({ type: "ping", usage: { output_tokens: 1 } }), { expect: behindTheEnd }),
  changed("lines that end in CR LF", everyChunk((text) => text.replaceAll("\n", "\r\n")), { modes: textModes, expect: "answer" }),
  changed("lines that end in CR", everyChunk((text) => text.replaceAll("\n", "\r")), { modes: textModes }),
  changed("data in many lines", everyChunk((text) => text.replace(/,"(?=index"|usage"|delta")/g, ',\ndata: "')), { modes: textModes, expect: "answer" }),
  changed("nothing but comments", () => [chunkOf(": nothing\n\n".repeat(5))], { phases: ["headers"], modes: textModes, expect: "any" }),
  changed("no message_start", (chunks) => chunks.slice(1), { phases: ["first-event"] }),
  changed("no message_stop", (chunks) => chunks.filter(({ kind }) => kind !== "stop"), { phases: ["end"], expect: "late" }),
  changed("no message_delta", (chunks) => chunks.filter(({ kind }) => kind !== "usage"), { phases: ["before-usage"] }),
  changed("no blank line at the end", (chunks) => chunks.map((chunk) => (chunk.kind === "stop" ? rewritten(chunk, (text) => text.trimEnd()) : chunk)), { phases: ["end"], modes: textModes, expect: "late" }),
  changed("an event twice", (chunks, { phase }) => twice(chunks, indexAt(chunks, phase)), { phases: inner }),
  changed("two events in the wrong order", (chunks, { phase }) => swapped(chunks, indexAt(chunks, phase)), { phases: ["first-event", "mid-text", "before-usage", "after-usage"] }),
  changed("an event of 3 MiB", (chunks, { phase }) => insertAt(phase, eventOf({ type: "ping", filler: "x".repeat(3 * 1024 * 1024) }))(chunks), { phases: ["mid-text", "after-usage"], expect: ({ mode }) => (mode === "framed" ? "late" : "answer") }),
  ...usages.map(([name, value]): Fault => ({ name: `usage that is ${name}`, group: "events", phases: ["after-usage"], modes: streamModes, play: () => ({ behaviour: { deltaUsage: { output_tokens: value, input_tokens: value, cache_read_input_tokens: value } } }), expect: "answer", hasOddUsage: true })),
  { name: "no usage", group: "events", phases: ["before-usage"], modes: [...streamModes, ...plainModes], play: () => ({ behaviour: { usage: null } }), expect: "answer", hasOddUsage: true },
  ...usages.map(([name, value]) => document(`with usage that is ${name}`, (text) => text.replace(/"output_tokens":\d+/, `"output_tokens":${JSON.stringify(value)}`), "answer")),
  document("that is no JSON", (text) => text.slice(0, -20), "verbatim"),
  document("that is no object", () => "[1,2]", "verbatim"),
  document("with a byte order mark", (text) => `\ufeff${text}`, "verbatim"),
  document("with a key twice", (text) => text.replace('"usage":', '"usage":{"output_tokens":1},"usage":'), "verbatim"),
  document("with keys like __proto__", (text) => text.replace("{", '{"__proto__":{"polluted":1},'), "answer"),
  document("100,000 deep", (text) => text.replace("{", `{"deep":${deep},`), "answer"),
  document("with bytes that are no UTF-8", (text) => Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xff, 0xfe]), Buffer.from(`",${text.slice(1)}`)]), "verbatim"),
  document("of 2 MiB", (text) => text.replace("{", `{"filler":"${"x".repeat(2 * 1024 * 1024)}",`), "answer"),
];

function chunkOf(text: string): Chunk {
  return { bytes: Buffer.from(text), characters: 0, isStart: false, isUsage: false, kind: "other" };
}

function twice(chunks: readonly Chunk[], index: number): readonly Chunk[] {
  return [...chunks.slice(0, index), ...chunks.slice(Math.max(0, index - 1), index), ...chunks.slice(index)];
}

function swapped(chunks: readonly Chunk[], index: number): readonly Chunk[] {
  const at = Math.max(1, Math.min(index, chunks.length - 1));
  return [...chunks.slice(0, at - 1), chunks[at]!, chunks[at - 1]!, ...chunks.slice(at + 1)];
}

/** Changes of the frames themselves. */
function framed(name: string, change: (chunks: readonly Chunk[], where: Where) => readonly Chunk[], expect: Fault["expect"], phases: readonly Phase[] = ["first-event", "mid-text", "before-usage", "after-usage"]): Fault {
  return { name, group: "frames", phases, modes: ["reframed"], play: (where) => ({ behaviour: { bytes: (chunks) => change(chunks, where) } }), expect };
}

function frameAt(name: string, bytes: Buffer, expect: Fault["expect"], status?: number): Fault {
  return { ...framed(name, (chunks, { phase }) => insertAt(phase, bytes)(chunks), expect), ...(status === undefined ? {} : { status }) };
}

function flipped(chunks: readonly Chunk[], index: number, byte: number): readonly Chunk[] {
  return chunks.map((chunk, at) => {
    if (at !== index) return chunk;
    const bytes = Buffer.from(chunk.bytes);
    bytes[byte] = bytes[byte]! ^ 0x10;
    return { ...chunk, bytes };
  });
}

const lost = Buffer.alloc(16, 0xff);

export const frameFaults: readonly Fault[] = [
  framed("a bit of a payload is wrong", (chunks, { phase }) => flipped(chunks, indexAt(chunks, phase), 100), errorAt),
  framed("a bit of a length is wrong", (chunks, { phase }) => flipped(chunks, indexAt(chunks, phase), 1), errorAt),
  frameAt("bytes that are no frame", lost, errorAt),
  frameAt("an exception of throttling", exceptionFrame("throttlingException", `Too many requests, ${canaryWords}`), errorAt, 429),
  frameAt("an exception of the model's stream", exceptionFrame("modelStreamErrorException", canaryWords), errorAt),
  frameAt("an exception of a kind that nobody knows", exceptionFrame("futureException", canaryWords), errorAt),
  frameAt("an error frame", frame({ ":message-type": "error", ":error-code": "500", ":error-message": canaryWords }, Buffer.alloc(0)), errorAt),
  frameAt("an event of a kind that nobody knows", frame({ ":event-type": "future", ":content-type": "application/json", ":message-type": "event" }, Buffer.from("{}")), "any"),
  frameAt("a chunk that is no JSON", frame({ ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" }, Buffer.from("{")), "any"),
  frameAt("a chunk whose event is no JSON", chunkFrame("{"), "any"),
];
