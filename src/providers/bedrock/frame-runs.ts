/**
 * Reads runs of like frames, which is what a stream is made of, at a fraction of the usual cost: headers are compared with those of a
 * frame that was read in full, base64 is decoded straight into the event's place, and one pass checks all checksums of the run.
 * Whatever is not as expected ends the run or voids it, and is read the slow way, with every check.
 */
import { crc32 } from "node:zlib";
import { decodeBase64, decodedBytes } from "../../wire/base64.ts";
import { checksumWithTrailer, joinedChecksum } from "../../wire/joined-checksum.ts";
import { eventHead, eventType } from "./event-head.ts";

const empty = Buffer.alloc(0);
const preludeBytes = 12;
const checksumBytes = 4;
const chunkWord = Buffer.from("chunk");
const eventWord = Buffer.from("event");
const payloadStart = Buffer.from('{"bytes":"');
const quote = 0x22;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const closeBrace = 0x7d;

/** By what the frame says itself; undefined when it is not whole here, or says something impossible. */
export function wholeFrameBytes(bytes: Buffer, at: number): number | undefined {
  if (bytes.length - at < preludeBytes + checksumBytes) return undefined;
  const length = bytes.readUInt32BE(at);
  return length < preludeBytes + checksumBytes || length > bytes.length - at ? undefined : length;
}

export interface Run {
  /** Offset behind its last frame. */
  readonly end: number;
  /** Server-sent events; empty where there is no run. */
  readonly events: Buffer;
}

export interface RunReader {
  read(bytes: Buffer, start: number): Run;
  /** Frames with headers like the one at `at`, which was found sound, belong to runs from now on, if it holds an event. */
  learn(bytes: Buffer, at: number): void;
}

/** Of the frame read in full last: streams are alike, so a new one need not begin with such a frame. */
let lastOpening: Opening | undefined;
let lastHeaders = empty;

export function createRunReader(): RunReader {
  let opening = lastOpening;
  let guessed = knownType("content_block_delta");

  /** Adds the event whose text begins at `start`, if it is a plain one. */
  const append = (assembly: Assembly, bytes: Buffer, start: number, limit: number): boolean => {
    const { out, view, size } = assembly;
    let json = size + guessed.head.length;
    const end = decodeBase64(bytes, start, limit, out, json);
    let jsonEnd = json + decodedBytes(bytes, start, end);
    if (bytes[end] !== quote || out[jsonEnd - 1] !== closeBrace) return false;
    if (!matches(view, json, guessed.start)) {
      const type = eventType(out.subarray(json, jsonEnd));
      if (type === undefined || type === "broken") return false;
      guessed = knownType(type);
      out.copyWithin(size + guessed.head.length, json, jsonEnd);
      jsonEnd += size + guessed.head.length - json;
      json = size + guessed.head.length;
    }
    out.set(guessed.head, size);
    out[jsonEnd] = space;
    out[jsonEnd + 1] = space;
    lineEnds[assembly.lines++] = size + guessed.lineEnd;
    lineEnds[assembly.lines++] = jsonEnd;
    lineEnds[assembly.lines++] = jsonEnd + 1;
    assembly.size = jsonEnd + 2;
    return true;
  };

  return {
    learn(bytes, at) {
      const headers = bytes.subarray(at + preludeBytes, at + preludeBytes + bytes.readUInt32BE(at + 4));
      if (headers.includes(chunkWord) && headers.includes(eventWord)) opening = openingOf(headers);
    },
    read(bytes, start) {
      if (opening === undefined) return { end: start, events: empty };
      const view = viewOf(bytes);
      // An event is shorter than its frame: a third of the base64, and more in headers than its own first line has.
      const assembly = assemblyOf(bytes.length - start + 256);
      let checksum = 0;
      let at = start;
      for (;;) {
        const frameBytes = wholeFrameBytes(bytes, at);
        if (frameBytes === undefined || !opens(view, at, frameBytes, opening)) break;
        const end = at + frameBytes - checksumBytes;
        if (!append(assembly, bytes, at + preludeBytes + opening.pattern.length, end)) break;
        checksum = joinedChecksum(checksum, checksumWithTrailer(view.getInt32(end)), frameBytes);
        at += frameBytes;
      }
      // A frame with a wrong checksum, and a line break inside an event, are rare enough to read the whole run again.
      const events = checksum >>> 0 === crc32(bytes.subarray(start, at)) ? onItsLines(assembly) : undefined;
      return events === undefined ? { end: start, events: empty } : { end: at, events };
    },
  };
}

