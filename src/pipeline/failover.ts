/**
 * Stage 5: the loop over the plan, and nothing but the retry policy. It ends with the one reply that goes to the client.
 * A fault of ours, or of a place, leads to the next target; a fault of the request ends the plan, and so does success.
 */
import { GatewayError } from "../kernel/gateway-error.ts";
import { headerValue } from "../wire/headers.ts";
import { openingFor } from "./admit.ts";
import { attemptTarget, type AttemptResult } from "./attempt.ts";
import { closeAttempt, type Billing } from "./close.ts";
import type { AttemptOutcome } from "./books.ts";
import type { Admitted, Committed } from "./exchange.ts";
import type { Services } from "./services.ts";

/** @throws GatewayError the last target's fault, when none gave a reply for the client; every attempt is closed then */
export async function failover(services: Services, admitted: Admitted): Promise<Committed> {
  const { exchange, targets, firstOpening } = admitted;
  let lastFault: GatewayError | undefined;
  for (const [index, target] of targets.entries()) {
    const opening = index === 0 ? firstOpening : openingFor(services, admitted, target, index + 1);
    if (index > 0) await services.books.openAttempt(opening);
    exchange.report.attempts = index + 1;
    exchange.report.provider = target.place.name;
    exchange.report.targetId = target.target.id;
    const result = await attemptTarget(services, admitted, target, opening);
    const verdict = judge(result, index === targets.length - 1);
    if (verdict.kind === "commit") return { ...admitted, ...verdict.result };
    lastFault = verdict.fault;
    const isReply = result.kind === "reply";
    if (isReply) result.reply.abort();
    closeAttempt(services, exchange, {
      attempt: result.attempt,
      outcome: isReply ? "upstream_error" : outcomeOf(result.fault, result.wasSent),
      status: isReply ? result.reply.status : 0,
      billing: billingOf(result),
      firstEventMs: undefined,
      responseBytes: 0,
      upstreamRequestId: isReply ? headerValue(result.reply.headers, "request-id") : undefined,
    });
    if (exchange.abort.signal.aborted) throw lastFault;
  }
  throw lastFault ?? new GatewayError("gateway_internal", { internal: "a plan without targets" });
}

type Verdict =
  | { readonly kind: "commit"; readonly result: Extract<AttemptResult, { kind: "reply" }> }
  | { readonly kind: "next"; readonly fault: GatewayError };

function judge(result: AttemptResult, isLast: boolean): Verdict {
  if (result.kind === "fault") return { kind: "next", fault: result.fault };
  const { place, target } = result.attempt.planned;
  const { status, headers } = result.reply;
  if (isSuccess(status) && !isMessagesReply(headers)) {
    return { kind: "next", fault: new GatewayError("upstream_reply_invalid", { internal: `status ${status} with content type ${headerValue(headers, "content-type") ?? "none"}` }) };
  }
  if (status >= 300 && status < 400) return { kind: "next", fault: new GatewayError("upstream_reply_invalid", { internal: `redirect with status ${status}` }) };
  const verdict = place.provider.classify(status, target.credential === "client");
  if (verdict === "credential") {
    const publicText = `The gateway's credential for ${place.name} was rejected; the gateway's operator has to mend that.`;
    return { kind: "next", fault: new GatewayError("gateway_credential_rejected", { publicText, internal: `${place.name} answered ${status}` }) };
  }
  if (verdict === "deliver" || isLast) return { kind: "commit", result };
  return { kind: "next", fault: new GatewayError("upstream_unreachable", { internal: `status ${status}` }) };
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A success that cannot be read may have cost something all the same. */
function billingOf(result: AttemptResult): Billing {
  if (result.kind === "reply") return isSuccess(result.reply.status) ? "likely" : "none";
  if (!result.wasSent) return "none";
  return outcomeOf(result.fault, true) === "broken" ? "unknown" : "likely";
}

/** How an attempt without a reply ended. */
function outcomeOf(fault: GatewayError, wasSent: boolean): AttemptOutcome {
  if (fault.code === "client_closed") return "client_closed";
  if (fault.code === "upstream_slow" || fault.code === "gateway_time_exceeded") return "timed_out";
  return wasSent ? "broken" : "unreachable";
}

/** A page of some proxy on the way, or nothing at all, must not reach a client as a model's answer. */
function isMessagesReply(headers: readonly string[]): boolean {
  const type = headerValue(headers, "content-type")?.toLowerCase() ?? "";
  return type.startsWith("application/json") || type.startsWith("text/event-stream");
}
