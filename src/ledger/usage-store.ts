/** Port for reading the ledger: spend by any dimension, and the rows themselves. */
import type { NanoUsd } from "../kernel/money.ts";
import type { TokenCounts, UsageSource } from "../kernel/usage.ts";
import type { Spent } from "./ledger.ts";
import type { Payer } from "./scope.ts";

/**
 * A dimension to group by. `tags`: all tags of an attempt, a JSON list. `path`: a JSON list of its developer (the user, else the key), session
 * and agent, each empty where there is none.
 */
export type UsageDimension = "key" | "user" | "team" | "project" | "model" | "provider" | "day" | "session" | "agent" | "tags" | "path";

/** Half-open range over the opening time, and equality filters. */
export interface UsageFilter {
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly keyId?: string;
  readonly userId?: string;
  readonly teamId?: string;
  readonly sessionId?: string;
  readonly requestId?: string;
}

/** One group. `value` is empty for attempts that have none of the dimension ("unattributed"). Days are UTC, `YYYY-MM-DD`. */
export interface UsageGroup {
  readonly value: string;
  readonly attempts: number;
  readonly counts: TokenCounts;
  /** What providers bill, adjustments included. Nothing here or below holds notional money. */
  readonly costNanoUsd: NanoUsd;
  /** What is charged for it, which is what counts under budgets. */
  readonly chargeNanoUsd: NanoUsd;
  /** Part of the charge: attempts that were given up for others, of which their callers have seen nothing. */
  readonly wastedNanoUsd: NanoUsd;
  /** What calls with the callers' own logins would have cost; in no other sum. */
  readonly notionalNanoUsd: NanoUsd;
  /** Parts of the charge by source. */
  readonly reportedNanoUsd: NanoUsd;
  readonly estimatedNanoUsd: NanoUsd;
  /** What adjusting entries make of all of it, mostly negative. */
  readonly adjustedNanoUsd: NanoUsd;
  /** Attempts still `unresolved`; their cost is unknown. */
  readonly unresolvedAttempts: number;
  /** What was held for them last, at which they count under budgets; in no other sum. */
  readonly unresolvedNanoUsd: NanoUsd;
  readonly unpricedAttempts: number;
  readonly cache: CacheReadSums;
}

/** Reads of prompt caches, expected against reported. */
export interface CacheReadSums {
  /** Of attempts whose usage was reported. */
  readonly expectedReadTokens: number;
  /** What of it was paid in full, at unexpected misses. */
  readonly lostReadTokens: number;
  /** Attempts that read less than half of what was expected. */
  readonly misses: number;
  /** Those of them that went to another target than the call before. */
  readonly moved: number;
  /** What the lost reads cost more than reads would have, a part of the cost. */
  readonly missNanoUsd: NanoUsd;
}

/** The range that a filter's groups are of, and whether single attempts of it may be gone. */
export interface UsageCoverage {
  /** As in the filter, but the beginning of its UTC day where rows may be gone, of which sums by day are kept. */
  readonly sinceMs: number | undefined;
  /** As in the filter, but the end of its UTC day there. */
  readonly untilMs: number | undefined;
  /** Rows of attempts opened before it, the beginning of a UTC day, may be gone; undefined where the range lies behind it. */
  readonly prunedBeforeMs: number | undefined;
}

/** Reads that a session's prompt cache should have given and did not. */
export interface CacheMiss {
  /** `moved`: the call went to another target than the one before it. `vanished`: nothing that is known explains it. */
  readonly reason: "vanished" | "moved";
  /** Above 0. */
  readonly lostTokens: number;
  /** What they cost more than they would have as reads, at the provider's prices. */
  readonly costNanoUsd: NanoUsd;
}

