/** Guarantee: a refused beta is known for its target only, for an hour only, and the memory stays small. */
import { expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { createBetaMemory } from "./beta-memory.ts";

it("knows a refusal for its target and for an hour", () => {
  const clock = manualClock();
  const memory = createBetaMemory(clock);
  memory.remember("a", "x-2026");
  expect([...memory.refusedBy("a")]).toEqual(["x-2026"]);
  expect([...memory.refusedBy("b")]).toEqual([]);
  clock.advance(60 * 60_000 + 1);
  expect([...memory.refusedBy("a")]).toEqual([]);
});

it("keeps the newest 64", () => {
  const memory = createBetaMemory(manualClock());
  for (let index = 0; index < 80; index++) memory.remember("a", `beta-${index}`);
  expect(memory.refusedBy("a").size).toBe(64);
  expect(memory.refusedBy("a").has("beta-79")).toBe(true);
  expect(memory.refusedBy("a").has("beta-15")).toBe(false);
});
