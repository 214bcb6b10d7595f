/**
 * Moves committed pages from the write-ahead log into the database on a thread of its own: on the main thread each
 * checkpoint would stop every stream for tens of milliseconds. It must never write anything else.
 */
import { closeSync, fdatasyncSync, openSync, statSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { SqlDatabase, sqlScript, type SqlRow } from "../sql.ts";

/** What the thread is started with. */
export interface CheckpointWorkerData {
  readonly path: string;
  /** Between two looks at the log, in milliseconds. */
  readonly periodMs: number;
  /** Size of the log, in bytes, above which it is written from its start again; above four times that its file is cut. */
  readonly logBytesMax: number;
}

/** What the thread tells: that it works, or why a checkpoint failed. Sent `"stop"`, it closes its connection and ends. */
export type CheckpointMessage = { readonly kind: "ready" } | { readonly kind: "failed"; readonly reason: string };

const settings = sqlScript`PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;`;

/** Bytes of one frame of the log: a page and its header (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). */
const frameBytes = 4_096 + 24;
/**
 * Frames that are worth a checkpoint. After each complete one the next commit starts the log anew and waits for the disk,
 * on the main thread; so a checkpoint a second would cost a quiet gateway more than it gives.
 */
const framesMin = 1_000;

/** What SQLite tells of the log. */
interface LogState {
  readonly frames: number;
  readonly waiting: number;
}

function stateOf(row: SqlRow | undefined): LogState {
  const frames = Number(row?.["log"] ?? 0);
  return { frames, waiting: frames - Number(row?.["checkpointed"] ?? 0) };
}

/** @returns false when something is left to do although nobody may write any more */
function tend(database: SqlDatabase, logPath: string, logBytesMax: number): boolean {
  syncFile(logPath);
  if (stateOf(database.row`PRAGMA wal_checkpoint(NOOP)`).waiting < framesMin) return true;
  // Passive does not block the writer. It moves nearly everything, so that the others hold the write lock briefly.
  const { frames, waiting } = stateOf(database.row`PRAGMA wal_checkpoint(PASSIVE)`);
  // A writer that never pauses always leaves a frame behind; then only a restart ends the log's growth.
  if (frames * frameBytes > logBytesMax) void database.row`PRAGMA wal_checkpoint(RESTART)`;
  // The file keeps its size over a restart, since writing over it is cheaper than growing it; but a burst is given back.
  if (statSync(logPath).size > 4 * logBytesMax) void database.row`PRAGMA wal_checkpoint(TRUNCATE)`;
  return waiting < framesMin;
}

/** Bounds what power loss can take to about one period, at no cost to the main thread. SQLite holds no locks on this file. */
function syncFile(path: string): void {
  const file = openSync(path, "r+");
  try {
    fdatasyncSync(file);
  } finally {
    closeSync(file);
  }
}

function run(port: NonNullable<typeof parentPort>, { path, periodMs, logBytesMax }: CheckpointWorkerData): void {
  const tell = (message: CheckpointMessage): void => port.postMessage(message);
  const logPath = `${path}-wal`;
  const database = new SqlDatabase(path, { busyTimeoutMs: 100 });
  database.script(settings);
  let lastChangeMs = -1;
  const look = (): void => {
    try {
      const changeMs = statSync(logPath, { throwIfNoEntry: false })?.mtimeMs ?? lastChangeMs;
      if (changeMs === lastChangeMs) return;
      lastChangeMs = tend(database, logPath, logBytesMax) ? changeMs : -1;
    } catch (error) {
      lastChangeMs = -1;
      tell({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
    }
  };
  const timer = setInterval(look, periodMs);
  port.on("message", () => {
    clearInterval(timer);
    database.close();
    port.close();
  });
  tell({ kind: "ready" });
}

if (parentPort !== null) run(parentPort, workerData as CheckpointWorkerData);
