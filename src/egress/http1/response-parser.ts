/**
 * Reads HTTP/1.1 responses (RFC 9112) out of a connection's bytes. Strict, because lenient framing is how one client's reply
 * ends up with another: whatever two parsers could read differently is a fault that closes the connection. Pure: bytes in,
 * calls out, no socket.
 */

/** Takes what was read. Calls come in order: `head`, any number of `body`, `end`; nothing after a fault. */
export interface ResponseSink {
  /** The head of a final response; informational ones are skipped. `headers` is flat: name, value, … */
  head(status: number, headers: string[]): void;
  /** Body bytes without their framing. All of one read come as one piece. */
  body(bytes: Buffer): void;
  /** @param mayReuse the connection is at a clean border and the upstream keeps it open */
  end(mayReuse: boolean): void;
}

export interface ResponseParser {
  /**
   * @param bytes owned by the parser from now on: body pieces are moved together in place
   * @returns a sentence about the first fault; the connection must be closed then
   */
  push(bytes: Buffer): string | undefined;
  /**
   * The connection has ended.
   *
   * @returns undefined when that ends the response properly, else the fault
   */
  finish(): string | undefined;
  /** The final response's head has been read. */
  hasHead(): boolean;
}

const headBytesMax = 64 * 1024;
const headerCountMax = 256;
const chunkLineBytesMax = 256;
const trailerBytesMax = 16 * 1024;
const headEnd = Buffer.from("\r\n\r\n");
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

type State = "head" | "length" | "until-close" | "chunk-size" | "chunk-data" | "chunk-end" | "trailers" | "done";

/** A parser for one response; `isHead` for requests whose response has no body. */
export function createResponseParser(sink: ResponseSink, isHead: boolean): ResponseParser {
  let state: State = "head";
  /** Bytes of a head, chunk line or trailer that were cut by a read. */
  let held: Buffer | undefined;
  /** Of the body, or of the current chunk. */
  let left = 0;
  let mayReuse = true;
  let trailerBytes = 0;

  const done = (bytes: Buffer, at: number): string | undefined => {
    state = "done";
    sink.end(mayReuse && at === bytes.length);
    return undefined;
  };

  /** @returns where the body starts, the fault, or -1 when the head is not complete and is held */
  const readHead = (bytes: Buffer): number | string => {
    for (let start = 0; ; ) {
      const end = bytes.indexOf(headEnd, start);
      if ((end === -1 ? bytes.length : end) - start > headBytesMax) return "the head is too large";
      if (end === -1) {
        held = Buffer.from(bytes.subarray(start));
        return -1;
      }
      const parsed = parseHead(bytes.toString("latin1", start, end));
      if (typeof parsed === "string") return parsed;
      if (parsed.status === 101) return "the protocol was switched";
      start = end + headEnd.length;
      if (parsed.status < 200) continue;
      const framing = framingOf(parsed.status, parsed.headers, isHead);
      if (typeof framing === "string") return framing;
      ({ state, left } = framing);
      mayReuse = parsed.mayReuse && framing.state !== "until-close";
      sink.head(parsed.status, parsed.headers);
      return start;
    }
  };

  /** Chunked framing from `start` on; payload is moved together at the front of what was read. */
  const readChunked = (bytes: Buffer, start: number): string | undefined => {
    let at = start;
    let write = start;
    const flush = (): void => {
      if (write > start) sink.body(bytes.subarray(start, write));
    };
    while (at < bytes.length) {
      if (state === "chunk-data") {
        const end = Math.min(bytes.length, at + left);
        if (write !== at) bytes.copyWithin(write, at, end);
        write += end - at;
        left -= end - at;
        at = end;
        if (left === 0) state = "chunk-end";
        continue;
      }
      // Chunk lines are a few bytes, for which a loop is cheaper than a native search.
      let lineEnd = at;
      while (lineEnd < bytes.length && bytes[lineEnd] !== lineFeed) lineEnd += 1;
      if (lineEnd - at > chunkLineBytesMax && state !== "trailers") return "a chunk line is too long";
      if (lineEnd - at > trailerBytesMax) return "the trailers are too large";
      if (lineEnd === bytes.length) {
        // The payload before it lies in front of `at`, so the copy must come first.
        held = Buffer.from(bytes.subarray(at));
        flush();
        return undefined;
      }
      if (lineEnd === at || bytes[lineEnd - 1] !== carriageReturn) return "a chunk line does not end in CRLF";
      const fault = readChunkLine(bytes, at, lineEnd - 1);
      if (fault !== undefined) return fault;
      at = lineEnd + 1;
      if (isDone()) {
        flush();
        return done(bytes, at);
      }
    }
    flush();
    return undefined;
  };
  const isDone = (): boolean => state === "done";

  const readChunkLine = (bytes: Buffer, start: number, end: number): string | undefined => {
    if (state === "chunk-end") {
      if (end !== start) return "a chunk is longer than it says";
      state = "chunk-size";
      return undefined;
    }
    if (state === "trailers") {
      trailerBytes += end - start + 2;
      if (trailerBytes > trailerBytesMax) return "the trailers are too large";
      if (end === start) state = "done";
      return undefined;
    }
    const size = chunkSize(bytes, start, end);
    if (size === -1) return "a chunk size is not readable";
    left = size;
    state = size === 0 ? "trailers" : "chunk-data";
    return undefined;
  };

  return {
    hasHead: () => state !== "head",
    push(received) {
      let bytes = received;
      if (held !== undefined) {
        bytes = Buffer.concat([held, received], held.length + received.length);
        held = undefined;
      }
      let at = 0;
      if (state === "head") {
        const start = readHead(bytes);
        if (typeof start === "string") return start;
        if (start === -1) return undefined;
        at = start;
      }
      if (state === "length") {
        const end = Math.min(bytes.length, at + left);
        left -= end - at;
        if (end > at) sink.body(bytes.subarray(at, end));
        if (left > 0) return undefined;
        return done(bytes, end);
      }
      if (state === "until-close") {
        if (at < bytes.length) sink.body(at === 0 ? bytes : bytes.subarray(at));
        return undefined;
      }
      // Bytes nobody asked for; whoever owns the connection closes it on them.
      if (state === "done") return undefined;
      return at < bytes.length ? readChunked(bytes, at) : undefined;
    },
    finish() {
      if (state === "until-close") {
        state = "done";
        sink.end(false);
        return undefined;
      }
      return state === "done" ? undefined : state === "head" ? "the connection ended before a response" : "the connection ended inside a response";
    },
  };
}

