/** What one seed makes of the world: budgets, keys, callers, weather, operators and accidents. */
import type { KeyRecord } from "../../src/identity/key-store.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import { defaultOverrun, type Budget } from "../../src/ledger/budget.ts";
import { parseWindow, type WindowWords } from "../../src/ledger/window-words.ts";
import { createRandom, type Random } from "./random.ts";
import type { Answer, Weather } from "./upstream.ts";

export type Accident =
  /** The process dies between two events. */
  | "death"
  /** It dies with a commit under way: before it, or after it. */
  | "death before a commit"
  | "death after a commit"
  /** The store refuses for a while; with `late` what it refuses first was written all the same. */
  | "store fails"
  | "store fails late";

export interface Scenario {
  readonly seed: number;
  readonly startMs: number;
  readonly durationMs: number;
  readonly budgets: readonly Budget[];
  readonly keys: readonly KeyRecord[];
  readonly agents: readonly Agent[];
  readonly weather: Weather;
  readonly operations: readonly Operation[];
  /** The process dies at this commit of the world, counted from 0, before it or after it. */
  readonly deathAtCommit?: { readonly index: number; readonly isAfter: boolean };
  readonly accidents: readonly { readonly atMs: number; readonly kind: Accident; readonly forMs: number }[];
  /** How the provider answers. */
  readonly habits: Habits;
}

/** One who calls, waits for the answer, thinks, and calls again. */
export interface Agent {
  readonly keyAt: number;
  readonly sessionId: string;
  readonly model: string;
  readonly startsAtMs: number;
  readonly turns: number;
  readonly thinkMs: number;
  readonly bodyBytes: number;
  readonly outputTokensMax: number;
  readonly streamingShare: number;
  /** Of the calls it gives up itself. */
  readonly leavingShare: number;
}

export interface Operation {
  readonly atMs: number;
  readonly act:
    | { readonly kind: "key budget"; readonly keyAt: number; readonly maxBudgetUsd: string | null; readonly budgetDuration: string | null }
    | { readonly kind: "revoke"; readonly keyAt: number }
    /** The wall clock is set. */
    | { readonly kind: "jump"; readonly byMs: number };
}

export interface Habits {
  readonly bytesPerToken: number;
  readonly charactersPerToken: number;
  readonly outputMedian: number;
  readonly outputP99: number;
  /** Of a warm prompt, read from the cache. */
  readonly cachedShare: number;
  /** Of the output, not shown. */
  readonly hiddenTokensMax: number;
}

/** Moments worth being at: ends of months, weeks, days, both changes of the clocks in Paris and New York, a leap day, a year's end. */
const moments = [
  "2026-01-31T22:59:30Z", "2026-03-29T00:59:40Z", "2026-10-25T00:59:40Z", "2026-03-08T06:59:40Z", "2026-11-01T05:59:40Z", "2028-02-28T23:59:30Z",
  "2028-02-29T23:59:30Z", "2026-12-31T23:59:20Z", "2026-11-22T23:59:30Z", "2026-11-16T10:20:30Z", "2026-06-30T21:59:30Z",
].map((text) => Date.parse(text));

const windows: readonly WindowWords[] = [
  { window: "month" }, { window: "month", zone: "Europe/Paris" }, { window: "day", zone: "America/New_York" }, { window: "week" }, { window: "lifetime" },
  { window: "day" }, { window: "1h" }, { window: "30s" }, { window: "5m" }, { rolling: "1h" }, { rolling: "7d" },
];
const scopes: readonly Budget["scope"][] = ["global", "global", "team:payments", "user:*", "session:*", "model:claude-opus-4-8", "target:near-claude-opus-4-8", "provider:far", "team_user:*", "key_model:*" as Budget["scope"]];
/** `agents` send the same long prompts again and again, read from a cache; `long replies` outlast windows. */
type Manner = "any" | "agents" | "long replies";

/** Dollars that an agent's calls come to, roughly, at Opus's prices. */
function worthOf({ turns, bodyBytes, model }: Agent, { outputMedian }: Habits): number {
  return turns * ((bodyBytes / 4) * 2e-6 + outputMedian * 40e-6) * (model === "claude-haiku-4-5" ? 0.2 : 1);
}

const models = ["claude-opus-4-8", "claude-haiku-4-5"];

