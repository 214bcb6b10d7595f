/**
 * One timer for all running requests: tells streams of their silence and ends what runs too long. A timer per request and
 * event would cost more than the event.
 */
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";

const sweepMs = 1_000;

/** A request under watch. */
export interface Watched {
  /** Bytes passed just now. */
  touch(): void;
  /** Sets what to do about silence; it is told again after each further `silenceMs`. */
  onSilence(silenceMs: number, action: () => void): void;
  stop(): void;
}

export interface StreamWatch {
  /** Watches one request from now on; `onEnd` is called at most once: after `totalMs`, or by `endAll`. */
  add(totalMs: number, onEnd: (fault: GatewayError) => void): Watched;
  /** Ends every request under watch. */
  endAll(fault: GatewayError): void;
  /** Requests under watch. */
  size(): number;
  close(): void;
}

interface Item {
  dueAt: number;
  lastAt: number;
  silenceMs: number;
  onEnd: (fault: GatewayError) => void;
  onSilence: (() => void) | undefined;
}

export function createStreamWatch(clock: Clock): StreamWatch {
  const items = new Set<Item>();
  const timer = clock.every(sweepMs, () => {
    const now = clock.monotonic();
    for (const item of items) {
      if (now >= item.dueAt) {
        items.delete(item);
        item.onEnd(new GatewayError("gateway_time_exceeded"));
      } else if (item.onSilence !== undefined && now - item.lastAt >= item.silenceMs) {
        item.lastAt = now;
        item.onSilence();
      }
    }
  });
  return {
    add(totalMs, onEnd) {
      const now = clock.monotonic();
      const item: Item = { dueAt: now + totalMs, lastAt: now, silenceMs: Infinity, onEnd, onSilence: undefined };
      items.add(item);
      return {
        touch: () => void (item.lastAt = clock.monotonic()),
        onSilence(silenceMs, action) {
          item.silenceMs = silenceMs;
          item.onSilence = action;
          item.lastAt = clock.monotonic();
        },
        stop: () => void items.delete(item),
      };
    },
    endAll(fault) {
      const ended = [...items];
      items.clear();
      for (const item of ended) item.onEnd(fault);
    },
    size: () => items.size,
    close: () => timer.cancel(),
  };
}
