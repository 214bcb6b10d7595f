/** What the stages need to know of usage before it is reported. Learnt from attempts that ended; the prices are those of the request's snapshot. */
import type { ObservedUsage } from "../dialects/dialect.ts";
import type { TokenCounts, Usage } from "../kernel/usage.ts";
import type { Demand } from "../ledger/ledger.ts";
import type { CacheReads } from "../metering/cache-reads.ts";
import type { RequestedVariant } from "../metering/price-sheet.ts";
import type { AttemptOpening } from "./books.ts";
import type { Attempt, Exchange, Planned, PlannedTarget } from "./exchange.ts";

/** What an attempt is expected to use, worked out before it is sent. */
export interface CallEstimate {
  /** In the order in which they should be tried: the careful one first. */
  readonly demands: readonly Demand[];
  readonly input: TokenCounts;
  readonly variant: RequestedVariant;
}

/** Cost of one attempt while it runs, nano-USD. */
export interface RunningCost {
  /** What it is expected to come to, given what the reply has told; not less than {@link RunningCost.soFar}. */
  expected(observed: ObservedUsage): bigint;
  /** What it has cost by now, and with so many characters of output more. */
  soFar(observed: ObservedUsage, charactersMore: number): bigint;
  /** Characters of output that an amount pays for. */
  charactersFor(nanoUsd: bigint): number;
}

/** What tells which calls a call resembles. */
export type CallIdentity = Pick<AttemptOpening, "keyId" | "sessionId" | "agentId" | "model" | "requestBytes" | "openedAtMs">;

/** Agents of a session run side by side, each with a prompt of its own; and ids are chosen by clients, so a key's are its own. */
export function conversationOf({ keyId, sessionId, agentId }: Pick<CallIdentity, "keyId" | "sessionId" | "agentId">): string | undefined {
  return sessionId === null ? undefined : `${keyId} ${sessionId} ${agentId ?? ""}`;
}

export interface Estimates {
  /** Of the prompt caches of all sessions; `learn` keeps it. */
  readonly cacheReads: CacheReads;
  /** Undefined where the model has no price. */
  forCall(planned: Planned, target: PlannedTarget, opening: AttemptOpening): CallEstimate | undefined;
  running(exchange: Exchange, attempt: Attempt): RunningCost;
  /** Of an attempt that has ended and is billed: as reported, else the best guess, which says that it is one. */
  usage(attempt: Attempt): Usage;
  /** Learns from an attempt that ended with its provider's own report; nothing from others. */
  learn(attempt: Attempt): void;
  /** Tokens of a call before it is sent: its input apart from what its session is likely to read from the prompt cache. */
  tokens(call: CallIdentity, outputTokensMax: number | undefined): { readonly input: number; readonly cacheRead: number; readonly output: number };
}
