/** Guarantee: every member of a wanted name is seen once, with its value, in any JSON, as a parser that keeps repeats would. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { walkObjects, type FoundMember } from "./json-walk.ts";

function walk(text: string): FoundMember[][] {
  const bytes = Buffer.from(text);
  const seen: FoundMember[][] = [];
  walkObjects(bytes, [0, bytes.length], new Set(["type", "model"]), (found) => seen.push([...found]));
  return seen;
}

/** What JSON.parse shows, inner objects first. */
function expected(value: unknown): FoundMember[][] {
  if (Array.isArray(value)) return value.flatMap(expected);
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value).flatMap(expected);
  const own = Object.entries(value).flatMap(([name, member]: [string, unknown]) => (["type", "model"].includes(name.toLowerCase()) ? [{ name, text: typeof member === "string" ? member : undefined }] : []));
  return own.length === 0 ? inner : [...inner, own];
}

describe("walking", () => {
  it("sees what JSON.parse sees, for any value and spacing", () => {
    const member = fc.constantFrom("type", "model", "Model", "a", "été", 'q"\\');
    const tree = fc.letrec((tie) => ({
      node: fc.oneof({ depthSize: "small" }, fc.string(), fc.integer(), fc.constantFrom(null, true, false, "advisor_1", "\\\\", '"'), fc.array(tie("node"), { maxLength: 4 }), fc.dictionary(member, tie("node"), { maxKeys: 4 })),
    })).node;
    fc.assert(
      fc.property(tree, fc.constantFrom(0, 1, 3), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const plain: unknown = JSON.parse(text);
        expect(walk(text)).toEqual(expected(plain));
      }),
    );
  });

  it("shows repeats, other spellings and escapes", () => {
    expect(walk('{"model":"a","model":"b","Model":1,"\\u006dodel":"c"}')).toEqual([
      [
        { name: "model", text: "a" },
        { name: "model", text: "b" },
        { name: "Model", text: undefined },
        { name: "model", text: "c" },
      ],
    ]);
  });
});
