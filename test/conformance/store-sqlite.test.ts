// Guarantee: the SQLite store keeps every promise of the ports, and what only it has: one process per file, private files,
// an append-only audit table that raw SQL cannot change either, a log that stays small, and no start on what it cannot trust.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { manualClock, systemClock } from "../../src/kernel/clock.ts";
import { initialSchema } from "../../src/store/migrations/0001-initial.ts";
import { lossColumn } from "../../src/store/migrations/0002-loss.ts";
import { holdColumns } from "../../src/store/migrations/0003-holds.ts";
import { adjustedCounts } from "../../src/store/migrations/0005-adjusted-counts.ts";
import { strictHoldColumn } from "../../src/store/migrations/0006-strict-holds.ts";
import { payerColumns } from "../../src/store/migrations/0007-who-pays.ts";
import { adjustingEntries } from "../../src/store/migrations/0011-adjusting-entries.ts";
import { usageRollups } from "../../src/store/migrations/0013-usage-rollups.ts";
import { cacheReads } from "../../src/store/migrations/0014-cache-reads.ts";
import { schemaVersion } from "../../src/store/migrations/migrate.ts";
import { SqlDatabase, sqlScript } from "../../src/store/sql.ts";
import { closeAttempt, openAttempt } from "../../src/store/sqlite/attempts.ts";
import { sqliteBooks } from "../../src/store/sqlite/books.ts";
import { openSqliteStores, requireVersion, type SqliteStoreOptions, type SqliteStores } from "../../src/store/sqlite/open.ts";
import { rollUp } from "../../src/store/sqlite/rollups.ts";
import { budgetsSuite } from "./budgets.suite.ts";
import { auditOf, closingOf, keyOf, noonMs, openingOf, secretOf, startWriter } from "./store-fixtures.ts";
import { storeSuite } from "./store.suite.ts";
import { upkeepSuite } from "./upkeep.suite.ts";

const writerScript = join(import.meta.dirname, "store-sqlite-writer.ts");
const openIn = (folder: string, options: Partial<SqliteStoreOptions> = {}): Promise<SqliteStores> => openSqliteStores({ path: join(folder, "tollgate.db"), sync: "normal", clock: systemClock, ...options });
// SQLite never lowers the limit below the pages in use, so 1 means: no page more than now.
const noPageMore = sqlScript`PRAGMA max_page_count = 1`;
const anyPage = sqlScript`PRAGMA max_page_count = 4294967294`;

const fullDisk = { fill: (stores: SqliteStores): void => stores.sql.script(noPageMore), free: (stores: SqliteStores): void => stores.sql.script(anyPage) };
storeSuite("sqlite", (folder) => openIn(folder), { writerScript, ...fullDisk });
budgetsSuite("sqlite", (folder) => openIn(folder), fullDisk);
upkeepSuite("sqlite", (folder, clock) => openIn(folder, { clock }), { writerScript: join(import.meta.dirname, "upkeep-writer.ts"), files: ["tollgate.db", "tollgate.db-wal"], ...fullDisk });

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-sqlite-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("one process per store", () => {
  it("a second opening in the same process is refused and does not break the first one's lock", async () => {
    const stores = await openIn(folder);
    for (let time = 0; time < 2; time++) {
      await expect(openIn(folder)).rejects.toMatchObject({ code: "gateway_store_unavailable", message: expect.stringContaining(`another Tollgate (pid ${process.pid}) uses ${folder}`) });
    }
    const other = startWriter(writerScript, folder);
    await expect(other.lines(1)).rejects.toThrow(`another Tollgate (pid ${process.pid})`);
    await stores.close();
  });

  it("another process's store is refused with its pid, and free as soon as that process was killed", async () => {
    const writer = startWriter(writerScript, folder);
    await writer.lines(1);
    await expect(openIn(folder)).rejects.toMatchObject({ message: expect.stringContaining(`another Tollgate (pid ${writer.child.pid}) uses ${folder}`) });
    await writer.kill();
    expect(existsSync(join(folder, "tollgate.db.lock.pid"))).toBe(true);
    const stores = await openIn(folder);
    await stores.close();
    expect(existsSync(join(folder, "tollgate.db.lock.pid"))).toBe(false);
  });
});

