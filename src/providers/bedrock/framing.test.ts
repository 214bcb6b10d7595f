// Guarantee: Bedrock's frames become Anthropic's events with the very bytes of their JSON, at every cut of the stream; a frame that
// tells a fault ends it with a typed error after the events before it, and says nothing of accounts.
import { EventStreamCodec } from "@smithy/core/event-streams";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkFrame, exceptionFrame, frame } from "../../../test/support/fake-bedrock-frames.ts";
import { decodeEvents } from "../../wire/sse.ts";
import { unframe } from "./framing.ts";

const events = [
  '{"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":3}}}',
  '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ü \\"quoted\\" 🎈"}}',
  '{"index":0,"type":"content_block_stop"}',
  '{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":9,"invocationLatency":12,"firstByteLatency":7}}',
];
const asEvents = (list: readonly string[]): string => list.map((json) => `event: ${(JSON.parse(json) as { type: string }).type}\ndata: ${json}\n\n`).join("");

function read(parts: readonly Buffer[]): { readonly text: string; readonly code: string | undefined; readonly isAtBorder: boolean } {
  const unframer = unframe();
  let text = "";
  for (const part of parts) {
    const own = Buffer.from(part);
    const given = unframer.push(own);
    own.fill(0xee);
    text += given.toString();
  }
  return { text, code: unframer.fault()?.code, isAtBorder: unframer.isAtBorder() };
}

describe("frames", () => {
  it("that are whole and without a fault are told by their bytes, at every cut", () => {
    const good = Buffer.concat(events.map(chunkFrame));
    const borders = events.map((_, index) => Buffer.concat(events.slice(0, index + 1).map(chunkFrame)).length);
    const bytes = Buffer.concat([good, exceptionFrame("throttlingException", "slow down"), chunkFrame(events[0]!)]);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const unframer = unframe();
      unframer.push(bytes.subarray(0, cut));
      expect(unframer.wholeBytes()).toBe(borders.findLast((border) => border <= cut) ?? 0);
      unframer.push(bytes.subarray(cut));
      expect(unframer.wholeBytes()).toBe(good.length);
    }
  });

  it("become events at every cut", () => {
    const bytes = Buffer.concat(events.map(chunkFrame));
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(read([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual({ text: asEvents(events), code: undefined, isAtBorder: true });
    }
    expect(read([...bytes].map((byte) => Buffer.of(byte))).text).toBe(asEvents(events));
  });

  it("are the ones that AWS's own codec makes", () => {
    const codec = new EventStreamCodec((bytes) => (typeof bytes === "string" ? bytes : Buffer.from(bytes).toString()), (text) => Buffer.from(text));
    const headers = { ":event-type": { type: "string" as const, value: "chunk" }, ":message-type": { type: "string" as const, value: "event" }, ":content-type": { type: "string" as const, value: "application/json" } };
    const bytes = Buffer.concat(events.map((json) => codec.encode({ headers, body: Buffer.from(JSON.stringify({ bytes: Buffer.from(json).toString("base64") })) })));
    expect(read([bytes]).text).toBe(asEvents(events));
  });

  it("keep the JSON's own bytes, whatever its spacing and order, on one line", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom("a", "delta", "é"), fc.jsonValue()), fc.constantFrom(0, 2), fc.boolean(), (rest, indent, isFirst) => {
        const json = JSON.stringify(isFirst ? { type: "ping", ...rest } : { ...rest, type: "ping" }, null, indent);
        const { text } = read([chunkFrame(json)]);
        expect(text).toBe(`event: ping\ndata: ${json.replaceAll("\n", " ")}\n\n`);
        expect(JSON.parse(decodeEvents(Buffer.from(text))[0]!.data)).toEqual(JSON.parse(json));
      }),
    );
  });

  it("in runs give what each gives alone, in any mixture and at any cut, up to the first fault", () => {
    const plain = frame({ ":event-type": "chunk", ":message-type": "event", ":content-type": "application/json" }, Buffer.from(JSON.stringify({ bytes: Buffer.from(events[1]!).toString("base64") })));
    const kinds = [
      ...events.map(chunkFrame),
      plain,
      chunkFrame('{\n "type": "ping",\r\n "a": 1}'),
      chunkFrame('{"keepalive":true}'),
      frame({ ":message-type": "event", ":event-type": "initial-response" }, Buffer.from("{}")),
      chunkFrame('{"type":"a"'),
      exceptionFrame("throttlingException", "slow down"),
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...kinds, ...kinds.slice(0, 5), ...kinds.slice(0, 5)), { minLength: 1, maxLength: 12 }), fc.array(fc.nat(), { maxLength: 6 }), fc.option(fc.nat()), (chosen, cuts, flip) => {
        const stream = Buffer.concat(chosen);
        let wanted = "";
        let code: string | undefined;
        let at = 0;
        const flipAt = flip === null ? undefined : flip % stream.length;
        if (flipAt !== undefined) stream[flipAt]! ^= 1;
        for (const one of chosen) {
          const isFlipped = flipAt !== undefined && flipAt >= at && flipAt < at + one.length;
          const alone = isFlipped ? { text: "", code: "upstream_stream_broken" } : read([one]);
          at += one.length;
          wanted += alone.text;
          code = alone.code;
          if (code !== undefined) break;
        }
        const borders = [...new Set([0, ...cuts.map((cut) => cut % stream.length), stream.length])].toSorted((a, b) => a - b);
        const got = read(borders.slice(1).map((border, index) => stream.subarray(borders[index], border)));
        expect(got.text).toBe(wanted);
        // A flipped length may leave the reader waiting for a frame that never comes; at the end that is no border.
        expect(got.code ?? (got.isAtBorder ? undefined : "upstream_stream_broken")).toBe(code);
      }),
      { numRuns: 400 },
    );
  });

  it("without an event of Anthropic's are stepped over", () => {
    const others = [frame({ ":message-type": "event", ":event-type": "initial-response" }, Buffer.from("{}")), chunkFrame('{"keepalive":true}')];
    expect(read([Buffer.concat([...others, chunkFrame(events[0]!)])])).toEqual({ text: asEvents([events[0]!]), code: undefined, isAtBorder: true });
  });

  it.each(["{", "[]", '"x"', '{"type":"a"', ""])("with %j for an event break the stream", (json) => {
    expect(read([Buffer.concat([chunkFrame(events[0]!), chunkFrame(json), chunkFrame(events[1]!)])])).toMatchObject({ text: asEvents([events[0]!]), code: "upstream_stream_broken", isAtBorder: false });
  });

  it("with a wrong checksum break the stream after what came before", () => {
    const bytes = Buffer.concat(events.map(chunkFrame));
    bytes[bytes.length - 20]! ^= 1;
    expect(read([bytes, chunkFrame(events[0]!)])).toMatchObject({ text: asEvents(events.slice(0, 3)), code: "upstream_stream_broken", isAtBorder: false });
  });
});

