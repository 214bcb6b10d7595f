// Guarantee: the fault proxy passes bytes unchanged when told nothing, and each fault falls on exactly the byte it names.
import { createServer, connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, FaultProxyOptions } from "./fault-proxy.ts";

const open: { close: () => unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close();
});

interface Target {
  readonly port: number;
  readonly received: () => Buffer;
  readonly sockets: readonly Socket[];
}

/** Sends `reply` once the first bytes came, then ends when `isEnding`. */
async function startTarget(reply: Buffer, isEnding = true): Promise<Target> {
  const pieces: Buffer[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    let isFirst = true;
    socket.on("data", (bytes) => {
      pieces.push(bytes);
      if (isFirst) socket.write(reply, () => isEnding && socket.end());
      isFirst = false;
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  open.push({ close: () => (server.close(), sockets.forEach((socket) => socket.destroy())) });
  return { port: (server.address() as AddressInfo).port, received: () => Buffer.concat(pieces), sockets };
}

interface Visit {
  readonly received: Buffer;
  readonly ended: "end" | "reset" | "open";
  readonly socket: Socket;
}

/** Dials, sends, and reads until the connection ends or `isEnough`. */
function visit(port: number, sent: Buffer, isEnough: (received: Buffer) => boolean = () => false): Promise<Visit> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    open.push({ close: () => socket.destroy() });
    let received = Buffer.alloc(0);
    socket.on("data", (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (isEnough(received)) resolve({ received, ended: "open", socket });
    });
    socket.on("error", () => resolve({ received, ended: "reset", socket }));
    socket.on("end", () => resolve({ received, ended: "end", socket }));
    socket.write(sent);
  });
}

async function proxyTo(target: Target, faults?: FaultProxyOptions["faults"]): Promise<FaultProxy> {
  const proxy = await startFaultProxy({ targetPort: target.port, ...(faults === undefined ? {} : { faults }) });
  open.push(proxy);
  return proxy;
}

const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
const hello = Buffer.from("hello");

describe("fault proxy", () => {
  it("passes all bytes and the end, unchanged, when told nothing", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target);
    const { received, ended } = await visit(proxy.port, hello);
    expect(received.equals(bytes)).toBe(true);
    expect(ended).toBe("end");
    expect(target.received().toString()).toBe("hello");
    expect(proxy.connections()).toBe(1);
    expect(proxy.bytesPassed()).toEqual({ toTarget: 5, toClient: 5000 });
  });

  it.each([1, 17, 4999])("cuts after exactly %i bytes with a FIN", async (cutAtByte) => {
    const target = await startTarget(bytes, false);
    const proxy = await proxyTo(target, { toClient: { cutAtByte } });
    const { received, ended } = await visit(proxy.port, hello);
    expect(received.equals(bytes.subarray(0, cutAtByte))).toBe(true);
    expect(ended).toBe("end");
  });

  it.each([0, 17, 4999])("resets after exactly %i bytes with an RST", async (resetAtByte) => {
    const target = await startTarget(bytes, false);
    const proxy = await proxyTo(target, { toClient: { resetAtByte } });
    const { received, ended } = await visit(proxy.port, hello);
    expect(received.equals(bytes.subarray(0, resetAtByte))).toBe(true);
    expect(ended).toBe("reset");
  });

  it("cuts the direction to the target at its byte", async () => {
    const target = await startTarget(bytes, false);
    const proxy = await proxyTo(target, { toTarget: { resetAtByte: 3 } });
    expect((await visit(proxy.port, hello)).ended).toBe("reset");
    await expect.poll(() => target.received().toString()).toBe("hel");
  });

  it("stalls after exactly the byte and keeps the connection open", async () => {
    const target = await startTarget(bytes, true);
    const proxy = await proxyTo(target, { toClient: { stallAtByte: 100 } });
    const { received, ended } = await visit(proxy.port, hello, (got) => got.length >= 100);
    expect(received.length).toBe(100);
    expect(ended).toBe("open");
    expect(proxy.open()).toBeGreaterThan(0);
  });

  it("splits into the given sizes without losing a byte", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target, { toClient: { splitBytes: [1, 700, 3] } });
    expect((await visit(proxy.port, hello)).received.equals(bytes)).toBe(true);
  });

  it("throttles: the transfer takes as long as the rate says", async () => {
    const target = await startTarget(bytes.subarray(0, 400));
    const proxy = await proxyTo(target, { toClient: { bytesPerSecond: 2000 } });
    const startMs = performance.now();
    expect((await visit(proxy.port, hello)).received.length).toBe(400);
    expect(performance.now() - startMs).toBeGreaterThan(150);
  });

  it("delays the first byte", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target, { toClient: { delayMs: 80 } });
    const startMs = performance.now();
    await visit(proxy.port, hello);
    expect(performance.now() - startMs).toBeGreaterThan(75);
  });

  it("a blackhole accepts and stays silent; nothing reaches the target", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target, { accept: "blackhole" });
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    open.push({ close: () => socket.destroy() });
    await new Promise((resolve) => socket.once("connect", resolve));
    let isHeard = false;
    socket.on("data", () => (isHeard = true)).write(hello);
    await expect.poll(() => proxy.connections()).toBe(1);
    expect(isHeard).toBe(false);
    expect(target.sockets.length).toBe(0);
  });

  it("refusal is a reset, or no listener at all", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target, { accept: "refuse" });
    expect((await visit(proxy.port, hello)).ended).toBe("reset");
    await proxy.stopListening();
    expect(await visit(proxy.port, hello)).toMatchObject({ ended: "reset" });
    expect(proxy.connections()).toBe(1);
  });

  it("a queue serves one connection each, then relays plainly", async () => {
    const target = await startTarget(bytes);
    const proxy = await proxyTo(target, [{ accept: "refuse" }, { toClient: { cutAtByte: 5 } }]);
    expect((await visit(proxy.port, hello)).ended).toBe("reset");
    expect((await visit(proxy.port, hello)).received.length).toBe(5);
    expect((await visit(proxy.port, hello)).received.length).toBe(5000);
    proxy.setFaults((connection) => (connection === 2 ? { accept: "refuse" } : {}));
    expect((await visit(proxy.port, hello)).received.length).toBe(5000);
    expect((await visit(proxy.port, hello)).ended).toBe("reset");
  });

  it("hands on a reset of the target as a reset", async () => {
    const target = await startTarget(Buffer.from("x"), false);
    const proxy = await proxyTo(target);
    const { socket } = await visit(proxy.port, hello, (got) => got.length > 0);
    const reset = new Promise((resolve) => socket.once("error", resolve));
    target.sockets[0]!.resetAndDestroy();
    expect(await reset).toMatchObject({ code: "ECONNRESET" });
  });
});
