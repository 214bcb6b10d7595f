/** The ledger's rows against the provider's bill: what was billed has one row, and what was not is not charged as if it was. */
import type { LedgerRow } from "../../src/ledger/usage-store.ts";
import { costOf, type BillEntry } from "./upstream.ts";

/** What the checker has to know of the run. */
export interface BillContext {
  /** Markers of calls whose client got a whole answer. */
  readonly whole: ReadonlySet<string>;
  /** Rows of calls that were never sent may be open until the next start. */
  readonly mayStayOpen: boolean;
}

/** @returns every difference, as a sentence */
export function compareWithBill(rows: readonly LedgerRow[], bill: readonly BillEntry[], { whole, mayStayOpen }: BillContext): readonly string[] {
  const found: string[] = [];
  const rowsBy = Map.groupBy(rows, ({ requestClass, provider }) => `${requestClass} at ${provider}`);
  const billBy = Map.groupBy(bill, ({ marker, provider }) => `${marker} at ${provider}`);
  for (const [name, entries] of billBy) {
    if (entries.length !== 1) found.push(`${name}: billed ${entries.length} times`);
    const own = rowsBy.get(name)?.length ?? 0;
    if (own !== 1) found.push(`${name}: billed, and ${own} rows`);
  }
  for (const [name, own] of rowsBy) {
    if (own.length !== 1) found.push(`${name}: ${own.length} rows`);
    for (const row of own) found.push(...differences(row, billBy.get(name)?.[0], mayStayOpen).map((text) => `${name}: ${text}`));
  }
  const answered = new Set(rows.filter(({ state, source }) => (state === "closed" && source === "reported") || state === "unresolved").map(({ requestClass }) => requestClass));
  for (const marker of whole) if (!answered.has(marker)) found.push(`${marker}: answered, and its rows are ${rows.filter(({ requestClass }) => requestClass === marker).map(({ state, source, outcome }) => `${state} ${source} ${outcome}`).join(", ") || "none"}`);
  return found;
}

function differences(row: LedgerRow, entry: BillEntry | undefined, mayStayOpen: boolean): readonly string[] {
  if (row.state === "open") return mayStayOpen && entry === undefined ? [] : ["still open"];
  if (row.state === "unresolved") return row.costNanoUsd === 0n ? [] : ["unresolved with a cost"];
  switch (row.source) {
    case "none":
      return entry === undefined && row.costNanoUsd === 0n ? [] : [`source none, ${row.outcome}, cost ${row.costNanoUsd}, ${entry === undefined ? "no bill" : `billed ${costOf(entry)}`}`];
    case "reported":
      return entry !== undefined && row.costNanoUsd === costOf(entry) ? [] : [`reported ${row.costNanoUsd}, billed ${entry === undefined ? "nothing" : costOf(entry)}`];
    case "estimated":
      return entry?.isDelivered === true && row.outcome === "completed" ? ["estimated although its usage was delivered"] : [];
    case "unresolved":
      return ["closed as unresolved"];
  }
}
