/**
 * Bedrock's binary event stream as Anthropic's server-sent events. A `chunk` frame holds `{"bytes": <base64 of one event's JSON>}`;
 * an exception frame ends the stream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html,
 * checked 2026-11). The JSON's own bytes are passed on, so `amazon-bedrock-invocationMetrics` in the last event stays: clients and
 * the observer look members up by name.
 */
import { crc32 } from "node:zlib";
import { isGatewayError, GatewayError } from "../../kernel/gateway-error.ts";
import { createFrameReader, type Frame } from "../../wire/event-stream.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import type { Unframer } from "../provider.ts";
import { exceptionFault } from "./failures.ts";

const empty = Buffer.alloc(0);
const lineEnd = Buffer.from("\n\n");
const bytesMember = '{"bytes":"';
const typeMember = '{"type":"';
const chunkWord = Buffer.from("chunk");
const eventWord = Buffer.from("event");
const quote = 0x22;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const closeBrace = 0x7d;
const heads = new Map<string, Buffer>();
/** Distinct event names whose first line is kept ready; Anthropic has about ten. */
const headsMax = 64;

export function unframe(): Unframer {
  const reader = createFrameReader();
  const quick = createQuickReader();
  let fault: GatewayError | undefined;
  let wholeBytes = 0;
  const slowly = (bytes: Buffer, pieces: Buffer[]): void => {
    for (const frame of reader.push(bytes)) {
      fault = read(frame, pieces);
      if (fault !== undefined) return;
      wholeBytes += frame.frameBytes;
    }
  };
  return {
    push(bytes) {
      const pieces: Buffer[] = [];
      try {
        for (let at = 0; at < bytes.length && fault === undefined; ) {
          const length = reader.isAtBorder() ? wholeFrameLength(bytes, at) : undefined;
          if (length === undefined) {
            slowly(bytes.subarray(at), pieces);
            break;
          }
          const run = quick.read(bytes, at);
          if (run.events.length > 0) pieces.push(run.events);
          wholeBytes += run.end - at;
          at = run.end;
          if (at === bytes.length) break;
          const next = wholeFrameLength(bytes, at);
          if (next === undefined) continue;
          // A frame of another kind: read with all checks, and known from then on if it holds an event too.
          slowly(bytes.subarray(at, at + next), pieces);
          if (reader.isAtBorder()) quick.learn(bytes, at);
          at += next;
        }
      } catch (error) {
        if (!isGatewayError(error)) throw error;
        fault = error;
      }
      return pieces.length === 0 ? empty : pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    },
    fault: () => fault,
    wholeBytes: () => wholeBytes,
    isAtBorder: () => fault === undefined && reader.isAtBorder(),
  };
}

const preludeBytes = 12;
const checksumBytes = 4;

/** By what the frame says itself; undefined when it is not whole here, or says something impossible. */
function wholeFrameLength(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < preludeBytes + checksumBytes) return undefined;
  const length = bytes.readUInt32BE(at);
  return length < preludeBytes + checksumBytes || length > bytes.length - at ? undefined : length;
}

/**
 * Reads runs of like frames, which is what a stream is made of, at a third of the cost: the message's checksum covers the
 * prelude too, headers are compared as bytes with those of a frame that was read in full, and base64 is decoded straight into
 * the event's place. Whatever is not as expected ends the run and is read the slow way, with every check.
 */
