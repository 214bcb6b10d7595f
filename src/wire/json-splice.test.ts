// Guarantee: a splice changes the named top-level members and not one byte elsewhere.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isProblem, scanMembers, type JsonMembers } from "./json-members.ts";
import { spliceMembers } from "./json-splice.ts";

function membersOf(bytes: Buffer): JsonMembers {
  const members = scanMembers(bytes);
  if (isProblem(members)) throw new Error(members.reason);
  return members;
}

const object = fc.dictionary(fc.constantFrom("model", "stream", "messages", "système", "x\"y", "n", "metadata"), fc.jsonValue(), { minKeys: 0, maxKeys: 7 });
const indent = fc.constantFrom(0, 1, "\t");

describe("spliceMembers", () => {
  it("gives the object with exactly the edits, for any object and any edits", () => {
    fc.assert(
      fc.property(object, indent, fc.subarray(["model", "stream", "n", "messages"]), fc.subarray(["metadata", "système", 'x"y']), fc.subarray(["anthropic_version", "anthropic_beta"]), (value, space, replaced, removed, added) => {
        const bytes = Buffer.from(JSON.stringify(value, null, space));
        const result = spliceMembers(bytes, membersOf(bytes), {
          replace: new Map(replaced.map((name) => [name, '"new ü"'])),
          remove: new Set(removed),
          add: new Map(added.map((name) => [name, "[1]"])),
        });
        const expected: Record<string, unknown> = JSON.parse(bytes.toString()) as Record<string, unknown>;
        for (const name of replaced) if (name in expected) expected[name] = "new ü";
        for (const name of removed) delete expected[name];
        for (const name of added) expected[name] = [1];
        expect(JSON.parse(result.toString())).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it("keeps every byte outside a replaced member, in order", () => {
    fc.assert(
      fc.property(object, indent, fc.constantFrom("model", "stream", "n"), (value, space, name) => {
        const bytes = Buffer.from(JSON.stringify({ ...value, [name]: "old" }, null, space));
        const members = membersOf(bytes);
        const { valueStart, valueEnd } = members.get(name)!;
        const result = spliceMembers(bytes, members, { replace: new Map([[name, '"claude-x"']]) });
        expect(result.subarray(0, valueStart)).toEqual(bytes.subarray(0, valueStart));
        expect(result.subarray(valueStart + 10)).toEqual(bytes.subarray(valueEnd));
      }),
    );
  });

  it("keeps the bytes of every member that stays when others are removed", () => {
    fc.assert(
      fc.property(object, fc.subarray(["model", "stream", "n", "metadata", "messages"]), (value, removed) => {
        const bytes = Buffer.from(JSON.stringify(value, null, 2));
        const before = membersOf(bytes);
        const result = spliceMembers(bytes, before, { remove: new Set(removed) });
        const after = membersOf(result);
        const spans = (from: Buffer, members: JsonMembers): string[] => members.list.filter(({ name }) => !removed.includes(name)).map((member) => from.toString("utf8", member.nameStart, member.valueEnd));
        expect(spans(result, after)).toEqual(spans(bytes, before));
        expect(after.list).toHaveLength(spans(bytes, before).length);
      }),
    );
  });

  it("gives the same buffer back when nothing is to be changed", () => {
    const bytes = Buffer.from('{"a":1}');
    expect(spliceMembers(bytes, membersOf(bytes), { replace: new Map([["b", "2"]]), remove: new Set(["c"]) })).toBe(bytes);
  });
});
