/**
 * The listeners, with every bound of Node's HTTP server set explicitly. One server for both planes, plus one without keys
 * for metrics where the configuration asks for it.
 */
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { headerBytesMax } from "../kernel/bounds.ts";
import type { ListenConfig } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";
import { readTls, tlsOptions, watchTls, type OnTlsReload } from "./tls.ts";

const serverOptions: ServerOptions = {
  maxHeaderSize: headerBytesMax,
  // Node's own count would drop headers silently; the request guard refuses instead.
  insecureHTTPParser: false,
  // The request guard refuses a request without one, in words; Node would with an empty body.
  requireHostHeader: false,
  headersTimeout: 15_000,
  // The pipeline times bodies it reads; this ends those that nobody reads, after a refusal.
  requestTimeout: 330_000,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  noDelay: true,
  highWaterMark: 64 * 1024,
};

/** A listener that runs. */
export interface Listener {
  /** `http://host:port` or `https://…`, with the port that was really taken. */
  readonly url: string;
  readonly server: Server | HttpsServer;
  /** Stops accepting, closes idle connections, resolves when the last one has ended. */
  close(): Promise<void>;
  /** Closes connections that wait for a next request. */
  closeIdle(): void;
  /** Ends what is still open. */
  closeNow(): void;
}

/** @throws Error when the port is taken or a certificate cannot be read; then nothing stays open */
export async function listen(config: ListenConfig, listener: RequestListener, options: { readonly clock: Clock; readonly onTlsReload: OnTlsReload }): Promise<Listener> {
  const { tls } = config;
  /** The youngest answer of each connection, so that nothing else is written into one that is under way. */
  const answers = new WeakMap<Socket, ServerResponse>();
  const noting: RequestListener = (request, response) => {
    answers.set(request.socket, response);
    listener(request, response);
  };
  const { server, watching } = tls === undefined ? { server: createHttpServer(serverOptions, noting), watching: undefined } : createTlsServer(tls, noting, options);
  server.maxHeadersCount = 0;
  const answerOrEnd = (fault: { code?: string }, socket: Socket): void => {
    if (mayAnswer(answers.get(socket))) answerBrokenClient(fault, socket);
    else socket.destroy();
  };
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => lingerWhenUnread(socket, () => answers.get(socket)?.req, options.clock));
  server.on("clientError", answerOrEnd);
  server.on("upgrade", (_request: IncomingMessage, socket: Socket) => answerOrEnd({ code: "UPGRADE" }, socket));
  server.on("connect", (_request: IncomingMessage, socket: Socket) => answerOrEnd({ code: "CONNECT" }, socket));
  server.on("checkExpectation", (_request, response) => {
    const body = plainError("The only expectation that is met here is 100-continue.");
    response.writeHead(417, { connection: "close", "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
  });
  await new Promise<void>((resolve, reject) => {
    const onFault = (fault: Error): void => {
      watching?.close();
      reject(fault);
    };
    server.once("error", onFault);
    server.listen(config.port, config.host, () => {
      server.off("error", onFault);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return {
    url: `${tls === undefined ? "http" : "https"}://${host}:${port}`,
    server,
    close: () =>
      new Promise((resolve) => {
        watching?.close();
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
    closeIdle: () => server.closeIdleConnections(),
    closeNow: () => server.closeAllConnections(),
  };
}

function createTlsServer(tls: NonNullable<ListenConfig["tls"]>, listener: RequestListener, { clock, onTlsReload }: { readonly clock: Clock; readonly onTlsReload: OnTlsReload }): { server: HttpsServer; watching: { close(): void } } {
  const texts = readTls(tls);
  const server = createHttpsServer({ ...serverOptions, ...tlsOptions(texts) }, listener);
  return { server, watching: watchTls(tls, texts, { clock, use: (changed) => server.setSecureContext(tlsOptions(changed)), onReload: onTlsReload }) };
}

/** A client that is told before its body is read gets this long, and may send this much, before it must have read the answer. */
const lingerMs = 2_000;
const lingerBytesMax = 64 * 1024 * 1024;

/**
 * Closing a connection with unread bytes resets it, and a reset takes an answer with it that the client has not read yet: a body that is
 * too large would look like a broken network, and be sent again. So such a connection says that it has ended, and lets the client finish.
 */
function lingerWhenUnread(socket: Socket, requestOf: () => IncomingMessage | undefined, clock: Clock): void {
  const destroySoon = socket.destroySoon.bind(socket);
  socket.destroySoon = () => {
    const request = requestOf();
    if (request === undefined || request.complete || socket.destroyed) return destroySoon();
    const timer = clock.after(lingerMs, () => socket.destroy());
    socket.once("close", () => timer.cancel());
    let unread = 0;
    request.once("end", destroySoon).on("data", (bytes: Buffer) => {
      unread += bytes.length;
      if (unread > lingerBytesMax) socket.destroy();
    });
    socket.end();
  };
}

/** Whether nothing of an answer has been sent that the refusal would break into. */
function mayAnswer(answer: ServerResponse | undefined): boolean {
  if (answer === undefined || answer.writableFinished) return true;
  // Behind another answer that is under way, one has no socket yet.
  return answer.socket !== null && !answer.headersSent;
}

/** What the parser refuses gets one clear line, in no dialect, since none is known yet. */
function answerBrokenClient(fault: { code?: string; rawPacket?: Buffer }, socket: Socket): void {
  if (socket.destroyed || !socket.writable || fault.code === "ECONNRESET") return void socket.destroy();
  const isPreface = fault.rawPacket?.subarray(0, 14).toString("latin1").startsWith("PRI * HTTP/2.0") === true;
  const [status, message] =
    fault.code === "HPE_HEADER_OVERFLOW"
      ? ["431 Request Header Fields Too Large", `The request headers are larger than ${headerBytesMax / 1024} KiB.`]
      : fault.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ["408 Request Timeout", "The request headers did not arrive in time."]
        : isPreface
          ? ["400 Bad Request", "This port speaks HTTP/1.1. With the AWS SDK for JavaScript, set requestHandler to a NodeHttpHandler."]
          : ["400 Bad Request", "The HTTP request is malformed."];
  const body = plainError(message);
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function plainError(message: string): string {
  return JSON.stringify({ type: "error", error: { type: "invalid_request_error", message } });
}
