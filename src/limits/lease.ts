/**
 * What an admitted call holds under its limits, and the only way to take and to free it: everything that `enterAll` takes is freed by
 * exactly one `end` or `cancel`.
 */
import { agentOf, isMeasured, moveSlots, sessionOf, tokensOf, type LimitBooks } from "./limit-books.ts";
import type { Demand, Lease, Limit, TokenAmounts } from "./limit.ts";

/** A lease and, in the same object so that a call costs one allocation, the span that corrections of its rates need. */
export class OpenLease implements Lease {
  readonly takenAtMs: number;
  /** Equal to `takenAtMs` until the end. */
  endedAtMs: number;
  readonly #books: LimitBooks;
  readonly #limits: readonly Limit[];
  readonly #demand: Demand;
  #isOpen = true;
  /** Limits on new agents and sessions that this call was charged for; almost always none. */
  #newcomerLimits: Limit[] | undefined;

  /** Takes nothing yet. `nowMs` is whole. */
  constructor(books: LimitBooks, call: { readonly limits: readonly Limit[]; readonly demand: Demand }, nowMs: number) {
    this.#books = books;
    this.#limits = call.limits;
    this.#demand = call.demand;
    this.takenAtMs = nowMs;
    this.endedAtMs = nowMs;
  }

  /** Takes the call's part under every limit, whether there is room or not. Must be called once, by whoever has checked for room. */
  enterAll(): void {
    // New members are charged before anybody is entered: afterwards nobody would be new.
    for (const limit of this.#limits) this.#charge(limit);
    for (const limit of this.#limits) this.#enter(limit);
  }

  end(actual: TokenAmounts | undefined, nowMs: number): void {
    if (!this.#close(nowMs)) return;
    for (const limit of this.#limits) {
      this.#leave(limit, false);
      const { kind } = limit;
      if (actual === undefined || this.#demand.isCount) continue;
      if (kind !== "tokensPerMinute" && kind !== "inputTokensPerMinute" && kind !== "outputTokensPerMinute") continue;
      this.#books.rates[kind].correct(limit, tokensOf(kind, actual) - tokensOf(kind, this.#demand.tokens), this);
    }
  }

  cancel(nowMs: number): void {
    if (!this.#close(nowMs)) return;
    for (const limit of this.#limits) {
      this.#leave(limit, true);
      const { kind } = limit;
      if (!isMeasured(kind, this.#demand)) continue;
      if (kind === "requestsPerMinute" || kind === "countsPerMinute") this.#books.rates[kind].correct(limit, -1, this);
      else if (kind === "tokensPerMinute" || kind === "inputTokensPerMinute" || kind === "outputTokensPerMinute") {
        this.#books.rates[kind].correct(limit, -tokensOf(kind, this.#demand.tokens), this);
      }
    }
    for (const limit of this.#newcomerLimits ?? []) {
      this.#books.rates[limit.kind === "newSessionsPerHour" ? "newSessionsPerHour" : "newAgentsPerMinute"].correct(limit, -1, this);
    }
  }

  #close(nowMs: number): boolean {
    if (!this.#isOpen) return false;
    this.#isOpen = false;
    this.endedAtMs = Math.floor(nowMs);
    return true;
  }

  #charge(limit: Limit): void {
    const { kind } = limit;
    const { rates, sessions, agents } = this.#books;
    if (!isMeasured(kind, this.#demand)) return;
    switch (kind) {
      case "requestsPerMinute":
      case "countsPerMinute":
        return rates[kind].charge(limit, 1, this.takenAtMs);
      case "tokensPerMinute":
      case "inputTokensPerMinute":
      case "outputTokensPerMinute":
        return rates[kind].charge(limit, tokensOf(kind, this.#demand.tokens), this.takenAtMs);
      case "newAgentsPerMinute":
        if (!agents.isKnown(limit.scope, agentOf(this.#demand), this.takenAtMs)) this.#chargeNewcomer(limit, kind);
        return;
      case "newSessionsPerHour":
        if (!sessions.isKnown(limit.scope, sessionOf(this.#demand), this.takenAtMs)) this.#chargeNewcomer(limit, kind);
        return;
      case "parallelRequests":
      case "openStreams":
      case "parallelAgents":
        return;
    }
  }

  #chargeNewcomer(limit: Limit, kind: "newAgentsPerMinute" | "newSessionsPerHour"): void {
    this.#books.rates[kind].charge(limit, 1, this.takenAtMs);
    (this.#newcomerLimits ??= []).push(limit);
  }

  #enter(limit: Limit): void {
    const { kind, scope } = limit;
    const demand = this.#demand;
    if (!isMeasured(kind, demand)) return;
    if (kind === "parallelRequests" || kind === "openStreams") moveSlots(this.#books[kind], scope, 1);
    else if (kind === "newSessionsPerHour") this.#books.sessions.enter(scope, sessionOf(demand), undefined);
    else if (kind === "parallelAgents" || kind === "newAgentsPerMinute") this.#books.agents.enter(scope, agentOf(demand), demand.parentAgentId);
  }

  #leave(limit: Limit, isUndone: boolean): void {
    const { kind, scope } = limit;
    const demand = this.#demand;
    if (!isMeasured(kind, demand)) return;
    if (kind === "parallelRequests" || kind === "openStreams") {
      moveSlots(this.#books[kind], scope, -1);
      return;
    }
    const isSession = kind === "newSessionsPerHour";
    if (!isSession && kind !== "parallelAgents" && kind !== "newAgentsPerMinute") return;
    const roster = isSession ? this.#books.sessions : this.#books.agents;
    const id = isSession ? sessionOf(demand) : agentOf(demand);
    if (isUndone) roster.undo(scope, id);
    else roster.leave(scope, id, this.endedAtMs);
  }
}
