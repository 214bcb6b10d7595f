/**
 * What AWS's own errors mean, at every place it serves Claude: named by `x-amzn-errortype` or `__type`, with words that may hold
 * accounts, ARNs and policies. Those words stay in the operator's log. Names, statuses and causes:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html and
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html; what a refused login says
 * is also what Claude Code 2.1.330 recognises as one. Checked 2026-11.
 */
import { headerValue } from "../wire/headers.ts";
import { anthropicErrorOf, jsonOf, memberOf, plainSentence, refusedBetaOf } from "./error-reply.ts";
import type { ReplyClass, ReplyVerdict } from "./provider.ts";

export interface AwsReply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly ownsCredential: boolean;
}

/** An error as AWS tells it. */
export interface AwsError {
  /** `ThrottlingException`; empty when the reply does not say. */
  readonly kind: string;
  readonly message: string;
}

type Told = NonNullable<ReplyVerdict["told"]>;

/** Characters of a complaint that are looked at: what matters stands at its beginning, and a long one must not cost time. */
const wordsMax = 2_000;

/** By status alone. @param ownsCredential the client's own login was used, so a refusal of it is the client's to see */
export function classify(status: number, ownsCredential: boolean): ReplyClass {
  if (status === 401 || status === 403) return ownsCredential ? "deliver" : "credential";
  if (status === 404 || status === 408 || status === 424 || status === 429 || status >= 500) return "retryable";
  return "deliver";
}

/** What goes wrong at the place and not in the request. `status` is what the client acts on rightly. */
const faults: Readonly<Record<string, { readonly status: number; readonly message: string }>> = {
  ThrottlingException: { status: 429, message: "The model provider limits requests at the moment; try again shortly." },
  TooManyRequestsException: { status: 429, message: "The model provider limits requests at the moment; try again shortly." },
  ServiceQuotaExceededException: { status: 429, message: "The gateway's quota for this model at the provider is used up; try again later." },
  ModelNotReadyException: { status: 529, message: "The model is being made ready at the provider; try again shortly." },
  ServiceUnavailableException: { status: 529, message: "The model provider has no capacity at the moment; try again shortly." },
  InternalServerException: { status: 500, message: "The model provider failed on the request; try again." },
  InternalFailure: { status: 500, message: "The model provider failed on the request; try again." },
  ModelErrorException: { status: 502, message: "The model failed on the request; try again." },
  ModelStreamErrorException: { status: 502, message: "The model failed while it was answering; try again." },
  ModelTimeoutException: { status: 504, message: "The model did not answer in the time its provider allows; try again." },
  ResourceNotFoundException: { status: 404, message: "The model is not available at the provider in this region." },
};

/** What a place tells when it goes wrong there, by AWS's name for it; undefined for other names. */
export function faultTold(kind: string, headers: readonly string[]): Told | undefined {
  const fault = Object.hasOwn(faults, kind) ? faults[kind] : undefined;
  return fault === undefined ? undefined : { ...plainSentence(fault.status, headers, fault.message), status: fault.status };
}

const refusedLogins = new Set([
  "UnrecognizedClientException", "InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredTokenException", "ExpiredToken",
  "InvalidClientTokenId", "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
]);
const refusedLoginWords =
  /security token.*(?:invalid|expired)|signature we calculated does not match|signature expired|bearer token has expired|authentication failed.*api key|missing required parameters in the api key|missing authentication token/i;

/** A model id or a profile that AWS does not serve here: the target's fault, told as a model that is not there. */
const modelWords =
  /provided model identifier is invalid|with on-demand throughput isn.t supported|model identifier is not valid|provided model doesn.t support the|model .{0,80}(?:is not supported in this region|has reached the end of its life|is legacy)|inference profile .{0,80}not found/i;
const uncountableWords = /doesn.t support counting tokens/i;

/**
 * @param explain what a place makes of the words of a 400; undefined leaves it a plain sentence
 */
export function judgeAws(reply: AwsReply, explain?: (message: string, reply: AwsReply) => ReplyVerdict | undefined): ReplyVerdict {
  const { status, headers, ownsCredential } = reply;
  const json = jsonOf(reply.body);
  const words = anthropicErrorOf(json);
  const error = awsErrorOf(headers, json);
  // A login that is refused is told by AWS's front in a shape of its own, whatever the status.
  if (refusedLogins.has(error.kind) || ((status === 401 || status === 403) && refusedLoginWords.test(error.message)) || status === 401) return loginRefused(reply, error);
  if (words !== undefined && (status === 400 || status === 413)) return anthropicWords(reply, words);
  const told = faultTold(error.kind, headers);
  if (told !== undefined) return { replyClass: "retryable", told };
  if (status === 403) {
    const whose = ownsCredential ? "Your AWS login" : "The gateway's AWS login";
    const message = /access to the model|model access|marketplace/i.test(error.message) ? `${whose} has no access to this model at the provider.` : `${whose} lacks the permission for this request at the provider.`;
    const told = plainSentence(403, headers, message);
    if (ownsCredential) return { replyClass: "deliver", told };
    // Callers would take a 403 for a verdict on their own key.
    return { replyClass: "retryable", told: { ...told, type: "api_error", status: 503, shouldRetry: false } };
  }
  if (status === 400) return badRequest(reply, error.message, explain);
  return { replyClass: classify(status, ownsCredential), told: plainSentence(status, headers) };
}

