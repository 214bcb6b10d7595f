/** Guarantee: what a session is taken to read from its prompt cache lives as long as that cache, with and without a budget that had it worked out. */
import { expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { zeroCounts } from "../kernel/usage.ts";
import type { CallEstimate, CallIdentity } from "./estimates.ts";
import { createEstimates } from "./estimator.ts";
import type { Attempt } from "./exchange.ts";

const minuteMs = 60_000;
const estimateOf = (cacheWrite1h: number): CallEstimate => ({ demands: [], input: { ...zeroCounts, cacheWrite1h }, variant: { speed: undefined, inferenceGeo: undefined, serviceTier: undefined } });

it.each([
  ["without an estimate", undefined, false],
  ["with an estimate of five minutes", estimateOf(0), false],
  ["with an estimate of an hour", estimateOf(100), true],
])("a call that only reads is warm for as long as its cache: %s", (_how, estimate, isWarmLater) => {
  const clock = manualClock();
  const estimates = createEstimates(clock);
  const call = (): CallIdentity => ({ keyId: "key_1", sessionId: "s", agentId: null, model: "claude-opus-5-5", requestBytes: 200_000, openedAtMs: clock.now() });
  const counts = { ...zeroCounts, input: 10, cacheRead: 50_000, output: 20 };
  const observed = { stage: "final", isPlausible: true, parts: [{ counts, model: undefined }], outputCharacters: 60 };
  estimates.learn({ opening: call(), observer: { observed: () => observed }, estimate } as unknown as Attempt);
  clock.advance(4 * minuteMs);
  expect(estimates.tokens(call(), undefined).cacheRead).toBeGreaterThan(40_000);
  clock.advance(2 * minuteMs);
  expect(estimates.tokens(call(), undefined).cacheRead > 0).toBe(isWarmLater);
});
