/**
 * Opens the SQLite store: one file, one process, one writing connection on the main thread. A commit takes microseconds there,
 * less than a message to another thread would. Checkpoints, which wait for the disk, and reports, which read for long, have
 * threads of their own.
 */
import type { Clock } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { UsageStore } from "../../ledger/usage-store.ts";
import { newId } from "../../kernel/ids.ts";
import { migrate } from "../migrations/migrate.ts";
import { SqlDatabase, sqlScript } from "../sql.ts";
import { openSpill, type OpenSpill, type SpillOptions } from "../spill/open-spill.ts";
import { storeError } from "../store-error.ts";
import type { SpillReplay, Stores } from "../stores.ts";
import { insertAudit, sqliteAudit } from "./audit.ts";
import { sqliteBooks, type SqliteBooks } from "./books.ts";
import { sqliteBudgets } from "./budgets.ts";
import { startCheckpointer, type Checkpointer } from "./checkpointer.ts";
import { text } from "./columns.ts";
import { createPrivateFile, preparePath } from "./files.ts";
import { recoverAttempts } from "./journal-mark.ts";
import { sqliteKeyTerms } from "./key-terms.ts";
import { sqliteKeys } from "./keys.ts";
import { lockStore, type StoreLock } from "./lock.ts";
import { probe } from "./probe.ts";
import { createReader, type Reader } from "./reader.ts";
import { sqliteReconcile } from "./reconcile.ts";
import { replaySpill } from "./replay.ts";
import { readRollupMark } from "./rollups.ts";
import { createUpkeep, type SqliteUpkeep } from "./upkeep.ts";
import { sqliteUsage } from "./usage.ts";
import { sqliteWarnings } from "./warnings.ts";

/** What opening needs. */
export interface SqliteStoreOptions {
  /** The database file. Its folder is made if need be, 0700; the file is 0600. */
  readonly path: string;
  /**
   * `normal`: a commit survives the death of the process, also by `kill -9`; power loss may take the commits of about the last
   * second, never the file's soundness. `full`: each commit waits for the disk on the main thread, hundreds of microseconds or more.
   */
  readonly sync: "normal" | "full";
  readonly clock: Clock;
  /** Told when writes begin to fail, when a closing could not be kept as it was, and when checkpoints fail. */
  readonly onDegraded?: (error: GatewayError) => void;
  /** Between two looks at the write-ahead log, in milliseconds. */
  readonly checkpointPeriodMs?: number;
  /** Size of the write-ahead log, in bytes, above which it is written from its start again. */
  readonly checkpointLogBytesMax?: number;
  /** Where openings and closings go while the store fails; what is in it is written to the store first. Absent: nowhere. */
  readonly spill?: Omit<SpillOptions, "clock">;
}

/** The store with its connection, which belongs to `doctor` and to tests; nothing else may write through it. */
export interface SqliteStores extends Stores {
  readonly sql: SqlDatabase;
}

/** The first release without the corruption by which a restarted log could lose commits (https://www.sqlite.org/releaselog/3_51_3.html). */
const sqliteVersionMin = [3, 51, 3] as const;

/** Foreign keys are on from `SqlDatabase`. `wal_autocheckpoint = 0` leaves checkpoints to their thread. */
const settings = sqlScript`
  PRAGMA journal_mode = WAL;
  PRAGMA wal_autocheckpoint = 0;
  PRAGMA recursive_triggers = ON;
  PRAGMA temp_store = MEMORY;
  PRAGMA cache_size = -16000;
`;
const syncNormal = sqlScript`PRAGMA synchronous = NORMAL;`;
const syncFull = sqlScript`PRAGMA synchronous = FULL;`;
const checkpointOnMain = sqlScript`PRAGMA wal_autocheckpoint = 1000;`;

/**
 * Opens, migrates, replays the spill file and recovers. Attempts that an earlier process left open become `unresolved`, with one
 * audit record `gateway.recover`.
 *
 * @throws GatewayError `gateway_store_unavailable`: another process has it, its schema is newer, the file is no store, or
 *   the disk or the spill file refuses; nothing stays open
 */
export async function openSqliteStores(options: SqliteStoreOptions): Promise<SqliteStores> {
  const { clock, sync } = options;
  const onDegraded = options.onDegraded ?? (() => undefined);
  let lock: StoreLock | undefined;
  let sql: SqlDatabase | undefined;
  let spill: OpenSpill | undefined;
  try {
    const path = preparePath(options.path);
    lock = lockStore(path);
    createPrivateFile(path);
    sql = new SqlDatabase(path, { busyTimeoutMs: 5_000 });
    requireVersion(sql);
    sql.script(settings);
    sql.script(sync === "full" ? syncFull : syncNormal);
    migrate(sql, path, clock.now());
    spill = options.spill === undefined ? undefined : await openSpill({ ...options.spill, clock });
    const recovery = recover(sql, clock, spill);
    await spill?.replayed(recovery.replayed.lostEntries > 0);
    const checkpointer = await startCheckpoints({ sql, path, options, onDegraded });
    const rollupMark = readRollupMark(sql);
    const books = sqliteBooks({ sql, clock, onDegraded, rollupMark, ...(spill?.books === undefined ? {} : { spill: spill.books }) });
    const upkeep = createUpkeep({ sql, clock, mark: rollupMark, isStoreFailing: () => books.failure() !== undefined, onDegraded });
    return compose({ sql, lock, books, upkeep, reader: createReader({ path }), checkpointer, spill, clock, recovery });
  } catch (error) {
    await spill?.close();
    sql?.close();
    lock?.release();
    throw storeError(error);
  }
}

