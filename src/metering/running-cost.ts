/**
 * What a reply has used while it runs, and what one is taken to have used that never told. The provider bills output that nobody has
 * seen, thinking above all, so the characters that passed are joined by what models have hidden so far.
 */
import { zeroCounts, type TokenCounts, type Usage, type UsagePart } from "../kernel/usage.ts";
import type { LearnedOutput } from "./learned-output.ts";
import type { RequestedVariant } from "./price-sheet.ts";

/** What a reply has told up to now; a dialect's `ObservedUsage` is one. */
export interface ReplySoFar extends Pick<Usage, "parts" | "serverToolUses" | "speed" | "inferenceGeo" | "serviceTier"> {
  readonly stage: "nothing" | "started" | "final";
  readonly isPlausible: boolean;
  /** Of output, relayed. */
  readonly outputCharacters: number;
}

export interface RunningInput {
  /** As asked for; counts until the reply tells how it is served. */
  readonly variant: RequestedVariant;
  /** The name under which habits are learnt. */
  readonly model: string;
  readonly outputTokensMax: number | undefined;
  readonly learned: LearnedOutput;
  readonly reply: ReplySoFar;
  /** What was expected of the input, all there is before the reply has told anything. */
  readonly input: TokenCounts;
}

/** Usage up to now with room for thinking that is not shown, at least `outputTokensMin`; what a hold must not fall below. */
export function runningUsage(input: RunningInput, outputTokensMin = 0): Usage {
  const { learned, model, reply } = input;
  return usageWith(input, Math.max(outputTokensMin, Math.ceil(reply.outputCharacters / learned.charactersPerToken(model)) + learned.hiddenTokensMargin(model)));
}

/** Usage of an attempt that has ended: as reported, else what was reported with output no less than what passed and what its model hides on average. */
export function endedUsage(input: RunningInput): Usage {
  const { learned, model, reply } = input;
  // Nothing that passed means that it may not have begun to write.
  const seen = reply.outputCharacters === 0 ? 0 : Math.ceil(reply.outputCharacters / learned.charactersPerTokenUsual(model)) + learned.hiddenTokensMean(model);
  return usageWith(input, seen);
}

function usageWith({ reply, variant, outputTokensMax, input }: RunningInput, outputTokens: number): Usage {
  const { stage, serverToolUses, serviceTier } = reply;
  if (stage === "final") return { parts: reply.parts, serverToolUses, speed: reply.speed, inferenceGeo: reply.inferenceGeo, serviceTier, source: reply.isPlausible ? "reported" : "estimated" };
  const likely = outputTokensMax === undefined ? outputTokens : Math.min(outputTokens, outputTokensMax);
  const parts = reply.parts.length === 0 ? [{ counts: { ...zeroCounts, ...input }, model: undefined }] : reply.parts;
  return {
    parts: withOutput(parts, likely),
    serverToolUses,
    speed: reply.speed ?? variant.speed,
    inferenceGeo: reply.inferenceGeo ?? variant.inferenceGeo,
    serviceTier,
    source: "estimated",
  };
}

/** The last part is the one that is being written: it gets what the reported output of all parts leaves open. */
function withOutput(parts: readonly UsagePart[], outputTokens: number): readonly UsagePart[] {
  const reported = parts.reduce((sum, { counts }) => sum + counts.output, 0);
  const last = parts.at(-1);
  if (last === undefined || reported >= outputTokens) return parts;
  return [...parts.slice(0, -1), { ...last, counts: { ...last.counts, output: last.counts.output + outputTokens - reported } }];
}
