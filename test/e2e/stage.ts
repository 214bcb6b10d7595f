/**
 * What the end-to-end tests share: a gateway behind a real listener in front of the strict fake, and a client that shows the
 * bytes as they came, because `fetch` would decode, join and hide what these tests are about.
 */
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { expect } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { Behaviour, FakeAnthropicOptions, RecordedRequest } from "../support/fake-anthropic-types.ts";
import { adminKey, configText, messagesBody, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";

/** A row of the ledger as `GET /api/v1/usage` prints it. */
export type Row = Readonly<Record<string, unknown>>;

/** One call; everything has a default that works. */
export interface CallOptions {
  readonly method?: string;
  /** Path and query. */
  readonly path?: string;
  /** Absent: a small Messages request; null: no body. */
  readonly body?: string | Buffer | null;
  /** How the fake treats it. */
  readonly behaviour?: Behaviour;
  /** Names in lower case; null takes a default away. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>;
  /** Session id under which the ledger row is found; a fresh one by default. */
  readonly session?: string;
  /** Breaks the connection off, before the head or after it. */
  readonly signal?: AbortSignal;
}

/** A reply while it arrives. */
export interface OpenReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly session: string;
  /** What has come so far. */
  bytes(): Buffer;
  text(): string;
  json<Shape = Record<string, never>>(): Shape;
  /** Resolves at the end; false when the connection broke off instead. */
  readonly ended: Promise<boolean>;
  readonly message: IncomingMessage;
  leave(): void;
}

/** A reply that has come whole, or as far as it came. */
export interface Reply extends OpenReply {
  readonly isComplete: boolean;
}

export interface StageOptions {
  readonly fake?: FakeAnthropicOptions;
  readonly config?: string;
  /** `models` section. */
  readonly models?: string;
  /** Further providers, as members of a YAML flow map. */
  readonly providers?: string;
  /** Between gateway and fake: gets the fake's port, gives the URL to use. */
  readonly through?: (port: number) => Promise<string>;
  /** Environment of the gateway; empty by default. */
  readonly env?: Record<string, string>;
}

/** A running gateway, its upstream and a developer key. */
export interface Stage {
  readonly fake: FakeAnthropic;
  readonly harness: Harness;
  readonly url: string;
  readonly port: number;
  readonly key: string;
  open(options?: CallOptions): Promise<OpenReply>;
  call(options?: CallOptions): Promise<Reply>;
  /** The ledger's closed rows of a session, oldest first, once there are `count`. */
  rows(session: string, count?: number): Promise<readonly Row[]>;
  /** All rows of a session now. */
  rowsNow(session: string): Promise<readonly Row[]>;
  /** The request that the fake got in a session. */
  received(session: string): RecordedRequest;
  /** Values that may reach no client and no upstream from now on. */
  forbid(secret: string): void;
  /** Ends everything; fails when a secret crossed. */
  close(): Promise<void>;
}

let serial = 0;

/** A session id that no other call has. */
export function newSession(): string {
  serial += 1;
  return `session-${process.pid}-${serial}`;
}

const printed: string[] = [];

/** Keeps what a gateway said for the search for secrets at the end. */
export function notePrinted(text: string): void {
  printed.push(text);
}

export async function startStage(options: StageOptions = {}): Promise<Stage> {
  const forbiddenSecrets: string[] = [adminKey];
  const fake = await startFakeAnthropic({ apiKey: upstreamKey, ...options.fake, forbiddenSecrets });
  const upstreamUrl = options.through === undefined ? fake.url : await options.through(fake.port);
  const file = configText({
    upstreamUrl,
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(options.models === undefined ? {} : { models: options.models }),
  });
  const harness = await startHarness({ upstreamUrl, env: options.env ?? {}, file: options.providers === undefined ? file : file.replace("providers: {", `providers: {${options.providers}, `) });
  const key = await harness.key();
  forbiddenSecrets.push(key);
  const open = (call: CallOptions = {}): Promise<OpenReply> => openCall(harness.url, key, call);
  const rowsNow = async (session: string): Promise<readonly Row[]> => {
    const { rows } = await harness.admin<{ rows: Row[] }>("GET", `/api/v1/usage?by=key&rows=50&session=${session}`);
    return rows.toReversed();
  };
  return {
    fake,
    harness,
    url: harness.url,
    port: Number(new URL(harness.url).port),
    key,
    open,
    async call(call) {
      const reply = await open(call);
      return { ...reply, isComplete: await reply.ended };
    },
    rows: (session, count = 1) =>
      until(`${count} closed rows of ${session}`, async () => {
        const rows = await rowsNow(session);
        return rows.length >= count && rows.every((row) => row["closed_at"] !== null) ? rows : undefined;
      }),
    rowsNow,
    received(session) {
      const found = fake.requests.find(({ headers }) => headers["x-claude-code-session-id"] === session);
      if (found === undefined) throw new Error(`nothing of ${session} arrived`);
      return found;
    },
    forbid: (secret) => void forbiddenSecrets.push(secret),
    async close() {
      await harness.close();
      await fake.close();
      expect(fake.violations).toEqual([]);
      for (const text of printed) for (const secret of [upstreamKey, adminKey]) expect(text.includes(secret), `a secret in: ${text.slice(0, 300)}`).toBe(false);
    },
  };
}

