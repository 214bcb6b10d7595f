/**
 * Time as a thing that is passed in. Only this file reads the system's clocks, so that tests and the simulation
 * own time everywhere else.
 */

/** A cancellable wait. */
export interface Timer {
  cancel(): void;
}

/** Wall time for records, monotonic time for durations, and timers on the latter. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. Never subtract two of these for a duration. */
  now(): number;
  /** Milliseconds, fractional, only ever growing; comparable within one process only. */
  monotonic(): number;
  /** Calls `action` once after `delayMs` ≥ 0. Does not keep the process alive. */
  after(delayMs: number, action: () => void): Timer;
  /** Calls `action` every `periodMs` > 0. Does not keep the process alive. */
  every(periodMs: number, action: () => void): Timer;
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, action) {
    const handle = setTimeout(action, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, action) {
    const handle = setInterval(action, periodMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
};

/** A clock that stands still until `advance` moves it; timers fire inside `advance`, in order of their due time. */
export interface ManualClock extends Clock {
  advance(durationMs: number): void;
}

/** @param startMs wall time at the start, milliseconds since the Unix epoch */
export function manualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsedMs = 0;
  let pending: { dueMs: number; periodMs: number | undefined; action: () => void }[] = [];
  const schedule = (delayMs: number, periodMs: number | undefined, action: () => void): Timer => {
    const item = { dueMs: elapsedMs + delayMs, periodMs, action };
    pending.push(item);
    return { cancel: () => void (pending = pending.filter((other) => other !== item)) };
  };
  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    after: (delayMs, action) => schedule(delayMs, undefined, action),
    every: (periodMs, action) => schedule(periodMs, periodMs, action),
    advance(durationMs) {
      const endMs = elapsedMs + durationMs;
      for (;;) {
        const next = pending.filter((item) => item.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined) break;
        elapsedMs = Math.max(elapsedMs, next.dueMs);
        if (next.periodMs === undefined) pending = pending.filter((item) => item !== next);
        else next.dueMs += next.periodMs;
        next.action();
      }
      elapsedMs = endMs;
    },
  };
}
