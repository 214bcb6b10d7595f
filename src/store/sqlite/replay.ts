/** Writes into the ledger what an earlier process could only put into the spill file. Doing it twice changes nothing. */
import type { SpillEntry } from "../spill/spill-lines.ts";
import type { SqlDatabase } from "../sql.ts";
import { isUniqueError, isValueError } from "../store-error.ts";
import { closeAttempt, keySpendOf, openAttempt, raiseHold } from "./attempts.ts";
import { text } from "./columns.ts";
import { noteOpened, readRollupMark } from "./rollups.ts";
import { createSpendBatch, type SpendBatch } from "./spend.ts";

/** What became of the entries. */
export interface Replay {
  /** Attempts that the ledger did not have. */
  readonly openedAttempts: number;
  /** Attempts that were open in the ledger, or came from the file, and have ended now. */
  readonly closedAttempts: number;
  /** Entries whose values the ledger cannot hold. */
  readonly refusedEntries: number;
}

/** In the transaction under way, and before attempts that are still open are taken for crashed ones. Throws SQLite's error when the store fails. */
export function replaySpill(sql: SqlDatabase, entries: readonly SpillEntry[]): Replay {
  const spend = createSpendBatch();
  const counts = { openedAttempts: 0, closedAttempts: 0, refusedEntries: 0 };
  for (const entry of entries) {
    try {
      if (entry.kind === "opening") counts.openedAttempts += open(sql, entry.opening) ? 1 : 0;
      else if (entry.kind === "hold") raiseHold(sql, entry.attemptId, entry.holdNanoUsd);
      else counts.closedAttempts += close(sql, entry.closing, spend) ? 1 : 0;
    } catch (error) {
      if (!isValueError(error)) throw error;
      counts.refusedEntries++;
    }
  }
  spend.write(sql);
  return counts;
}

/** The mark of the journal must not lie behind it: only rows from the mark on are looked at after a crash. */
function open(sql: SqlDatabase, opening: Extract<SpillEntry, { kind: "opening" }>["opening"]): boolean {
  try {
    openAttempt(sql, opening);
  } catch (error) {
    if (isUniqueError(error)) return false;
    throw error;
  }
  noteOpened(sql, readRollupMark(sql), opening.attemptId);
  void sql.run`UPDATE journal_mark SET low_attempt_id = min(low_attempt_id, ${opening.attemptId}) WHERE id = 1`;
  return true;
}

function close(sql: SqlDatabase, closing: Extract<SpillEntry, { kind: "closing" }>["closing"], spend: SpendBatch): boolean {
  const row = sql.row`SELECT key_id FROM attempts WHERE attempt_id = ${closing.attemptId} AND state = 'open'`;
  if (row === undefined || !closeAttempt(sql, closing)) return false;
  spend.add(text(row, "key_id"), keySpendOf(closing), 1);
  return true;
}
