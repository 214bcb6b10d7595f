/**
 * Connections to one origin: idle ones are reused, newest first, and each live request has its own, because a live stream
 * holds its connection for minutes. Opens them directly or through a CONNECT proxy.
 */
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { adviceFor, proxyRefusal } from "./dial-words.ts";
import { createConnection, encodeHead, type Connection, type HeadParts, type ExchangeSink, type SharedReader, type WireRequest } from "./connection.ts";
import { createResponseParser } from "./response-parser.ts";

export interface PoolOptions {
  /** `http://host[:port]` or `https://…`. */
  readonly origin: string;
  readonly connectMs: number;
  readonly lookup: LookupFunction;
  /** PEM, replacing the defaults when given. */
  readonly certificates: readonly string[] | undefined;
  /** A CONNECT proxy: address, and the `proxy-authorization` value where it needs one. */
  readonly proxy: { readonly url: string; readonly authorization: string | undefined } | undefined;
}

/** A request in flight. */
export interface Flight {
  pause(): void;
  resume(): void;
  /** Ends it; its sink hears nothing more. */
  destroy(): void;
}

/** As {@link ExchangeSink}, with what can go wrong before a connection is there. */
export interface FlightSink extends ExchangeSink {
  /** The request was handed to a connection: from now on the upstream may have it. */
  sent(): void;
  unconnected(kind: "refused" | "timeout", detail: string): void;
}

/** A request for this pool's origin. */
export type PoolRequest = Omit<HeadParts, "host"> & Pick<WireRequest, "firstByteMs" | "idleMs">;

export interface Pool {
  /** @throws Error when the head cannot be written; nothing has happened then */
  send(request: PoolRequest, sink: FlightSink): Flight;
  /** Closes idle connections; busy ones close when they are done. */
  close(): void;
}

/** What plain sockets read into, one read at a time; see {@link SharedReader}. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** Below the keep-alive of usual servers and load balancers, so that a request seldom meets a closing socket. */
const idleMs = 15_000;

export function createPool(options: PoolOptions): Pool {
  const url = new URL(options.origin);
  const idle: Connection[] = [];
  const owners = new WeakMap<Connection, Socket>();
  let session: Buffer | undefined;
  let isClosing = false;

  const onFree = (connection: Connection, socket: Socket): void => {
    if (isClosing) return connection.destroy();
    socket.setTimeout(idleMs);
    socket.unref();
    idle.push(connection);
  };
  const onClosed = (connection: Connection): void => {
    const at = idle.indexOf(connection);
    if (at !== -1) idle.splice(at, 1);
  };

  const adopt = (socket: Socket, reader: SharedReader | undefined): Connection => {
    const connection: Connection = createConnection(socket, reader, { onFree: (free) => onFree(free, socket), onClosed });
    owners.set(connection, socket);
    return connection;
  };
  return {
    send({ firstByteMs, idleMs: silenceMs, ...parts }, sink) {
      const request: WireRequest = { isHead: parts.method === "HEAD", head: encodeHead({ ...parts, host: url.host }), body: parts.body, firstByteMs, idleMs: silenceMs };
      let connection: Connection | undefined;
      while (connection === undefined && idle.length > 0) {
        const candidate = idle.pop()!;
        if (candidate.isUsable) connection = candidate;
      }
      if (connection !== undefined) {
        owners.get(connection)?.ref();
        return start(connection, request, sink);
      }
      return open(request, sink);
    },
    close() {
      isClosing = true;
      for (const connection of idle.splice(0)) connection.destroy();
    },
  };

  function start(connection: Connection, request: WireRequest, sink: FlightSink): Flight {
    sink.sent();
    connection.send(request, sink);
    return connection;
  }

  function open(asked: WireRequest, sink: FlightSink): Flight {
    // Let go once it is sent: its body may be megabytes, and the flight lives as long as the stream.
    let request: WireRequest | undefined = asked;
    let flight: Flight | undefined;
    let isGone = false;
    let isPaused = false;
    const opening = dial(options, url, session, {
      ready(socket, reader) {
        if (isGone || request === undefined) return void socket.destroy();
        (socket as TLSSocket).on("session", (fresh: Buffer) => void (session = fresh));
        flight = start(adopt(socket, reader), request, sink);
        request = undefined;
        if (isPaused) flight.pause();
      },
      failed(kind, detail) {
        if (!isGone) sink.unconnected(kind, detail);
      },
    });
    return {
      pause() {
        isPaused = true;
        flight?.pause();
      },
      resume() {
        isPaused = false;
        flight?.resume();
      },
      destroy() {
        isGone = true;
        opening.destroy();
        flight?.destroy();
      },
    };
  }
}

interface DialSink {
  ready(socket: Socket, reader?: SharedReader): void;
  failed(kind: "refused" | "timeout", detail: string): void;
}

