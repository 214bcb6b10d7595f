/**
 * Guarantee: after a storm of clients that leave, upstreams that stall, fail and break off, at random moments, nothing is held, no
 * call counts as in work, every slot is free, and the ledger's rows are one to one with the provider's bill. A stream that is cut, at
 * whatever byte, has one entry. `TOLLGATE_STORM=N` calls more often, `TOLLGATE_CUT_STEP=1` cuts at each byte, `TOLLGATE_SEED=N` repeats a run.
 */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/clock.ts";
import type { LedgerRow } from "../../src/ledger/usage-store.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { billEntries } from "../support/fake-anthropic-bill.ts";
import type { Behaviour, Phase } from "../support/fake-anthropic-types.ts";
import { noteFigure } from "../support/figures.ts";
import { adminKey, messagesBody, until } from "../support/harness.ts";
import { differencesFromBill } from "../support/ledger-and-bill.ts";
import { createRandom, type Random } from "../simulation/random.ts";
import { startStage, type Stage } from "./stage.ts";

const storm = Number(process.env["TOLLGATE_STORM"] ?? 400);
const cutStep = Number(process.env["TOLLGATE_CUT_STEP"] ?? 3);
const seed = Number(process.env["TOLLGATE_SEED"] ?? 1);
const workers = 32;

const budgets = "budgets: [{scope: global, amount: 100000}, {scope: 'session:*', amount: 100, mode: strict}]";
const config = [
  "timeouts: {first_byte_stream: 150ms, first_byte_plain: 150ms, idle: 150ms}",
  budgets,
  `rate_limits: {rules: [{scope: global, parallel_requests: ${workers}}]}`,
].join("\n");

interface BudgetRow {
  readonly scope: string;
  readonly held_usd: string;
}

/** Milliseconds until nothing is held any more. */
async function untilNothingHeld({ harness }: Stage): Promise<number> {
  const from = performance.now();
  await until("nothing held", async () => (await harness.admin<{ budgets: BudgetRow[] }>("GET", "/api/v1/budgets")).budgets.every(({ held_usd }) => held_usd === "0.00"));
  return performance.now() - from;
}

async function inWork({ url }: Stage): Promise<number> {
  const reply = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
  return Number(/^tollgate_requests_in_flight (\d+)/m.exec(await reply.text())?.[1]);
}

/** Closes the gateway and reads what it wrote. */
async function rowsOf({ harness }: Stage): Promise<readonly LedgerRow[]> {
  await harness.gateway.close(0);
  const stores = await openSqliteStores({ path: join(harness.dataDir, "tollgate.db"), sync: "normal", clock: systemClock });
  try {
    expect(stores.recoveredAttempts).toBe(0);
    return await stores.usage.rows({}, 10_000_000);
  } finally {
    await stores.close();
  }
}

const phases: readonly Phase[] = ["connect", "headers", "first-event", "mid-text", "before-usage", "after-usage", "end"];

function behaviourFrom(random: Random): Behaviour {
  const kind = random.next();
  if (kind < 0.2) return {};
  if (kind < 0.35) return { textBytes: 800, writeDelayMs: random.int(1, 6) };
  if (kind < 0.45) return { firstByteDelayMs: random.int(0, 400) };
  if (kind < 0.6) return { status: random.pick([529, 529, 500, 429]) };
  const at = random.pick(phases);
  const does = random.pick(["destroy", "reset", "end", "stall", "error-event"] as const);
  // An error in place of the beginning is an answer that was never begun, and no bill.
  return { fault: { at, does: does === "error-event" && (at === "connect" || at === "headers") ? "destroy" : does } };
}

/** One call, which its client may give up at any moment. */
async function oneCall(stage: Stage, random: Random, session: string): Promise<void> {
  const body = messagesBody({ model: random.pick(["claude-opus-4-8", "claude-haiku-4-5"]), stream: random.chance(0.7), max_tokens: 4_000 });
  const giveUp = new AbortController();
  const timer = random.chance(0.4) ? setTimeout(() => giveUp.abort(), random.next() * 60) : undefined;
  try {
    const reply = await stage.open({ body, behaviour: behaviourFrom(random), session, signal: giveUp.signal });
    if (random.chance(0.2)) reply.leave();
    await reply.ended;
  } catch {
    // The client has left before the head.
  } finally {
    clearTimeout(timer);
  }
}

describe("a storm", () => {
  it(`of ${storm} calls leaves nothing held, no slot taken, and one row for each bill`, async () => {
    process.stdout.write(`storm: TOLLGATE_SEED=${seed} TOLLGATE_STORM=${storm}\n`);
    const stage = await startStage({ config, fake: { isRecordingBodies: false } });
    const random = createRandom(seed);
    let sent = 0;
    const worker = async (): Promise<void> => {
      while (sent < storm) await oneCall(stage, random, `storm-${sent++}`);
    };
    await Promise.all(Array.from({ length: workers }, worker));
    const restMs = await untilNothingHeld(stage);
    await until("nothing in work", async () => (await inWork(stage)) === 0);
    // As many at once as there are slots: one that stayed taken would refuse one of them.
    const replies = await Promise.all(Array.from({ length: workers }, (_, index) => stage.call({ session: `after-${index}` })));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    await untilNothingHeld(stage);
    const rows = await rowsOf(stage);
    await stage.close();
    const bill = billEntries(stage.fake.bill());
    expect(differencesFromBill(rows, bill, { isGivenUp: true }), `TOLLGATE_SEED=${seed}`).toEqual([]);
    const outcomes = new Set(rows.map(({ outcome }) => outcome));
    for (const outcome of ["completed", "client_closed", "timed_out", "broken", "upstream_error"]) expect(outcomes.has(outcome), outcome).toBe(true);
    expect(restMs).toBeLessThan(5_000);
    noteFigure("storm", { calls: storm, rows: rows.length, bills: bill.length, restMs: Math.round(restMs) });
  }, 60_000 + storm * 60);
});

describe("a recorded stream", () => {
  it(`cut at every ${cutStep === 1 ? "byte" : `${cutStep}rd byte`} has one entry each time`, async () => {
    const stage = await startStage({ config: budgets, fake: { isRecordingBodies: false } });
    const body = messagesBody({ stream: true, max_tokens: 4_000 });
    const whole = await stage.call({ body, behaviour: { text: "Twelve words that are enough to fill a few deltas of text." }, session: "whole" });
    const length = whole.bytes().length;
    expect(length).toBeGreaterThan(500);
    let next = 0;
    let cuts = 0;
    const worker = async (): Promise<void> => {
      while (next < length) {
        const byte = next;
        next += cutStep;
        cuts++;
        const reply = await stage.call({ body, behaviour: { text: "Twelve words that are enough to fill a few deltas of text.", fault: { at: { byte }, does: byte % 2 === 0 ? "destroy" : "end", ms: 1 } }, session: `cut-${byte}` });
        expect(reply.status === 200 || reply.status === 502, `byte ${byte}: ${reply.status}`).toBe(true);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    await untilNothingHeld(stage);
    const rows = await rowsOf(stage);
    await stage.close();
    expect(differencesFromBill(rows, billEntries(stage.fake.bill()), { isGivenUp: false })).toEqual([]);
    expect(rows).toHaveLength(cuts + 1);
    noteFigure("every-byte", { cuts, rows: rows.length - 1 });
  }, 300_000);
});
