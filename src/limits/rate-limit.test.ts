// Guarantee: any window of t ms admits at most max + max × t / period, whatever the trace; waiting times are exact to the millisecond;
// corrections add up; and a clock that is set back locks nobody out.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limitAmountMax } from "../kernel/bounds.ts";
import { changeMax, charge, emptyRate, giveBack, isPaidOff, remainingOf, resetMsOf, staleReadingMsMax, take, trueUp, waitMsFor, wholeCost, wholeMax } from "./rate-limit.ts";

const minuteMs = 60_000;
const pauses = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 100, max: 90_000 }));
const maxima = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1_000, max: 2_000_000 }));

/** Largest excess of any window of the events over `max + max × t / period`; ≤ 0 when the bound holds. Exact. */
function worstExcess(events: readonly { atMs: number; amount: number }[], max: number, periodMs: number): number {
  let worst = -Infinity;
  for (let first = 0; first < events.length; first += 1) {
    let sum = 0;
    for (let last = first; last < events.length; last += 1) {
      sum += events[last]!.amount;
      worst = Math.max(worst, sum * periodMs - max * periodMs - max * (events[last]!.atMs - events[first]!.atMs));
    }
  }
  return worst;
}

describe("admission", () => {
  it("admits in any window at most the burst and the steady rate, for any trace", () => {
    const trace = fc.array(fc.record({ pauseMs: pauses, share: fc.double({ min: 0, max: 1, noNaN: true }) }), { maxLength: 120 });
    fc.assert(
      fc.property(maxima, fc.constantFrom(1_000, minuteMs, 60 * minuteMs), trace, (max, periodMs, steps) => {
        const state = emptyRate(max, periodMs, 0);
        const taken: { atMs: number; amount: number }[] = [];
        let nowMs = 0;
        for (const { pauseMs, share } of steps) {
          nowMs += pauseMs;
          const amount = 1 + Math.floor(share * share * (max - 1));
          if (take(state, amount, nowMs)) taken.push({ atMs: nowMs, amount });
        }
        expect(worstExcess(taken, max, periodMs)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it("keeps the bound, by the latest reading, when readings of the clock arrive slightly out of order", () => {
    const trace = fc.array(fc.record({ pauseMs: fc.integer({ min: 0, max: 100 }), staleMs: fc.constantFrom(0, 1, staleReadingMsMax) }), { minLength: 100, maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), trace, (max, steps) => {
        const state = emptyRate(max, minuteMs, 0);
        const taken: { atMs: number; amount: number }[] = [];
        let nowMs = 0;
        let latestReadingMs = 0;
        for (const { pauseMs, staleMs } of steps) {
          nowMs += pauseMs;
          const readingMs = Math.max(0, nowMs - staleMs);
          latestReadingMs = Math.max(latestReadingMs, readingMs);
          if (take(state, 1, readingMs)) taken.push({ atMs: latestReadingMs, amount: 1 });
        }
        expect(worstExcess(taken, max, minuteMs)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it("admits the whole burst at one instant after a pause of one period, and then one at a time", () => {
    const state = emptyRate(60, minuteMs, 0);
    for (let call = 0; call < 60; call += 1) expect(take(state, 1, 5)).toBe(true);
    expect(take(state, 1, 5)).toBe(false);
    expect(waitMsFor(state, 1, 5)).toBe(1_000);
    expect(take(state, 1, 1_004)).toBe(false);
    expect(take(state, 1, 1_005)).toBe(true);
    for (let call = 0; call < 60; call += 1) expect(take(state, 1, 1_005 + minuteMs)).toBe(true);
    expect(take(state, 1, 1_005 + minuteMs)).toBe(false);
  });

  it("never admits a cost above the burst, nor anything under a limit of 0, and says that waiting does not help", () => {
    expect(waitMsFor(emptyRate(10, minuteMs, 0), 11, 0)).toBe(Infinity);
    expect(waitMsFor(emptyRate(0, minuteMs, 0), 1, 0)).toBe(Infinity);
  });
});

describe("times", () => {
  it("are exact: a cost fits after the time that was told and not a millisecond earlier", () => {
    fc.assert(
      fc.property(maxima, fc.array(fc.tuple(pauses, fc.integer({ min: 1, max: 100_000 })), { maxLength: 30 }), fc.integer({ min: 1, max: 2_000_000 }), (max, steps, wanted) => {
        const state = emptyRate(max, minuteMs, 0);
        let nowMs = 0;
        for (const [pauseMs, amount] of steps) charge(state, Math.min(amount, max), (nowMs += pauseMs));
        const cost = 1 + (wanted % max);
        const waitMs = waitMsFor(state, cost, nowMs);
        expect(waitMsFor(state, cost, nowMs + waitMs)).toBe(0);
        if (waitMs > 0) expect(waitMsFor(state, cost, nowMs + waitMs - 1)).toBe(1);
        const resetMs = resetMsOf(state, nowMs);
        expect(remainingOf(state, nowMs + resetMs)).toBe(max);
        expect(isPaidOff(state, nowMs + resetMs)).toBe(true);
        if (resetMs > 0) expect(isPaidOff(state, nowMs + resetMs - 1)).toBe(false);
      }),
    );
  });

  it("bring more room as time passes, never less", () => {
    fc.assert(
      fc.property(maxima, fc.integer({ min: 0, max: 100_000 }), fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 40 }), (max, owed, stepsMs) => {
        const state = emptyRate(max, minuteMs, 0);
        charge(state, owed, 0);
        let nowMs = 0;
        let remaining = remainingOf(state, 0);
        for (const stepMs of stepsMs) {
          const next = remainingOf(state, (nowMs += stepMs));
          expect(next).toBeGreaterThanOrEqual(remaining);
          remaining = next;
        }
      }),
    );
  });

  it("say as remaining the largest cost that fits", () => {
    fc.assert(
      fc.property(maxima, fc.integer({ min: 0, max: 3_000_000 }), pauses, (max, owed, pauseMs) => {
        const state = emptyRate(max, minuteMs, 0);
        charge(state, owed, 0);
        const remaining = remainingOf(state, pauseMs);
        if (remaining > 0) expect(waitMsFor(state, remaining, pauseMs)).toBe(0);
        expect(waitMsFor(state, remaining + 1, pauseMs)).toBeGreaterThan(0);
      }),
    );
  });

  it("do not lock anybody out when the clock is set back, even if every call is refused meanwhile", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 0, max: 10_000_000 }), fc.integer({ min: 0, max: 20_000_000 }), (max, startMs, backMs) => {
        const state = emptyRate(max, minuteMs, startMs);
        charge(state, max, startMs);
        let nowMs = startMs - backMs;
        const waitMs = waitMsFor(state, 1, nowMs);
        expect(waitMs).toBeLessThanOrEqual(minuteMs + staleReadingMsMax);
        nowMs += waitMs;
        expect(take(state, 1, nowMs)).toBe(true);
      }),
    );
  });
});

describe("corrections", () => {
  it("conserve: while something is owed, an estimate and its correction count as the true amount would have", () => {
    const call = fc.record({ pauseMs: fc.integer({ min: 0, max: 20 }), estimate: fc.integer({ min: 0, max: 500 }), actual: fc.integer({ min: 0, max: 500 }) });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
        const max = 1_000;
        const estimated = emptyRate(max, minuteMs, 0);
        const exact = emptyRate(max, minuteMs, 0);
        // Enough is owed from the start for neither meter to become empty.
        charge(estimated, 50_000, 0);
        charge(exact, 50_000, 0);
        let nowMs = 1;
        for (const { pauseMs, estimate, actual } of calls) {
          charge(estimated, estimate, nowMs);
          charge(exact, actual, nowMs);
          const takenAtMs = nowMs;
          nowMs += pauseMs;
          trueUp(estimated, actual - estimate, { takenAtMs, endedAtMs: nowMs });
        }
        expect(resetMsOf(estimated, nowMs)).toBe(resetMsOf(exact, nowMs));
        expect(remainingOf(estimated, nowMs)).toBe(remainingOf(exact, nowMs));
      }),
    );
  });

  it("admit in any window at most the bound and what was given back within it", () => {
    const call = fc.record({ pauseMs: pauses, cost: fc.integer({ min: 1, max: 100 }), used: fc.integer({ min: 0, max: 100 }), lastsMs: fc.integer({ min: 0, max: 60_000 }) });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
        const state = emptyRate(100, minuteMs, 0);
        const events: { atMs: number; amount: number }[] = [];
        const open: { takenAtMs: number; endedAtMs: number; unused: number }[] = [];
        let nowMs = 0;
        for (const { pauseMs, cost, used, lastsMs } of calls) {
          nowMs += pauseMs;
          for (const due of open.filter((each) => each.endedAtMs <= nowMs)) {
            open.splice(open.indexOf(due), 1);
            giveBack(state, due.unused, { takenAtMs: due.takenAtMs, endedAtMs: nowMs });
            events.push({ atMs: nowMs, amount: -due.unused });
          }
          if (!take(state, cost, nowMs)) continue;
          events.push({ atMs: nowMs, amount: cost });
          open.push({ takenAtMs: nowMs, endedAtMs: nowMs + lastsMs, unused: Math.max(0, cost - used) });
        }
        expect(worstExcess(events, 100, minuteMs)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it("give nothing back that time has paid off already", () => {
    const state = emptyRate(100, minuteMs, 0);
    expect(take(state, 50, 0)).toBe(true);
    expect(take(state, 80, 40_000)).toBe(true);
    giveBack(state, 50, { takenAtMs: 0, endedAtMs: 40_000 });
    expect(remainingOf(state, 40_000)).toBe(20);
  });

  it("undo a taking at the same instant without a trace", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(pauses, fc.integer({ min: 1, max: 50 })), { maxLength: 20 }), fc.integer({ min: 1, max: 50 }), (steps, cost) => {
        const state = emptyRate(50, minuteMs, 0);
        let nowMs = 0;
        for (const [pauseMs, amount] of steps) take(state, amount, (nowMs += pauseMs));
        const resetBefore = resetMsOf(state, nowMs);
        if (!take(state, cost, nowMs)) return;
        giveBack(state, cost, { takenAtMs: nowMs, endedAtMs: nowMs });
        expect(resetMsOf(state, nowMs)).toBe(resetBefore);
      }),
    );
  });

  it("make a debt of what was underestimated, which later calls wait for", () => {
    const state = emptyRate(100, minuteMs, 0);
    expect(take(state, 10, 0)).toBe(true);
    trueUp(state, 190, { takenAtMs: 0, endedAtMs: 0 });
    expect(remainingOf(state, 0)).toBe(0);
    expect(waitMsFor(state, 1, 0)).toBe(60_600);
  });
});

describe("limits that change", () => {
  it("open by the difference when raised, and make nobody wait longer than one period when lowered", () => {
    const state = emptyRate(10, minuteMs, 0);
    charge(state, 10, 0);
    changeMax(state, 15, 0);
    expect(remainingOf(state, 0)).toBe(5);
    changeMax(state, 1, 0);
    expect(remainingOf(state, 0)).toBe(0);
    expect(waitMsFor(state, 1, 0)).toBe(minuteMs);
  });

  it("count as whole numbers within exact arithmetic, however they are written", () => {
    expect([wholeMax(2.9), wholeMax(-1), wholeMax(Number.NaN), wholeMax(Infinity)]).toEqual([2, 0, 0, limitAmountMax]);
    expect([wholeCost(2.1), wholeCost(-1), wholeCost(Number.NaN), wholeCost(Infinity)]).toEqual([3, 0, 0, limitAmountMax]);
    const state = emptyRate(limitAmountMax, 60 * minuteMs, 0);
    charge(state, limitAmountMax, 0);
    charge(state, limitAmountMax, 0);
    expect(Number.isSafeInteger(state.owed)).toBe(true);
    expect(remainingOf(state, Number.MAX_SAFE_INTEGER)).toBe(limitAmountMax);
  });
});
