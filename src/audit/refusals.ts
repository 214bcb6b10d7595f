/**
 * Refusals on their way to the audit table: counted in memory and written as one record per kind, so that a flood of bad
 * keys fills neither the store nor the memory.
 */
import { refusalKindsMax } from "../kernel/bounds.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ErrorCode } from "../kernel/error-codes.ts";
import { newId } from "../kernel/ids.ts";
import type { AuditRecord } from "./record.ts";

const flushPeriodMs = 5_000;
/** Actor of callers whose key was not found. */
const unknownActor = "unknown";
/** Actor of refusals beyond {@link refusalKindsMax} kinds in one period: what remains known of them is the code. */
const overflowActor = "several";

interface Kind {
  readonly code: ErrorCode;
  readonly actor: string;
  /** Wall time of the first one counted. */
  readonly sinceMs: number;
  count: number;
}

export interface RefusalLog {
  /** Never throws and never waits. `keyId` is undefined when no key was found. */
  count(code: ErrorCode, keyId: string | undefined): void;
  /** Writes what was counted, and nothing if nothing was. A failed write is counted again, for the next one. Never rejects. */
  flush(): Promise<void>;
  /** Writes for the last time and stops. Never rejects. */
  close(): Promise<void>;
}

/** @param options `append` is durable when it resolves */
export function createRefusalLog(options: { readonly clock: Clock; readonly append: (records: readonly AuditRecord[]) => Promise<void> }): RefusalLog {
  const { clock, append } = options;
  let kinds = new Map<string, Kind>();
  let writing: Promise<void> = Promise.resolve();

  const add = (code: ErrorCode, actor: string, times: number): void => {
    const known = kinds.get(`${code} ${actor}`);
    if (known !== undefined) known.count += times;
    // The overflow is one kind per code, so it is bounded by the catalogue.
    else if (kinds.size < refusalKindsMax || actor === overflowActor) kinds.set(`${code} ${actor}`, { code, actor, sinceMs: clock.now(), count: times });
    else add(code, overflowActor, times);
  };
  const write = async (): Promise<void> => {
    if (kinds.size === 0) return;
    const taken = kinds;
    kinds = new Map();
    try {
      await append([...taken.values()].map((kind) => recordOf(kind, clock.now())));
    } catch {
      for (const { code, actor, count } of taken.values()) add(code, actor, count);
    }
  };
  const flush = (): Promise<void> => (writing = writing.then(write));
  const timer = clock.every(flushPeriodMs, () => void flush());

  return {
    count: (code, keyId) => add(code, keyId ?? unknownActor, 1),
    flush,
    async close() {
      timer.cancel();
      await flush();
    },
  };
}

function recordOf({ code, actor, sinceMs, count }: Kind, nowMs: number): AuditRecord {
  return { id: newId("aud", nowMs), atMs: nowMs, action: "request.refused", actor, object: "", details: { code, count, sinceMs }, sourceAddress: "" };
}
