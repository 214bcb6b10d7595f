/**
 * The input of a session's last call, as its provider reported it. An agent sends the whole conversation again with every turn, and nearly
 * all of it is read from the prompt cache at a fraction of the price; to hold the full price each time would starve it.
 */
import type { TokenCounts, UsagePart } from "../kernel/usage.ts";
import { RecentMap } from "./recent-map.ts";

const sessionsMax = 50_000;
/** Ids come from clients; longer ones are not kept. */
const idLengthMax = 256;
/** Lifetimes of prompt caches, from when they were used last. */
export const fiveMinutesMs = 300_000;
export const hourMs = 3_600_000;

/** What a reply has reported of its input. */
export interface SessionReport {
  /** As the provider bills them; of several parts the session's last own one counts, since each reads the conversation anew. */
  readonly parts: readonly UsagePart[];
  readonly requestBytes: number;
  /** The request asks for the one-hour lifetime somewhere. */
  readonly hasOneHourCache: boolean;
  /** When the report came. */
  readonly atMs: number;
}

/** The last call of a session. Tokens. */
export interface SessionInput {
  readonly atMs: number;
  readonly requestBytes: number;
  readonly cacheRead: number;
  /** Written with either lifetime. */
  readonly cacheWrite: number;
  /** Neither read from a cache nor written to one. */
  readonly input: number;
  /** For how long after `atMs` its prompt cache can be counted on. */
  readonly cacheMs: number;
}

/** What the next call of a session is expected to send while its cache is warm. Tokens. */
export interface WarmInput {
  readonly cacheRead: number;
  /** New, and written to the cache. */
  readonly cacheWrite: number;
  /** New, of a session that uses no cache. */
  readonly input: number;
}

/** The next call, before it is sent. */
export interface NextCall {
  readonly requestBytes: number;
  readonly bytesPerToken: number;
  readonly nowMs: number;
}

export interface SessionMemory {
  /**
   * @param sessionId names one conversation: where a session runs several agents side by side, the agent belongs into it, or their
   *   prompts are taken for one another's
   */
  note(sessionId: string, model: string, report: SessionReport): void;
  /** Undefined where nothing is known, the cache has run out, or the body has shrunk so much that it is another conversation. */
  next(sessionId: string, model: string, call: NextCall): WarmInput | undefined;
  last(sessionId: string, model: string): SessionInput | undefined;
  /** Sessions in memory, for tests and metrics. */
  readonly sessions: number;
}

/** @param entriesMax ≥ 1 */
export function createSessionMemory(entriesMax = sessionsMax): SessionMemory {
  const sessions = new RecentMap<SessionInput>(entriesMax);
  const last = (sessionId: string, model: string): SessionInput | undefined => (sessionId.length > idLengthMax ? undefined : sessions.get(`${sessionId}\n${model}`));
  return {
    note(sessionId, model, { parts, requestBytes, hasOneHourCache, atMs }) {
      const counts = lastOwnCounts(parts);
      if (counts === undefined || sessionId.length > idLengthMax) return;
      const { input, cacheRead, cacheWrite5m, cacheWrite1h } = counts;
      // A prompt with both lifetimes goes cold in its five-minute part, and the report does not tell how much of what was read that is.
      const cacheMs = hasOneHourCache && cacheWrite5m === 0 ? hourMs : fiveMinutesMs;
      sessions.set(`${sessionId}\n${model}`, { atMs, requestBytes, cacheRead, cacheWrite: cacheWrite5m + cacheWrite1h, input, cacheMs });
    },
    next(sessionId, model, call) {
      const known = last(sessionId, model);
      return known === undefined ? undefined : following(known, call);
    },
    last,
    get sessions() {
      return sessions.size;
    },
  };
}

function following(known: SessionInput, { requestBytes, bytesPerToken, nowMs }: NextCall): WarmInput | undefined {
  const age = nowMs - known.atMs;
  if (age < 0 || age >= known.cacheMs || requestBytes < known.requestBytes - known.requestBytes / 10) return undefined;
  const cached = known.cacheRead + known.cacheWrite;
  const added = Math.ceil(Math.max(0, requestBytes - known.requestBytes) / bytesPerToken);
  // What stood behind the last cached block is written now, if this session caches at all.
  const fresh = known.input + added;
  return cached === 0 ? { cacheRead: 0, cacheWrite: 0, input: fresh } : { cacheRead: cached, cacheWrite: fresh, input: 0 };
}

/** Of several parts the session's last own one counts, since each reads the conversation anew. */
export function lastOwnCounts(parts: readonly UsagePart[]): TokenCounts | undefined {
  if (parts.length === 1) return parts[0]!.counts;
  return (parts.findLast(({ model }) => model === undefined) ?? parts.at(-1))?.counts;
}
