/**
 * The fake provider's own account book: one JSON line per billed request, on disk (fdatasync) before the reply begins, so that
 * a test can compare the gateway's ledger with it after any crash of the gateway or of the fake. Shares nothing with src/.
 */
import { existsSync, readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { BillLine, BilledLine, FinalLine } from "./fake-anthropic-types.ts";

/** Appends lines; several that arrive together share one flush. */
export class Bill {
  readonly lines: BillLine[] = [];
  readonly #file: FileHandle | undefined;
  #waiting: { readonly text: string; readonly done: () => void; readonly failed: (error: unknown) => void }[] = [];
  #writer: Promise<void> | undefined;

  private constructor(file: FileHandle | undefined) {
    this.#file = file;
  }

  /** Opens for append; a torn last line of a killed process is closed with a line feed first. */
  static async open(path: string | undefined): Promise<Bill> {
    if (path === undefined) return new Bill(undefined);
    const earlier = existsSync(path) ? readFileSync(path, "utf8") : "";
    const file = await open(path, "a");
    if (earlier !== "" && !earlier.endsWith("\n")) await file.write("\n");
    const bill = new Bill(file);
    bill.lines.push(...parseLines(earlier));
    return bill;
  }

  /** Resolves when the line is on disk; rejects when it could not be written, and then nothing may be answered. */
  async append(line: BillLine): Promise<void> {
    this.lines.push(line);
    const file = this.#file;
    if (file === undefined) return;
    await new Promise<void>((done, failed) => {
      this.#waiting.push({ text: `${JSON.stringify(line)}\n`, done, failed });
      this.#writer ??= this.#drain(file);
    });
  }

  async #drain(file: FileHandle): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await file.appendFile(batch.map(({ text }) => text).join(""));
        await file.datasync();
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.#writer = undefined;
  }

  /** Waits for lines under way and closes the file. */
  async close(): Promise<void> {
    await this.#writer;
    await this.#file?.close();
  }
}

function parseLines(text: string): BillLine[] {
  const lines: BillLine[] = [];
  for (const line of text.split("\n")) {
    try {
      if (line !== "") lines.push(JSON.parse(line) as BillLine);
    } catch {
      // A torn line was never acknowledged: its request got no reply byte.
    }
  }
  return lines;
}

/** Lines of a bill file in the order written; torn ones left out, an absent file is empty. */
export function readBill(path: string): BillLine[] {
  return existsSync(path) ? parseLines(readFileSync(path, "utf8")) : [];
}

/** A bill with what became of its delivery; `final` is undefined for an answer that was handed over whole. */
export interface BillEntry {
  readonly billed: BilledLine;
  readonly final: FinalLine | undefined;
}

/** Joins `billed` and `final` lines by bill id, in the order billed. */
export function billEntries(lines: readonly BillLine[]): BillEntry[] {
  const finals = new Map(lines.filter((line) => line.type === "final").map((line) => [line.billId, line]));
  return lines.filter((line) => line.type === "billed").map((billed) => ({ billed, final: finals.get(billed.billId) }));
}
