// Guarantee: usage is read by the documented rules, the same at every cut of the stream and for its plain twin, and whatever
// an upstream sends, the counts stay sane or are marked.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEventSplitter, encodeEvent } from "../../wire/sse.ts";
import type { ObservedUsage, ReplyObserver } from "../dialect.ts";
import { observe } from "./observe.ts";
import { readUsage } from "./usage.ts";

function event(data: { type: string; [name: string]: unknown }): Buffer {
  return encodeEvent(data.type, JSON.stringify(data));
}

const startUsage = { input_tokens: 11, cache_creation_input_tokens: 300, cache_read_input_tokens: 4000, cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 }, output_tokens: 1, service_tier: "standard" };

function stream(start: unknown, delta: unknown, texts: readonly string[] = ["Hello", ' the word "usage" and "message_stop"']): Buffer {
  return Buffer.concat([
    event({ type: "message_start", message: { id: "msg_1", type: "message", role: "assistant", model: "claude-served", content: [], usage: start } }),
    event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }),
    event({ type: "ping" }),
    ...texts.map((text) => event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    event({ type: "content_block_stop", index: 0 }),
    event({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: delta }),
    event({ type: "message_stop" }),
  ]);
}

/** As the relay does: whole events only. */
function feed(bytes: Buffer, cuts: readonly number[]): ReplyObserver {
  const observer = observe();
  const splitter = createEventSplitter();
  let from = 0;
  for (const to of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    const events = splitter.push(bytes.subarray(from, to));
    if (events.length > 0) observer.streamEvents(events);
    from = to;
  }
  return observer;
}

function withoutCharacters(observed: ObservedUsage): Omit<ObservedUsage, "outputCharacters"> {
  const { outputCharacters, ...usage } = observed;
  expect(outputCharacters).toBeGreaterThanOrEqual(0);
  return usage;
}

