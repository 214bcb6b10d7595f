/**
 * What every store must do, whichever database is behind it. A store's own test file calls `storeSuite` and adds what only
 * that store has.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { newId, type Id } from "../../src/kernel/ids.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import type { AttemptOpening } from "../../src/pipeline/books.ts";
import type { Adjustment, LedgerRow, UsageDimension } from "../../src/ledger/usage-store.ts";
import type { Stores } from "../../src/store/stores.ts";
import { auditOf, closingOf, keyOf, noonMs, openingOf, secretOf, startWriter } from "./store-fixtures.ts";

/** What the suite cannot do through the ports. */
export interface StoreSuiteOptions<Opened extends Stores> {
  /** A script that opens the store of the folder it is given and calls `writeWithoutEnd`. */
  readonly writerScript: string;
  /** Makes writes that need room fail, as a full disk does, and lets them through again. */
  readonly fill: (stores: Opened) => void;
  readonly free: (stores: Opened) => void;
}

const unavailable = { code: "gateway_store_unavailable" };

/**
 * @param name of the store
 * @param open opens the store that lives in a folder, on the system's clock; called again for the same folder after `close`
 */
export function storeSuite<Opened extends Stores>(name: string, open: (folder: string) => Promise<Opened>, options: StoreSuiteOptions<Opened>): void {
  let folder = "";
  let opened: Opened[] = [];
  const openStores = async (inFolder = folder): Promise<Opened> => {
    const stores = await open(inFolder);
    opened.push(stores);
    return stores;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tollgate-store-"));
    opened = [];
  });
  afterEach(async () => {
    for (const stores of opened) await stores.close();
    rmSync(folder, { recursive: true });
  });

  describe(`${name}: the journal`, () => {
    it("an opening that resolved is there, state open, with every member", async () => {
      const stores = await openStores();
      const opening = openingOf({ tags: ["a", "b"], agentId: "agent-1", parentAgentId: "agent-0", requestClass: "main", isStreaming: false });
      await stores.books.openEntry(opening);
      const [row] = await stores.usage.rows({}, 10);
      expect(row).toMatchObject({ ...opening, state: "open", closedAtMs: null, source: "unresolved", costNanoUsd: 0n });
    });

    it("a closing that resolved is there, with every member, after opening the store again", async () => {
      const stores = await openStores();
      const opening = openingOf({ isNotional: true, marginPpm: 1_250_000 });
      await stores.books.openEntry(opening);
      const closing = closingOf(opening.attemptId, { payer: "caller", isWasted: true, chargeNanoUsd: nanoUsd(5n), serverToolUses: { web_search_requests: 2 }, isProvisional: true, isUnpriced: true, costNanoUsd: nanoUsd(9_007_199_254_740_993n) });
      await stores.books.closeEntry(closing);
      await stores.close();
      const again = await openStores();
      const [row] = await again.usage.rows({}, 10);
      expect(row).toEqual({ ...opening, ...closing, state: "closed" });
      expect(again.recoveredAttempts).toBe(0);
      expect((await again.usage.spendByKey(["key_A", "key_B"])).get("key_A")).toBe(5n);
      expect((await again.usage.spendByKey(["key_A", "key_B"])).has("key_B")).toBe(false);
    });

    it("a second closing is ignored, whenever it comes", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores);
      await Promise.all([stores.books.closeEntry(closingOf(attemptId)), stores.books.closeEntry(closingOf(attemptId, { costNanoUsd: nanoUsd(5n) }))]);
      await stores.books.closeEntry(closingOf(attemptId, { costNanoUsd: nanoUsd(6n) }));
      expect((await stores.usage.rows({}, 10)).map((row) => row.costNanoUsd)).toEqual([1_000n]);
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(1_000n);
    });

    it("a closing of an attempt that was never opened changes nothing", async () => {
      const stores = await openStores();
      await stores.books.closeEntry(closingOf(newId("att", noonMs)));
      expect(await stores.usage.rows({}, 10)).toEqual([]);
      expect(await stores.usage.spendByKey(["key_A"])).toEqual(new Map());
    });

    it("an id opened twice is refused once, and its batch goes on", async () => {
      const stores = await openStores();
      const opening = openingOf();
      const results = await Promise.allSettled([stores.books.openEntry(opening), stores.books.openAttempt(opening), stores.books.openEntry(openingOf())]);
      expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect(await stores.usage.rows({}, 10)).toHaveLength(2);
    });

    it("a closing with figures that no ledger can hold makes the attempt unresolved and keeps its neighbours", async () => {
      const stores = await openStores();
      const [odd, fine] = [await openedAttempt(stores), await openedAttempt(stores)];
      await Promise.all([stores.books.closeEntry(closingOf(odd.attemptId, { costNanoUsd: nanoUsd(2n ** 70n) })), stores.books.closeEntry(closingOf(fine.attemptId, { durationMs: 12.7 }))]);
      expect((await stores.usage.rows({}, 10)).map((row) => [row.state, row.durationMs])).toEqual([["closed", 13], ["unresolved", null]]);
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(1_000n);
      await stores.probe();
    });

    it("writes made together are all durable and keep their order", async () => {
      const stores = await openStores();
      const openings = Array.from({ length: 1_500 }, () => openingOf());
      await Promise.all(openings.map((opening) => stores.books.openEntry(opening)));
      const closed: string[] = [];
      await Promise.all(openings.map(async ({ attemptId }) => {
        await stores.books.closeEntry(closingOf(attemptId));
        closed.push(attemptId);
      }));
      expect(closed).toEqual(openings.map(({ attemptId }) => attemptId));
      expect((await stores.usage.rows({}, 2_000)).map((row) => row.attemptId)).toEqual(closed.toReversed());
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(1_500_000n);
      expect(stores.books.depth()).toBe(0);
    });

    it("closing the store writes what waits", async () => {
      const stores = await openStores();
      const openings = await Promise.all(Array.from({ length: 3 }, () => openedAttempt(stores)));
      const closings = openings.map(({ attemptId }) => stores.books.closeEntry(closingOf(attemptId)));
      expect(stores.books.depth()).toBe(3);
      await stores.close();
      await Promise.all(closings);
      const again = await openStores();
      expect((await again.usage.rows({}, 10)).map((row) => row.state)).toEqual(["closed", "closed", "closed"]);
    });

    it("a closed store refuses openings and probes with gateway_store_unavailable", async () => {
      const stores = await openStores();
      await stores.close();
      await expect(stores.books.openEntry(openingOf())).rejects.toMatchObject(unavailable);
      await expect(stores.probe()).rejects.toMatchObject(unavailable);
      await stores.close();
    });
  });

  describe(`${name}: crashes`, () => {
    it("attempts left open are unresolved after a restart, are counted once, and are in the audit table", async () => {
      const stores = await openStores();
      const left = await openedAttempt(stores);
      const done = await openedAttempt(stores);
      await stores.books.closeEntry(closingOf(done.attemptId));
      await stores.close();
      const again = await openStores();
      expect(again.recoveredAttempts).toBe(1);
      expect(await again.usage.unresolvedCount()).toBe(1);
      expect((await again.usage.rows({}, 10)).map((row) => [row.attemptId, row.state, row.outcome, row.source])).toEqual([
        [done.attemptId, "closed", "completed", "reported"],
        [left.attemptId, "unresolved", "unresolved", "unresolved"],
      ]);
      expect((await again.audit.list({ limit: 5 })).map(({ action, actor, details }) => ({ action, actor, details }))).toEqual([{ action: "gateway.recover", actor: "gateway", details: { attempts: 1 } }]);
      await again.books.closeEntry(closingOf(left.attemptId));
      expect(await again.usage.unresolvedCount()).toBe(1);
      await again.close();
      expect((await openStores()).recoveredAttempts).toBe(0);
    });

    it("an attempt with an older id than the last process's newest is recovered too", async () => {
      const stores = await openStores();
      await openedAttempt(stores);
      await stores.close();
      const again = await openStores();
      await again.books.openEntry(openingOf({ attemptId: "att_00000000000000000000000001" }));
      await again.close();
      expect((await openStores()).recoveredAttempts).toBe(1);
    });

    it("an attempt that stays open through thousands of others is recovered", async () => {
      const stores = await openStores();
      const left = await openedAttempt(stores);
      for (let round = 0; round < 5; round++) {
        const others = await Promise.all(Array.from({ length: 1_000 }, () => openedAttempt(stores)));
        await Promise.all(others.map(({ attemptId }) => stores.books.closeEntry(closingOf(attemptId))));
      }
      await stores.close();
      const again = await openStores();
      expect(again.recoveredAttempts).toBe(1);
      expect((await again.usage.rows({}, 6_000)).filter((row) => row.state === "unresolved").map((row) => row.attemptId)).toEqual([left.attemptId]);
    });

    it("everything a process was told is written survives its kill -9", { timeout: 60_000 }, async () => {
      let keys = 0;
      for (const lineCount of [1, 40, 333, 900, 2_000]) {
        const writer = startWriter(options.writerScript, folder);
        await writer.lines(lineCount);
        await writer.kill();
        const stores = await openStores();
        const rows = new Map((await stores.usage.rows({}, 100_000)).map((row) => [row.attemptId, row]));
        const said = (kind: string): readonly string[] => writer.acknowledged.get(kind) ?? [];
        expect(said("opened").filter((id) => !rows.has(id))).toEqual([]);
        expect(said("closed").filter((id) => rows.get(id)?.state !== "closed")).toEqual([]);
        expect([...rows.values()].filter((row) => row.state === "open")).toEqual([]);
        const stored = new Set((await stores.keys.loadAll(noonMs)).keys.map((key) => key.id as string));
        expect(said("key").filter((id) => !stored.has(id))).toEqual([]);
        expect(stored.size).toBeGreaterThanOrEqual(keys += said("key").length);
        expect((await stores.audit.list({ limit: 100_000, action: "key.create" })).length).toBe(stored.size);
        expect((await stores.usage.spendByKey(["key_A"])).get("key_A") ?? 0n).toBe(sumOf([...rows.values()]));
        await stores.close();
      }
    });
  });

  describe(`${name}: money`, () => {
    const dimensions: readonly UsageDimension[] = ["key", "user", "team", "project", "model", "provider", "day", "session", "agent"];

    it("totals of keys equal their entries and adjustments after any history", { timeout: 60_000 }, async () => {
      const step = fc.oneof(
        { weight: 4, arbitrary: fc.record({ kind: fc.constant("open" as const), key: fc.constantFrom("key_A", "key_B", "key_C") }) },
        { weight: 4, arbitrary: fc.record({ kind: fc.constant("close" as const), pick: fc.nat(), cost: fc.bigInt(0n, 10n ** 15n), source: fc.constantFrom("reported" as const, "estimated" as const, "none" as const) }) },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant("adjust" as const), pick: fc.nat(), delta: fc.bigInt(-(10n ** 12n), 10n ** 12n) }) },
        { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const inner = mkdtempSync(join(folder, "run-"));
          let stores = await openStores(inner);
          const history = new History();
          for (const each of steps) {
            if (each.kind === "reopen") {
              await stores.close();
              stores = await openStores(inner);
              history.restart();
            } else if (each.kind === "open") await history.open(stores, each.key);
            else if (each.kind === "close") await history.close(stores, each);
            else await history.adjust(stores, each);
          }
          expect(await stores.usage.spendByKey(["key_A", "key_B", "key_C"])).toEqual(history.spend());
          const rows = await stores.usage.rows({}, 1_000);
          for (const dimension of dimensions) {
            const groups = await stores.usage.groupBy(dimension, {});
            expect(groups.reduce((sum, group) => sum + group.costNanoUsd, 0n)).toBe(sumOf(rows));
            expect(groups.reduce((sum, group) => sum + group.attempts, 0)).toBe(rows.length);
          }
          expect([...history.spend().values()].reduce((sum, amount) => sum + amount, 0n)).toBe(sumOf(rows));
          await stores.close();
        }),
        { numRuns: 25 },
      );
    });

    it("an adjustment corrects the row, its key and its group once, and leaves the entry's own members", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores);
      await stores.books.closeEntry(closingOf(attemptId, { isProvisional: true, source: "estimated" }));
      expect((await stores.usage.provisionalRows(10)).map((row) => row.attemptId)).toEqual([attemptId]);
      await stores.usage.adjust([adjustmentOf(attemptId, -400n)]);
      await stores.usage.adjust([adjustmentOf(attemptId, -400n), adjustmentOf(attemptId, -1n)]);
      expect(await stores.usage.provisionalRows(10)).toEqual([]);
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(600n);
      expect((await stores.usage.groupBy("key", {}))[0]).toMatchObject({ costNanoUsd: 600n, estimatedNanoUsd: 600n, reportedNanoUsd: 0n, attempts: 1 });
      expect((await stores.usage.rows({}, 10))[0]).toMatchObject({ costNanoUsd: 600n, priceRow: "row-2", isProvisional: false, source: "estimated", state: "closed" });
    });

    it("what is charged, wasted and notional is told apart, and counts for those who bear it", async () => {
      const stores = await openStores();
      const end = async (opening: Partial<AttemptOpening>, closing: Parameters<typeof closingOf>[1]): Promise<Id<"att">> => {
        const whole = openingOf(opening);
        await stores.books.openEntry(whole);
        await stores.books.closeEntry(closingOf(whole.attemptId, closing));
        return whole.attemptId;
      };
      const dear = await end({ marginPpm: 1_100_000 }, { chargeNanoUsd: nanoUsd(1_100n), payer: "caller" });
      await end({ marginPpm: 1_100_000 }, { payer: "platform", isWasted: true, chargeNanoUsd: nanoUsd(1_000n) });
      await end({ isNotional: true, payer: "client" }, { payer: "client", chargeNanoUsd: nanoUsd(1_000n) });
      // 10 % on 1 000 - 999 nano-USD is rounded up once: 2 instead of 1 100.
      await stores.usage.adjust([adjustmentOf(dear, -999n)]);
      expect((await stores.usage.groupBy("key", {}))[0]).toMatchObject({ attempts: 3, costNanoUsd: 1_001n, chargeNanoUsd: 1_002n, reportedNanoUsd: 1_002n, adjustedNanoUsd: -1_098n, wastedNanoUsd: 1_000n, notionalNanoUsd: 1_000n });
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(2n);
      const spent = await stores.usage.spentSince(0, 60_000);
      expect(new Map(spent.map(({ spender, amountNanoUsd }) => [spender.payer ?? "caller", amountNanoUsd]))).toEqual(new Map([["caller", 2n], ["platform", 1_000n], ["client", 1_000n]]));
      expect((await stores.usage.rows({}, 10)).map(({ payer, marginPpm, chargeNanoUsd, costNanoUsd }) => [payer, marginPpm, chargeNanoUsd, costNanoUsd])).toEqual([
        ["client", null, 1_000n, 1_000n],
        ["platform", null, 1_000n, 1_000n],
        ["caller", 1_100_000, 2n, 1n],
      ]);
    });

    it("what one session has spent is read apart, with what was closed just before", async () => {
      const stores = await openStores();
      for (const sessionId of ["session-1", "session-2", null]) {
        const { attemptId } = await openedAttempt(stores, { sessionId });
        void stores.books.closeEntry(closingOf(attemptId));
      }
      expect((await stores.usage.spentIn("session-1", 0)).map(({ spender, amountNanoUsd }) => [spender.sessionId, amountNanoUsd])).toEqual([["session-1", 1_000n]]);
      expect(await stores.usage.spentIn("session-1", noonMs + 86_400_000)).toEqual([]);
      expect((await stores.usage.spentSince(0, 60_000)).map(({ spender }) => spender.sessionId)).toEqual([null]);
    });

    it("an adjustment of counts shows in the row and in groups, and apart as money", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores);
      await stores.books.closeEntry(closingOf(attemptId, { source: "estimated" }));
      await stores.usage.adjust([{ ...adjustmentOf(attemptId, 250n), deltaCounts: { input: 1, cacheRead: -2, cacheWrite5m: 3, cacheWrite1h: -40, output: 5 }, deltaWebSearches: 6 }]);
      const counts = { input: 11, cacheRead: 18, cacheWrite5m: 33, cacheWrite1h: 0, output: 55 };
      expect((await stores.usage.rows({}, 10))[0]).toMatchObject({ counts, costNanoUsd: 1_250n });
      expect((await stores.usage.groupBy("key", {}))[0]).toMatchObject({ counts, costNanoUsd: 1_250n, adjustedNanoUsd: 250n });
      const range = { provider: "anthropic", sinceMs: noonMs - 86_400_000, untilMs: noonMs + 86_400_000 };
      expect(await stores.reconcile.billed(range)).toMatchObject([{ day: "2026-03-01", model: "claude-sonnet-4-5", knowledge: "adjusted", attempts: 1, counts, webSearches: 6, costNanoUsd: 1_250n }]);
      const own = { counts: closingOf(attemptId).counts, webSearches: 0, costNanoUsd: 1_000n };
      expect(await stores.reconcile.uncertainRows(range, 10)).toMatchObject([{ row: { attemptId, counts, costNanoUsd: 1_250n }, webSearches: 6, own, entries: 1, isSettled: true }]);
    });

    it("an attempt is adjusted again by an entry of its own number, and the sums are exact with any margin", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores, { marginPpm: 1_333_333 });
      await stores.books.closeEntry(closingOf(attemptId, { source: "estimated", chargeNanoUsd: nanoUsd(1_334n), payer: "caller" }));
      const entry = (sequence: number, delta: bigint, input: number): Adjustment => ({ ...adjustmentOf(attemptId, delta), sequence, priceRow: `row-${sequence}`, deltaCounts: { input, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 } });
      const range = { provider: "anthropic", sinceMs: noonMs - 86_400_000, untilMs: noonMs + 86_400_000 };
      let cost = 1_000n;
      for (const [sequence, delta] of [-333n, 7n, 1_001n, -675n].entries()) {
        // The second of the same number was worked out from what no longer holds.
        await stores.usage.adjust([entry(sequence, delta, sequence === 0 ? 3 : -1)]);
        await stores.usage.adjust([entry(sequence, 5_000n, 99)]);
        cost += delta;
        const charge = (cost * 1_333_333n + 999_999n) / 1_000_000n;
        expect((await stores.usage.rows({}, 10))[0]).toMatchObject({ costNanoUsd: cost, chargeNanoUsd: charge, counts: { input: 13 - sequence }, priceRow: `row-${sequence}` });
        expect((await stores.usage.groupBy("key", {}))[0]).toMatchObject({ costNanoUsd: cost, chargeNanoUsd: charge, adjustedNanoUsd: charge - 1_334n, attempts: 1 });
        expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(charge);
        expect((await stores.reconcile.spentBy([attemptId])).map(({ amountNanoUsd }) => amountNanoUsd)).toEqual([charge]);
        const isSettled = sequence < 3;
        expect(await stores.reconcile.billed(range)).toMatchObject([{ attempts: 1, knowledge: isSettled ? "adjusted" : "estimated", costNanoUsd: cost }]);
        expect(await stores.reconcile.uncertainRows(range, 10)).toMatchObject([{ row: { costNanoUsd: cost }, own: { counts: { input: 10 }, costNanoUsd: 1_000n, priceRow: closingOf(attemptId).priceRow }, entries: sequence + 1, isSettled }]);
      }
      const entries = await stores.reconcile.entriesOf([attemptId, newId("att", noonMs)]);
      expect([...entries].map(([id, own]) => [id, own.map(({ sequence, deltaNanoUsd, deltaCounts }) => [sequence, deltaNanoUsd, deltaCounts?.input])])).toEqual([[attemptId, [[0, -333n, 3], [1, 7n, -1], [2, 1_001n, -1], [3, -675n, -1]]]]);
    });

    it("a corrected price is an estimate's own, and a correction of its counts is not", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores);
      await stores.books.closeEntry(closingOf(attemptId, { source: "estimated", isProvisional: true }));
      await stores.usage.adjust([adjustmentOf(attemptId, -400n)]);
      const range = { provider: "anthropic", sinceMs: noonMs - 86_400_000, untilMs: noonMs + 86_400_000 };
      expect(await stores.reconcile.billed(range)).toMatchObject([{ knowledge: "estimated", costNanoUsd: 600n }]);
      await stores.usage.adjust([{ ...adjustmentOf(attemptId, 50n), sequence: 1, deltaWebSearches: 1 }]);
      expect(await stores.reconcile.uncertainRows(range, 10)).toMatchObject([{ row: { costNanoUsd: 650n }, webSearches: 1, own: { webSearches: 0, costNanoUsd: 600n, priceRow: "row-2" }, entries: 2, isSettled: true }]);
    });

    it("what stands against a provider's bill is its own ended attempts by day, model and how they are known", async () => {
      const stores = await openStores();
      const close = async (opening: Partial<AttemptOpening>, closing: Parameters<typeof closingOf>[1]): Promise<Id<"att">> => {
        const { attemptId } = openingOf(opening);
        await stores.books.openEntry({ ...openingOf(opening), attemptId });
        await stores.books.closeEntry(closingOf(attemptId, closing));
        return attemptId;
      };
      const late = Date.UTC(2026, 2, 1, 23, 59, 59, 999);
      await close({ openedAtMs: late }, { closedAtMs: late + 1, serverToolUses: { web_search_requests: 2 } });
      const estimated = await close({}, { source: "estimated", servedModel: "" });
      const unresolved = await close({ holdNanoUsd: nanoUsd(70n) }, { source: "unresolved", outcome: "broken", costNanoUsd: nanoUsd(0n), counts: { input: 0, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0 }, servedModel: "" });
      await close({}, { source: "none", costNanoUsd: nanoUsd(0n) });
      await close({ provider: "bedrock" }, {});
      await close({ isNotional: true, payer: "client" }, { payer: "client" });
      await close({ openedAtMs: late + 1 }, {});
      await openedAttempt(stores);
      const range = { provider: "anthropic", sinceMs: Date.UTC(2026, 2, 1), untilMs: Date.UTC(2026, 2, 2) };
      expect((await stores.reconcile.billed(range)).map(({ knowledge, attempts, overMidnight, webSearches, costNanoUsd }) => [knowledge, attempts, overMidnight, webSearches, costNanoUsd])).toEqual([
        ["estimated", 1, 0, 0, 1_000n],
        ["reported", 1, 1, 2, 1_000n],
        ["unresolved", 1, 0, 0, 0n],
      ]);
      expect((await stores.reconcile.uncertainRows(range, 10)).map(({ row: { attemptId }, entries, isSettled }) => [attemptId, entries, isSettled])).toEqual([estimated, unresolved].toSorted().map((id) => [id, 0, false]));
      expect(await stores.reconcile.uncertainRows(range, 1)).toHaveLength(1);
      const spent = await stores.reconcile.spentBy([estimated, unresolved]);
      expect(new Map(spent.map(({ source, amountNanoUsd }) => [source, amountNanoUsd]))).toEqual(new Map([["estimated", 1_000n], ["unresolved", 70n]]));
      const all = await stores.reconcile.spentBy((await stores.usage.rows({}, 100)).map(({ attemptId }) => attemptId));
      const total = (amounts: readonly { readonly amountNanoUsd: bigint }[]): bigint => amounts.reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0n);
      expect(total(all)).toBe(total(await stores.usage.spentSince(0, 60_000)));
    });

    it("provisional rows come oldest first, page by page, without those that were adjusted", async () => {
      const stores = await openStores();
      const ids: Id<"att">[] = [];
      for (let index = 0; index < 5; index++) {
        const { attemptId } = await openedAttempt(stores);
        await stores.books.closeEntry(closingOf(attemptId, { isProvisional: index !== 3 }));
        ids.push(attemptId);
      }
      await stores.usage.adjust([adjustmentOf(ids[1]!, 0n)]);
      const page = async (limit: number, after?: string): Promise<string[]> => (await stores.usage.provisionalRows(limit, after)).map((row) => row.attemptId);
      expect(await page(2)).toEqual([ids[0], ids[2]]);
      expect(await page(2, ids[2])).toEqual([ids[4]]);
      expect(await page(2, ids[4])).toEqual([]);
    });

    it("an adjustment of an attempt that is open or unknown writes nothing, and nothing of its list", async () => {
      const stores = await openStores();
      const [openStill, closed] = [await openedAttempt(stores), await openedAttempt(stores)];
      await stores.books.closeEntry(closingOf(closed.attemptId));
      await expect(stores.usage.adjust([adjustmentOf(closed.attemptId, 1n), adjustmentOf(openStill.attemptId, 1n)])).rejects.toMatchObject({ code: "gateway_internal" });
      await expect(stores.usage.adjust([adjustmentOf(newId("att", noonMs), 1n)])).rejects.toMatchObject({ code: "gateway_internal" });
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(1_000n);
    });
  });

  describe(`${name}: reports`, () => {
    it("each dimension groups by its own column, and entries without one stand under the empty value", async () => {
      const stores = await openStores();
      await closedAttempt(stores, { agentId: "agent-1", openedAtMs: Date.UTC(2026, 2, 1, 23, 59, 59, 999) });
      await closedAttempt(stores, { keyId: "key_B", userId: null, teamId: null, project: null, sessionId: null, provider: "demo", openedAtMs: Date.UTC(2026, 2, 2) });
      await stores.books.openEntry(openingOf({ openedAtMs: Date.UTC(2026, 2, 2), upstreamModel: "claude-opus" }));
      const values = async (dimension: UsageDimension): Promise<unknown> => (await stores.usage.groupBy(dimension, {})).map((group) => [group.value, group.attempts]);
      expect(await values("key")).toEqual([["key_A", 2], ["key_B", 1]]);
      expect(await values("user")).toEqual([["", 1], ["ada", 2]]);
      expect(await values("team")).toEqual([["", 1], ["platform", 2]]);
      expect(await values("project")).toEqual([["", 1], ["apollo", 2]]);
      expect(await values("model")).toEqual([["claude-opus", 1], ["claude-sonnet-4-5", 2]]);
      expect(await values("provider")).toEqual([["anthropic", 2], ["demo", 1]]);
      expect(await values("day")).toEqual([["2026-03-01", 1], ["2026-03-02", 2]]);
      expect(await values("session")).toEqual([["", 1], ["session-1", 2]]);
      expect(await values("agent")).toEqual([["", 2], ["agent-1", 1]]);
      expect(await values("path")).toEqual([['["ada","session-1",""]', 1], ['["ada","session-1","agent-1"]', 1], ['["key_B","",""]', 1]]);
      await closedAttempt(stores, { tags: ["a", "b"] });
      expect(await values("tags")).toEqual([["", 3], ['["a","b"]', 1]]);
    });

    it("a group sums counts and money by source", async () => {
      const stores = await openStores();
      await closedAttempt(stores, {}, { costNanoUsd: nanoUsd(5n), cacheMiss: { reason: "vanished", lostTokens: 3_980, costNanoUsd: nanoUsd(7n) } });
      await closedAttempt(stores, {}, { costNanoUsd: nanoUsd(7n), source: "estimated", isUnpriced: true });
      await closedAttempt(stores, {}, { costNanoUsd: nanoUsd(0n), source: "unresolved" });
      expect(await stores.usage.groupBy("key", {})).toEqual([
        {
          value: "key_A",
          attempts: 3,
          counts: { input: 30, cacheRead: 60, cacheWrite5m: 90, cacheWrite1h: 120, output: 150 },
          costNanoUsd: 12n,
          reportedNanoUsd: 5n,
          estimatedNanoUsd: 7n,
          chargeNanoUsd: 12n,
          wastedNanoUsd: 0n,
          notionalNanoUsd: 0n,
          adjustedNanoUsd: 0n,
          unresolvedAttempts: 1,
          unresolvedNanoUsd: 0n,
          unpricedAttempts: 1,
          cache: { expectedReadTokens: 4_000, lostReadTokens: 3 * 3_980, misses: 3, moved: 2, missNanoUsd: 21n },
        },
      ]);
    });

    it("filters narrow rows and groups alike, and the time range is half-open", async () => {
      const stores = await openStores();
      const first = await closedAttempt(stores, { openedAtMs: noonMs });
      const second = await closedAttempt(stores, { openedAtMs: noonMs + 10, keyId: "key_B", userId: "bob", teamId: "search", sessionId: "session-2" });
      const third = await closedAttempt(stores, { openedAtMs: noonMs + 20 });
      const found = async (filter: Parameters<Stores["usage"]["rows"]>[0]): Promise<readonly string[]> => {
        const rows = await stores.usage.rows(filter, 10);
        expect((await stores.usage.groupBy("provider", filter)).reduce((sum, group) => sum + group.attempts, 0)).toBe(rows.length);
        return rows.map((row) => row.attemptId);
      };
      expect(await found({})).toEqual([third.attemptId, second.attemptId, first.attemptId]);
      expect(await found({ sinceMs: noonMs, untilMs: noonMs + 10 })).toEqual([first.attemptId]);
      expect(await found({ sinceMs: noonMs + 1 })).toEqual([third.attemptId, second.attemptId]);
      expect(await found({ keyId: "key_B" })).toEqual([second.attemptId]);
      expect(await found({ userId: "bob" })).toEqual([second.attemptId]);
      expect(await found({ teamId: "platform", sinceMs: noonMs + 5 })).toEqual([third.attemptId]);
      expect(await found({ sessionId: "session-2" })).toEqual([second.attemptId]);
      expect(await found({ requestId: third.requestId })).toEqual([third.attemptId]);
      expect(await found({ requestId: "no such request" })).toEqual([]);
      expect((await stores.usage.rows({}, 2)).map((row) => row.attemptId)).toEqual([third.attemptId, second.attemptId]);
    });
  });

  describe(`${name}: keys`, () => {
    it("a key and its secrets come back whole, with their audit record, after opening again", async () => {
      const stores = await openStores();
      const full = keyOf();
      const bare = keyOf({ alias: null, userId: null, teamId: null, models: [], aliases: {}, maxBudgetUsd: null, budgetDuration: null, expiresAtMs: null, metadata: {}, tags: [], rpmLimit: null, tpmLimit: null, maxParallelRequests: null, isBlocked: true });
      await stores.keys.apply({ key: full, addSecrets: [secretOf(full)], audit: auditOf({ object: full.id }) });
      await stores.keys.apply({ key: bare, addSecrets: [secretOf(bare)], audit: auditOf({ object: bare.id }) });
      await stores.close();
      const again = await openStores();
      const loaded = await again.keys.loadAll(noonMs);
      expect(loaded.keys.toSorted(byId)).toEqual([full, bare].toSorted(byId));
      expect(loaded.secrets.map((secret) => secret.hash).toSorted()).toEqual([full.tokenHash, bare.tokenHash].toSorted());
      expect((await again.audit.list({ limit: 10 })).map((record) => record.object)).toEqual([bare.id, full.id]);
    });

    it("a rotation replaces the record and its secrets in one step", async () => {
      const stores = await openStores();
      const before = keyOf();
      await stores.keys.apply({ key: before, addSecrets: [secretOf(before)], audit: auditOf() });
      const after = { ...before, tokenHash: "hash-2", updatedAtMs: noonMs + 1 };
      const previous = secretOf(before, { kind: "previous", expiresAtMs: noonMs + 600_000 });
      await stores.keys.apply({ key: after, addSecrets: [secretOf(after), previous], audit: auditOf({ action: "key.rotate" }) });
      expect((await stores.keys.loadAll(noonMs)).keys).toEqual([after]);
      expect((await stores.keys.loadAll(noonMs)).secrets.toSorted(byHash)).toEqual([secretOf(after), previous].toSorted(byHash));
      expect((await stores.keys.loadAll(noonMs + 600_000)).secrets).toEqual([secretOf(after)]);
      await stores.keys.apply({ removeSecretHashes: [previous.hash], audit: auditOf() });
      expect((await stores.keys.loadAll(noonMs)).secrets).toEqual([secretOf(after)]);
    });

    it("an alias or a secret of another live key is a conflict, and nothing of the change is written", async () => {
      const stores = await openStores();
      const first = keyOf({ alias: "shared" });
      await stores.keys.apply({ key: first, addSecrets: [secretOf(first)], audit: auditOf() });
      const sameAlias = keyOf({ alias: "shared" });
      await expect(stores.keys.apply({ key: sameAlias, addSecrets: [secretOf(sameAlias)], audit: auditOf() })).rejects.toMatchObject({ code: "client_object_conflict" });
      const sameSecret = keyOf();
      await expect(stores.keys.apply({ key: sameSecret, addSecrets: [secretOf(sameSecret, { hash: first.tokenHash })], removeSecretHashes: [], audit: auditOf() })).rejects.toMatchObject({ code: "client_object_conflict" });
      expect((await stores.keys.loadAll(noonMs)).keys).toEqual([first]);
      expect((await stores.keys.loadAll(noonMs)).secrets).toEqual([secretOf(first)]);
      expect(await stores.audit.list({ limit: 10 })).toHaveLength(1);
    });

    it("a revoked key is not loaded, and its alias and secret are free again", async () => {
      const stores = await openStores();
      const first = keyOf({ alias: "shared" });
      await stores.keys.apply({ key: first, addSecrets: [secretOf(first)], audit: auditOf() });
      await stores.keys.apply({ key: { ...first, revokedAtMs: noonMs }, audit: auditOf({ action: "key.delete" }) });
      expect(await stores.keys.loadAll(noonMs)).toEqual({ keys: [], secrets: [] });
      const second = keyOf({ alias: "shared", tokenHash: first.tokenHash });
      await stores.keys.apply({ key: second, addSecrets: [secretOf(second)], audit: auditOf() });
      expect(await stores.keys.loadAll(noonMs)).toEqual({ keys: [second], secrets: [secretOf(second)] });
    });
  });

  describe(`${name}: the audit table`, () => {
    it("lists newest first, in pages, by action", async () => {
      const stores = await openStores();
      const records = Array.from({ length: 7 }, (_, index) => auditOf({ action: index % 2 === 0 ? "request.refused" : "key.block", details: { index } }));
      await stores.audit.append(records.slice(0, 3));
      await stores.audit.append(records.slice(3));
      const newestFirst = records.toReversed();
      expect(await stores.audit.list({ limit: 4 })).toEqual(newestFirst.slice(0, 4));
      expect(await stores.audit.list({ limit: 4, beforeId: newestFirst[3]!.id })).toEqual(newestFirst.slice(4));
      expect(await stores.audit.list({ limit: 10, action: "key.block" })).toEqual(newestFirst.filter((record) => record.action === "key.block"));
      expect(await stores.audit.list({ limit: 10, beforeId: "aud_unknown" })).toEqual([]);
    });

    it("a record is never replaced, and a list with a known id is not written at all", async () => {
      const stores = await openStores();
      const record = auditOf();
      await stores.audit.append([record]);
      await expect(stores.audit.append([auditOf(), { ...record, actor: "someone else" }])).rejects.toMatchObject(unavailable);
      expect(await stores.audit.list({ limit: 10 })).toEqual([record]);
    });
  });

  describe(`${name}: a store that cannot write`, () => {
    it("refuses openings, keeps closings, and writes them when there is room again", { timeout: 30_000 }, async () => {
      const stores = await openStores();
      const running = await Promise.all(Array.from({ length: 50 }, () => openedAttempt(stores)));
      options.fill(stores);
      const accepted: AttemptOpening[] = [];
      await expect((async () => {
        for (;;) accepted.push(await openedAttempt(stores));
      })()).rejects.toMatchObject(unavailable);
      const longUsage = JSON.stringify({ note: "x".repeat(3_000) });
      const closings = running.map(({ attemptId }) => stores.books.closeEntry(closingOf(attemptId, { usageJson: longUsage })));
      await expect(stores.books.openEntry(openingOf())).rejects.toMatchObject(unavailable);
      await expect(stores.probe()).rejects.toMatchObject(unavailable);
      expect(stores.books.depth()).toBeGreaterThan(0);
      options.free(stores);
      await Promise.all(closings);
      await vi.waitFor(() => stores.probe(), { timeout: 10_000 });
      await stores.books.openEntry(openingOf());
      const rows = await stores.usage.rows({}, 1_000);
      expect(rows.filter((row) => row.state === "closed").map((row) => row.attemptId).toSorted()).toEqual(running.map(({ attemptId }) => attemptId as string).toSorted());
      expect(rows).toHaveLength(running.length + accepted.length + 1);
      expect((await stores.usage.spendByKey(["key_A"])).get("key_A")).toBe(50_000n);
      expect(stores.books.depth()).toBe(0);
    });

    it("says when it is closed that closings were lost, and their attempts are unresolved afterwards", async () => {
      const stores = await openStores();
      const { attemptId } = await openedAttempt(stores);
      options.fill(stores);
      await expect((async () => {
        for (;;) await openedAttempt(stores);
      })()).rejects.toMatchObject(unavailable);
      void stores.books.closeEntry(closingOf(attemptId, { usageJson: JSON.stringify("x".repeat(8_000)) }));
      await expect(stores.close()).rejects.toMatchObject(unavailable);
      const again = await openStores();
      expect((await again.usage.rows({ sinceMs: 0 }, 10_000)).filter((row) => row.attemptId === attemptId).map((row) => row.state)).toEqual(["unresolved"]);
    });
  });
}

