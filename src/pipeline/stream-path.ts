/**
 * A streamed reply's way from the upstream's framing to the client's. The dialect's events stand in the middle: they are
 * what the observer reads. Where both ends have the same framing, whole frames go through untouched.
 */
import type { Dialect } from "../dialects/dialect.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { Unframer } from "../providers/provider.ts";
import { createEventSplitter } from "../wire/sse.ts";
import type { Framer, Ingress } from "./ingress.ts";

/** What one read gives: bytes for the client, and the events in them for the observer. */
export interface Passed {
  readonly out: Buffer;
  readonly events: Buffer;
}

export interface StreamPath {
  /** Of the reply to the client; undefined: as the upstream's. */
  readonly contentType: string | undefined;
  push(bytes: Buffer): Passed;
  /** Set once the bytes are no frames any more, or a frame told a fault; what came before it has been given. */
  fault(): GatewayError | undefined;
  /** At the end: what was held back and is whole after all. */
  finish(): Passed;
  /** True where a ping or an error may be put in. */
  isAtBorder(): boolean;
  readonly ping: Buffer;
  error(fault: GatewayError, requestId: string): Buffer;
}

const nothing = Buffer.alloc(0);

/** @param isFramed the reply came in the framing of the place, not as the dialect's events */
export function createStreamPath(dialect: Dialect, ingress: Ingress, unframer: Unframer | undefined): StreamPath {
  const framer = ingress.framer?.();
  if (unframer === undefined) return fromEvents(dialect, framer);
  return framer === undefined ? unframed(dialect, unframer) : untouched(framer, unframer);
}

function fromEvents(dialect: Dialect, framer: Framer | undefined): StreamPath {
  const splitter = createEventSplitter();
  const passed = (events: Buffer): Passed => ({ out: framer === undefined || events.length === 0 ? events : framer.events(events), events });
  // Parts of an event may be passed on, but not put into frames.
  const isTooLarge = (): boolean => framer !== undefined && !splitter.isAtBorder();
  return {
    contentType: framer?.contentType,
    push(bytes) {
      const events = splitter.push(bytes);
      return isTooLarge() ? { out: nothing, events: nothing } : passed(events);
    },
    finish() {
      const last = splitter.finish();
      return last.isWhole ? passed(last.bytes) : { out: nothing, events: nothing };
    },
    fault: () => (isTooLarge() ? new GatewayError("upstream_stream_broken", { internal: "an event is too large to be framed" }) : undefined),
    isAtBorder: () => framer !== undefined || splitter.isAtBorder(),
    ping: framer?.ping ?? dialect.ping,
    error: (fault, requestId) => (framer === undefined ? dialect.streamError(fault, requestId) : framer.error(fault, requestId)),
  };
}

/** Frames in, events out. */
function unframed(dialect: Dialect, unframer: Unframer): StreamPath {
  return {
    contentType: "text/event-stream; charset=utf-8",
    push(bytes) {
      const events = unframer.push(bytes);
      return { out: events, events };
    },
    finish: () => ({ out: nothing, events: nothing }),
    fault: () => unframer.fault(),
    // Only whole events go out, so there is always a border after them.
    isAtBorder: () => true,
    ping: dialect.ping,
    error: (fault, requestId) => dialect.streamError(fault, requestId),
  };
}

/** Frames in, the same frames out, each once it is whole. The one that tells a fault stays here, since its words may name accounts. */
function untouched(framer: Framer, unframer: Unframer): StreamPath {
  /** The frame that has begun. */
  let held: Buffer[] = [];
  let passedBytes = 0;
  return {
    contentType: undefined,
    push(bytes) {
      const events = unframer.push(bytes);
      const wholeBytes = unframer.wholeBytes() - passedBytes;
      if (wholeBytes === 0) {
        held.push(Buffer.from(bytes));
        return { out: nothing, events };
      }
      const pending = held.length === 0 ? bytes : Buffer.concat([...held, bytes]);
      passedBytes += wholeBytes;
      held = wholeBytes === pending.length ? [] : [Buffer.from(pending.subarray(wholeBytes))];
      return { out: pending.subarray(0, wholeBytes), events };
    },
    finish: () => ({ out: nothing, events: nothing }),
    fault: () => unframer.fault(),
    isAtBorder: () => true,
    ping: framer.ping,
    error: (fault, requestId) => framer.error(fault, requestId),
  };
}
