// Guarantee: what a provider does not bill of declined attempts is marked, the same in a stream at every cut, in its plain twin
// and in the kept report; and where a reply leaves a doubt, nothing is marked.
import { describe, expect, it } from "vitest";
import { createEventSplitter, encodeEvent } from "../../wire/sse.ts";
import type { ReplyObserver } from "../dialect.ts";
import { observe } from "./observe.ts";
import { readUsage } from "./usage.ts";

type Members = Readonly<Record<string, unknown>>;

/** One reply, to be told in both forms. */
interface Told {
  readonly stopReason?: string;
  readonly stopDetails?: unknown;
  readonly content?: readonly Members[];
  readonly usage: Members;
}

const details = (category: unknown): Members => ({ type: "refusal", category, explanation: null });
const text = { type: "text", text: 'a "content_block_start" and a "fallback"' };
const fallback = (to: string, category: unknown, rest: Members = {}): Members => ({ type: "fallback", from: { model: "first" }, to: { model: to }, trigger: { type: "refusal", category }, ...rest });
const entry = (type: string, model: string | null, output: number, rest: Members = {}): Members => ({ type, model, input_tokens: 100, output_tokens: output, ...rest });

function streamOf({ stopReason = "refusal", stopDetails, content = [], usage }: Told): Buffer {
  const events: Members[] = [
    { type: "message_start", message: { id: "msg_1", type: "message", role: "assistant", model: "served", content: [], stop_reason: null, usage: { input_tokens: 100, output_tokens: 1 } } },
    { type: "ping" },
    ...content.flatMap((block, index) => [
      { type: "content_block_start", index, content_block: block["type"] === "text" ? { type: "text", text: "" } : block },
      ...(block["type"] === "text" ? [{ type: "content_block_delta", index, delta: { type: "text_delta", text: block["text"] } }] : []),
      { type: "content_block_stop", index },
    ]),
    { type: "message_delta", delta: { stop_reason: stopReason, stop_sequence: null, stop_details: stopDetails }, usage },
    { type: "message_stop" },
  ];
  return Buffer.concat(events.map((data) => encodeEvent(String(data["type"]), JSON.stringify(data))));
}

function streamed(bytes: Buffer, cut = bytes.length): ReplyObserver {
  const observer = observe();
  const splitter = createEventSplitter();
  for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
    const events = splitter.push(piece);
    if (events.length > 0) observer.streamEvents(events);
  }
  return observer;
}

function plain({ stopReason = "refusal", stopDetails, content = [], usage }: Told): ReplyObserver {
  const observer = observe();
  observer.plainBody(Buffer.from(JSON.stringify({ id: "msg_1", type: "message", role: "assistant", model: "served", content, stop_reason: stopReason, stop_details: stopDetails, usage: { input_tokens: 100, ...usage } })));
  return observer;
}

const billed = (observer: ReplyObserver): boolean[] => observer.observed().parts.map(({ isBilled }) => isBilled !== false);

/** Whether each part is billed, after it was found equal in both forms and in the kept report. */
function billedOf(told: Told): boolean[] {
  const stream = streamed(streamOf(told));
  const twin = plain(told);
  expect(stream.observed().parts).toEqual(twin.observed().parts);
  for (const observer of [stream, twin]) expect(readUsage(observer.usageJson())!.parts).toEqual(observer.observed().parts);
  return billed(stream);
}

describe("a refusal", () => {
  it.each([["cyber", false], ["general_harms", false], [null, false], ["bio", true], ["frontier_llm", true], ["reasoning_extraction", true]])("before any output is billed by its category: %j", (category, isBilled) => {
    expect(billedOf({ stopDetails: details(category), usage: { output_tokens: 0 } })).toEqual([isBilled]);
    expect(billedOf({ stopDetails: details(category), usage: { output_tokens: 1 } })).toEqual([isBilled]);
    expect(billedOf({ stopDetails: details(category), usage: { output_tokens: 0, iterations: [entry("message", "first", 0)] } })).toEqual([isBilled]);
    // A turn that went straight to the model that a conversation has fallen back to.
    expect(billedOf({ stopDetails: details(category), usage: { output_tokens: 0, iterations: [entry("fallback_message", "second", 0)] } })).toEqual([isBilled]);
  });

  it("keeps its counts", () => {
    const { parts } = plain({ stopDetails: details("cyber"), usage: { output_tokens: 0, cache_read_input_tokens: 7 } }).observed();
    expect(parts).toEqual([{ counts: { input: 100, cacheRead: 7, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 }, model: undefined, isBilled: false }]);
  });

  it.each<[string, Told]>([
    ["content was sent", { stopDetails: details("cyber"), content: [text], usage: { output_tokens: 1 } }],
    ["thinking was sent", { stopDetails: details("cyber"), content: [{ type: "thinking", thinking: "", signature: "" }], usage: { output_tokens: 0 } }],
    ["tokens were counted without content", { stopDetails: details("cyber"), usage: { output_tokens: 2 } }],
    ["the entry counts tokens, the top level none", { stopDetails: details("cyber"), usage: { output_tokens: 0, iterations: [entry("message", "first", 9)] } }],
    ["its details are missing", { usage: { output_tokens: 0 } }],
    ["its details are null", { stopDetails: null, usage: { output_tokens: 0 } }],
    ["its category is missing", { stopDetails: { type: "refusal" }, usage: { output_tokens: 0 } }],
    ["its category is no text", { stopDetails: details(7), usage: { output_tokens: 0 } }],
    ["the reply ended otherwise", { stopReason: "end_turn", stopDetails: details("cyber"), usage: { output_tokens: 0 } }],
    ["its entry does not count output", { stopDetails: details("cyber"), usage: { output_tokens: 0, iterations: [{ type: "message", input_tokens: 100 }] } }],
    ["a count is absurd", { stopDetails: details("cyber"), usage: { output_tokens: -5 } }],
    ["the upstream marks it itself", { stopReason: "end_turn", usage: { output_tokens: 0, tollgate_unbilled_parts: [0] } }],
  ])("is billed where %s", (_, told) => expect(billedOf(told)).toEqual([true]));

  it("is billed where a compaction came before it, and the compaction too", () => {
    expect(billedOf({ stopDetails: details("cyber"), content: [{ type: "compaction", content: "x" }], usage: { output_tokens: 0, iterations: [entry("compaction", null, 50), entry("message", null, 0)] } })).toEqual([true, true]);
  });

  it("is not known before the end, so that a stream that breaks off is counted as ever", () => {
    const bytes = streamOf({ stopDetails: details("cyber"), usage: { output_tokens: 0 } });
    expect(billed(streamed(bytes.subarray(0, bytes.indexOf("event: message_delta"))))).toEqual([true]);
  });
});

