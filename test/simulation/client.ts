/** Callers of the simulated world: what a request and a response of `node:http` are to the pipeline, without sockets. */
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

/** One call of a client. */
export interface CallOptions {
  readonly key: string;
  /** Unlike any other call's. */
  readonly marker: string;
  readonly sessionId: string;
  readonly model: string;
  readonly isStreaming: boolean;
  readonly outputTokensMax: number;
  /** Of the body, at least; shorter ones come out longer. */
  readonly bodyBytes: number;
}

/** The request as the server would give it, and its body for when the time has come. */
export interface SimulatedRequest {
  readonly message: IncomingMessage;
  /** Delivers the body. */
  arrive(): void;
}

export function createRequest(call: CallOptions): SimulatedRequest {
  const fixed = { model: call.model, max_tokens: call.outputTokensMax, stream: call.isStreaming, metadata: { user_id: call.sessionId }, cache_control: { type: "ephemeral" } };
  const [head = "", tail = ""] = JSON.stringify({ ...fixed, messages: [{ role: "user", content: "|" }] }).split("|");
  const body = Buffer.concat([Buffer.from(head), Buffer.alloc(Math.max(1, call.bodyBytes - head.length - tail.length), "x"), Buffer.from(tail)]);
  const headers: Record<string, string> = {
    "x-api-key": call.key,
    "anthropic-version": "2023-06-01",
    "anthropic-test-id": call.marker,
    "content-type": "application/json",
    "content-length": String(body.length),
    "x-claude-code-session-id": call.sessionId,
    "x-claude-code-request-class": call.marker,
  };
  const message = Object.assign(new EventEmitter(), { method: "POST", url: "/v1/messages", headers, rawHeaders: Object.entries(headers).flat(), rawTrailers: [] });
  return {
    message: message as unknown as IncomingMessage,
    arrive() {
      message.emit("data", body);
      message.emit("end");
    },
  };
}

/** What a client sees of its answer. */
export class SimulatedResponse extends EventEmitter {
  statusCode = 200;
  headersSent = false;
  destroyed = false;
  writableEnded = false;
  writableFinished = false;
  writableNeedDrain = false;
  readonly socket = null;
  readonly headers = new Map<string, string>();
  /** The last bytes are enough to tell how it ended. */
  text = "";
  #bytes = 0;
  #isObject = false;
  readonly #onOver: () => void;

  /** @param onOver the answer has ended, or broken off */
  constructor(onOver: () => void) {
    super();
    this.#onOver = onOver;
  }

  writeHead(status: number, headers: readonly string[] | Readonly<Record<string, unknown>>): this {
    this.statusCode = status;
    this.headersSent = true;
    const flat = Array.isArray(headers) ? (headers as readonly string[]) : Object.entries(headers).flatMap(([name, value]) => [name, String(value)]);
    for (let index = 0; index < flat.length; index += 2) this.headers.set(flat[index]!.toLowerCase(), flat[index + 1]!);
    return this;
  }

  write(piece: Buffer | string): boolean {
    const bytes = Buffer.from(piece as string);
    if (this.destroyed || this.writableEnded) return false;
    this.headersSent = true;
    this.text = (this.text + bytes.toString("latin1")).slice(-4_000);
    this.#isObject ||= this.#bytes === 0 && this.text.startsWith("{");
    this.#bytes += bytes.length;
    return true;
  }

  end(bytes?: Buffer | string): this {
    if (bytes !== undefined) this.write(bytes);
    if (this.destroyed || this.writableEnded) return this;
    this.writableEnded = true;
    this.writableFinished = true;
    this.emit("close");
    this.#onOver();
    return this;
  }

  destroy(): this {
    if (this.destroyed || this.writableFinished) return this;
    this.destroyed = true;
    this.emit("close");
    this.#onOver();
    return this;
  }

  /** For the pipeline. */
  get message(): ServerResponse {
    return this as unknown as ServerResponse;
  }

  /** The whole answer of a success came. */
  get isWhole(): boolean {
    return this.statusCode === 200 && this.writableFinished && (this.#isObject || this.text.includes('"message_stop"'));
  }
}