/** Reads of what counts under budgets must not miss an attempt that has ended and waits to be written. */
function ownUsage(sql: SqlDatabase, books: SqliteBooks): UsageStore {
  const usage = sqliteUsage(sql);
  return {
    ...usage,
    spentSince(...range) {
      books.flush();
      return usage.spentSince(...range);
    },
    spentIn(...range) {
      books.flush();
      const failure = books.failure();
      // What waits for a store that fails is in no row, and in no balance either once its session was forgotten.
      return failure === undefined ? usage.spentIn(...range) : Promise.reject(failure);
    },
  };
}

interface Parts {
  readonly sql: SqlDatabase;
  readonly lock: StoreLock;
  readonly books: SqliteBooks;
  readonly upkeep: SqliteUpkeep;
  readonly reader: Reader;
  readonly checkpointer: Checkpointer | undefined;
  readonly spill: OpenSpill | undefined;
  readonly clock: Clock;
  readonly recovery: Recovery;
}

function compose({ sql, lock, books, upkeep, reader, checkpointer, spill, clock, recovery }: Parts): SqliteStores {
  return {
    sql,
    keys: sqliteKeys(sql),
    keyTerms: sqliteKeyTerms(sql),
    books,
    usage: { ...ownUsage(sql, books), groupBy: reader.groupBy, rows: reader.rows },
    reconcile: { ...sqliteReconcile(sql), billed: reader.billed, uncertainRows: reader.uncertainRows },
    warnings: sqliteWarnings(sql),
    budgets: sqliteBudgets(sql),
    audit: sqliteAudit(sql),
    upkeep,
    ...recovery,
    async probe() {
      try {
        probe(sql, clock.now());
      } catch (error) {
        throw storeError(error);
      }
      const failure = books.failure();
      if (failure !== undefined) throw failure;
    },
    async close() {
      if (!sql.isOpen) return;
      upkeep.stop();
      try {
        await books.drain();
      } finally {
        await Promise.all([checkpointer?.stop(), reader.stop(), spill?.close()]);
        sql.close();
        lock.release();
      }
    },
  };
}

/** @throws GatewayError `gateway_store_unavailable` when SQLite is too old to be trusted with a ledger */
export function requireVersion(sql: Pick<SqlDatabase, "row">): void {
  const version = text(sql.row`SELECT sqlite_version() AS version` ?? {}, "version");
  const parts = version.split(".").map(Number);
  for (const [index, least] of sqliteVersionMin.entries()) {
    const part = parts[index] ?? 0;
    if (part > least) return;
    if (part < least) {
      throw new GatewayError("gateway_store_unavailable", { internal: `SQLite ${version} can lose commits; this store needs ${sqliteVersionMin.join(".")} or newer, which Node 24 brings` });
    }
  }
}

/** What the opening found of earlier processes. */
type Recovery = Pick<Stores, "recoveredAttempts" | "replayed">;

/** One transaction, so that a crash in here is recovered and recorded by the next start; what the spill file knows comes first. */
function recover(sql: SqlDatabase, clock: Clock, spill: OpenSpill | undefined): Recovery {
  return sql.transaction(() => {
    const atMs = clock.now();
    const record = (action: "gateway.replay" | "gateway.recover", details: Readonly<Record<string, number>>): void =>
      insertAudit(sql, { id: newId("aud", atMs), atMs, action, actor: "gateway", object: "", details, sourceAddress: "" });
    const { refusedEntries, ...counts } = replaySpill(sql, spill?.content.entries ?? []);
    const replayed: SpillReplay = { ...counts, lostEntries: refusedEntries + (spill?.content.damagedLines ?? 0) };
    if (Object.values(replayed).some((count) => count > 0)) record("gateway.replay", { ...replayed });
    const recoveredAttempts = recoverAttempts(sql, atMs);
    if (recoveredAttempts > 0) record("gateway.recover", { attempts: recoveredAttempts });
    return { recoveredAttempts, replayed };
  });
}

interface CheckpointStart {
  readonly sql: SqlDatabase;
  readonly path: string;
  readonly options: SqliteStoreOptions;
  readonly onDegraded: (error: GatewayError) => void;
}

/** Without its thread the main connection checkpoints by itself: slower, but the log must not grow for ever. */
async function startCheckpoints({ sql, path, options, onDegraded }: CheckpointStart): Promise<Checkpointer | undefined> {
  const report = (reason: string): void => onDegraded(new GatewayError("gateway_store_unavailable", { internal: `checkpoint: ${reason}` }));
  const fallBack = (reason: string): void => {
    if (sql.isOpen) sql.script(checkpointOnMain);
    report(`${reason}; the main thread does the work now`);
  };
  const data = { path, periodMs: options.checkpointPeriodMs ?? 1_000, logBytesMax: options.checkpointLogBytesMax ?? 64 * 1024 * 1024 };
  try {
    return await startCheckpointer(data, { onFailure: report, onEnd: fallBack });
  } catch (error) {
    fallBack(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}
