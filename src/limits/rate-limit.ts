/**
 * The one algorithm behind every "so many per minute": a cell-rate meter (GCRA, in its leaky-bucket form), as arithmetic on whole
 * numbers. It knows no scopes, reads no clock and refuses nobody by itself.
 *
 * A state holds what is *owed*. Taking adds to it, time pays it off evenly at `max` per period, and a cost fits while what is owed
 * with it is at most `max`. So **the burst is exactly `max`**: after a pause of one period all of `max` may come at one instant, and
 * any window of t ms, wherever it begins, admits at most `max + max × t / period`: within any one period at most twice `max`, over
 * long times `max` per period. Nothing happens at the turn of a minute.
 *
 * Amounts are kept multiplied by the period in milliseconds, so that one millisecond pays off exactly `max` of them: all values are
 * integers below 2^53, nothing is ever rounded, and the waiting times are exact to the millisecond. Readings of the clock are
 * rounded down to whole milliseconds, and windows are measured by the latest reading seen.
 */
import { limitAmountMax } from "../kernel/bounds.ts";

/** Debt stops growing here, in amounts times milliseconds; reached only by absurd corrections. */
const owedMax = 2 ** 52;
/**
 * A reading up to this much older than the last one is a caller that read the clock earlier, and counts as the last one. An older
 * one means that the clock was set back: paying off goes on from the new reading, so that nobody waits for the old time to return.
 */
export const staleReadingMsMax = 1_000;

/** What one meter remembers; change it only through the functions of this file. */
export interface RateState {
  /** Length of the period, in whole milliseconds > 0, at most one hour. */
  readonly periodMs: number;
  /** Amount per period and burst, an integer from 0 to {@link limitAmountMax}; 0 admits nothing. */
  max: number;
  /** What is owed at `atMs`, times `periodMs`; an integer ≥ 0. Above `max × periodMs` only after a correction or a lowered limit. */
  owed: number;
  /** Monotonic, whole milliseconds. */
  atMs: number;
  /** The latest instant at which nothing was known to be owed; what was taken before it has been paid off and cannot be given back. */
  emptyAtMs: number;
}

/** When something was taken and when it is corrected; monotonic milliseconds. */
export interface TakenSpan {
  readonly takenAtMs: number;
  readonly endedAtMs: number;
}

/** The whole number that counts for a cost: rounded up, 0 for what is negative or no number. */
export function wholeCost(cost: number): number {
  return cost > 0 ? Math.min(Math.ceil(cost), limitAmountMax) : 0;
}

/** The whole number that counts for a limit: rounded down, 0 (nothing is admitted) for what is negative or no number. */
export function wholeMax(max: number): number {
  return max > 0 ? Math.min(Math.floor(max), limitAmountMax) : 0;
}

/** A meter under which nothing is owed. */
export function emptyRate(max: number, periodMs: number, nowMs: number): RateState {
  const atMs = Math.floor(nowMs);
  return { periodMs, max: wholeMax(max), owed: 0, atMs, emptyAtMs: atMs };
}

/** What is owed now, times the period. Notices a clock that was set back, and changes nothing else. */
function owedAt(state: RateState, nowMs: number): number {
  if (nowMs < state.atMs - staleReadingMsMax) {
    state.atMs = nowMs;
    state.emptyAtMs = Math.min(state.emptyAtMs, nowMs);
  }
  const elapsedMs = nowMs - state.atMs;
  if (elapsedMs <= 0) return state.owed;
  // Beyond 2^53 the product is not exact, but then it is larger than anything owed.
  const owed = state.owed - elapsedMs * state.max;
  return owed > 0 ? owed : 0;
}

/** Brings the state to now, or leaves it where it is for a stale reading. */
function settle(state: RateState, nowMs: number): void {
  state.owed = owedAt(state, nowMs);
  if (nowMs < state.atMs) return;
  state.atMs = nowMs;
  if (state.owed === 0) state.emptyAtMs = nowMs;
}

/**
 * Gives the meter another limit. What is owed stays, but at most the new burst: a lowered limit makes nobody wait for longer than one
 * period, and a raised one opens at once by the difference.
 */
export function changeMax(state: RateState, max: number, nowMs: number): void {
  settle(state, Math.floor(nowMs));
  state.max = wholeMax(max);
  state.owed = Math.min(state.owed, state.max * state.periodMs);
}

/**
 * Exact time until `cost` fits if nothing else is taken meanwhile: 0 when it fits now, whole milliseconds > 0, or `Infinity` when it
 * never will because it is more than the burst (or the limit is 0).
 *
 * @param cost an integer ≥ 0, see {@link wholeCost}
 */
export function waitMsFor(state: RateState, cost: number, nowMs: number): number {
  const atMs = Math.floor(nowMs);
  if (cost > state.max) return Infinity;
  const over = owedAt(state, atMs) - (state.max - cost) * state.periodMs;
  if (over <= 0) return 0;
  return state.max === 0 ? Infinity : Math.ceil(over / state.max) + Math.max(0, state.atMs - atMs);
}

/** Takes `cost` whether it fits or not; for callers that have asked {@link waitMsFor} at the same instant. */
export function charge(state: RateState, cost: number, nowMs: number): void {
  settle(state, Math.floor(nowMs));
  state.owed = Math.min(owedMax, state.owed + cost * state.periodMs);
}

/** Takes `cost` if it fits now and tells whether it did; what does not fit leaves nothing behind. */
export function take(state: RateState, cost: number, nowMs: number): boolean {
  if (waitMsFor(state, cost, nowMs) > 0) return false;
  charge(state, cost, nowMs);
  return true;
}

/**
 * Gives back a cost, or a part of it, that was taken at `span.takenAtMs` and not used. Nothing is owed less than nothing: if the meter
 * was empty at any time since, time has paid that cost off already and nothing comes back, for else the same amount would be
 * admitted twice.
 */
export function giveBack(state: RateState, cost: number, span: TakenSpan): void {
  settle(state, Math.floor(span.endedAtMs));
  if (state.emptyAtMs > Math.floor(span.takenAtMs)) return;
  state.owed = Math.max(0, state.owed - cost * state.periodMs);
}

/**
 * Corrects an estimate once the true amount is known. The difference counts from the moment it is known: too little makes a debt
 * that later calls wait for, whatever its size; too much comes back as in {@link giveBack}.
 *
 * @param difference true amount minus estimate, an integer of either sign
 */
export function trueUp(state: RateState, difference: number, span: TakenSpan): void {
  if (difference > 0) charge(state, Math.min(difference, limitAmountMax), span.endedAtMs);
  else if (difference < 0) giveBack(state, -difference, span);
}

/** The largest cost that would fit now; an integer from 0 to `max`. */
export function remainingOf(state: RateState, nowMs: number): number {
  const owed = owedAt(state, Math.floor(nowMs));
  return Math.max(0, Math.floor((state.max * state.periodMs - owed) / state.periodMs));
}

/** Exact time until nothing is owed and the whole burst is there again; 0 when it is, `Infinity` for something owed under a limit of 0. */
export function resetMsOf(state: RateState, nowMs: number): number {
  const atMs = Math.floor(nowMs);
  const owed = owedAt(state, atMs);
  if (owed === 0) return 0;
  return Math.ceil(owed / state.max) + Math.max(0, state.atMs - atMs);
}

/** True when the meter behaves like a new one, so that it may be forgotten. */
export function isPaidOff(state: RateState, nowMs: number): boolean {
  return owedAt(state, Math.floor(nowMs)) === 0;
}
