// Guarantee: AWS event stream frames are read and written as the `@smithy` codec does it, at every cut of the stream, and a
// stream with any bit wrong ends in a typed error after the frames before it.
import { EventStreamCodec, Int64 } from "@smithy/core/event-streams";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32 } from "node:zlib";
import { isGatewayError } from "../kernel/gateway-error.ts";
import { createFrameReader, encodeFrame, encodeHeaders, frameBytesMax, frameHeadersBytesMax, type Frame } from "./event-stream.ts";

type MessageHeaders = Parameters<EventStreamCodec["encode"]>[0]["headers"];

const oracle = new EventStreamCodec(
  (bytes) => (typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("utf8")),
  (text) => Buffer.from(text),
);

const name = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }).filter((text) => text !== "__proto__");
const text = fc.string({ maxLength: 40, unit: "grapheme" });
const bytesOf = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
const otherHeader: fc.Arbitrary<MessageHeaders[string]> = fc.oneof(
  fc.boolean().map((value) => ({ type: "boolean" as const, value })),
  fc.integer({ min: -128, max: 127 }).map((value) => ({ type: "byte" as const, value })),
  fc.integer({ min: -32_768, max: 32_767 }).map((value) => ({ type: "short" as const, value })),
  fc.integer().map((value) => ({ type: "integer" as const, value })),
  fc.integer().map((value) => ({ type: "long" as const, value: Int64.fromNumber(value) })),
  bytesOf(30).map((value) => ({ type: "binary" as const, value })),
  fc.integer({ min: 0 }).map((value) => ({ type: "timestamp" as const, value: new Date(value) })),
  fc.uuid().map((value) => ({ type: "uuid" as const, value })),
);
const anyHeaders: fc.Arbitrary<MessageHeaders> = fc.dictionary(name, fc.oneof(text.map((value) => ({ type: "string" as const, value })), otherHeader), { maxKeys: 6, noNullPrototype: true });
const stringHeaders = fc.dictionary(name, text, { maxKeys: 5, noNullPrototype: true });

function kept(frames: readonly Frame[]): { headers: [string, string][]; payload: string }[] {
  return frames.map(({ headers, payload }) => ({ headers: [...headers], payload: payload.toString("hex") }));
}

