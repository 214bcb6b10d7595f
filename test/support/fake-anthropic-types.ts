/**
 * The vocabulary of the fake Anthropic upstream: what a test may ask of it (behaviours), what it notes (requests, bill lines)
 * and how it is started. Everything in a behaviour is plain JSON, so that it travels in a header or to another process.
 */

/** A JSON object whose members nobody has looked at yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Narrows to a JSON object; arrays and null are none. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One entry of `usage.iterations[]`; its tokens are billed at `model` where it names one. */
export interface IterationUsage {
  readonly type: string;
  readonly model?: string;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_creation_input_tokens?: number;
  readonly cache_read_input_tokens?: number;
  readonly cache_creation?: { readonly ephemeral_5m_input_tokens: number; readonly ephemeral_1h_input_tokens: number };
}

/** Usage in the wire's own member names: whole tokens; `input_tokens` excludes cache reads and writes. */
export interface WireUsage {
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation: { readonly ephemeral_5m_input_tokens: number; readonly ephemeral_1h_input_tokens: number };
  readonly output_tokens: number;
  readonly service_tier: string;
  readonly inference_geo?: string;
  readonly speed?: string;
  readonly server_tool_use?: { readonly web_search_requests: number };
  readonly iterations?: readonly IterationUsage[];
}

/** A content block of an answer. `thinking` is signed by the fake; `input` becomes `input_json_delta` pieces in a stream. */
export type AnswerBlock =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "thinking"; readonly thinking: string }
  | { readonly type: "redacted_thinking" }
  /** Where the model that declined ends and the next one begins. */
  | { readonly type: "fallback"; readonly from: string; readonly to: string; readonly category: string | null }
  | { readonly type: "tool_use"; readonly name: string; readonly input: JsonObject; readonly id?: string };

/**
 * A place in the reply. For plain replies `headers` is byte 0, `first-event` and `mid-*` the body's middle, `before-usage` the
 * byte before the usage member, `after-usage` and `end` the last byte but one and the end.
 * `connect`: nothing of the reply has been sent. `headers`: the head is out, no event. `first-event`: after `message_start`.
 * `mid-text`, `mid-tool-json`: inside the bytes of an event half-way through that block (at a border when `isWholeEvents`).
 * `before-usage`, `after-usage`: around `message_delta`. `end`: all bytes of the body are out, the reply has not ended.
 */
export type Phase = "connect" | "headers" | "first-event" | "mid-text" | "mid-tool-json" | "before-usage" | "after-usage" | "end";

/** What goes wrong, and where: at a phase, or after exactly `byte` body bytes (as sent, so after compression). */
export interface Fault {
  readonly at: Phase | { readonly byte: number };
  /**
   * `destroy`: the socket is closed (FIN, or RST when data was unread). `reset`: RST. `end`: the reply ends as if it were
   * whole (proper last chunk). `stall`: silence until the peer leaves. `pause`: silence for `ms`, then the rest.
   * `error-event`: one `error` event (at the next event border), then a proper end.
   */
  readonly does: "destroy" | "reset" | "end" | "stall" | "pause" | "error-event";
  /** Silence of a `pause` (default 1,000), or between the last byte and `destroy` or `reset` (default 15), in milliseconds. */
  readonly ms?: number;
  /** Cut at the border of an event, not inside one; default false for `mid-*`. `error-event` always uses a border. */
  readonly isWholeEvents?: boolean;
  /** Type of the `error-event`; default `overloaded_error`. */
  readonly errorType?: string;
}

/** A model that declines. Whether its attempt is billed follows from the category and from whether it has said anything. */
export interface Decline {
  /** Policy area: `cyber`, `bio`, …; null: none in particular. */
  readonly category: string | null;
  /** What it said before it declined; absent: nothing. Where another model takes over, a plain reply leaves it out. */
  readonly text?: string;
}

/** A model that declined before another took over: server-side fallback. */
export interface DeclinedHop extends Decline {
  readonly model: string;
  readonly inputTokens: number;
}

/** How the fake treats one Messages request. An empty object is the ordinary answer. All members are JSON. */
export interface Behaviour {
  /** ≥ 400: an error reply in Anthropic's envelope instead of an answer. Not billed. */
  readonly status?: number;
  /** Error type of `status`; default by status. */
  readonly errorType?: string;
  /** Message of `status` or of an `error-event`. */
  readonly message?: string;
  /** Extra or replacing reply headers, for instance `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A 200 that is no answer: a page, nothing, or these characters with this type. Not billed. */
  readonly page?: "html" | "empty" | { readonly contentType: string; readonly text: string };
  /** These bytes (latin1) instead of any HTTP reply, then the socket closes. Not billed. */
  readonly raw?: string;

  /** Text of the answer, instead of the derived one. */
  readonly text?: string;
  /** Content of the answer, instead of the derived one. */
  readonly blocks?: readonly AnswerBlock[];
  /** A text of this many bytes: huge output. */
  readonly textBytes?: number;
  /** Characters in one text delta; default 24. */
  readonly deltaCharacters?: number;
  /** Default derived: `tool_use` with a tool, else `end_turn`. */
  readonly stopReason?: string;
  /** Replaces members of the planned usage; `null` sends no usage at all (the bill still has the plan). */
  readonly usage?: Partial<WireUsage> | null;
  /** Members that replace those of `message_delta.usage` only (repeats, corrections, nulls). */
  readonly deltaUsage?: JsonObject;
  /** Model named in the reply; default the requested one. */
  readonly replyModel?: string;
  /** The reply is a refusal; `text` and `blocks` do not apply. */
  readonly refusal?: Decline;
  /** Models that declined in turn before the one that replies (`replyModel`), as with `fallbacks`. */
  readonly declinedHops?: readonly DeclinedHop[];

