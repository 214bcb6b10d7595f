/**
 * What a session's next call should read from its prompt cache, and what of it was lost. A cache that is not read costs many times as much, and
 * nothing but the bill tells of it.
 */
import type { TokenCounts, Usage, UsagePart } from "../kernel/usage.ts";
import { RecentMap } from "./recent-map.ts";
import { fiveMinutesMs, hourMs, lastOwnCounts } from "./session-memory.ts";

const threadsMax = 50_000;
/** Ids come from clients; longer names are not kept. */
const nameLengthMax = 1_024;
/** Fewer expected tokens than this are never missed: it is the shortest prompt that any Claude caches. */
const expectedTokensMin = 1_024;

/** A call as the memory knows it. */
export interface CachedCall {
  /** Calls of one thread are the turns of one conversation, with the same tools, system prompt and model. */
  readonly thread: string;
  readonly targetId: string;
  readonly messagesBytes: number;
  /** When it was opened: a cache lives from when it was read or written last, which is no earlier. */
  readonly atMs: number;
}

/** What the thread's last call has read or written. */
export interface ExpectedReads {
  /** Above 0. */
  readonly tokens: number;
  /** It was at another target. */
  readonly isMoved: boolean;
}

/** Expected reads that did not come. */
export interface LostReads {
  /** `moved`: the call went to another target than the one before it. `vanished`: nothing that the gateway knows of explains it. */
  readonly reason: "vanished" | "moved";
  /** Of what was expected, what was paid in full instead; above 0. */
  readonly tokens: number;
  readonly readTokens: number;
  /** The same usage with those tokens read. */
  readonly usageAsExpected: Usage;
}

export interface CacheReads {
  /** Undefined where nothing is cached, it has run out, or the messages have become shorter, as after a compaction. */
  expected(call: CachedCall): ExpectedReads | undefined;
  /** @param parts as reported */
  note(call: CachedCall, parts: readonly UsagePart[]): void;
  /** True once in an hour for each name, so that one session does not fill the log. */
  isToTell(name: string, nowMs: number): boolean;
}

interface Thread {
  readonly targetId: string;
  readonly messagesBytes: number;
  readonly atMs: number;
  readonly tokens: number;
  readonly lifetimeMs: number;
}

/** @param entriesMax ≥ 1 */
export function createCacheReads(entriesMax = threadsMax): CacheReads {
  const threads = new RecentMap<Thread>(entriesMax);
  const told = new RecentMap<number>(entriesMax);
  return {
    expected({ thread, targetId, messagesBytes, atMs }) {
      const known = threads.get(thread);
      if (known === undefined || !isAlive(known, atMs) || messagesBytes < known.messagesBytes) return undefined;
      return { tokens: known.tokens, isMoved: known.targetId !== targetId };
    },
    note({ thread, targetId, messagesBytes, atMs }, parts) {
      const counts = lastOwnCounts(parts);
      if (counts === undefined || thread.length > nameLengthMax) return;
      const tokens = counts.cacheRead + counts.cacheWrite5m + counts.cacheWrite1h;
      const known = threads.get(thread);
      // A call that cached nothing takes nothing away from what is there; of two at once the later one counts.
      if (tokens === 0 || (known !== undefined && known.atMs > atMs)) return;
      threads.set(thread, { targetId, messagesBytes, atMs, tokens, lifetimeMs: lifetimeOf(counts, known !== undefined && isAlive(known, atMs) ? known.lifetimeMs : fiveMinutesMs) });
    },
    isToTell(name, nowMs) {
      const lastMs = told.get(name);
      if (name.length > nameLengthMax || (lastMs !== undefined && nowMs - lastMs < hourMs)) return false;
      told.set(name, nowMs);
      return true;
    },
  };
}

/**
 * What a reply has lost of expected reads: it read less than half of them, of at least 1,024, and paid for other input instead. Undefined
 * where nothing is amiss, or the usage is not the provider's own word.
 */
export function lostReads({ tokens, isMoved }: ExpectedReads, usage: Usage): LostReads | undefined {
  if (tokens < expectedTokensMin || usage.source !== "reported") return undefined;
  // Of several parts the first own one finds the cache as the session left it; the others read what it has written.
  const index = Math.max(0, usage.parts.findIndex(({ model }) => model === undefined));
  const part = usage.parts[index];
  if (part === undefined || part.counts.cacheRead * 2 >= tokens) return undefined;
  const counts = withReads(part.counts, tokens);
  const lost = counts.cacheRead - part.counts.cacheRead;
  if (lost === 0) return undefined;
  return {
    reason: isMoved ? "moved" : "vanished",
    tokens: lost,
    readTokens: part.counts.cacheRead,
    usageAsExpected: { ...usage, parts: usage.parts.with(index, { ...part, counts }) },
  };
}

/** As many tokens read, as far as there are others: a prompt begins with what is cached longest, and ends with what is not cached. */
function withReads(counts: TokenCounts, tokens: number): TokenCounts {
  let missing = tokens - counts.cacheRead;
  const take = (count: number): number => {
    const taken = Math.min(count, missing);
    missing -= taken;
    return count - taken;
  };
  const cacheWrite1h = take(counts.cacheWrite1h);
  const cacheWrite5m = take(counts.cacheWrite5m);
  const input = take(counts.input);
  return { ...counts, input, cacheRead: tokens - missing, cacheWrite5m, cacheWrite1h };
}

function isAlive({ atMs, lifetimeMs }: Thread, nowMs: number): boolean {
  return nowMs >= atMs && nowMs - atMs < lifetimeMs;
}

/** A prompt with both lifetimes goes cold in its five-minute part; one that was only read lives on as it was written. */
function lifetimeOf({ cacheWrite5m, cacheWrite1h }: TokenCounts, before: number): number {
  if (cacheWrite5m > 0) return fiveMinutesMs;
  return cacheWrite1h > 0 ? hourMs : before;
}
