/**
 * Server-sent events as bytes (https://html.spec.whatwg.org/multipage/server-sent-events.html, checked 2026-11). Splits a
 * byte stream at event borders without decoding it, so that only whole events travel on and a ping or an error can
 * always be put between two of them; and decodes single events where somebody must read one.
 */
import { eventTailBytesMax } from "../kernel/bounds.ts";

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const dataField = Buffer.from("data:");

/** Cuts a stream into runs of whole events. One per stream. */
export interface EventSplitter {
  /**
   * @param chunk any cut of the stream; not changed
   * @returns bytes up to the last event border seen so far, possibly empty; concatenated over all calls, and with
   *   `finish()`, they are the stream
   */
  push(chunk: Buffer): Buffer;
  /**
   * At the end of the stream: what was held back. `whole` is true when it ends with a blank line after all, which a lone
   * CR could not tell before.
   */
  finish(): { readonly bytes: Buffer; readonly isWhole: boolean };
  /** False only after a single event exceeded {@link eventTailBytesMax} and was passed on in parts. */
  isAtBorder(): boolean;
}

const empty = Buffer.alloc(0);

export function createEventSplitter(): EventSplitter {
  let tail: Buffer = empty;
  let isAtBorder = true;
  return {
    push(chunk) {
      const bytes = tail.length === 0 ? chunk : Buffer.concat([tail, chunk], tail.length + chunk.length);
      const border = lastBorder(bytes);
      if (border === bytes.length) {
        tail = empty;
        isAtBorder = true;
        return bytes;
      }
      if (bytes.length - border > eventTailBytesMax) {
        tail = empty;
        isAtBorder = false;
        return bytes;
      }
      // Copied, so that a few held bytes do not keep a whole socket buffer alive.
      tail = Buffer.from(bytes.subarray(border));
      if (border > 0) isAtBorder = true;
      return bytes.subarray(0, border);
    },
    finish: () => ({ bytes: tail, isWhole: tail.length === 0 || /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))$/.test(tail.toString("latin1", Math.max(0, tail.length - 4))) }),
    isAtBorder: () => isAtBorder,
  };
}

/** Offset just past the last blank line, 0 when there is none. A lone CR at the very end is not yet a line end. */
function lastBorder(bytes: Buffer): number {
  for (let at = bytes.length - 1; at >= 1; at--) {
    const byte = bytes[at];
    if (byte === lineFeed) {
      const before = bytes[at - 1];
      if (before === lineFeed) return at + 1;
      if (before === carriageReturn && at >= 2 && (bytes[at - 2] === lineFeed || bytes[at - 2] === carriageReturn)) return at + 1;
    } else if (byte === carriageReturn && at + 1 < bytes.length && bytes[at + 1] !== lineFeed) {
      const before = bytes[at - 1];
      if (before === lineFeed || before === carriageReturn) return at + 1;
    }
  }
  return 0;
}

/** One decoded event. `event` is `message` when the field was absent; `data` joins its lines with LF. */
export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

/** Decodes whole events, as {@link EventSplitter} gives them. Comments and events without data are left out, as the specification says. */
export function decodeEvents(bytes: Buffer): readonly ServerSentEvent[] {
  const events: ServerSentEvent[] = [];
  let event = "";
  let data: string[] = [];
  let text = bytes.toString("utf8");
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
  const lines = text.split(/\r\n|\n|\r/);
  // What follows the last line end is no line yet.
  lines.pop();
  for (const line of lines) {
    if (line === "") {
      if (data.length > 0) events.push({ event: event === "" ? "message" : event, data: data.join("\n") });
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
  return events;
}

function joinedData(events: Buffer): readonly Buffer[] {
  return decodeEvents(events).map(({ data }) => Buffer.from(data));
}

/** The `data` of each whole event, as views of its bytes where it is one line, as Anthropic's always is. */
export function dataLines(events: Buffer): readonly Buffer[] {
  if (events.includes(carriageReturn)) return joinedData(events);
  const found: Buffer[] = [];
  let at = 0;
  let wasData = false;
  while (at < events.length) {
    const lineEnd = events.indexOf(lineFeed, at);
    const end = lineEnd === -1 ? events.length : lineEnd;
    const isData = end > at + dataField.length && dataField.compare(events, at, at + dataField.length) === 0;
    if (isData) {
      if (wasData) return joinedData(events);
      const from = events[at + 5] === 0x20 ? at + 6 : at + 5;
      found.push(events.subarray(from, end));
    }
    wasData = isData;
    at = end + 1;
  }
  return found;
}

/** One event as bytes. `data` must not hold a line break, which JSON text never does. */
export function encodeEvent(event: string, data: string): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${data}\n\n`);
}
