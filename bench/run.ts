/**
 * `npm run bench`: measures Tollgate against HAProxy and against no proxy at all, in one run, and holds the figures
 * against the targets. See README.md in this folder for how far to trust them.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { closedLoopCases, fixedRateCases, streamsCases } from "./cases.ts";
import { direct, journalBytes, startHaproxy, startTollgate, stopContender, verify } from "./contenders.ts";
import type { Contender } from "./contenders.ts";
import { closedLoop, fixedRate, pacedStreams, warmForStreams } from "./measure.ts";
import { helpText, parseOptions } from "./options.ts";
import type { Options } from "./options.ts";
import { BenchError, demandTools, killAllNow, pinSelf, rssBytes, stopAll } from "./processes.ts";
import { makeResult, Samples, tables } from "./report.ts";
import { startRig } from "./rig.ts";
import type { Rig } from "./rig.ts";

/** Nothing in a run may outlive this: per run and per round, in milliseconds. */
const runLimitMs = 180_000;
const roundLimitMs = 120_000;
const bytesPerKib = 1_024;
const bytesPerMib = 1_048_576;

interface Run {
  readonly options: Options;
  readonly rig: Rig;
  readonly samples: Samples;
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function startContenders({ options, rig }: Run, isForStreams: boolean): Promise<readonly Contender[]> {
  const place = { mockPort: rig.mockPort, core: rig.gatewayCore, folder: rig.folder };
  const gateway = { ...place, entry: options.gatewayEntry, isLoggingRequests: options.isLoggingRequests };
  const started = [direct(rig.mockPort), await startHaproxy(place, isForStreams), await startTollgate(gateway)];
  for (const contender of started) await verify(contender);
  return started;
}

/** One round of one closed-loop case, all contenders one after the other. */
async function closedLoopRound(run: Run, all: readonly Contender[], load: (typeof closedLoopCases)[number]): Promise<void> {
  const cpuUs: Record<string, number | undefined> = {};
  for (const contender of all.filter(({ name }) => load.against === undefined || name === "tollgate")) {
    const sample = await closedLoop(run.rig, contender, { load, seconds: run.options.durations.windowSeconds });
    const key = `${load.name}.${contender.name}`;
    cpuUs[contender.name] = sample.cpuUs;
    run.samples.add(`${key}.cpuUs`, sample.cpuUs);
    run.samples.add(`${key}.perSecond`, sample.perSecond);
    run.samples.add(`${key}.coreUse`, sample.coreUse);
    run.samples.add("stolen", sample.stolen);
  }
  if (load.against !== undefined) return run.samples.add(`${load.name}.toPassThroughRatio`, (cpuUs["tollgate"] ?? Number.NaN) / run.samples.last(`${load.against}.tollgate.cpuUs`));
  run.samples.add(`${load.name}.cpuRatio`, (cpuUs["tollgate"] ?? Number.NaN) / (cpuUs["haproxy"] ?? Number.NaN));
}

/** One round of one fixed-rate case. Added latency is taken within the round. */
async function fixedRateRound(run: Run, all: readonly Contender[], load: (typeof fixedRateCases)[number]): Promise<void> {
  const p50Ms: Record<string, number> = {};
  for (const contender of all) {
    const sample = await fixedRate(run.rig, contender, { load, durationMs: run.options.durations.fixedRateMs });
    const key = `${load.name}.${contender.name}`;
    p50Ms[contender.name] = sample.p50Ms;
    run.samples.add(`${key}.p50Ms`, sample.p50Ms);
    run.samples.add(`${key}.p99Ms`, sample.p99Ms);
    run.samples.add(`${key}.firstByteP50Ms`, sample.firstByteP50Ms);
    if (contender.name !== "direct") run.samples.add(`${key}.addedOverDirectMs`, sample.p50Ms - (p50Ms["direct"] ?? Number.NaN));
  }
  run.samples.add(`${load.name}.addedOverHaproxyMs`, (p50Ms["tollgate"] ?? Number.NaN) - (p50Ms["haproxy"] ?? Number.NaN));
}

/** Closed loop and fixed rate on one set of long-lived processes, so that the compiler's warm-up is paid once. */
async function requestCases(run: Run): Promise<void> {
  const { options, rig, samples } = run;
  const closed = closedLoopCases.filter((each) => options.cases.has(each.name));
  const fixed = fixedRateCases.filter((each) => options.cases.has(each.name));
  if (closed.length + fixed.length === 0) return;
  const all = await startContenders(run, false);
  // A fixed rate alone would never warm the compiler up: the closed loop of 1 KB does.
  const warming = closed.length > 0 ? closed : closedLoopCases.slice(0, 2);
  for (const load of warming) {
    progress(`warm-up: ${load.name}`);
    for (const contender of all.filter(({ name }) => load.against === undefined || name === "tollgate")) {
      const seconds = contender.name === "tollgate" ? options.durations.warmUpSeconds : 1;
      await closedLoop(rig, contender, { load, seconds });
    }
  }
  for (let round = 1; round <= options.rounds; round += 1) {
    progress(`requests: round ${round} of ${options.rounds}`);
    for (const load of closed) await closedLoopRound(run, all, load);
    for (const load of fixed) await fixedRateRound(run, all, load);
  }
  const gateway = all.find((each) => each.name === "tollgate")?.process;
  if (gateway !== undefined) samples.add("afterLoad.rssMib", rssBytes(gateway.pid) / bytesPerMib);
  for (const contender of all) await stopContender(contender);
  const journal = journalBytes(rig.folder);
  if (journal === 0) throw new BenchError("The gateway's data folder is empty after the run: the journal was not on.");
  samples.add("journalMib", journal / bytesPerMib);
}

/** One contender's streams in fresh processes, so that memory figures do not carry earlier load. */
async function streamsOf(run: Run, contender: Contender): Promise<void> {
  const { durations } = run.options;
  const isTollgate = contender.name === "tollgate";
  const times = { warmUpMs: isTollgate ? durations.streamsWarmUpMs : 300, idleMs: isTollgate ? durations.idleMs : 300 };
  const idleBytes = contender.process === undefined ? undefined : await warmForStreams(run.rig, contender, times);
  if (idleBytes !== undefined) run.samples.add(isTollgate ? "idle.rssMib" : `idle.${contender.name}.rssMib`, idleBytes / bytesPerMib);
  for (const load of streamsCases.filter((each) => run.options.cases.has(each.name))) {
    const window = { load, settleMs: durations.settleMs, windowMs: contender.name === "direct" ? 500 : durations.streamsWindowMs };
    const sample = await pacedStreams(run.rig, contender, window);
    const key = `${load.name}.${contender.name}`;
    run.samples.add(`${key}.firstByteP50Ms`, sample.firstByteP50Ms);
    run.samples.add(`${key}.eventsPerSecond`, sample.eventsPerSecond);
    run.samples.add(`${key}.cpuUsPerEvent`, sample.cpuUsPerEvent);
    run.samples.add(`${key}.coreUse`, sample.coreUse);
    if (sample.rssBytes === undefined || idleBytes === undefined) continue;
    run.samples.add(`${key}.rssMib`, sample.rssBytes / bytesPerMib);
    const perStreamKib = (sample.rssBytes - idleBytes) / load.count / bytesPerKib;
    run.samples.add(isTollgate ? `${load.name}.rssPerStreamKib` : `${key}.rssPerStreamKib`, perStreamKib);
  }
}

async function streamsRounds(run: Run): Promise<void> {
  if (!streamsCases.some((each) => run.options.cases.has(each.name))) return;
  for (let round = 1; round <= run.options.rounds; round += 1) {
    progress(`streams: round ${round} of ${run.options.rounds}`);
    const all = await startContenders(run, true);
    for (const contender of all) await streamsOf(run, contender);
    for (const contender of all) await stopContender(contender);
  }
}

/** Bounds the run in time and makes sure that an interruption leaves nothing behind. */
function guard(options: Options, folder: string): void {
  const end = (code: number, why: string): void => {
    progress(why);
    killAllNow();
    rmSync(folder, { recursive: true, force: true });
    process.exit(code);
  };
  setTimeout(() => end(2, "The run took too long and was stopped."), runLimitMs + options.rounds * roundLimitMs).unref();
  process.once("SIGINT", () => end(130, "Interrupted."));
  process.once("SIGTERM", () => end(143, "Terminated."));
  process.once("exit", killAllNow);
}

async function measureAll(options: Options, command: string): Promise<number> {
  demandTools({ haproxy: "haproxy", wrk: "wrk", taskset: "util-linux", setpriv: "util-linux" });
  if (availableParallelism() < 2) throw new BenchError("The benchmark needs two cores: one for the gateway, one for load and upstream.");
  const folder = mkdtempSync(join(tmpdir(), "tollgate-bench-"));
  guard(options, folder);
  try {
    pinSelf(options.loadCore);
    const rig = await startRig({ gateway: options.gatewayCore, load: options.loadCore }, folder);
    const run: Run = { options, rig, samples: new Samples() };
    await streamsRounds(run);
    await requestCases(run);
    const result = makeResult(run.samples, { command, rounds: options.rounds, isLoggingRequests: options.isLoggingRequests });
    mkdirSync(options.outFolder, { recursive: true });
    const file = join(options.outFolder, "tollgate-bench.json");
    writeFileSync(file, `${JSON.stringify(result, undefined, 2)}\n`);
    process.stdout.write(`${tables(result, false)}\n\nResult file: ${file}\n`);
    if (options.isMarkdown) process.stdout.write(`\n${tables(result, true)}\n`);
    const isMet = result.verdicts.every((each) => each.outcome === "met");
    return options.isAsserting && !isMet ? 1 : 0;
  } finally {
    await stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const options = parseOptions(args, fileURLToPath(new URL("../dist/cli/index.js", import.meta.url)));
  if (options === undefined) {
    process.stdout.write(helpText);
    return 0;
  }
  return measureAll(options, ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "));
}

try {
  process.exitCode = await main();
} catch (error) {
  progress(error instanceof BenchError ? error.message : String(error instanceof Error ? error.stack : error));
  process.exitCode = 2;
}
