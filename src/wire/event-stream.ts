/**
 * AWS event stream frames, `application/vnd.amazon.eventstream`, both ways. A frame is: total length, headers length, CRC-32 of
 * these two, headers, payload, CRC-32 of all before it; numbers are big-endian and unsigned
 * (https://smithy.io/2.0/aws/amazon-eventstream.html and smithy-lang/smithy-typescript, packages/core, submodule event-streams,
 * checked 2026-11). Knows nothing of what the frames mean.
 */
import { crc32 } from "node:zlib";
import { assert } from "../kernel/assert.ts";
import { GatewayError } from "../kernel/gateway-error.ts";

/** A frame longer than this is refused as soon as its prelude is read. */
export const frameBytesMax = 16 * 1024 * 1024;
/** Headers of a frame beyond this are refused likewise. */
export const frameHeadersBytesMax = 128 * 1024;

const preludeBytes = 12;
const checksumBytes = 4;
const stringType = 7;

/** One frame, its checksums right. */
export interface Frame {
  /** Headers whose value is a string, by name as received, such as `:message-type`. Those of other types are stepped over. */
  readonly headers: ReadonlyMap<string, string>;
  /** A view: of the bytes given to `push`, or of a buffer of the frame's own. Copy it to keep it beyond those bytes' life. */
  readonly payload: Buffer;
  /** Length of the whole frame. */
  readonly frameBytes: number;
}

/** Reads frames out of a stream, cut anywhere. One per stream. */
export interface FrameReader {
  /**
   * @param bytes any cut of the stream; not changed. What is not yet a whole frame is copied.
   * @returns the frames that became whole, in order, possibly none. A fault behind whole frames is thrown by the next call, so
   *   that the same frames come out at any cut; {@link FrameReader.isAtBorder} is false from then on.
   * @throws GatewayError `upstream_stream_broken` for bytes that are no frame; every later call throws it again
   */
  push(bytes: Buffer): readonly Frame[];
  /** True when the stream may end here: nothing of a frame is held, and none was broken. */
  isAtBorder(): boolean;
}

const none: readonly Frame[] = [];

export function createFrameReader(): FrameReader {
  /** The frame that has begun: its prelude first, then, once its length is known, a buffer for all of it. */
  let held: Buffer | undefined;
  let heldBytes = 0;
  let fault: GatewayError | undefined;
  const readHeaders = createHeadersReader();

  /** Copies what the held frame lacks. Gives the offset just past it in `bytes`. */
  const fill = (bytes: Buffer, at: number, wantedBytes: number): number => {
    const end = Math.min(bytes.length, at + wantedBytes - heldBytes);
    heldBytes += bytes.copy(held!, heldBytes, at, end);
    return end;
  };
  const decode = (frame: Buffer): Frame => {
    const end = frame.length - checksumBytes;
    if (crc32(frame.subarray(0, end)) !== frame.readUInt32BE(end)) throw broken("the checksum of a frame is wrong");
    const headersEnd = preludeBytes + frame.readUInt32BE(4);
    return { headers: readHeaders(frame.subarray(preludeBytes, headersEnd)), payload: frame.subarray(headersEnd, end), frameBytes: frame.length };
  };
  const read = (bytes: Buffer, frames: Frame[]): void => {
    let at = 0;
    while (at < bytes.length) {
      if (held === undefined) {
        const rest = bytes.length - at;
        const frameBytes = rest < preludeBytes ? undefined : checkedLength(bytes, at);
        if (frameBytes !== undefined && rest >= frameBytes) {
          frames.push(decode(bytes.subarray(at, at + frameBytes)));
          at += frameBytes;
          continue;
        }
        held = Buffer.allocUnsafe(frameBytes ?? preludeBytes);
        heldBytes = 0;
      }
      if (heldBytes < preludeBytes) {
        at = fill(bytes, at, preludeBytes);
        if (heldBytes < preludeBytes) return;
        const whole = Buffer.allocUnsafe(checkedLength(held, 0));
        held.copy(whole, 0, 0, preludeBytes);
        held = whole;
      }
      at = fill(bytes, at, held.length);
      if (heldBytes < held.length) return;
      frames.push(decode(held));
      held = undefined;
    }
  };

  return {
    push(bytes) {
      if (fault !== undefined) throw fault;
      if (bytes.length === 0) return none;
      const frames: Frame[] = [];
      try {
        read(bytes, frames);
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        fault = error;
        held = undefined;
        if (frames.length === 0) throw error;
      }
      return frames;
    },
    isAtBorder: () => held === undefined && fault === undefined,
  };
}

