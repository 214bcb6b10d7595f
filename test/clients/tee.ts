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

/** A running relay. */
export interface Tee {
  readonly url: string;
  /** Whole requests of all connections so far, in order of connection. */
  requests(): readonly SentRequest[];
  close(): Promise<void>;
}

/** Starts a relay on a free loopback port. */
export async function startTee(targetPort: number): Promise<Tee> {
  const recordings: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const recording: Buffer[] = [];
    recordings.push(recording);
    const target = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    client.on("data", (chunk: Buffer) => void recording.push(chunk));
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
