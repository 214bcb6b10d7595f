/**
 * Guarantee: back-pressure reaches from the client to the upstream. However much an upstream offers, a client that stops reading makes
 * the gateway hold no more than 512 KiB for it, as a stream, as a re-framed stream and as a plain reply, compressed or not; when it
 * reads on, every byte comes. The kernel's own socket buffers, which hold more by themselves, are not the gateway's.
 *
 * What is held is measured from inside of a gateway process after a full collection: with many such readers at a time, the growth of heap
 * and buffers divided by their number.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chunkFrame } from "../support/fake-bedrock-frames.ts";
import { callAdmin, createProcessSite, killLeftovers, startGatewayProcess, type GatewayProcess, type ProcessSite } from "../support/gateway-process.ts";
import { adminKey, configText, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { inspectorUrlIn, openInspector, type MemoryInspector } from "../support/memory-inspector.ts";

const mib = 1_024 * 1_024;
const heldBytesMax = 512 * 1_024;
const readers = 24;
/** What the upstream offers to each. */
const offeredBytes = 48 * mib;
/** Read before the client stops, so that what has passed is seen to be let go. */
const readFirstBytes = 4 * mib;

const start = { type: "message_start", message: { id: "msg_1", type: "message", role: "assistant", model: "claude-opus-4-8", content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 10, output_tokens: 1 } } };
const delta = { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "The quick brown fox jumps over the lazy dog. ".repeat(20) } };
const events: readonly object[] = [start, { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }];
const lastEvents: readonly object[] = [{ type: "content_block_stop", index: 0 }, { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 4_242 } }, { type: "message_stop" }];

const asEvent = (event: object): Buffer => Buffer.from(`event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`);
const asFrame = (event: object): Buffer => chunkFrame(JSON.stringify(event));

/** A large reply: how it begins, what is repeated, how it ends. */
interface Offer {
  readonly contentType: string;
  readonly head: Buffer;
  readonly middle: Buffer;
  readonly repeats: number;
  readonly tail: Buffer;
}

function streamOf(encode: (event: object) => Buffer, contentType: string): Offer {
  return { contentType, head: Buffer.concat(events.map(encode)), middle: Buffer.concat(Array.from({ length: 64 }, () => encode(delta))), repeats: Math.ceil(offeredBytes / 64 / asEvent(delta).length), tail: Buffer.concat(lastEvents.map(encode)) };
}

/** The bytes of a whole offer, piece by piece. */
function* piecesOf({ head, middle, repeats, tail }: Offer): Generator<Buffer> {
  yield head;
  for (let turn = 0; turn < repeats; turn++) yield middle;
  yield tail;
}

function plainOf(): Offer {
  const head = '{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-8","content":[{"type":"text","text":"';
  const middle = Buffer.from('The quick brown fox jumps over \\"usage\\" and {[. '.repeat(1_400));
  return { contentType: "application/json", head: Buffer.from(head), middle, repeats: Math.ceil(offeredBytes / middle.length), tail: Buffer.from('"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":4242}}') };
}

const offers: Readonly<Record<string, Offer>> = {
  stream: streamOf(asEvent, "text/event-stream; charset=utf-8"),
  framed: streamOf(asFrame, "application/vnd.amazon.eventstream"),
  plain: plainOf(),
};

