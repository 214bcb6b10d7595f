/**
 * A TCP relay between a client and the gateway that keeps the client's bytes, so that a test can hold what the client truly
 * sent against what the provider got. Reading HTTP here is simple because Claude Code always sends a Content-Length.
 */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A request as it left the client. */
export interface SentRequest {
  readonly method: string;
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A reply as it came to the client. */
export interface GivenReply {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Without its chunks' framing. */
  readonly body: Buffer;
  /** False when the connection ended inside it. */
  readonly isWhole: boolean;
}

/** A running relay. */
export interface Tee {
  readonly url: string;
  /** Whole requests of all connections so far, in order of connection. */
  requests(): readonly SentRequest[];
  /** Replies of all connections so far, the unfinished last one of each included, in order of connection. */
  replies(): readonly GivenReply[];
  /** Connections that clients have opened so far. */
  connections(): number;
  close(): Promise<void>;
}

/** Starts a relay on a free loopback port. */
export async function startTee(targetPort: number): Promise<Tee> {
  const recordings: Buffer[][] = [];
  const answers: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const recording: Buffer[] = [];
    recordings.push(recording);
    const answer: Buffer[] = [];
    answers.push(answer);
    const target = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    client.on("data", (chunk: Buffer) => void recording.push(chunk));
    target.on("data", (chunk: Buffer) => void answer.push(chunk));
    join(client, target, sockets);
    join(target, client, sockets);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => recordings.flatMap((recording) => requestsIn(Buffer.concat(recording))),
    replies: () => answers.flatMap((answer, index) => repliesIn(Buffer.concat(answer), requestsIn(Buffer.concat(recordings[index]!)).map(({ method }) => method))),
    connections: () => recordings.length,
    async close() {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Passes one direction on, with its end; a reset ends both sides. */
function join(from: Socket, to: Socket, sockets: Set<Socket>): void {
  sockets.add(from);
  from.pipe(to);
  from.on("error", () => to.destroy());
  from.on("close", () => {
    sockets.delete(from);
    if (!from.readableEnded) to.destroy();
  });
}

/** @throws when the bytes are not the simple HTTP/1.1 that the clients send */
function requestsIn(bytes: Buffer): SentRequest[] {
  const requests: SentRequest[] = [];
  let start = 0;
  for (;;) {
    const end = bytes.indexOf("\r\n\r\n", start);
    if (end === -1) return requests;
    const [line = "", ...fields] = bytes.toString("latin1", start, end).split("\r\n");
    const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(":")).toLowerCase(), field.slice(field.indexOf(":") + 1).trim()]));
    if ("transfer-encoding" in headers) throw new Error("a client sent a chunked body, which this relay does not read");
    const bodyStart = end + 4;
    const bodyEnd = bodyStart + Number(headers["content-length"] ?? 0);
    if (bodyEnd > bytes.length) return requests;
    const [method = "", target = ""] = line.split(" ");
    requests.push({ method, target, headers, body: bytes.subarray(bodyStart, bodyEnd) });
    start = bodyEnd;
  }
}

/** @param methods of the requests on this connection: a reply to HEAD has no body */
function repliesIn(bytes: Buffer, methods: readonly string[]): GivenReply[] {
  const replies: GivenReply[] = [];
  let start = 0;
  for (;;) {
    const end = bytes.indexOf("\r\n\r\n", start);
    if (end === -1) return replies;
    const [line = "", ...fields] = bytes.toString("latin1", start, end).split("\r\n");
    const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(":")).toLowerCase(), field.slice(field.indexOf(":") + 1).trim()]));
    const body = methods[replies.length] === "HEAD" ? { bytes: Buffer.alloc(0), end: end + 4, isWhole: true } : bodyAt(bytes, end + 4, headers);
    replies.push({ status: Number(line.split(" ")[1]), headers, body: body.bytes, isWhole: body.isWhole });
    if (!body.isWhole) return replies;
    start = body.end;
  }
}

interface FoundBody {
  readonly bytes: Buffer;
  readonly end: number;
  readonly isWhole: boolean;
}

function bodyAt(bytes: Buffer, start: number, headers: Readonly<Record<string, string>>): FoundBody {
  if (headers["transfer-encoding"] !== "chunked") {
    const end = start + Number(headers["content-length"] ?? 0);
    return { bytes: bytes.subarray(start, end), end, isWhole: end <= bytes.length };
  }
  const pieces: Buffer[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at);
    const length = lineEnd === -1 ? NaN : Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const end = lineEnd + 2 + length;
    if (Number.isNaN(length) || end + 2 > bytes.length) return { bytes: Buffer.concat(pieces), end: bytes.length, isWhole: false };
    if (length === 0) return { bytes: Buffer.concat(pieces), end: end + 2, isWhole: true };
    pieces.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}
