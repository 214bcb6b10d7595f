/**
 * What the journal costs a request: microseconds of the event loop for opening and closing an attempt, alone and in batches.
 * Run with `node bench/journal.ts [--full] [--rows N]`; it writes to a temporary folder and removes it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock } from "../src/kernel/clock.ts";
import { newId } from "../src/kernel/ids.ts";
import { nanoUsd } from "../src/kernel/money.ts";
import type { AttemptClosing, AttemptOpening } from "../src/pipeline/books.ts";
import { openSqliteStores } from "../src/store/sqlite/open.ts";
import type { Stores } from "../src/store/stores.ts";
import { median, percentile } from "./statistics.ts";

const keys = Array.from({ length: 50 }, () => newId("key", systemClock.now()));

/** Values of ordinary length, as a coding client's request has them. */
function openingOf(index: number): AttemptOpening {
  const nowMs = systemClock.now();
  return {
    attemptId: newId("att", nowMs),
    requestId: newId("req", nowMs),
    ordinal: 1,
    openedAtMs: nowMs,
    keyId: keys[index % keys.length]!,
    userId: "developer@example.com",
    teamId: "team-platform",
    organizationId: null,
    endUserId: null,
    project: null,
    tags: [],
    sessionId: "0f8fad5b-d9cb-469f-a165-70867728950e",
    agentId: null,
    parentAgentId: null,
    requestClass: "main",
    requestedModel: "claude-sonnet-4-5",
    model: "claude-sonnet-4-5",
    upstreamModel: "claude-sonnet-4-5-20250929",
    provider: "anthropic",
    targetId: "anthropic/claude-sonnet-4-5",
    isStreaming: true,
    requestBytes: 101_234,
    holdNanoUsd: nanoUsd(0n),
    strictHoldNanoUsd: nanoUsd(0n),
  };
}

function closingOf(opening: AttemptOpening): AttemptClosing {
  return {
    attemptId: opening.attemptId,
    closedAtMs: opening.openedAtMs + 2_345,
    outcome: "completed",
    status: 200,
    source: "reported",
    counts: { input: 12, cacheRead: 81_234, cacheWrite5m: 0, cacheWrite1h: 2_345, output: 678 },
    serverToolUses: {},
    servedModel: "claude-sonnet-4-5-20250929",
    costNanoUsd: nanoUsd(48_612_300n),
    priceRow: "anthropic/claude-sonnet-4-5",
    isProvisional: false,
    isUnpriced: false,
    usageJson: '{"input_tokens":12,"cache_creation_input_tokens":2345,"cache_read_input_tokens":81234,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":2345},"output_tokens":678,"service_tier":"standard"}',
    firstEventMs: 812,
    durationMs: 2_345,
    responseBytes: 4_567,
    upstreamRequestId: "req_011CSHoEeqs5C35K2UUqR7Fy",
    loss: "",
  };
}

/** Opens and closes `rounds` batches of `size`; medians and 99th percentiles of microseconds per write. */
async function measure(stores: Stores, size: number, rounds: number): Promise<readonly string[]> {
  const opened: number[] = [];
  const closed: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const openings = Array.from({ length: size }, (_, index) => openingOf(round * size + index));
    let startMs = systemClock.monotonic();
    await Promise.all(openings.map((opening) => stores.books.openEntry(opening)));
    opened.push(((systemClock.monotonic() - startMs) * 1_000) / size);
    const closings = openings.map(closingOf);
    startMs = systemClock.monotonic();
    await Promise.all(closings.map((closing) => stores.books.closeEntry(closing)));
    closed.push(((systemClock.monotonic() - startMs) * 1_000) / size);
  }
  const half = Math.floor(rounds / 2);
  const line = (values: readonly number[]): string => `${median(values.slice(half)).toFixed(1).padStart(7)} ${percentile(values.slice(half), 99).toFixed(1).padStart(8)}`;
  return [size.toString().padStart(6), line(opened), line(closed)];
}

const { values } = parseArgs({ options: { full: { type: "boolean", default: false }, rows: { type: "string", default: "40000" } } });
const folder = mkdtempSync(join(tmpdir(), "tollgate-journal-"));
const stores = await openSqliteStores({ path: join(folder, "tollgate.db"), sync: values.full ? "full" : "normal", clock: systemClock });
console.log(`sync ${values.full ? "full" : "normal"}; µs per write, promise to promise, median and 99th percentile of the second half`);
console.log(" batch    open      p99   close      p99");
for (const size of [1, 5, 20, 100]) console.log((await measure(stores, size, Math.ceil(Number(values.rows) / size))).join(" "));
const before = systemClock.monotonic();
const groups = await stores.usage.groupBy("key", {});
console.log(`usage by key over ${groups.reduce((sum, group) => sum + group.attempts, 0)} attempts: ${(systemClock.monotonic() - before).toFixed(0)} ms`);
await stores.close();
rmSync(folder, { recursive: true });
