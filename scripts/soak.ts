/**
 * `npm run soak`: a gateway process under a steady mixed load for half an hour, its memory, sockets and files sampled every few seconds. Prints
 * a table and how fast resident memory grows, and fails when that is above the bound, when calls fail, or when sockets or files pile up.
 *
 * `--minutes N` (30), `--rate N` calls a second (20), `--bound N` MiB an hour (48), `--warm-up N` minutes (a fifth of the time).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startFakeAnthropic, type FakeAnthropic } from "../test/support/fake-anthropic.ts";
import { adminKey, until, upstreamKey } from "../test/support/harness.ts";
import { inspectorUrlIn, openInspector, residentBytes, type MemoryInspector } from "../test/support/memory-inspector.ts";
import { failoverMark, startLoad, type Load } from "./soak-load.ts";
import { fitLine, type Line } from "./soak-slope.ts";

const mib = 1_048_576;
const sampleMs = 5_000;
const hourMs = 3_600_000;
const lines = 12;
/** Sockets and files that may be open at the end beyond those at the beginning: the load's own ups and downs. */
const handlesMoreMax = 64;

interface Sample {
  readonly atMs: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly sockets: number;
  readonly files: number;
  readonly inFlight: number;
}

interface Options {
  readonly minutes: number;
  readonly rate: number;
  readonly boundMib: number;
  readonly warmUpMs: number;
}

interface Site {
  readonly child: ChildProcess;
  readonly url: string;
  readonly key: string;
  readonly memory: MemoryInspector;
}

function readOptions(): Options {
  const { values } = parseArgs({ options: { minutes: { type: "string", default: "30" }, rate: { type: "string", default: "20" }, bound: { type: "string", default: "48" }, "warm-up": { type: "string" } } });
  const positive = (name: string, text: string): number => {
    const value = Number(text);
    if (!(value > 0)) throw new Error(`--${name} must be a number above 0`);
    return value;
  };
  const minutes = positive("minutes", values.minutes);
  const warmUp = values["warm-up"] === undefined ? minutes / 5 : positive("warm-up", values["warm-up"]);
  if (warmUp >= minutes) throw new Error("--warm-up must be shorter than --minutes");
  return { minutes, rate: positive("rate", values.rate), boundMib: positive("bound", values.bound), warmUpMs: warmUp * 60_000 };
}

/** Keeps no bodies: this process runs as long as the gateway. */
async function startProvider(): Promise<FakeAnthropic> {
  return startFakeAnthropic({ apiKey: upstreamKey, requestsMax: 100, isRecordingBodies: false });
}

async function startSite(folder: string, urls: readonly [string, string]): Promise<Site> {
  const config = join(folder, "tollgate.yaml");
  const provider = (url: string): string => `{kind: anthropic, base_url: "${url}", api_key: "${upstreamKey}"}`;
  writeFileSync(
    config,
    [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      `providers: {first: ${provider(urls[0])}, second: ${provider(urls[1])}}`,
      'models: [{name: "claude-*", cache_affinity: false, targets: [{provider: first, id: first}, {provider: second, id: second}]}]',
      "budgets: [{scope: global, amount: 1000000, window: month}]",
      // The first provider refuses a part of the calls for as long as the soak lasts, and is to be asked all the same.
      "routing: {circuit: {failure_rate: 1}}",
      "",
    ].join("\n"),
  );
  const launcher = join(import.meta.dirname, "..", "bin", "tollgate.js");
  // As `npm start` runs it, with the inspector for a look at the heap.
  const args = ["--max-semi-space-size=4", "--v8-pool-size=1", "--expose-gc", "--inspect=127.0.0.1:0", launcher, "serve", "--config", config, "--port", "0", "--data-dir", join(folder, "data")];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  process.once("exit", () => void child.kill("SIGKILL"));
  let said = "";
  const keep = (bytes: Buffer): void => void (said = said.length < 100_000 ? said + bytes.toString() : said);
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const url = await until("the gateway", () => {
    if (child.exitCode !== null) throw new Error(`the gateway has ended: ${said}`);
    return /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
  });
  const reply = await fetch(`${url}/key/generate`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: "{}" });
  const { key } = (await reply.json()) as { key: string };
  return { child, url, key, memory: await openInspector(await until("the inspector", () => inspectorUrlIn(said))) };
}

/** Open files of a process, and how many of them are sockets. */
function handlesOf(pid: number): { readonly sockets: number; readonly files: number } {
  const kinds = readdirSync(`/proc/${pid}/fd`).map((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      // Closed between the listing and the reading.
      return undefined;
    }
  });
  const files = kinds.filter((kind) => kind !== undefined);
  return { files: files.length, sockets: files.filter((kind) => kind.startsWith("socket:")).length };
}

