// Guarantee: the member scan reads exactly the object that JSON.parse reads, or refuses; so the gateway and the upstream
// can never see two different requests.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isProblem, scanElements, scanMembers, type JsonMembers } from "./json-members.ts";

function scanned(text: string | Buffer): JsonMembers {
  const result = scanMembers(Buffer.from(text));
  if (isProblem(result)) throw new Error(`${result.reason} at ${result.offset}`);
  return result;
}

function reason(text: string | Buffer): string {
  const result = scanMembers(Buffer.from(text));
  return isProblem(result) ? result.reason : "accepted";
}

const spaces = fc.stringMatching(/^[ \t\r\n]{0,3}$/);

describe("scanMembers", () => {
  it("finds the same names and values as JSON.parse, in order, for any object", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ noUnicodeString: false }), { maxKeys: 12 }), spaces, fc.constantFrom(0, 1, 2), (object, space, indent) => {
        const text = `${space}${JSON.stringify(object, null, indent)}${space}`;
        // What JSON.parse makes of it is the oracle: names that are lone surrogates are encoded as U+FFFD on both sides.
        const bytes = Buffer.from(text);
        const parsed = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
        const members = scanned(bytes);
        expect(new Set(members.list.map(({ name }) => name))).toEqual(new Set(Object.keys(parsed)));
        for (const { name, valueStart, valueEnd } of members.list) {
          expect(JSON.parse(bytes.toString("utf8", valueStart, valueEnd))).toEqual(parsed[name]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("never accepts what JSON.parse refuses at the top level, whatever byte is changed", () => {
    const base = '{"model":"claude-x","stream":true,"n":-1.5e3,"messages":[{"role":"user","content":"a\\"b{[\\\\"}],"o":{"k":[1,{}]}}';
    fc.assert(
      fc.property(fc.nat(base.length - 1), fc.constantFrom('"', "\\", "{", "}", "[", "]", ",", ":", "x", " ", "1", "\u0000"), fc.boolean(), (at, replacement, isInsertion) => {
        const text = base.slice(0, at) + replacement + base.slice(at + (isInsertion ? 0 : 1));
        const result = scanMembers(Buffer.from(text));
        if (isProblem(result)) return;
        let parsed: Record<string, unknown>;
        try {
          parsed = JSON.parse(text) as Record<string, unknown>;
        } catch {
          // A fault inside a nested value or a string is the upstream's to find; the top-level borders must hold all the same.
          return;
        }
        expect(result.list.map(({ name }) => name).sort()).toEqual(Object.keys(parsed).sort());
      }),
      { numRuns: 3_000 },
    );
  });

  it("decodes escaped names before it compares them", () => {
    expect(scanned('{"mod\\u0065l":"a"}').get("model")).toBeDefined();
    expect(reason('{"model":"a","mod\\u0065l":"b"}')).toBe('has the member "model" twice');
    expect(reason('{"model":"a","model":"a"}')).toBe('has the member "model" twice');
  });

  it.each([
    ["", "is not a JSON object"],
    ["[]", "is not a JSON object"],
    ['"a"', "is not a JSON object"],
    ["\ufeff{}", "starts with a byte order mark"],
    ["{} x", "has bytes after its end"],
    ['{"a":1}{"a":2}', "has bytes after its end"],
    ["{a:1}", "expected a member name"],
    ['{"a" 1}', "expected ':'"],
    ['{"a":1 "b":2}', "expected ',' or '}'"],
    ['{"a":1,}', "expected a member name"],
    ['{"a":}', "has a value that is not JSON"],
    ['{"a":tru}', "has a value that is not JSON"],
    ['{"a":01}', "has a value that is not JSON"],
    ['{"a":"x}', "has a string without end"],
    ['{"a":"x\\"}', "has a string without end"],
    ['{"a":[1}', "has brackets that do not match"],
    ['{"a":[1', "ends inside a value"],
    ['{"a":1', "expected ',' or '}'"],
    ['{"\\x":1}', "has an unreadable member name"],
  ])("refuses %j because it %s", (text, expected) => {
    expect(reason(text)).toBe(expected);
  });

  it("takes 128 levels of nesting and refuses 129", () => {
    const nested = (levels: number): string => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    expect(reason(nested(128))).toBe("accepted");
    expect(reason(nested(129))).toBe("is nested deeper than 128 levels");
    expect(reason(nested(100_000))).toBe("is nested deeper than 128 levels");
  });

  it("finds the end of strings with any run of backslashes before the quote, short and long", () => {
    for (const padding of [0, 5, 21, 22, 23, 24, 25, 60, 5_000]) {
      for (let slashes = 0; slashes < 7; slashes++) {
        const value = "x".repeat(padding) + "\\".repeat(slashes) + '"' + "y";
        const text = JSON.stringify({ a: value, b: 1 });
        expect(scanned(text).list.map(({ name }) => name)).toEqual(["a", "b"]);
      }
    }
  });
});

describe("scanElements", () => {
  it("finds the same elements as JSON.parse", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 8 }), (array) => {
        const bytes = Buffer.from(JSON.stringify(array));
        const spans = scanElements(bytes, 0, bytes.length);
        if (isProblem(spans)) throw new Error(spans.reason);
        expect(spans.map(([start, end]) => JSON.parse(bytes.toString("utf8", start, end)) as unknown)).toEqual(JSON.parse(JSON.stringify(array)));
      }),
    );
  });
});