/** An upstream that offers one thing to everybody, as fast as it is taken. */
class Upstream {
  readonly server: Server = createServer((request, response) => void this.#answer(request, response));
  readonly #sockets = new Set<Socket>();
  /** What is offered, in this content coding; `undefined` for none. */
  offer: Offer = offers["stream"]!;
  coding: "stored" | "deflated" | undefined;

  constructor() {
    this.server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => void this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Bytes that the kernel has taken from connections open now. */
  handedOver(): number {
    return [...this.#sockets].reduce((sum, { bytesWritten, writableLength }) => sum + bytesWritten - writableLength, 0);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for await (const _piece of request);
    const { offer, coding } = this;
    response.writeHead(200, { "content-type": offer.contentType, "request-id": "req_upstream", ...(coding === undefined ? {} : { "content-encoding": "gzip" }) });
    // It breaks off where the gateway leaves, which is no fault here.
    const coder = coding === undefined ? [] : [createGzip({ level: coding === "stored" ? 0 : 6 })];
    await pipeline([Readable.from(piecesOf(offer), { highWaterMark: 1 }), ...coder, response]).catch(() => undefined);
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** A client that can stop reading. */
interface Reader {
  readonly message: IncomingMessage;
  /** Reads the rest; the hash of all that came, decoded. */
  readOn(): Promise<string>;
}

interface Site {
  readonly process: ProcessSite;
  readonly gateway: GatewayProcess;
  readonly url: string;
  readonly key: string;
  readonly upstream: Upstream;
  readonly memory: MemoryInspector;
}

let site: Site;

beforeAll(async () => {
  const upstream = new Upstream();
  const upstreamUrl = await upstream.listen();
  const process = createProcessSite(upstreamUrl);
  const bedrock = `bedrock: {kind: bedrock, region: us-east-1, endpoint: "${upstreamUrl}", api_key: "${upstreamKey}"}, `;
  const models = 'models: [{name: "claude-opus-*", provider: anthropic}, {name: claude-framed, provider: bedrock, model: "us.anthropic.claude-opus-4-8"}]';
  writeFileSync(join(process.folder, "tollgate.yaml"), configText({ upstreamUrl, models }).replace("providers: {", `providers: {${bedrock}`));
  const gateway = startGatewayProcess({
    cwd: process.folder,
    args: ["--config", join(process.folder, "tollgate.yaml"), "--data-dir", process.dataDir],
    env: { NODE_OPTIONS: "--inspect=127.0.0.1:0" },
  });
  const url = await gateway.ready;
  const { key } = await callAdmin<{ key: string }>(url, "/key/generate", {});
  const memory = await openInspector(await until("the inspector", () => inspectorUrlIn(gateway.stderr())));
  site = { process, gateway, url, key, upstream, memory };
});

afterAll(async () => {
  site.memory.close();
  site.upstream.close();
  await killLeftovers();
  site.process.remove();
});

/** Asks, reads a little, and stops. */
async function openReader(model: string, isStream: boolean): Promise<Reader> {
  const body = messagesBody({ model, stream: isStream });
  const headers = { "x-api-key": site.key, "anthropic-version": "2023-06-01", "content-type": "application/json", "content-length": Buffer.byteLength(body), "accept-encoding": "gzip" };
  const message = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${site.url}/v1/messages`, { method: "POST", headers, agent: false }, resolve).on("error", reject).end(body);
  });
  expect(message.statusCode).toBe(200);
  message.on("error", () => undefined);
  const decoder = message.headers["content-encoding"] === "gzip" ? createGunzip() : undefined;
  const hash = createHash("sha256");
  const take = (piece: Buffer): void => void (decoder === undefined ? hash.update(piece) : decoder.write(piece));
  decoder?.on("data", (piece: Buffer) => void hash.update(piece));
  let bytes = 0;
  let isStopping = true;
  message.on("data", (piece: Buffer) => {
    bytes += piece.length;
    take(piece);
    if (isStopping && bytes >= readFirstBytes) message.pause();
  });
  await until("the first part of the reply", () => message.isPaused() || message.readableEnded);
  return {
    message,
    async readOn() {
      isStopping = false;
      message.resume();
      await once(message, "end");
      if (decoder !== undefined) await once(decoder.end(), "end");
      return hash.digest("hex");
    },
  };
}

/** Waits until the upstream can hand over no more. */
async function standstill(): Promise<void> {
  let last = -1;
  let since = performance.now();
  await until(
    "a standstill",
    () => {
      const now = site.upstream.handedOver();
      if (now !== last) [last, since] = [now, performance.now()];
      return performance.now() - since > 400;
    },
    30_000,
  );
}

/** Bytes that the gateway holds when nothing of it is garbage. */
async function held(): Promise<number> {
  await site.memory.collect();
  await site.memory.collect();
  const { heapUsed, external } = await site.memory.sample();
  return heapUsed + external;
}

async function idle(): Promise<void> {
  const metrics = async (): Promise<string> => (await fetch(`${site.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
  await until("nothing in flight", async () => /^tollgate_requests_in_flight 0$/m.test(await metrics()));
}

interface Case {
  readonly name: string;
  readonly offer: string;
  readonly model: string;
  readonly coding?: "stored" | "deflated";
  /** What the client gets, decoded. */
  readonly expected: Offer;
}

const cases: readonly Case[] = [
  { name: "a stream", offer: "stream", model: "claude-opus-4-8", expected: offers["stream"]! },
  { name: "a re-framed stream of Bedrock", offer: "framed", model: "claude-framed", expected: offers["stream"]! },
  { name: "a stream that comes compressed all the same", offer: "stream", model: "claude-opus-4-8", coding: "deflated", expected: offers["stream"]! },
  { name: "a plain reply", offer: "plain", model: "claude-opus-4-8", expected: offers["plain"]! },
  { name: "a plain reply that is compressed", offer: "plain", model: "claude-opus-4-8", coding: "stored", expected: offers["plain"]! },
];

describe("where the client stops reading", () => {
  it.each(cases)("$name of 48 MiB takes no more than 512 KiB of the gateway's memory, comes whole when the client reads on, and is metered", { timeout: 120_000 }, async ({ name, offer, model, coding, expected }) => {
    const { upstream } = site;
    upstream.offer = offers[offer]!;
    upstream.coding = coding;
    const isStream = offer !== "plain";
    const warm = await Promise.all(Array.from({ length: 4 }, () => openReader(model, isStream)));
    for (const { message } of warm) message.destroy();
    await idle();
    const before = await held();
    const open = await Promise.all(Array.from({ length: readers }, () => openReader(model, isStream)));
    try {
      await standstill();
      expect(((await held()) - before) / readers).toBeLessThan(heldBytesMax);
      const [one, ...others] = open;
      for (const { message } of others) message.destroy();
      const hash = createHash("sha256");
      for (const piece of piecesOf(expected)) hash.update(piece);
      expect(await one!.readOn()).toBe(hash.digest("hex"));
      await idle();
      const { rows } = await callAdmin<{ rows: readonly Record<string, unknown>[] }>(site.url, "/api/v1/usage?by=key&rows=1000");
      expect(rows.filter(({ outcome, source, output_tokens }) => outcome === "completed" && source === "reported" && output_tokens === 4_242)).toHaveLength(cases.findIndex((each) => each.name === name) + 1);
    } finally {
      for (const { message } of open) message.destroy();
    }
  });
});
