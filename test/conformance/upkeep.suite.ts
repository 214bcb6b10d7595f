/**
 * What a store keeps of attempts besides their rows, whichever database is behind it: sums that equal those of the rows to the nano-dollar at
 * any moment, and everything that budgets and reconciling need of rows that are gone.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manualClock, type ManualClock } from "../../src/kernel/clock.ts";
import { idFloor, newId } from "../../src/kernel/ids.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import type { UsageDimension, UsageFilter } from "../../src/ledger/usage-store.ts";
import type { Retention, Stores } from "../../src/store/stores.ts";
import { closingOf, openingOf, startWriter } from "./store-fixtures.ts";
import { UsageModel } from "./usage-model.ts";

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 2, 1, 12);
const keep: Retention = { retentionMs: 3 * dayMs, reconcilable: ["anthropic"] };

export interface UpkeepSuiteOptions<Opened extends Stores> {
  /** A script that opens the store of the folder it is given, writes, sums and prunes without end, and says each attempt that it has closed. */
  readonly writerScript: string;
  /** Names of the store's files in its folder: copied while it is open they are what a `kill -9` leaves. */
  readonly files: readonly string[];
  /** Makes writes that need room fail, as a full disk does, and lets them through again. */
  readonly fill: (stores: Opened) => void;
  readonly free: (stores: Opened) => void;
}