function createQuickReader(): { read(bytes: Buffer, start: number): { readonly end: number; readonly events: Buffer }; learn(bytes: Buffer, at: number): void } {
  let chunkHeaders: Buffer | undefined;
  let guessed: KnownType = knownType("content_block_delta");
  return {
    learn(bytes, at) {
      const headers = bytes.subarray(at + preludeBytes, at + preludeBytes + bytes.readUInt32BE(at + 4));
      if (headers.includes(chunkWord) && headers.includes(eventWord)) chunkHeaders = Buffer.from(headers);
    },
    read(bytes, start) {
      let at = start;
      if (chunkHeaders === undefined) return { end: at, events: empty };
      // An event is shorter than its frame: a third of the base64, and more in headers than its own first line has.
      const out = Buffer.allocUnsafe(bytes.length - start + 256);
      let size = 0;
      for (;;) {
        const length = wholeFrameLength(bytes, at);
        if (length === undefined) break;
        const payload = at + preludeBytes + chunkHeaders.length;
        const end = at + length - checksumBytes;
        if (end - payload < 12 || bytes.readUInt32BE(at + 4) !== chunkHeaders.length || chunkHeaders.compare(bytes, at + preludeBytes, payload) !== 0) break;
        if (bytes.readUInt32BE(payload) !== 0x7b226279 || bytes.readUInt32BE(payload + 4) !== 0x74657322 || bytes.readUInt16BE(payload + 8) !== 0x3a22) break;
        const textEnd = bytes.indexOf(quote, payload + bytesMember.length);
        if (textEnd === -1 || textEnd >= end || (textEnd - payload - bytesMember.length) % 4 !== 0) break;
        if (crc32(bytes.subarray(at, end)) !== bytes.readUInt32BE(end)) break;
        const text = bytes.toString("latin1", payload + bytesMember.length, textEnd);
        let json = size + guessed.head.length;
        let jsonEnd = json + out.write(text, json, "base64");
        if (guessed.start.compare(out, json, json + guessed.start.length) !== 0) {
          const type = eventType(out.subarray(json, jsonEnd));
          if (type === undefined || type === "broken") break;
          guessed = knownType(type);
          json = size + guessed.head.length;
          jsonEnd = json + out.write(text, json, "base64");
        }
        const decodedBytes = (text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
        guessed.head.copy(out, size);
        out[jsonEnd] = lineFeed;
        out[jsonEnd + 1] = lineFeed;
        if (jsonEnd - json !== decodedBytes || out[jsonEnd - 1] !== closeBrace || out.indexOf(lineFeed, json) !== jsonEnd) break;
        size = jsonEnd + 2;
        at += length;
      }
      const events = out.subarray(0, size);
      // A line break of the other kind inside an event is rare enough to read the whole run again.
      return events.includes(carriageReturn) ? { end: start, events: empty } : { end: at, events };
    },
  };
}

/** First line of an event of a type, and how its JSON begins. */
interface KnownType {
  readonly head: Buffer;
  readonly start: Buffer;
}

function knownType(type: string): KnownType {
  return { head: headFor(type), start: Buffer.from(`${typeMember}${type}"`) };
}

/** Adds the frame's event, if it has one, and gives the fault it tells, if it tells one. */
function read({ headers, payload }: Frame, pieces: Buffer[]): GatewayError | undefined {
  const messageType = headers.get(":message-type");
  if (messageType === "exception") return exceptionFault(headers.get(":exception-type") ?? "", payload);
  if (messageType === "error") return exceptionFault(headers.get(":error-code") ?? "", Buffer.from(JSON.stringify({ message: headers.get(":error-message") ?? "" })));
  if (headers.get(":event-type") !== "chunk") return undefined;
  const json = eventJson(payload);
  const type = json === undefined ? undefined : eventType(json);
  if (json === undefined || type === "broken") return new GatewayError("upstream_stream_broken", { internal: "event stream: a chunk holds no JSON" });
  // A chunk without a type is a sign of life of some proxy.
  if (type !== undefined) pieces.push(headFor(type), onOneLine(json), lineEnd);
  return undefined;
}

function eventJson(payload: Buffer): Buffer | undefined {
  const text = payload.toString("latin1");
  if (text.startsWith(bytesMember)) {
    const end = text.indexOf('"', bytesMember.length);
    // Base64 needs no escapes, but JSON may escape a slash.
    if (end !== -1 && !text.slice(bytesMember.length, end).includes("\\")) return Buffer.from(text.slice(bytesMember.length, end), "base64");
  }
  try {
    const bytes = (JSON.parse(payload.toString("utf8")) as { bytes?: unknown } | null)?.bytes;
    return typeof bytes === "string" ? Buffer.from(bytes, "base64") : undefined;
  } catch {
    return undefined;
  }
}

/** The event's name, undefined when it has none, `broken` when this is no JSON object. */
function eventType(json: Buffer): string | undefined {
  const start = json.toString("latin1", 0, 64);
  if (start.startsWith(typeMember)) {
    const end = start.indexOf('"', typeMember.length);
    const name = end === -1 ? "" : start.slice(typeMember.length, end);
    if (/^\w+$/.test(name) && json.at(-1) === 0x7d) return name;
  }
  const members = scanMembers(json);
  if (isProblem(members)) return "broken";
  const member = members.get("type");
  const value: unknown = member === undefined ? undefined : JSON.parse(json.toString("utf8", member.valueStart, member.valueEnd));
  return typeof value === "string" && /^[\w.-]{1,64}$/.test(value) ? value : undefined;
}

function headFor(type: string): Buffer {
  const known = heads.get(type);
  if (known !== undefined) return known;
  const head = Buffer.from(`event: ${type}\ndata: `);
  if (heads.size < headsMax) heads.set(type, head);
  return head;
}

/** A line break in JSON stands between its parts only, where a space means the same and does not end the line. */
function onOneLine(json: Buffer): Buffer {
  if (!json.includes(0x0a) && !json.includes(0x0d)) return json;
  return Buffer.from(json.map((byte) => (byte === 0x0a || byte === 0x0d ? 0x20 : byte)));
}
