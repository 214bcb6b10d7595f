/**
 * Stage 6, after the commit: the upstream's bytes to the client. Streams go as they come, plain replies when they are
 * complete; a tap reads usage on the way and cannot break it.
 */
import type { ServerResponse } from "node:http";
import type { ReplyConsumer, UpstreamReply } from "../egress/reply.ts";
import { plainReplyHoldBytesMax, plainReplyMeterBytesMax } from "../kernel/bounds.ts";
import { errorCodes } from "../kernel/error-codes.ts";
import { asGatewayError, GatewayError, internalWords } from "../kernel/gateway-error.ts";
import { releaseMemory } from "../kernel/memory.ts";
import { charged, formatUsd, nanoUsd } from "../kernel/money.ts";
import { decodeFor, decodeWhole } from "../wire/content-coding.ts";
import { forwardableReplyHeaders, headerValue, withoutHeader } from "../wire/headers.ts";
import type { AttemptOutcome } from "./books.ts";
import { closeAttempt, priced } from "./close.ts";
import { inClientsForm } from "./error-form.ts";
import type { Committed, Replaced } from "./exchange.ts";
import { watchHold } from "./holds.ts";
import { watchOf } from "./report.ts";
import { upstreamRequestId } from "./failover.ts";
import { failureOfFault, noteOutcome } from "./failures.ts";
import type { Services } from "./services.ts";
import { createPlainMeter, type PlainMeter } from "./plain-meter.ts";
import { createStreamPath, type Passed } from "./stream-path.ts";
import { framedType } from "./verdict.ts";

const nothing = Buffer.alloc(0);

/** Node writes strings up to 16 KiB, head included, from its stack. */
const oneWriteBytesMax = 12 * 1024;

/** How the passing ended. `fault` is set when nothing had been sent yet, so that it can still be answered properly. */
interface Passing {
  readonly outcome: AttemptOutcome;
  readonly fault: GatewayError | undefined;
  readonly firstEventMs: number | undefined;
  readonly responseBytes: number;
}

/** @throws GatewayError when the reply broke before its first byte went out; the attempt is closed in any case */
export async function relay(services: Services, committed: Committed): Promise<void> {
  const { exchange, attempt, reply } = committed;
  letBodyGo(committed);
  const type = headerValue(reply.headers, "content-type")?.toLowerCase() ?? "";
  const isFramed = type.startsWith(framedType);
  const passing = await (isFramed || type.startsWith("text/event-stream") ? passStream(services, committed, isFramed) : passPlain(services, committed));
  exchange.report.firstEventMs = passing.firstEventMs;
  exchange.report.responseBytes = passing.responseBytes;
  closeAttempt(services, exchange, {
    attempt,
    outcome: passing.outcome,
    status: reply.status,
    // An error in place of a beginning means that nothing was generated.
    billing: reply.status < 400 && (passing.outcome !== "upstream_error" || attempt.observer.hasStarted()) ? "likely" : "none",
    firstEventMs: passing.firstEventMs,
    responseBytes: passing.responseBytes,
    upstreamRequestId: upstreamRequestId(reply.headers),
  });
  noteBreak(services, committed, passing);
  if (passing.fault !== undefined) throw passing.fault;
}

/** A place that breaks off after its head has not served, whatever its status said. */
function noteBreak(services: Services, { exchange, attempt, warmth }: Committed, { outcome, fault }: Passing): void {
  if (exchange.ending.reason !== undefined || (outcome !== "broken" && outcome !== "timed_out")) return;
  const failure = fault === undefined ? (outcome === "broken" ? "broken" : "timeout") : failureOfFault(fault);
  if (failure === undefined) return;
  noteOutcome(services, exchange, attempt.planned, { failure, retryAfterSeconds: undefined });
  if (warmth !== undefined) services.routing.affinity.release(warmth.key, attempt.planned.target.id);
}

/** From the commit on there is no other target to send it to; but an upstream may answer before it has read everything. */
function letBodyGo({ payload, reply }: Committed): void {
  const { bytes } = payload;
  payload.bytes = nothing;
  reply.onFlushed(() => releaseMemory(bytes));
}

