// Guarantee: nothing leaves without an admission or to an origin outside the configuration; redirects are not followed;
// a caller knows whether a failed request can have been billed; back-pressure and aborts reach the socket.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { networkInterfaces } from "node:os";
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Cancellation } from "../kernel/cancellation.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import { Secret } from "../kernel/secret.ts";
import { mintAdmission } from "./admission.ts";
import { createDialer, DialError, type Dialer, type OutboundRequest } from "./dialer.ts";
import type { UpstreamReply } from "./reply.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function serve(listener: (request: IncomingMessage, response: ServerResponse) => void): Promise<{ origin: string; server: Server }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

function dialer(origins: readonly string[], options: { proxy?: Secret; noProxy?: readonly string[] } = {}): Dialer {
  const made = createDialer({ isConfigured: (origin) => origins.includes(origin), connectMs: 1_000, proxy: options.proxy, noProxy: options.noProxy ?? [], certificates: undefined });
  closers.push(() => made.close());
  return made;
}

function request(origin: string, fields: Partial<OutboundRequest> = {}): OutboundRequest {
  return { origin, method: "POST", path: "/v1/messages", headers: ["x-a", "1"], body: Buffer.from("{}"), timeouts: { firstByteMs: 5_000, idleMs: 5_000 }, ...fields };
}

const admission = mintAdmission(newId("req", 1), "key_1");
const never = new Cancellation();

function read(reply: UpstreamReply): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    reply.consume({ data: (bytes) => void (text += bytes.toString()), end: () => resolve(text), fail: reject });
  });
}

async function faultOf(attempt: Promise<unknown>): Promise<DialError> {
  try {
    await attempt;
  } catch (fault) {
    return fault as DialError;
  }
  throw new Error("did not fail");
}

