/** Hands reports to the reader thread, which is started by the first one, and turns its answers back into promises. */
import { Worker } from "node:worker_threads";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { ReadAnswer, ReadRequest, Reads, ReaderWorkerData } from "./reader-worker.ts";

/** The reads whose time grows with the ledger. Each sees everything acknowledged before it was asked. */
export interface Reader extends Reads {
  /** Answers what was asked, then ends the thread. Later reads are refused. Idempotent. */
  stop(): Promise<void>;
}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: GatewayError) => void;
}

/** A thread with the reads that it has not answered. */
interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  readonly ended: Promise<void>;
}

const unavailable = (internal: string): GatewayError => new GatewayError("gateway_store_unavailable", { internal });

/** @returns a reader whose thread does not run yet; a thread that dies fails its reads, and the next read starts another */
export function createReader(data: ReaderWorkerData): Reader {
  let thread: Thread | undefined;
  let isStopped = false;
  let lastId = 0;
  const read = <Result>(request: ReadRequest): Promise<Result> => {
    if (isStopped) return Promise.reject(unavailable("the store is closed"));
    const { worker, waiting } = (thread ??= startThread(data, () => void (thread = undefined)));
    return new Promise<Result>((resolve, reject) => {
      waiting.set(request.id, { resolve, reject });
      // An idle reader must not keep the process alive, and a caller that waits must.
      worker.ref();
      worker.postMessage(request);
    });
  };
  return {
    groupBy: (...parameters) => read({ id: ++lastId, method: "groupBy", parameters }),
    rows: (...parameters) => read({ id: ++lastId, method: "rows", parameters }),
    billed: (...parameters) => read({ id: ++lastId, method: "billed", parameters }),
    uncertainRows: (...parameters) => read({ id: ++lastId, method: "uncertainRows", parameters }),
    async stop() {
      isStopped = true;
      thread?.worker.ref();
      thread?.worker.postMessage("stop");
      await thread?.ended;
    },
  };
}

function startThread(data: ReaderWorkerData, onEnd: () => void): Thread {
  // The sources run as they are and also as built; the compiler rewrites import specifiers, but not this one.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const worker = new Worker(new URL(`./reader-worker.${extension}`, import.meta.url), { workerData: data, name: "reports", resourceLimits: { maxOldGenerationSizeMb: 512 } });
  const waiting = new Map<number, Waiting>();
  let problem = "it ended";
  worker.on("error", (error) => void (problem = error instanceof Error ? error.message : String(error)));
  worker.on("message", (answer: ReadAnswer) => {
    const caller = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) worker.unref();
    if ("result" in answer) caller?.resolve(answer.result as never);
    else caller?.reject(new GatewayError(answer.code, { internal: answer.internal }));
  });
  const ended = new Promise<void>((resolve) => {
    worker.once("exit", () => {
      onEnd();
      for (const caller of waiting.values()) caller.reject(unavailable(`the reader thread: ${problem}`));
      resolve();
    });
  });
  return { worker, waiting, ended };
}
