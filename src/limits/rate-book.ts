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

type States = Map<string, RateState>;

/**
 * @param periodMs the period of every `max`, at most one hour
 * @param clientNamedMax meters of scopes that clients name, integer > 0; beyond it the oldest is forgotten
 * @param onCreated called for each new meter, so that the sweep keeps up
 */
export function createRateBook({ periodMs, clientNamedMax, onCreated }: { readonly periodMs: number; readonly clientNamedMax: number; readonly onCreated: () => void }): RateBook {
  const operatorNamed: States = new Map();
  const clientNamed: States = new Map();

  const statesOf = ({ hasClientName }: Limit): States => (hasClientName === true ? clientNamed : operatorNamed);
  const find = (limit: Limit, nowMs: number): RateState | undefined => {
    const state = statesOf(limit).get(limit.scope);
    if (state !== undefined && state.max !== limit.max && state.max !== wholeMax(limit.max)) changeMax(state, limit.max, nowMs);
    return state;
  };
  const create = (limit: Limit, nowMs: number): RateState => {
    const state = emptyRate(limit.max, periodMs, nowMs);
    statesOf(limit).set(limit.scope, state);
    if (clientNamed.size > clientNamedMax) clientNamed.delete(clientNamed.keys().next().value!);
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
      const state = statesOf(limit).get(limit.scope);
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
      return operatorNamed.size + clientNamed.size;
    },
    *scopes() {
      yield* operatorNamed.keys();
      yield* clientNamed.keys();
    },
    dropIdle(scope, nowMs) {
      for (const states of [operatorNamed, clientNamed]) {
        const state = states.get(scope);
        if (state !== undefined && isPaidOff(state, nowMs)) states.delete(scope);
      }
    },
  };
}
