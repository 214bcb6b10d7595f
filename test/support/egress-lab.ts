/**
 * What stands between a gateway and its upstreams in tests of the way there: a private authority with certificates of its own,
 * TLS in front of a plain fake, and a CONNECT proxy that keeps what it was sent.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";

/** What a proxy does with a tunnel: leads to a port of this machine, answers so and closes, or opens it and breaks it off. */
export type Treatment = number | { readonly answer: string } | "break";

/** A CONNECT proxy that runs. */
export interface RecordingProxy {
  readonly port: number;
  /** Heads of requests, whole, in order. */
  readonly heads: readonly string[];
  /** First lines of these. */
  asked(): readonly string[];
  /** All that gateways ever sent to it, tunnels included, as Latin-1. */
  bytes(): string;
  close(): void;
}

/**
 * Certificates in a folder of their own: `authority.pem`, which signed `upstream.pem` for 127.0.0.1 and upstream.test and
 * `elsewhere.pem` for elsewhere.test; and `stranger.pem`, which signed nothing.
 */
export interface EgressLab {
  /** Path of a file in the folder of certificates. */
  file(name: string): string;
  /** Waits for a server and ends it, with its connections, in `closeAll`; gives its port. */
  listen(server: Server): Promise<number>;
  /** TLS on a port of its own, by a pair of the folder, in front of a plain port of this machine. */
  startTlsFront(port: number, pair?: string): Promise<number>;
  /**
   * @param treat is given `host:port`
   * @param pair makes it speak TLS itself
   */
  startProxy(treat: (target: string) => Treatment, pair?: string): Promise<RecordingProxy>;
  /** Ends all servers. */
  closeAll(): void;
  /** Removes the folder. */
  remove(): void;
}

/** @throws Error where there is no `openssl` */
export function createEgressLab(): EgressLab {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-egress-"));
  makeCertificates(folder);
  const file = (name: string): string => join(folder, name);
  const closers: (() => void)[] = [];
  const listen = async (server: Server): Promise<number> => {
    const running = await listening(server);
    closers.push(() => running.close());
    return running.port;
  };
  const pairOf = (name: string): { key: Buffer; cert: Buffer } => ({ key: readFileSync(file(`${name}.key`)), cert: readFileSync(file(`${name}.pem`)) });
  return {
    file,
    listen,
    startTlsFront(port, pair = "upstream") {
      const server = createTlsServer(pairOf(pair), (socket) => joinSockets(socket, connect(port, "127.0.0.1")));
      server.on("tlsClientError", () => undefined);
      return listen(server);
    },
    async startProxy(treat, pair) {
      const heads: string[] = [];
      let bytes = "";
      const take = (socket: Socket): void => {
        socket.on("data", (piece: Buffer) => (bytes += piece.toString("latin1")));
        serveTunnel(socket, heads, treat);
      };
      const running = await listening(pair === undefined ? createServer(take) : createTlsServer(pairOf(pair), take));
      closers.push(() => running.close());
      return { port: running.port, heads, asked: () => heads.map((head) => head.split("\r\n", 1)[0]!), bytes: () => bytes, close: () => running.close() };
    },
    closeAll() {
      for (const close of closers.splice(0)) close();
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

function makeCertificates(folder: string): void {
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: folder, stdio: "ignore" });
  const key = (name: string): string[] => ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${name}`, "-keyout", `${name}.key`];
  for (const name of ["authority", "stranger"]) openssl("req", "-x509", ...key(name), "-days", "2", "-out", `${name}.pem`);
  for (const [name, names] of [["upstream", "IP:127.0.0.1,DNS:upstream.test"], ["elsewhere", "DNS:elsewhere.test"]] as const) {
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}\n`);
    openssl("req", ...key(name), "-out", `${name}.csr`);
    openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`);
  }
}

async function listening(server: Server): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => void sockets.delete(socket));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function joinSockets(one: Socket, other: Socket): void {
  for (const end of [one, other]) {
    end.on("error", () => undefined);
    end.on("close", () => {
      one.destroy();
      other.destroy();
    });
  }
  one.pipe(other).pipe(one);
}

/** Reads one head, then does as it is told. */
function serveTunnel(socket: Socket, heads: string[], treat: (target: string) => Treatment): void {
  let head = "";
  const onHead = (piece: Buffer): void => {
    head += piece.toString("latin1");
    if (!head.includes("\r\n\r\n")) return;
    socket.off("data", onHead);
    heads.push(head);
    const treatment = treat(head.split(" ")[1] ?? "");
    if (typeof treatment === "object") return void socket.end(treatment.answer);
    socket.write("HTTP/1.1 200 Connection established\r\nproxy-agent: test\r\n\r\n");
    if (treatment === "break") socket.once("data", () => void socket.resetAndDestroy());
    else joinSockets(socket, connect(treatment, "127.0.0.1"));
  };
  socket.on("error", () => undefined).on("data", onHead);
}
