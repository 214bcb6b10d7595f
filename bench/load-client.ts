/**
 * The part of the load generator that wrk cannot do: requests at a fixed rate whatever the answers do (open loop), and
 * many long streams at once. Runs as a process of its own and takes one command at a time from its parent.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Connection, requestBytes } from "./http-exchange.ts";
import type { ExchangeTimes } from "./http-exchange.ts";
import { requestBody } from "./payloads.ts";
import type { ReplyKind } from "./payloads.ts";
import { percentile } from "./statistics.ts";

/** Where and what to ask. */
export interface Aim {
  readonly port: number;
  readonly key: string;
  readonly reply: ReplyKind;
  readonly bodyBytes: number;
  readonly perSecond: number;
}

/** What the parent may ask for; every command is answered by exactly one {@link LoadAnswer}. */
export type LoadCommand =
  | { readonly type: "fixed-rate"; readonly aim: Aim; readonly durationMs: number }
  | { readonly type: "open-streams"; readonly aim: Aim; readonly count: number }
  | { readonly type: "count-events" }
  | { readonly type: "close-streams" };

/** Figures of one command, in milliseconds where they are times; members without meaning for a command are 0. */
export interface LoadAnswer {
  readonly requests: number;
  readonly failures: number;
  readonly firstByteP50Ms: number;
  readonly firstByteP99Ms: number;
  readonly totalP50Ms: number;
  readonly totalP99Ms: number;
  /** Events of all open streams since they were opened. */
  readonly events: number;
}

const replyTimeoutMs = 5_000;
/** Connections opened beforehand, so that no measured request waits for a handshake at the usual rates. */
const readyConnections = 4;

let streams: Connection[] = [];
let streamEnds: Promise<ExchangeTimes>[] = [];

function answer(times: { readonly firstByteMs: number[]; readonly totalMs: number[] }, failures: number): LoadAnswer {
  return {
    requests: times.firstByteMs.length,
    failures,
    firstByteP50Ms: percentile(times.firstByteMs, 50),
    firstByteP99Ms: percentile(times.firstByteMs, 99),
    totalP50Ms: percentile(times.totalMs, 50),
    totalP99Ms: percentile(times.totalMs, 99),
    events: streams.reduce((sum, each) => sum + each.eventCount, 0),
  };
}

async function atFixedRate(aim: Aim, durationMs: number): Promise<LoadAnswer> {
  const request = requestBytes(aim.port, aim.key, requestBody(aim.reply, aim.bodyBytes));
  const all = new Set<Connection>();
  const free: Connection[] = [];
  const open = (): Connection => {
    const connection = new Connection(aim.port);
    all.add(connection);
    return connection;
  };
  for (let index = 0; index < readyConnections; index += 1) free.push(open());
  await Promise.all(free.map((connection) => connection.exchange(request)));

  const times = { firstByteMs: [] as number[], totalMs: [] as number[] };
  let failures = 0;
  let running = 0;
  const send = async (): Promise<void> => {
    let connection = free.pop();
    while (connection !== undefined && !connection.isUsable) connection = free.pop();
    connection ??= open();
    running += 1;
    const result = await connection.exchange(request);
    running -= 1;
    if (result.status === 200) {
      times.firstByteMs.push(result.firstByteMs);
      times.totalMs.push(result.totalMs);
      free.push(connection);
    } else failures += 1;
  };
  const startedAt = performance.now();
  const planned = Math.round((durationMs * aim.perSecond) / 1_000);
  for (let sent = 0; sent < planned; sent += 1) {
    const waitMs = startedAt + (sent * 1_000) / aim.perSecond - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    void send();
  }
  const deadline = performance.now() + replyTimeoutMs;
  while (running > 0 && performance.now() < deadline) await sleep(5);
  failures += running;
  for (const connection of all) connection.socket.destroy();
  return answer(times, failures);
}

async function openStreams(aim: Aim, count: number): Promise<LoadAnswer> {
  const request = requestBytes(aim.port, aim.key, requestBody(aim.reply, aim.bodyBytes));
  const firstByteMs: number[] = [];
  streams = [];
  streamEnds = [];
  const startedAt = performance.now();
  while (streams.length < count) {
    const waitMs = startedAt + (streams.length * 1_000) / aim.perSecond - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const connection = new Connection(aim.port);
    streams.push(connection);
    streamEnds.push(connection.exchange(request, (ms) => firstByteMs.push(ms)));
  }
  const deadline = performance.now() + replyTimeoutMs;
  while (firstByteMs.length < count && performance.now() < deadline) await sleep(20);
  return answer({ firstByteMs, totalMs: [] }, count - firstByteMs.length);
}

/** To be called once the mock was told to end its streams; a stream that does not end is a failure. */
async function closeStreams(): Promise<LoadAnswer> {
  const timeout = sleep(replyTimeoutMs, undefined);
  const ends = await Promise.all(streamEnds.map((end) => Promise.race([end, timeout])));
  for (const connection of streams) connection.socket.destroy();
  const ended = ends.filter((end) => end !== undefined && end.status === 200).length;
  const result = answer({ firstByteMs: [], totalMs: [] }, ends.length - ended);
  streams = [];
  streamEnds = [];
  return result;
}

function run(command: LoadCommand): Promise<LoadAnswer> {
  switch (command.type) {
    case "fixed-rate":
      return atFixedRate(command.aim, command.durationMs);
    case "open-streams":
      return openStreams(command.aim, command.count);
    case "count-events":
      return Promise.resolve(answer({ firstByteMs: [], totalMs: [] }, 0));
    case "close-streams":
      return closeStreams();
  }
}

process.on("message", (command: LoadCommand) => {
  void run(command).then((result) => process.send?.(result));
});
process.on("disconnect", () => process.exit(0));