describe("createDialer", () => {
  it("refuses an admission that was not minted, and an origin that is not configured", async () => {
    const { origin } = await serve((_request, response) => response.end("no"));
    const made = dialer([origin]);
    expect((await faultOf(made.infer({ ...admission }, request(origin), never))).code).toBe("gateway_internal");
    expect((await faultOf(made.infer(admission, request("http://127.0.0.1:1"), never))).code).toBe("gateway_internal");
  });

  it("once configured anew opens connections as it says, leaves running replies alone, and keeps idle connections where nothing has changed for them", async () => {
    let connections = 0;
    const { origin, server } = await serve((incoming, response) => {
      response.writeHead(200).write("begun ");
      if (incoming.url !== "/held") response.end();
      else server.once("release", () => response.end("and ended"));
    });
    server.on("connection", () => (connections += 1));
    const origins = [origin];
    const network = { connectMs: 1_000, proxy: undefined, noProxy: [], certificates: undefined };
    const made = createDialer({ isConfigured: (asked) => origins.includes(asked), ...network });
    closers.push(() => made.close());
    const call = async (): Promise<string> => read(await made.infer(admission, request(origin), never));
    await call();
    made.configure({ ...network });
    await call();
    expect(connections).toBe(1);
    const held = await made.infer(admission, request(origin, { path: "/held" }), never);
    made.configure({ ...network, connectMs: 2_000 });
    await call();
    expect(connections).toBe(2);
    origins.pop();
    made.configure({ ...network, connectMs: 2_000 });
    expect((await faultOf(made.infer(admission, request(origin), never))).code).toBe("gateway_internal");
    server.emit("release");
    expect(await read(held)).toBe("begun and ended");
  });

  it("gives redirects back instead of following them", async () => {
    let calls = 0;
    const { origin } = await serve((_request, response) => {
      calls += 1;
      response.writeHead(307, { location: "/elsewhere" }).end();
    });
    const reply = await dialer([origin]).infer(admission, request(origin), never);
    await read(reply);
    expect([reply.status, calls]).toEqual([307, 1]);
  });

  it("says of a refused connection that nothing was sent, and of a dropped one that it may have been", async () => {
    const closed = await serve(() => {});
    await new Promise((resolve) => closed.server.close(resolve));
    const refused = await faultOf(dialer([closed.origin]).infer(admission, request(closed.origin), never));
    expect([refused.code, refused.wasSent]).toEqual(["upstream_unreachable", false]);
    const { origin } = await serve((incoming) => incoming.socket.destroy());
    const dropped = await faultOf(dialer([origin]).infer(admission, request(origin), never));
    expect([dropped.code, dropped.wasSent]).toEqual(["upstream_unreachable", true]);
  });

  it("ends a wait for the first byte in time, as slow and not as unreachable", async () => {
    const { origin } = await serve(() => {});
    const slow = await faultOf(dialer([origin]).infer(admission, request(origin, { timeouts: { firstByteMs: 50, idleMs: 50 } }), never));
    expect([slow.code, slow.wasSent]).toEqual(["upstream_slow", true]);
  });

  it("passes header order, spelling and repetition, and gives raw reply headers", async () => {
    let seen: string[] = [];
    const { origin } = await serve((incoming, response) => {
      seen = incoming.rawHeaders;
      response.writeHead(200, ["X-One", "1", "x-two", "2", "x-two", "3"]).end("ok");
    });
    const reply = await dialer([origin]).infer(admission, request(origin, { headers: ["Anthropic-Beta", "a", "anthropic-beta", "b"] }), never);
    expect(await read(reply)).toBe("ok");
    expect(seen.join("|")).toContain("Anthropic-Beta|a|anthropic-beta|b");
    expect(reply.headers.slice(0, 6)).toEqual(["X-One", "1", "x-two", "2", "x-two", "3"]);
  });

  it("closes the upstream connection when the request is cancelled, before and after the head", async () => {
    const gone: Promise<void>[] = [];
    const { origin } = await serve((incoming, response) => {
      gone.push(new Promise((resolve) => incoming.socket.once("close", () => resolve())));
      if (incoming.url === "/head") response.writeHead(200).write("first");
    });
    const made = dialer([origin]);
    const early = new Cancellation();
    const waiting = faultOf(made.infer(admission, request(origin), early));
    while (gone.length === 0) await new Promise((resolve) => setImmediate(resolve));
    early.cancel(new GatewayError("client_closed"));
    expect((await waiting).code).toBe("client_closed");
    await gone[0];
    const late = new Cancellation();
    const reply = await made.infer(admission, request(origin, { path: "/head" }), late);
    const failed = faultOf(read(reply));
    late.cancel(new GatewayError("client_closed"));
    expect((await failed).code).toBe("client_closed");
    await gone[1];
  });

  it("stops reading a paused reply, so that a fast upstream waits for a slow client", async () => {
    let written = 0;
    const { origin } = await serve((_request, response) => {
      const more = (): void => {
        while (written < 64 * 1024 * 1024) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    });
    const reply = await dialer([origin]).infer(admission, request(origin), never);
    let received = 0;
    const ended = new Promise<void>((resolve, reject) => {
      reply.consume({
        data(bytes) {
          received += bytes.length;
          if (received === bytes.length) reply.pause();
        },
        end: resolve,
        fail: reject,
      });
    });
    // The kernel's buffers fill up, then the upstream stands still.
    for (let last = -1; last !== written; ) {
      last = written;
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(written).toBeLessThan(32 * 1024 * 1024);
    reply.resume();
    await ended;
    expect(received).toBe(64 * 1024 * 1024);
  });

  it("goes through the configured proxy by CONNECT, and around it for exempt hosts", async () => {
    const { origin } = await serve((_request, response) => response.end("direct"));
    const asked: string[] = [];
    const proxy: TcpServer = createTcpServer((socket) => {
      socket.once("data", (bytes) => {
        asked.push(bytes.toString().split("\r\n").slice(0, 1).join(), /proxy-authorization: (.*)/i.exec(bytes.toString())?.[1] ?? "none");
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    closers.push(() => void proxy.close());
    const uri = new Secret(`http://user:pa%20ss@127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    const fault = await faultOf(dialer([origin], { proxy: uri }).infer(admission, request(origin), never));
    expect(fault.code).toBe("upstream_unreachable");
    expect(asked).toEqual([`CONNECT ${origin.slice(7)} HTTP/1.1`, `Basic ${Buffer.from("user:pa ss").toString("base64")}`]);
    expect(await read(await dialer([origin], { proxy: uri, noProxy: ["127.0.0.1"] }).infer(admission, request(origin), never))).toBe("direct");
  });

  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1"));
  it.skipIf(!hasIpv6)("finds a proxy at an IPv6 address (needs ::1)", async () => {
    const proxy: TcpServer = createTcpServer((socket) => void socket.once("data", () => socket.end("HTTP/1.1 403 Forbidden\r\n\r\n")));
    await new Promise<void>((resolve) => proxy.listen(0, "::1", resolve));
    closers.push(() => void proxy.close());
    const fault = await faultOf(dialer(["http://upstream.test"], { proxy: new Secret(`http://[::1]:${(proxy.address() as AddressInfo).port}`) }).infer(admission, request("http://upstream.test"), never));
    expect([fault.code, fault.wasSent]).toEqual(["upstream_unreachable", false]);
    expect(fault.details.internal).toMatch(/^the proxy answered 403: .*upstream\.test:80/);
  });
});
