/** Guarantee: memory is given back once after each busy time, never while something is in work, and never again and again. */
import { expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { collectWhenQuiet } from "./idle-memory.ts";

it("collects once after a busy time, when nothing is in work and nothing has begun for a while", () => {
  const clock = manualClock();
  const load = { inFlight: 0, total: 0 };
  let collected = 0;
  const timer = collectWhenQuiet(load, clock, () => void (collected += 1));
  clock.advance(60_000);
  expect(collected).toBe(0);
  Object.assign(load, { inFlight: 1, total: 1 });
  clock.advance(60_000);
  expect(collected).toBe(0);
  load.inFlight = 0;
  clock.advance(60_000);
  expect(collected).toBe(1);
  load.total = 5;
  clock.advance(3_000);
  load.total = 9;
  clock.advance(3_000);
  expect(collected).toBe(1);
  clock.advance(3_000);
  expect(collected).toBe(2);
  timer.cancel();
});

it("does nothing where the runtime has no collector to call", () => {
  expect(() => collectWhenQuiet({ inFlight: 0, total: 0 }, manualClock(), undefined).cancel()).not.toThrow();
});
