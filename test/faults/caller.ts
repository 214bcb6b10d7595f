/** A caller with manners and without: stays, leaves, reads slowly, ends its own side; and a reader of what it got. */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { EventStreamCodec } from "@smithy/core/event-streams";
import { isStreamMode, type Client, type Mode } from "./axes.ts";

/** What a caller has seen. */
export interface Seen {
  /** 0: no head came. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  /** The reply came to its end by HTTP's own measure. */
  readonly isComplete: boolean;
  /** The caller was the one who broke it off. */
  readonly hasLeft: boolean;
}

export interface CallerOptions {
  readonly url: string;
  readonly key: string;
  readonly mode: Mode;
  readonly client: Client;
  /** Model name of the lane's configuration. */
  readonly name: string;
  readonly session: string;
  /** Told to the provider in the body, since clouds get no headers of callers. */
  readonly userId: string;
  /** Resolves when the upstream has done its part, or will do no more. */
  readonly upstreamDone: () => Promise<void>;
  /** Resolves when the call has reached an upstream, or something else has become of it. */
  readonly upstreamReached: () => Promise<void>;
}

function formOf({ mode, name, userId, key, session }: CallerOptions): { readonly path: string; readonly body: string; readonly headers: Record<string, string> } {
  const shared = { max_tokens: 32_000, messages: [{ role: "user", content: "Hello" }], metadata: { user_id: userId } };
  const headers = { "content-type": "application/json", "x-litellm-api-key": key, "x-claude-code-session-id": session, "accept-encoding": "gzip, br, zstd, deflate" };
  if (mode === "framed") return { path: `/bedrock/model/${name}/invoke-with-response-stream`, body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", ...shared }), headers };
  return { path: "/v1/messages?beta=true", body: JSON.stringify({ model: name, ...shared, ...(isStreamMode(mode) ? { stream: true } : {}) }), headers: { ...headers, "anthropic-version": "2023-06-01" } };
}

/** One call to its end, whoever ends it. Never rejects. */
export function callAs(options: CallerOptions): Promise<Seen> {
  const { path, body, headers } = formOf(options);
  const { client } = options;
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let message: IncomingMessage | undefined;
    let hasLeft = false;
    const finish = (): void =>
      resolve({ status: message?.statusCode ?? 0, headers: (message?.headers ?? {}) as Record<string, string>, bytes: Buffer.concat(pieces), isComplete: message?.complete === true, hasLeft });
    const request: ClientRequest = httpRequest(`${options.url}${path}`, { method: "POST", headers: { ...headers, "content-length": String(Buffer.byteLength(body)) }, agent: false });
    const leave = (): void => {
      if (message?.complete === true) return;
      hasLeft = true;
      request.destroy();
    };
    request.on("error", () => undefined);
    request.on("close", () => {
      if (message === undefined) finish();
    });
    request.on("response", (reply) => {
      message = reply;
      reply.on("error", () => undefined);
      reply.on("close", finish);
      const take = (): void => {
        reply.on("data", (bytes: Buffer) => {
          pieces.push(bytes);
          if (client === "leaves-midway") leave();
        });
      };
      if (client === "slow") void options.upstreamDone().then(() => readSlowly(reply, pieces));
      else take();
    });
    request.end(body, () => {
      if (client === "half-closes") request.socket?.end();
    });
    if (client === "leaves-at-once") void options.upstreamReached().then(leave);
  });
}

/** Piece by piece, with a turn of the event loop between them. */
async function readSlowly(reply: IncomingMessage, pieces: Buffer[]): Promise<void> {
  try {
    for await (const bytes of reply) {
      pieces.push(bytes as Buffer);
      await new Promise((resolve) => void setImmediate(resolve));
    }
  } catch {
    // It broke off: `close` follows.
  }
}

const unpackedMax = { maxOutputLength: 12 * 1024 * 1024 };

/** A body without its coding; undefined when it is not in it. */
export function decoded({ headers, bytes }: Seen): Buffer | undefined {
  const coding = headers["content-encoding"];
  const decoders: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    gzip: (packed) => gunzipSync(packed, unpackedMax), br: (packed) => brotliDecompressSync(packed, unpackedMax), deflate: (packed) => inflateSync(packed, unpackedMax), zstd: (packed) => zstdDecompressSync(packed, unpackedMax), identity: (same) => same,
  };
  if (coding === undefined) return bytes;
  try {
    return decoders[coding]?.(bytes);
  } catch {
    return undefined;
  }
}

/** Frames by AWS's own codec, as the dialect's events; an exception counts as the one error that ends a stream. A frame that is not whole is left as it is, for the grammar to find. */
export function eventsOfFrames(whole: Buffer): Buffer {
  const codec = new EventStreamCodec((text) => Buffer.from(text as Uint8Array).toString(), (text) => Buffer.from(text));
  const events: Buffer[] = [];
  for (let at = 0; at < whole.length; ) {
    const length = at + 4 <= whole.length ? whole.readUInt32BE(at) : Infinity;
    if (at + length > whole.length) {
      events.push(Buffer.from("a frame that is not whole"));
      break;
    }
    const frame = codec.decode(whole.subarray(at, at + length));
    at += length;
    const payload = JSON.parse(Buffer.from(frame.body).toString()) as { readonly bytes?: string; readonly message?: string };
    if (frame.headers[":message-type"]?.value === "exception") {
      events.push(Buffer.from(`event: error\ndata: ${JSON.stringify({ type: "error", error: { type: String(frame.headers[":exception-type"]?.value), message: String(payload.message) } })}\n\n`));
    } else {
      const json = Buffer.from(payload.bytes ?? "", "base64").toString();
      events.push(Buffer.from(`event: ${/"type":"(\w+)"/.exec(json)?.[1] ?? "unknown"}\ndata: ${json.replaceAll("\n", " ")}\n\n`));
    }
  }
  return Buffer.concat(events);
}
