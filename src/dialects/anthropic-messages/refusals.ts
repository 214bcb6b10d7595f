/**
 * Which attempts of a reply its provider does not bill. A safety classifier may decline a request; the tokens stand in `usage`
 * all the same, so that a sum over it overstates the bill by whole prompts.
 *
 * Rules (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, "How refusals are billed" and "Billing
 * and rate limits", checked 2026-11): a refusal before any output is billed only in three categories, on every platform; one
 * after output is billed always; with server-side fallback this holds for each attempt on its own. Member names as in
 * @anthropic-ai/sdk 1.12.0 (`RefusalStopDetails`, `BetaFallbackBlock`, `BetaMessageIterationUsage`). What remains in doubt is
 * taken as billed: a ledger may overstate, never understate.
 */

/** The column "Billed before any output" of the documented table; the provider says that it may change. */
const billedCategories: ReadonlySet<RefusalCategory> = new Set(["bio", "frontier_llm", "reasoning_extraction"]);

/**
 * Output tokens that a refusal reports at most when it came before any output. The provider's example has 0, the one at
 * https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-fallback-credit.html has 1 beside an empty `content`.
 */
const outputTokensOfNothing = 1;

/** A policy area; null is the provider's "none in particular". Undefined: not told. */
export type RefusalCategory = string | null | undefined;

/** A `fallback` block: one model declined, the next one takes over. */
export interface Handover {
  readonly category: RefusalCategory;
  /** The model that takes over. */
  readonly to: string | undefined;
}

/** What a reply tells about refusals beside its usage. */
export interface RefusalMarks {
  /** Category of a reply that ended with `stop_reason: "refusal"`; undefined for every other end. */
  readonly stopCategory: RefusalCategory;
  /** The `fallback` blocks before any other content, in order. */
  readonly handovers: readonly Handover[];
  /** The reply has a content block of any kind. */
  readonly hasContent: boolean;
}

/** A part of the usage, as far as it decides. `type` is that of its entry in `iterations[]`, or `message` without such. */
export interface MeasuredPart {
  readonly type: string | undefined;
  readonly model: string | undefined;
  readonly outputTokens: number;
}

export const noRefusal: RefusalMarks = { stopCategory: undefined, handovers: [], hasContent: true };

/** Reads `stop_reason` and `stop_details`, which stand side by side in a plain reply and in the `delta` of `message_delta`. */
export function stopCategoryOf(stopReason: unknown, stopDetails: unknown): RefusalCategory {
  return stopReason === "refusal" ? categoryOf(stopDetails) : undefined;
}

/** The handover that a content block is; undefined for every other block. */
export function handoverOf(block: unknown): Handover | undefined {
  const members = membersOf(block);
  if (members["type"] !== "fallback") return undefined;
  const to = membersOf(members["to"])["model"];
  return { category: categoryOf(members["trigger"]), to: typeof to === "string" ? to : undefined };
}

/**
 * Indexes of the parts that are not billed. The attempt that made the reply is judged by the reply's end, each one before it
 * by its `fallback` block.
 *
 * A plain reply leaves out what a model said before it declined, when another model took over. There an empty content proves
 * nothing and only a count of 0 tells that there was no output, so in a chain of attempts the counts alone decide, and blocks
 * count only up to the first attempt with output; a stream and its plain twin are thereby judged alike.
 */
export function unbilledParts(parts: readonly MeasuredPart[], marks: RefusalMarks): readonly number[] {
  if (marks.stopCategory === undefined && marks.handovers.length === 0) return [];
  const attempts = attemptsOf(parts);
  const unbilled: number[] = [];
  let hasOutputBefore = false;
  attempts.forEach((attempt, order) => {
    const next = attempts[order + 1];
    const isSole = attempts.length === 1;
    const tokensMax = isSole ? outputTokensOfNothing : 0;
    const hasOutput = attempt.some((index) => parts[index]!.outputTokens > tokensMax) || (isSole && marks.hasContent);
    const handover = hasOutputBefore ? undefined : marks.handovers[order];
    const isHandedOver = next !== undefined && handover?.to !== undefined && handover.to === parts[next[0]!]!.model;
    const category = next === undefined ? marks.stopCategory : isHandedOver ? handover.category : undefined;
    if (!hasOutput && category !== undefined && !billedCategories.has(category)) unbilled.push(...attempt);
    hasOutputBefore ||= hasOutput;
  });
  return unbilled;
}

/**
 * Indexes of the parts of each attempt, in order. An attempt may sample several times around tools of the server; all models of
 * a chain are different ones, so a change of model is a change of attempt. Compactions and advisors are nobody's attempt.
 */
function attemptsOf(parts: readonly MeasuredPart[]): number[][] {
  const attempts: number[][] = [];
  let model: string | undefined;
  parts.forEach((part, index) => {
    if (part.type !== "message" && part.type !== "fallback_message") return;
    const current = attempts.at(-1);
    if (current !== undefined && part.model === model) current.push(index);
    else attempts.push([index]);
    model = part.model;
  });
  return attempts;
}

/** Of `stop_details` or of a block's `trigger`; a member that is missing tells nothing, unlike null. */
function categoryOf(details: unknown): RefusalCategory {
  const category = membersOf(details)["category"];
  return typeof category === "string" || category === null ? category : undefined;
}

function membersOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
