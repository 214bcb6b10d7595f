/**
 * A client for one HTTP/1.1 exchange at a time on a raw socket, for the load generator: it notes when the first body
 * byte and the last one came and does no other work, so that it measures the gateway and not itself.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { clientHeaders } from "./payloads.ts";

/** What one exchange took, in milliseconds on the monotonic clock from just before the request was written. */
export interface ExchangeTimes {
  readonly status: number;
  readonly firstByteMs: number;
  readonly totalMs: number;
}

const headEnd = Buffer.from("\r\n\r\n");
const lastChunk = "0\r\n\r\n";
const eventEnd = Buffer.from("\n\n");

/**
 * The whole request as bytes.
 *
 * @param key sent as `x-api-key`, as a developer's client would
 */
export function requestBytes(port: number, key: string, body: Buffer): Buffer {
  const fields = { host: `127.0.0.1:${port}`, ...clientHeaders, "x-api-key": key, "content-length": String(body.length) };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST /v1/messages HTTP/1.1\r\n${lines.join("")}\r\n`), body]);
}

/** One keep-alive connection that carries one exchange at a time. */
export class Connection {
  readonly socket: Socket;
  isUsable = true;
  /** Events seen in the bodies of all exchanges, counted by their ends. */
  eventCount = 0;
  #startedAt = 0;
  #firstByteMs = 0;
  #status = 0;
  /** Bytes of a head that has not ended yet. */
  #head: Buffer | undefined;
  #isInBody = false;
  /** Body bytes still to come; undefined when the body is chunked. */
  #bytesLeft: number | undefined;
  /** The last bytes of a chunked body so far, to see its end also when it is cut. */
  #tail = "";
  #done: ((times: ExchangeTimes) => void) | undefined;
  #started: ((firstByteMs: number) => void) | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("data", (piece: Buffer) => this.#data(piece));
    this.socket.on("error", () => this.#lost());
    this.socket.on("close", () => this.#lost());
  }

  /**
   * Sends a request. Status 0 in the result means that the connection was lost before the reply had ended.
   *
   * @param onFirstByte called with the milliseconds to the first body byte, while the reply may still be running
   */
  exchange(request: Buffer, onFirstByte?: (firstByteMs: number) => void): Promise<ExchangeTimes> {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#started = onFirstByte;
      this.#isInBody = false;
      this.#startedAt = performance.now();
      this.socket.write(request);
    });
  }

  #data(piece: Buffer): void {
    if (this.#isInBody) return this.#body(piece);
    const bytes = this.#head === undefined ? piece : Buffer.concat([this.#head, piece]);
    const end = bytes.indexOf(headEnd);
    this.#head = end === -1 ? bytes : undefined;
    if (end === -1) return;
    const head = bytes.toString("latin1", 0, end + 2);
    const length = /\r\ncontent-length: ?(\d+)/i.exec(head);
    this.#status = Number(head.slice(9, 12));
    this.#bytesLeft = length === null ? undefined : Number(length[1]);
    this.#tail = "";
    this.#isInBody = true;
    this.#firstByteMs = -1;
    if (bytes.length > end + 4) this.#body(bytes.subarray(end + 4));
    else if (this.#bytesLeft === 0) this.#finish();
  }

  #body(bytes: Buffer): void {
    if (this.#firstByteMs < 0) {
      this.#firstByteMs = performance.now() - this.#startedAt;
      this.#started?.(this.#firstByteMs);
    }
    for (let at = bytes.indexOf(eventEnd); at !== -1; at = bytes.indexOf(eventEnd, at + 2)) this.eventCount += 1;
    if (this.#bytesLeft === undefined) {
      this.#tail = (this.#tail + bytes.toString("latin1", Math.max(0, bytes.length - lastChunk.length))).slice(-lastChunk.length);
      if (this.#tail === lastChunk) this.#finish();
    } else {
      this.#bytesLeft -= bytes.length;
      if (this.#bytesLeft <= 0) this.#finish();
    }
  }

  #finish(): void {
    this.#isInBody = false;
    const done = this.#done;
    this.#done = undefined;
    done?.({ status: this.#status, firstByteMs: this.#firstByteMs, totalMs: performance.now() - this.#startedAt });
  }

  #lost(): void {
    this.isUsable = false;
    this.#status = 0;
    this.#finish();
  }
}
