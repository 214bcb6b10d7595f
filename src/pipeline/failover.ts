/**
 * Stage 5: one try after the other until a reply is good enough for the client, and nothing but that loop. A fault of a place leads to
 * the next try; a fault of the request ends it, and so does success. A place that refuses one beta gets the request once more without it.
 */
import type { FailureClass } from "../config/gateway-config.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { circuitKey } from "../routing/state.ts";
import type { TriedAgain } from "../telemetry/metrics.ts";
import { headerValue } from "../wire/headers.ts";
import { attemptTarget, forgoBeta, type AttemptResult } from "./attempt.ts";
import { closeAttempt, type Billing } from "./close.ts";
import type { AttemptOutcome } from "./books.ts";
import { createCourse, type Course, type Failed, type Try } from "./course.ts";
import type { Admitted, Committed, Exchange } from "./exchange.ts";
import { failureOf, noteOutcome, waitOf } from "./failures.ts";
import { awaitContent, awaitWhole, isPassingFault, isStream, mayBeHeld } from "./first-content.ts";
import type { Turn } from "./limits.ts";
import type { Services } from "./services.ts";
import { isSuccess, judge, refusalIn, type Verdict } from "./verdict.ts";

/**
 * @param turn moves to a model that steps in
 * @throws GatewayError what tells best why none gave a reply for the client; every attempt is closed then
 */
export async function failover(services: Services, first: Admitted, turn: Turn | undefined): Promise<Committed> {
  const { exchange } = first;
  const course = createCourse(services, first, turn);
  const faults: GatewayError[] = [];
  let hasDroppedBeta = false;
  let current: Try = { admitted: first, target: first.targets[0]!, opened: first.first };
  for (;;) {
    const { admitted, target } = current;
    report(exchange, current, course);
    warm(services, current, "claim");
    services.routing.health.dispatched(circuitKey(target));
    const result = await attemptTarget(services, admitted, target, current.opened);
    if (!isServed(result)) course.leaveOutDear(current);
    const judged = await look(services, current, result, course, faults);
    const { verdict } = judged;
    const failure = note(services, current, judged);
    if (verdict.kind === "commit") return { ...admitted, ...verdict.result };
    faults.push(verdict.fault);
    const isOver = exchange.ending.reason !== undefined || (verdict.kind === "stop" && judged.refusedFor === undefined) || mustStop(result);
    closeFailed(services, exchange, judged, !isOver && course.hasMore(judged.refusedFor));
    if (isOver) throw verdict.fault;
    const next = verdict.kind === "again" ? await withoutBeta() : await course.next({ last: current, isPassing: isPassingFault(verdict.fault), failure, waitSeconds: waitOf(result, verdict.fault), refusedFor: judged.refusedFor });
    if (next === undefined) throw verdict.kind === "again" || judged.refusedFor !== undefined ? verdict.fault : bestOf(faults);
    services.metrics.triedAgain({ kind: kindOf(current, next, verdict), target: target.target.id });
    current = next;

    async function withoutBeta(): Promise<Try | undefined> {
      if (verdict.kind !== "again" || hasDroppedBeta || !forgoBeta(services, admitted, { plannedTarget: target, refusedBeta: verdict.refusedBeta, loss: result.attempt.loss })) return undefined;
      hasDroppedBeta = true;
      return course.again(current);
    }
  }
}

function kindOf(last: Try, next: Try, verdict: Verdict): TriedAgain["kind"] {
  if (verdict.kind === "again") return "without_beta";
  if (next.admitted !== last.admitted) return "fallback";
  return next.target === last.target ? "retry" : "failover";
}

/** A try with what is to become of it. */
interface Judged {
  readonly result: AttemptResult;
  readonly verdict: Verdict;
  readonly refusedFor: Failed["refusedFor"];
}

/** Looks at a result, and where another could follow, further into it than at its head. */
async function look(services: Services, { admitted }: Try, result: AttemptResult, course: Course, faults: readonly GatewayError[]): Promise<Judged> {
  const { exchange, payload } = admitted;
  const verdict = await judge(result, !course.hasMore() && !mustSpeakForAll(result, faults), payload.bytes);
  if (verdict.kind === "stop") {
    const refusedFor = exchange.dialect.refusedFor(verdict.fault.spec.text);
    return { result, verdict, refusedFor: refusedFor !== undefined && course.hasMore(refusedFor) ? refusedFor : undefined };
  }
  if (verdict.kind !== "commit") return { result, verdict, refusedFor: undefined };
  if (isSuccess(verdict.result.reply.status)) return { result, verdict: await hold(services, exchange, verdict, course), refusedFor: undefined };
  return refused(exchange, verdict, course, result);
}

/** Of several failures the last one's words are no answer, unless they say what the client has to act on. */
function mustSpeakForAll(result: AttemptResult, faults: readonly GatewayError[]): boolean {
  if (faults.length === 0 || result.kind === "fault") return false;
  const { status } = result.reply;
  return status !== 429 && (faults.some(({ spec }) => spec.status === 429) || (status !== 503 && status !== 529));
}

type Commit = Extract<Verdict, { kind: "commit" }>;

/** A stream's head promises nothing: an error in the place of its first content is still another target's chance. */
async function hold(services: Services, exchange: Exchange, verdict: Commit, course: Course): Promise<Verdict> {
  const { attempt, reply } = verdict.result;
  const holdMs = exchange.snapshot.config.routing.holdEventsMs;
  if (!course.hasMore()) return verdict;
  if (!isStream(reply)) return holdPlain(exchange, verdict);
  if (holdMs === 0 || !mayBeHeld(reply)) return verdict;
  const beginning = await awaitContent(services, exchange, { attempt, reply, holdMs });
  const { fault, observer } = beginning;
  if (fault === undefined || !isPassingFault(fault) || exchange.ending.reason !== undefined) return { kind: "commit", result: { ...verdict.result, reply: beginning.reply } };
  return { kind: "next", fault, begun: { ...attempt, observer } };
}

