/**
 * The gateway as operators run it: its own process on one data directory, which can be killed without warning and started
 * again.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { adminKey, configText, type HarnessOptions } from "./harness.ts";

const root = join(import.meta.dirname, "..", "..");

export interface GatewayProcess {
  readonly url: string;
  readonly pid: number;
  /** From spawn to the line that says it listens, milliseconds. */
  readonly startMs: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** Calls the management API; rejects unless the status is 200. */
  admin<Reply = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Reply>;
}

/** Starts `serve` on `folder/data` with a configuration written to `folder`. Rejects with what it said when it does not start. */
export async function startGatewayProcess(folder: string, options: HarnessOptions): Promise<GatewayProcess> {
  const config = join(folder, "tollgate.yaml");
  writeFileSync(config, configText(options));
  const startedAt = performance.now();
  const child = spawn(process.execPath, [join(root, "bin", "tollgate.js"), "serve", "--config", config, "--data-dir", join(folder, "data"), "--json"], { env: { HOME: folder }, stdio: ["ignore", "pipe", "pipe"] });
  const url = await listeningUrl(child);
  const startMs = performance.now() - startedAt;
  const ended = new Promise<number | null>((resolve) => void child.once("exit", (code) => resolve(code)));
  return {
    url,
    pid: child.pid ?? 0,
    startMs,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
    async admin<Reply>(method: string, path: string, body?: unknown): Promise<Reply> {
      const reply = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      const text = await reply.text();
      if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
      return JSON.parse(text) as Reply;
    },
  };
}

/** The address in the first JSON line of `serve --json`. */
function listeningUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    let complaints = "";
    child.stderr?.on("data", (bytes: Buffer) => void (complaints += bytes.toString()));
    child.stdout?.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      if (said.includes("\n")) resolve((JSON.parse(said.slice(0, said.indexOf("\n"))) as { url: string }).url);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${String(code)} before it listened: ${complaints}${said}`)));
  });
}
