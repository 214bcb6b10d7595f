// Guarantee: what comes out is what the runtime decodes, the end of the text is found, and nothing outside the bounds is touched.
import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeBase64, decodedBytes } from "./base64.ts";

it("decodes what was encoded, whatever stands around it", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(9), fc.constantFrom('"', '"}', '","p":"ab', ""), (data, lead, tail) => {
      const text = Buffer.from(data).toString("base64");
      const bytes = Buffer.from(`${"~".repeat(lead)}${text}${tail}`);
      const out = Buffer.alloc(300, 0xee);
      const end = decodeBase64(bytes, lead, bytes.length, out, 7);
      expect(end).toBe(lead + text.length);
      expect(decodedBytes(bytes, lead, end)).toBe(data.length);
      expect(out.subarray(7, 7 + data.length)).toEqual(Buffer.from(data));
      expect(out.subarray(7 + data.length).every((byte) => byte === 0xee)).toBe(true);
      expect(out.subarray(0, 7).every((byte) => byte === 0xee)).toBe(true);
    }),
  );
});

it.each([
  ["a character of another alphabet", "QUJD-_==", 4],
  ["padding in the middle of a group", "QUJDQ=JD", 4],
  ["padding alone", "QUJD====", 4],
  ["half a group", "QUJDQU", 4],
  ["nothing", '"', 0],
])("stops before %s", (_, text, end) => {
  expect(decodeBase64(Buffer.from(text), 0, text.length, Buffer.alloc(20), 0)).toBe(end);
});

it("reads nothing at or beyond the limit", () => {
  expect(decodeBase64(Buffer.from("QUJDQUJD"), 0, 7, Buffer.alloc(20), 0)).toBe(4);
});