/** Nothing of a plain reply goes out before it is whole, so that waiting for it here costs the caller nothing. */
async function holdPlain(exchange: Exchange, verdict: Commit): Promise<Verdict> {
  const { attempt } = verdict.result;
  const { reply, fault } = await awaitWhole(verdict.result.reply);
  if (fault === undefined || !isPassingFault(fault) || exchange.ending.reason !== undefined) return { kind: "commit", result: { ...verdict.result, reply } };
  return { kind: "next", fault, begun: attempt };
}

/** A refusal that another model may not give. */
async function refused(exchange: Exchange, verdict: Commit, course: Course, result: AttemptResult): Promise<Judged> {
  const asItIs: Judged = { result, verdict, refusedFor: undefined };
  const { status } = verdict.result.reply;
  if ((status !== 400 && status !== 413) || !(course.hasMore("contextWindow") || course.hasMore("contentPolicy"))) return asItIs;
  const { words, reply } = await refusalIn(verdict.result.reply);
  const commit: Commit = { kind: "commit", result: { ...verdict.result, reply } };
  const refusedFor = exchange.dialect.refusedFor(words);
  if (refusedFor === undefined || !course.hasMore(refusedFor)) return { ...asItIs, verdict: commit };
  // Told only where no other model turns out to have room.
  return { result, refusedFor, verdict: { kind: "stop", fault: new GatewayError("upstream_refused", { internal: `status ${status}: ${refusedFor}`, status, type: "invalid_request_error", publicText: refusedFor === "contextWindow" ? "prompt is too long" : "Output blocked by content filtering policy" }) } };
}

function report(exchange: Exchange, { target }: Try, course: Course): void {
  exchange.report.attempts = course.attempts();
  exchange.report.provider = target.place.name;
  exchange.report.targetId = target.target.id;
}

/** What circuits and affinity learn of a try. A caller who leaves tells nothing of the place. @returns what it tells of the place */
function note(services: Services, current: Try, { result, verdict }: Judged): FailureClass | undefined {
  const { exchange } = current.admitted;
  if (exchange.ending.reason !== undefined) {
    services.routing.health.giveUp(circuitKey(current.target));
    warm(services, current, "release");
    return undefined;
  }
  const fault = verdict.kind === "commit" ? undefined : verdict.fault;
  const failure = failureOf(result, fault);
  noteOutcome(services, exchange, current.target, { failure, retryAfterSeconds: waitOf(result, fault) });
  warm(services, current, verdict.kind === "commit" && isServed(result) ? "confirm" : failure === undefined ? "keep" : "release");
  return failure;
}

function warm({ routing: { affinity } }: Services, { admitted: { warmth }, target: { target } }: Try, act: "claim" | "confirm" | "release" | "keep"): void {
  if (warmth === undefined || act === "keep") return;
  if (act === "release") affinity.release(warmth.key, target.id);
  else affinity[act](warmth.key, target.id, warmth.ttlMs);
}

/** The soonest end of a limit, else that all are out of order; never that our own login was refused, unless that is all there is. */
function bestOf(faults: readonly GatewayError[]): GatewayError {
  const last = faults.at(-1)!;
  if (faults.length === 1) return last;
  const limits = faults.filter(({ spec }) => spec.status === 429).toSorted((a, b) => (a.spec.retryAfterSeconds ?? Infinity) - (b.spec.retryAfterSeconds ?? Infinity));
  const [soonest] = limits;
  if (soonest !== undefined) return soonest;
  if (faults.every(({ code }) => code === "gateway_credential_rejected")) return last;
  const overloaded = faults.findLast(({ spec }) => spec.status === 529 || spec.status === 503);
  const waits = faults.flatMap(({ spec }) => spec.retryAfterSeconds ?? []);
  return new GatewayError("upstream_all_failed", {
    internal: faults.map((fault) => fault.message).join("; "),
    ...(waits.length === 0 ? {} : { retryAfterSeconds: Math.min(...waits) }),
    ...(overloaded?.code === "upstream_refused" ? { status: overloaded.spec.status, publicText: overloaded.spec.text } : {}),
  });
}

function isServed(result: AttemptResult): boolean {
  return result.kind === "reply" && isSuccess(result.reply.status);
}

/** A request that a place cannot take as it is, found before anything was sent, is the client's to mend. */
function mustStop(result: AttemptResult): boolean {
  return result.kind === "fault" && !result.wasSent && result.fault.spec.blame === "client" && result.fault.code !== "client_closed";
}

/** @param isWasted nothing of it is told to the caller, since others are tried */
function closeFailed(services: Services, exchange: Exchange, { result, verdict }: Judged, isWasted: boolean): void {
  const begun = verdict.kind === "next" ? verdict.begun : undefined;
  const isReply = result.kind === "reply";
  if (isReply) result.reply.abort();
  closeAttempt(services, exchange, {
    attempt: begun ?? result.attempt,
    outcome: begun !== undefined && begun.observer.ending() !== "error" ? "broken" : isReply ? "upstream_error" : outcomeOf(result.fault, result.wasSent),
    status: isReply ? result.reply.status : 0,
    // An error in place of a beginning means that nothing was generated.
    billing: begun !== undefined && begun.observer.ending() === "error" && !begun.observer.hasStarted() ? "none" : billingOf(result),
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