/** Opens a connection, TLS included, within the connect time. Calls the sink once. */
function dial(options: PoolOptions, url: URL, session: Buffer | undefined, sink: DialSink): { destroy(): void } {
  const isTls = url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? (isTls ? 443 : 80) : Number(url.port);
  let current: Socket | undefined;
  let isOver = false;
  const over = (act: () => void): void => {
    if (isOver) return;
    isOver = true;
    act();
  };
  const fail = (kind: "refused" | "timeout", detail: string): void =>
    over(() => {
      current?.destroy();
      sink.failed(kind, detail);
    });
  const follow = (socket: Socket, event: "connect" | "secureConnect", peer: "proxy" | "upstream", next: () => void): void => {
    current = socket;
    socket.setTimeout(options.connectMs);
    const advise = (detail: string, code: string | undefined): string => `${peer === "proxy" ? "the proxy: " : ""}${detail}${adviceFor(peer, code)}`;
    const onError = (fault: Error & { code?: string }): void => fail("refused", advise(`${fault.code ?? fault.name} ${fault.message}`, fault.code));
    const onTimeout = (): void => fail("timeout", advise("no connection in time", undefined));
    const onClose = (): void => fail("refused", advise("the connection was closed while opening", undefined));
    socket.once("error", onError).once("timeout", onTimeout).once("close", onClose);
    socket.once(event, () => {
      socket.off("error", onError).off("timeout", onTimeout).off("close", onClose);
      next();
    });
  };
  const ready = (socket: Socket, reader?: SharedReader): void => over(() => sink.ready(socket, reader));
  const trust = options.certificates === undefined ? {} : { ca: [...options.certificates] };
  const secure = (under: Socket | undefined): void => {
    const socket = connectTls({
      ...(under === undefined ? { port, lookup: options.lookup } : { socket: under }),
      ...namesOf(host),
      ALPNProtocols: ["http/1.1"],
      minVersion: "TLSv1.2",
      ...(session === undefined ? {} : { session }),
      ...trust,
    });
    follow(socket, "secureConnect", "upstream", () => ready(socket));
  };
  const { proxy } = options;
  if (proxy !== undefined) {
    const via = new URL(proxy.url);
    const isSecure = via.protocol === "https:";
    const proxyHost = via.hostname.replace(/^\[|\]$/g, "");
    const proxyPort = via.port === "" ? (isSecure ? 443 : 80) : Number(via.port);
    const socket = isSecure ? connectTls({ ...namesOf(proxyHost), port: proxyPort, ...trust }) : connectTcp({ host: proxyHost, port: proxyPort });
    follow(socket, isSecure ? "secureConnect" : "connect", "proxy", () => {
      current = socket;
      askTunnel(socket, `${url.hostname}:${port}`, proxy.authorization, (fault) => {
        if (fault !== undefined) fail("refused", fault);
        else if (isTls) secure(socket);
        else ready(socket);
      });
    });
  } else if (isTls) secure(undefined);
  else {
    const reader: SharedReader = { take: () => {} };
    const onread = {
      buffer: readBuffer,
      callback(bytesRead: number, buffer: Uint8Array): boolean {
        reader.take(Buffer.from(buffer.buffer, buffer.byteOffset, bytesRead));
        return true;
      },
    };
    const socket = connectTcp({ host, port, lookup: options.lookup, keepAlive: true, onread });
    follow(socket, "connect", "upstream", () => ready(socket, reader));
  }
  return { destroy: () => over(() => current?.destroy()) };
}

/** Whom a certificate must name. An address is no server name in TLS's sense, and is compared with the certificate all the same. */
function namesOf(host: string): { readonly host: string; readonly servername?: string } {
  return isIP(host) === 0 ? { host, servername: host } : { host };
}

/** `CONNECT host:port`; calls back once, with a fault or with the tunnel open. */
function askTunnel(socket: Socket, target: string, authorization: string | undefined, done: (fault: string | undefined) => void): void {
  let isOver = false;
  const advice = adviceFor("proxy", undefined);
  const over = (fault: string | undefined): void => {
    if (isOver) return;
    isOver = true;
    socket.off("data", onData).off("error", onError).off("timeout", onEnd).off("end", onEnd);
    done(fault);
  };
  // The body of a refusal is of no interest, so the reply is read like one to HEAD.
  const parser = createResponseParser({ head: (status) => over(status >= 200 && status < 300 ? undefined : proxyRefusal(status, target, authorization !== undefined)), body: () => {}, end: () => {} }, true);
  const onData = (bytes: Buffer): void => {
    const fault = parser.push(bytes);
    if (fault !== undefined) over(`the proxy's answer: ${fault}${advice}`);
  };
  const onError = (fault: Error): void => over(`the proxy: ${fault.message}${advice}`);
  const onEnd = (): void => over(`the proxy gave no answer${advice}`);
  socket.on("data", onData).on("error", onError).on("timeout", onEnd).on("end", onEnd);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${authorization === undefined ? "" : `proxy-authorization: ${authorization}\r\n`}\r\n`);
}
