/** The gateway's rows against the fake's bill, joined by session id: each test gives every call a session of its own. */
import type { LedgerRow } from "../../src/ledger/usage-store.ts";
import { billedNanoUsd } from "./bill-prices.ts";
import type { BillEntry } from "./fake-anthropic-bill.ts";

export interface CompareOptions {
  /**
   * Clients leave and time runs out by the gateway's own clock. Then the provider may not have read the call yet, or may have handed
   * over the answer whole, which nobody on this side saw: both are booked as estimates.
   */
  readonly isGivenUp: boolean;
}

/** Every way in which ledger and bill differ, as sentences. */
export function differencesFromBill(rows: readonly LedgerRow[], bill: readonly BillEntry[], options: CompareOptions): readonly string[] {
  const rowsOf = Map.groupBy(rows, (row) => row.sessionId ?? "");
  const billOf = Map.groupBy(bill, ({ billed }) => billed.sessionId ?? "");
  const found: string[] = [];
  for (const [session, entries] of billOf) {
    if (entries.length !== 1) found.push(`${session}: billed ${entries.length} times`);
    if (rowsOf.get(session)?.length !== 1) found.push(`${session}: billed, ${rowsOf.get(session)?.length ?? 0} rows`);
  }
  for (const [session, own] of rowsOf) {
    const [row] = own;
    if (own.length !== 1 || row === undefined) found.push(`${session}: ${own.length} rows`);
    else found.push(...rowDifferences(row, billOf.get(session)?.[0], options).map((text) => `${session}: ${text}`));
  }
  return found;
}

function rowDifferences(row: LedgerRow, entry: BillEntry | undefined, { isGivenUp }: CompareOptions): readonly string[] {
  const mayBeEstimate = isGivenUp && row.source === "estimated" && (row.outcome === "client_closed" || row.outcome === "timed_out");
  if (row.state === "open") return ["open"];
  if (row.state === "unresolved") return row.costNanoUsd === 0n ? [] : ["unresolved with a cost"];
  if (entry === undefined) {
    if (row.source === "none" && row.costNanoUsd === 0n) return [];
    if (mayBeEstimate && row.status === 0) return [];
    return [`no bill, yet ${row.source}, ${row.outcome}, status ${row.status} and ${row.costNanoUsd} nano-USD`];
  }
  const { model, usage } = entry.billed;
  const due = billedNanoUsd(model, usage);
  if (row.source === "reported") return row.costNanoUsd === due ? [] : [`reported ${row.costNanoUsd}, billed ${due} nano-USD`];
  if (row.source === "none") return [`billed, yet source none (${row.outcome})`];
  return entry.final === undefined && !mayBeEstimate ? [`${row.source} although the answer was delivered whole (${row.outcome})`] : [];
}
