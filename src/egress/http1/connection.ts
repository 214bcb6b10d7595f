/**
 * One HTTP/1.1 connection that carries one request at a time. It writes head and body in one go, reads with the strict
 * parser, and tells its owner when it is free again. Any fault closes it.
 */
import type { Socket } from "node:net";
import { createResponseParser, type ResponseParser, type ResponseSink } from "./response-parser.ts";

/** One request, ready to be written. */
export interface WireRequest {
  /** A reply to it has no body. */
  readonly isHead: boolean;
  /** Request line and headers, with the blank line; see {@link encodeHead}. */
  readonly head: string;
  readonly body: Buffer | null;
  readonly firstByteMs: number;
  readonly idleMs: number;
}

/** Follows one exchange. `fault` may come at any time and ends it; so does `end`. */
export interface ExchangeSink {
  /** The last byte of the request has left this process; nothing here reads its body any more. */
  flushed(): void;
  head(status: number, headers: readonly string[]): void;
  /** Owned by the receiver. */
  body(bytes: Buffer): void;
  end(): void;
  fault(kind: "broken" | "first-byte-timeout" | "idle-timeout", detail: string): void;
}

export interface Connection {
  /** Free connections only. */
  send(request: WireRequest, sink: ExchangeSink): void;
  pause(): void;
  resume(): void;
  /** Closes it at once; the sink hears nothing more. */
  destroy(): void;
  readonly isUsable: boolean;
}

export interface ConnectionOwner {
  /** An exchange ended cleanly and another may follow. */
  onFree(connection: Connection): void;
  /** Called once, when the connection is gone. */
  onClosed(connection: Connection): void;
}

const forbidden = /[\x00-\x20\x7f-\uffff]/;
const forbiddenInValue = /[\x00-\x08\x0a-\x1f\x7f\u0100-\uffff]/;

/**
 * Where a plain socket's bytes come in. All such sockets read into one buffer, because a fresh 64 KiB for each small event of
 * thousands of streams tears the memory to pieces; so bytes are valid during the call only.
 */
export interface SharedReader {
  take(bytes: Buffer): void;
}

/**
 * @param socket connected, with TLS finished where there is TLS
 * @param reader given for sockets that read into a shared buffer; without it the socket's own events are used
 */
export function createConnection(socket: Socket, reader: SharedReader | undefined, owner: ConnectionOwner): Connection {
  let parser: ResponseParser | undefined;
  let sink: ExchangeSink | undefined;
  /** Undefined between exchanges. The request itself is not kept: its body may be megabytes, and a stream lives for minutes. */
  let idleMs: number | undefined;
  let isClosed = false;
  let isPaused = false;

  const fail = (kind: "broken" | "first-byte-timeout" | "idle-timeout", detail: string): void => {
    const taker = sink;
    sink = undefined;
    parser = undefined;
    socket.destroy();
    taker?.fault(kind, detail);
  };

  const finish = (mayReuse: boolean): void => {
    const taker = sink;
    sink = undefined;
    parser = undefined;
    idleMs = undefined;
    // A socket that was paused for this reply must run for the next one.
    if (isPaused) connection.resume();
    if (mayReuse && !isClosed) owner.onFree(connection);
    else socket.destroy();
    taker?.end();
  };

  const parts: ResponseSink = {
    head(status, headers) {
      socket.setTimeout(idleMs ?? 0);
      sink?.head(status, headers);
    },
    body: (bytes) => sink?.body(reader === undefined ? bytes : Buffer.from(bytes)),
    end: finish,
  };

  const connection: Connection = {
    get isUsable() {
      return !isClosed && !socket.destroyed && socket.writable;
    },
    send(sent, taker) {
      sink = taker;
      idleMs = sent.idleMs;
      socket.setTimeout(sent.firstByteMs);
      parser = createResponseParser(parts, sent.isHead);
      write(socket, sent, taker);
    },
    pause() {
      if (isPaused) return;
      isPaused = true;
      // Silence of our own making must not count as the upstream's.
      socket.setTimeout(0);
      socket.pause();
    },
    resume() {
      if (!isPaused) return;
      isPaused = false;
      if (idleMs !== undefined) socket.setTimeout(idleMs);
      socket.resume();
    },
    destroy() {
      sink = undefined;
      parser = undefined;
      socket.destroy();
    },
  };

  socket.setNoDelay(true);
  const take = (bytes: Buffer): void => {
    // Bytes nobody asked for: the next reply could not be told from them.
    if (parser === undefined) return void socket.destroy();
    const fault = parser.push(bytes);
    if (fault !== undefined) fail("broken", fault);
  };
  if (reader === undefined) socket.on("data", take);
  else reader.take = take;
  socket.on("end", () => {
    const fault = parser === undefined ? undefined : parser.finish();
    if (fault !== undefined) fail("broken", fault);
    else socket.destroy();
  });
  socket.on("timeout", () => {
    if (sink === undefined) return void socket.destroy();
    fail(parser?.hasHead() === true ? "idle-timeout" : "first-byte-timeout", "no bytes in time");
  });
  socket.on("error", (fault: Error & { code?: string }) => fail("broken", `${fault.code ?? fault.name} ${fault.message}`));
  socket.on("close", () => {
    isClosed = true;
    if (sink !== undefined) fail("broken", "the connection was closed");
    owner.onClosed(connection);
  });
  return connection;
}

/** What a request's head is made of. */
export interface HeadParts {
  readonly method: string;
  /** Path and query; no spaces or control characters. */
  readonly path: string;
  /** Value of the `Host` header. */
  readonly host: string;
  /** Flat list, without host, connection and lengths. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
}

/**
 * Made before anything is dialled, so that a head that cannot be written is the request's fault and touches no connection.
 *
 * @throws Error when a header or the path would break the framing
 */
export function encodeHead({ method, path, host, headers, body }: HeadParts): string {
  if (path === "" || forbidden.test(path)) throw new Error("the path of an upstream request is not writable");
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    const value = headers[index + 1]!;
    if (forbidden.test(name) || name.includes(":") || forbiddenInValue.test(value)) throw new Error(`the header ${JSON.stringify(name)} of an upstream request is not writable`);
    head += `${name}: ${value}\r\n`;
  }
  return body === null ? `${head}\r\n` : `${head}content-length: ${body.length}\r\n\r\n`;
}

function write(socket: Socket, { head, body }: WireRequest, taker: ExchangeSink): void {
  if (body === null) {
    socket.write(head, "latin1");
    taker.flushed();
    return;
  }
  if (body.length <= smallBodyBytes) {
    // One buffer is one system call without a vector, and cheaper than joining two writes.
    const whole = Buffer.allocUnsafe(head.length + body.length);
    whole.write(head, 0, "latin1");
    body.copy(whole, head.length);
    socket.write(whole);
    taker.flushed();
    return;
  }
  socket.cork();
  socket.write(head, "latin1");
  socket.write(body, (fault) => {
    if (fault === undefined || fault === null) taker.flushed();
  });
  socket.uncork();
}

const smallBodyBytes = 16 * 1024;
