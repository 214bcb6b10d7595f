/**
 * The words of rate and concurrency limits: what can be limited, what a call asks for and what it is told. Types only, so that
 * configuration and keys can speak of limits without the machinery.
 */

/**
 * What a limit measures. Those per minute and per hour follow `rate-limit.ts`: steady rate `max`, burst exactly `max`.
 *
 * - `requestsPerMinute`: calls that may cost money. `countsPerMinute`: calls that only count tokens; these are measured by nothing else.
 * - `tokensPerMinute`, `inputTokensPerMinute`, `outputTokensPerMinute`: estimates at the start, corrected at the end.
 * - `parallelRequests`: calls between admission and end. `openStreams`: those among them whose reply is streamed.
 * - `parallelAgents`: agents of the scope that run, see `roster.ts`; calls without an agent id belong to none and are not measured.
 * - `newAgentsPerMinute`, `newSessionsPerHour`: agents and sessions that the scope does not remember.
 */
export type LimitKind =
  | "requestsPerMinute"
  | "countsPerMinute"
  | "tokensPerMinute"
  | "inputTokensPerMinute"
  | "outputTokensPerMinute"
  | "parallelRequests"
  | "openStreams"
  | "parallelAgents"
  | "newAgentsPerMinute"
  | "newSessionsPerHour";

/** One limit on one scope. The same scope and kind must come once in a list; twice would count the call twice. */
export interface Limit {
  /**
   * Whom it binds, for instance `key:k`, `team_model:t/m`, `target:t`. Ids that clients choose (sessions, end users) must carry the
   * key in their scope, for example `session:KEY/ID`, or one client could use up another's.
   */
  readonly scope: string;
  readonly kind: LimitKind;
  /** Integer ≥ 0; 0 admits nothing. What has no limit has no entry. */
  readonly max: number;
  /**
   * Clients can make up as many such scopes as they like, so only the latest are remembered, and one that is forgotten starts afresh.
   * Absent: whoever has a limit there was named by an operator.
   */
  readonly hasClientName?: boolean;
}

/** Tokens of one call, integers ≥ 0. The caller decides what counts, above all whether `total` has the cache reads. */
export interface TokenAmounts {
  readonly total: number;
  readonly input: number;
  readonly output: number;
}

/** What one call asks for. */
export interface Demand {
  /** Estimates. Even with 0 a call waits while its token limits have no room for a single token. */
  readonly tokens: TokenAmounts;
  readonly isStreaming: boolean;
  /** Only counts tokens: `countsPerMinute` measures it, and no other kind does. */
  readonly isCount: boolean;
  /** As the client names it; calls without one share the session `none`. */
  readonly sessionId: string | undefined;
  /** Absent on the main loop of a session, which is not an agent. */
  readonly agentId: string | undefined;
  /** The agent that started this one and waits for it, if any. */
  readonly parentAgentId: string | undefined;
}

/** A limit without room. */
export interface RefusedLimit {
  readonly limit: Limit;
  /**
   * Time until the call fits, milliseconds > 0: exact for rates if nobody else comes first; for slots nobody can know it, and it is
   * `slotRetryMs`. `undefined`: it never will, because the call alone is more than the burst or the limit is 0.
   */
  readonly retryAfterMs: number | undefined;
}

/** How a limit stands, for headers. */
export interface LimitStatus {
  readonly limit: Limit;
  /** What would be admitted now; an integer from 0 to `max`. */
  readonly remaining: number;
  /** Milliseconds ≥ 0 until all of `max` is there again; `undefined` where nobody can know (slots in use, or a limit of 0 that is owed). */
  readonly resetAfterMs: number | undefined;
}

/**
 * A call's place under all its limits. Exactly one of `end` and `cancel` must be called; whichever comes first counts, all later calls
 * of either change nothing.
 */
export interface Lease {
  /**
   * Frees every slot at once and corrects the token estimates.
   *
   * @param actual what was used; `undefined` when it is not known, and then the estimates stay
   */
  end(actual: TokenAmounts | undefined, nowMs: number): void;
  /** Undoes the admission, for a call that was refused later on (by a budget, by another list of limits) and must burn nothing. */
  cancel(nowMs: number): void;
}

/** The answer to a demand. */
export type LimitVerdict =
  | { readonly isAdmitted: true; readonly lease: Lease }
  | {
      readonly isAdmitted: false;
      /** The one that takes longest. */
      readonly limit: Limit;
      /** Time until *all* of them have room; see {@link RefusedLimit.retryAfterMs}. */
      readonly retryAfterMs: number | undefined;
      /** All limits without room, in the order of the list; never empty. */
      readonly refused: readonly RefusedLimit[];
    };
