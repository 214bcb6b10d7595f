/**
 * Stage 5: the loop over the plan, and nothing but the retry policy. It ends with the one reply that goes to the client.
 * A fault of ours, or of a place, leads to the next target; a fault of the request ends the plan, and so does success. A place
 * that refuses one beta gets the request once more without it.
 */
import { GatewayError } from "../kernel/gateway-error.ts";
import { headerValue } from "../wire/headers.ts";
import { isTooDear, openNext } from "./admit.ts";
import { attemptTarget, forgoBeta, type AttemptResult } from "./attempt.ts";
import { closeAttempt, type Billing } from "./close.ts";
import type { AttemptOutcome } from "./books.ts";
import type { Admitted, Committed } from "./exchange.ts";
import type { Services } from "./services.ts";
import { isSuccess, judge } from "./verdict.ts";

/** @throws GatewayError the last target's fault, when none gave a reply for the client; every attempt is closed then */
export async function failover(services: Services, admitted: Admitted): Promise<Committed> {
  const { exchange } = admitted;
  let waiting = [...admitted.targets];
  let lastFault: GatewayError | undefined;
  let hasDroppedBeta = false;
  for (let ordinal = 1; waiting.length > 0; ordinal++) {
    const target = waiting.shift()!;
    const opened = ordinal === 1 ? admitted.first : await openNext(services, admitted, target, ordinal);
    // A place that is too dear is left out, like one that is down.
    if (opened === undefined) continue;
    exchange.report.attempts = ordinal;
    exchange.report.provider = target.place.name;
    exchange.report.targetId = target.target.id;
    const result = await attemptTarget(services, admitted, target, opened);
    if (!isServed(result)) waiting = waiting.filter((other) => !isTooDear(services, admitted, other, opened.opening));
    const verdict = await judge(result, waiting.length === 0, admitted.payload.bytes);
    if (verdict.kind === "commit") return { ...admitted, ...verdict.result };
    lastFault = verdict.fault;
    const isLast = exchange.ending.reason !== undefined || verdict.kind === "stop" || mustStop(result);
    closeFailed(services, admitted, result, !isLast && waiting.length > 0);
    if (isLast) throw lastFault;
    if (verdict.kind === "again") {
      if (hasDroppedBeta || !forgoBeta(services, admitted, { plannedTarget: target, refusedBeta: verdict.refusedBeta, loss: result.attempt.loss })) throw lastFault;
      hasDroppedBeta = true;
      waiting.unshift(target);
    }
  }
  throw lastFault ?? new GatewayError("gateway_internal", { internal: "a plan without targets" });
}

function isServed(result: AttemptResult): boolean {
  return result.kind === "reply" && isSuccess(result.reply.status);
}

/** A request that a place cannot take as it is, found before anything was sent, is the client's to mend. */
function mustStop(result: AttemptResult): boolean {
  return result.kind === "fault" && !result.wasSent && result.fault.spec.blame === "client" && result.fault.code !== "client_closed";
}

/** @param isWasted nothing of it is told to the caller, since others are tried */
function closeFailed(services: Services, { exchange }: Admitted, result: AttemptResult, isWasted: boolean): void {
  const isReply = result.kind === "reply";
  if (isReply) result.reply.abort();
  closeAttempt(services, exchange, {
    attempt: result.attempt,
    outcome: isReply ? "upstream_error" : outcomeOf(result.fault, result.wasSent),
    status: isReply ? result.reply.status : 0,
    billing: billingOf(result),
    firstEventMs: undefined,
    responseBytes: 0,
    upstreamRequestId: isReply ? upstreamRequestId(result.reply.headers) : undefined,
    isWasted,
  });
}

/** The id under which the provider knows the request. */
export function upstreamRequestId(headers: readonly string[]): string | undefined {
  return headerValue(headers, "request-id") ?? headerValue(headers, "x-amzn-requestid") ?? headerValue(headers, "apim-request-id");
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
  if (fault.code === "upstream_slow" || fault.code === "gateway_time_exceeded" || fault.code === "gateway_draining") return "timed_out";
  return wasSent ? "broken" : "unreachable";
}

