/**
 * Exclusive use of a store. Two gateways on one ledger would each take the other's running attempts for crashed ones. The
 * lock is the operating system's, on a file beside the store, so it ends with the process however that dies.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { GatewayError } from "../../kernel/gateway-error.ts";
import { SqlDatabase } from "../sql.ts";
import { resultCodeOf } from "../store-error.ts";
import { createPrivateFile } from "./files.ts";

/** A held lock. */
export interface StoreLock {
  release(): void;
}

/** SQLITE_BUSY. */
const busyCode = 5;

/**
 * @param path the store's file; `<path>.lock` is locked and `<path>.lock.pid` names the holder for people
 * @throws GatewayError `gateway_store_unavailable`: "another Tollgate (pid N) uses <folder>"
 */
export function lockStore(path: string): StoreLock {
  const lockPath = `${path}.lock`;
  const pidPath = `${lockPath}.pid`;
  // A POSIX lock ends when any descriptor of its file closes in its process; so the file is never opened but by SQLite.
  createPrivateFile(lockPath);
  const database = new SqlDatabase(lockPath, { busyTimeoutMs: 0 });
  try {
    database.holdExclusively();
  } catch (error) {
    database.close();
    if (((resultCodeOf(error) ?? 0) & 0xff) !== busyCode) throw error;
    throw new GatewayError("gateway_store_unavailable", { internal: `another Tollgate (pid ${holderOf(pidPath)}) uses ${dirname(path)}`, cause: error });
  }
  writeFileSync(pidPath, `${process.pid}\n`, { mode: 0o600 });
  return {
    release() {
      rmSync(pidPath, { force: true });
      database.close();
    },
  };
}

function holderOf(pidPath: string): string {
  try {
    return readFileSync(pidPath, "utf8").trim() || "unknown";
  } catch {
    return "unknown";
  }
}