describe("files", () => {
  it("the folder is 0700 and every file of the store 0600", async () => {
    const inner = join(folder, "data", "deep");
    const stores = await openIn(inner);
    await stores.books.openEntry(openingOf());
    expect(statSync(inner).mode & 0o777).toBe(0o700);
    for (const name of ["tollgate.db", "tollgate.db-wal", "tollgate.db-shm", "tollgate.db.lock", "tollgate.db.lock.pid"]) {
      expect([name, statSync(join(inner, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    await stores.close();
  });

  it("a store that others could read is closed to them", async () => {
    writeFileSync(join(folder, "tollgate.db"), "");
    chmodSync(join(folder, "tollgate.db"), 0o644);
    await (await openIn(folder)).close();
    expect(statSync(join(folder, "tollgate.db")).mode & 0o777).toBe(0o600);
  });

  it("a path that cannot be a store is an error with SQLite's reason, and leaves no lock", async () => {
    writeFileSync(join(folder, "tollgate.db"), "this is not a database, it is a letter of at least a hundred bytes, so that a header could be in it");
    await expect(openIn(folder)).rejects.toMatchObject({ code: "gateway_store_unavailable", details: { internal: expect.stringContaining("not a database") } });
    rmSync(join(folder, "tollgate.db"));
    mkdirSync(join(folder, "tollgate.db"));
    await expect(openIn(folder)).rejects.toMatchObject({ code: "gateway_store_unavailable" });
    rmSync(join(folder, "tollgate.db"), { recursive: true });
    await (await openIn(folder)).close();
  });
});

describe("schema", () => {
  it("a newer schema is refused and stays as it is", async () => {
    const stores = await openIn(folder);
    void stores.sql.run`INSERT INTO schema_version (version, applied_at_ms) VALUES (${schemaVersion + 6}, 0)`;
    await stores.close();
    await expect(openIn(folder)).rejects.toMatchObject({ details: { internal: expect.stringContaining(`has schema ${schemaVersion + 6}, and this Tollgate knows schemas up to ${schemaVersion}`) } });
  });

  it("a database of another program is refused", async () => {
    const other = new SqlDatabase(join(folder, "tollgate.db"), { busyTimeoutMs: 0 });
    other.script(sqlScript`CREATE TABLE letters (id INTEGER PRIMARY KEY)`);
    other.close();
    await expect(openIn(folder)).rejects.toMatchObject({ details: { internal: expect.stringContaining("something else than Tollgate") } });
  });

  it("a SQLite older than 3.51.3 is refused", () => {
    const withVersion = (version: string): Pick<SqlDatabase, "row"> => ({ row: () => ({ version }) });
    for (const version of ["3.51.3", "3.51.10", "3.52.0", "4.0"]) expect(() => requireVersion(withVersion(version))).not.toThrow();
    for (const version of ["3.51.2", "3.46.1", "2.99.99"]) expect(() => requireVersion(withVersion(version))).toThrow("needs 3.51.3");
  });

  it("raw SQL cannot change or remove an audit line or an adjustment", async () => {
    const { sql, ...stores } = await openIn(folder);
    await stores.audit.append([auditOf()]);
    expect(() => sql.run`UPDATE audit SET actor = 'nobody'`).toThrow("append-only");
    expect(() => sql.run`DELETE FROM audit`).toThrow("append-only");
    expect(() => sql.run`INSERT OR REPLACE INTO audit SELECT * FROM audit`).toThrow("append-only");
    expect(() => sql.run`REPLACE INTO audit (id, at_ms, action, actor, object, details, source_address) SELECT id, 0, '', '', '', '', '' FROM audit`).toThrow("append-only");
    const opening = openingOf();
    await stores.books.openEntry(opening);
    await stores.books.closeEntry(closingOf(opening.attemptId));
    const write = (delta: number): number => Number(sql.run`REPLACE INTO adjusting_entries (attempt_id, sequence, id, at_ms, delta_nano_usd, price_row, reason) VALUES (${opening.attemptId}, 0, 'adj_1', 0, ${delta}, '', '')`);
    expect([write(1), write(2)]).toEqual([1, 0]);
    expect(sql.rows`SELECT delta_nano_usd FROM adjusting_entries UNION ALL SELECT delta_nano_usd FROM adjustments`).toEqual([{ delta_nano_usd: 1n }, { delta_nano_usd: 1n }]);
    expect(() => sql.run`UPDATE adjusting_entries SET delta_nano_usd = 0`).toThrow("append-only");
    expect(() => sql.run`DELETE FROM adjusting_entries`).toThrow("append-only");
    expect(() => sql.run`UPDATE adjustments SET delta_nano_usd = 0`).toThrow("append-only");
    expect(() => sql.run`REPLACE INTO adjustments (attempt_id, id, at_ms, delta_nano_usd, price_row, reason) VALUES (${opening.attemptId}, 'adj_2', 0, 2, '', '')`).toThrow("append-only");
    expect(() => sql.run`DELETE FROM adjustments`).toThrow("append-only");
    await stores.close();
  });
});

describe("a store whose attempts were adjusted once at most", () => {
  it("keeps each adjustment as the first entry of its attempt", () => {
    const sql = new SqlDatabase(":memory:", { busyTimeoutMs: 0 });
    for (const step of [initialSchema, adjustedCounts, payerColumns]) sql.script(step);
    for (const id of ["att_1", "att_2"]) {
      void sql.run`INSERT INTO attempts (attempt_id, state, request_id, ordinal, opened_at_ms, key_id, requested_model, upstream_model, provider, target_id, is_streaming, request_bytes)
        VALUES (${id}, 'closed', 'req_1', 0, 0, 'key_A', 'm', 'm', 'anthropic', 't', 0, 0)`;
      void sql.run`INSERT INTO adjustments (attempt_id, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason, delta_output_tokens) VALUES (${id}, ${`adj_${id}`}, 5, 40, ${id === "att_1" ? null : 44}, 'p', 'r', 6)`;
    }
    sql.script(adjustingEntries);
    expect(sql.rows`SELECT attempt_id, sequence, id, at_ms, delta_nano_usd, charge_delta_nano_usd, delta_output_tokens FROM adjusting_entries`).toEqual([
      { attempt_id: "att_1", sequence: 0n, id: "adj_att_1", at_ms: 5n, delta_nano_usd: 40n, charge_delta_nano_usd: null, delta_output_tokens: 6n },
      { attempt_id: "att_2", sequence: 0n, id: "adj_att_2", at_ms: 5n, delta_nano_usd: 40n, charge_delta_nano_usd: 44n, delta_output_tokens: 6n },
    ]);
    for (const id of ["att_1", "att_2"]) void sql.run`INSERT INTO adjusting_entries (attempt_id, sequence, id, at_ms, delta_nano_usd, price_row, reason) VALUES (${id}, 1, 'adj_2', 7, -1, 'q', 's')`;
    expect(sql.rows`SELECT attempt_id, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason, delta_output_tokens FROM adjustments`).toEqual([
      { attempt_id: "att_1", id: "adj_2", at_ms: 7n, delta_nano_usd: 39n, charge_delta_nano_usd: null, price_row: "q", reason: "s", delta_output_tokens: 6n },
      { attempt_id: "att_2", id: "adj_2", at_ms: 7n, delta_nano_usd: 39n, charge_delta_nano_usd: 43n, price_row: "q", reason: "s", delta_output_tokens: 6n },
    ]);
    sql.close();
  });
});

describe("a store without reads of prompt caches", () => {
  it("keeps its rows and sums, which expect none, and adds new attempts to the same sums", () => {
    const sql = new SqlDatabase(":memory:", { busyTimeoutMs: 0 });
    for (const step of [initialSchema, lossColumn, holdColumns, adjustedCounts, strictHoldColumn, payerColumns, adjustingEntries, usageRollups]) sql.script(step);
    const first = `att_${"0".repeat(26)}`;
    const second = openingOf({ attemptId: `att_${"0".repeat(25)}1`, openedAtMs: 5, userId: null, teamId: null, project: null });
    void sql.run`INSERT INTO attempts (attempt_id, state, request_id, ordinal, opened_at_ms, key_id, requested_model, upstream_model, provider, target_id, is_streaming, request_bytes, source, cost_nano_usd)
      VALUES (${first}, 'closed', 'req_1', 1, 0, 'key_A', 'm', 'claude-sonnet-4-5', 'anthropic', 't', 0, 0, 'reported', 9)`;
    void sql.run`INSERT INTO usage_sums VALUES (0, 'key_A', '', '', '', '', 'claude-sonnet-4-5', 'anthropic', '', 1, 0, 0, 0, 0, 0, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0)`;
    void sql.run`INSERT INTO usage_sums_by VALUES ('model', 0, 'claude-sonnet-4-5', 1, 0, 0, 0, 0, 0, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0)`;
    void sql.run`UPDATE rollup_state SET mark = ${first}`;
    sql.script(cacheReads);
    openAttempt(sql, second);
    closeAttempt(sql, closingOf(second.attemptId));
    rollUp(sql, { value: first }, { rowsMax: 10, untilMs: noonMs });
    expect(sql.rows`SELECT attempts, cost_nano_usd, expected_cache_read_tokens, lost_cache_read_tokens, cache_misses, moved_cache_misses, cache_miss_nano_usd FROM usage_sums`).toEqual([
      { attempts: 2n, cost_nano_usd: 1_009n, expected_cache_read_tokens: 4_000n, lost_cache_read_tokens: 3_980n, cache_misses: 1n, moved_cache_misses: 1n, cache_miss_nano_usd: 7n },
    ]);
    expect(sql.rows`SELECT attempts, cache_misses FROM usage_sums_by WHERE dimension = 'model'`).toEqual([{ attempts: 2n, cache_misses: 1n }]);
    sql.close();
  });
});

describe("the SQL door", () => {
  it("takes templates only, by type and at run time", () => {
    const sql = new SqlDatabase(":memory:", { busyTimeoutMs: 0 });
    expectTypeOf<string>().not.toExtend<Parameters<SqlDatabase["run"]>[0]>();
    expectTypeOf<string>().not.toExtend<Parameters<typeof sqlScript>[0]>();
    expectTypeOf<Parameters<typeof sqlScript>>().toEqualTypeOf<[strings: TemplateStringsArray]>();
    const forged = Object.assign(["SELECT 1"], { raw: ["SELECT 1"] });
    expect(() => sql.row(forged)).toThrow("tagged template");
    const hostile = "'; DROP TABLE attempts; --";
    expect(sql.row`SELECT ${hostile} AS value, ${2n ** 62n} AS big`).toEqual({ value: hostile, big: 2n ** 62n });
    sql.close();
  });
});

describe("checkpoints", () => {
  it("happen on their own thread and keep the log's file within four times its bound", { timeout: 30_000 }, async () => {
    const problems: unknown[] = [];
    const logBytesMax = 5 * 1024 * 1024;
    const stores = await openIn(folder, { checkpointPeriodMs: 10, checkpointLogBytesMax: logBytesMax, onDegraded: (error) => problems.push(error) });
    const bytes = (suffix = ""): number => statSync(join(folder, `tollgate.db${suffix}`)).size;
    await vi.waitUntil(async () => {
      await Promise.all(Array.from({ length: 500 }, () => stores.books.openEntry(openingOf())));
      return bytes() > 8 * logBytesMax;
    }, { timeout: 20_000, interval: 0 });
    await vi.waitUntil(async () => {
      await Promise.all(Array.from({ length: 500 }, () => stores.books.openEntry(openingOf())));
      return bytes("-wal") <= 4 * logBytesMax;
    }, { timeout: 20_000, interval: 10 });
    await stores.close();
    expect(problems).toEqual([]);
  });
});

describe("durability levels", () => {
  it.each(["normal", "full"] as const)("sync: %s sets SQLite's synchronous accordingly, in WAL without automatic checkpoints", async (sync) => {
    const stores = await openIn(folder, { sync });
    expect(stores.sql.row`PRAGMA synchronous`).toEqual({ synchronous: sync === "full" ? 2n : 1n });
    expect(stores.sql.row`PRAGMA journal_mode`).toEqual({ journal_mode: "wal" });
    expect(stores.sql.row`PRAGMA wal_autocheckpoint`).toEqual({ wal_autocheckpoint: 0n });
    expect(stores.sql.row`PRAGMA foreign_keys`).toEqual({ foreign_keys: 1n });
    const key = keyOf();
    await stores.keys.apply({ key, addSecrets: [secretOf(key)], audit: auditOf() });
    await stores.probe();
    await stores.close();
  });
});

describe("back-off of the journal", () => {
  it("refuses openings beyond its depth, and takes them again when the queue is written", async () => {
    const stores = await openIn(folder);
    const books = sqliteBooks({ sql: stores.sql, clock: systemClock, depthMax: 2 });
    const waiting = [books.openEntry(openingOf()), books.openEntry(openingOf())];
    await expect(books.openEntry(openingOf())).rejects.toMatchObject({ code: "gateway_store_unavailable", details: { internal: "2 writes wait for the store" } });
    await Promise.all(waiting);
    await books.openEntry(openingOf());
    await stores.close();
  });

  it("tries again later and later, on the clock it was given, and reports the failure once", async () => {
    const stores = await openIn(folder);
    const clock = manualClock();
    const reports: string[] = [];
    const books = sqliteBooks({ sql: stores.sql, clock, onDegraded: (error) => reports.push(error.code) });
    const opening = openingOf();
    await books.openEntry(opening);
    stores.sql.script(sqlScript`PRAGMA query_only = ON`);
    const closing = books.closeEntry(closingOf(opening.attemptId));
    await vi.waitFor(() => expect(books.failure()).toBeDefined());
    clock.advance(49);
    expect(books.failure()?.details.internal).toContain("readonly");
    stores.sql.script(sqlScript`PRAGMA query_only = OFF`);
    clock.advance(1);
    await closing;
    expect(books.failure()).toBeUndefined();
    await books.openEntry(openingOf());
    expect(reports).toEqual(["gateway_store_unavailable"]);
    expect((await stores.usage.rows({}, 10)).filter((row) => row.state === "closed")).toHaveLength(1);
    await stores.close();
  });
});
