/** What the result of one attempt means: the reply for the client, a reason to try elsewhere or again, or the end of the plan. */
import type { UpstreamReply } from "../egress/reply.ts";
import { errorReplyBytesMax } from "../kernel/bounds.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { plainSentence } from "../providers/error-reply.ts";
import type { ReplyVerdict } from "../providers/provider.ts";
import { decodeWhole } from "../wire/content-coding.ts";
import { headerValue } from "../wire/headers.ts";
import type { AttemptResult } from "./attempt.ts";
import type { Attempt, PlannedTarget } from "./exchange.ts";
import { operatorWords } from "./operator-words.ts";

type ReplyResult = Extract<AttemptResult, { kind: "reply" }>;

export type Verdict =
  | { readonly kind: "commit"; readonly result: ReplyResult }
  /** Another target may do better. `begun`: the attempt with what its stream had told by then. */
  | { readonly kind: "next"; readonly fault: GatewayError; readonly begun?: Attempt }
  /** The request itself is at fault, and is told so in other words than the upstream's. */
  | { readonly kind: "stop"; readonly fault: GatewayError }
  /** The same target may do better without this beta. */
  | { readonly kind: "again"; readonly refusedBeta: string; readonly fault: GatewayError };

/**
 * @param isLast no other target is left, so a retryable reply goes to the client
 * @param request the client's body, of which the log may hold nothing
 */
export async function judge(result: AttemptResult, isLast: boolean, request: Buffer): Promise<Verdict> {
  if (result.kind === "fault") return { kind: "next", fault: result.fault };
  const { attempt, reply } = result;
  const { place, target } = attempt.planned;
  const { status, headers } = reply;
  if (isSuccess(status) && !isMessagesReply(headers, place.provider.unframe !== undefined)) {
    return { kind: "next", fault: new GatewayError("upstream_reply_invalid", { internal: `status ${status} with content type ${headerValue(headers, "content-type") ?? "none"}` }) };
  }
  if (status >= 300 && status < 400) return { kind: "next", fault: new GatewayError("upstream_reply_invalid", { internal: `redirect with status ${status}` }) };
  const ownsCredential = target.credential === "client";
  if (status >= 400 && place.provider.judge !== undefined) return judgeError(result, isLast, request);
  const verdict = place.provider.classify(status, ownsCredential);
  if (verdict === "credential") return { kind: "next", fault: credentialRejected(attempt.planned, status, "") };
  if (verdict === "deliver" || isLast) return { kind: "commit", result };
  // Told only where no other target turns out to have room; its own words are gone by then.
  return { kind: "next", fault: told({ replyClass: verdict, told: plainSentence(status, headers) }, reply, "not read") };
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** An error reply of a place whose words may not all be passed on. */
async function judgeError(result: ReplyResult, isLast: boolean, request: Buffer): Promise<Verdict> {
  const { attempt, reply } = result;
  const { provider } = attempt.planned.place;
  const ownsCredential = attempt.planned.target.credential === "client";
  const read = await readError(reply);
  if (read instanceof GatewayError) return { kind: "next", fault: read };
  const verdict = provider.judge!({ status: reply.status, headers: reply.headers, body: read.decoded, ownsCredential });
  const fault = told(verdict, reply, operatorWords(read.decoded, request));
  if (verdict.refusedBeta !== undefined) return { kind: "again", refusedBeta: verdict.refusedBeta, fault };
  if (verdict.replyClass === "credential") return { kind: "next", fault: credentialRejected(attempt.planned, reply.status, operatorWords(read.decoded, request)) };
  if (verdict.replyClass === "retryable" && !isLast) return { kind: "next", fault };
  if (verdict.told !== undefined) return { kind: "stop", fault };
  return { kind: "commit", result: { ...result, reply: readAlready(reply, read.raw) } };
}

/** Their own words stay in the log: they may name accounts. See `operator-words.ts` for what of them. */
export function told(verdict: ReplyVerdict, reply: Pick<UpstreamReply, "status" | "headers">, words: string): GatewayError {
  const internal = `status ${reply.status}: ${words}`;
  if (verdict.told === undefined) return new GatewayError("upstream_refused", { internal, status: reply.status });
  const { type, message, status, retryAfterSeconds, shouldRetry } = verdict.told;
  return new GatewayError("upstream_refused", { internal, publicText: message, type, status: status ?? reply.status, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }), ...(shouldRetry === undefined ? {} : { shouldRetry }) });
}

/** Our own login was refused; the client's key is as good as before. */
export function credentialRejected(planned: PlannedTarget, status: number, words: string): GatewayError {
  const { place } = planned;
  place.provider.refused?.(place.credentials);
  const publicText = `The gateway's credential for ${place.name} was rejected; the gateway's operator has to mend that.`;
  return new GatewayError("gateway_credential_rejected", { publicText, internal: `${place.name} answered ${status} ${words}`.trimEnd() });
}

async function readError(reply: UpstreamReply): Promise<{ readonly raw: Buffer; readonly decoded: Buffer } | GatewayError> {
  const raw = await collectReply(reply, errorReplyBytesMax).catch((fault: unknown) => (fault instanceof GatewayError ? fault : new GatewayError("upstream_stream_broken")));
  if (raw instanceof GatewayError) return raw;
  const decoded = await decodeWhole(headerValue(reply.headers, "content-encoding"), raw, errorReplyBytesMax);
  return { raw, decoded: decoded ?? raw };
}

/** An error reply's words, and the reply as if nobody had read it. */
export async function refusalIn(reply: UpstreamReply): Promise<{ readonly words: string; readonly reply: UpstreamReply }> {
  const read = await readError(reply);
  if (read instanceof GatewayError) throw read;
  return { words: read.decoded.toString("utf8"), reply: readAlready(reply, read.raw) };
}

/** @throws GatewayError when it breaks off, or is larger than `bytesMax` */
export function collectReply(reply: UpstreamReply, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytesRead = 0;
  return new Promise((resolve, reject) => {
    reply.consume({
      data(bytes) {
        bytesRead += bytes.length;
        if (bytesRead > bytesMax) {
          // Rejected first: an abort fails the reply as if the client had left.
          reject(new GatewayError("upstream_reply_invalid", { internal: `a reply with status ${reply.status} is larger than ${bytesMax} bytes` }));
          return reply.abort();
        }
        pieces.push(bytes);
      },
      end: () => resolve(Buffer.concat(pieces)),
      fail: reject,
    });
  });
}

/** A reply whose body was read to judge it, as if it had not been. */
function readAlready(reply: UpstreamReply, body: Buffer): UpstreamReply {
  return {
    status: reply.status,
    headers: reply.headers,
    consume(consumer) {
      if (body.length > 0) consumer.data(body);
      consumer.end();
    },
    pause: () => {},
    resume: () => {},
    onFlushed: (act) => reply.onFlushed(act),
    abort: () => {},
  };
}

/** A page of some proxy on the way, or nothing at all, must not reach a client as a model's answer. */
function isMessagesReply(headers: readonly string[], mayBeFramed: boolean): boolean {
  const type = headerValue(headers, "content-type")?.toLowerCase() ?? "";
  return type.startsWith("application/json") || type.startsWith("text/event-stream") || (mayBeFramed && type.startsWith(framedType));
}

/** Content type of a stream in AWS's framing. */
export const framedType = "application/vnd.amazon.eventstream";
