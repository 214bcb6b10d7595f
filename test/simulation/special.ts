/** Worlds made for one question each: a burst upon a small budget, and twenty agents that share a large one. */
import { nanoUsd } from "../../src/kernel/money.ts";
import { defaultOverrun, type Budget } from "../../src/ledger/budget.ts";
import { parseWindow } from "../../src/ledger/window-words.ts";
import { createRandom, type Random } from "./random.ts";
import { createScenario, type Agent, type Scenario } from "./scenario.ts";

/** A world's seed, made over. */
export interface Special {
  readonly scenario: Scenario;
  readonly random: Random;
}

const calm = { unreachable: 0, broken: 0, refused: 0, slow: 0, cut: 0, page: 0, cold: 0, coldFromMs: Infinity };

function globalBudget(mode: Budget["mode"], amountNanoUsd: bigint): Budget {
  const parsed = parseWindow("month");
  if ("fault" in parsed) throw new Error(parsed.fault);
  const amount = nanoUsd(amountNanoUsd);
  return {
    id: "cap", scope: "global", per: "pool", amountNanoUsd: amount, window: parsed.window, mode, onExhausted: "finish",
    overrunMaxNanoUsd: mode === "strict" ? nanoUsd(0n) : defaultOverrun(amount), downgradeModel: undefined, warnAtPercent: [], contact: undefined,
  };
}

function madeOver(seed: number, changes: Partial<Scenario>): Special {
  const { scenario } = createScenario(seed);
  const keys = scenario.keys.slice(0, 1).map((key) => ({ ...key, maxBudgetUsd: null, budgetDuration: null, runBudgetUsd: null }));
  return { random: createRandom(seed), scenario: { ...scenario, startMs: Date.UTC(2026, 10, 16, 10), keys, operations: [], accidents: [], weather: calm, ...changes } };
}

/**
 * @param calls at once, each once: under `strict` of at most 1,000 tokens of output, which half of them use up; under `incremental` of
 *   lengths that nobody can foresee, up to 32,000
 */
export function burst(seed: number, calls: number, { mode, amountNanoUsd }: { readonly mode: Budget["mode"]; readonly amountNanoUsd: bigint }): Special {
  const random = createRandom(seed);
  const isStrict = mode === "strict";
  const agent: Agent = { keyAt: 0, sessionId: "", model: "claude-opus-4-8", startsAtMs: 0, turns: 1, thinkMs: 0, bodyBytes: 2_000, outputTokensMax: isStrict ? 1_000 : 32_000, streamingShare: isStrict ? seed % 2 : 1, leavingShare: 0 };
  const agents = Array.from({ length: calls }, (_, index) => ({ ...agent, sessionId: `burst-${index}`, startsAtMs: random.next() * 5 }));
  return madeOver(seed, {
    durationMs: 30_000,
    budgets: [globalBudget(mode, amountNanoUsd)],
    agents,
    habits: { bytesPerToken: 3.5, charactersPerToken: 3.5, outputMedian: isStrict ? 1_000 : 3_000, outputP99: isStrict ? 4_000 : 40_000, hiddenTokensMax: 0, cachedShare: 1 },
  });
}

/**
 * Callers who know how estimates are made: a token for each one or two bytes of their prompts, and replies that think at length where
 * nobody sees it.
 */
export function adverse(seed: number): Special {
  const { scenario, random } = createScenario(seed);
  const habits = { ...scenario.habits, bytesPerToken: 1 + random.next(), hiddenTokensMax: 20_000 };
  return { random, scenario: { ...scenario, habits, accidents: [], operations: [] } };
}

/** Turns of 60,000 tokens of input, 97 % of it read from the cache; output with a median of 350 and 6,000 at the 99th percentile. */
export function agentsAtWork(seed: number, agentCount: number, amountNanoUsd: bigint): Special {
  const random = createRandom(seed);
  const agents = Array.from({ length: agentCount }, (_, index): Agent => ({
    keyAt: 0, sessionId: `agent-${index}`, model: "claude-opus-4-8", startsAtMs: random.next() * 20_000, turns: 10_000, thinkMs: 4_000, bodyBytes: 240_000,
    outputTokensMax: 32_000, streamingShare: 1, leavingShare: 0,
  }));
  return madeOver(seed, {
    durationMs: 900_000,
    budgets: [globalBudget("incremental", amountNanoUsd)],
    agents,
    habits: { bytesPerToken: 4, charactersPerToken: 4, outputMedian: 350, outputP99: 6_000, hiddenTokensMax: 0, cachedShare: 0.97 },
  });
}
