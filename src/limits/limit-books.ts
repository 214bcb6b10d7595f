/**
 * Everything the limiter remembers, and which part of a call each kind of limit measures. Shared by the admission and by the lease that
 * undoes it, so that both count alike.
 */
import { clientNamedMetersMax } from "../kernel/bounds.ts";
import type { Demand, LimitKind, TokenAmounts } from "./limit.ts";
import { createRateBook, type RateBook } from "./rate-book.ts";
import { wholeCost } from "./rate-limit.ts";
import { createRoster, type Roster } from "./roster.ts";
import type { Sweepable } from "./sweep.ts";

/** An agent counts as running for this long after its last call ended, unless told otherwise. */
export const agentGraceMsDefault = 5_000;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** Agents and sessions are remembered for this long after their last call. */
const rememberMs = hourMs;
/** The session of all calls that name none. */
const namelessSession = "none";

/** What may be set from outside. */
export interface LimiterOptions {
  /** Milliseconds ≥ 0; see {@link agentGraceMsDefault}. */
  readonly agentGraceMs?: number;
  /** Sessions remembered in all, and agents remembered in all; integers > 0. Beyond it the longest unused is forgotten and counts as new. */
  readonly sessionsMax?: number;
  readonly agentsMax?: number;
  /** Meters of one kind of rate that are kept for scopes named by clients; integer > 0. */
  readonly clientNamedMax?: number;
}

/** Kinds of limits that are rates. */
export type RateKind = Exclude<LimitKind, "parallelRequests" | "openStreams" | "parallelAgents">;

/** Calls or streams open, by scope; a scope without any has no entry. */
export type Slots = Map<string, number>;

/** All that is remembered between calls. */
export interface LimitBooks {
  readonly rates: Readonly<Record<RateKind, RateBook>>;
  readonly parallelRequests: Slots;
  readonly openStreams: Slots;
  /** Sessions by the scope that limits new ones, agents by the scope that limits them. */
  readonly sessions: Roster;
  readonly agents: Roster;
  /** All parts that the sweep looks after; slots look after themselves. */
  readonly sweepable: readonly Sweepable[];
}

/** Empty books. `onCreated` is called for each entry that the sweep must look after. */
export function createLimitBooks(options: LimiterOptions, onCreated: () => void): LimitBooks {
  const clientNamedMax = options.clientNamedMax ?? clientNamedMetersMax;
  const perMinute = (): RateBook => createRateBook({ periodMs: minuteMs, clientNamedMax, onCreated });
  const rates: Record<RateKind, RateBook> = {
    requestsPerMinute: perMinute(),
    countsPerMinute: perMinute(),
    tokensPerMinute: perMinute(),
    inputTokensPerMinute: perMinute(),
    outputTokensPerMinute: perMinute(),
    newAgentsPerMinute: perMinute(),
    newSessionsPerHour: createRateBook({ periodMs: hourMs, clientNamedMax, onCreated }),
  };
  const sessions = createRoster({ rememberMs, graceMs: 0, perScopeMax: 10_000, totalMax: options.sessionsMax ?? 100_000 }, onCreated);
  const graceMs = options.agentGraceMs ?? agentGraceMsDefault;
  const agents = createRoster({ rememberMs, graceMs, perScopeMax: 256, totalMax: options.agentsMax ?? 100_000 }, onCreated);
  return { rates, parallelRequests: new Map(), openStreams: new Map(), sessions, agents, sweepable: [...Object.values(rates), sessions, agents] };
}

/** Counts one more, or with -1 one less, and forgets a scope at 0. */
export function moveSlots(slots: Slots, scope: string, change: 1 | -1): void {
  const open = (slots.get(scope) ?? 0) + change;
  if (open > 0) slots.set(scope, open);
  else slots.delete(scope);
}

/** False for kinds of limits that a call has nothing to do with, whatever its size. */
export function isMeasured(kind: LimitKind, demand: Demand): boolean {
  if (demand.isCount || kind === "countsPerMinute") return demand.isCount && kind === "countsPerMinute";
  if (kind === "openStreams") return demand.isStreaming;
  if (kind === "parallelAgents" || kind === "newAgentsPerMinute") return demand.agentId !== undefined;
  return true;
}

/** Whole tokens that a kind of limit measures; 0 for kinds that measure none. */
export function tokensOf(kind: LimitKind, tokens: TokenAmounts): number {
  if (kind === "tokensPerMinute") return wholeCost(tokens.total);
  if (kind === "inputTokensPerMinute") return wholeCost(tokens.input);
  return kind === "outputTokensPerMinute" ? wholeCost(tokens.output) : 0;
}

/** The name under which a call's session is remembered. */
export function sessionOf(demand: Demand): string {
  return demand.sessionId ?? namelessSession;
}

/** The name of a call's agent; only for kinds that {@link isMeasured} says yes to. */
export function agentOf(demand: Demand): string {
  return demand.agentId ?? "";
}
