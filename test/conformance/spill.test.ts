/**
 * Guarantee: whatever goes on while the store cannot be written is in the ledger exactly once when it is back, or after the next start,
 * at whichever step the process died; and every total is the one that the entries make.
 *
 * A crash is the store's folder as it is at that moment, copied, and opened by itself: what `kill -9` leaves behind.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { manualClock, systemClock, type Clock } from "../../src/kernel/clock.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import type { OutageAllowance } from "../../src/ledger/outage-allowance.ts";
import type { AttemptClosing, AttemptOpening } from "../../src/pipeline/books.ts";
import { encodeSpillLine, type SpillEntry } from "../../src/store/spill/spill-lines.ts";
import { sqlScript } from "../../src/store/sql.ts";
import { openSqliteStores, type SqliteStores } from "../../src/store/sqlite/open.ts";
import { closingOf, openingOf } from "./store-fixtures.ts";

let root = "";
let folder = "";
let opened: SqliteStores[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tollgate-outage-"));
  folder = join(root, "live");
  opened = [];
});
afterEach(async () => {
  for (const stores of opened) await stores.close().catch(() => undefined);
  rmSync(root, { recursive: true });
});

const open: OutageAllowance = { begin: () => undefined, end: () => undefined, take: () => true, giveBack: () => undefined, closed: () => undefined, mayTake: () => true };

async function openIn(inFolder: string, clock: Clock = systemClock, allowance: OutageAllowance = open): Promise<SqliteStores> {
  const stores = await openSqliteStores({ path: join(inFolder, "tollgate.db"), sync: "normal", clock, spill: { path: join(inFolder, "..", `${inFolder.split("/").at(-1)}.spill.jsonl`), allowance } });
  opened.push(stores);
  return stores;
}

const spillText = (inFolder: string): string => readFileSync(`${inFolder}.spill.jsonl`, "utf8");
const readOnly = (stores: SqliteStores, isOn: boolean): void => stores.sql.script(isOn ? sqlScript`PRAGMA query_only = ON` : sqlScript`PRAGMA query_only = OFF`);

let crashes = 0;
/** The ledger that a start would find after a death now; a second start finds the same. */
async function afterCrash(): Promise<readonly string[]> {
  const copy = join(root, `crash-${crashes++}`);
  cpSync(folder, copy, { recursive: true, filter: (path) => !path.includes(".lock") });
  writeFileSync(`${copy}.spill.jsonl`, spillText(folder));
  const found: string[][] = [];
  for (let start = 0; start < 2; start++) {
    const stores = await openIn(copy);
    const rows = await stores.usage.rows({}, 100);
    expect(spillText(copy)).toBe("");
    expect((await stores.usage.spendByKey(["key_A"])).get("key_A") ?? 0n).toBe(rows.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0n));
    found.push(rows.map(({ attemptId, state, costNanoUsd, holdNanoUsd }) => `${attemptId} ${state} ${state === "closed" ? costNanoUsd : `at ${holdNanoUsd}`}`).toSorted());
    await stores.close();
  }
  expect(found[1]).toEqual(found[0]);
  return found[0]!;
}

const held = ({ attemptId }: AttemptOpening, hold: bigint): string => `${attemptId} unresolved at ${hold}`;
const closed = ({ attemptId }: AttemptOpening, cost: bigint): string => `${attemptId} closed ${cost}`;

