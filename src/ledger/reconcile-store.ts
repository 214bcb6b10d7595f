/** Port for holding the ledger against a provider's bill. */
import type { NanoUsd } from "../kernel/money.ts";
import type { TokenCounts } from "../kernel/usage.ts";
import type { Spent } from "./ledger.ts";
import type { Adjustment, LedgerRow } from "./usage-store.ts";

/** Attempts of one provider that began within whole days. */
export interface BilledQuery {
  readonly provider: string;
  /** Half-open. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** How the ledger knows what attempts used. `adjusted`: adjusting entries have settled what was estimated or unresolved. */
export type Knowledge = "reported" | "estimated" | "unresolved" | "adjusted";

/** Ended attempts of one day, model and kind of knowledge, with their adjustments. */
export interface BilledGroup {
  /** UTC, of dispatch: `YYYY-MM-DD`. */
  readonly day: string;
  /** The model that the reply named, else the one that was sent. */
  readonly model: string;
  readonly knowledge: Knowledge;
  readonly attempts: number;
  /** Attempts of it that ended on a later day. */
  readonly overMidnight: number;
  readonly counts: TokenCounts;
  readonly webSearches: number;
  readonly costNanoUsd: NanoUsd;
}

/** An attempt whose own figures are estimated or unknown, and what adjusting entries have made of them. */
export interface UncertainAttempt {
  /** With all adjustments. */
  readonly row: LedgerRow;
  /** With all adjustments, as `row` is. */
  readonly webSearches: number;
  /** What the gateway itself made of it: without the entries that corrected counts, with those that only corrected its price. */
  readonly own: { readonly counts: TokenCounts; readonly webSearches: number; readonly costNanoUsd: NanoUsd; readonly priceRow: string };
  /** Adjusting entries so far, of both kinds. */
  readonly entries: number;
  /** Its figures are no longer its own, or, where it had none, known to be nothing. */
  readonly isSettled: boolean;
}

export interface ReconcileStore {
  /** All that may have cost something; attempts that certainly cost nothing are left out, and those that callers pay the provider for. */
  billed(query: BilledQuery): Promise<readonly BilledGroup[]>;
  /** Attempts that ended with an estimate or nothing known, settled since or not, oldest first, at most `limit`. */
  uncertainRows(query: BilledQuery, limit: number): Promise<readonly UncertainAttempt[]>;
  /** What ended attempts count for under budgets now, each by itself; in any order. */
  spentBy(attemptIds: readonly string[]): Promise<readonly Spent[]>;
  /** Every adjusting entry of attempts, those of one in the order of their numbers; absent for attempts without any. */
  entriesOf(attemptIds: readonly string[]): Promise<ReadonlyMap<string, readonly Adjustment[]>>;
}
