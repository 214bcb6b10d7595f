/** The three measurements of the benchmark, each for one contender and one window. They collect; they judge nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ClosedLoopCase, FixedRateCase, StreamsCase } from "./cases.ts";
import type { Contender } from "./contenders.ts";
import type { ReplyKind } from "./payloads.ts";
import { BenchError, coreTicks, cpuBetweenNs, rssBytes, threadCpuNs } from "./processes.ts";
import type { Rig } from "./rig.ts";
import { runWrk } from "./wrk.ts";

/** Result of one closed-loop window. */
export interface ClosedLoopSample {
  readonly perSecond: number;
  /** On-CPU time of all threads per answered request, in microseconds; undefined for direct. */
  readonly cpuUs: number | undefined;
  /** Share of the gateway core that the contender used, 0 to 1; undefined for direct. */
  readonly coreUse: number | undefined;
  /** Share of both cores that the hypervisor gave to somebody else, 0 to 1. */
  readonly stolen: number;
}

/** Result of one fixed-rate window, in milliseconds. */
export interface FixedRateSample {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly firstByteP50Ms: number;
}

/** Result of one window of paced streams. */
export interface StreamsSample {
  /** From writing the request to the first body byte, while the streams are being opened. */
  readonly firstByteP50Ms: number;
  readonly eventsPerSecond: number;
  /** Undefined for direct, like the members below. */
  readonly cpuUsPerEvent: number | undefined;
  readonly coreUse: number | undefined;
  readonly rssBytes: number | undefined;
}

/** Streams opened per second while a streams case starts. */
const streamsOpenedPerSecond = 1_000;

interface Watch {
  readonly cpuNs: number | undefined;
  readonly elapsedNs: number;
  readonly stolen: number;
}

/** Runs `work` and says what the contender's process and the two cores did meanwhile. */
async function watched<Result>(rig: Rig, contender: Contender, work: () => Promise<Result>): Promise<Watch & { readonly result: Result }> {
  const pid = contender.process?.pid;
  const cores = [rig.gatewayCore, rig.loadCore];
  const ticksBefore = cores.map(coreTicks);
  const cpuBefore = pid === undefined ? undefined : threadCpuNs(pid);
  const startedAt = process.hrtime.bigint();
  const result = await work();
  const elapsedNs = Number(process.hrtime.bigint() - startedAt);
  const cpuNs = pid === undefined || cpuBefore === undefined ? undefined : cpuBetweenNs(cpuBefore, threadCpuNs(pid));
  const ticksAfter = cores.map(coreTicks);
  const sum = (pick: "total" | "stolen"): number =>
    ticksAfter.reduce((total, each, index) => total + each[pick] - (ticksBefore[index]?.[pick] ?? 0), 0);
  return { result, cpuNs, elapsedNs, stolen: sum("stolen") / Math.max(1, sum("total")) };
}

/** As many requests as the contender can answer, for a number of seconds. */
export async function closedLoop(rig: Rig, contender: Contender, window: { readonly load: ClosedLoopCase; readonly seconds: number }): Promise<ClosedLoopSample> {
  const run = () => runWrk({ ...window, contender, core: rig.loadCore, folder: rig.folder });
  const { result, cpuNs, elapsedNs, stolen } = await watched(rig, contender, run);
  return {
    perSecond: (result.requests * 1_000) / result.durationMs,
    cpuUs: cpuNs === undefined ? undefined : cpuNs / 1_000 / result.requests,
    coreUse: cpuNs === undefined ? undefined : cpuNs / elapsedNs,
    stolen,
  };
}

/**
 * Requests at a fixed rate, sent whether or not earlier ones were answered.
 *
 * @throws BenchError when more than one request in a hundred failed
 */
export async function fixedRate(rig: Rig, contender: Contender, window: { readonly load: FixedRateCase; readonly durationMs: number }): Promise<FixedRateSample> {
  const { load, durationMs } = window;
  const { name, reply, bodyBytes, perSecond } = load;
  const aim = { port: contender.port, key: contender.key, reply, bodyBytes, perSecond };
  const answer = await rig.ask({ type: "fixed-rate", aim, durationMs });
  if (answer.failures > answer.requests / 100) throw new BenchError(`${name} at ${contender.name}: ${answer.failures} of ${answer.requests} failed.`);
  return { p50Ms: answer.totalP50Ms, p99Ms: answer.totalP99Ms, firstByteP50Ms: answer.firstByteP50Ms };
}

/**
 * Opens the streams, lets them run, reads CPU and memory while they run, and lets the upstream end them.
 *
 * @throws BenchError when a stream did not start or did not end properly
 */
export async function pacedStreams(
  rig: Rig,
  contender: Contender,
  window: { readonly load: StreamsCase; readonly settleMs: number; readonly windowMs: number },
): Promise<StreamsSample> {
  const { name, count, bodyBytes } = window.load;
  const aim = { port: contender.port, key: contender.key, reply: "paced" as ReplyKind, bodyBytes, perSecond: streamsOpenedPerSecond };
  const opened = await rig.ask({ type: "open-streams", aim, count });
  if (opened.failures > 0) throw new BenchError(`${name} at ${contender.name}: ${opened.failures} of ${count} streams did not start.`);
  await sleep(window.settleMs);
  const { result, cpuNs, elapsedNs } = await watched(rig, contender, async () => {
    const before = await rig.ask({ type: "count-events" });
    await sleep(window.windowMs);
    const after = await rig.ask({ type: "count-events" });
    return after.events - before.events;
  });
  const rss = contender.process === undefined ? undefined : rssBytes(contender.process.pid);
  rig.finishPaced();
  const closed = await rig.ask({ type: "close-streams" });
  if (closed.failures > 0) throw new BenchError(`${name} at ${contender.name}: ${closed.failures} of ${count} streams did not end properly.`);
  return {
    firstByteP50Ms: opened.firstByteP50Ms,
    eventsPerSecond: (result * 1e9) / elapsedNs,
    cpuUsPerEvent: cpuNs === undefined ? undefined : cpuNs / 1_000 / result,
    coreUse: cpuNs === undefined ? undefined : cpuNs / elapsedNs,
    rssBytes: rss,
  };
}

/**
 * Load before memory is read: plain replies and bursts at a moderate rate, then silence, in which the gateway does what
 * it does when it falls quiet.
 *
 * @returns resident memory after the silence, in bytes; undefined for direct
 */
export async function warmForStreams(rig: Rig, contender: Contender, times: { readonly warmUpMs: number; readonly idleMs: number }): Promise<number | undefined> {
  for (const reply of ["plain", "burst"] as const) {
    const aim = { port: contender.port, key: contender.key, reply, bodyBytes: 1_000, perSecond: reply === "plain" ? 1_000 : 200 };
    await rig.ask({ type: "fixed-rate", aim, durationMs: times.warmUpMs });
  }
  await sleep(times.idleMs);
  return contender.process === undefined ? undefined : rssBytes(contender.process.pid);
}