describe("an outage", () => {
  it("keeps one row for each attempt at whichever step the process dies", async () => {
    const clock = manualClock(Date.UTC(2026, 2, 1, 12));
    const stores = await openIn(folder, clock);
    const [before, during, next, last] = [10n, 20n, 30n, 40n].map((hold) => openingOf({ holdNanoUsd: nanoUsd(hold) })) as [AttemptOpening, AttemptOpening, AttemptOpening, AttemptOpening];
    await stores.books.openEntry(before);
    readOnly(stores, true);
    // The first one finds out that the store fails, and goes on all the same.
    await stores.books.openEntry(during);
    const first = [held(before, 10n), held(during, 20n)].toSorted();
    expect(await afterCrash()).toEqual(first);
    stores.books.raiseHold(during.attemptId, nanoUsd(25n));
    await stores.books.openAttempt(next);
    expect(await afterCrash()).toEqual([held(before, 10n), held(during, 25n), held(next, 30n)].toSorted());
    void stores.books.closeEntry(closingOf(before.attemptId));
    void stores.books.closeEntry(closingOf(during.attemptId, { costNanoUsd: nanoUsd(7n) }));
    await vi.waitUntil(() => spillText(folder).split("closing").length >= 5);
    const ended = [closed(before, 1_000n), closed(during, 7n)];
    expect(await afterCrash()).toEqual([...ended, held(next, 30n)].toSorted());
    readOnly(stores, false);
    const text = spillText(folder);
    clock.advance(5_000);
    await vi.waitUntil(() => spillText(folder) === "");
    // The store has it all; a death before the file is empty replays it, and nothing changes.
    writeFileSync(`${folder}.spill.jsonl`, text);
    expect(await afterCrash()).toEqual([...ended, held(next, 30n)].toSorted());
    writeFileSync(`${folder}.spill.jsonl`, "");
    await stores.books.openEntry(last);
    void stores.books.closeEntry(closingOf(next.attemptId, { costNanoUsd: nanoUsd(9n) }));
    await stores.books.closeEntry(closingOf(last.attemptId, { costNanoUsd: nanoUsd(3n) }));
    expect(await afterCrash()).toEqual([...ended, closed(next, 9n), closed(last, 3n)].toSorted());
    expect(stores.books.depth()).toBe(0);
  });

  it("ends with an empty file, and with nothing waiting", async () => {
    const clock = manualClock(Date.UTC(2026, 2, 1, 12));
    const stores = await openIn(folder, clock);
    for (let outage = 0; outage < 3; outage++) {
      readOnly(stores, true);
      const opening = openingOf();
      await stores.books.openEntry(opening);
      expect(spillText(folder)).not.toBe("");
      readOnly(stores, false);
      clock.advance(2_000);
      await vi.waitUntil(() => spillText(folder) === "");
      await stores.books.closeEntry(closingOf(opening.attemptId));
    }
    expect((await stores.usage.rows({}, 10)).map(({ state }) => state)).toEqual(["closed", "closed", "closed"]);
    expect(stores.books.depth()).toBe(0);
  });

  it("refuses what there is no allowance for, and none of that is ever in the ledger", async () => {
    const clock = manualClock(Date.UTC(2026, 2, 1, 12));
    const stores = await openIn(folder, clock, { ...open, take: (id) => id.endsWith("1") });
    readOnly(stores, true);
    const openings = Array.from({ length: 6 }, (_, index) => openingOf({ attemptId: `att_01KJMMA2G04Q0Y4SQG4550XA${index % 2}${index % 2}` as AttemptOpening["attemptId"] }));
    const unique = [openings[0]!, openings[1]!];
    const results = await Promise.allSettled(unique.map((opening) => stores.books.openEntry(opening)));
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
    readOnly(stores, false);
    clock.advance(2_000);
    expect((await stores.usage.rows({}, 10)).map(({ attemptId }) => attemptId)).toEqual([unique[1]!.attemptId]);
  });

  it("that lasts to the end of the process leaves its entries to the next start, and the process ends well", async () => {
    const stores = await openIn(folder);
    readOnly(stores, true);
    const opening = openingOf();
    await stores.books.openEntry(opening);
    void stores.books.closeEntry(closingOf(opening.attemptId));
    await stores.close();
    const again = await openIn(folder);
    expect(again.replayed).toEqual({ openedAttempts: 1, closedAttempts: 1, lostEntries: 0 });
    expect(again.recoveredAttempts).toBe(0);
    expect((await again.usage.rows({}, 10)).map(({ state }) => state)).toEqual(["closed"]);
    expect((await again.audit.list({ limit: 5 })).map(({ action, details }) => [action, details])).toEqual([["gateway.replay", { openedAttempts: 1, closedAttempts: 1, lostEntries: 0 }]]);
  });

  it("whose file was damaged gives back what can be read, and keeps the file", async () => {
    const [lost, kept] = [openingOf(), openingOf()];
    const lines = [lost, kept].map((opening) => encodeSpillLine({ kind: "opening", opening }));
    const misfit = encodeSpillLine({ kind: "closing", closing: closingOf(kept.attemptId, { costNanoUsd: nanoUsd(2n ** 70n) }) });
    writeFileSync(`${folder}.spill.jsonl`, `${lines[0]!.replace("openedAtMs", "openedAtNs")}${lines[1]!}${misfit}torn`);
    const stores = await openIn(folder);
    expect(stores.replayed).toEqual({ openedAttempts: 1, closedAttempts: 0, lostEntries: 2 });
    expect((await stores.usage.rows({}, 10)).map(({ attemptId, state }) => [attemptId, state])).toEqual([[kept.attemptId, "unresolved"]]);
  });

  it("is replayed to the same ledger from any beginning of its file, once or several times", async () => {
    const openings = Array.from({ length: 4 }, (_, index) => openingOf({ holdNanoUsd: nanoUsd(BigInt(index)) }));
    const closings: AttemptClosing[] = openings.map(({ attemptId }, index) => closingOf(attemptId, { costNanoUsd: nanoUsd(BigInt(100 * index)) }));
    const entries: readonly SpillEntry[] = openings.flatMap((opening, index): SpillEntry[] => [{ kind: "opening", opening }, { kind: "hold", attemptId: opening.attemptId, holdNanoUsd: 50n }, { kind: "closing", closing: closings[index]! }]);
    const text = entries.map(encodeSpillLine).join("");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: text.length }), { minLength: 1, maxLength: 3 }), async (lengths) => {
        const copy = join(root, `run-${crashes++}`);
        // The file only grows until it is emptied, so each next start sees at least as much.
        for (const length of lengths.toSorted((a, b) => a - b)) {
          writeFileSync(`${copy}.spill.jsonl`, text.slice(0, length));
          const stores = await openIn(copy);
          const rows = await stores.usage.rows({}, 100);
          expect(new Set(rows.map(({ attemptId }) => attemptId)).size).toBe(rows.length);
          expect(rows.length).toBe(text.slice(0, length).split("\n").slice(0, -1).filter((line) => line.includes('"kind":"opening"')).length);
          expect((await stores.usage.spendByKey(["key_A"])).get("key_A") ?? 0n).toBe(rows.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0n));
          await stores.close();
        }
      }),
      { numRuns: 6 },
    );
  });
});