/** The model that the property compares with: what was opened, closed and adjusted, and what that must sum to. */
class History {
  readonly #open: AttemptOpening[] = [];
  readonly #closed: { readonly opening: AttemptOpening; adjustments: number }[] = [];
  readonly #spend = new Map<string, bigint>();

  spend(): ReadonlyMap<string, bigint> {
    return this.#spend;
  }

  restart(): void {
    for (const opening of this.#open.splice(0)) this.#closed.push({ opening, adjustments: 0 });
  }

  async open(stores: Stores, keyId: string): Promise<void> {
    this.#open.push(await openedAttempt(stores, { keyId }));
  }

  /** Every third closing goes to an attempt that is closed already. */
  async close(stores: Stores, { pick, cost, source }: { readonly pick: number; readonly cost: bigint; readonly source: "reported" | "estimated" | "none" }): Promise<void> {
    const isSecond = pick % 3 === 0 && this.#closed.length > 0;
    const opening = isSecond ? this.#closed[pick % this.#closed.length]!.opening : this.#open.splice(pick % Math.max(1, this.#open.length), 1)[0];
    if (opening === undefined) return;
    await stores.books.closeEntry(closingOf(opening.attemptId, { costNanoUsd: nanoUsd(cost), source }));
    if (isSecond) return;
    this.#closed.push({ opening, adjustments: 0 });
    this.#add(opening.keyId, cost);
  }

  async adjust(stores: Stores, { pick, delta }: { readonly pick: number; readonly delta: bigint }): Promise<void> {
    const entry = this.#closed[pick % Math.max(1, this.#closed.length)];
    if (entry === undefined) return;
    // Every third comes with the number of one that is written already, and is not written.
    const isLate = pick % 3 === 0 && entry.adjustments > 0;
    await stores.usage.adjust([{ ...adjustmentOf(entry.opening.attemptId, delta), sequence: entry.adjustments - Number(isLate) }]);
    if (isLate) return;
    this.#add(entry.opening.keyId, delta);
    entry.adjustments++;
  }

  #add(keyId: string, amount: bigint): void {
    this.#spend.set(keyId, (this.#spend.get(keyId) ?? 0n) + amount);
  }
}

async function openedAttempt(stores: Stores, members: Partial<AttemptOpening> = {}): Promise<AttemptOpening> {
  const opening = openingOf(members);
  await stores.books.openEntry(opening);
  return opening;
}

async function closedAttempt(stores: Stores, members: Partial<AttemptOpening> = {}, closing: Parameters<typeof closingOf>[1] = {}): Promise<AttemptOpening> {
  const opening = await openedAttempt(stores, members);
  await stores.books.closeEntry(closingOf(opening.attemptId, closing));
  return opening;
}

function adjustmentOf(attemptId: Id<"att">, delta: bigint): Adjustment {
  return { id: newId("adj", noonMs), attemptId, atMs: noonMs, deltaNanoUsd: nanoUsd(delta), priceRow: "row-2", reason: "the price arrived" };
}

const sumOf = (rows: readonly LedgerRow[]): bigint => rows.reduce((sum, row) => sum + row.costNanoUsd, 0n);
const byId = (left: { readonly id: string }, right: { readonly id: string }): number => (left.id < right.id ? -1 : 1);
const byHash = (left: { readonly hash: string }, right: { readonly hash: string }): number => (left.hash < right.hash ? -1 : 1);
