// Guarantee: a key uses the models its list names, by name, pattern or group, and no other.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesPattern, mayUseModel, resolveAlias } from "./access.ts";
import type { KeyRecord } from "./key-store.ts";
import type { Principal } from "./principal.ts";

function holder(models: readonly string[]): Principal {
  return { role: "developer", keyId: "key_1", key: { models } as KeyRecord, userId: null, teamId: null, organizationId: null, mayInfer: true };
}

describe("mayUseModel", () => {
  it.each<[readonly string[], string, readonly string[], boolean]>([
    [[], "claude-opus-4-8", [], true],
    [["claude-opus-4-8"], "claude-opus-4-8", [], true],
    [["claude-opus-4-8"], "claude-opus-4-8-20260101", [], false],
    [["claude-opus-4-8"], "Claude-Opus-4-8", [], false],
    [["claude-*"], "claude-haiku-4-5", [], true],
    [["claude-*"], "my-claude-haiku", [], false],
    [["anthropic/*"], "anthropic/claude-haiku-4-5", [], true],
    [["anthropic/*"], "claude-haiku-4-5", [], false],
    [["*-haiku-*", "gpt"], "claude-haiku-4-5", [], true],
    [["cheap"], "claude-haiku-4-5", ["cheap", "small"], true],
    [["cheap"], "claude-opus-4-8", ["dear"], false],
    [["ch*"], "claude-opus-4-8", ["cheap"], false],
    [["*"], "anything", [], true],
    [["all-proxy-models"], "anything", [], true],
    [["all-team-models"], "anything", [], true],
    [["no-default-models"], "claude-haiku-4-5", [], false],
    [["no-default-models"], "no-default-models", ["no-default-models"], false],
    [["no-default-models", "claude-*"], "claude-haiku-4-5", [], true],
  ])("%j and %s in %j: %s", (models, name, groups, expected) => {
    expect(mayUseModel(holder(models), name, groups)).toBe(expected);
  });

  it("does not bind the admin key, which has no list", () => {
    expect(mayUseModel({ role: "admin", keyId: "admin", key: undefined, userId: null, teamId: null, organizationId: null, mayInfer: true }, "claude", [])).toBe(true);
  });
});

describe("matchesPattern", () => {
  it("agrees with a regular expression on every pattern and name", () => {
    const text = fc.array(fc.constantFrom("a", "b", "*", "."), { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, text, (pattern, name) => {
        const regex = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
        expect(matchesPattern(pattern, name)).toBe(regex.test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it("finishes on a pattern that makes backtracking explode", () => {
    expect(matchesPattern("*a".repeat(100), "a".repeat(256).concat("b"))).toBe(false);
  });
});

describe("resolveAlias", () => {
  it("takes one step, through the key's own members only", () => {
    const aliases = { fast: "claude-haiku-4-5", faster: "fast" };
    expect(["fast", "faster", "other", "constructor", "__proto__"].map((name) => resolveAlias(aliases, name))).toEqual(["claude-haiku-4-5", "fast", "other", "constructor", "__proto__"]);
  });
});
