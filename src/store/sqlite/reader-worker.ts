/** Reads reports on a thread of its own, over a connection that cannot write: a report over months takes longer than a stream may wait. */
import { parentPort, workerData } from "node:worker_threads";
import type { ErrorCode } from "../../kernel/error-codes.ts";
import type { ReconcileStore } from "../../ledger/reconcile-store.ts";
import type { UsageStore } from "../../ledger/usage-store.ts";
import { SqlDatabase } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { sqliteReconcile } from "./reconcile.ts";
import { sqliteUsage } from "./usage.ts";

/** What the thread is started with. */
export interface ReaderWorkerData {
  readonly path: string;
}

/** The reads whose time grows with the ledger. */
export type Reads = Pick<UsageStore, "groupBy" | "rows"> & Pick<ReconcileStore, "billed" | "uncertainRows">;

/** One read: its method with its arguments. `"stop"` ends the thread when all reads before it are answered. */
export type ReadRequest = { readonly [Method in keyof Reads]: { readonly id: number; readonly method: Method; readonly parameters: Parameters<Reads[Method]> } }[keyof Reads];

/** The answer to the read of the same id. */
export type ReadAnswer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly code: ErrorCode; readonly internal: string };

function read(reads: Reads, request: ReadRequest): Promise<unknown> {
  switch (request.method) {
    case "groupBy":
      return reads.groupBy(...request.parameters);
    case "rows":
      return reads.rows(...request.parameters);
    case "billed":
      return reads.billed(...request.parameters);
    case "uncertainRows":
      return reads.uncertainRows(...request.parameters);
  }
}

async function answer(reads: Reads, request: ReadRequest): Promise<ReadAnswer> {
  try {
    return { id: request.id, result: await read(reads, request) };
  } catch (error) {
    const { code, details } = storeError(error);
    return { id: request.id, code, internal: details.internal ?? code };
  }
}

function run(port: NonNullable<typeof parentPort>, { path }: ReaderWorkerData): void {
  const database = new SqlDatabase(path, { busyTimeoutMs: 1_000, isReadOnly: true });
  const reads: Reads = { ...sqliteUsage(database), ...sqliteReconcile(database) };
  let last = Promise.resolve();
  port.on("message", (request: ReadRequest | "stop") => {
    last = last.then(async () => {
      if (request !== "stop") return port.postMessage(await answer(reads, request));
      database.close();
      port.close();
    });
  });
}

if (parentPort !== null) run(parentPort, workerData as ReaderWorkerData);