const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\x00-\x08\x0a-\x1f\x7f]*)?$/;
const fieldName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const noFieldValue = /[\x00-\x08\x0a-\x1f\x7f]/;

function parseHead(text: string): { status: number; headers: string[]; mayReuse: boolean } | string {
  const lines = text.split("\r\n");
  const start = statusLine.exec(lines[0]!);
  if (start === null) return "the status line is not readable";
  if (lines.length - 1 > headerCountMax) return "there are too many headers";
  const headers: string[] = [];
  // HTTP/1.0 closes unless it says otherwise, and we do not ask it to.
  let mayReuse = start[1] === "1";
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index]!;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = withoutOuterSpace(line, colon + 1);
    if (!fieldName.test(name) || noFieldValue.test(value)) return "a header line is not readable";
    headers.push(name, value);
    if (name.length === 10 && name.toLowerCase() === "connection" && /(?:^|,)\s*close\s*(?:,|$)/i.test(value)) mayReuse = false;
  }
  return { status: Number(start[2]), headers, mayReuse };
}

/** The rest of a line without spaces and tabs around it; other white space is no part of the grammar and stays. */
function withoutOuterSpace(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && isSpace(line.charCodeAt(start))) start += 1;
  while (end > start && isSpace(line.charCodeAt(end - 1))) end -= 1;
  return line.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** RFC 9112 §6.3, without its leniencies: both lengths, a repeated length or another coding than `chunked` are faults. */
function framingOf(status: number, headers: readonly string[], isHead: boolean): { state: State; left: number } | string {
  let length: string | undefined;
  let coding: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    if (name.length !== 14 && name.length !== 17) continue;
    const lower = name.toLowerCase();
    if (lower === "content-length") {
      if (length !== undefined) return "there are two content lengths";
      length = headers[index + 1]!;
    } else if (lower === "transfer-encoding") {
      if (coding !== undefined) return "there are two transfer codings";
      coding = headers[index + 1]!;
    }
  }
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return "the content length is not readable";
  if (isHead || status === 204 || status === 304) return { state: "length", left: 0 };
  if (coding !== undefined) {
    if (length !== undefined) return "there are a content length and a transfer coding";
    return coding.toLowerCase() === "chunked" ? { state: "chunk-size", left: 0 } : "the transfer coding is not chunked";
  }
  return length === undefined ? { state: "until-close", left: 0 } : { state: "length", left: Number(length) };
}

/** Hex digits, up to a `;` that begins an extension; -1 for anything else or a chunk of 2 GiB and more. */
function chunkSize(bytes: Buffer, start: number, end: number): number {
  let size = 0;
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : byte >= 0x41 && byte <= 0x46 ? byte - 0x37 : -1;
    if (digit === -1) break;
    if (at - start >= 7) return -1;
    size = size * 16 + digit;
  }
  if (at === start) return -1;
  for (let rest = at; rest < end; rest++) {
    const byte = bytes[rest]!;
    if (rest === at && byte !== 0x3b && byte !== 0x20 && byte !== 0x09) return -1;
    if (byte < 0x20 && byte !== 0x09) return -1;
  }
  return size;
}