  /** Wait before the head, in milliseconds. */
  readonly firstByteDelayMs?: number;
  /** Wait between writes, in milliseconds; each event is one write unless `splitBytes` is given. */
  readonly writeDelayMs?: number;
  /** Write the body in pieces of these sizes, round and round; one event-loop turn between them. */
  readonly splitBytes?: readonly number[];
  /** `ping` events after `message_start` and between blocks; default 1. */
  readonly pings?: number;
  /** Compress the body (a stream is flushed after each event). */
  readonly encoding?: "gzip" | "br" | "deflate" | "zstd";
  /** Compress only when the request's `accept-encoding` names `encoding`. */
  readonly isEncodingNegotiated?: boolean;
  /** Content-Length = true length + this; the connection is closed after a reply that is too short. */
  readonly contentLengthError?: number;
  /** First event of the stream is an `error` (status 200); nothing follows. Not billed. */
  readonly isErrorFirst?: boolean;
  /** Leave `message_stop` out and end properly. */
  readonly isWithoutStop?: boolean;
  /** Characters sent after the last event. */
  readonly tail?: string;
  readonly fault?: Fault;
  /** Overrides the rule whether a bill line is written. */
  readonly isBilled?: boolean;
}

/** What the provider will charge, written (and fsynced) before the first reply byte. */
export interface BilledLine {
  readonly type: "billed";
  readonly billId: string;
  readonly requestId: string;
  readonly model: string;
  readonly isStreaming: boolean;
  /** `x-claude-code-session-id`, or null. */
  readonly sessionId: string | null;
  /** `anthropic-test-id` (a gateway forwards `anthropic-*`), else `x-test-id`, else null. */
  readonly testId: string | null;
  /** All `anthropic-test-*`, `x-test-*` and `x-claude-code-*` headers and `metadata.user_id` (as `user_id`). */
  readonly correlation: Readonly<Record<string, string>>;
  /** Full usage if the answer is generated to its end. */
  readonly usage: WireUsage;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** Second line of a bill whose answer was not delivered whole: the client left, or a fault was scripted. */
export interface FinalLine {
  readonly type: "final";
  readonly billId: string;
  readonly outcome: "client_left" | "fault";
  /** Output tokens of the content handed to the socket; the usage that is due if generation stopped there. */
  readonly outputTokensSent: number;
  /** `message_start` was handed over (stream), so that the input counts were known downstream at most then. */
  readonly isStartSent: boolean;
  /** The final usage was handed over: `message_delta`, or the plain body. */
  readonly isUsageSent: boolean;
  readonly atMs: number;
}

export type BillLine = BilledLine | FinalLine;

/** One request as it arrived. */
export interface RecordedRequest {
  readonly method: string;
  /** Target as sent, with its query. */
  readonly url: string;
  /** Names in lower case; repeated names joined with ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** Name, value, name, value, in the order and case of the wire. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Parsed body, undefined when it is no JSON object. */
  readonly json: JsonObject | undefined;
  readonly atMs: number;
  /** Serial number of the TCP connection, from 1. */
  readonly connection: number;
  /** Status sent; 0 until then or when no reply was sent. */
  status: number;
  /** The peer closed before the reply was finished. */
  isAborted: boolean;
  /** The reply was handed over whole. */
  isFinished: boolean;
}

/** A refusal by the fake's own checks, not by script. */
export interface Rejection {
  readonly status: number;
  readonly errorType: string;
  readonly message: string;
}

/** How to start the fake. Every member is optional; without credentials any non-empty one passes. */
export interface FakeAnthropicOptions {
  readonly port?: number;
  /** Accepted `x-api-key`. */
  readonly apiKey?: string;
  /** Accepted `Authorization: Bearer`. `sk-ant-oat…` also needs the beta `oauth-2025-04-20`. */
  readonly authToken?: string;
  /** File for the fsynced bill; without it the bill lives in memory only. */
  readonly billPath?: string;
  /** Known models; default: every name that begins with `claude-`. */
  readonly models?: readonly string[];
  /** Largest `max_tokens`; default 128,000. */
  readonly maxTokensMax?: number;
  /** Beta names that the header may not hold. */
  readonly rejectBetas?: readonly string[];
  /** Top-level `system` must be an array wherever it is present (all Claude Code versions send one). */
  readonly expectSystemArray?: boolean;
  /** Role `system` inside `messages`; default true. False: refused in the wording the client heals by. */
  readonly acceptsSystemRole?: boolean;
  /** `thinking.type: adaptive`; default true. */
  readonly acceptsAdaptiveThinking?: boolean;
  /** Values that must never arrive in a header or body (client credentials); a find is a `violations` entry. */
  readonly forbiddenSecrets?: readonly string[];
  /** Requests kept in `requests`, oldest dropped first; default 5,000. */
  readonly requestsMax?: number;
  /** Keep bodies in `requests`; default true. */
  readonly isRecordingBodies?: boolean;
  /** Key of the thinking signatures; the same in each process by default, so that a restart verifies old ones. */
  readonly signingKey?: string;
}

/** Chooses a behaviour for a valid Messages request; undefined leaves it to the default. */
export type Script = (request: RecordedRequest, body: JsonObject) => Behaviour | undefined;
