/**
 * Forgets idle scopes a few at a time, paid by the calls that come in, so that memory stays in step with recent traffic without a
 * timer and without a pause that grows with the number of scopes.
 */

/** Scopes visited in one go; a go is about as dear as a call. */
const visitsPerSweep = 64;
/** Visits that each new entry pays for. Above 1, so that the sweep comes round faster than entries are made. */
const visitsPerCreated = 4;

/** A collection of things by scope of which some become idle. */
export interface Sweepable {
  /** Entries held. */
  readonly size: number;
  /** A live iterator: entries added or removed meanwhile do not disturb it. */
  scopes(): Iterator<string>;
  /** Forgets what is idle under this scope, if anything is. Must not be noticeable but by its memory. */
  dropIdle(scope: string, nowMs: number): void;
}

/** The broom over several collections. */
export interface Sweeper {
  noteCreated(): void;
  /** To be called once per call. */
  step(nowMs: number): void;
}

/** @param collections looked up at each round, so they may be filled after the sweeper is made */
export function createSweeper(collections: readonly Sweepable[]): Sweeper {
  let visitsOwed = 0;
  let turn = 0;
  let cursor: Iterator<string> | undefined;

  const sweep = (nowMs: number): void => {
    let ended = 0;
    for (let visits = 0; visits < visitsPerSweep && ended <= collections.length; visits += 1) {
      const collection = collections[turn];
      if (collection === undefined) return;
      cursor ??= collection.scopes();
      const next = cursor.next();
      if (next.done === true) {
        cursor = undefined;
        turn = (turn + 1) % collections.length;
        ended += 1;
      } else {
        collection.dropIdle(next.value, nowMs);
      }
    }
  };

  return {
    noteCreated: () => void (visitsOwed += visitsPerCreated),
    step(nowMs) {
      visitsOwed += 1;
      if (visitsOwed < visitsPerSweep) return;
      visitsOwed -= visitsPerSweep;
      sweep(nowMs);
    },
  };
}