/** @param open opens the store that lives in a folder, on a clock of the test's; called again for the same folder after `close` */
export function upkeepSuite<Opened extends Stores>(name: string, open: (folder: string, clock: ManualClock) => Promise<Opened>, options: UpkeepSuiteOptions<Opened>): void {
  let folder = "";
  let opened: Opened[] = [];
  const openStores = async (clock: ManualClock, inFolder = folder): Promise<Opened> => {
    const stores = await open(inFolder, clock);
    opened.push(stores);
    return stores;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tollgate-upkeep-"));
    opened = [];
  });
  afterEach(async () => {
    for (const stores of opened) await stores.close();
    rmSync(folder, { recursive: true });
  });
  const settle = (stores: Opened, retention: Retention = keep): void => {
    while (stores.upkeep.step(retention)) continue;
  };
  /** A closed attempt of a moment. */
  const closed = async (stores: Opened, openedAtMs: number, members: Parameters<typeof openingOf>[0] = {}, closing: Parameters<typeof closingOf>[1] = {}) => {
    const opening = openingOf({ openedAtMs, attemptId: idAt(openedAtMs), ...members });
    await stores.books.openEntry(opening);
    await stores.books.closeEntry(closingOf(opening.attemptId, { closedAtMs: openedAtMs + 2_000, ...closing }));
    return opening;
  };

  describe(`${name}: sums and pruning`, () => {
    it("reports equal a plain sum over all attempts ever, whatever happens in whatever order", { timeout: 120_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(stepOf, { maxLength: 60 }), fc.array(questionOf, { minLength: 3, maxLength: 6 }), async (steps, questions) => {
          const clock = manualClock(startMs);
          let inner = mkdtempSync(join(folder, "run-"));
          let stores = await openStores(clock, inner);
          const model = new UsageModel();
          const reopen = async (): Promise<void> => {
            stores = await openStores(clock, inner);
            model.restart();
          };
          for (const step of steps) {
            if (step.kind === "wait") clock.advance(step.hours * 3_600_000);
            else if (step.kind === "upkeep") for (let piece = 0; piece < step.pieces; piece++) stores.upkeep.step(keep);
            else if (step.kind === "restart") {
              await stores.close();
              await reopen();
            } else if (step.kind === "crash") {
              inner = copyOf(inner, options.files);
              await stores.close();
              await reopen();
            } else if (step.kind === "full") {
              options.fill(stores);
              try {
                settle(stores);
              } catch {
                // Nothing of the piece is done.
              }
              options.free(stores);
            } else if (step.kind === "open") {
              const openedAtMs = clock.now() - step.agoMinutes * 60_000;
              const opening = openingOf({ ...step.members, openedAtMs, attemptId: idAt(openedAtMs + (step.isStray ? 30 * 3_600_000 : 5)) });
              await stores.books.openEntry(opening);
              model.open(opening);
            } else if (step.kind === "close") {
              const closing = model.close(step.pick, step.members);
              if (closing !== undefined) await stores.books.closeEntry(closing);
            } else await model.adjust(stores, step);
          }
          for (const { dimension, filter } of questions) await model.expectGroups(stores, dimension, filter);
          await model.expectSpent(stores);
          await model.expectBills(stores);
          clock.advance(10 * dayMs);
          settle(stores);
          for (const { dimension, filter } of questions) await model.expectGroups(stores, dimension, filter);
          await model.expectSpent(stores);
          await model.expectBills(stores);
          await stores.close();
        }),
        { numRuns: 60 },
      );
    });

    it("keeps rows that run, that nobody knows the cost of, that wait for a price, and that are young", async () => {
      const clock = manualClock(startMs);
      let stores = await openStores(clock);
      const old = startMs - 5 * dayMs;
      const gone = await closed(stores, old);
      const other = await closed(stores, old, { provider: "bedrock" }, { source: "estimated" });
      const estimated = await closed(stores, old, {}, { source: "estimated" });
      const unresolved = await closed(stores, old, {}, { source: "unresolved", costNanoUsd: nanoUsd(0n) });
      const provisional = await closed(stores, old, {}, { isProvisional: true });
      const young = await closed(stores, startMs - 2 * dayMs);
      const running = openingOf({ openedAtMs: old, attemptId: idAt(old) });
      await stores.books.openEntry(running);
      settle(stores);
      const left = async (): Promise<readonly string[]> => (await stores.usage.rows({ sinceMs: 0 }, 100)).map(({ attemptId }) => attemptId);
      const kept = [estimated, unresolved, provisional, young, running].map(({ attemptId }) => attemptId as string);
      expect((await left()).toSorted()).toEqual(kept.toSorted());
      expect(await left()).not.toContain(other.attemptId);
      await expect(stores.usage.adjust([adjustment(gone.attemptId, 1n)])).rejects.toMatchObject({ code: "gateway_internal" });

      await stores.usage.adjust([{ ...adjustment(estimated.attemptId, -1n), deltaCounts: { input: -1, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 } }, adjustment(unresolved.attemptId, 7n), adjustment(provisional.attemptId, 0n)]);
      await stores.books.closeEntry(closingOf(running.attemptId));
      await stores.close();
      stores = await openStores(clock);
      settle(stores);
      expect(await left()).toEqual([young.attemptId]);
      expect(await stores.usage.groupBy("provider", {})).toMatchObject([{ value: "anthropic", attempts: 6, adjustedNanoUsd: 6n }, { value: "bedrock", attempts: 1 }]);
    });

    it("keeps what a budget reads again at the next start", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      const [older, needed] = [await closed(stores, startMs - 9 * dayMs), await closed(stores, startMs - 8 * dayMs)];
      settle(stores, { ...keep, neededSinceMs: () => startMs - 9.2 * dayMs });
      expect((await stores.usage.rows({ sinceMs: 0 }, 10)).map(({ attemptId }) => attemptId)).toEqual([needed.attemptId, older.attemptId]);
      clock.advance(dayMs);
      settle(stores, { ...keep, neededSinceMs: () => startMs - 8 * dayMs });
      expect((await stores.usage.rows({ sinceMs: 0 }, 10)).map(({ attemptId }) => attemptId)).toEqual([needed.attemptId]);
      expect((await stores.usage.spentSince(0, 60_000)).reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0n)).toBe(2_000n);
    });

    it("removes nothing unless it is told to", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      await closed(stores, startMs - 1_000 * dayMs);
      settle(stores, {});
      expect(await stores.usage.rows({ sinceMs: 0 }, 10)).toHaveLength(1);
      expect(await stores.usage.coverage({})).toEqual({ sinceMs: undefined, untilMs: undefined, prunedBeforeMs: undefined });
    });

    it("does not take a clock that is set far ahead for time that has passed", async () => {
      const clock = manualClock(startMs);
      let aheadMs = 0;
      const stores = await openStores({ ...clock, now: () => clock.now() + aheadMs });
      await closed(stores, startMs - dayMs);
      aheadMs = 400 * dayMs;
      settle(stores);
      expect(await stores.usage.rows({ sinceMs: 0 }, 10)).toHaveLength(1);
    });

    it("tells what a range covers where rows are gone, and puts what has no name any more under none", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      const old = startMs - 5 * dayMs;
      await closed(stores, old - 6 * 3_600_000, { sessionId: "early" });
      await closed(stores, old, { sessionId: "later", userId: null });
      await closed(stores, startMs - 3_600_000, { sessionId: "now" });
      settle(stores);
      const prunedBeforeMs = startMs - 12 * 3_600_000 - 3 * dayMs;
      const midnight = old - 12 * 3_600_000;
      expect(await stores.usage.coverage({ sinceMs: old })).toEqual({ sinceMs: midnight, untilMs: undefined, prunedBeforeMs });
      expect(await stores.usage.coverage({ sinceMs: old, untilMs: old + 1 })).toEqual({ sinceMs: midnight, untilMs: midnight + dayMs, prunedBeforeMs });
      expect(await stores.usage.coverage({ sinceMs: prunedBeforeMs + 1 })).toEqual({ sinceMs: prunedBeforeMs + 1, untilMs: undefined, prunedBeforeMs: undefined });
      expect(await stores.usage.coverage({ sinceMs: old, sessionId: "early" })).toEqual({ sinceMs: old, untilMs: undefined, prunedBeforeMs });
      const named = async (dimension: UsageDimension, filter: UsageFilter): Promise<readonly (string | number)[][]> => (await stores.usage.groupBy(dimension, filter)).map(({ value, attempts }) => [value, attempts]);
      expect(await named("day", { sinceMs: old })).toEqual([["2026-02-24", 2], ["2026-03-01", 1]]);
      expect(await named("session", {})).toEqual([["", 2], ["now", 1]]);
      expect(await named("agent", { sinceMs: prunedBeforeMs })).toEqual([["", 1]]);
      expect(await named("path", {})).toEqual([['["ada","",""]', 1], ['["ada","now",""]', 1], ['["key_A","",""]', 1]]);
      expect(await named("model", { sessionId: "early" })).toEqual([]);
    });

    it("finds attempts in parts of a day whose ids were made long after their opening, or below others that were summed", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      const openedAtMs = startMs - 3 * dayMs;
      await closed(stores, openedAtMs, { attemptId: idAt(openedAtMs + 30 * 3_600_000) });
      settle(stores, {});
      await closed(stores, openedAtMs + 1);
      const sums = async (): Promise<readonly number[]> => (await Promise.all([{ sinceMs: openedAtMs }, { sinceMs: openedAtMs, untilMs: openedAtMs + 2 }, { untilMs: openedAtMs + 2 }, {}].map((filter) => stores.usage.groupBy("team", filter)))).map(([group]) => group?.attempts ?? 0);
      expect(await sums()).toEqual([2, 2, 2, 2]);
      settle(stores, {});
      expect(await sums()).toEqual([2, 2, 2, 2]);
    });

    it("a session's money is known when it comes back after its rows are gone", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      await closed(stores, startMs - 5 * dayMs, { sessionId: "long" });
      await closed(stores, startMs - 4 * dayMs, { sessionId: "other" });
      await closed(stores, startMs - dayMs, { sessionId: "long" });
      const before = await stores.usage.spentIn("long", 0);
      settle(stores);
      const after = await stores.usage.spentIn("long", 0);
      expect(after.map(({ spender, amountNanoUsd }) => [spender.sessionId, amountNanoUsd])).toEqual(before.map(({ spender, amountNanoUsd }) => [spender.sessionId, amountNanoUsd]));
      // Nobody knows any more when on that day it was.
      expect(after.map(({ dispatchedAtMs }) => dispatchedAtMs).toSorted((a, b) => a - b)).toEqual([startMs - 4.5 * dayMs - 1_000, startMs - dayMs]);
    });

    it("a kill -9 between any two writes leaves rows and sums that make up the ledger once", { timeout: 60_000 }, async () => {
      let [acknowledged, kills] = [0, 0];
      for (const lineCount of [3, 41, 150, 400, 700]) {
        const writer = startWriter(options.writerScript, folder);
        await writer.lines(lineCount);
        await writer.kill();
        kills++;
        acknowledged += writer.acknowledged.get("closed")?.length ?? 0;
        const stores = await openStores(manualClock(Date.now()));
        const total = await expectOneLedger(stores);
        // What was being written when it died is there or not.
        expect(total).toBeGreaterThanOrEqual(acknowledged);
        expect(total).toBeLessThanOrEqual(acknowledged + 2 * kills);
        while (stores.upkeep.step({ retentionMs: dayMs })) continue;
        expect(await expectOneLedger(stores)).toBe(total);
        await stores.close();
      }
    });

    it("works by itself while the gateway serves, and ends with the store", async () => {
      const clock = manualClock(startMs);
      const stores = await openStores(clock);
      for (let index = 0; index < 300; index++) await closed(stores, startMs - 5 * dayMs);
      stores.upkeep.start(keep);
      await vi.waitFor(async () => {
        clock.advance(10_000);
        expect(await stores.usage.rows({ sinceMs: 0 }, 10)).toEqual([]);
      });
      expect(await stores.usage.groupBy("team", {})).toMatchObject([{ value: "platform", attempts: 300, costNanoUsd: 300_000n }]);
      await stores.close();
      clock.advance(dayMs);
    });
  });
}

