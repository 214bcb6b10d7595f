/**
 * What a wire format is to the gateway. A dialect turns bytes into facts and usage, and refusals into its own error
 * bodies. It never sees a URL, a credential or a price.
 */
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { ServerToolUsesMax, UsagePart } from "../kernel/usage.ts";
import type { JsonMembers } from "../wire/json-members.ts";

/** What the pipeline must know of a request to decide about it. */
export interface RequestFacts {
  /** The `model` member, decoded. */
  readonly model: string;
  /**
   * Every further model the request names (advisor tools, server-side fallbacks): rights hold for them too. Costs a look into
   * the tools, so it is asked for only where rights or routes are narrower than "everything".
   *
   * @throws GatewayError `client_body_malformed` or `client_field_invalid` when a model cannot be read without doubt
   */
  furtherModels(body: Buffer): readonly string[];
  readonly isStreaming: boolean;
  /** `max_tokens` when it is a positive integer. */
  readonly outputTokensMax: number | undefined;
  readonly members: JsonMembers;
  /** What a prompt cache would be found by where nothing names the conversation; undefined where there is nothing. Copies it, so it is asked for only then. */
  promptPrefix(body: Buffer): Buffer | undefined;
  /** By what its prompt is known again; undefined where the provider may take parts out of it. A few microseconds, whatever the length. */
  promptShape(body: Buffer): PromptShape | undefined;
  /** What decides its price beside its length; reads in the body, so it is asked for only where money is held. */
  costFacts(body: Buffer): CostFacts;
}

/** Two calls of one mark, the second with messages that are no shorter, begin with the same prompt as far as can be known without keeping it. */
export interface PromptShape {
  /** Equal for the same tools, system prompt and settings on which a prompt's cache depends. A safe integer. */
  readonly mark: number;
  readonly messagesBytes: number;
}

/** What a request says about its price beside its length and its `max_tokens`. */
export interface CostFacts {
  readonly speed: string | undefined;
  readonly inferenceGeo: string | undefined;
  readonly serviceTier: string | undefined;
  /** The body asks for the one-hour cache lifetime, or looks like it. */
  readonly hasOneHourCache: boolean;
  /** By the member under which the reply counts them. */
  readonly serverTools: Readonly<Record<string, ServerToolUsesMax>>;
  /** The reply may run on other models too, or read its prompt again: its cost is not bounded by one prompt and `max_tokens`. */
  readonly hasFurtherRuns: boolean;
  /** Of the body, without its images. */
  readonly textBytes: number;
  /** What those images are likely to come to. */
  readonly imageTokens: number;
  /** Tokens of input that stand for more than their bytes in the body, at most. Looks at every block. */
  unseenInputTokensMax(): number;
}

/** What a reply has told of its usage. */
export interface ObservedUsage {
  /**
   * `nothing`: no usage came at all. `started`: the input side is reported, the output only in part. `final`: the reply's
   * own closing usage came, so the counts are what the provider bills.
   */
  readonly stage: "nothing" | "started" | "final";
  readonly parts: readonly UsagePart[];
  readonly serverToolUses: Readonly<Record<string, number>>;
  readonly speed: string | undefined;
  readonly inferenceGeo: string | undefined;
  readonly serviceTier: string | undefined;
  /** False when a count was negative, fractional, absurd or no number; it was then taken as 0. */
  readonly isPlausible: boolean;
  /** Characters of output that have passed, counted or, in bursts, sampled; for the floor after an abort. */
  readonly outputCharacters: number;
}

/** A kept report: no more than what has a price beside the counts of the ledger's row. */
export type ReadUsage = Pick<ObservedUsage, "parts" | "speed" | "inferenceGeo" | "serviceTier">;

/** Reads a reply while it passes. Fed with whole events (streams) or with the whole body (plain). Never throws. */
export interface ReplyObserver {
  /**
   * @param events bytes of one or more whole events; not kept beyond the call, except as a reference until the next one
   */
  streamEvents(events: Buffer): void;
  /** A complete plain body, decoded from its content encoding. */
  plainBody(body: Buffer): void;
  /** True once the reply's first event (`message_start`) has passed. */
  hasStarted(): boolean;
  /** True once a part of the answer itself has begun: what follows cannot be taken back. */
  hasContent(): boolean;
  /** Of the error event that ended the stream. */
  errorType(): string | undefined;
  /** Call when the stream has ended: did it end as the format demands, with an error event, or short? */
  ending(): "complete" | "error" | "broken";
  /** As `observed().outputCharacters`, without the rest. */
  outputCharacters(): number;
  /** What was reported so far, and how far the reply got. */
  observed(): ObservedUsage;
  /** The model the reply names. */
  servedModel(): string | undefined;
  /** The reported usage member(s), JSON, ≤ 4 KiB, with a mark on parts that are not billed; empty when none. */
  usageJson(): string;
}

/** An answer made by the gateway in the client's format. */
export interface RenderedError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Dialect {
  readonly id: string;
  /**
   * @param named what the URL says in place of the body's `model` and `stream`, for envelopes that put them there
   * @throws GatewayError `client_body_malformed`, `client_field_invalid`
   */
  inspect(body: Buffer, named?: { readonly model: string | undefined; readonly isStreaming: boolean }): RequestFacts;
  observe(): ReplyObserver;
  /**
   * What `ReplyObserver.usageJson` wrote, read again: how the usage splits into parts, which of them are billed, and in which variant it was served.
   * Undefined when it cannot be read. For the correction of costs long after the reply.
   */
  readUsage(usageJson: string): ReadUsage | undefined;
  /** What is wrong with a refused request, where another model may take it. @param words of the error reply, or the reply itself */
  refusedFor(words: string): "contextWindow" | "contentPolicy" | undefined;
  renderError(error: GatewayError, requestId: string): RenderedError;
  /** A typed error event that ends a stream. */
  streamError(error: GatewayError, requestId: string): Buffer;
  /** An event that keeps a silent stream alive. */
  readonly ping: Buffer;
}