export function createScenario(seed: number): { readonly scenario: Scenario; readonly random: Random } {
  const random = createRandom(seed);
  const isCalm = random.chance(0.25);
  const rate = (most: number): number => (isCalm || random.chance(0.4) ? 0 : random.next() * most);
  const durationMs = random.pick([30_000, 60_000, 120_000, 240_000]);
  const operations = withinSlack(Array.from({ length: random.chance(0.4) ? random.pick([1, 2, 4]) : 0 }, () => createOperation(random, 4, durationMs)));
  const made = Array.from({ length: random.int(1, 4) }, (_, index) => createKey(index, random));
  // A run is known again only when a call of it comes, so with keys that change the list of attempts cannot follow it.
  const hasRuns = operations.every(({ act }) => act.kind === "jump") && random.chance(0.3);
  const keys = hasRuns ? made.map((key) => ({ ...key, runBudgetUsd: dollarsFor(random) })) : made;
  const agentCount = random.pick([1, 2, 4, 8, 16]);
  const isBurst = random.chance(0.3);
  const startMs = random.pick(moments) - random.int(0, 60_000);
  const manner = random.pick<Manner>(["any", "any", "agents", "long replies"]);
  const agents = Array.from({ length: agentCount }, (_, index) => createAgent(index, { random, keys: keys.length, isBurst, durationMs, manner }));
  const habits: Habits = {
    bytesPerToken: 3 + random.next() * 2,
    charactersPerToken: 3 + random.next() * 2,
    outputMedian: manner === "long replies" ? 4_000 : random.pick([50, 350, 1_000]),
    outputP99: manner === "long replies" ? 40_000 : random.pick([2_000, 6_000]),
    cachedShare: random.pick([1, 0.97]),
    hiddenTokensMax: random.chance(0.5) ? 0 : 200,
  };
  return {
    random,
    scenario: {
      seed,
      startMs,
      durationMs,
      budgets: createBudgets(random, agents.reduce((sum, agent) => sum + worthOf(agent, habits), 0)),
      keys,
      agents,
      weather: { unreachable: rate(0.2), broken: rate(0.2), refused: rate(0.4), slow: rate(0.05), cut: rate(0.4), page: rate(0.1), cold: rate(0.5), coldFromMs: random.chance(0.5) ? Infinity : random.next() * durationMs },
      operations: isCalm ? [] : operations.map((operation) => withKeyOf(operation, keys.length)),
      accidents: Array.from({ length: isCalm ? 0 : random.pick([0, 0, 1, 1, 2, 3]) }, () => ({
        atMs: random.next() * durationMs,
        kind: random.pick<Accident>(["death", "death before a commit", "death after a commit", "store fails", "store fails late"]),
        forMs: random.int(10, 8_000),
      })),
      habits,
    },
  };
}

/** What the provider answers to one call; the same for each attempt of it. */
export function answerFor(marker: string, { seed, habits }: Scenario): Answer {
  const random = createRandom(seed * 1_000_003 + Number(marker.slice(marker.indexOf("-") + 1)));
  return {
    visibleTokens: Math.ceil(random.lognormal(habits.outputMedian, habits.outputP99)),
    hiddenTokens: random.int(0, habits.hiddenTokensMax),
    bytesPerToken: habits.bytesPerToken,
    charactersPerToken: habits.charactersPerToken,
    tokensPerDelta: random.int(8, 120),
    msPerDelta: random.int(20, 400),
    headMs: random.int(50, 3_000),
    cachedShare: habits.cachedShare,
  };
}

function createKey(index: number, random: Random): KeyRecord {
  return {
    id: `key_${index}`,
    tokenHash: "",
    name: `sk-...${index}`,
    alias: null,
    userId: random.pick([null, "ann", "bob"]),
    teamId: random.pick([null, "payments", "payments", "search"]),
    organizationId: null,
    models: [],
    aliases: {},
    maxBudgetUsd: random.chance(0.3) ? dollarsFor(random) : null,
    budgetDuration: random.pick([null, "1d", "30d", "1h", "30s"]),
    softBudgetUsd: null,
    budgetLimits: [],
    modelBudgets: {},
    termsId: null,
    runBudgetUsd: null,
    expiresAtMs: null,
    metadata: {},
    tags: [],
    rpmLimit: null,
    tpmLimit: null,
    maxParallelRequests: null,
    isBlocked: false,
    revokedAtMs: null,
    createdAtMs: 0,
    createdBy: "simulation",
    updatedAtMs: 0,
  };
}

