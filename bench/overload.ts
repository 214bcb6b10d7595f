/**
 * What happens beyond the bounds of work in flight: how much good work is done at one to five times the load that they allow, how soon
 * the rest is refused, how soon all is as before, and what one key that floods the gateway costs another. The provider behind it takes
 * a fixed time for each answer. Run with `node bench/overload.ts [--seconds N] [--assert]`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median, percentile } from "./statistics.ts";

const { values: options } = parseArgs({ options: { seconds: { type: "string", default: "8" }, assert: { type: "boolean", default: false } } });
const seconds = Number(options.seconds);
const adminKey = "sk-bench-admin-0123456789abcdefghijkl";
/** Time that the provider takes for an answer; with it the bounds below become rates. */
const answerMs = 200;
const inFlightMax = 60;
/** Short, so that what the gateway adds shows in a median. */
const neighbourAnswerMs = 50;
/** Requests a second that the bound lets through. */
const capacity = (inFlightMax * 1_000) / answerMs;
const floodFactor = 50;
const calmRate = 10;
/** Each allows 20 requests a second. */
const floods: readonly Flood[] = [
  { name: "its one request in flight", limits: `in_flight_max: ${inFlightMax}, in_flight_per_key_max: 1`, fields: {}, allowedPerSecond: 1_000 / neighbourAnswerMs, refusedAs: 529 },
  { name: "its 1,200 requests a minute", limits: `in_flight_max: ${inFlightMax}`, fields: { rpm_limit: 1_200 }, allowedPerSecond: 20, refusedAs: 429 },
];

const body = Buffer.from(JSON.stringify({ model: "claude-opus-4-8", max_tokens: 64, messages: [{ role: "user", content: "x".repeat(1_000) }] }));
const answer = Buffer.from(JSON.stringify({ id: "msg_1", type: "message", role: "assistant", model: "claude-opus-4-8", content: [{ type: "text", text: "Hello." }], stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: 300, output_tokens: 3 } }));

/** @returns its URL */
async function startProvider(afterMs: number): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().on("end", () => setTimeout(() => response.writeHead(200, { "content-type": "application/json", "content-length": answer.length }).end(answer), afterMs));
  });
  server.unref();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", 4_096, resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface RunningGateway {
  readonly url: string;
  readonly child: ChildProcess;
}

