/** Guarantee: a sample by pairs holds every pair of values that can meet, is small, and is the same for the same seed. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allCells, cellName } from "./cells.ts";
import { pairsOf, pairwise } from "./pairwise.ts";

const axis = fc.integer({ min: 1, max: 5 });

function product(sizes: readonly number[]): Record<string, string>[] {
  return sizes.reduce<Record<string, string>[]>((found, size, index) => found.flatMap((one) => Array.from({ length: size }, (_, value) => ({ ...one, [`axis${index}`]: String(value) }))), [{}]);
}

describe("a sample by pairs", () => {
  it("covers every pair of the combinations that are possible, with any rule of what is", () => {
    fc.assert(
      fc.property(fc.array(axis, { minLength: 2, maxLength: 5 }), fc.integer({ min: 1, max: 7 }), fc.nat(), (sizes, keep, seed) => {
        const valid = product(sizes).filter((_, index) => (index * 2_654_435_761) % 7 < keep);
        const sample = pairwise(valid, seed);
        expect(new Set(sample.flatMap(pairsOf))).toEqual(new Set(valid.flatMap(pairsOf)));
        expect(sample.every((one) => valid.includes(one))).toBe(true);
        expect(pairwise(valid, seed)).toEqual(sample);
      }),
      { numRuns: 60 },
    );
  });

  it("of five axes of four is far smaller than their product", () => {
    expect(pairwise(product([4, 4, 4, 4, 4]), 1).length).toBeLessThan(40);
  });

  it("of the matrix covers the matrix", () => {
    const cells = allCells();
    const sample = pairwise(cells.map((cell) => ({ ...cell })), 1);
    expect(new Set(sample.flatMap(pairsOf))).toEqual(new Set(cells.flatMap((cell) => pairsOf({ ...cell }))));
    expect(sample.length).toBeLessThan(cells.length / 4);
    expect(new Set(cells.map(cellName)).size).toBe(cells.length);
  });
});
