/**
 * The end of a gateway: what runs may finish, what outlives the drain time is told so and cut, and nothing that hangs can
 * keep the process. The listener stays open meanwhile, so that new callers and probes get an answer instead of a closed port.
 */
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { Listener } from "./http.ts";

/** For cut requests to close their entries, and then for their last bytes to reach their clients. */
const graceMs = 2_000;
const lookPeriodMs = 25;

export interface ShutdownOptions {
  readonly listener: Listener;
  readonly clock: Clock;
  /** For running requests to end by themselves. */
  readonly drainMs: number;
  /** Requests in work; new ones are refused already. */
  readonly inFlight: () => number;
  /** Ends every request in work with this fault. */
  readonly endAll: (fault: GatewayError) => void;
}

/**
 * Resolves when the port is closed, `drainMs` and twice the grace later at the most.
 *
 * @returns requests that did not end although they were cut; 0 but for a defect of ours
 */
export async function shutDown({ listener, clock, drainMs, inFlight, endAll }: ShutdownOptions): Promise<number> {
  const isIdle = (): boolean => inFlight() === 0;
  if (!(await within(clock, drainMs, isIdle))) {
    endAll(new GatewayError("gateway_draining"));
    await within(clock, graceMs, isIdle);
  }
  const closed = listener.close();
  // A connection whose reply has just ended would wait for a next request.
  const sweeper = clock.every(lookPeriodMs, () => listener.closeIdle());
  const cut = clock.after(graceMs, () => listener.closeNow());
  await closed;
  sweeper.cancel();
  cut.cancel();
  return inFlight();
}

/** Looks until it is so or the time is over; the open port keeps the process alive meanwhile. */
async function within(clock: Clock, timeMs: number, isSo: () => boolean): Promise<boolean> {
  const endsAt = clock.monotonic() + timeMs;
  while (!isSo()) {
    const leftMs = endsAt - clock.monotonic();
    if (leftMs <= 0) return false;
    await new Promise<void>((resolve) => void clock.after(Math.min(lookPeriodMs, leftMs), resolve));
  }
  return true;
}
