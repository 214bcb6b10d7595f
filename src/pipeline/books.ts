/**
 * Port with the three writes of the journal. The rule it exists for: an attempt's opening is in the store before the
 * first byte of that attempt goes upstream, and its closing is written once, on every exit (DESIGN 9).
 */
import type { Id } from "../kernel/ids.ts";
import type { NanoUsd } from "../kernel/money.ts";
import type { TokenCounts, UsageSource } from "../kernel/usage.ts";
import type { Payer } from "../ledger/scope.ts";
import type { CacheMiss } from "../ledger/usage-store.ts";

/** What is known before an attempt leaves. */
export interface AttemptOpening {
  readonly attemptId: Id<"att">;
  readonly requestId: Id<"req">;
  /** 1 for the first attempt of a request. */
  readonly ordinal: number;
  readonly openedAtMs: number;
  readonly keyId: string;
  readonly userId: string | null;
  readonly teamId: string | null;
  readonly organizationId: string | null;
  readonly endUserId: string | null;
  /** From `x-litellm-tags: project:NAME`; the other tags as they came. */
  readonly project: string | null;
  readonly tags: readonly string[];
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly parentAgentId: string | null;
  readonly requestClass: string | null;
  readonly requestedModel: string;
  /** Public name of the model that serves. */
  readonly model: string;
  /** The name sent upstream. */
  readonly upstreamModel: string;
  readonly provider: string;
  readonly targetId: string;
  readonly isStreaming: boolean;
  readonly requestBytes: number;
  /** Tokens that its session's prompt cache should give it; absent: none are expected. */
  readonly expectedCacheReadTokens?: number;
  /** Absent: the caller. */
  readonly payer?: Payer;
  /** The caller's own login is billed; absent: false. */
  readonly isNotional?: boolean;
  /** What is charged for the cost, parts per million of it, integer ≥ 0; absent: the cost itself. */
  readonly marginPpm?: number;
  /** Room kept under budgets; 0 where none binds. */
  readonly holdNanoUsd: NanoUsd;
  /** The same under strict budgets: the most it can cost; 0 where none binds. */
  readonly strictHoldNanoUsd: NanoUsd;
}

/** How an attempt ended. `cut`: a budget had no room for more of it. */
export type AttemptOutcome = "completed" | "upstream_error" | "unreachable" | "broken" | "client_closed" | "timed_out" | "cut" | "unresolved";

/** What is known when an attempt has ended. */
export interface AttemptClosing {
  readonly attemptId: Id<"att">;
  readonly closedAtMs: number;
  readonly outcome: AttemptOutcome;
  /** Upstream's HTTP status; 0 when none came. */
  readonly status: number;
  readonly source: UsageSource;
  readonly counts: TokenCounts;
  readonly serverToolUses: Readonly<Record<string, number>>;
  /** The model the reply names, else the one sent. */
  readonly servedModel: string;
  /** What the provider bills. */
  readonly costNanoUsd: NanoUsd;
  /** What counts under budgets: the cost with the caller's margin. Absent: the cost. */
  readonly chargeNanoUsd?: NanoUsd;
  /** It was given up for another try, so that its caller has seen nothing of it; absent: false. */
  readonly isWasted?: boolean;
  /** As the opening has it, or the platform for what was wasted. */
  readonly payer?: Payer;
  /** Ids of the price rows used, comma separated; empty when nothing was priced. */
  readonly priceRow: string;
  /** Priced by a stand-in; an adjusting entry follows when the true price is known. */
  readonly isProvisional: boolean;
  /** Tokens were used for which no price exists; the cost is understated. */
  readonly isUnpriced: boolean;
  /** Variant members, kept so that a provisional cost can be computed again: JSON of the reported usage, ≤ 4 KiB. */
  readonly usageJson: string;
  /** Dispatch to first event, milliseconds; null when none came. */
  readonly firstEventMs: number | null;
  readonly durationMs: number;
  readonly responseBytes: number;
  readonly upstreamRequestId: string | null;
  /** What was taken out of the request for this place, comma separated; empty for nothing. */
  readonly loss: string;
  /** Undefined where nothing is amiss. */
  readonly cacheMiss?: CacheMiss | undefined;
}

export interface Books {
  /**
   * Opens a request with its first attempt. Durable when it resolves.
   *
   * @throws GatewayError `gateway_store_unavailable`; then nothing was written and nothing may be sent
   */
  openEntry(opening: AttemptOpening): Promise<void>;
  /** Opens a further attempt of an open request; as `openEntry` otherwise. */
  openAttempt(opening: AttemptOpening): Promise<void>;
  /** What is held for an open attempt from now on. Written with the next commit; nobody waits for it. */
  raiseHold(attemptId: Id<"att">, holdNanoUsd: NanoUsd): void;
  /**
   * Closes an attempt. Kept in memory and tried again while the store is down, so it never rejects; a second closing of
   * one attempt is ignored.
   */
  closeEntry(closing: AttemptClosing): Promise<void>;
  /** Writes waiting in memory. */
  depth(): number;
}
