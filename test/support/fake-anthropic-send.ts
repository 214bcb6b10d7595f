/**
 * Sends a planned reply over a real socket with the faults a test scripted, and says how much of it went out. Timing and
 * breakage live here; content does not.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ServerResponse } from "node:http";
import { errorEnvelope, eventBytes, faultByte } from "./fake-anthropic-encode.ts";
import type { Chunk } from "./fake-anthropic-encode.ts";
import type { Behaviour, Fault } from "./fake-anthropic-types.ts";

/** A reply whose bytes are known. */
export interface Sending {
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly chunks: readonly Chunk[];
  readonly behaviour: Behaviour;
  readonly isStreaming: boolean;
}

/** What became of it. `last` is the last piece that was handed over whole. */
export interface Sent {
  readonly outcome: "whole" | "fault" | "client_left";
  readonly last: Chunk | undefined;
}

const writeBytesMax = 64 * 1024;
/** Time that the peer has to read what came before a broken connection. */
const settleMs = 15;

class ClientLeft extends Error {}

/** Sleeps, but wakes up (by throwing) when the client leaves. */
async function wait(ms: number, left: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal: left });
  } catch {
    throw new ClientLeft();
  }
}

/** Hands bytes over; resolves when the socket takes more, throws when the client has left. */
async function write(response: ServerResponse, bytes: Buffer, left: AbortSignal): Promise<void> {
  if (left.aborted) throw new ClientLeft();
  if (response.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const onLeft = (): void => reject(new ClientLeft());
    left.addEventListener("abort", onLeft, { once: true });
    response.once("drain", () => {
      left.removeEventListener("abort", onLeft);
      resolve();
    });
  });
}

/** Piece sizes: those asked for, else one event each when paced, else as much as a write may hold. */
function* sizesOf(sending: Sending, from: number): Generator<number, never> {
  const { splitBytes, writeDelayMs } = sending.behaviour;
  if (splitBytes !== undefined && splitBytes.some((size) => size > 0)) {
    for (let turn = 0; ; turn++) yield Math.max(1, splitBytes[turn % splitBytes.length]!);
  }
  if (writeDelayMs !== undefined) {
    let end = 0;
    for (const { bytes } of sending.chunks) {
      end += bytes.length;
      if (end > from && bytes.length > 0) yield Math.min(bytes.length, end - from);
    }
  }
  for (;;) yield writeBytesMax;
}

class Sender {
  readonly #sending: Sending;
  readonly #left: AbortSignal;
  readonly #body: Buffer;
  #sent = 0;

  constructor(sending: Sending, left: AbortSignal) {
    this.#sending = sending;
    this.#left = left;
    this.#body = Buffer.concat(sending.chunks.map(({ bytes }) => bytes));
  }

  /** Last piece that is out whole. */
  last(): Chunk | undefined {
    let end = 0;
    let last: Chunk | undefined;
    for (const chunk of this.#sending.chunks) {
      end += chunk.bytes.length;
      if (end > this.#sent) break;
      last = chunk;
    }
    return last;
  }

  async run(): Promise<"whole" | "fault"> {
    const { response, behaviour, chunks } = this.#sending;
    const { fault } = behaviour;
    if (behaviour.firstByteDelayMs !== undefined) await wait(behaviour.firstByteDelayMs, this.#left);
    if (fault?.at === "connect" && (await this.#strike(fault))) return "fault";
    response.writeHead(200, this.#headers());
    if (fault !== undefined && fault.at !== "connect") {
      await this.#writeTo(faultByte(chunks, fault));
      if (await this.#strike(fault)) return "fault";
    }
    await this.#writeTo(this.#body.length);
    await this.#finish();
    return "whole";
  }

  #headers(): Record<string, string> {
    const { headers, behaviour, isStreaming } = this.#sending;
    if (isStreaming && behaviour.contentLengthError === undefined) return { ...headers };
    return { ...headers, "content-length": String(this.#body.length + (behaviour.contentLengthError ?? 0)) };
  }

  async #writeTo(end: number): Promise<void> {
    const { response, behaviour } = this.#sending;
    // The usual case costs one write: head, body and end leave together.
    if (this.#sent === 0 && end === this.#body.length && behaviour.splitBytes === undefined && behaviour.writeDelayMs === undefined && end <= writeBytesMax) {
      if (end > 0) response.write(this.#body);
      this.#sent = end;
      return;
    }
    if (end === 0) response.flushHeaders();
    const sizes = sizesOf(this.#sending, this.#sent);
    while (this.#sent < end) {
      const to = Math.min(end, this.#sent + sizes.next().value);
      const piece = this.#body.subarray(this.#sent, to);
      this.#sent = to;
      await write(response, piece, this.#left);
      if (behaviour.writeDelayMs !== undefined && this.#sent < this.#body.length) await wait(behaviour.writeDelayMs, this.#left);
      else if (behaviour.splitBytes !== undefined) await new Promise((resolve) => void setImmediate(resolve));
    }
  }

  async #finish(): Promise<void> {
    const { response, behaviour } = this.#sending;
    if (behaviour.tail !== undefined) await write(response, Buffer.from(behaviour.tail), this.#left);
    const socket = response.socket;
    response.end();
    if (behaviour.contentLengthError !== undefined) socket?.destroySoon();
  }

  /** False when the reply goes on after the fault. */
  async #strike(fault: Fault): Promise<boolean> {
    const { response, behaviour, requestId } = this.#sending;
    const { socket } = response;
    switch (fault.does) {
      case "pause":
        await wait(fault.ms ?? 1000, this.#left);
        return false;
      case "stall":
        await new Promise<void>((resolve) => {
          if (this.#left.aborted) resolve();
          else this.#left.addEventListener("abort", () => resolve(), { once: true });
        });
        return true;
      case "error-event":
        if (!response.headersSent) response.writeHead(200, { ...this.#sending.headers });
        response.end(eventBytes("error", errorEnvelope(fault.errorType ?? "overloaded_error", behaviour.message ?? "Overloaded", requestId)));
        return true;
      case "end":
        response.end();
        return true;
      case "destroy":
      case "reset":
        // An HTTP client that reads bytes and a reset in one go drops the bytes: let it see them first.
        await sleep(fault.ms ?? settleMs);
        if (fault.does === "reset") socket?.resetAndDestroy();
        else socket?.destroy();
        return true;
      default:
        return true;
    }
  }
}

/** Sends; never throws for a client that leaves. */
export async function send(sending: Sending): Promise<Sent> {
  const left = new AbortController();
  const { response } = sending;
  const closed = new Promise<boolean>((resolve) => {
    response.once("close", () => {
      if (!response.writableFinished) left.abort();
      resolve(response.writableFinished);
    });
  });
  const sender = new Sender(sending, left.signal);
  try {
    const outcome = await sender.run();
    if (outcome === "fault") return { outcome, last: sender.last() };
    return { outcome: (await closed) ? "whole" : "client_left", last: sender.last() };
  } catch (error) {
    if (error instanceof ClientLeft) return { outcome: "client_left", last: sender.last() };
    throw error;
  }
}
