/**
 * What a call may cost before it is sent: as amounts apart, so that admission can choose how careful to be, and as a strict upper bound.
 * All in nano-USD, each rounded up; no clock, no state but what is passed in.
 */
import type { NanoUsd } from "../kernel/money.ts";
import { zeroCounts, type ServerToolUsesMax, type TokenCounts } from "../kernel/usage.ts";
import type { BoundGap } from "../ledger/ledger.ts";
import type { LearnedOutput } from "./learned-output.ts";
import { amountOf, larger, priceSheet, ratesFor, type PriceSheet, type PricingContext, type Rates, type RequestedVariant } from "./price-sheet.ts";
import type { SessionMemory, WarmInput } from "./session-memory.ts";

/**
 * Tokens that a provider puts into the prompt and the body does not show, at most. The documented prompts that come with tools are of up to
 * 530 tokens; the rest is room for marks around messages. Descriptions of tools that the provider itself defines are not among them.
 *
 * @source https://docs.anthropic.com/es/docs/tool-use-pricing-and-tokens, checked 2026-11-23
 */
export const hiddenPromptTokensMax = 2_000;

/** A model's own bound of output, where a request names none; no Claude writes more in one reply. */
const outputTokensCap = 128_000;

/** A call to one target. Tokens and bytes are integers ≥ 0. */
export interface DemandInput {
  /** The same object for every call to the same target under the same snapshot: its prices are worked out once. */
  readonly pricing: PricingContext;
  readonly variant: RequestedVariant;
  readonly keyId: string;
  /** The name under which habits are learnt. */
  readonly model: string;
  /** As for `SessionMemory.note`; undefined: the call belongs to no session. */
  readonly sessionId: string | undefined;
  readonly nowMs: number;
  readonly requestBytes: number;
  /** Of those bytes, what is text and tool calls; what the rest, images, is likely to come to. */
  readonly textBytes: number;
  readonly imageTokens: number;
  readonly outputTokensMax: number | undefined;
  /** The body asks for the one-hour cache lifetime. */
  readonly hasOneHourCache: boolean;
  /**
   * Input tokens that stand for more than their bytes in the body, at most: images and documents (a compressed one of a few bytes can be
   * thousands of tokens, one named by URL or id has no bytes at all), descriptions of the provider's own tools and what these bring back.
   * 0 for text; the model's context window for each time it reads is always enough. Asked for only by {@link boundOf}.
   */
  unseenInputTokensMax(): number;
  /** The reply may run on other models too or read its prompt again (advisors, fallbacks, compaction): its output is not bounded by `max_tokens`. */
  readonly hasFurtherRuns: boolean;
  /** By the member name in the reply's `server_tool_use`, for instance `web_search_requests`. */
  readonly serverTools: Readonly<Record<string, ServerToolUsesMax>>;
  readonly learned: LearnedOutput;
  readonly sessions: SessionMemory;
}

/** Nano-USD. */
export interface CallDemand {
  /** What an incremental budget holds first: the session's warm input where one is known, else the cold one, and output at p99 and server tools. */
  readonly expected: NanoUsd;
  /** The tokens behind {@link CallDemand.warm}, or where nothing warm is known {@link CallDemand.cold}. */
  readonly input: TokenCounts;
  /** All input, written to a cache that holds nothing yet. */
  readonly cold: NanoUsd;
  /** The input as the session's last call makes it likely, ≤ `cold`; undefined: nothing warm is known. */
  readonly warm: NanoUsd | undefined;
  readonly outputP99: NanoUsd;
  readonly outputMean: NanoUsd;
  /** All that `max_tokens` allows; without it, all that any model writes. */
  readonly outputWhole: NanoUsd;
  /** Uses of server tools: all that are allowed, one where nothing bounds them. */
  readonly serverTools: NanoUsd;
  /** The model has no price: every amount is 0. */
  readonly isUnpriced: boolean;
  /** A stand-in's price was used. */
  readonly isProvisional: boolean;
}

const nothing = 0n as NanoUsd;
const unpriced: CallDemand = { expected: nothing, input: zeroCounts, cold: nothing, warm: undefined, outputP99: nothing, outputMean: nothing, outputWhole: nothing, serverTools: nothing, isUnpriced: true, isProvisional: false };

