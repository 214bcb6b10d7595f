/**
 * Looks into the memory of a gateway process by V8's inspector, so that a test can tell what is held from what merely waits for the
 * collector. The process is started with `--inspect=127.0.0.1:0` and says on standard error where it listens.
 */
import { readFileSync } from "node:fs";

/** Bytes of one process at one moment. */
export interface MemorySample {
  readonly heapUsed: number;
  /** Outside of V8's heap and held by objects on it: buffers above all. */
  readonly external: number;
  /** Resident, as the kernel counts it. */
  readonly rss: number;
}

/** An open look into one process. */
export interface MemoryInspector {
  /** A full collection; what is left is held. */
  collect(): Promise<void>;
  sample(): Promise<MemorySample>;
  close(): void;
}

/** The inspector's address in what a process said; undefined before it did. */
export function inspectorUrlIn(stderr: string): string | undefined {
  return /Debugger listening on (ws:\/\/\S+)/.exec(stderr)?.[1];
}

interface Answer {
  readonly id: number;
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly error?: { readonly message: string };
}

/** @throws when nobody listens there */
export async function openInspector(url: string): Promise<MemoryInspector> {
  const socket = new WebSocket(url);
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve(), { once: true });
    socket.addEventListener("error", () => reject(new Error(`no inspector at ${url}`)), { once: true });
  });
  const waiting = new Map<number, { readonly resolve: (value: unknown) => void; readonly reject: (fault: Error) => void }>();
  let serial = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as Answer;
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(result?.result?.value);
    else asked?.reject(new Error(error.message));
  });
  socket.addEventListener("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("the inspected process has ended"));
    waiting.clear();
  });
  const ask = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve, reject) => {
      serial += 1;
      waiting.set(serial, { resolve, reject });
      socket.send(JSON.stringify({ id: serial, method, params }));
    });
  return {
    collect: async () => void (await ask("HeapProfiler.collectGarbage")),
    sample: async () => (await ask("Runtime.evaluate", { expression: "process.memoryUsage()", returnByValue: true })) as MemorySample,
    close: () => socket.close(),
  };
}

/** Resident memory of a process as the kernel counts it, in bytes; undefined where there is no `/proc`. */
export function residentBytes(pid: number): number | undefined {
  try {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return found === undefined ? undefined : Number(found) * 1_024;
  } catch {
    return undefined;
  }
}