/** Keys' totals are kept by the closings themselves; everything else has to come to the same. @returns how many attempts there were */
async function expectOneLedger(stores: Stores): Promise<number> {
  const keyIds = ["key_0", "key_1", "key_2"];
  const settled = await stores.usage.spendByKey(keyIds);
  const byKey = await stores.usage.groupBy("key", {});
  expect(new Map(byKey.filter(({ chargeNanoUsd }) => chargeNanoUsd !== 0n).map(({ value, chargeNanoUsd }) => [value, chargeNanoUsd]))).toEqual(settled);
  const spent = await stores.usage.spentSince(0, 60_000);
  for (const keyId of keyIds) expect(spent.filter(({ spender }) => spender.keyId === keyId).reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0n)).toBe(settled.get(keyId) ?? 0n);
  const counts = await Promise.all((["team", "day", "session", "provider"] as const).map(async (by) => (await stores.usage.groupBy(by, {})).reduce((sum, { attempts }) => sum + attempts, 0)));
  const total = byKey.reduce((sum, { attempts }) => sum + attempts, 0);
  expect(counts).toEqual([total, total, total, total]);
  return total;
}

let serial = 0;

/** An id that was made at a moment; they grow. */
function idAt(ms: number): `att_${string}` {
  return `${idFloor("att", ms).slice(0, 14)}${String(++serial).padStart(16, "0")}` as `att_${string}`;
}

