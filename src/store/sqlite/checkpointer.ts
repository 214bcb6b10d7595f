/** Starts and stops the checkpoint thread, and says when there is none, so that the main connection can do the work itself. */
import { Worker } from "node:worker_threads";
import type { CheckpointMessage, CheckpointWorkerData } from "./checkpoint-worker.ts";

/** A running checkpoint thread. */
export interface Checkpointer {
  /** Resolves when the thread has closed its connection and ended. Idempotent. */
  stop(): Promise<void>;
}

/** How the thread tells of trouble. */
export interface CheckpointReports {
  /** A checkpoint failed; the next one is tried a period later. */
  readonly onFailure: (reason: string) => void;
  /** The thread ended by itself; nothing checkpoints any more. */
  readonly onEnd: (reason: string) => void;
}

/** @returns when the thread works; it does not keep the process alive. Rejects when it could not start */
export async function startCheckpointer(data: CheckpointWorkerData, reports: CheckpointReports): Promise<Checkpointer> {
  // The sources run as they are and also as built; the compiler rewrites import specifiers, but not this one.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./checkpoint-worker.${extension}`, import.meta.url), {
    workerData: data,
    name: "checkpoints",
    // The thread holds one connection and no data; without limits its heap would grow to its own gigabyte.
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
  });
  let isStopping = false;
  let problem = "it ended";
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  worker.on("error", (error) => void (problem = error instanceof Error ? error.message : String(error)));
  await new Promise<void>((resolve, reject) => {
    worker.on("message", (message: CheckpointMessage) => {
      if (message.kind === "ready") resolve();
      else reports.onFailure(message.reason);
    });
    void ended.then(() => reject(new Error(`the checkpoint thread did not start: ${problem}`)));
  });
  worker.unref();
  void ended.then(() => {
    if (!isStopping) reports.onEnd(problem);
  });
  return {
    stop() {
      if (!isStopping) {
        isStopping = true;
        worker.ref();
        worker.postMessage("stop");
      }
      return ended;
    },
  };
}
