/**
 * Starts the gateway and HAProxy in front of the mock upstream, each on the gateway core with a configuration made for
 * the run, and checks that both deliver the upstream's bytes before anything is measured.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { burstEvents, clientHeaders, plainBody, requestBody } from "./payloads.ts";
import { BenchError, findTool, startPinned, stop, waitUntil } from "./processes.ts";

/** Who is measured. Direct means the load generator speaks with the mock upstream itself. */
export type ContenderName = "direct" | "haproxy" | "tollgate";

/** A place to send requests to. */
export interface Contender {
  readonly name: ContenderName;
  readonly port: number;
  /** What the client sends as its key; only Tollgate reads it. */
  readonly key: string;
  /** Undefined for direct. */
  readonly process: { readonly child: ChildProcess; readonly pid: number } | undefined;
}

/** What a contender needs to be started. */
export interface StartPlace {
  readonly mockPort: number;
  readonly core: number;
  /** A folder of the run; each start makes its own folder inside. */
  readonly folder: string;
}

/** What Tollgate needs beyond {@link StartPlace}. */
export interface GatewayStart extends StartPlace {
  readonly entry: string;
  readonly isLoggingRequests: boolean;
  /** Arguments for Node before the entry, such as the profiler's. */
  readonly nodeArgs?: readonly string[];
}

/** The upstream itself, as the floor of every comparison. */
export function direct(mockPort: number): Contender {
  return { name: "direct", port: mockPort, key: "sk-none", process: undefined };
}

/** A port nobody listens on at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

let startCount = 0;

function ownFolder(place: StartPlace, name: string): string {
  startCount += 1;
  const folder = join(place.folder, `${name}-${startCount}`);
  mkdirSync(folder);
  return folder;
}

/**
 * A plain reverse proxy: one thread, keep-alive on both sides, connections reused freely, no log, no extra features.
 *
 * Without `http-no-delay` HAProxy lets the kernel hold the start of a stream back for up to 200 ms, in the hope of more to
 * send; with it a burst costs HAProxy more. Each measurement uses the setting that flatters Tollgate less.
 */
function haproxyConfig(port: number, mockPort: number, isForStreams: boolean): string {
  return `global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option http-keep-alive${isForStreams ? "\n  option http-no-delay" : ""}
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend clients
  bind 127.0.0.1:${port}
  default_backend upstream
backend upstream
  server mock 127.0.0.1:${mockPort}
`;
}

function startedProcess(child: ChildProcess, what: string): { readonly child: ChildProcess; readonly pid: number } {
  if (child.pid === undefined) throw new BenchError(`${what} could not be started.`);
  return { child, pid: child.pid };
}