async function soak({ child, memory }: Site, load: Load, { minutes }: Options): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const pid = child.pid ?? 0;
  const startedAt = performance.now();
  while (performance.now() - startedAt < minutes * 60_000) {
    await sleep(sampleMs);
    const rss = residentBytes(pid);
    if (rss === undefined || child.exitCode !== null) throw new Error("the gateway has ended under the load");
    const { heapUsed, external } = await memory.sample();
    samples.push({ atMs: performance.now() - startedAt, rss, heapUsed, external, ...handlesOf(pid), inFlight: load.inFlight() });
    if (process.stderr.isTTY) process.stderr.write(`\r${((performance.now() - startedAt) / 60_000).toFixed(1)} of ${minutes} minutes, ${(rss / mib).toFixed(0)} MiB `);
  }
  return samples;
}

function mean(samples: readonly Sample[], pick: (sample: Sample) => number): number {
  return samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
}

function table(samples: readonly Sample[]): string {
  const size = Math.ceil(samples.length / lines);
  const groups = Array.from({ length: Math.ceil(samples.length / size) }, (_, index) => samples.slice(index * size, (index + 1) * size));
  const rows = groups.map((group) => [
    (group.at(-1)!.atMs / 60_000).toFixed(1),
    ...[(sample: Sample) => sample.rss, (sample: Sample) => sample.heapUsed, (sample: Sample) => sample.external].map((pick) => (mean(group, pick) / mib).toFixed(1)),
    ...[(sample: Sample) => sample.sockets, (sample: Sample) => sample.files, (sample: Sample) => sample.inFlight].map((pick) => mean(group, pick).toFixed(0)),
  ]);
  const heads = ["minute", "RSS MiB", "heap MiB", "external MiB", "sockets", "files", "in flight"];
  return [heads, ...rows].map((row) => row.map((cell, index) => cell.padStart(heads[index]!.length)).join("  ")).join("\n");
}

/** Why the soak has failed, as sentences. */
function verdict(measured: readonly Sample[], load: Load, { slope }: Line, { boundMib }: Options): readonly string[] {
  const tenth = Math.max(1, Math.floor(measured.length / 10));
  const more = (pick: (sample: Sample) => number): number => mean(measured.slice(-tenth), pick) - mean(measured.slice(0, tenth), pick);
  return [
    ...(slope <= boundMib ? [] : [`RSS grows by ${slope.toFixed(1)} MiB an hour, more than ${boundMib}`]),
    ...(load.faultCount() === 0 ? [] : [`${load.faultCount()} calls failed, such as ${load.faults.slice(0, 5).join("; ")}`]),
    ...(more(({ sockets }) => sockets) > handlesMoreMax ? ["sockets pile up"] : []),
    ...(more(({ files }) => files) > handlesMoreMax ? ["files pile up"] : []),
  ];
}

async function run(options: Options): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-soak-"));
  const providers = [await startProvider(), await startProvider()] as const;
  providers[0].script(({ headers }) => (headers[failoverMark] === undefined ? undefined : { status: 529 }));
  const site = await startSite(folder, [providers[0].url, providers[1].url]);
  try {
    const load = startLoad({ url: site.url, key: site.key, perSecond: options.rate });
    const samples = await soak(site, load, options);
    await load.stop();
    const measured = samples.filter(({ atMs }) => atMs >= options.warmUpMs);
    const line = (pick: (sample: Sample) => number): Line => fitLine(measured.map((sample) => ({ x: sample.atMs / hourMs, y: pick(sample) / mib })));
    const told = (name: string, { slope, slopeError, rSquared }: Line): string => `${name}: ${slope.toFixed(1)} MiB an hour, 95 % interval ${(slope - slopeError).toFixed(1)} to ${(slope + slopeError).toFixed(1)}, R² ${rSquared.toFixed(2)}`;
    const rss = line((sample) => sample.rss);
    const problems = verdict(measured, load, rss, options);
    process.stdout.write(
      [
        table(samples),
        "",
        `calls: ${[...load.done].map(([kind, count]) => `${count} ${kind}`).join(", ")}; ${load.faultCount()} failed`,
        `growth after ${(options.warmUpMs / 60_000).toFixed(1)} minutes of warm-up, over ${measured.length} samples (bound for RSS: ${options.boundMib} MiB an hour):`,
        told("RSS", rss),
        told("heap in use", line((sample) => sample.heapUsed)),
        told("external", line((sample) => sample.external)),
        problems.length === 0 ? "soak passed" : `soak failed: ${problems.join("; ")}`,
        "",
      ].join("\n"),
    );
    return problems.length === 0;
  } finally {
    site.memory.close();
    site.child.kill("SIGTERM");
    await until("the gateway's end", () => site.child.exitCode !== null || site.child.signalCode !== null, 20_000).catch(() => site.child.kill("SIGKILL"));
    for (const provider of providers) await provider.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.platform === "linux") process.exitCode = (await run(readOptions())) ? 0 : 1;
else {
  process.stderr.write("A soak reads /proc: it runs on Linux only.\n");
  process.exitCode = 2;
}