describe("a chain of fallbacks", () => {
  const chain = (...outputs: readonly number[]): readonly Members[] => outputs.map((output, index) => entry(index === outputs.length - 1 ? "fallback_message" : "message", ["first", "second", "third"][index]!, output));
  const served = { stopReason: "end_turn", stopDetails: null };

  it.each([["cyber", false], [null, false], ["bio", true]])("bills a hop that declined before any output by its own category: %j", (category, isBilled) => {
    expect(billedOf({ ...served, content: [fallback("second", category), text], usage: { output_tokens: 30, iterations: chain(0, 30) } })).toEqual([isBilled, true]);
  });

  it("judges each hop and the end by themselves", () => {
    const content = [fallback("second", "bio"), fallback("third", "cyber")];
    expect(billedOf({ stopDetails: details(null), content, usage: { output_tokens: 0, iterations: chain(0, 0, 0) } })).toEqual([true, false, false]);
    expect(billedOf({ stopDetails: details("frontier_llm"), content, usage: { output_tokens: 0, iterations: chain(0, 0, 0) } })).toEqual([true, false, true]);
    expect(billedOf({ stopDetails: details("cyber"), content: [...content, text], usage: { output_tokens: 8, iterations: chain(0, 0, 8) } })).toEqual([true, false, true]);
  });

  it("bills a hop that had output, also where a plain reply leaves that output out", () => {
    const usage = { output_tokens: 30, iterations: chain(12, 30) };
    const stream = streamed(streamOf({ ...served, content: [text, fallback("second", "cyber"), text], usage }));
    const twin = plain({ ...served, content: [fallback("second", "cyber"), text], usage });
    expect([billed(stream), billed(twin)]).toEqual([[true, true], [true, true]]);
  });

  it("judges a stream and its plain twin alike where a hop without output follows one with output", () => {
    const usage = { output_tokens: 30, iterations: chain(12, 0, 30) };
    const stream = streamed(streamOf({ ...served, content: [text, fallback("second", "cyber"), fallback("third", "cyber"), text], usage }));
    const twin = plain({ ...served, content: [fallback("second", "cyber"), fallback("third", "cyber"), text], usage });
    expect([billed(stream), billed(twin)]).toEqual([[true, true, true], [true, true, true]]);
  });

  it("takes several samplings of one model for one attempt, and advisors for none", () => {
    const iterations = [entry("message", "first", 0), entry("message", "second", 20), entry("advisor_message", "wise", 0), entry("message", "second", 0), entry("fallback_message", "second", 30)];
    expect(billedOf({ ...served, content: [fallback("second", "cyber"), text], usage: { output_tokens: 30, iterations } })).toEqual([false, true, true, true, true]);
    expect(billedOf({ stopDetails: details("cyber"), content: [fallback("second", "bio"), text], usage: { output_tokens: 0, iterations: [...iterations.slice(0, 4), entry("fallback_message", "second", 0)] } })).toEqual([true, true, true, true, true]);
  });

  it.each<[string, readonly Members[]]>([
    ["no block tells of it", [text]],
    ["its block has no trigger", [fallback("second", "cyber", { trigger: undefined }), text]],
    ["its block leads to another model", [fallback("third", "cyber"), text]],
    ["content stands before its block", [text, fallback("second", "cyber")]],
  ])("bills a hop where %s", (_, content) => expect(billedOf({ ...served, content, usage: { output_tokens: 30, iterations: chain(0, 30) } })).toEqual([true, true]));

  it("is judged alike at every cut of the stream", () => {
    const bytes = streamOf({ stopDetails: details("cyber"), content: [fallback("second", "bio"), fallback("third", null)], usage: { output_tokens: 0, iterations: chain(0, 0, 0) } });
    for (let cut = 0; cut <= bytes.length; cut++) expect(billed(streamed(bytes, cut))).toEqual([true, false, false]);
  });
});
