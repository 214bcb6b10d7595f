/**
 * Decides whether a call has room under all limits that bind it, all or nothing, and gives it a lease that frees what it took. One
 * process, in memory, synchronous: between the check and the taking nothing else runs, so there is no race to lose.
 *
 * Money is not decided here, and nothing here is durable: after a restart every meter is empty.
 */
import { assert } from "../kernel/assert.ts";
import { OpenLease } from "./lease.ts";
import { agentOf, createLimitBooks, isMeasured, sessionOf, tokensOf, type LimitBooks, type LimiterOptions } from "./limit-books.ts";
import type { Demand, Limit, LimitStatus, LimitVerdict, RefusedLimit } from "./limit.ts";
import { wholeMax } from "./rate-limit.ts";
import { createSweeper } from "./sweep.ts";

/**
 * What a call refused for a slot is told to wait, milliseconds. Nobody can know when another call ends; the slot is free for whoever
 * comes first from the moment it does.
 */
export const slotRetryMs = 1_000;

/** Rate and concurrency limits of one process. All times are monotonic milliseconds of one clock and may be fractional. */
export interface Limiter {
  /**
   * Room under every limit, or a refusal that changes nothing under any of them.
   *
   * A call may be admitted in steps (requests before the body is read, tokens after it, a target's own limits per attempt): each
   * step has its list and its lease, and whoever refuses in a later step cancels the leases of the earlier ones.
   *
   * @param limits each scope and kind once; kept by the lease, so it must not change afterwards. Empty: always admitted
   * @param demand kept by the lease as well
   */
  admit(limits: readonly Limit[], demand: Demand, nowMs: number): LimitVerdict;
  /** Those without room for such a call, in the order given; nothing is taken. */
  refused(limits: readonly Limit[], demand: Demand, nowMs: number): readonly RefusedLimit[];
  /** How each limit stands, in the order given. */
  snapshot(limits: readonly Limit[], nowMs: number): readonly LimitStatus[];
  /** Meters, scopes with slots in use, sessions and agents in memory; falls back with the traffic after all is idle. */
  readonly size: number;
}

/** Milliseconds for people and headers; nobody can be told to wait for ever. */
function finite(waitMs: number): number | undefined {
  return waitMs === Infinity ? undefined : waitMs;
}

/** Time until an agent that does not run yet may: known if enough of those that run are only in their grace, else a guess. */
function agentWaitMs(books: LimitBooks, limit: Limit, call: { readonly agentId: string; readonly nowMs: number }): number {
  const { scope } = limit;
  const { agentId, nowMs } = call;
  const max = wholeMax(limit.max);
  if (max === 0) return Infinity;
  if (books.agents.isActive(scope, agentId, nowMs)) return 0;
  const running = books.agents.running(scope, nowMs);
  if (running.has(agentId) || running.size < max) return 0;
  const freedAtMs = books.agents.graceEnds(scope, nowMs)[running.size - max];
  return freedAtMs === undefined ? slotRetryMs : Math.max(1, freedAtMs - nowMs);
}

/** 0 when the call has room under this limit, else milliseconds until it has, or `Infinity`. Changes nothing that could be noticed. */
function waitMsUnder(books: LimitBooks, limit: Limit, call: { readonly demand: Demand; readonly nowMs: number }): number {
  const { kind, scope } = limit;
  const { demand, nowMs } = call;
  if (!isMeasured(kind, demand)) return 0;
  switch (kind) {
    case "requestsPerMinute":
    case "countsPerMinute":
      return books.rates[kind].waitMs(limit, 1, nowMs);
    case "tokensPerMinute":
    case "inputTokensPerMinute":
    case "outputTokensPerMinute":
      // Room for one token at least: else calls whose size nobody could estimate would never be refused.
      return books.rates[kind].waitMs(limit, Math.max(1, tokensOf(kind, demand.tokens)), nowMs);
    case "parallelRequests":
    case "openStreams":
      if (limit.max < 1) return Infinity;
      return (books[kind].get(scope) ?? 0) + 1 <= limit.max ? 0 : slotRetryMs;
    case "parallelAgents":
      return agentWaitMs(books, limit, { agentId: agentOf(demand), nowMs });
    case "newAgentsPerMinute":
      return books.agents.isKnown(scope, agentOf(demand), nowMs) ? 0 : books.rates[kind].waitMs(limit, 1, nowMs);
    case "newSessionsPerHour":
      return books.sessions.isKnown(scope, sessionOf(demand), nowMs) ? 0 : books.rates[kind].waitMs(limit, 1, nowMs);
  }
}

/** Those that have no room for the call. */
function refusedBy(books: LimitBooks, limits: readonly Limit[], call: { readonly demand: Demand; readonly nowMs: number }): readonly RefusedLimit[] {
  return limits.flatMap((limit) => {
    const waitMs = waitMsUnder(books, limit, call);
    return waitMs === 0 ? [] : [{ limit, retryAfterMs: finite(waitMs) }];
  });
}

/** The refusal of a call for which at least one of the limits has no room. */
function refuse(books: LimitBooks, limits: readonly Limit[], call: { readonly demand: Demand; readonly nowMs: number }): LimitVerdict {
  const refused = refusedBy(books, limits, call);
  const waitOf = ({ retryAfterMs }: RefusedLimit): number => retryAfterMs ?? Infinity;
  const [first, ...others] = refused;
  assert(first !== undefined, "a refusal without a limit");
  const longest = others.reduce((worst, each) => (waitOf(each) > waitOf(worst) ? each : worst), first);
  return { isAdmitted: false, limit: longest.limit, retryAfterMs: longest.retryAfterMs, refused };
}

function statusOf(books: LimitBooks, limit: Limit, nowMs: number): LimitStatus {
  const { kind, scope } = limit;
  if (kind === "parallelRequests" || kind === "openStreams" || kind === "parallelAgents") {
    const used = kind === "parallelAgents" ? books.agents.running(scope, nowMs).size : (books[kind].get(scope) ?? 0);
    return { limit, remaining: Math.max(0, wholeMax(limit.max) - used), resetAfterMs: used === 0 ? 0 : undefined };
  }
  const rate = books.rates[kind];
  return { limit, remaining: rate.remaining(limit, nowMs), resetAfterMs: finite(rate.resetMs(limit, nowMs)) };
}

/** A limiter that remembers nothing yet. */
export function createLimiter(options: LimiterOptions = {}): Limiter {
  const books = createLimitBooks(options, () => sweeper.noteCreated());
  const sweeper = createSweeper(books.sweepable);

  return {
    admit(limits, demand, fractionalNowMs) {
      const nowMs = Math.floor(fractionalNowMs);
      const call = { limits, demand, nowMs };
      for (const limit of limits) if (waitMsUnder(books, limit, call) > 0) return refuse(books, limits, call);
      const lease = new OpenLease(books, call, nowMs);
      lease.enterAll();
      sweeper.step(nowMs);
      return { isAdmitted: true, lease };
    },
    refused: (limits, demand, nowMs) => refusedBy(books, limits, { demand, nowMs: Math.floor(nowMs) }),
    snapshot: (limits, nowMs) => limits.map((limit) => statusOf(books, limit, Math.floor(nowMs))),
    get size() {
      const kept = books.sweepable.reduce((sum, collection) => sum + collection.size, 0);
      return kept + books.parallelRequests.size + books.openStreams.size;
    },
  };
}
