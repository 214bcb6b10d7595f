/** The gateway as operators run it: its own process, started by the command line, over a configuration file. */
import { spawn, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** Admin key of every gateway under test. */
export const adminKey = "sk-clients-admin-Jq7vT2mXc9Rk4WzL0pBd8NsY";
/** The provider credential that only the gateway holds. */
export const upstreamKey = "sk-ant-upstream-canary-Zt6hQw3eVb1nMx5u";

/** A running gateway. */
export interface GatewayProcess {
  readonly url: string;
  readonly port: number;
  /** Calls the management API; rejects unless the status is 200. */
  admin<Reply>(method: string, path: string, body?: unknown): Promise<Reply>;
  close(): Promise<void>;
}

/** What a test may choose. */
export interface GatewayChoice {
  /** Where the provider `anthropic` is. */
  readonly upstreamUrl?: string;
  /** YAML entries in place of that provider. */
  readonly providers?: readonly string[];
  /** Added to the gateway's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly folder: string;
  /** YAML list items of `models`; default every Claude name. */
  readonly models?: readonly string[];
  /** YAML lines added at the end. */
  readonly config?: readonly string[];
}

/** @throws with what the gateway said when it does not start */
export async function startGatewayProcess({ upstreamUrl = "", providers, env = {}, folder, models, config: more = [] }: GatewayChoice): Promise<GatewayProcess> {
  const config = join(folder, "tollgate.yaml");
  writeFileSync(
    config,
    [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      "providers:",
      ...(providers ?? [`anthropic: {kind: anthropic, base_url: "${upstreamUrl}", api_key: "${upstreamKey}"}`]).map((entry) => `  ${entry}`),
      "models:",
      ...(models ?? ['{name: "claude-*", provider: anthropic}']).map((item) => `  - ${item}`),
      "logging: {level: silent}",
      ...more,
      "",
    ].join("\n"),
  );
  const args = ["src/cli/index.ts", "serve", "--config", config, "--data-dir", join(folder, "data"), "--json"];
  const child = spawn(process.execPath, args, { cwd: root, env: { PATH: dirname(process.execPath), HOME: folder, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const url = await firstUrl(child);
  return {
    url,
    port: Number(new URL(url).port),
    async admin<Reply>(method: string, path: string, body?: unknown): Promise<Reply> {
      const reply = await fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await reply.text();
      if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
      return JSON.parse(text) as Reply;
    },
    close: () => stop(child),
  };
}

/** The address in the JSON line that `serve --json` prints once it listens. */
function firstUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    let complaints = "";
    child.stderr?.on("data", (chunk: Buffer) => void (complaints += String(chunk)));
    child.stdout?.on("data", (chunk: Buffer) => {
      said += String(chunk);
      if (said.includes("\n")) resolve((JSON.parse(said.slice(0, said.indexOf("\n"))) as { url: string }).url);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code} before it listened: ${complaints}${said}`)));
  });
}

/** Asks first: an orderly end also proves that no stream hangs. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  child.kill("SIGTERM");
  await ended;
  clearTimeout(timer);
}
