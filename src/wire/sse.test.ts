// Guarantee: however a stream is cut, the same bytes come out, always in whole events.
import fc from "fast-check";
import { createParser } from "../../test/support/sse-oracle.ts";
import { describe, expect, it } from "vitest";
import { eventTailBytesMax } from "../kernel/bounds.ts";
import { createEventSplitter, dataLines, decodeEvents, encodeEvent } from "./sse.ts";

const lineEnd = fc.constantFrom("\n", "\r\n", "\r");
const line = fc.oneof(
  fc.constantFrom("event: ping", "data: {\"a\":1}", "data:no space", "data", ": comment", "id: 1", "retry: 5", "data: ümlaut 🎈", "event:message_delta"),
  fc.string({ maxLength: 12 }).map((text) => `data: ${text.replace(/[\r\n]/g, "")}`),
);
/** One line end throughout, as real servers do; mixtures are in the next arbitrary. */
const stream = fc.tuple(lineEnd, fc.array(fc.array(line, { minLength: 1, maxLength: 4 }), { maxLength: 6 })).map(([end, events]) => events.map((lines) => lines.join(end) + end + end).join(""));
const mixed = fc.array(fc.tuple(line, lineEnd, fc.option(lineEnd, { nil: "" })), { maxLength: 12 }).map((lines) => lines.map(([text, end, blank]) => text + end + blank).join(""));

function cuts(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const sorted = [0, ...[...positions].map((position) => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

describe("createEventSplitter", () => {
  it("passes on the same bytes at any cut, and each run holds whole events only", () => {
    fc.assert(
      fc.property(fc.oneof(stream, mixed), fc.array(fc.nat(), { maxLength: 8 }), (text, positions) => {
        const bytes = Buffer.from(text);
        const splitter = createEventSplitter();
        const runs = cuts(bytes, positions).map((cut) => Buffer.from(splitter.push(cut)));
        expect(Buffer.concat([...runs, splitter.finish().bytes])).toEqual(bytes);
        // Whole events: decoding run by run gives what decoding all at once gives.
        const last = splitter.finish();
        const events = [...runs.flatMap((run) => decodeEvents(run)), ...(last.isWhole ? decodeEvents(last.bytes) : [])];
        expect(events).toEqual(decodeEvents(last.isWhole ? bytes : bytes.subarray(0, bytes.length - last.bytes.length)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("holds back an unfinished event and passes a finished one at once", () => {
    const splitter = createEventSplitter();
    expect(splitter.push(Buffer.from("event: a\ndata: 1\n")).length).toBe(0);
    expect(splitter.push(Buffer.from("\nevent: b\nda")).toString()).toBe("event: a\ndata: 1\n\n");
    expect(splitter.finish()).toEqual({ bytes: Buffer.from("event: b\nda"), isWhole: false });
  });

  it.each([
    ["data: a\r\n", false],
    ["data: a\n\r", true],
    ["data: a\r\r", true],
    ["data: a\r\n\r", true],
  ])("at the end of a stream takes CR LF as one line end: %j", (text, isWhole) => {
    const splitter = createEventSplitter();
    splitter.push(Buffer.from(text));
    expect(splitter.finish().isWhole).toBe(isWhole);
  });

  it("passes an event beyond its bound in parts, and says that it is inside one", () => {
    const splitter = createEventSplitter();
    expect(splitter.push(Buffer.alloc(eventTailBytesMax + 1, "x")).length).toBe(eventTailBytesMax + 1);
    expect(splitter.isAtBorder()).toBe(false);
    splitter.push(Buffer.from("y\n\n"));
    expect(splitter.isAtBorder()).toBe(true);
  });
});

describe("decodeEvents", () => {
  it("reads what an independent reader of the specification reads", () => {
    fc.assert(
      fc.property(fc.oneof(stream, mixed), (text) => {
        expect(decodeEvents(Buffer.from(text))).toEqual(createParser(text));
      }),
      { numRuns: 1_000 },
    );
  });

  it("reads back what encodeEvent wrote", () => {
    expect(decodeEvents(encodeEvent("error", '{"a":"ü"}'))).toEqual([{ event: "error", data: '{"a":"ü"}' }]);
  });
});

describe("dataLines", () => {
  it("gives one piece for each event, whatever its line ends and however many lines its data has", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.string({ unit: fc.constantFrom("a", "ü", ":", " ", "{") }), { minLength: 1, maxLength: 3 }), { maxLength: 4 }), fc.constantFrom("\n", "\r\n", "\r"), (events, lineEnd) => {
        const text = events.map((lines) => ["event: x", ...lines.map((line) => `data: ${line}x`), "", ""].join(lineEnd)).join("");
        expect(dataLines(Buffer.from(text)).map(String)).toEqual(events.map((lines) => lines.map((line) => `${line}x`).join("\n")));
      }),
    );
  });
});
