/** Reads reports on a thread of its own, over a connection that cannot write: a report over months takes longer than a stream may wait. */
import { parentPort, workerData } from "node:worker_threads";
import type { ErrorCode } from "../../kernel/error-codes.ts";
import type { UsageStore } from "../../ledger/usage-store.ts";
import { SqlDatabase } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { sqliteUsage } from "./usage.ts";

/** What the thread is started with. */
export interface ReaderWorkerData {
  readonly path: string;
}

/** One read: a method of the usage port with its arguments. `"stop"` ends the thread when all reads before it are answered. */
export type ReadRequest =
  | { readonly id: number; readonly method: "groupBy"; readonly parameters: Parameters<UsageStore["groupBy"]> }
  | { readonly id: number; readonly method: "rows"; readonly parameters: Parameters<UsageStore["rows"]> };

/** The answer to the read of the same id. */
export type ReadAnswer = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly code: ErrorCode; readonly internal: string };

async function answer(usage: UsageStore, request: ReadRequest): Promise<ReadAnswer> {
  try {
    const result = await (request.method === "groupBy" ? usage.groupBy(...request.parameters) : usage.rows(...request.parameters));
    return { id: request.id, result };
  } catch (error) {
    const { code, details } = storeError(error);
    return { id: request.id, code, internal: details.internal ?? code };
  }
}

function run(port: NonNullable<typeof parentPort>, { path }: ReaderWorkerData): void {
  const database = new SqlDatabase(path, { busyTimeoutMs: 1_000, isReadOnly: true });
  const usage = sqliteUsage(database);
  let last = Promise.resolve();
  port.on("message", (request: ReadRequest | "stop") => {
    last = last.then(async () => {
      if (request !== "stop") return port.postMessage(await answer(usage, request));
      database.close();
      port.close();
    });
  });
}

if (parentPort !== null) run(parentPort, workerData as ReaderWorkerData);
