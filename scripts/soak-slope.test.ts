/** Guarantee: the slope that a soak prints is that of least squares, with an interval that holds the true one as often as it says. */
import { describe, expect, it } from "vitest";
import { fitLine } from "./soak-slope.ts";

describe("the line through measurements", () => {
  it("that lie on one is that one, without doubt", () => {
    const line = fitLine([1, 2, 5, 9].map((x) => ({ x, y: 3 - 0.5 * x })));
    expect(line.slope).toBeCloseTo(-0.5, 12);
    expect(line.slopeError).toBeCloseTo(0, 6);
    expect(line.rSquared).toBeCloseTo(1, 12);
  });

  it("has slope and R² of the textbook", () => {
    // By hand: means 3 and 4; Σ(x−3)² = 10, Σ(y−4)² = 6, Σ(x−3)(y−4) = 6; residuals 6 − 36/10 = 2.4.
    const line = fitLine([{ x: 1, y: 2 }, { x: 2, y: 4 }, { x: 3, y: 5 }, { x: 4, y: 4 }, { x: 5, y: 5 }]);
    expect(line.slope).toBeCloseTo(0.6, 12);
    expect(line.rSquared).toBeCloseTo(0.6, 12);
    expect(line.slopeError).toBeCloseTo(1.96 * Math.sqrt(2.4 / 3 / 10), 12);
  });

  it("that do not vary is level and explains nothing", () => {
    expect(fitLine([{ x: 0, y: 7 }, { x: 1, y: 7 }, { x: 2, y: 7 }])).toEqual({ slope: 0, slopeError: 0, rSquared: 0 });
  });

  it("is none for too few of them, or for one moment", () => {
    for (const points of [[], [{ x: 0, y: 1 }, { x: 1, y: 2 }], [{ x: 1, y: 1 }, { x: 1, y: 2 }, { x: 1, y: 3 }]]) expect(fitLine(points).slope).toBeNaN();
  });
});
