/** Guarantee: replies that run are counted, and what was measured long ago weighs little and is forgotten in the end. */
import { expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { createTargetStats } from "./target-stats.ts";

it("counts what runs, and never below nothing", () => {
  const stats = createTargetStats(manualClock());
  stats.begin("a");
  stats.begin("a");
  stats.end("a");
  expect([stats.running("a"), stats.running("b")]).toEqual([1, 0]);
  stats.end("a");
  stats.end("a");
  expect(stats.running("a")).toBe(0);
});

it("takes the first measurement as it is, follows later ones, sooner after a pause, and forgets after ten minutes", () => {
  const clock = manualClock();
  const stats = createTargetStats(clock);
  expect(stats.firstEventMs("a")).toBeUndefined();
  stats.noteFirstEvent("a", 100);
  expect(stats.firstEventMs("a")).toBe(100);
  stats.noteFirstEvent("a", 1_100);
  const atOnce = stats.firstEventMs("a")!;
  expect(atOnce).toBeCloseTo(200, 6);
  clock.advance(60_000);
  stats.noteFirstEvent("a", atOnce + 1_000);
  expect(stats.firstEventMs("a")! - atOnce).toBeCloseTo(500, 6);
  clock.advance(600_000);
  expect(stats.firstEventMs("a")).toBeDefined();
  clock.advance(1);
  expect(stats.firstEventMs("a")).toBeUndefined();
});