/** One call of a client to a gateway. */
export function openCall(url: string, key: string, call: CallOptions): Promise<OpenReply> {
  const session = call.session ?? newSession();
  const body = call.body === undefined ? messagesBody() : call.body;
  const headers: Record<string, string | string[]> = {};
  const defaults: CallOptions["headers"] = {
    "x-api-key": key,
    "anthropic-version": "2023-06-01",
    ...(body === null ? {} : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
    "x-claude-code-session-id": session,
    ...(call.behaviour === undefined ? {} : { "anthropic-test-behaviour": asciiJson(call.behaviour) }),
  };
  for (const [name, value] of Object.entries({ ...defaults, ...call.headers })) if (value !== null) headers[name] = typeof value === "string" ? value : [...value];
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${url}${call.path ?? "/v1/messages?beta=true"}`, { method: call.method ?? "POST", headers, agent: false, ...(call.signal === undefined ? {} : { signal: call.signal }) });
    request.on("error", reject);
    request.on("response", (message) => resolve(collect(message, session)));
    // As bytes: beside a string body, node would write the head as UTF-8.
    request.end(body === null ? undefined : Buffer.from(body));
  });
}

/** JSON that may stand in a header. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function collect(message: IncomingMessage, session: string): OpenReply {
  const pieces: Buffer[] = [];
  const head = JSON.stringify(message.rawHeaders);
  message.on("data", (bytes: Buffer) => void pieces.push(bytes));
  const ended = new Promise<boolean>((resolve) => {
    message.on("error", () => undefined);
    message.on("close", () => {
      notePrinted(`${head}\n${Buffer.concat(pieces).toString("latin1")}`);
      resolve(message.complete);
    });
  });
  const bytes = (): Buffer => Buffer.concat(pieces);
  return {
    status: message.statusCode ?? 0,
    headers: message.headers as Record<string, string>,
    session,
    bytes,
    text: () => bytes().toString("utf8"),
    json: <Shape>() => JSON.parse(bytes().toString("utf8")) as Shape,
    ended,
    message,
    leave: () => void message.destroy(),
  };
}

/** Anthropic's error envelope. */
export interface ErrorBody {
  readonly type: "error";
  readonly error: { readonly type: string; readonly message: string };
  readonly request_id?: string;
}

/** Sends raw bytes and collects what comes back until the other side closes or `isEnough`. */
export function rawExchange(port: number, bytes: string | Buffer, isEnough: (text: string) => boolean = () => false): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let text = "";
    const finish = (): void => {
      socket.destroy();
      notePrinted(text);
      resolve(text);
    };
    socket.setTimeout(25_000, () => reject(new Error(`nothing more after: ${text}`)));
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      if (isEnough(text)) finish();
    });
    socket.on("error", finish);
    socket.on("close", finish);
    socket.write(bytes);
  });
}

/** An HTTP relay that keeps the reply bodies it passed on, so that a test can hold them against what a client got. */
export interface Recorder {
  readonly url: string;
  /** Body of the reply to a session. */
  reply(session: string): Buffer;
  close(): void;
}

export async function startRecorder(targetPort: number): Promise<Recorder> {
  const replies = new Map<string, Buffer[]>();
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    replies.set(String(request.headers["x-claude-code-session-id"]), pieces);
    const onward = httpRequest({ port: targetPort, host: "127.0.0.1", method: request.method, path: request.url, headers: request.rawHeaders as never, agent: false }, (reply) => {
      response.writeHead(reply.statusCode ?? 0, reply.rawHeaders);
      reply.on("data", (piece: Buffer) => {
        pieces.push(piece);
        response.write(piece);
      });
      reply.on("end", () => response.end());
    });
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reply: (session) => Buffer.concat(replies.get(session) ?? []),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
