/**
 * Runs one closed-loop case with V8's sampling profiler on the gateway and prints where the time went, so that work on
 * the hot path starts from a measurement. Start-up and warm-up are left out of the profile by their timestamps.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { closedLoopCases } from "./cases.ts";
import type { ClosedLoopCase } from "./cases.ts";
import { startTollgate, stopContender, verify } from "./contenders.ts";
import { BenchError, demandTools, killAllNow, pinSelf, stopAll } from "./processes.ts";
import { startRig } from "./rig.ts";
import { runWrk } from "./wrk.ts";

/** The parts of V8's `.cpuprofile` that are read. Times are microseconds on the machine's monotonic clock. */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

interface TimeWindow {
  readonly fromUs: number;
  readonly untilUs: number;
  readonly requests: number;
}

const gatewayCore = 0;
const loadCore = 1;
const samplingIntervalUs = 200;
const runLimitMs = 180_000;

/** Path from the repository on, so that equal places look equal on every machine. */
function placeOf(frame: CallFrame): string {
  if (frame.url === "") return "native";
  const repository = fileURLToPath(new URL("..", import.meta.url));
  const path = frame.url.startsWith("file:") ? fileURLToPath(frame.url) : frame.url;
  return `${path.replace(repository, "").replace("node_modules/", "")}:${frame.lineNumber + 1}`;
}

/** The folder of a place two levels deep, or the package. */
function roomOf(place: string): string {
  if (place.startsWith("node:")) return place.replace(/:\d+$/, "");
  return place.split("/").slice(0, 2).join("/").replace(/:\d+$/, "");
}

/** Self time by function within the window, in microseconds. */
function selfTimes(profile: CpuProfile, window: TimeWindow): ReadonlyMap<string, number> {
  const nameById = new Map<number, string>();
  for (const { id, callFrame } of profile.nodes) nameById.set(id, `${callFrame.functionName || "(anonymous)"}\t${placeOf(callFrame)}`);
  const byName = new Map<string, number>();
  let atUs = profile.startTime;
  profile.samples.forEach((id, index) => {
    atUs += profile.timeDeltas[index] ?? 0;
    if (atUs < window.fromUs || atUs > window.untilUs) return;
    const name = nameById.get(id) ?? "";
    byName.set(name, (byName.get(name) ?? 0) + (profile.timeDeltas[index + 1] ?? 0));
  });
  for (const name of byName.keys()) if (name.startsWith("(idle)")) byName.delete(name);
  return byName;
}

function print(title: string, times: ReadonlyMap<string, number>, options: { readonly requests: number; readonly top: number }): void {
  const busyUs = [...times.values()].reduce((sum, each) => sum + each, 0);
  process.stdout.write(`\n${title}\n     %  µs/request\n`);
  const sorted = [...times].toSorted((left, right) => right[1] - left[1]);
  for (const [name, us] of sorted.slice(0, options.top)) {
    const share = ((us / busyUs) * 100).toFixed(1).padStart(6);
    process.stdout.write(`${share}  ${(us / options.requests).toFixed(2).padStart(10)}  ${name.replace("\t", "  ")}\n`);
  }
}

/** The main thread's profile: thread 0 in the file name `CPU.date.time.pid.thread.number`. */
function readProfile(folder: string, pid: number): CpuProfile {
  const file = readdirSync(folder).find((name) => name.includes(`.${pid}.0.`) && name.endsWith(".cpuprofile"));
  if (file === undefined) throw new BenchError("The gateway wrote no profile: did it end by itself on SIGTERM?");
  return JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
}

interface ProfileOptions {
  readonly load: ClosedLoopCase;
  readonly seconds: number;
  readonly top: number;
  readonly gatewayEntry: string;
}

async function profile(options: ProfileOptions, folder: string): Promise<void> {
  const rig = await startRig({ gateway: gatewayCore, load: loadCore }, folder);
  const contender = await startTollgate({
    mockPort: rig.mockPort,
    core: gatewayCore,
    folder,
    entry: options.gatewayEntry,
    isLoggingRequests: true,
    nodeArgs: ["--cpu-prof", "--cpu-prof-dir", folder, "--cpu-prof-interval", String(samplingIntervalUs)],
  });
  await verify(contender);
  const window = { contender, load: options.load, core: loadCore, folder };
  await runWrk({ ...window, seconds: 5 });
  const fromUs = Number(process.hrtime.bigint() / 1_000n);
  const { requests } = await runWrk({ ...window, seconds: options.seconds });
  const untilUs = Number(process.hrtime.bigint() / 1_000n);
  await stopContender(contender);
  const times = selfTimes(readProfile(folder, contender.process?.pid ?? 0), { fromUs, untilUs, requests });
  const byRoom = new Map<string, number>();
  for (const [name, us] of times) {
    const room = roomOf(name.split("\t")[1] ?? "");
    byRoom.set(room, (byRoom.get(room) ?? 0) + us);
  }
  process.stdout.write(`${options.load.label}: ${requests} requests in ${options.seconds} s, with the profiler's own cost; main thread only.\n`);
  print("Self time by function", times, { requests, top: options.top });
  print("Self time by place", byRoom, { requests, top: 25 });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: "string", default: "json-1k" },
      seconds: { type: "string", default: "5" },
      top: { type: "string", default: "40" },
      gateway: { type: "string", default: fileURLToPath(new URL("../dist/cli/index.js", import.meta.url)) },
    },
  });
  const load = closedLoopCases.find((each) => each.name === values.case);
  if (load === undefined) throw new BenchError(`--case: one of ${closedLoopCases.map((each) => each.name).join(", ")}.`);
  demandTools({ wrk: "wrk", taskset: "util-linux", setpriv: "util-linux" });
  pinSelf(loadCore);
  const folder = mkdtempSync(join(tmpdir(), "tollgate-profile-"));
  setTimeout(() => process.exit(2), runLimitMs).unref();
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
  process.once("exit", () => {
    killAllNow();
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    await profile({ load, seconds: Number(values.seconds), top: Number(values.top), gatewayEntry: values.gateway }, folder);
  } finally {
    await stopAll();
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof BenchError ? error.message : String(error instanceof Error ? error.stack : error)}\n`);
  process.exitCode = 2;
}
