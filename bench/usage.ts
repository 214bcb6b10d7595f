/**
 * What reports cost where the ledger is long, and what pruning costs those who make calls: a store with raw rows of the last months and sums of a
 * whole year. Run with `node bench/usage.ts [--rows N] [--days N] [--keys N] [--teams N] [--runs N] [--assert MILLISECONDS] [--assert-ratio N]`; it
 * writes some gigabytes to a temporary folder and removes them.
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { budgets as budgetsSchema } from "../src/config/budgets.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { idFloor, newId } from "../src/kernel/ids.ts";
import { nanoUsd } from "../src/kernel/money.ts";
import { scopeKinds } from "../src/ledger/scope.ts";
import { startLedger } from "../src/ledger/start-ledger.ts";
import type { UsageDimension, UsageFilter } from "../src/ledger/usage-store.ts";
import type { AttemptClosing, AttemptOpening } from "../src/pipeline/books.ts";
import { closeAttempt, openAttempt } from "../src/store/sqlite/attempts.ts";
import { openSqliteStores, type SqliteStores } from "../src/store/sqlite/open.ts";
import { median, percentile } from "./statistics.ts";

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "3000000" }, days: { type: "string", default: "90" }, keys: { type: "string", default: "1000" }, teams: { type: "string", default: "100" },
    runs: { type: "string", default: "5" }, assert: { type: "string" }, "assert-ratio": { type: "string" },
  },
});
const [rows, days, keyCount, teamCount, runs] = [options.rows, options.days, options.keys, options.teams, options.runs].map(Number) as [number, number, number, number, number];
const dayMs = 86_400_000;
const nowMs = systemClock.now();
const rawFromMs = (Math.floor(nowMs / dayMs) - days + 1) * dayMs;
const models = ["claude-opus-4-8", "claude-opus-4-7", "claude-sonnet-5", "claude-sonnet-4-6", "claude-haiku-5", "claude-haiku-4-5"];
const usageJson = '{"input_tokens":12,"cache_creation_input_tokens":2345,"cache_read_input_tokens":81234,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":2345},"output_tokens":678,"service_tier":"standard"}';

/** Developers with their keys, each in a team, each with two models of six. */
function openingOf(index: number, openedAtMs: number, attemptId: AttemptOpening["attemptId"]): AttemptOpening {
  const developer = (index * 7_919) % keyCount;
  const model = models[(developer + (index % 2)) % models.length]!;
  return {
    attemptId, requestId: `req_${attemptId.slice(4)}`, ordinal: 1, openedAtMs, keyId: `key_${String(developer).padStart(26, "0")}`, userId: `developer-${developer}@example.com`, teamId: `team-${developer % teamCount}`,
    organizationId: "example", endUserId: null, project: `project-${developer % 40}`, tags: developer % 5 === 0 ? ["ci"] : [], sessionId: `0f8fad5b-d9cb-469f-a165-${String(Math.floor(index / 50)).padStart(12, "0")}`,
    agentId: null, parentAgentId: null, requestClass: "main", requestedModel: model, model, upstreamModel: model, provider: developer % 3 === 0 ? "bedrock" : "anthropic", targetId: `anthropic/${model}`,
    isStreaming: true, requestBytes: 101_234, holdNanoUsd: nanoUsd(100_000_000n), strictHoldNanoUsd: nanoUsd(0n),
  };
}

function closingOf({ attemptId, openedAtMs, model }: AttemptOpening, index: number): AttemptClosing {
  return {
    attemptId, closedAtMs: openedAtMs + 2_345, outcome: "completed", status: 200, source: "reported", counts: { input: 12, cacheRead: 81_234, cacheWrite5m: 0, cacheWrite1h: 2_345, output: index % 5_000 },
    serverToolUses: {}, servedModel: model, costNanoUsd: nanoUsd(48_612_300n + BigInt(index)), priceRow: `anthropic/${model}`, isProvisional: false, isUnpriced: false, usageJson,
    firstEventMs: 812, durationMs: 2_345, responseBytes: 4_567, upstreamRequestId: "req_011CSHoEeqs5C35K2UUqR7Fy", loss: "",
  };
}

