// Guarantee: what the spill file confirmed is in it whole and in order after any death; what was torn or damaged is never read as
// money; a write that fails leaves nothing behind that a later one could be mistaken for.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manualClock } from "../../kernel/clock.ts";
import { nanoUsd } from "../../kernel/money.ts";
import type { OutageAllowance } from "../../ledger/outage-allowance.ts";
import { closingOf, openingOf } from "../../../test/conformance/store-fixtures.ts";
import { openSpill } from "./open-spill.ts";
import { createSpillBooks } from "./spill-books.ts";
import { openSpillFile } from "./spill-file.ts";
import { decodeSpill, encodeSpillLine, type SpillEntry } from "./spill-lines.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-spill-"));
  path = join(folder, "spill.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

const open: OutageAllowance = { begin: () => undefined, end: () => undefined, take: () => true, giveBack: () => undefined, closed: () => undefined, mayTake: () => true };
const opening = openingOf({ holdNanoUsd: nanoUsd(9_007_199_254_740_993n), tags: ["ümlaut\n\u2028", '"]'] });
const entries: readonly SpillEntry[] = [
  { kind: "opening", opening },
  { kind: "hold", attemptId: opening.attemptId, holdNanoUsd: 5n },
  { kind: "closing", closing: closingOf(opening.attemptId, { serverToolUses: { web_search_requests: 1 } }) },
];
const text = entries.map(encodeSpillLine).join("");

describe("a line", () => {
  it("is JSON on one line, and gives back what was written", () => {
    expect(text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as unknown)).toHaveLength(3);
    expect(decodeSpill(text)).toEqual({ entries, damagedLines: 0 });
  });

  it("that was torn at any byte is left out, and those before it stay", () => {
    const bytes = Buffer.from(text);
    for (let length = 0; length <= bytes.length; length++) {
      const { entries: found, damagedLines } = decodeSpill(bytes.subarray(0, length).toString("utf8"));
      expect(found).toEqual(entries.slice(0, found.length));
      expect(damagedLines).toBe(0);
    }
  });

  it("with any other byte in it is left out and counted, unless it is the last", () => {
    const bytes = Buffer.from(text);
    const firstLineBytes = bytes.indexOf("\n");
    fc.assert(
      fc.property(fc.integer({ min: 0, max: firstLineBytes - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = damaged[at]! ^ change;
        const { entries: found, damagedLines } = decodeSpill(damaged.toString("latin1").includes("\n") ? damaged.toString("utf8") : "");
        expect(damagedLines).toBeGreaterThan(0);
        expect(found).toEqual(entries.slice(1));
      }),
    );
  });
});

describe("the file", () => {
  it("is the owner's alone, keeps the order, and is empty again after it was emptied", async () => {
    const file = await openSpillFile(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await Promise.all(Array.from({ length: 50 }, (_, index) => file.append(`${index}\n`)));
    await file.append("last\n");
    expect(readFileSync(path, "utf8")).toBe(`${Array.from({ length: 50 }, (_, index) => `${index}\n`).join("")}last\n`);
    await file.empty();
    expect(readFileSync(path, "utf8")).toBe("");
    await file.append("again\n");
    expect(readFileSync(path, "utf8")).toBe("again\n");
    await file.close();
  });

  it("lets appends that still wait resolve when it is emptied, and writes those that come later", async () => {
    const file = await openSpillFile(path);
    const before = Promise.all([file.append("a\n"), file.append("b\n")]);
    const emptied = file.empty();
    const after = file.append("c\n");
    await Promise.all([before, emptied, after]);
    expect(readFileSync(path, "utf8")).toBe("c\n");
    await file.close();
  });

  it.skipIf(!existsSync("/dev/full"))("rejects appends that the disk has no room for, and tries anew with the next", async () => {
    const file = await openSpillFile("/dev/full");
    await expect(file.append("a\n")).rejects.toThrow("ENOSPC");
    await expect(file.append("b\n")).rejects.toThrow("ENOSPC");
    await file.empty();
    await file.close();
  });
});

describe("the journal over it", () => {
  it("opens nothing without allowance, and gives the allowance back when the file refuses", async () => {
    const given: string[] = [];
    const books = createSpillBooks({ file: { append: () => Promise.reject(new Error("EIO")), empty: () => Promise.resolve() }, allowance: { ...open, giveBack: (id) => void given.push(id) }, clock: manualClock() });
    await expect(books.openEntry(opening)).rejects.toMatchObject({ code: "gateway_store_unavailable", details: { internal: expect.stringContaining("EIO") } });
    expect(given).toEqual([opening.attemptId]);
    await books.closeEntry(closingOf(opening.attemptId));
    expect(await books.settled()).toBe(false);
    const shut = createSpillBooks({ file: { append: () => Promise.resolve(), empty: () => Promise.resolve() }, allowance: { ...open, take: () => false }, clock: manualClock() });
    await expect(shut.openEntry(opening)).rejects.toMatchObject({ code: "gateway_store_unavailable" });
    expect(await shut.settled()).toBe(true);
  });

  it("reads what is there, makes no file where nothing may be written, and keeps a copy of what is damaged", async () => {
    const clock = manualClock();
    const none = await openSpill({ path, allowance: undefined, clock });
    expect([none.content.entries, none.books, existsSync(path)]).toEqual([[], undefined, false]);
    writeFileSync(path, `${text}["00000000",{}]\n${text}`);
    const found = await openSpill({ path, allowance: undefined, clock });
    expect(found.content).toEqual({ entries: [...entries, ...entries], damagedLines: 1 });
    await found.replayed(true);
    expect(readFileSync(path, "utf8")).toBe("");
    expect(readFileSync(`${path}.damaged-${clock.now()}`, "utf8")).toContain("00000000");
    await found.close();
    appendFileSync(path, "torn");
    const torn = await openSpill({ path, allowance: open, clock });
    await torn.replayed(false);
    await torn.books!.openEntry(opening);
    expect(decodeSpill(readFileSync(path, "utf8")).entries).toEqual([entries[0]]);
    await torn.close();
  });

  it("says which file it was that cannot be used", async () => {
    await expect(openSpill({ path: join(folder, "missing", "spill.jsonl"), allowance: open, clock: manualClock() })).rejects.toMatchObject({ code: "gateway_store_unavailable", details: { internal: expect.stringContaining("missing/spill.jsonl cannot be used") } });
  });
});