/** Never throws. */
export function demandOf(input: DemandInput): CallDemand {
  const { learned, keyId, model, requestBytes, textBytes, imageTokens } = input;
  const sheet = priceSheet(input.pricing, input.variant);
  if (sheet.isUnpriced) return unpriced;

  const bytesPerToken = learned.bytesPerToken(model);
  const coldTokens = Math.ceil(textBytes / bytesPerToken) + imageTokens;
  const session = input.sessionId === undefined ? undefined : input.sessions.next(input.sessionId, model, { requestBytes, bytesPerToken, nowMs: input.nowMs });
  const warmTokens = session === undefined ? 0 : session.cacheRead + session.cacheWrite + session.input;
  const rates = ratesFor(sheet.asked, coldTokens);
  const cold = amountOf(BigInt(coldTokens) * writeRate(rates, input.hasOneHourCache), sheet);
  const warm = session === undefined ? undefined : smaller(cold, amountOf(warmCost(session, ratesFor(sheet.asked, warmTokens), input.hasOneHourCache), sheet));

  const outputRate = ratesFor(sheet.asked, Math.max(coldTokens, warmTokens)).output;
  const outputOf = (tokens: number): NanoUsd => amountOf(BigInt(input.outputTokensMax === undefined ? tokens : Math.min(tokens, input.outputTokensMax)) * outputRate, sheet);
  const habit = learned.output(keyId, model);
  const outputP99 = outputOf(habit.p99);
  const outputMean = outputOf(habit.mean);
  const serverTools = amountOf(toolsCost(input.serverTools, sheet), sheet);
  return {
    expected: ((warm ?? cold) + outputP99 + serverTools) as NanoUsd,
    input: session === undefined ? coldCounts(coldTokens, rates, input.hasOneHourCache) : warmCounts(session, input.hasOneHourCache),
    cold,
    warm,
    outputP99,
    outputMean,
    outputWhole: outputOf(outputTokensCap),
    serverTools,
    isUnpriced: false,
    isProvisional: sheet.isProvisional,
  };
}

/**
 * The most a call can cost, or why there is no such bound. Tokens of input: a byte-level tokenizer cuts the bytes of a text into pieces of at least one byte each, so there are
 * never more tokens than bytes, and the body holds every text in at least its own bytes (an escape is longer than what it stands for), apart
 * from what {@link hiddenPromptTokensMax} and {@link DemandInput.unseenInputTokensMax} cover. All of them at the dearest price that input can
 * have, which is most often a cache write; the one-hour one always counts, since a body can ask for it in ways that a search does not find.
 * This supposes that the tokenizer does not lengthen a text first. NFKC, which the one published for models before Claude 3 applied, makes
 * up to 33 bytes of 3 in a few rare characters; of today's tokenizers nothing is published.
 *
 * @source https://github.com/anthropics/anthropic-tokenizer-typescript
 */
export function boundOf(input: DemandInput): NanoUsd | BoundGap {
  const sheet = priceSheet(input.pricing, input.variant);
  const gap = gapIn(input, sheet);
  if (gap !== undefined) return gap;
  const { requestBytes, outputTokensMax, serverTools } = input;
  const inputTokens = requestBytes + hiddenPromptTokensMax + input.unseenInputTokensMax();
  const { short, long, aboveTokens } = sheet.dearest;
  const isEverLong = inputTokens > aboveTokens;
  const inputRate = isEverLong ? larger(inputRateMax(short), inputRateMax(long)) : inputRateMax(short);
  const outputRate = isEverLong ? larger(short.output, long.output) : short.output;
  return amountOf(BigInt(inputTokens) * inputRate + BigInt(outputTokensMax ?? 0) * outputRate + toolsCost(serverTools, sheet), sheet);
}

function gapIn({ outputTokensMax, hasFurtherRuns, serverTools }: DemandInput, sheet: PriceSheet): BoundGap | undefined {
  if (sheet.isUnpriced) return "price";
  if (outputTokensMax === undefined) return "max_tokens";
  if (hasFurtherRuns) return "further_runs";
  for (const name in serverTools) if (serverTools[name] === "unbounded" || !sheet.serverToolUses.has(name)) return "server_tool";
  return undefined;
}

function toolsCost(serverTools: DemandInput["serverTools"], sheet: PriceSheet): bigint {
  let sum = 0n;
  for (const name in serverTools) {
    const usesMax = serverTools[name]!;
    sum += BigInt(usesMax === "unbounded" ? 1 : usesMax) * (sheet.serverToolUses.get(name) ?? 0n);
  }
  return sum;
}

function warmCost({ cacheRead, cacheWrite, input }: WarmInput, rates: Rates, isOneHour: boolean): bigint {
  return BigInt(cacheRead) * rates.cacheRead + BigInt(cacheWrite) * writeRate(rates, isOneHour) + BigInt(input) * rates.input;
}

function warmCounts({ cacheRead, cacheWrite, input }: WarmInput, isOneHour: boolean): TokenCounts {
  return { ...zeroCounts, input, cacheRead, [isOneHour ? "cacheWrite1h" : "cacheWrite5m"]: cacheWrite };
}

/** All in the member whose price {@link writeRate} is. */
function coldCounts(tokens: number, rates: Rates, isOneHour: boolean): TokenCounts {
  const rate = writeRate(rates, isOneHour);
  return { ...zeroCounts, [rate === rates.input ? "input" : rate === rates.cacheWrite5m ? "cacheWrite5m" : "cacheWrite1h"]: tokens };
}

/** What a new token of input costs at most; where a place sells no cache writes, it is plain input. */
function writeRate({ input, cacheWrite5m, cacheWrite1h }: Rates, isOneHour: boolean): bigint {
  const dearest = larger(input, cacheWrite5m);
  return isOneHour ? larger(dearest, cacheWrite1h) : dearest;
}

function inputRateMax(rates: Rates): bigint {
  return larger(writeRate(rates, true), rates.cacheRead);
}

function smaller(a: NanoUsd, b: NanoUsd): NanoUsd {
  return a < b ? a : b;
}
