/**
 * The start of a stream, held back until its first content: a place that fails by an error inside a 200, or breaks off before it has
 * said anything, has given the client nothing yet, so that another may still serve.
 */
import type { ReplyConsumer, UpstreamReply } from "../egress/reply.ts";
import type { ReplyObserver } from "../dialects/dialect.ts";
import { plainReplyHoldBytesMax } from "../kernel/bounds.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { headerValue } from "../wire/headers.ts";
import { createEventSplitter } from "../wire/sse.ts";
import type { Attempt, Exchange } from "./exchange.ts";
import type { Services } from "./services.ts";
import { framedType } from "./verdict.ts";

/** A beginning that was looked at, with the reply as if it had not been. */
export interface Beginning {
  readonly reply: UpstreamReply;
  /** Why nothing will come of it; undefined: it is as good as others. */
  readonly fault: GatewayError | undefined;
  /** Of what was looked at. */
  readonly observer: ReplyObserver;
}

/** More than this is no beginning. */
const heldBytesMax = 256 * 1024;

/** Errors in the place of content that another place may not have (https://docs.anthropic.com/en/api/errors). */
const passing: ReadonlySet<string> = new Set(["overloaded_error", "api_error", "rate_limit_error", "timeout_error"]);
const statusOf: Readonly<Record<string, number>> = { overloaded_error: 529, rate_limit_error: 429, timeout_error: 504 };

/** Events, as the dialect or the place frames them. */
export function isStream({ headers }: UpstreamReply): boolean {
  const type = headerValue(headers, "content-type")?.toLowerCase() ?? "";
  return type.startsWith("text/event-stream") || type.startsWith(framedType);
}

/** Only a stream whose bytes can be read as they come. */
export function mayBeHeld(reply: UpstreamReply): boolean {
  const coding = headerValue(reply.headers, "content-encoding");
  return (coding === undefined || coding.toLowerCase() === "identity") && isStream(reply);
}

/** Resolves with the first content, the first fault, or once `holdMs` have passed and there is something to show, whichever comes first. */
export function awaitContent({ clock }: Services, exchange: Exchange, { attempt, reply, holdMs }: { readonly attempt: Attempt; readonly reply: UpstreamReply; readonly holdMs: number }): Promise<Beginning> {
  const isFramed = headerValue(reply.headers, "content-type")?.toLowerCase().startsWith(framedType) === true;
  const unframer = isFramed ? attempt.planned.place.provider.unframe?.() : undefined;
  const splitter = createEventSplitter();
  const observer = exchange.dialect.observe();
  const held = heldReply(reply);
  return new Promise((resolve) => {
    const decide = (fault?: GatewayError): void => {
      timer.cancel();
      held.onPiece = undefined;
      held.onEnding = undefined;
      resolve({ reply: held.reply, fault, observer });
    };
    let hasEvents = false;
    let isDue = false;
    const timer = clock.after(holdMs, () => {
      isDue = true;
      if (hasEvents) decide();
    });
    held.onPiece = (bytes, heldBytes) => {
      // A copy: what reads it may change it, and the client gets what came.
      const events = unframer === undefined ? splitter.push(bytes) : unframer.push(Buffer.from(bytes));
      if (events.length > 0) {
        hasEvents = true;
        observer.streamEvents(events);
      }
      const fault = unframer?.fault() ?? errorIn(observer);
      if (fault !== undefined) decide(fault);
      else if (observer.hasContent() || observer.ending() !== "broken" || observer.observed().stage === "final" || heldBytes > heldBytesMax || (isDue && hasEvents)) decide();
    };
    held.onEnding = (fault) => decide(fault ?? new GatewayError(observer.hasStarted() ? "upstream_stream_broken" : "upstream_reply_invalid", { internal: "the stream ended before any content" }));
    held.start();
  });
}

/** A plain reply, of which nothing goes out before it is whole: one that breaks off or holds nothing may be had elsewhere. Resolves early for a very large one. */
export function awaitWhole(reply: UpstreamReply): Promise<Pick<Beginning, "reply" | "fault">> {
  const held = heldReply(reply);
  let isEmpty = true;
  return new Promise((resolve) => {
    const decide = (fault?: GatewayError): void => {
      held.onPiece = undefined;
      held.onEnding = undefined;
      resolve({ reply: held.reply, fault });
    };
    held.onPiece = (_bytes, heldBytes) => {
      isEmpty = false;
      if (heldBytes > plainReplyHoldBytesMax) decide();
    };
    held.onEnding = (fault) => decide(fault ?? (isEmpty ? new GatewayError("upstream_reply_invalid", { internal: "empty body" }) : undefined));
    held.start();
  });
}

/** Undefined for errors of the request's own making: another place would say the same. */
function errorIn(observer: ReplyObserver): GatewayError | undefined {
  const type = observer.ending() === "error" ? observer.errorType() : undefined;
  if (type === undefined || !passing.has(type)) return undefined;
  return new GatewayError("upstream_refused", { internal: `${type} in the place of content`, type, status: statusOf[type] ?? 502 });
}

/** Whether what an error event or an exception tells may be otherwise at another place. */
export function isPassingFault({ spec }: GatewayError): boolean {
  return spec.status === 408 || spec.status === 429 || spec.status >= 500;
}

interface HeldReply {
  readonly reply: UpstreamReply;
  onPiece: ((bytes: Buffer, heldBytes: number) => void) | undefined;
  onEnding: ((fault: GatewayError | undefined) => void) | undefined;
  start(): void;
}

/** Keeps what comes until somebody takes the reply. */
function heldReply(reply: UpstreamReply): HeldReply {
  let pieces: Buffer[] = [];
  let heldBytes = 0;
  let ending: { readonly fault: GatewayError | undefined } | undefined;
  let taker: ReplyConsumer | undefined;
  /** By who took it. */
  let isPaused = false;
  const held: HeldReply = {
    onPiece: undefined,
    onEnding: undefined,
    start: () => reply.consume(consumer),
    reply: {
      status: reply.status,
      headers: reply.headers,
      consume(next) {
        taker = next;
        const given = pieces;
        pieces = [];
        for (const piece of given) next.data(piece);
        if (ending === undefined) {
          if (!isPaused) reply.resume();
        } else if (ending.fault === undefined) next.end();
        else next.fail(ending.fault);
      },
      pause() {
        isPaused = true;
        reply.pause();
      },
      resume() {
        isPaused = false;
        reply.resume();
      },
      onFlushed: (act) => reply.onFlushed(act),
      abort: () => reply.abort(),
    },
  };
  const consumer: ReplyConsumer = {
    data(bytes) {
      if (taker !== undefined) return taker.data(bytes);
      pieces.push(bytes);
      heldBytes += bytes.length;
      if (held.onPiece === undefined) reply.pause();
      else held.onPiece(bytes, heldBytes);
    },
    end() {
      if (taker !== undefined) return taker.end();
      ending = { fault: undefined };
      held.onEnding?.(undefined);
    },
    fail(fault) {
      if (taker !== undefined) return taker.fail(fault);
      ending = { fault };
      held.onEnding?.(fault);
    },
  };
  return held;
}