/** Status and headers of the reply, with our own beside them. From here on there is no failover. */
function commit(services: Services, committed: Committed, replyHeaders: readonly string[], { readyAt, extra = [] }: { readonly readyAt: number; readonly extra?: readonly string[] }): void {
  const { exchange, attempt, reply } = committed;
  // Our own time only: neither the client's upload nor the upstream's work is in it.
  const overheadMs = attempt.dispatchedAt - exchange.startedAt - exchange.report.uploadMs + (services.clock.monotonic() - readyAt);
  exchange.report.overheadMs = overheadMs;
  const headers = forwardableReplyHeaders(replyHeaders, attempt.planned.target.credential === "client");
  const { requestIdHeader } = exchange.ingress;
  if (headerValue(headers, requestIdHeader) === undefined) headers.push(requestIdHeader, exchange.requestId);
  headers.push(
    "x-tollgate-request-id", exchange.requestId,
    "x-tollgate-overhead-ms", overheadMs.toFixed(2),
    "x-litellm-call-id", exchange.requestId,
    "x-litellm-model-id", attempt.planned.target.id,
    ...extra,
  );
  if (attempt.loss.length > 0) headers.push("x-tollgate-loss", attempt.loss.join(", ").replace(/[^ -~]/g, "?").slice(0, 4_096));
  if (committed.insteadOf !== undefined) headers.push(...replacedHeaders(committed.insteadOf, committed.route.publicName));
  // The last of several refusals is told in its own words, and callers are told when to come back in any case.
  if (exchange.report.attempts > 1 && (reply.status === 503 || reply.status === 529) && headerValue(headers, "retry-after") === undefined) headers.push("retry-after", String(errorCodes.upstream_all_failed.retryAfterSeconds));
  if (exchange.report.attempts > 1) headers.push("x-tollgate-attempts", String(exchange.report.attempts), "x-litellm-attempted-retries", String(exchange.report.attempts - 1));
  if (committed.notice !== undefined) headers.push("x-tollgate-notice", committed.notice);
  exchange.response.writeHead(reply.status, headers);
}

/** A client must be able to see that another model answers than the one it asked for. */
function replacedHeaders({ model, reason, count }: Replaced, served: string): string[] {
  const [asked, instead] = [model, served].map((name) => name.replace(/[^ -~]/g, "?"));
  const why = reason === "budget" ? ["x-tollgate-downgraded-from", asked!] : ["x-tollgate-fallback-from", asked!, "x-litellm-attempted-fallbacks", String(count)];
  return [...why, "x-tollgate-model", instead!];
}

/** Without a length, since a ping or an error event may come in between. */
function streamHeaders(headers: readonly string[], contentType: string | undefined, isCoded: boolean): readonly string[] {
  let result = withoutHeader(headers, "content-length");
  if (isCoded) result = withoutHeader(result, "content-encoding");
  return contentType === undefined ? result : [...withoutHeader(result, "content-type"), "content-type", contentType];
}

