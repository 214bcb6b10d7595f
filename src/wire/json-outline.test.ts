/**
 * Guarantee: the outline of a JSON object has all its members at any cut of the text; short values are unchanged, long ones are cut so that it
 * stays JSON and says that something was left out; it never grows with the text.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createJsonOutline } from "./json-outline.ts";

function outlineOf(text: string, sizes: readonly number[] = [65_536]): string | undefined {
  const outline = createJsonOutline();
  const bytes = Buffer.from(text);
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    outline.push(bytes.subarray(at, at + size));
    at += size;
  }
  return outline.finish()?.toString();
}

const long = "ä\\\"]}, [{".repeat(10_000);

describe("an outline", () => {
  it("of an object with short values is the object, at any cut", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), fc.constantFrom(undefined, 2), (value, sizes, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        expect(outlineOf(text, sizes)).toBe(text);
      }),
    );
  });

  it.each([[[65_536]], [[7, 1]], [[100_001]]])("cut by %j keeps the first elements of a long array, and says that others were there", (sizes) => {
    const first = { type: "fallback", from: { model: "a" }, text: 'a, b] "c' };
    const text = JSON.stringify({ id: "msg", content: [first, { n: [1, 2, "x,y"] }, { type: "text", text: long }, { last: 1 }], stop_reason: "end_turn", usage: { output_tokens: 7 } });
    expect(JSON.parse(outlineOf(text, sizes)!)).toEqual({ id: "msg", content: [first, { n: [1, 2, "x,y"] }, null], stop_reason: "end_turn", usage: { output_tokens: 7 } });
  });

  it("has null for a long string, a long object and all of an array whose first element is long", () => {
    const text = JSON.stringify({ a: long, b: { c: long }, d: [[long]], e: [1, [2], 3], usage: { input_tokens: 1 } });
    expect(JSON.parse(outlineOf(text)!)).toEqual({ a: null, b: null, d: [null], e: [1, [2], 3], usage: { input_tokens: 1 } });
  });

  it("of a text that breaks off, or is no JSON, is no JSON either", () => {
    expect(outlineOf('{"content":[{"text":"abc')).toBeUndefined();
    for (const text of ["", "{", "[1,2", '{"a":1}}', "<html>", '{"a" 1}']) expect(() => JSON.parse(outlineOf(text) ?? "") as unknown).toThrow();
  });

  it("that is too long itself is none", () => {
    expect(outlineOf(`{${Array.from({ length: 20_000 }, (_, index) => `"member-${index}":"value"`).join(",")}}`)).toBeUndefined();
  });
});
