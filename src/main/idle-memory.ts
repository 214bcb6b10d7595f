/**
 * Gives memory back to the system when the gateway falls quiet. V8 keeps the heap of the last burst until it next needs
 * one, which on a quiet night is never: after a closed loop of 1 KB calls 185 MB instead of 120
 * (`npm run bench`, "idle after warm-up").
 */
import type { Clock, Timer } from "../kernel/clock.ts";

/** What is asked of the pipeline's load. */
export interface LoadCounts {
  /** Requests in work now. */
  readonly inFlight: number;
  /** Requests ever begun. */
  readonly total: number;
}

/** A full collection stops the process for some ten milliseconds, so it waits until a burst is surely over. */
const quietMs = 3_000;

/**
 * Collects once after each busy time: nothing in flight, and nothing begun for {@link quietMs}.
 *
 * @param collect a full collection that returns pages, or undefined where the runtime was started without one
 */
export function collectWhenQuiet(load: LoadCounts, clock: Clock, collect: (() => void) | undefined): Timer {
  if (collect === undefined) return { cancel: () => {} };
  let seen = load.total;
  let isDue = false;
  return clock.every(quietMs, () => {
    if (load.total !== seen) {
      seen = load.total;
      isDue = true;
    } else if (isDue && load.inFlight === 0) {
      isDue = false;
      collect();
    }
  });
}

/** The collector of a Node that was started with `--expose-gc`, as `npm start` and the installed command do. */
export function exposedCollector(): (() => void) | undefined {
  const { gc } = globalThis;
  return gc === undefined ? undefined : () => gc({ type: "major", execution: "sync", flavor: "last-resort" });
}
