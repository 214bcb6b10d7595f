/**
 * The meters of one kind of rate, by scope. A scope that owes nothing needs no meter: it is made when something is taken and forgotten
 * by the sweep when it is paid off, and neither can be noticed from outside.
 */
import type { Limit } from "./limit.ts";
import { changeMax, charge, emptyRate, isPaidOff, remainingOf, resetMsOf, trueUp, waitMsFor, wholeMax, type RateState, type TakenSpan } from "./rate-limit.ts";
import type { Sweepable } from "./sweep.ts";

/** Rates of one kind; all times are monotonic milliseconds, all costs whole. */
export interface RateBook extends Sweepable {
  /** As `waitMsFor`; leaves nothing behind but a changed `max`. */
  waitMs(limit: Limit, cost: number, nowMs: number): number;
  charge(limit: Limit, cost: number, nowMs: number): void;
  /** As `trueUp`; a scope that was forgotten meanwhile has nothing to get back. */
  correct(limit: Limit, difference: number, span: TakenSpan): void;
  remaining(limit: Limit, nowMs: number): number;
  resetMs(limit: Limit, nowMs: number): number;
}

/**
 * @param periodMs the period of every `max`, at most one hour
 * @param onCreated called for each new meter, so that the sweep keeps up
 */
export function createRateBook(periodMs: number, onCreated: () => void): RateBook {
  const states = new Map<string, RateState>();

  const find = (limit: Limit, nowMs: number): RateState | undefined => {
    const state = states.get(limit.scope);
    if (state !== undefined && state.max !== limit.max && state.max !== wholeMax(limit.max)) changeMax(state, limit.max, nowMs);
    return state;
  };
  const create = (limit: Limit, nowMs: number): RateState => {
    const state = emptyRate(limit.max, periodMs, nowMs);
    states.set(limit.scope, state);
    onCreated();
    return state;
  };

  return {
    waitMs(limit, cost, nowMs) {
      const state = find(limit, nowMs);
      if (state !== undefined) return waitMsFor(state, cost, nowMs);
      return cost > wholeMax(limit.max) ? Infinity : 0;
    },
    charge: (limit, cost, nowMs) => charge(find(limit, nowMs) ?? create(limit, nowMs), cost, nowMs),
    correct(limit, difference, span) {
      // The limit may have changed since the call began: the scope's own present `max` stays.
      const state = states.get(limit.scope);
      if (state !== undefined) trueUp(state, difference, span);
      else if (difference > 0) trueUp(create(limit, span.endedAtMs), difference, span);
    },
    remaining(limit, nowMs) {
      const state = find(limit, nowMs);
      return state === undefined ? wholeMax(limit.max) : remainingOf(state, nowMs);
    },
    resetMs(limit, nowMs) {
      const state = find(limit, nowMs);
      return state === undefined ? 0 : resetMsOf(state, nowMs);
    },
    get size() {
      return states.size;
    },
    scopes: () => states.keys(),
    dropIdle(scope, nowMs) {
      const state = states.get(scope);
      if (state !== undefined && isPaidOff(state, nowMs)) states.delete(scope);
    },
  };
}
