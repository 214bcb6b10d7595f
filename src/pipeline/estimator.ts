/** Costs before they are reported: the prices of the request's snapshot over what calls of this kind have turned out to use. */
import type { ObservedUsage } from "../dialects/dialect.ts";
import type { Clock } from "../kernel/clock.ts";
import { totalCounts, zeroCounts, type TokenCounts, type Usage } from "../kernel/usage.ts";
import type { Demand } from "../ledger/ledger.ts";
import { createHabits, type Habits } from "../metering/habits.ts";
import type { AttemptOpening } from "./books.ts";
import { priced, usageOf } from "./close.ts";
import type { Estimates } from "./estimates.ts";
import type { Attempt, Planned, PlannedTarget } from "./exchange.ts";

const fiveMinutesMs = 300_000;
const hourMs = 3_600_000;
const hourWord = Buffer.from('"1h"');
/** Prompts of tools that the provider adds and the request does not show. */
const hiddenInputTokens = 2_000;
/** A model's own bound where a request names none; no Claude writes more in one reply. */
const outputTokensCap = 128_000;
/** Output that may be on its way when a reply is cut. */
const marginTokens = 256;
const serverTool = /"(?:web_search|web_fetch|code_execution|tool_search_tool|advisor|mcp_toolset)/;

export function createEstimates(clock: Clock): Estimates {
  const habits = createHabits();
  return {
    demands: (planned, target, opening) => demandsOf(planned, target, opening, habits),
    running(planned, attempt) {
      const { opening } = attempt;
      const habit = habits.output(opening.keyId, opening.model);
      const expectedTokens = Math.min(habit.mean, planned.facts.outputTokensMax ?? outputTokensCap) + marginTokens;
      const perToken = costOf(planned, attempt.planned, { output: 1_000 }) / 1_000n + 1n;
      return {
        expected: (observed) => runningCost(planned, attempt, observed, (output) => Math.max(0, expectedTokens - output), perToken),
        soFar: (observed) => runningCost(planned, attempt, observed, () => marginTokens, perToken),
      };
    },
    learn(_exchange, { opening, observer }) {
      const observed = observer.observed();
      if (observed.stage !== "final" || !observed.isPlausible) return;
      const counts = totalCounts(usageOf(observed, opening.requestBytes));
      habits.note({
        keyId: opening.keyId,
        sessionId: opening.sessionId,
        model: opening.model,
        requestBytes: opening.requestBytes,
        inputTokens: counts.input + counts.cacheRead + counts.cacheWrite5m + counts.cacheWrite1h,
        outputTokens: counts.output,
        cacheMs: counts.cacheWrite1h > 0 ? hourMs : fiveMinutesMs,
        endedAtMs: clock.now(),
      });
    },
  };
}

function demandsOf(planned: Planned, target: PlannedTarget, opening: AttemptOpening, habits: Habits): readonly Demand[] | undefined {
  const { facts, payload } = planned;
  if (priced(planned.exchange, target, usageWith({ input: 1, output: 1 })).isUnpriced) return undefined;
  const cost = (counts: Partial<TokenCounts>): bigint => costOf(planned, target, counts);
  const write = payload.bytes.includes(hourWord) ? "cacheWrite1h" : "cacheWrite5m";
  const bytesPerToken = habits.bytesPerToken(opening.model);
  const coldTokens = Math.ceil(opening.requestBytes / bytesPerToken) + hiddenInputTokens;
  const cold = larger(cost({ [write]: coldTokens }), cost({ input: coldTokens }));
  const outputMax = Math.min(facts.outputTokensMax ?? outputTokensCap, outputTokensCap);
  const habit = habits.output(opening.keyId, opening.model);
  const whole = cost({ output: outputMax });
  const bound = boundOf(planned, cost);
  const session = habits.session(opening.sessionId, opening.model, opening.openedAtMs);
  const added = session === undefined ? 0 : Math.ceil(Math.max(0, opening.requestBytes - session.requestBytes) / bytesPerToken);
  const warm = session === undefined ? cold : cost({ cacheRead: session.tokens, [write]: added });

  const demands: Demand[] = [];
  for (const input of warm < cold ? [warm, cold] : [cold]) {
    for (const tokens of [habit.p99, habit.mean]) {
      const output = cost({ output: Math.min(tokens, outputMax) });
      // A reply that comes in one piece cannot be cut: what it may cost beyond the expected has to fit somewhere.
      demands.push({ expected: input + output, risk: cold - smaller(input, cold) + (facts.isStreaming ? 0n : whole - output), bound });
    }
  }
  if (!facts.isStreaming) demands.push({ expected: cold + whole, risk: 0n, bound });
  return demands;
}

/**
 * The most a call can cost: no tokenizer makes more than one token of a byte, and output ends at `max_tokens`. Undefined where no
 * `max_tokens` is given, and where the provider runs tools of its own, whose uses and reading nobody bounds here.
 */
function boundOf({ facts, payload }: Planned, cost: (counts: Partial<TokenCounts>) => bigint): bigint | undefined {
  const tools = facts.members.get("tools");
  const runsServerTools = tools !== undefined && serverTool.test(payload.bytes.toString("latin1", tools.valueStart, tools.valueEnd));
  if (facts.outputTokensMax === undefined || runsServerTools || facts.members.get("mcp_servers") !== undefined) return undefined;
  const input = payload.bytes.length + hiddenInputTokens;
  return larger(larger(cost({ cacheWrite1h: input }), cost({ cacheWrite5m: input })), cost({ input })) + cost({ output: facts.outputTokensMax });
}

function runningCost({ exchange }: Planned, { planned, opening }: Attempt, observed: ObservedUsage, more: (output: number) => number, perToken: bigint): bigint {
  const usage = usageOf(observed, opening.requestBytes);
  return priced(exchange, planned, usage).costNanoUsd + BigInt(more(totalCounts(usage).output)) * perToken;
}

function costOf({ exchange }: Planned, target: PlannedTarget, counts: Partial<TokenCounts>): bigint {
  return priced(exchange, target, usageWith(counts)).costNanoUsd;
}

function usageWith(counts: Partial<TokenCounts>): Usage {
  return { parts: [{ counts: { ...zeroCounts, ...counts }, model: undefined }], serverToolUses: {}, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, source: "estimated" };
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);