/** Rows evenly over the days, oldest first, as the journal would have written them. */
async function fill({ sql }: SqliteStores): Promise<void> {
  const stepMs = (nowMs - 60_000 - rawFromMs) / rows;
  for (let from = 0; from < rows; from += 5_000) {
    sql.transaction(() => {
      for (let index = from; index < Math.min(rows, from + 5_000); index++) {
        const openedAtMs = Math.floor(rawFromMs + index * stepMs);
        const opening = openingOf(index, openedAtMs, `${idFloor("att", openedAtMs).slice(0, 14)}${String(index).padStart(16, "0")}` as AttemptOpening["attemptId"]);
        openAttempt(sql, opening);
        closeAttempt(sql, closingOf(opening, index));
      }
    });
    // The checkpoint thread's turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The days before the rows: the same sums again, further back, until there is a year. */
function addYear({ sql }: SqliteStores): void {
  for (let back = days; back < 365; back += days) {
    const fromDay = Math.floor(nowMs / dayMs) - 364 + back;
    sql.transaction(() => {
      void sql.run`INSERT INTO usage_sums SELECT day - CAST(${back} AS INTEGER), key_id, user_id, team_id, organization_id, project, model, provider, tags, attempts, input_tokens, cache_read_tokens,
          cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, cost_nano_usd, charge_nano_usd, reported_nano_usd, estimated_nano_usd, adjusted_nano_usd, wasted_nano_usd,
          notional_nano_usd, unresolved_attempts, unresolved_nano_usd, unpriced_attempts,
          expected_cache_read_tokens, lost_cache_read_tokens, cache_misses, moved_cache_misses, cache_miss_nano_usd FROM usage_sums WHERE day >= ${Math.max(fromDay, rawFromMs / dayMs)}`;
      void sql.run`INSERT INTO usage_sums_by SELECT dimension, day - CAST(${back} AS INTEGER), value, attempts, input_tokens, cache_read_tokens,
          cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, cost_nano_usd, charge_nano_usd, reported_nano_usd, estimated_nano_usd, adjusted_nano_usd, wasted_nano_usd,
          notional_nano_usd, unresolved_attempts, unresolved_nano_usd, unpriced_attempts,
          expected_cache_read_tokens, lost_cache_read_tokens, cache_misses, moved_cache_misses, cache_miss_nano_usd FROM usage_sums_by WHERE day >= ${Math.max(fromDay, rawFromMs / dayMs)}`;
    });
  }
  void sql.run`UPDATE rollup_state SET pruned_before_ms = ${rawFromMs} WHERE id = 1`;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** All steps that there are, milliseconds each. */
function runSteps(stores: SqliteStores, retentionMs: number | undefined, stepsMax = Infinity): readonly number[] {
  const took: number[] = [];
  for (let hasMore = true; hasMore && took.length < stepsMax; ) {
    const from = systemClock.monotonic();
    hasMore = stores.upkeep.step({ retentionMs });
    took.push(systemClock.monotonic() - from);
  }
  return took;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

function sizeOf({ sql }: SqliteStores): string {
  return ((Number(sql.row`PRAGMA page_count`?.["page_count"]) * 4_096) / 2 ** 20).toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** Pieces of pruning with the pauses that the gateway makes between them. */
function pacedPruning(stores: SqliteStores, retentionMs: number): () => void {
  let [endedAtMs, tookMs] = [-Infinity, 0];
  return () => {
    if (systemClock.monotonic() - endedAtMs < 19 * tookMs) return;
    tookMs = sum(runSteps(stores, retentionMs, 1));
    endedAtMs = systemClock.monotonic();
  };
}

/** As `GET /api/v1/usage` reads: the groups, and those of the providers for the total. */
async function timeOf(stores: SqliteStores, by: UsageDimension, filter: UsageFilter): Promise<number> {
  const took: number[] = [];
  for (let run = 0; run < runs + 1; run++) {
    const from = systemClock.monotonic();
    await stores.usage.groupBy(by, filter);
    await stores.usage.groupBy("provider", filter);
    await stores.usage.coverage(filter);
    took.push(systemClock.monotonic() - from);
  }
  return median(took.slice(1));
}

/** Microseconds of CPU. */
interface AttemptCpu {
  admission: number;
  entries: number;
}

/**
 * CPU of the main thread for what an attempt costs beside its bytes: room under one budget of every kind, and its two entries. Quiet stretches and
 * those with pieces of pruning take turns, so that what else the machine does falls on both.
 */
async function attemptCpu(stores: SqliteStores, piece: () => void, batches: number): Promise<{ readonly quiet: AttemptCpu; readonly pruning: AttemptCpu }> {
  const scopes = scopeKinds.filter((kind) => kind !== "run" && kind !== "session").map((kind) => (kind === "global" ? "global" : `${kind}:*`));
  const ledger = await startLedger({ budgets: budgetsSchema.parse(scopes.map((scope) => ({ scope, amount: 1_000_000_000, window: "month" }))), keys: [], usage: { spentSince: () => Promise.resolve([]), spentIn: () => Promise.resolve([]) }, nowMs });
  const batch = 200;
  const stretch = 10;
  const sums = { quiet: { admission: 0, entries: 0 }, pruning: { admission: 0, entries: 0 } };
  for (let round = 0; round < 2 * stretch * Math.ceil(batches / stretch); round++) {
    const isPruning = Math.floor(round / stretch) % 2 === 1;
    const own = isPruning ? sums.pruning : sums.quiet;
    const openings = Array.from({ length: batch }, (_, index) => openingOf(index + round * batch, systemClock.now(), newId("att", systemClock.now())));
    if (isPruning) piece();
    let from = process.threadCpuUsage();
    const holds = openings.map((opening) => {
      const decision = ledger.admit(opening.attemptId, opening, [{ expected: 1_000_000n, risk: 0n, bound: () => 2_000_000n }], opening.openedAtMs);
      if (!decision.isAdmitted) throw new Error("no room");
      return decision.hold;
    });
    own.admission += cpuSince(from);
    for (const hold of holds) ledger.settle(hold, 500_000n, "reported");
    if (isPruning) piece();
    from = process.threadCpuUsage();
    await Promise.all(openings.map((opening) => stores.books.openEntry(opening)));
    await Promise.all(openings.map((opening, index) => stores.books.closeEntry(closingOf(opening, index))));
    own.entries += cpuSince(from);
  }
  const attempts = batch * stretch * Math.ceil(batches / stretch);
  return { quiet: { admission: sums.quiet.admission / attempts, entries: sums.quiet.entries / attempts }, pruning: { admission: sums.pruning.admission / attempts, entries: sums.pruning.entries / attempts } };
}

function cpuSince(from: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(from);
  return user + system;
}

/** One call after the other for a while: how long an opening takes until it is durable, milliseconds. */
async function openingLatency(stores: SqliteStores, forMs: number): Promise<readonly number[]> {
  const took: number[] = [];
  for (const endMs = systemClock.monotonic() + forMs; systemClock.monotonic() < endMs; ) {
    const opening = openingOf(took.length, systemClock.now(), newId("att", systemClock.now()));
    const from = systemClock.monotonic();
    await stores.books.openEntry(opening);
    took.push(systemClock.monotonic() - from);
    void stores.books.closeEntry(closingOf(opening, took.length));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return took;
}

const folder = mkdtempSync(join(tmpdir(), "tollgate-usage-"));
const stores = await openSqliteStores({ path: join(folder, "tollgate.db"), sync: "normal", clock: systemClock });
const figures: Record<string, number> = { rows, days, keys: keyCount, teams: teamCount };
try {
  await fill(stores);
  say(`${rows.toLocaleString("en-US")} rows of ${days} days, ${keyCount} keys, ${teamCount} teams, ${models.length} models: ${sizeOf(stores)} MiB`);
  const rolled = runSteps(stores, undefined);
  say(`summed: ${Math.round(rows / (sum(rolled) / 1_000)).toLocaleString("en-US")} rows a second, pieces of ${median(rolled).toFixed(2)} ms (p99 ${percentile(rolled, 99).toFixed(2)})`);
  addYear(stores);
  const kept = Number(stores.sql.row`SELECT count(*) AS sums FROM usage_sums`?.["sums"]);
  say(`sums of 365 days: ${kept.toLocaleString("en-US")}`);

  const since30d = { sinceMs: nowMs - 30 * dayMs };
  let slowest = 0;
  for (const by of ["day", "team", "model"] as const) {
    const [year, month] = [await timeOf(stores, by, {}), await timeOf(stores, by, since30d)];
    slowest = Math.max(slowest, year, month);
    figures[`${by}Ms`] = Number(year.toFixed(1));
    say(`by ${by}: ${year.toFixed(1)} ms over a year, ${month.toFixed(1)} ms over 30 days to the minute (median of ${runs})`);
  }
  figures["slowestMs"] = Number(slowest.toFixed(1));
  say(`by key: ${(await timeOf(stores, "key", {})).toFixed(1)} ms over a year, ${(await timeOf(stores, "key", since30d)).toFixed(1)} ms over 30 days`);
  say(`by day of one team: ${(await timeOf(stores, "day", { teamId: "team-7" })).toFixed(1)} ms over a year`);
  const fromMs = systemClock.monotonic();
  await stores.usage.groupBy("session", { sinceMs: rawFromMs });
  say(`by session, from the rows: ${(systemClock.monotonic() - fromMs).toFixed(0)} ms over ${days} days`);

  const retentionMs = Math.ceil(days / 3) * dayMs;
  const pieces = runSteps(stores, retentionMs, Math.min(1_000, Math.ceil(rows / 2_000)));
  const pruned = rows - Number(stores.sql.row`SELECT count(*) AS attempts FROM attempts`?.["attempts"]);
  figures["prunedPerSecond"] = Math.round(pruned / (sum(pieces) / 1_000));
  figures["prunePieceMs"] = Number(percentile(pieces, 99).toFixed(1));
  say(`pruned: ${pruned.toLocaleString("en-US")} rows, ${figures["prunedPerSecond"].toLocaleString("en-US")} a second of work, pieces of ${median(pieces).toFixed(2)} ms (p99 ${percentile(pieces, 99).toFixed(2)})`);

  const batches = Math.max(5, Math.min(200, Math.floor(rows / 5_000)));
  await attemptCpu(stores, pacedPruning(stores, retentionMs), batches);
  const pairs: Awaited<ReturnType<typeof attemptCpu>>[] = [];
  for (let run = 0; run < runs; run++) pairs.push(await attemptCpu(stores, pacedPruning(stores, retentionMs), batches));
  for (const part of ["admission", "entries"] as const) {
    const [quiet, pruning] = (["quiet", "pruning"] as const).map((when) => median(pairs.map((pair) => pair[when][part]))) as [number, number];
    const ratio = median(pairs.map((pair) => pair.pruning[part] / pair.quiet[part]));
    figures[`${part}Ratio`] = Number(ratio.toFixed(2));
    say(`${part === "admission" ? "admission" : "opening and closing"}: ${quiet.toFixed(2)} µs CPU, ${pruning.toFixed(2)} µs between pieces of pruning (ratio ${ratio.toFixed(2)}, median of ${runs})`);
  }
  const quiet = await openingLatency(stores, 3_000);
  stores.upkeep.start({ retentionMs });
  const busy = await openingLatency(stores, 3_000);
  say(`an opening, promise to promise: median ${median(quiet).toFixed(3)} ms, p99 ${percentile(quiet, 99).toFixed(2)}; while it prunes by itself ${median(busy).toFixed(3)} ms, p99 ${percentile(busy, 99).toFixed(2)}`);
  const leaves = process.env["TOLLGATE_FIGURES"];
  if (leaves !== undefined) appendFileSync(leaves, `${JSON.stringify({ proof: "usage", figures })}\n`);
  if (options.assert !== undefined && slowest > Number(options.assert)) {
    process.stderr.write(`usage: more than ${options.assert} ms\n`);
    process.exitCode = 1;
  }
  if (options["assert-ratio"] !== undefined && Math.max(figures["admissionRatio"] ?? 0, 0) > Number(options["assert-ratio"])) {
    process.stderr.write(`admission: more than ${options["assert-ratio"]} times while rows are pruned\n`);
    process.exitCode = 1;
  }
} finally {
  await stores.close();
  rmSync(folder, { recursive: true });
}
