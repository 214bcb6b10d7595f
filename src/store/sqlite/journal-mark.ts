/**
 * The journal's low-water mark: an id at or below every attempt in state `open`. With it, recovery after a crash reads the
 * end of the ledger and not all of it; without it a start would take longer with every month of entries.
 */
import type { SqlDatabase } from "../sql.ts";
import { text } from "./columns.ts";

/** Closings between two moves of the mark. */
const closingsPerMove = 4_096;

/** The mark as the journal keeps it. `opened` and `write` are called inside a transaction, then `committed` or `revert`. */
export interface JournalMark {
  /** Ids grow, but a clock that ran backwards between two processes can make one below the mark: then the mark goes down. */
  opened(attemptId: string): void;
  write(closings: number, open: ReadonlyMap<string, unknown>): void;
  committed(): void;
  revert(): void;
  /** Stops the mark from rising for the rest of the process. */
  freeze(): void;
}

/** Reads the mark that `recoverAttempts` left. */
export function createJournalMark(sql: SqlDatabase): JournalMark {
  const found = sql.row`SELECT low_attempt_id FROM journal_mark WHERE id = 1`;
  let stored = found === undefined ? "" : text(found, "low_attempt_id");
  let mark = stored;
  let newest = stored;
  let closingsSinceMove = 0;
  let isFrozen = false;
  return {
    opened(attemptId) {
      if (attemptId < mark) mark = attemptId;
      if (attemptId > newest) newest = attemptId;
    },
    write(closings, open) {
      closingsSinceMove += closings;
      if (closingsSinceMove >= closingsPerMove && !isFrozen) {
        closingsSinceMove = 0;
        mark = newest;
        for (const attemptId of open.keys()) if (attemptId < mark) mark = attemptId;
      }
      if (mark !== stored) void sql.run`UPDATE journal_mark SET low_attempt_id = ${mark} WHERE id = 1`;
    },
    committed: () => void (stored = mark),
    revert: () => void (mark = stored),
    freeze: () => void (isFrozen = true),
  };
}

/**
 * Makes every attempt that is still open `unresolved`, and moves the mark to the end. Called before the journal takes work.
 *
 * @returns how many there were
 */
export function recoverAttempts(sql: SqlDatabase, nowMs: number): number {
  const recovered = sql.run`UPDATE attempts SET state = 'unresolved', outcome = 'unresolved', source = 'unresolved', closed_at_ms = ${nowMs}
    WHERE attempt_id >= (SELECT low_attempt_id FROM journal_mark WHERE id = 1) AND state = 'open'`;
  void sql.run`UPDATE journal_mark SET low_attempt_id = coalesce((SELECT max(attempt_id) FROM attempts), '') WHERE id = 1`;
  return recovered;
}
