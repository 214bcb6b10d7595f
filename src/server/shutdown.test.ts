// Guarantee: whatever hangs, the end of the gateway comes: after the drain time and a grace, and not before it has to.
import { describe, expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { Listener } from "./http.ts";
import { shutDown } from "./shutdown.ts";

interface Ending {
  readonly left: number;
  /** Since the start, on the clock passed in. */
  readonly tookMs: number;
  readonly cut: readonly GatewayError[];
  readonly calls: readonly string[];
}

/** @param inFlight what is in work at a time; @param isHeld connections stay until they are ended by force */
async function ending(drainMs: number, inFlight: (nowMs: number, wasCut: boolean) => number, isHeld = false): Promise<Ending> {
  const clock = manualClock();
  const calls: string[] = [];
  const cut: GatewayError[] = [];
  const closed = Promise.withResolvers<void>();
  const listener: Pick<Listener, "close" | "closeIdle" | "closeNow"> = {
    close() {
      calls.push("close");
      if (!isHeld) closed.resolve();
      return closed.promise;
    },
    closeIdle: () => undefined,
    closeNow() {
      calls.push("closeNow");
      closed.resolve();
    },
  };
  let left: number | undefined;
  void shutDown({
    listener: listener as Listener,
    clock,
    drainMs,
    inFlight: () => inFlight(clock.monotonic(), cut.length > 0),
    endAll: (fault) => void cut.push(fault),
  }).then((count) => (left = count));
  let tookMs = 0;
  for (; left === undefined && tookMs < 100_000; tookMs += 5) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5);
  }
  if (left === undefined) throw new Error("it never ended");
  return { left, tookMs, cut, calls };
}

describe("the end", () => {
  it("comes at once when nothing is in work", async () => {
    const end = await ending(600_000, () => 0);
    expect(end).toMatchObject({ left: 0, cut: [], calls: ["close"] });
    expect(end.tookMs).toBeLessThan(100);
  });

  it("waits for what is in work, and cuts nothing that ends in time", async () => {
    const end = await ending(10_000, (nowMs) => (nowMs < 5_000 ? 3 : 0));
    expect(end).toMatchObject({ left: 0, cut: [] });
    expect(end.tookMs).toBeGreaterThanOrEqual(5_000);
    expect(end.tookMs).toBeLessThan(5_200);
  });

  it("cuts once what outlives the drain time", async () => {
    const end = await ending(1_000, (_now, wasCut) => (wasCut ? 0 : 1));
    expect(end.cut.map(({ code }) => code)).toEqual(["gateway_draining"]);
    expect(end.left).toBe(0);
    expect(end.tookMs).toBeLessThan(1_200);
  });

  it("comes although a request never ends, and tells how many were left", async () => {
    const end = await ending(1_000, () => 2);
    expect(end.left).toBe(2);
    expect(end.tookMs).toBeLessThan(6_000);
  });

  it("ends connections by force that do not end by themselves", async () => {
    const end = await ending(0, () => 0, true);
    expect(end.calls).toEqual(["close", "closeNow"]);
    expect(end.tookMs).toBeLessThan(3_000);
  });
});