/** @param json of the body, undefined when it is none */
export function awsErrorOf(headers: readonly string[], json: unknown): AwsError {
  const named = headerValue(headers, "x-amzn-errortype") ?? memberOf(json, "__type") ?? memberOf(json, "code");
  const message = memberOf(json, "message") ?? memberOf(json, "Message");
  // `com.amazon.coral.service#ThrottlingException`, `ThrottlingException:http://…`.
  const kind = typeof named === "string" ? (named.split("#").at(-1)!.split(":")[0]!.trim()) : "";
  return { kind: /^[A-Za-z]{1,80}$/.test(kind) ? kind : "", message: (typeof message === "string" ? message : (anthropicErrorOf(json)?.message ?? "")).slice(0, wordsMax) };
}

function loginRefused({ status, headers, ownsCredential }: AwsReply, { kind }: AwsError): ReplyVerdict {
  if (!ownsCredential) return { replyClass: "credential", told: undefined };
  const message = `The model provider refused your AWS login${kind === "" ? "" : ` (${kind})`}.`;
  return { replyClass: "deliver", told: { ...plainSentence(401, headers, message), status: status === 403 ? 403 : 401 } };
}

/** Anthropic's own words pass; told apart only when a second try without a beta is made, and fails as well. */
function anthropicWords({ status }: AwsReply, words: { readonly type: string; readonly message: string }): ReplyVerdict {
  const refusedBeta = status === 400 ? refusedBetaIn(words.message.slice(0, wordsMax)) : undefined;
  return refusedBeta === undefined ? { replyClass: "deliver", told: undefined } : { replyClass: "deliver", told: { type: words.type, message: words.message }, refusedBeta };
}

function badRequest(reply: AwsReply, message: string, explain: ((message: string, reply: AwsReply) => ReplyVerdict | undefined) | undefined): ReplyVerdict {
  if (uncountableWords.test(message)) return { replyClass: "deliver", told: { type: "not_supported", message: "The model provider does not count tokens for this model.", status: 501, shouldRetry: false } };
  if (modelWords.test(message)) return { replyClass: "retryable", told: { ...plainSentence(404, reply.headers, "The model provider does not serve the configured model id in this region."), status: 404 } };
  return explain?.(message, reply) ?? { replyClass: "deliver", told: plainSentence(400, reply.headers) };
}

/**
 * The one beta a 400 is about: named as such, or by the field that came with it.
 *
 * `messages.N.…` is left out: what stands there cannot be taken, so a try without the beta would fail as well.
 */
export function refusedBetaIn(message: string): string | undefined {
  const named = refusedBetaOf(message) ?? /(?:invalid|unknown|unsupported) beta(?: flag)?s?:? [`'"]?([a-z][a-z0-9-]*-20\d\d-\d\d-\d\d)\b/i.exec(message)?.[1];
  if (named !== undefined) return named;
  if (/long context beta/i.test(message)) return "context-1m-2025-08-07";
  const path = /(?:^|[\s:"])((?:[a-z_]+|tools\.\d+(?:\.[a-z_0-9]+)?)(?:\.[a-z_]+)?): Extra inputs are not permitted/.exec(message)?.[1];
  return path === undefined ? undefined : betaOfField.find(({ field }) => field.test(path))?.beta;
}

/** Fields whose beta is the one that Claude Code sends with them (Claude Code 2.1.330, recorded 2026-11). */
const betaOfField: readonly { readonly field: RegExp; readonly beta: string }[] = [
  { field: /^context_management(?:\.|$)/, beta: "context-management-2025-06-27" },
  { field: /^output_config\.effort$/, beta: "effort-2025-11-24" },
  { field: /^tools\.\d+\.(?:\w+\.)?defer_loading$/, beta: "tool-search-tool-2025-10-19" },
  { field: /^tools\.\d+\.(?:\w+\.)?input_examples$/, beta: "tool-examples-2025-10-29" },
  { field: /^fallbacks$/, beta: "server-side-fallback-2026-06-01" },
];
