/** Usage and costs before they are reported: the prices of the request's snapshot over what calls of this kind have turned out to use. */
import type { CostFacts } from "../dialects/dialect.ts";
import type { Clock } from "../kernel/clock.ts";
import { totalCounts, zeroCounts, type TokenCounts, type Usage } from "../kernel/usage.ts";
import type { BoundGap, Demand } from "../ledger/ledger.ts";
import { createCacheReads } from "../metering/cache-reads.ts";
import { boundOf, demandOf, type CallDemand, type DemandInput } from "../metering/demand.ts";
import { createLearnedOutput } from "../metering/learned-output.ts";
import { amountOf, priceSheet, type RequestedVariant } from "../metering/price-sheet.ts";
import { priceUsage } from "../metering/pricing.ts";
import { endedUsage, runningUsage, type RunningInput } from "../metering/running-cost.ts";
import { createSessionMemory } from "../metering/session-memory.ts";
import type { AttemptOpening } from "./books.ts";
import { conversationOf, type Estimates } from "./estimates.ts";
import type { Attempt, Planned, PlannedTarget } from "./exchange.ts";
import { pricingContext } from "./pricing-context.ts";

/** Until the reply tells otherwise. */
const ordinary: RequestedVariant = { speed: undefined, inferenceGeo: undefined, serviceTier: undefined };

export function createEstimates(clock: Clock): Estimates {
  const learned = createLearnedOutput();
  const sessions = createSessionMemory();
  const cacheReads = createCacheReads();

  const demandInput = (planned: Planned, target: PlannedTarget, opening: AttemptOpening): DemandInput => {
    const { facts, payload } = planned;
    const cost = facts.costFacts(payload.bytes);
    return {
      pricing: pricingContext(planned.exchange.snapshot, target),
      variant: variantOf(cost),
      keyId: opening.keyId,
      model: opening.model,
      sessionId: conversationOf(opening),
      nowMs: opening.openedAtMs,
      requestBytes: opening.requestBytes,
      textBytes: cost.textBytes,
      imageTokens: cost.imageTokens,
      outputTokensMax: facts.outputTokensMax,
      hasOneHourCache: cost.hasOneHourCache,
      unseenInputTokensMax: () => cost.unseenInputTokensMax(),
      hasFurtherRuns: cost.hasFurtherRuns,
      serverTools: cost.serverTools,
      learned,
      sessions,
    };
  };

  /** Of an attempt for which nothing was worked out: by its length alone. */
  const plainInput = ({ requestBytes, model }: AttemptOpening): TokenCounts => ({ ...zeroCounts, input: Math.ceil(requestBytes / learned.bytesPerToken(model)) });

  const runningInput = ({ opening, observer, estimate, outputTokensMax }: Attempt): RunningInput => ({
    variant: estimate?.variant ?? ordinary,
    model: opening.model,
    outputTokensMax,
    learned,
    reply: observer.observed(),
    input: estimate?.input ?? plainInput(opening),
  });

  return {
    cacheReads,
    forCall(planned, target, opening) {
      const input = demandInput(planned, target, opening);
      const demand = demandOf(input);
      return demand.isUnpriced ? undefined : { demands: demandsOf(demand, input, planned.facts.isStreaming), input: demand.input, variant: input.variant };
    },
    running({ snapshot }, attempt) {
      const { keyId, model } = attempt.opening;
      const context = pricingContext(snapshot, attempt.planned);
      const input = runningInput(attempt);
      const sheet = priceSheet(context, input.variant);
      const perThousand = amountOf(sheet.asked.short.output * 1_000n, sheet);
      const price = (usage: Usage): bigint => priceUsage({ ...context, usage }).costNanoUsd;
      return {
        expected: (reply) => price(runningUsage({ ...input, reply }, learned.mean(keyId, model))),
        soFar: (reply, charactersMore) => price(runningUsage({ ...input, reply: { ...reply, outputCharacters: reply.outputCharacters + charactersMore } })),
        charactersFor: (nanoUsd) => (perThousand === 0n ? Number.POSITIVE_INFINITY : (Number((nanoUsd * 1_000n) / perThousand)) * learned.charactersPerToken(model)),
      };
    },
    usage: (attempt) => endedUsage(runningInput(attempt)),
    learn({ opening, observer, estimate, prompt }) {
      const reply = observer.observed();
      if (reply.stage !== "final" || !reply.isPlausible) return;
      if (prompt !== undefined) cacheReads.note(prompt.call, reply.parts);
      const { keyId, model, requestBytes } = opening;
      const { input, cacheRead, cacheWrite5m, cacheWrite1h, output } = totalCounts({ ...reply, source: "reported" });
      learned.note(keyId, model, output);
      learned.noteInput(model, requestBytes, input + cacheRead + cacheWrite5m + cacheWrite1h);
      if (reply.outputCharacters > 0) learned.noteText(model, output, reply.outputCharacters);
      const conversation = conversationOf(opening);
      if (conversation === undefined) return;
      sessions.note(conversation, model, { parts: reply.parts, requestBytes, hasOneHourCache: cacheWrite1h > 0 || (estimate?.input.cacheWrite1h ?? 0) > 0, atMs: clock.now() });
    },
    tokens(call, outputTokensMax) {
      const { keyId, model, requestBytes, openedAtMs } = call;
      const bytesPerToken = learned.bytesPerToken(model);
      const conversation = conversationOf(call);
      const warm = conversation === undefined ? undefined : sessions.next(conversation, model, { requestBytes, bytesPerToken, nowMs: openedAtMs });
      const mean = learned.mean(keyId, model);
      return {
        input: warm === undefined ? Math.ceil(requestBytes / bytesPerToken) : warm.cacheWrite + warm.input,
        cacheRead: warm?.cacheRead ?? 0,
        output: Math.min(mean, outputTokensMax ?? mean),
      };
    },
  };
}

function variantOf({ speed, inferenceGeo, serviceTier }: CostFacts): RequestedVariant {
  return { speed, inferenceGeo, serviceTier };
}

/**
 * While there is plenty: the session's own warm price first, with what more it would cost if its cache is cold as the risk, then the
 * cold one, each with the output that nearly all replies stay within, then with an ordinary one's. As money grows scarce: what leaves
 * nothing at risk, for a sum of risks shuts out callers who would have room; and at the very end the least.
 */
function demandsOf({ cold, warm, outputP99, outputMean, outputWhole, serverTools }: CallDemand, input: DemandInput, isStreaming: boolean): readonly Demand[] {
  const bound = once(() => boundOf(input));
  const prompts = warm !== undefined && warm < cold ? [warm, cold] : [cold];
  // A reply that comes in one piece cannot be cut: what it may cost beyond the expected has to fit somewhere.
  const outputMost = isStreaming ? outputMean : outputWhole;
  const demand = (prompt: bigint, output: bigint, isAmple: boolean): Demand => ({
    expected: prompt + output + serverTools,
    risk: cold - prompt + (isStreaming ? 0n : outputWhole - output),
    isAmple,
    bound,
  });
  const ample = prompts.flatMap((prompt) => (outputP99 === outputMean ? [outputP99] : [outputP99, outputMean]).map((output) => demand(prompt, output, true)));
  return [...ample, demand(cold, outputMost, false), demand(prompts[0]!, outputMean, false)];
}

function once(find: () => bigint | BoundGap): () => bigint | BoundGap {
  let found: bigint | BoundGap | undefined;
  return () => (found ??= find());
}
