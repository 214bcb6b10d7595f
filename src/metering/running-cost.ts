/**
 * What a reply has cost while it runs, and what one is taken to have cost that never told. The provider bills output that nobody has
 * seen, thinking above all, so the characters that passed are joined by what models have hidden so far.
 */
import type { NanoUsd } from "../kernel/money.ts";
import type { Usage, UsagePart } from "../kernel/usage.ts";
import type { LearnedOutput } from "./learned-output.ts";
import { larger, type PricingContext, type RequestedVariant } from "./price-sheet.ts";
import { priceUsage } from "./pricing.ts";

/** What a reply has told up to now; a dialect's `ObservedUsage` is one. */
export interface ReplySoFar extends Pick<Usage, "parts" | "serverToolUses" | "speed" | "inferenceGeo" | "serviceTier"> {
  readonly stage: "nothing" | "started" | "final";
  /** Of output, relayed. */
  readonly outputCharacters: number;
}

export interface RunningInput {
  readonly pricing: PricingContext;
  /** As asked for; counts until the reply tells how it is served. */
  readonly variant: RequestedVariant;
  /** The name under which habits are learnt. */
  readonly model: string;
  readonly outputTokensMax: number | undefined;
  readonly learned: LearnedOutput;
  readonly reply: ReplySoFar;
  /** What was held for the input, nano-USD: all there is before the reply has told anything. */
  readonly inputHeld: bigint;
}

/** What a reply that broke off is booked with. */
export interface AbortedCost {
  /** Undefined: nothing was reported, and the cost is the hold of the input. */
  readonly usage: Usage | undefined;
  readonly costNanoUsd: NanoUsd;
}

/**
 * Cost up to now, with room for thinking that is not shown; what a hold must not fall below. Exact once the final usage is there.
 *
 * @returns nano-USD
 */
export function runningCost(input: RunningInput): NanoUsd {
  const { reply, learned, model } = input;
  if (reply.stage === "nothing") return input.inputHeld as NanoUsd;
  return priceUsage({ ...input.pricing, usage: usageSoFar(input, learned.hiddenTokensMargin(model)) }).costNanoUsd;
}

/** Cost of a reply that broke off: what was reported, output no less than what passed and what its model hides on average. */
export function afterAbort(input: RunningInput): AbortedCost {
  const { reply, learned, model, inputHeld } = input;
  if (reply.stage === "nothing") return { usage: undefined, costNanoUsd: larger(inputHeld, 0n) as NanoUsd };
  const usage = usageSoFar(input, learned.hiddenTokensMean(model));
  return { usage, costNanoUsd: priceUsage({ ...input.pricing, usage }).costNanoUsd };
}

function usageSoFar({ reply, variant, learned, model, outputTokensMax }: RunningInput, hiddenTokens: number): Usage {
  const { parts, serverToolUses, stage } = reply;
  const isFinal = stage === "final";
  const seen = Math.ceil(reply.outputCharacters / learned.charactersPerToken(model)) + hiddenTokens;
  const likely = outputTokensMax === undefined ? seen : Math.min(seen, outputTokensMax);
  return {
    parts: isFinal ? parts : withOutput(parts, likely),
    serverToolUses,
    speed: reply.speed ?? (isFinal ? undefined : variant.speed),
    inferenceGeo: reply.inferenceGeo ?? (isFinal ? undefined : variant.inferenceGeo),
    serviceTier: reply.serviceTier,
    source: isFinal ? "reported" : "estimated",
  };
}

/** The last part is the one that is being written: it gets what the reported output of all parts leaves open. */
function withOutput(parts: readonly UsagePart[], outputTokens: number): readonly UsagePart[] {
  const reported = parts.reduce((sum, { counts }) => sum + counts.output, 0);
  const last = parts.at(-1);
  if (last === undefined || reported >= outputTokens) return parts;
  return [...parts.slice(0, -1), { ...last, counts: { ...last.counts, output: last.counts.output + outputTokens - reported } }];
}