/** Events put together so far. The ends of their lines are spaces until it is known that no event holds one of its own. */
interface Assembly {
  readonly out: Buffer;
  readonly view: DataView;
  size: number;
  lines: number;
}

/** For as long as one read takes: events are about half as long as their frames, and come in buffers of their own length. */
let scratch = Buffer.alloc(0);
let scratchView = viewOf(scratch);
/** Offsets in it, as many as there are lines. */
const lineEnds: number[] = [];

function assemblyOf(bytesMax: number): Assembly {
  if (scratch.length < bytesMax) {
    scratch = Buffer.allocUnsafeSlow(bytesMax);
    scratchView = viewOf(scratch);
  }
  return { out: scratch, view: scratchView, size: 0, lines: 0 };
}

function onItsLines({ out, size, lines }: Assembly): Buffer | undefined {
  if (size === 0) return empty;
  const events = Buffer.allocUnsafe(size);
  out.copy(events, 0, 0, size);
  if (events.includes(lineFeed) || events.includes(carriageReturn)) return undefined;
  for (let line = 0; line < lines; line++) events[lineEnds[line]!] = lineFeed;
  return events;
}

/** Headers of a frame that holds an event, and how its payload begins. */
interface Opening {
  readonly headersBytes: number;
  readonly pattern: Pattern;
}

function openingOf(headers: Buffer): Opening {
  if (lastOpening === undefined || !headers.equals(lastHeaders)) {
    lastHeaders = Buffer.from(headers);
    lastOpening = { headersBytes: headers.length, pattern: patternOf(Buffer.concat([headers, payloadStart])) };
  }
  return lastOpening;
}

function opens(view: DataView, at: number, frameBytes: number, { headersBytes, pattern }: Opening): boolean {
  return frameBytes >= preludeBytes + pattern.length + checksumBytes && view.getUint32(at + 4) === headersBytes && matches(view, at + preludeBytes, pattern);
}

/** First line of an event of a type, and how its JSON begins. */
interface KnownType {
  /** With a space for the line's end. */
  readonly head: Buffer;
  readonly lineEnd: number;
  readonly start: Pattern;
}

const knownTypes = new Map<string, KnownType>();
/** Distinct event names that are kept ready; Anthropic has about ten. */
const knownTypesMax = 64;

function knownType(type: string): KnownType {
  const known = knownTypes.get(type);
  if (known !== undefined) return known;
  const head = Buffer.from(eventHead(type));
  const lineEnd = head.indexOf(lineFeed);
  head[lineEnd] = space;
  const made = { head, lineEnd, start: patternOf(Buffer.from(`{"type":"${type}"`)) };
  if (knownTypes.size < knownTypesMax) knownTypes.set(type, made);
  return made;
}

/** Bytes to look for at one place; a comparison word by word is cheaper than a call of the runtime's. */
interface Pattern {
  readonly length: number;
  /** Groups of four bytes, big-endian, as far as they go. */
  readonly words: Int32Array;
  /** The bytes behind them. */
  readonly rest: Buffer;
}

function patternOf(bytes: Buffer): Pattern {
  const words = Int32Array.from({ length: bytes.length >>> 2 }, (_, index) => bytes.readInt32BE(4 * index));
  return { length: bytes.length, words, rest: bytes.subarray(4 * words.length) };
}

/** There must be as many bytes behind `at`. */
function matches(view: DataView, at: number, { words, rest }: Pattern): boolean {
  for (let index = 0; index < words.length; index++) if (view.getInt32(at + 4 * index) !== words[index]) return false;
  const restAt = at + 4 * words.length;
  for (let index = 0; index < rest.length; index++) if (view.getUint8(restAt + index) !== rest[index]) return false;
  return true;
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
