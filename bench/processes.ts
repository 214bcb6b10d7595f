/**
 * Starts and stops the processes of a benchmark run and reads what the kernel says about them. Everything started here
 * is stopped here, also when the run fails, is interrupted, or is itself killed (the kernel then sends the signal).
 */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess, StdioOptions } from "node:child_process";
import { accessSync, constants, readFileSync, readdirSync } from "node:fs";
import { once } from "node:events";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A fault of the benchmark or of what it runs, worded for the person at the terminal. */
export class BenchError extends Error {}

/** The Linux memory page, in bytes; `/proc/<pid>/statm` counts in pages. */
const pageBytes = Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));

const children = new Set<ChildProcess>();

/** How to start a process. */
export interface StartOptions {
  /** Core the process and all its threads are bound to. */
  readonly core: number;
  readonly command: string;
  readonly args: readonly string[];
  /** Node's own notation; `"ipc"` as fourth entry opens a message channel. */
  readonly stdio: StdioOptions;
}

/**
 * Starts a process bound to one core. `setpriv` and `taskset` replace themselves by the command, so the process id is
 * the command's own; the death signal makes the kernel end it when this process is killed.
 */
export function startPinned(options: StartOptions): ChildProcess {
  const wrapper = ["--pdeathsig", "KILL", "taskset", "-c", String(options.core), options.command, ...options.args];
  const environment = { ...process.env };
  delete environment["NODE_OPTIONS"];
  const child = spawn("setpriv", wrapper, { stdio: options.stdio, env: environment });
  children.add(child);
  child.once("exit", () => children.delete(child));
  child.once("error", () => children.delete(child));
  return child;
}

/** Binds this process itself to a core, so that it never runs on the gateway's. */
export function pinSelf(core: number): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(core), String(process.pid)], { stdio: "ignore" });
}

/** Asks a child to end, waits at most `graceMs`, then kills it. Returns once it is gone. */
export async function stop(child: ChildProcess, graceMs = 5_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await exited;
  clearTimeout(timer);
}

/** Stops every child that is still running. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children].map((child) => stop(child, 2_000)));
}

/** Last resort for an `exit` handler, which cannot wait. */
export function killAllNow(): void {
  for (const child of children) child.kill("SIGKILL");
}

/**
 * Says which tools are missing and which Debian package has each.
 *
 * @throws BenchError when one is missing
 */
export function demandTools(packageByTool: Readonly<Record<string, string>>): void {
  if (process.platform !== "linux") throw new BenchError("The benchmark reads /proc and pins cores: it runs on Linux only.");
  const missing = Object.entries(packageByTool).filter(([tool]) => findTool(tool) === undefined);
  if (missing.length === 0) return;
  const lines = missing.map(([tool, name]) => `  ${tool} is missing; Debian package: ${name}`);
  const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
  throw new BenchError(`${lines.join("\n")}\nInstall with: apt-get install ${packages}`);
}

/** Full path of a tool, also in the `sbin` folders, which are not on every user's path; undefined when absent. */
export function findTool(tool: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  for (const folder of folders) {
    const path = join(folder, tool);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

/**
 * On-CPU time of every living thread of a process, by thread id, in nanoseconds.
 *
 * @source first field of /proc/PID/task/TID/schedstat, Linux Documentation/scheduler/sched-stats
 */
export function threadCpuNs(pid: number): ReadonlyMap<string, bigint> {
  const byThread = new Map<string, bigint>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [onCpuNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      byThread.set(thread, BigInt(onCpuNs ?? "0"));
    } catch {
      // The thread ended between the listing and the reading.
    }
  }
  return byThread;
}

/** CPU spent between two readings of {@link threadCpuNs}, in nanoseconds; threads born in between count in full. */
export function cpuBetweenNs(before: ReadonlyMap<string, bigint>, after: ReadonlyMap<string, bigint>): number {
  let total = 0n;
  for (const [thread, ns] of after) total += ns - (before.get(thread) ?? 0n);
  return Number(total);
}

/** Resident memory of a process, in bytes. */
export function rssBytes(pid: number): number {
  const [, residentPages] = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ");
  return Number(residentPages) * pageBytes;
}

/** Ticks of one core as the kernel counts them: total and stolen by the hypervisor, for the share that was stolen. */
export function coreTicks(core: number): { readonly total: number; readonly stolen: number } {
  const line = readFileSync("/proc/stat", "utf8").split("\n").find((each) => each.startsWith(`cpu${core} `)) ?? "";
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  return { total: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] ?? 0 };
}

/**
 * Asks again until the answer is true.
 *
 * @throws BenchError with `what` when it is not within `timeoutMs`
 */
export async function waitUntil(what: string, isDone: () => Promise<boolean> | boolean, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new BenchError(`Gave up after ${timeoutMs / 1000} s waiting: ${what}`);
    await sleep(25);
  }
}