/** One attempt as the ledger has it. */
export interface LedgerRow {
  readonly attemptId: string;
  readonly requestId: string;
  readonly ordinal: number;
  readonly state: "open" | "closed" | "unresolved";
  readonly openedAtMs: number;
  readonly closedAtMs: number | null;
  readonly keyId: string;
  readonly userId: string | null;
  readonly teamId: string | null;
  readonly organizationId: string | null;
  readonly endUserId: string | null;
  readonly project: string | null;
  readonly tags: readonly string[];
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly parentAgentId: string | null;
  readonly requestClass: string | null;
  readonly requestedModel: string;
  /** Public name of the model that served. */
  readonly model: string;
  readonly upstreamModel: string;
  readonly servedModel: string;
  readonly provider: string;
  readonly targetId: string;
  readonly isStreaming: boolean;
  readonly outcome: string;
  readonly status: number;
  readonly source: UsageSource;
  readonly counts: TokenCounts;
  readonly serverToolUses: Readonly<Record<string, number>>;
  /** With adjustments. */
  readonly costNanoUsd: NanoUsd;
  /** The cost with the caller's margin, with adjustments. */
  readonly chargeNanoUsd: NanoUsd;
  /** Parts per million of the cost; null: the charge is the cost. */
  readonly marginPpm: number | null;
  readonly payer: Payer;
  /** Given up for another attempt. */
  readonly isWasted: boolean;
  /** The caller's own login is billed. */
  readonly isNotional: boolean;
  /** What was held for it last under budgets. */
  readonly holdNanoUsd: NanoUsd;
  /** The same under strict budgets, if that is more. */
  readonly strictHoldNanoUsd: NanoUsd;
  readonly priceRow: string;
  readonly isProvisional: boolean;
  readonly isUnpriced: boolean;
  readonly usageJson: string;
  readonly firstEventMs: number | null;
  readonly durationMs: number | null;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly upstreamRequestId: string | null;
  /** What was taken out of the request for the place that served it; empty for nothing. */
  readonly loss: string;
  /** 0: none were expected. */
  readonly expectedCacheReadTokens: number;
  readonly cacheMiss: CacheMiss | null;
}

/** A later correction of an ended attempt, dated by its own time. The attempt's own row and earlier entries are never changed, and reports show all summed. */
export interface Adjustment {
  readonly id: string;
  readonly attemptId: string;
  /** How many entries the attempt had when this one was worked out; absent: none. */
  readonly sequence?: number;
  readonly atMs: number;
  readonly deltaNanoUsd: NanoUsd;
  /** Differences of counts, where those were wrong or unknown too; absent: none. */
  readonly deltaCounts?: TokenCounts;
  readonly deltaWebSearches?: number;
  readonly priceRow: string;
  readonly reason: string;
}

export interface UsageStore {
  /**
   * Everything that counts under budgets: of attempts begun at `sinceMs` or later that have ended, however they ended; those of
   * one spender within one step as one amount. Adjustments are in it, and unresolved attempts without one count at what was
   * held for them last. To which sessions they belong is not told. Of
   * attempts whose rows are gone all of the UTC day in which `sinceMs` lies is among them, dated at the end of their day.
   *
   * @param stepMs steps begin at multiples of it since the epoch; no window may begin or end inside one
   */
  spentSince(sinceMs: number, stepMs: number): Promise<readonly Spent[]>;
  /**
   * The same of one session, by whatever keys, with a step of a second. All that was closed before the call is in it. The first call ever may
   * take some seconds where the ledger is long.
   */
  spentIn(sessionId: string, sinceMs: number): Promise<readonly Spent[]>;
  /**
   * Of the range that {@link UsageStore.coverage} tells. What was pruned is in every sum, under no session and agent; it is not in sums of
   * one session or request.
   */
  groupBy(dimension: UsageDimension, filter: UsageFilter): Promise<readonly UsageGroup[]>;
  coverage(filter: UsageFilter): Promise<UsageCoverage>;
  /** Newest first, at most `limit`. */
  rows(filter: UsageFilter, limit: number): Promise<readonly LedgerRow[]>;
  /** Lifetime spend of keys, adjustments included; a key without entries is absent. */
  spendByKey(keyIds: readonly string[]): Promise<ReadonlyMap<string, NanoUsd>>;
  /** Closed rows whose cost is provisional and has not been adjusted, oldest first; those behind an attempt's id when it is given. */
  provisionalRows(limit: number, afterAttemptId?: string): Promise<readonly LedgerRow[]>;
  /** Writes corrections; one whose attempt has more entries than its `sequence` says was worked out from what no longer holds, and is passed over. */
  adjust(adjustments: readonly Adjustment[]): Promise<void>;
  unresolvedCount(): Promise<number>;
}