function cuts(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const sorted = [0, ...positions.map((position) => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

/** Reads until a fault; each cut is overwritten after its push, so that a view held too long shows. */
function readAll(parts: readonly Buffer[]): { frames: ReturnType<typeof kept>; code: string | undefined; isAtBorder: boolean } {
  const reader = createFrameReader();
  const frames: ReturnType<typeof kept> = [];
  let code: string | undefined;
  for (const part of parts) {
    const own = Buffer.from(part);
    try {
      frames.push(...kept(reader.push(own)));
    } catch (error) {
      if (!isGatewayError(error)) throw error;
      code = error.code;
      break;
    }
    own.fill(0xee);
  }
  return { frames, code, isAtBorder: reader.isAtBorder() };
}

describe("createFrameReader", () => {
  it("reads what the oracle wrote, at any cut, and steps over headers that are no strings", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyHeaders, bytesOf(200)), { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (messages, positions) => {
        const stream = Buffer.concat(messages.map(([headers, body]) => oracle.encode({ headers, body })));
        const wanted = messages.map(([headers, body]) => ({
          headers: Object.entries(headers).flatMap(([key, header]): [string, string][] => (header.type === "string" ? [[key, header.value]] : [])),
          payload: body.toString("hex"),
        }));
        expect(readAll(cuts(stream, positions))).toEqual({ frames: wanted, code: undefined, isAtBorder: true });
      }),
      { numRuns: 500 },
    );
  });

  it("reads the same frames at every split into two, and byte by byte, and knows when it is inside one", () => {
    const stream = Buffer.concat([encodeFrame({ ":event-type": "chunk", ":message-type": "event" }, Buffer.from('{"bytes":"e30="}')), encodeFrame({}, Buffer.alloc(0)), encodeFrame({ a: "" }, Buffer.from("z"))]);
    const whole = readAll([stream]);
    expect(whole.frames).toHaveLength(3);
    const borders = new Set([0, stream.length - 16 - 5 - 1 - 16, stream.length - 16 - 5 - 1, stream.length]);
    for (let split = 0; split <= stream.length; split++) {
      expect(readAll([stream.subarray(0, split), stream.subarray(split)])).toEqual(whole);
      expect(readAll([stream.subarray(0, split)]).isAtBorder, `at ${split}`).toBe(borders.has(split));
    }
    expect(readAll(Array.from(stream, (_, at) => stream.subarray(at, at + 1)))).toEqual(whole);
  });

  it("answers any single wrong bit with a typed error after the frames before it, whole or byte by byte", () => {
    const first = encodeFrame({ ":event-type": "chunk" }, Buffer.from("one"));
    const second = encodeFrame({ ":event-type": "chunk", b: "c" }, Buffer.from('{"bytes":"e30="}'));
    const third = encodeFrame({}, Buffer.from("three"));
    for (let bit = 0; bit < second.length * 8; bit++) {
      const wrong = Buffer.from(second);
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      const stream = Buffer.concat([first, wrong, third]);
      const seen = { frames: readAll([first]).frames, code: "upstream_stream_broken", isAtBorder: false };
      expect(readAll([stream, third])).toEqual(seen);
      expect(readAll(Array.from(stream, (_, at) => stream.subarray(at, at + 1)))).toEqual(seen);
      expect(readAll([first, wrong])).toEqual(seen);
    }
  });

  it("is not misled by a buffer that is used again for other headers", () => {
    const reader = createFrameReader();
    const buffer = encodeFrame({ ":event-type": "chunk" }, Buffer.from("one"));
    const [first] = reader.push(buffer);
    encodeFrame({ ":event-type": "other" }, Buffer.from("two")).copy(buffer);
    const [second] = reader.push(buffer);
    expect([first!.headers.get(":event-type"), second!.headers.get(":event-type")]).toEqual(["chunk", "other"]);
  });

  it("throws at once when the fault is in the first frame, and again on every later push", () => {
    const reader = createFrameReader();
    const wrong = Buffer.alloc(16, 1);
    expect(() => reader.push(wrong)).toThrow(/upstream_stream_broken.*prelude/);
    expect(() => reader.push(encodeFrame({}, Buffer.alloc(0)))).toThrow(/upstream_stream_broken/);
    expect(reader.isAtBorder()).toBe(false);
  });

  const prelude = (frameBytes: number, headersBytes: number): Buffer => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32BE(frameBytes, 0);
    bytes.writeUInt32BE(headersBytes, 4);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8);
    bytes.writeUInt32BE(crc32(bytes.subarray(0, 12)), 12);
    return bytes;
  };
  it.each([
    ["a frame above the bound", prelude(frameBytesMax + 1, 0)],
    ["headers above the bound", prelude(frameBytesMax, frameHeadersBytesMax + 1)],
    ["headers longer than the frame", prelude(16, 1)],
    ["a frame shorter than its own parts", prelude(15, 0)],
    ["the length zero", prelude(0, 0)],
  ])("refuses %s before it waits for the rest", (_, bytes) => {
    expect(() => createFrameReader().push(bytes.subarray(0, 12))).toThrow(/upstream_stream_broken/);
  });

  it.each([
    ["an unknown type", "0161 0a"],
    ["a name that reaches beyond", "0561"],
    ["no type", "0161"],
    ["no length", "0161 07 00"],
    ["a value that reaches beyond", "0161 07 0002 61"],
    ["a number cut short", "0161 05 00000000"],
  ])("refuses headers with %s although every checksum is right", (_, hex) => {
    const frame = encodeFrame(Buffer.from(hex.replaceAll(" ", ""), "hex"), Buffer.from("x"));
    expect(() => createFrameReader().push(frame)).toThrow(/upstream_stream_broken/);
  });

  it("reads a frame of the largest size that came in many pieces", () => {
    const headers = encodeHeaders({ a: "b" });
    const payload = Buffer.alloc(frameBytesMax - 16 - headers.length, 7);
    const stream = encodeFrame(headers, payload);
    const reader = createFrameReader();
    const frames: Frame[] = [];
    for (let at = 0; at < stream.length; at += 65_536) frames.push(...reader.push(stream.subarray(at, at + 65_536)));
    expect(frames).toHaveLength(1);
    expect(frames[0]!.payload.equals(payload)).toBe(true);
  });
});

describe("encodeFrame", () => {
  it("writes what the oracle writes, byte for byte, and the oracle reads it", () => {
    fc.assert(
      fc.property(stringHeaders, bytesOf(300), (headers, payload) => {
        const tagged: MessageHeaders = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, { type: "string" as const, value }]));
        const frame = encodeFrame(headers, payload);
        expect(frame.equals(oracle.encode({ headers: tagged, body: payload }))).toBe(true);
        expect(encodeFrame(encodeHeaders(headers), payload).equals(frame)).toBe(true);
        const decoded = oracle.decode(frame);
        expect(decoded.headers).toEqual(tagged);
        expect(Buffer.from(decoded.body).equals(payload)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("refuses what no frame can carry", () => {
    expect(() => encodeHeaders({ ["x".repeat(256)]: "" })).toThrow(/too long/);
    expect(() => encodeHeaders({ "": "" })).toThrow(/too long/);
    expect(() => encodeHeaders({ a: "x".repeat(65_536) })).toThrow(/too long/);
    expect(() => encodeFrame(Buffer.alloc(frameHeadersBytesMax + 1), Buffer.alloc(0))).toThrow(/too long/);
    expect(() => encodeFrame({}, Buffer.alloc(frameBytesMax - 15))).toThrow(/too long/);
  });
});
