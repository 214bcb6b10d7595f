// Guarantee: every documented spelling of a Claude model has one canonical name, and nothing merely similar has it.
import { describe, expect, it } from "vitest";
import { claudeFamily, normalizeModelName } from "./model-name.ts";
import { loadPriceBook } from "./price-book.ts";

const book = loadPriceBook();

describe("spellings of one model", () => {
  it.each([
    ["claude-sonnet-4-5", "claude-sonnet-4-5"],
    ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"],
    ["claude-sonnet-4-5-latest", "claude-sonnet-4-5"],
    ["claude-sonnet-4-5@20250929", "claude-sonnet-4-5"],
    ["claude-sonnet-4-6@default", "claude-sonnet-4-6"],
    ["claude-sonnet-4-5[1m]", "claude-sonnet-4-5"],
    ["claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5"],
    ["anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"],
    ["vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5"],
    ["bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"],
    ["eu.anthropic.claude-opus-4-8", "claude-opus-4-8"],
    ["arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8", "claude-opus-4-8"],
    ["claude-opus-4-20250514", "claude-opus-4"],
    ["claude-opus-4-0", "claude-opus-4"],
    ["claude-4-opus-20250514", "claude-opus-4"],
    ["claude-sonnet-4-0", "claude-sonnet-4"],
    ["claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"],
    ["anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"],
    ["claude-3-5-haiku-latest", "claude-3-5-haiku"],
    ["claude-opus-5-5", "claude-opus-5-5"],
  ])("%s is %s", (name, canonical) => expect(book.canonicalName(name)).toBe(canonical));

  it.each(["claude-opus-5-50", "claude-opus-5-5-preview", "claude-opus-5-5-2026", "xclaude-opus-5-5", "claude-opus-5-5-v1", "Claude-Opus-5-5", "claude-opus-5-5 ", "us.claude-opus-5-5"])(
    "%s is not Claude Opus 5.5",
    (name) => expect(book.canonicalName(name)).not.toBe("claude-opus-5-5"),
  );

  it("reads the region of Bedrock names, and takes a name without prefix as regional", () => {
    const geo = (name: string): string | undefined => normalizeModelName(name).bedrockGeo;
    expect([geo("global.anthropic.claude-x"), geo("jp.anthropic.claude-x"), geo("anthropic.claude-x"), geo("us-gov.anthropic.claude-x"), geo("claude-x")]).toEqual([
      "global", "regional", "regional", "us-gov", undefined,
    ]);
  });
});

describe("families", () => {
  it.each([
    ["claude-opus-6", "opus"],
    ["claude-3-5-haiku", "haiku"],
    ["claude-mythos-6", "mythos"],
    ["claude-novella-1", ""],
    ["claude-opusculum-1", ""],
    ["gpt-5", undefined],
    ["claudette-opus", undefined],
  ])("%s belongs to %j", (model, family) => expect(claudeFamily(model)).toBe(family));
});
