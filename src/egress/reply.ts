/**
 * An upstream reply as the pipeline uses it: the head, then a body that waits until somebody consumes it. All body bytes of
 * one socket read reach the consumer as one piece, because one write per read is more than twice as cheap as one write per
 * piece on bursts.
 */
import type { Cancelled } from "../kernel/cancellation.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { Flight, FlightSink } from "./http1/pool.ts";

/** Takes a body. After `end` or `fail` nothing follows. */
export interface ReplyConsumer {
  data(bytes: Buffer): void;
  end(): void;
  /** The reply broke off; `fault` is `upstream_stream_broken`, `upstream_stream_idle`, or the abort's own reason. */
  fail(fault: GatewayError): void;
}

export interface UpstreamReply {
  readonly status: number;
  /** Flat list: name, value, … */
  readonly headers: readonly string[];
  /** Starts the body; may be called once. What has arrived already comes at once. */
  consume(consumer: ReplyConsumer): void;
  /** Back-pressure: stops and restarts reading from the upstream socket. */
  pause(): void;
  resume(): void;
  /** Calls back once the request's last byte has left, at once when it has; never when it breaks off before. One caller only. */
  onFlushed(act: () => void): void;
  /** Gives the reply up and closes its connection. Safe at any time, also twice. */
  abort(): void;
}

/** Why no head came. */
export type ReplyFault = { readonly kind: "unconnected" | "broken" | "slow"; readonly detail: string; readonly wasSent: boolean } | { readonly kind: "aborted"; readonly reason: GatewayError; readonly wasSent: boolean };

/** Body bytes that may wait for a consumer before the upstream is paused. */
const waitingBytesMax = 64 * 1024;

/**
 * @param cancelled gives the reply up, before or after its head
 * @param onHead called once, when the head of the final response is there
 * @param onFault called instead when no head comes
 */
export function createReply(cancelled: Cancelled, onHead: (reply: UpstreamReply) => void, onFault: (fault: ReplyFault) => void): { readonly sink: FlightSink; attach(flight: Flight): void } {
  let flight: Flight | undefined;
  let consumer: ReplyConsumer | undefined;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let ending: { readonly fault: GatewayError | undefined } | undefined;
  let hasHead = false;
  let wasSent = false;
  let isFlushed = false;
  let afterFlush: (() => void) | undefined;
  let isOver = false;
  let isPaused = false;

  /** Once the last byte is read, the connection is another call's. */
  let isLetGo = false;
  const letGo = (): void => {
    isLetGo = true;
    flight = undefined;
  };

  /** Ends the story once; nothing is delivered afterwards. */
  const settle = (fault: GatewayError | undefined): void => {
    if (isOver) return;
    if (consumer === undefined) {
      ending ??= { fault };
      return;
    }
    isOver = true;
    cancelled.remove(onCancel);
    if (fault === undefined) consumer.end();
    else consumer.fail(fault);
  };
  const failHead = (fault: ReplyFault): void => {
    if (isOver) return;
    isOver = true;
    cancelled.remove(onCancel);
    onFault(fault);
  };
  const give = (bytes: Buffer): void => {
    if (!isOver) consumer?.data(bytes);
  };
  const abandon = (reason: GatewayError): void => {
    flight?.destroy();
    if (hasHead) settle(reason);
    else failHead({ kind: "aborted", reason, wasSent });
  };
  const onCancel = (): void => abandon(cancelled.reason ?? new GatewayError("client_closed"));
  cancelled.add(onCancel);

  const reply = (status: number, headers: readonly string[]): UpstreamReply => ({
    status,
    headers,
    consume(taker) {
      consumer = taker;
      // Resumed before the consumer sees anything, so that a pause of its own stays.
      if (isPaused) this.resume();
      for (const bytes of waiting) give(bytes);
      waiting = [];
      if (ending !== undefined) settle(ending.fault);
    },
    pause() {
      isPaused = true;
      flight?.pause();
    },
    resume() {
      isPaused = false;
      flight?.resume();
    },
    onFlushed(act) {
      if (isFlushed) act();
      else afterFlush = act;
    },
    abort: () => abandon(new GatewayError("client_closed")),
  });

  const sink: FlightSink = {
    sent: () => void (wasSent = true),
    flushed() {
      isFlushed = true;
      afterFlush?.();
      afterFlush = undefined;
    },
    unconnected: (kind, detail) => failHead({ kind: kind === "timeout" ? "slow" : "unconnected", detail, wasSent: false }),
    head(status, headers) {
      hasHead = true;
      onHead(reply(status, headers));
    },
    body(bytes) {
      if (consumer !== undefined) return give(bytes);
      waiting.push(bytes);
      waitingBytes += bytes.length;
      if (waitingBytes > waitingBytesMax && !isPaused) {
        isPaused = true;
        flight?.pause();
      }
    },
    end() {
      letGo();
      settle(undefined);
    },
    fault(kind, detail) {
      letGo();
      if (!hasHead) failHead({ kind: kind === "broken" ? "broken" : "slow", detail, wasSent });
      else settle(new GatewayError(kind === "broken" ? "upstream_stream_broken" : "upstream_stream_idle", { internal: detail }));
    },
  };
  return {
    sink,
    attach(started) {
      if (isLetGo) return;
      flight = started;
      if (isOver && !hasHead) started.destroy();
    },
  };
}