/** The whole frame's length, from a prelude whose checksum and bounds are right. */
function checkedLength(bytes: Buffer, at: number): number {
  if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32BE(at + 8)) throw broken("the checksum of a frame's prelude is wrong");
  const frameBytes = bytes.readUInt32BE(at);
  const headersBytes = bytes.readUInt32BE(at + 4);
  if (frameBytes > frameBytesMax) throw broken(`a frame of ${frameBytes} bytes is longer than the bound`);
  if (headersBytes > frameHeadersBytesMax) throw broken(`a frame's headers of ${headersBytes} bytes are longer than the bound`);
  if (frameBytes < preludeBytes + headersBytes + checksumBytes) throw broken("a frame's length leaves no room for its headers");
  return frameBytes;
}

/** The frames of a stream mostly carry the same headers over and over, so the last ones read are kept and compared as bytes. */
function createHeadersReader(): (bytes: Buffer) => ReadonlyMap<string, string> {
  let lastBytes: Buffer = Buffer.alloc(0);
  let last: ReadonlyMap<string, string> = new Map();
  return (bytes) => {
    if (bytes.equals(lastBytes)) return last;
    last = parseHeaders(bytes);
    lastBytes = Buffer.from(bytes);
    return last;
  };
}

/** Bytes of a value by its type's number: true, false, byte, short, integer, long, (bytes, string: told in front), timestamp, UUID. */
const valueBytes: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16];

function parseHeaders(bytes: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  let at = 0;
  const step = (count: number): number => {
    const start = at;
    at += count;
    if (at > bytes.length) throw broken("a frame's header reaches beyond the headers");
    return start;
  };
  while (at < bytes.length) {
    const nameBytes = bytes[step(1)]!;
    const nameStart = step(nameBytes);
    const nameEnd = at;
    const type = bytes[step(1)]!;
    if (type >= valueBytes.length) throw broken(`a frame's header has the unknown type ${type}`);
    const start = step(valueBytes[type] ?? bytes.readUInt16BE(step(2)));
    if (type === stringType) headers.set(bytes.toString("utf8", nameStart, nameEnd), bytes.toString("utf8", start, at));
  }
  return headers;
}

function broken(what: string): GatewayError {
  return new GatewayError("upstream_stream_broken", { internal: `event stream: ${what}` });
}

/**
 * String headers as a frame carries them, in the order given. Kept by the caller where many frames have the same ones.
 *
 * @param headers name (1 to 255 bytes) → value (up to 65 535 bytes)
 */
export function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const nameBytes = Buffer.byteLength(name);
    const textBytes = Buffer.byteLength(value);
    assert(nameBytes >= 1 && nameBytes <= 0xff && textBytes <= 0xffff, "an event stream header is too long");
    const part = Buffer.allocUnsafe(1 + nameBytes + 3 + textBytes);
    part[0] = nameBytes;
    part.write(name, 1);
    part[1 + nameBytes] = stringType;
    part.writeUInt16BE(textBytes, 2 + nameBytes);
    part.write(value, 4 + nameBytes);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/**
 * One frame as bytes, in a buffer of its own.
 *
 * @param headers string headers, or what {@link encodeHeaders} made of them
 */
export function encodeFrame(headers: Readonly<Record<string, string>> | Buffer, payload: Buffer): Buffer {
  const head = Buffer.isBuffer(headers) ? headers : encodeHeaders(headers);
  const frameBytes = preludeBytes + head.length + payload.length + checksumBytes;
  assert(frameBytes <= frameBytesMax && head.length <= frameHeadersBytesMax, "an event stream frame is too long");
  const frame = Buffer.allocUnsafe(frameBytes);
  frame.writeUInt32BE(frameBytes, 0);
  frame.writeUInt32BE(head.length, 4);
  frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8);
  head.copy(frame, preludeBytes);
  payload.copy(frame, preludeBytes + head.length);
  frame.writeUInt32BE(crc32(frame.subarray(0, frameBytes - checksumBytes)), frameBytes - checksumBytes);
  return frame;
}
