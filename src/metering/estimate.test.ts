// Guarantee: estimates are whole, never negative, and round up.
import { expect, it } from "vitest";
import { estimateInputTokens, estimateOutputTokens } from "./estimate.ts";

it("counts four characters as a token of output, rounded up", () => {
  expect([0, 1, 4, 5, 4000].map(estimateOutputTokens)).toEqual([0, 1, 1, 2, 1000]);
});

it("counts four bytes as a token of input, rounded up", () => {
  expect([0, 1, 4, 5, 4000].map(estimateInputTokens)).toEqual([0, 1, 1, 2, 1000]);
});

it("never goes below 0", () => {
  expect([estimateOutputTokens(-1), estimateInputTokens(-9)]).toEqual([0, 0]);
});