describe("exception frames", () => {
  it.each([
    ["throttlingException", 429, "rate_limit_error", "upstream_refused"],
    ["serviceUnavailableException", 529, "overloaded_error", "upstream_refused"],
    ["modelTimeoutException", 504, "timeout_error", "upstream_refused"],
    ["modelStreamErrorException", 502, "api_error", "upstream_refused"],
    ["internalServerException", 500, "api_error", "upstream_refused"],
    ["validationException", 400, "invalid_request_error", "upstream_refused"],
    ["somethingNewException", 502, "api_error", "upstream_stream_broken"],
  ])("%s is told as %i %s", (name, status, type, code) => {
    const unframer = unframe();
    const secretWords = "arn:aws:bedrock:us-east-1:123456789012:foo at 10.0.0.1";
    const given = unframer.push(Buffer.concat([chunkFrame(events[0]!), exceptionFrame(name, secretWords), chunkFrame(events[1]!)]));
    const fault = unframer.fault()!;
    expect([given.toString(), fault.code, fault.spec.status, fault.spec.type]).toEqual([asEvents([events[0]!]), code, status, type]);
    expect(fault.spec.text).not.toMatch(/arn:|\d{12}|10\.0/);
    expect(fault.details.internal).toBe(`event stream: ${name}`);
    expect([unframer.push(chunkFrame(events[1]!)).length, unframer.isAtBorder()]).toEqual([0, false]);
  });

  it("of validation keep the words that a client heals by", () => {
    const unframer = unframe();
    unframer.push(exceptionFrame("validationException", "Input is too long for requested model."));
    expect(unframer.fault()!.spec.text).toBe("Input is too long for requested model. (capability_rejected: prompt_too_long)");
  });

  it("may be of the kind without a model, an error", () => {
    const unframer = unframe();
    unframer.push(frame({ ":message-type": "error", ":error-code": "internalServerException", ":error-message": "oh" }, Buffer.alloc(0)));
    expect(unframer.fault()!.spec.status).toBe(500);
  });
});
