/** A provider's own figures by day and model, whatever file they came in. */
import type { NanoUsd } from "../kernel/money.ts";
import { addCounts, type TokenCounts } from "../kernel/usage.ts";

/** What a file says: tokens, or money. */
export type BillKind = "usage" | "cost";

/** One line of a file. */
export interface BillEntry {
  /** UTC, `YYYY-MM-DD`. */
  readonly day: string;
  /** As the file names it; empty for what belongs to no model, see `webSearch`. */
  readonly model: string;
  /** Names or ids, as the file has them; empty where it does not say. */
  readonly workspace: string;
  readonly apiKey: string;
  /** All zero in a file of costs. */
  readonly counts: TokenCounts;
  readonly webSearches: number;
  /** 0 in a file of usage. */
  readonly costNanoUsd: NanoUsd;
  /** Half of the last decimal that is printed: how far the true cost may be from it. */
  readonly roundingNanoUsd: NanoUsd;
}

/** Entries of one day and model, summed. */
export interface BillLine extends Omit<BillEntry, "workspace" | "apiKey"> {
  readonly entries: number;
}

/** A file, read. */
export interface ProviderBill {
  readonly kind: BillKind;
  readonly entries: readonly BillEntry[];
  /** Sentences about what the file has and no gateway can have made, such as batches, which are left out. */
  readonly remarks: readonly string[];
}

/** Model of the money that files list for searches of the web, which belong to no model there. */
export const webSearchModel = "(web search)";

/** Sums by day and model, in the order of days, then models. */
export function sumBill(entries: readonly BillEntry[]): readonly BillLine[] {
  const lines = new Map<string, BillLine>();
  for (const { workspace: _workspace, apiKey: _apiKey, ...entry } of entries) {
    const id = `${entry.day} ${entry.model}`;
    const line = lines.get(id);
    lines.set(id, line === undefined ? { ...entry, entries: 1 } : added(line, entry));
  }
  return [...lines].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
}

function added(line: BillLine, entry: Omit<BillEntry, "workspace" | "apiKey">): BillLine {
  return {
    ...line,
    counts: addCounts(line.counts, entry.counts),
    webSearches: line.webSearches + entry.webSearches,
    costNanoUsd: (line.costNanoUsd + entry.costNanoUsd) as NanoUsd,
    roundingNanoUsd: (line.roundingNanoUsd + entry.roundingNanoUsd) as NanoUsd,
    entries: line.entries + 1,
  };
}