async function startGateway(folder: string, providerUrl: string, limits: string): Promise<RunningGateway> {
  const path = join(folder, "tollgate.yaml");
  writeFileSync(path, `listen: {port: 0}\nadmin: {key: ${adminKey}}\nproviders: {mock: {kind: anthropic, base_url: "${providerUrl}", api_key: sk-ant-bench}}\nmodels: [{name: "claude-*", provider: mock}]\nlimits: {${limits}}\nlogging: {level: silent}\n`);
  const launcher = join(import.meta.dirname, "..", "bin", "tollgate.js");
  const args = ["--max-semi-space-size=4", "--v8-pool-size=1", "--expose-gc", launcher, "serve", "--config", path, "--data-dir", mkdtempSync(join(folder, "data-"))];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  let printed = "";
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${String(code)}`)));
    child.stdout.on("data", (bytes: Buffer) => {
      printed += bytes.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0];
      if (found !== undefined) resolve(found);
    });
  });
  return { url, child };
}

async function stop({ child }: RunningGateway): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

async function makeKey(url: string, fields = {}): Promise<string> {
  const reply = await fetch(`${url}/key/generate`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: JSON.stringify(fields) });
  return ((await reply.json()) as { key: string }).key;
}

interface Outcome {
  readonly status: number;
  /** Since the beginning of the load, and how long it took, milliseconds. */
  readonly atMs: number;
  readonly tookMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

function call(url: string, key: string): Promise<number> {
  return new Promise((resolve) => {
    const request = httpRequest(`${url}/v1/messages`, { method: "POST", agent, headers: { "x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json", "content-length": body.length } });
    request.on("response", (reply) => reply.resume().on("end", () => resolve(reply.statusCode ?? 0)));
    // A kept connection that the other side has just closed; nothing was answered.
    request.on("error", () => resolve(0));
    request.end(body);
  });
}

/** Open loop: requests leave at their time whether or not earlier ones were answered. */
async function load(url: string, key: string, { rate, forMs }: { readonly rate: number; readonly forMs: number }): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const running = new Set<Promise<void>>();
  const beganAt = performance.now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const nowMs = performance.now() - beganAt;
      for (; sent < Math.min(nowMs, forMs) * (rate / 1_000); sent++) {
        const from = performance.now();
        const one = call(url, key).then((status) => void outcomes.push({ status, atMs: from - beganAt, tookMs: performance.now() - from }));
        running.add(one);
        void one.finally(() => running.delete(one));
      }
      if (nowMs < forMs) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  await Promise.all(running);
  return outcomes;
}

const took = (outcomes: readonly Outcome[], status: number): readonly number[] => outcomes.filter((each) => each.status === status).map(({ tookMs }) => tookMs);
const figures: Record<string, number> = {};
const faults: string[] = [];
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const hold = (isSo: boolean, fault: string): void => void (isSo || faults.push(fault));

async function measureLoads(folder: string, providerUrl: string): Promise<void> {
  const gateway = await startGateway(folder, providerUrl, `in_flight_max: ${inFlightMax}`);
  const key = await makeKey(gateway.url);
  await load(gateway.url, key, { rate: capacity, forMs: 3_000 });
  print(`overload: ${inFlightMax} in flight, answers after ${answerMs} ms: at the most ${capacity} a second`);
  print("load  answered/s  median   p99      refused/s  median   p99      lost");
  let peak = 0;
  for (const factor of [1, 2, 3, 4, 5]) {
    const outcomes = await load(gateway.url, key, { rate: capacity * factor, forMs: seconds * 1_000 });
    const [good, refused] = [took(outcomes, 200), took(outcomes, 529)];
    const perSecond = good.length / (seconds + answerMs / 1_000);
    peak = Math.max(peak, perSecond);
    const row = [good.length / seconds, median(good), percentile(good, 99), refused.length / seconds, median(refused), percentile(refused, 99)].map((value) => (Number.isNaN(value) ? "-" : value.toFixed(1)).padEnd(9));
    print(`${factor}x    ${row.join("  ")}${outcomes.length - good.length - refused.length}`);
    figures[`goodput_${factor}x_per_s`] = Number(perSecond.toFixed(1));
    if (factor < 5) continue;
    figures["goodput_share_of_peak"] = Number((perSecond / peak).toFixed(3));
    figures["refusal_p99_ms"] = Number(percentile(refused, 99).toFixed(1));
    hold(perSecond >= 0.9 * peak, "less than 90 % of the peak at five times the load");
    hold(percentile(refused, 99) <= 50, "a refusal took more than 50 ms");
  }
  const after = await load(gateway.url, key, { rate: capacity * 0.8, forMs: 5_000 });
  const lastTrouble = after.filter(({ status }) => status !== 200).reduce((latest, { atMs }) => Math.max(latest, atMs), 0);
  figures["normal_again_after_ms"] = Math.round(lastTrouble);
  print(`at 0.8x right after it: the last refusal after ${Math.round(lastTrouble)} ms, median ${median(took(after, 200)).toFixed(1)} ms`);
  hold(lastTrouble < 5_000, "not normal again within 5 s");
  await stop(gateway);
}

/** How one key floods the gateway, and the rate that it is allowed. */
interface Flood {
  readonly name: string;
  readonly limits: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly allowedPerSecond: number;
  readonly refusedAs: number;
}

async function measureNeighbours(folder: string, providerUrl: string, { name, limits, fields, allowedPerSecond, refusedAs }: Flood): Promise<void> {
  const gateway = await startGateway(folder, providerUrl, limits);
  const [calm, flood] = [await makeKey(gateway.url), await makeKey(gateway.url, fields)];
  await load(gateway.url, calm, { rate: calmRate, forMs: 2_000 });
  const alone = took(await load(gateway.url, calm, { rate: calmRate, forMs: seconds * 1_000 }), 200);
  const rate = allowedPerSecond * floodFactor;
  const [beside, flooding] = await Promise.all([load(gateway.url, calm, { rate: calmRate, forMs: seconds * 1_000 }), load(gateway.url, flood, { rate, forMs: seconds * 1_000 })]);
  const good = took(beside, 200);
  const ratio = median(good) / median(alone);
  figures[`neighbour_median_ratio_${refusedAs}`] = Number(ratio.toFixed(3));
  print(`one key at ${floodFactor}x of ${name} (${rate}/s; ${took(flooding, 200).length} answered, ${took(flooding, refusedAs).length} refused), another at ${calmRate}/s, answers after ${neighbourAnswerMs} ms:`);
  print(`  median ${median(alone).toFixed(1)} ms alone, ${median(good).toFixed(1)} ms beside it (${ratio.toFixed(2)}x); p99 ${percentile(alone, 99).toFixed(1)} ms and ${percentile(good, 99).toFixed(1)} ms; ${beside.length - good.length} of ${beside.length} not answered`);
  hold(ratio <= 1.2, "another key's median rose by more than 1.2 times");
  hold(good.length === beside.length, "the other key was refused");
  await stop(gateway);
}

const folder = mkdtempSync(join(tmpdir(), "tollgate-overload-"));
try {
  await measureLoads(folder, await startProvider(answerMs));
  const quickUrl = await startProvider(neighbourAnswerMs);
  for (const flood of floods) await measureNeighbours(folder, quickUrl, flood);
} finally {
  agent.destroy();
  rmSync(folder, { recursive: true, force: true });
}
const figuresFile = process.env["TOLLGATE_FIGURES"];
if (figuresFile !== undefined) appendFileSync(figuresFile, `${JSON.stringify({ proof: "overload", figures })}\n`);
if (options.assert && faults.length > 0) {
  process.stderr.write(`overload: ${faults.join("; ")}\n`);
  process.exitCode = 1;
}
