/**
 * What an error of Vertex AI means. Errors of the model come in Anthropic's envelope, those of Google's front in its own
 * (`{error:{code,message,status,details}}`, on streams in an array), and Google's name projects and accounts: they stay in the
 * operator's log.
 *
 * Envelope: https://cloud.google.com/apis/design/errors. Seen: `[{error…}]` with 429 RESOURCE_EXHAUSTED
 * (https://github.com/cline/cline/issues/651), 400 FAILED_PRECONDITION "Project … is not allowed to use Publisher Model"
 * (https://github.com/yym68686/uni-api/issues/41), Anthropic-shaped 413 "Prompt is too long"
 * (https://github.com/langchain-ai/langchain-google/issues/1234). Checked 2026-11.
 */
import { anthropicErrorOf, jsonOf, memberOf, plainSentence, refusedBetaOf } from "../error-reply.ts";
import type { ReplyClass, ReplyVerdict } from "../provider.ts";

type Told = NonNullable<ReplyVerdict["told"]>;

/** @param ownsCredential the client's own login was used, so a refusal of it is the client's to see */
export function classify(status: number, ownsCredential: boolean): ReplyClass {
  if (status === 401 || status === 403) return ownsCredential ? "deliver" : "credential";
  if (status === 404 || status === 408 || status === 429 || status >= 500) return "retryable";
  return "deliver";
}

interface Reply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly ownsCredential: boolean;
}

export function judge(reply: Reply): ReplyVerdict {
  const { status, headers, ownsCredential } = reply;
  const json = jsonOf(reply.body);
  const words = anthropicErrorOf(json);
  if (words !== undefined && (status === 400 || status === 413)) {
    const refusedBeta = status === 400 ? refusedBetaOf(words.message) : undefined;
    if (refusedBeta === undefined) return { replyClass: "deliver", told: undefined };
    // Told only when the second try fails as well; the client heals by these very words.
    return { replyClass: "deliver", told: { type: words.type, message: words.message }, refusedBeta };
  }
  const error = googleErrorOf(json);
  if (status === 400 && error !== undefined) return badRequest(error, headers);
  return { replyClass: classify(status, ownsCredential), told: { ...sentence(reply, error), ...waiting(headers, error) } };
}

/** Google's error, of which only the codes may be told. */
interface GoogleError {
  readonly message: string;
  readonly status: string | undefined;
  /** `ErrorInfo.reason`, in capitals: `ACCESS_TOKEN_EXPIRED`, `SERVICE_DISABLED`. */
  readonly reason: string | undefined;
  /** `RetryInfo.retryDelay`, seconds. */
  readonly retrySeconds: number | undefined;
}

function googleErrorOf(json: unknown): GoogleError | undefined {
  const error = memberOf(Array.isArray(json) ? json[0] : json, "error");
  const message = memberOf(error, "message");
  if (typeof message !== "string") return undefined;
  const details = memberOf(error, "details");
  const list: readonly unknown[] = Array.isArray(details) ? details : [];
  const reason = list.map((detail) => memberOf(detail, "reason")).find((value) => typeof value === "string" && /^[A-Z_]{3,60}$/.test(value));
  const delay = list.map((detail) => memberOf(detail, "retryDelay")).find((value): value is string => typeof value === "string" && /^\d{1,6}(?:\.\d+)?s$/.test(value));
  const status = memberOf(error, "status");
  return {
    message,
    status: typeof status === "string" ? status : undefined,
    reason: typeof reason === "string" ? reason : undefined,
    retrySeconds: delay === undefined ? undefined : Math.ceil(Number.parseFloat(delay)),
  };
}

/** A 400 of Google's front: of the place when the project may not use the model, else of the request. */
function badRequest({ message, status }: GoogleError, headers: readonly string[]): ReplyVerdict {
  if (status === "FAILED_PRECONDITION" || /publisher model/i.test(message)) {
    return { replyClass: "retryable", told: { ...plainSentence(404, headers, "The model is not enabled for the gateway's project at this location of Vertex AI."), status: 404 } };
  }
  if (/payload size exceeds|too large/i.test(message)) return { replyClass: "deliver", told: { ...plainSentence(413, headers), status: 413 } };
  if (/prompt is too long|input is too long/i.test(message)) {
    return { replyClass: "deliver", told: { type: "invalid_request_error", message: "prompt is too long for this model. capability_rejected: prompt_too_long" } };
  }
  return { replyClass: "deliver", told: plainSentence(400, headers, "Vertex AI refused the request as invalid.") };
}

function sentence({ status, headers, ownsCredential }: Reply, error: GoogleError | undefined): Told {
  if (status === 401 || status === 403) {
    const why = error?.reason === undefined ? "" : ` (${error.reason})`;
    const whose = ownsCredential ? "your Google login" : "the gateway's Google login";
    return plainSentence(status, headers, status === 401 ? `Vertex AI refused ${whose}${why}.` : `Vertex AI does not permit this with ${whose}${why}.`);
  }
  if (status === 404) return plainSentence(404, headers, "The model is not available at this location of Vertex AI, or not to this project.");
  if (status === 429) return plainSentence(429, headers, "The quota for this model on Vertex AI is used up for now; try again later.");
  return plainSentence(status, headers);
}

/** The reply's header first, then what the error's details say. */
function waiting(headers: readonly string[], error: GoogleError | undefined): { readonly retryAfterSeconds?: number } {
  const ofHeader = plainSentence(429, headers).retryAfterSeconds;
  const seconds = ofHeader ?? error?.retrySeconds;
  return seconds === undefined ? {} : { retryAfterSeconds: seconds };
}
