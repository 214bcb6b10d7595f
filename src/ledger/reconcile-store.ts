/** Port for holding the ledger against a provider's bill. */
import type { NanoUsd } from "../kernel/money.ts";
import type { TokenCounts } from "../kernel/usage.ts";
import type { Spent } from "./ledger.ts";
import type { LedgerRow } from "./usage-store.ts";

/** Attempts of one provider that began within whole days. */
export interface BilledQuery {
  readonly provider: string;
  /** Half-open. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** How the ledger knows what attempts cost. `adjusted`: an adjusting entry has settled it. */
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

export interface ReconcileStore {
  /** All that may have cost something; attempts that certainly cost nothing are left out, and those that callers pay the provider for. */
  billed(query: BilledQuery): Promise<readonly BilledGroup[]>;
  /** Attempts whose cost is estimated or unknown and that no entry has adjusted, oldest first, at most `limit`. */
  uncertainRows(query: BilledQuery, limit: number): Promise<readonly LedgerRow[]>;
  /** What ended attempts count for under budgets now, each by itself; in any order. */
  spentBy(attemptIds: readonly string[]): Promise<readonly Spent[]>;
}