/** From nothing to more than a run can use; most often a few calls' worth. */
function dollarsFor(random: Random): string {
  return random.chance(0.05) ? "0" : random.lognormal(0.4, 8).toFixed(4);
}

function createBudgets(random: Random, worth: number): readonly Budget[] {
  const manner = random.pick(["incremental", "strict", "mixed"] as const);
  const count = random.int(0, 4);
  const list: Budget[] = [];
  for (let index = 0; index < count; index++) {
    const mode = manner === "mixed" ? random.pick(["incremental", "strict"] as const) : manner;
    const onExhausted = mode === "incremental" && random.chance(0.25) ? "cut" : "finish";
    const isMember = random.chance(0.15);
    const scope = isMember ? random.pick<Budget["scope"]>(["global", "team:payments"]) : random.pick(scopes);
    const parsed = parseWindow(random.pick(windows));
    if ("fault" in parsed) throw new Error(parsed.fault);
    const dollars = random.chance(0.3) ? Number(dollarsFor(random)) : worth * random.next() * (mode === "strict" ? 4 : 1.2);
    const amountNanoUsd = nanoUsd(BigInt(Math.round(dollars * 1e9)));
    list.push({
      id: `budget ${index}`,
      scope,
      per: isMember ? "member" : "pool",
      amountNanoUsd,
      window: parsed.window,
      mode,
      onExhausted,
      overrunMaxNanoUsd: mode === "incremental" && onExhausted === "finish" ? random.pick([defaultOverrun(amountNanoUsd), nanoUsd(0n), nanoUsd(50_000_000n)]) : nanoUsd(0n),
      downgradeModel: undefined,
      warnAtPercent: [],
      contact: undefined,
    });
  }
  return list;
}

interface AgentContext {
  readonly random: Random;
  readonly keys: number;
  readonly isBurst: boolean;
  readonly durationMs: number;
  readonly manner: Manner;
}

function createAgent(index: number, { random, keys, isBurst, durationMs, manner }: AgentContext): Agent {
  const isAgentic = manner === "agents";
  return {
    keyAt: random.int(0, keys - 1),
    sessionId: random.chance(0.8) ? `session-${index}` : "session-shared",
    model: random.pick(models),
    startsAtMs: isBurst ? random.next() * 5 : random.next() * durationMs * 0.6,
    turns: isAgentic ? random.int(4, 20) : random.int(1, 8),
    thinkMs: random.pick([0, 100, 5_000]),
    bodyBytes: random.pick(isAgentic ? [60_000, 120_000] : [300, 2_000, 20_000, 60_000]),
    outputTokensMax: random.pick(manner === "any" ? [64, 1_000, 4_000, 32_000] : [8_000, 64_000]),
    streamingShare: manner === "any" ? random.pick([0, 0.5, 1, 1]) : 1,
    leavingShare: random.pick([0, 0, 0.1, 0.5]),
  };
}

/** Of the keys that there are. */
function withKeyOf({ atMs, act }: Operation, keys: number): Operation {
  return { atMs, act: act.kind === "jump" ? act : { ...act, keyAt: act.keyAt % keys } };
}

const dayMs = 86_400_000;

/** What is read for a budget reaches back a day further than its window; a clock that was 40 days ahead when it was read falls no further. */
function withinSlack(operations: readonly Operation[]): readonly Operation[] {
  const isAhead = operations.some(({ act }) => act.kind === "jump" && act.byMs > dayMs);
  return operations.map(({ atMs, act }) => ({ atMs, act: isAhead && act.kind === "jump" ? { ...act, byMs: Math.max(act.byMs, -dayMs) } : act }));
}

function createOperation(random: Random, keys: number, durationMs: number): Operation {
  const atMs = random.next() * durationMs;
  const kind = random.pick(["key budget", "key budget", "revoke", "jump", "jump"] as const);
  if (kind === "revoke") return { atMs, act: { kind, keyAt: random.int(0, keys - 1) } };
  if (kind === "jump") return { atMs, act: { kind, byMs: random.pick([-3_600_000, -90_000, -1_000, 1_000, 60_000, 3_600_000, dayMs, 40 * dayMs, -40 * dayMs]) } };
  return { atMs, act: { kind, keyAt: random.int(0, keys - 1), maxBudgetUsd: random.chance(0.15) ? null : dollarsFor(random), budgetDuration: random.pick([null, "1d", "1h", "30s"]) } };
}