async function isAnswering(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** Waits for readiness; a process that ends instead is reported with the last lines it wrote. */
async function untilReady(child: ChildProcess, url: string, logFile: string): Promise<void> {
  try {
    await waitUntil(`no answer 200 from ${url}`, async () => {
      if (child.exitCode !== null) throw new BenchError(`The process ended with code ${child.exitCode} before it was ready.`);
      return isAnswering(url);
    });
  } catch (error) {
    const tail = readFileSync(logFile, "utf8").split("\n").slice(-20).join("\n");
    throw new BenchError(`${error instanceof Error ? error.message : String(error)}\nIts last lines:\n${tail}`);
  }
}

/**
 * Starts HAProxy.
 *
 * @param isForStreams pass every event on at once, as an operator of slow streams must configure it
 * @throws BenchError when it does not answer in time
 */
export async function startHaproxy(place: StartPlace, isForStreams: boolean): Promise<Contender> {
  const folder = ownFolder(place, "haproxy");
  const port = await freePort();
  const configFile = join(folder, "haproxy.cfg");
  const logFile = join(folder, "stderr.log");
  writeFileSync(configFile, haproxyConfig(port, place.mockPort, isForStreams));
  const log = openSync(logFile, "w");
  const command = findTool("haproxy") ?? "haproxy";
  const child = startPinned({ core: place.core, command, args: ["-db", "-f", configFile], stdio: ["ignore", "ignore", log] });
  await untilReady(child, `http://127.0.0.1:${port}/`, logFile);
  return { name: "haproxy", port, key: "sk-none", process: startedProcess(child, "HAProxy") };
}

/** The gateway's configuration: one provider, every Claude model, everything else at its default. */
function gatewayConfig(mockPort: number, adminKey: string, isLoggingRequests: boolean): string {
  return `listen: {host: 127.0.0.1}
providers: {anthropic: {kind: anthropic, base_url: "http://127.0.0.1:${mockPort}", api_key: "sk-ant-upstream-test-000000000000"}, bedrock: {kind: bedrock, region: us-east-1, endpoint: "http://127.0.0.1:${mockPort}", api_key: "bedrock-upstream-test-000000000000"}}
models: [{name: "claude-*", provider: anthropic}, {name: claude-bedrock-sonnet, provider: bedrock, model: us.anthropic.claude-sonnet-4-5-20250929-v1:0}]
admin: {key: "${adminKey}"}
${isLoggingRequests ? "" : "logging: {requests: false}\n"}`;
}

/**
 * Starts Tollgate with an empty data folder (the journal is on) and makes one developer key.
 *
 * @throws BenchError when it does not become ready or refuses to make the key
 */
export async function startTollgate(start: GatewayStart): Promise<Contender> {
  const folder = ownFolder(start, "tollgate");
  const port = await freePort();
  const adminKey = `sk-admin-${randomBytes(24).toString("hex")}`;
  const configFile = join(folder, "tollgate.yaml");
  const logFile = join(folder, "stderr.log");
  writeFileSync(configFile, gatewayConfig(start.mockPort, adminKey, start.isLoggingRequests), { mode: 0o600 });
  const serve = ["serve", "--config", configFile, "--port", String(port), "--data-dir", join(folder, "data")];
  // As `npm start` and the published command run it.
  const args = ["--max-semi-space-size=4", "--v8-pool-size=1", "--expose-gc", ...(start.nodeArgs ?? []), start.entry, ...serve];
  // The request log goes where writing costs least: formatting it is the gateway's cost, storing it is the operator's.
  const stdio = ["ignore", openSync("/dev/null", "w"), openSync(logFile, "w")] as const;
  const child = startPinned({ core: start.core, command: process.execPath, args, stdio: [...stdio] });
  await untilReady(child, `http://127.0.0.1:${port}/health/readiness`, logFile);
  const response = await fetch(`http://127.0.0.1:${port}/key/generate`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ key_alias: "bench" }),
  });
  const answer: unknown = await response.json();
  const key = typeof answer === "object" && answer !== null && "key" in answer ? answer.key : undefined;
  if (typeof key !== "string") throw new BenchError(`/key/generate answered ${response.status}: ${JSON.stringify(answer)}`);
  return { name: "tollgate", port, key, process: startedProcess(child, "Tollgate") };
}

/** Bytes in all files of Tollgate's data folders of this run; the journal must grow, or it was not on. */
export function journalBytes(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  const inData = files.filter((each) => each.isFile() && each.parentPath.includes("/data"));
  return inData.reduce((sum, each) => sum + statSync(join(each.parentPath, each.name)).size, 0);
}

/** Ends a contender's process, if it has one. */
export async function stopContender(contender: Contender): Promise<void> {
  if (contender.process !== undefined) await stop(contender.process.child);
}

/**
 * One plain and one streamed request: both must deliver exactly the upstream's body, else the figures mean nothing.
 *
 * @throws BenchError saying what came instead
 */
export async function verify(contender: Contender): Promise<void> {
  const expected = { plain: plainBody, burst: burstEvents.join("") };
  for (const reply of ["plain", "burst"] as const) {
    const response = await fetch(`http://127.0.0.1:${contender.port}/v1/messages`, {
      method: "POST",
      headers: { ...clientHeaders, "x-api-key": contender.key },
      body: requestBody(reply, 1_000).toString(),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.text();
    if (response.status !== 200 || body !== expected[reply]) {
      throw new BenchError(`${contender.name} does not deliver the upstream's ${reply} reply: ${response.status} ${body.slice(0, 400)}`);
    }
  }
}
