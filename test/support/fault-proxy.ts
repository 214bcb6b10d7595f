/**
 * Our TCP fault proxy: stands between two peers and delays, cuts, resets, throttles, re-splits or swallows bytes, by a script
 * per connection. It knows nothing of HTTP, so that a fault can fall on any byte.
 */
import { createServer, connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";

/** Faults of one direction. Sizes in bytes, counted from the start of the connection. */
export interface DirectionFaults {
  /** Silence before the first byte of this direction is passed on. */
  readonly delayMs?: number;
  /** After exactly this many bytes both sides get a FIN. */
  readonly cutAtByte?: number;
  /** After exactly this many bytes both sides get an RST. */
  readonly resetAtByte?: number;
  /** After exactly this many bytes nothing more is passed, the sockets stay open. */
  readonly stallAtByte?: number;
  /** Bytes per second, at least 20. */
  readonly bytesPerSecond?: number;
  /** Sizes of the writes, round and round; each is its own write in its own event-loop turn. */
  readonly splitBytes?: readonly number[];
}

/** What happens to one connection; an empty object is a plain relay. */
export interface ConnectionFaults {
  /** `blackhole`: accepted, no byte ever comes back or goes on. `refuse`: reset at once, as close to a refusal as a listener gets. */
  readonly accept?: "relay" | "blackhole" | "refuse";
  /** Silence before the target is dialled. */
  readonly connectDelayMs?: number;
  /** Bytes from the dialling side to the target. */
  readonly toTarget?: DirectionFaults;
  /** Bytes from the target to the dialling side. */
  readonly toClient?: DirectionFaults;
}

/** Chooses the faults of a connection by its serial number, from 1. */
export type FaultScript = (connection: number) => ConnectionFaults;

export interface FaultProxyOptions {
  /** Port on 127.0.0.1 that is relayed to. */
  readonly targetPort: number;
  /** For every connection, or by number, or a queue whose last entry does not repeat (plain relay follows). */
  readonly faults?: ConnectionFaults | FaultScript | readonly ConnectionFaults[];
}

export interface FaultProxy {
  readonly port: number;
  readonly url: string;
  /** Connections accepted so far. */
  connections(): number;
  /** Sockets open now; a relayed connection has two. */
  open(): number;
  /** Bytes passed on, both directions, over all connections. */
  bytesPassed(): { readonly toTarget: number; readonly toClient: number };
  /** Replaces the faults for connections from now on. */
  setFaults(faults: NonNullable<FaultProxyOptions["faults"]>): void;
  /** Resets all open connections and leaves the listener. */
  resetAll(): void;
  /** Stops listening: new connections are truly refused. Open ones stay. */
  stopListening(): Promise<void>;
  /** Destroys everything. */
  close(): Promise<void>;
}

/** Time that the receiver has to read what came before a broken connection. */
const settleMs = 15;

type Counter = { toTarget: number; toClient: number };

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** By RST; but a socket whose end is on its way out can only be closed, and would otherwise stay open for ever. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** The piece sizes of a direction; undefined means as it comes. */
function* sizesOf(faults: DirectionFaults): Generator<number, never> {
  const throttled = faults.bytesPerSecond === undefined ? Infinity : Math.max(1, Math.floor(faults.bytesPerSecond / 20));
  const sizes = faults.splitBytes?.filter((size) => size > 0) ?? [];
  for (let turn = 0; ; turn++) {
    yield Math.min(throttled, sizes.length === 0 ? Infinity : sizes[turn % sizes.length]!);
  }
}

interface Stop {
  readonly at: number;
  readonly does: "cut" | "reset" | "stall";
}

function stopOf(faults: DirectionFaults): Stop {
  const stops: Stop[] = [
    { at: faults.cutAtByte ?? Infinity, does: "cut" },
    { at: faults.resetAtByte ?? Infinity, does: "reset" },
    { at: faults.stallAtByte ?? Infinity, does: "stall" },
  ];
  return stops.reduce((first, next) => (next.at < first.at ? next : first));
}

/** One direction of one connection: reads piece by piece, so that back-pressure reaches the sender. */
class Pump {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: DirectionFaults;
  readonly #stop: Stop;
  readonly #sizes: Generator<number, never>;
  readonly #passed: (bytes: number) => void;
  #bytes = 0;

  constructor(from: Socket, to: Socket, options: { faults: DirectionFaults; passed: (bytes: number) => void }) {
    this.#from = from;
    this.#to = to;
    this.#faults = options.faults;
    this.#stop = stopOf(options.faults);
    this.#sizes = sizesOf(options.faults);
    this.#passed = options.passed;
  }

  async run(): Promise<void> {
    try {
      if (this.#stop.at === 0) {
        await this.#halt();
        return;
      }
      for await (const chunk of this.#from.iterator({ destroyOnReturn: false })) {
        if (this.#bytes === 0 && this.#faults.delayMs !== undefined) await pause(this.#faults.delayMs);
        if (!(await this.#pass(chunk as Buffer))) return;
      }
      if (this.#to.writable) this.#to.end();
    } catch {
      // A read error is the peer's reset; the sockets' own error handlers hand it on.
    }
  }

  /** False when the fault has been reached. */
  async #pass(chunk: Buffer): Promise<boolean> {
    let rest = chunk;
    while (rest.length > 0) {
      const piece = rest.subarray(0, Math.min(this.#sizes.next().value, this.#stop.at - this.#bytes));
      rest = rest.subarray(piece.length);
      if (this.#to.destroyed) return false;
      this.#bytes += piece.length;
      this.#passed(piece.length);
      await new Promise<void>((resolve) => void this.#to.write(piece, () => resolve()));
      if (this.#bytes >= this.#stop.at) {
        await this.#halt();
        return false;
      }
      if (this.#faults.bytesPerSecond !== undefined) await pause((piece.length * 1000) / this.#faults.bytesPerSecond);
      else if (this.#faults.splitBytes !== undefined) await new Promise((resolve) => void setImmediate(resolve));
    }
    return true;
  }

  async #halt(): Promise<void> {
    if (this.#stop.does === "stall") return;
    // A receiver that reads bytes and a reset in one go may drop the bytes: let it see them first.
    await pause(settleMs);
    for (const socket of [this.#to, this.#from]) {
      if (this.#stop.does === "reset") reset(socket);
      else socket.destroySoon();
    }
  }
}

/** The faults of connection `number`. */
function pick(faults: NonNullable<FaultProxyOptions["faults"]>, number: number): ConnectionFaults {
  if (typeof faults === "function") return faults(number);
  if (Array.isArray(faults)) return (faults as readonly ConnectionFaults[])[number - 1] ?? {};
  return faults as ConnectionFaults;
}

/** Starts on 127.0.0.1, any free port. Queues are counted from the last `setFaults`. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  let faults = options.faults ?? {};
  let connections = 0;
  let counted = 0;
  const bytes: Counter = { toTarget: 0, toClient: 0 };
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  };

  const relay = async (client: Socket, chosen: ConnectionFaults): Promise<void> => {
    if (chosen.connectDelayMs !== undefined) await pause(chosen.connectDelayMs);
    if (client.destroyed) return;
    const target = connect({ host: "127.0.0.1", port: options.targetPort, allowHalfOpen: true });
    keep(target);
    // A reset of one side is handed on as a reset, an orderly end as an end.
    target.on("error", () => reset(client));
    client.on("error", () => reset(target));
    target.on("close", () => client.destroySoon());
    client.on("close", () => target.destroy());
    void new Pump(client, target, { faults: chosen.toTarget ?? {}, passed: (count) => (bytes.toTarget += count) }).run();
    void new Pump(target, client, { faults: chosen.toClient ?? {}, passed: (count) => (bytes.toClient += count) }).run();
  };

  const server = createServer({ allowHalfOpen: true }, (client) => {
    connections += 1;
    const chosen = pick(faults, connections - counted);
    keep(client);
    if (chosen.accept === "refuse") reset(client);
    else if (chosen.accept === "blackhole") client.resume().on("end", () => client.end());
    else void relay(client, chosen);
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const stopListening = (): Promise<void> =>
    new Promise((resolve) => {
      if (server.listening) server.close(() => undefined);
      resolve();
    });

  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections: () => connections,
    open: () => sockets.size,
    bytesPassed: () => ({ ...bytes }),
    setFaults: (next) => {
      faults = next;
      counted = connections;
    },
    resetAll: () => {
      for (const socket of sockets) reset(socket);
    },
    stopListening,
    close: async () => {
      await stopListening();
      for (const socket of sockets) socket.destroy();
    },
  };
}
