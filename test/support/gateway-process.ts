/**
 * The gateway and the fake upstream as real processes, for what only a process can show: death by SIGKILL, a second start on
 * the same data, signals, exit codes, what is printed.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { adminKey, configText, until, upstreamKey } from "./harness.ts";

/** The launcher that `npm start` runs. */
export const launcher: string = fileURLToPath(new URL("../../bin/tollgate.js", import.meta.url));
const fakeMain = fileURLToPath(new URL("./fake-anthropic-main.ts", import.meta.url));

/** What a process was started with. */
export interface GatewayProcessOptions {
  /** Arguments behind `serve`; `--port 0` is added. */
  readonly args?: readonly string[];
  readonly cwd?: string;
  /** The whole environment beside `PATH`; empty by default, so that nothing of the developer's own leaks in. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A gateway process that was started, ready or not. */
export interface GatewayProcess {
  readonly pid: number;
  /** Resolves with the URL once readiness answers 200; rejects when the process ends before. */
  readonly ready: Promise<string>;
  /** From the start of the process to readiness, in milliseconds; undefined before. */
  readyMs(): number | undefined;
  /** Exit code, null after death by a signal; resolves once the output is complete. */
  readonly exit: Promise<number | null>;
  stdout(): string;
  stderr(): string;
  signal(name: "SIGTERM" | "SIGINT"): void;
  /** SIGKILL, and waits until the process is gone. */
  kill9(): Promise<void>;
}

const running = new Set<ChildProcess>();

/** Starts `tollgate serve`; never throws for a gateway that refuses to start, see `exit`. */
export function startGatewayProcess(options: GatewayProcessOptions = {}): GatewayProcess {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [launcher, "serve", "--port", "0", ...(options.args ?? [])], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"], ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let stdout = "";
  let stderr = "";
  let readyMs: number | undefined;
  let hasEnded = false;
  child.stdout.on("data", (bytes: Buffer) => (stdout += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
  const exit = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      running.delete(child);
      hasEnded = true;
      resolve(code);
    });
  });
  const ready = until(
    "readiness",
    async () => {
      if (hasEnded) throw new Error(`the gateway ended before it was ready: ${stderr}`);
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(stdout)?.[0];
      if (url === undefined || !(await isReady(url))) return undefined;
      readyMs = performance.now() - startedAt;
      return url;
    },
    30_000,
  );
  // A test that kills the process while it starts does not wait for readiness.
  ready.catch(() => undefined);
  return {
    pid: child.pid ?? 0,
    ready,
    readyMs: () => readyMs,
    exit,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: (name) => void child.kill(name),
    async kill9() {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** True when readiness answers 200; false for every other answer and for none. */
export async function isReady(url: string): Promise<boolean> {
  const reply = await fetch(`${url}/health/readiness`).catch(() => undefined);
  await reply?.arrayBuffer().catch(() => undefined);
  return reply?.status === 200;
}

/** For `afterEach`: ends what a failed test left. */
export async function killLeftovers(): Promise<void> {
  const left = [...running];
  for (const child of left) child.kill("SIGKILL");
  await Promise.all(left.map((child) => new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once("close", resolve) : resolve(undefined)))));
}

/** The strict fake as a process of its own. */
export interface FakeProcess {
  readonly url: string;
  readonly billPath: string;
  close(): Promise<void>;
}

/** @param billPath where it keeps its fsynced bill */
export async function startFakeProcess(billPath: string): Promise<FakeProcess> {
  const child = spawn(process.execPath, [fakeMain, "--bill", billPath, "--api-key", upstreamKey, "--until-stdin-ends"], { stdio: ["pipe", "pipe", "inherit"] });
  running.add(child);
  const closed = new Promise<void>((resolve) => {
    child.once("close", () => {
      running.delete(child);
      resolve();
    });
  });
  let text = "";
  child.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
  const line = await until("the fake's first line", () => (text.includes("\n") ? text.split("\n", 1)[0] : undefined));
  return {
    url: (JSON.parse(line) as { url: string }).url,
    billPath,
    async close() {
      child.kill("SIGTERM");
      await closed;
    },
  };
}

/** A folder with a configuration and a data directory that several gateway processes use one after the other. */
export interface ProcessSite {
  readonly folder: string;
  readonly dataDir: string;
  /** The file of the ledger. */
  readonly ledgerPath: string;
  start(): GatewayProcess;
  remove(): void;
}

/** @param config YAML lines added to the harness's configuration */
export function createProcessSite(upstreamUrl: string, config = ""): ProcessSite {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-process-"));
  const configPath = join(folder, "tollgate.yaml");
  const dataDir = join(folder, "data");
  writeFileSync(configPath, configText({ upstreamUrl, config }));
  return {
    folder,
    dataDir,
    ledgerPath: join(dataDir, "tollgate.db"),
    start: () => startGatewayProcess({ cwd: folder, args: ["--config", configPath, "--data-dir", dataDir] }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** One call of the management API as admin; rejects unless the status is 200. */
export async function callAdmin<Reply = Record<string, unknown>>(url: string, path: string, body?: unknown): Promise<Reply> {
  const reply = await fetch(`${url}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${text}`);
  return JSON.parse(text) as Reply;
}

/** Status of `GET /v1/me` with a key: 200 when it is valid. */
export async function statusOfKey(url: string, key: string): Promise<number> {
  const reply = await fetch(`${url}/v1/me`, { headers: { authorization: `Bearer ${key}` } });
  await reply.arrayBuffer();
  return reply.status;
}