function adjustment(attemptId: string, delta: bigint) {
  return { id: newId("adj", startMs), attemptId, atMs: startMs, deltaNanoUsd: nanoUsd(delta), priceRow: "row-2", reason: "a test" };
}

function copyOf(folder: string, files: readonly string[]): string {
  const copy = `${folder}x`;
  mkdirSync(copy);
  for (const file of files) if (existsSync(join(folder, file))) copyFileSync(join(folder, file), join(copy, file));
  return copy;
}

const keys = fc.constantFrom("key_A", "key_B");
const users = fc.constantFrom("ada", "bob", null);
const teams = fc.constantFrom("blue", "red", null);
const amount = fc.bigInt(0n, 10n ** 12n).map(nanoUsd);
const openingMembers = fc.record({
  keyId: keys,
  userId: users,
  teamId: teams,
  organizationId: fc.constantFrom("acme", null),
  project: fc.constantFrom("apollo", null),
  tags: fc.constantFrom([], ["ci"], ["ci", "eu"]),
  sessionId: fc.constantFrom("s1", "s2", null),
  agentId: fc.constantFrom("a1", null),
  provider: fc.constantFrom("anthropic", "bedrock"),
  holdNanoUsd: amount,
  strictHoldNanoUsd: amount,
  isNotional: fc.boolean(),
  expectedCacheReadTokens: fc.nat(1_000_000),
});
const closingMembers = fc.record({
  source: fc.constantFrom("reported" as const, "reported" as const, "estimated" as const, "unresolved" as const, "none" as const),
  costNanoUsd: amount,
  servedModel: fc.constantFrom("", "claude-haiku"),
  payer: fc.constantFrom("caller" as const, "platform" as const, "client" as const),
  chargeNanoUsd: fc.option(amount, { nil: undefined }),
  isWasted: fc.boolean(),
  isUnpriced: fc.boolean(),
  isProvisional: fc.boolean(),
  input: fc.nat(1_000_000),
  output: fc.nat(1_000_000),
  webSearches: fc.nat(2),
  cacheMiss: fc.option(fc.record({ reason: fc.constantFrom("vanished" as const, "moved" as const), lostTokens: fc.nat(1_000_000), costNanoUsd: amount }), { nil: undefined }),
});
const stepOf = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("open" as const), agoMinutes: fc.oneof(fc.constant(0), fc.nat(10_000)), isStray: fc.integer({ min: 0, max: 9 }).map((pick) => pick === 0), members: openingMembers }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("close" as const), pick: fc.nat(), members: closingMembers }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("adjust" as const), pick: fc.nat(), delta: fc.bigInt(-(10n ** 9n), 10n ** 9n), input: fc.integer({ min: -5, max: 5 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("upkeep" as const), pieces: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), hours: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: "restart" as const }, { kind: "crash" as const }, { kind: "full" as const }) },
);
const moment = fc.option(fc.oneof(fc.integer({ min: -10 * 48, max: 20 * 48 }).map((halfHours) => startMs + halfHours * 1_800_000), fc.integer({ min: -10, max: 20 }).map((days) => startMs - dayMs / 2 + days * dayMs)), { nil: undefined });
const questionOf = fc.record({
  dimension: fc.constantFrom<UsageDimension>("key", "user", "team", "project", "model", "provider", "day", "tags", "session", "agent", "path"),
  filter: fc
    .record({ sinceMs: moment, untilMs: moment, keyId: fc.option(keys, { nil: undefined, freq: 3 }), userId: fc.option(fc.constantFrom("ada", "bob"), { nil: undefined, freq: 4 }), teamId: fc.option(fc.constantFrom("blue", "red"), { nil: undefined, freq: 4 }) })
    .map((filter) => Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as UsageFilter),
});
