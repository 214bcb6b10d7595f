// Guarantee: two parts of a configuration are the same exactly when they say the same, secrets included, which look alike to everybody else.
import { expect, it } from "vitest";
import { isSame } from "./same.ts";
import { Secret } from "./secret.ts";

it.each<[unknown, unknown, boolean]>([
  [1, 1, true],
  [1n, 2n, false],
  [undefined, null, false],
  [Number.NaN, Number.NaN, true],
  [{ a: [1, { b: "c" }] }, { a: [1, { b: "c" }] }, true],
  [{ a: 1 }, { a: 1, b: undefined }, false],
  [[1, 2], [2, 1], false],
  [[], {}, false],
  [new Map([["a", { b: 1 }]]), new Map([["a", { b: 1 }]]), true],
  [new Map([["a", 1]]), new Map([["b", 1]]), false],
  [new Set(["a"]), new Set(["a"]), true],
  [new Set(["a"]), new Set(["a", "b"]), false],
  [new Secret("one"), new Secret("one"), true],
  [{ key: new Secret("one") }, { key: new Secret("two") }, false],
  [/a/, /a/, false],
])("%o and %o: %s", (a, b, expected) => {
  expect(isSame(a, b)).toBe(expected);
  expect(isSame(b, a)).toBe(expected);
});