function passStream(services: Services, committed: Committed, isFramed: boolean): Promise<Passing> {
  const { exchange, attempt, reply } = committed;
  const { response } = exchange;
  const watched = watchOf(exchange);
  const path = createStreamPath(exchange.dialect, exchange.ingress, isFramed ? attempt.planned.place.provider.unframe?.() : undefined);
  const coding = headerValue(reply.headers, "content-encoding");
  const isCoded = coding !== undefined && coding.toLowerCase() !== "identity";
  const held = watchHold(services, committed, attempt);
  let firstEventMs: number | undefined;
  let responseBytes = 0;

  return new Promise((resolve) => {
    const done = (outcome: AttemptOutcome, fault?: GatewayError): void => {
      response.off("drain", onDrain);
      if (abandoned !== undefined) exchange.ending.remove(abandoned);
      resolve({ outcome, fault, firstEventMs, responseBytes });
    };
    let abandoned: (() => void) | undefined;
    let isOver = false;
    /** Of the piece in hand. */
    let readAt = committed.headAt;
    let flow: Pick<UpstreamReply, "pause" | "resume"> = reply;
    const onDrain = (): void => flow.resume();
    const write = ({ out, events }: Passed): void => {
      if (out.length === 0) return;
      if (firstEventMs === undefined) {
        firstEventMs = services.clock.monotonic() - attempt.dispatchedAt;
        commit(services, committed, streamHeaders(reply.headers, path.contentType, isCoded), { readyAt: readAt });
        watched?.onSilence(exchange.snapshot.config.timeouts.pingMs, ping);
        services.metrics.streamOpened();
      }
      responseBytes += out.length;
      if (!response.write(out)) flow.pause();
      if (events.length > 0) tap(services, committed, () => attempt.observer.streamEvents(events));
    };
    const ping = (): void => {
      if (attempt.observer.hasStarted() && attempt.observer.ending() === "broken" && path.isAtBorder() && !response.writableNeedDrain && !response.writableEnded) response.write(path.ping);
    };
    const finishWith = (outcome: AttemptOutcome, fault: GatewayError | undefined): void => {
      if (firstEventMs === undefined) return done(outcome, fault ?? new GatewayError("upstream_reply_invalid", { internal: "empty stream" }));
      if (fault !== undefined) {
        exchange.report.fault = fault;
        // Inside an event that was too large to be held back, only a broken connection tells the client the truth.
        if (!path.isAtBorder()) response.destroy();
        if (!response.destroyed) response.write(path.error(fault, exchange.requestId));
      }
      services.metrics.streamClosed();
      response.end();
      done(outcome);
    };
    /** After the last event there is nothing left to break, whatever comes, and nothing may follow. */
    const endAsTold = (): boolean => {
      const ending = attempt.observer.ending();
      if (ending !== "broken") finishWith(ending === "error" ? "upstream_error" : "completed", undefined);
      return ending !== "broken";
    };
    const consumer: ReplyConsumer = {
      data(bytes) {
        if (isOver) return;
        watched?.touch();
        readAt = services.clock.monotonic();
        write(path.push(bytes));
        const fault = path.fault() ?? held.afterEvents();
        if (fault === undefined) return;
        isOver = true;
        reply.abort();
        if (!endAsTold()) finishWith(fault.code === "client_budget_exceeded" ? "cut" : "upstream_error", fault);
      },
      end() {
        if (isOver) return;
        write(path.finish());
        if (!endAsTold()) finishWith("broken", new GatewayError("upstream_stream_broken"));
      },
      fail(fault) {
        if (isOver) return;
        if (!endAsTold()) finishWith(outcomeOf(fault), fault);
      },
    };
    const guarded = endingOnThrow(consumer, (fault) => {
      isOver = true;
      reply.abort();
      if (firstEventMs !== undefined) services.metrics.streamClosed();
      abandon(services, committed, fault, done);
    });
    response.on("drain", onDrain);
    if (!isCoded) return reply.consume(guarded);
    const decoding = decodeFor(guarded, coding, reply);
    flow = decoding.flow;
    // Once the upstream has sent all, nothing but this tells a decoder that waits for the client that there is none any more.
    abandoned = () => decoding.consumer.fail(exchange.ending.reason ?? new GatewayError("client_closed"));
    reply.consume(decoding.consumer);
    if (exchange.ending.reason === undefined) exchange.ending.add(abandoned);
    else abandoned();
  });
}

/**
 * Holds a plain reply until it is complete, so that its cost can be told in a header and a reply that breaks off is a clean
 * error; a very large one is passed on from the bound on.
 */
function passPlain(services: Services, committed: Committed): Promise<Passing> {
  const { exchange, attempt, reply } = committed;
  const { response } = exchange;
  const coding = headerValue(reply.headers, "content-encoding");
  const pieces: Buffer[] = [];
  let responseBytes = 0;
  /** Of a reply that is passed on as it comes. */
  let meter: PlainMeter | undefined;
  const firstEventMs = committed.headAt - attempt.dispatchedAt;

  return new Promise((resolve) => {
    const done = (outcome: AttemptOutcome, fault?: GatewayError): void => {
      response.off("drain", onDrain);
      resolve({ outcome, fault, firstEventMs, responseBytes });
    };
    const flow = eitherMayHold(reply);
    const onDrain = flow.forReader.release;
    const complete = async (): Promise<void> => {
      const readyAt = services.clock.monotonic();
      if (meter === undefined) {
        const whole = Buffer.concat(pieces, responseBytes);
        if (reply.status === 200 && whole.length === 0) return done("broken", new GatewayError("upstream_reply_invalid", { internal: "empty body" }));
        meterPlain(services, committed, await decodeWhole(coding, whole, plainReplyMeterBytesMax));
        const { headers, added, body } = await inClientsForm(exchange.ingress, reply, whole);
        commit(services, committed, headers, { readyAt, extra: [...costHeader(services, committed), ...added] });
        endWith(response, body);
      } else {
        meterPlain(services, committed, await meter.finish());
        response.end();
      }
      done(reply.status < 400 ? "completed" : "upstream_error");
    };
    const pass = (bytes: Buffer): void => {
      meter?.push(bytes);
      if (!response.write(bytes)) flow.forReader.hold();
    };
    response.on("drain", onDrain);
    const giveUp = (fault: unknown): void => {
      reply.abort();
      abandon(services, committed, fault, done);
    };
    const consumer: ReplyConsumer = {
      data(bytes) {
        responseBytes += bytes.length;
        if (meter !== undefined) return pass(bytes);
        pieces.push(bytes);
        if (responseBytes <= plainReplyHoldBytesMax) return;
        meter = createPlainMeter(coding, flow.forMeter);
        commit(services, committed, reply.headers, { readyAt: services.clock.monotonic() });
        for (const piece of pieces.splice(0)) pass(piece);
      },
      end: () => void complete().catch(giveUp),
      fail(fault) {
        if (meter !== undefined) response.destroy();
        done(outcomeOf(fault), fault);
      },
    };
    reply.consume(endingOnThrow(consumer, giveUp));
  });
}

