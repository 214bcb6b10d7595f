// Guarantee: the machine's chance lies in [0, 1), spread over all of it.
import { expect, it } from "vitest";
import { systemRandom } from "./random.ts";

it("draws from all of [0, 1), and not the same again", () => {
  const draws = Array.from({ length: 4_000 }, systemRandom);
  expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
  // A tenth that is missed by all of 4,000 draws is not chance: (9/10)^4000.
  expect(new Set(draws.map((draw) => Math.floor(draw * 10))).size).toBe(10);
  expect(new Set(draws).size).toBeGreaterThan(3_990);
});