describe("observe", () => {
  it("reads the input side at the start and the output at the end, the last non-null value winning", () => {
    const observer = feed(stream(startUsage, { output_tokens: 77, input_tokens: null, cache_read_input_tokens: 4001 }), []);
    expect(withoutCharacters(observer.observed())).toEqual({
      stage: "final",
      parts: [{ counts: { input: 11, cacheRead: 4001, cacheWrite5m: 100, cacheWrite1h: 200, output: 77 }, model: undefined }],
      serverToolUses: {},
      speed: undefined,
      inferenceGeo: undefined,
      serviceTier: "standard",
      isPlausible: true,
    });
    expect(observer.servedModel()).toBe("claude-served");
    expect(observer.ending()).toBe("complete");
  });

  it("does not depend on where the stream is cut", () => {
    const bytes = stream(startUsage, { output_tokens: 9, server_tool_use: { web_search_requests: 2 } }, ["a", "ü🎈", 'data: {"usage":1}\n\n', "x".repeat(300)]);
    const whole = withoutCharacters(feed(bytes, []).observed());
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), (cuts) => {
        const observer = feed(bytes, cuts);
        expect(withoutCharacters(observer.observed())).toEqual(whole);
        expect(observer.ending()).toBe("complete");
      }),
      { numRuns: 500 },
    );
    for (let cut = 0; cut <= bytes.length; cut++) expect(withoutCharacters(feed(bytes, [cut]).observed())).toEqual(whole);
  });

  it("gives a plain reply the same counts as its stream", () => {
    const delta = { output_tokens: 9, speed: "fast" };
    const plain = observe();
    plain.plainBody(Buffer.from(JSON.stringify({ id: "msg_1", model: "claude-served", content: [{ type: "text", text: '"usage": {' }], stop_reason: "end_turn", usage: { ...startUsage, ...delta } })));
    expect(withoutCharacters(plain.observed())).toEqual(withoutCharacters(feed(stream(startUsage, delta), []).observed()));
    expect(plain.servedModel()).toBe("claude-served");
  });

  it("bills the sum of the iterations, each at its own model, and not the top level", () => {
    const iterations = [
      { type: "compaction", input_tokens: 1000, output_tokens: 50, cache_read_input_tokens: 3 },
      { type: "message", input_tokens: 20, output_tokens: 7, model: "claude-other", cache_creation: { ephemeral_1h_input_tokens: 5 }, cache_creation_input_tokens: 5 },
    ];
    expect(feed(stream(startUsage, { output_tokens: 7, iterations }), []).observed().parts).toEqual([
      { counts: { input: 1000, cacheRead: 3, cacheWrite5m: 0, cacheWrite1h: 0, output: 50 }, model: undefined },
      { counts: { input: 20, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 5, output: 7 }, model: "claude-other" },
    ]);
  });

  it.each([
    [{ output_tokens: 7, speed: "fast", inference_geo: "us", service_tier: "standard" }],
    [{ output_tokens: 7, cache_creation_input_tokens: 9 }],
    [{ iterations: [{ input_tokens: 3, cache_creation: { ephemeral_1h_input_tokens: 5 } }, { model: "claude-other", output_tokens: 4 }] }],
    [{ input_tokens: -1, output_tokens: "many" }],
  ])("reads a kept report back as it was observed: %j", (usage) => {
    const observer = feed(stream(startUsage, usage), []);
    const { parts, speed, inferenceGeo, serviceTier } = observer.observed();
    expect(readUsage(observer.usageJson())).toEqual({ parts, speed, inferenceGeo, serviceTier });
  });

  it.each(["", "not json", "7", "null", "[]", '"text"'])("reads nothing from %j", (text) => expect(readUsage(text)).toBeUndefined());

  it.each([
    [{ cache_creation_input_tokens: 10 }, 10, 0],
    [{ cache_creation_input_tokens: 10, cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 6 } }, 4, 6],
    [{ cache_creation_input_tokens: 12, cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 6 } }, 6, 6],
    [{ cache_creation_input_tokens: 3, cache_creation: { ephemeral_5m_input_tokens: 4, ephemeral_1h_input_tokens: 6 } }, 0, 3],
    [{ cache_creation: { ephemeral_1h_input_tokens: 6 } }, 0, 6],
  ])("splits cache writes of %j into %d and %d", (usage, fiveMinutes, oneHour) => {
    const { cacheWrite5m, cacheWrite1h } = feed(stream(usage, { output_tokens: 1 }), []).observed().parts[0]!.counts;
    expect([cacheWrite5m, cacheWrite1h]).toEqual([fiveMinutes, oneHour]);
  });

  it("marks absurd counts and takes them as zero, and never throws", () => {
    for (const value of [-1, 1.5, "7", 1e30, {}, [], true, Number.MAX_VALUE]) {
      const observed = feed(stream({ ...startUsage, input_tokens: value }, { output_tokens: 3 }), []).observed();
      expect(observed.isPlausible).toBe(false);
      expect(observed.parts[0]!.counts.input).toBe(0);
    }
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (start, delta) => {
        const { parts } = feed(stream(start, delta), []).observed();
        for (const { counts } of parts) for (const count of Object.values(counts)) expect(Number.isSafeInteger(count) && (count as number) >= 0).toBe(true);
      }),
    );
  });

  it("tells a stream that ended short from one that ended with an error event", () => {
    const whole = stream(startUsage, { output_tokens: 3 });
    const short = whole.subarray(0, whole.indexOf("event: message_delta"));
    expect(feed(short, []).ending()).toBe("broken");
    expect(feed(short, []).observed().stage).toBe("started");
    expect(feed(Buffer.concat([short, event({ type: "error", error: { type: "overloaded_error", message: "x" } })]), []).ending()).toBe("error");
    expect(observe().ending()).toBe("broken");
  });

  it("counts the characters of output that passed, event by event", () => {
    const texts = ["abcd", "efghij", "k"];
    const bytes = stream(startUsage, { output_tokens: 3 }, texts);
    const observer = observe();
    const splitter = createEventSplitter();
    for (const piece of bytes.toString().split(/(?<=\n\n)/)) observer.streamEvents(splitter.push(Buffer.from(piece)));
    expect(observer.observed().outputCharacters).toBe(11);
  });
});