/** A fault of ours in the middle of a reply ends this reply: thrown on, it would end the process with everybody's. */
function endingOnThrow(consumer: ReplyConsumer, onThrow: (fault: unknown) => void): ReplyConsumer {
  const guard = (act: () => void): void => {
    try {
      act();
    } catch (fault) {
      onThrow(fault);
    }
  };
  return { data: (bytes) => guard(() => consumer.data(bytes)), end: () => guard(() => consumer.end()), fail: (fault) => guard(() => consumer.fail(fault)) };
}

/** The attempt is closed all the same, and the client is answered where it can be. */
function abandon(services: Services, { exchange }: Committed, fault: unknown, done: (outcome: AttemptOutcome, fault?: GatewayError) => void): void {
  const told = asGatewayError(fault);
  services.log.error({ requestId: exchange.requestId, internal: told.details.internal }, "a reply was given up inside the gateway");
  if (!exchange.response.headersSent) return done("broken", told);
  exchange.response.destroy();
  done("broken");
}

/**
 * A small reply goes with its head as one string in one direct write: pieces in two forms would be gathered by way of an
 * allocation and a slower call of the socket.
 */
function endWith(response: ServerResponse, body: Buffer): void {
  const { socket } = response;
  if (body.length > oneWriteBytesMax || socket === null) return void response.end(body);
  socket.cork();
  response.write(body.toString("latin1"), "latin1");
  socket.uncork();
  response.end();
}

/** Whoever reads and whoever meters can hold the upstream back; it sends while neither does. */
function eitherMayHold(reply: UpstreamReply): Readonly<Record<"forReader" | "forMeter", { readonly hold: () => void; readonly release: () => void }>> {
  const holding = new Set<string>();
  const side = (name: string): { readonly hold: () => void; readonly release: () => void } => ({
    hold() {
      holding.add(name);
      reply.pause();
    },
    release() {
      if (holding.delete(name) && holding.size === 0) reply.resume();
    },
  });
  return { forReader: side("reader"), forMeter: side("meter") };
}

function meterPlain(services: Services, committed: Committed, body: Buffer | undefined): void {
  const { attempt, reply } = committed;
  if (reply.status < 400 && body !== undefined) tap(services, committed, () => attempt.observer.plainBody(body));
}

function costHeader(services: Services, { exchange, attempt, reply }: Committed): string[] {
  if (reply.status >= 400) return [];
  const price = priced(exchange, attempt.planned, services.estimates.usage(attempt));
  return ["x-litellm-response-cost", formatUsd(nanoUsd(charged(price.costNanoUsd, attempt.opening.marginPpm)), 0)];
}

/** Whatever the observer does, the pass goes on. */
function tap(services: Services, committed: Committed, observe: () => void): void {
  try {
    observe();
  } catch (fault) {
    services.log.error({ requestId: committed.exchange.requestId, internal: internalWords(fault) }, "the usage observer failed");
  }
}

function outcomeOf(fault: GatewayError): AttemptOutcome {
  if (fault.code === "client_closed") return "client_closed";
  return fault.code === "upstream_stream_idle" || fault.code === "gateway_time_exceeded" || fault.code === "gateway_draining" ? "timed_out" : "broken";
}
