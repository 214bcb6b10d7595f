// Guarantee: reads are expected only of a cache that should be there; what is lost is told with its reason and never exceeds what was paid in full.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { zeroCounts, type TokenCounts, type Usage, type UsagePart } from "../kernel/usage.ts";
import { createCacheReads, lostReads, type CachedCall, type CacheReads } from "./cache-reads.ts";

const minuteMs = 60_000;
const call = (members: Partial<CachedCall> = {}): CachedCall => ({ thread: "key session agent model 7", targetId: "first", messagesBytes: 200_000, atMs: 0, ...members });
const part = (members: Partial<TokenCounts>, rest: Partial<UsagePart> = {}): UsagePart => ({ counts: { ...zeroCounts, ...members }, model: undefined, ...rest });
const usage = (...parts: readonly UsagePart[]): Usage => ({ parts, serverToolUses: {}, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, source: "reported" });

/** A memory after one call that has read 50,000 tokens and written 1,000. */
function afterOne(counts: Partial<TokenCounts> = { cacheRead: 50_000, cacheWrite5m: 1_000, input: 10 }): CacheReads {
  const reads = createCacheReads();
  reads.note(call(), [part(counts)]);
  return reads;
}

describe("what a session's next call should read", () => {
  it("is what the last one has read and written", () => {
    expect(afterOne().expected(call({ atMs: minuteMs, messagesBytes: 200_400 }))).toEqual({ tokens: 51_000, isMoved: false });
  });

  it("is the same elsewhere, with a mark", () => {
    expect(afterOne().expected(call({ atMs: minuteMs, targetId: "second" }))).toEqual({ tokens: 51_000, isMoved: true });
  });

  it.each<[string, Partial<CachedCall>]>([
    ["another thread: other tools, another system prompt, model, session or agent", { thread: "key session agent model 8" }],
    ["five minutes later", { atMs: 5 * minuteMs }],
    ["after a compaction, which makes the messages shorter", { messagesBytes: 199_999 }],
    ["with a clock that was set back", { atMs: -1 }],
  ])("is nothing for %s", (_what, members) => {
    expect(afterOne().expected(call({ atMs: minuteMs, ...members }))).toBeUndefined();
  });

  it("is there until the last millisecond, and of a repeated call", () => {
    expect(afterOne().expected(call({ atMs: 5 * minuteMs - 1 }))?.tokens).toBe(51_000);
  });

  it("is nothing before anything was cached", () => {
    expect(createCacheReads().expected(call())).toBeUndefined();
    expect(afterOne({ input: 51_000 }).expected(call({ atMs: 1 }))).toBeUndefined();
  });

  it("lives for an hour where all was written for an hour, and as long again after it was only read", () => {
    const reads = afterOne({ cacheRead: 50_000, cacheWrite1h: 1_000 });
    expect(reads.expected(call({ atMs: 60 * minuteMs - 1 }))).toBeDefined();
    expect(reads.expected(call({ atMs: 60 * minuteMs }))).toBeUndefined();
    reads.note(call({ atMs: 50 * minuteMs }), [part({ cacheRead: 51_000 })]);
    expect(reads.expected(call({ atMs: 109 * minuteMs }))?.tokens).toBe(51_000);
    const mixed = afterOne({ cacheRead: 50_000, cacheWrite5m: 1, cacheWrite1h: 999 });
    expect(mixed.expected(call({ atMs: 5 * minuteMs }))).toBeUndefined();
  });

  it("stays what it is after a call that cached nothing, and after an earlier one that ended later", () => {
    const reads = afterOne();
    reads.note(call({ atMs: 1, targetId: "second" }), [part({ input: 51_000 })]);
    reads.note(call({ atMs: -5 }), [part({ cacheRead: 9_000 })]);
    expect(reads.expected(call({ atMs: minuteMs }))).toEqual({ tokens: 51_000, isMoved: false });
  });

  it("is kept for no more sessions than there is room for, nor under absurdly long names", () => {
    const reads = createCacheReads(2);
    for (const thread of ["a", "b", "c", "x".repeat(2_000)]) reads.note(call({ thread }), [part({ cacheRead: 5_000 })]);
    expect(["a", "b", "c", "x".repeat(2_000)].filter((thread) => reads.expected(call({ thread })) !== undefined)).toHaveLength(2);
    expect(reads.expected(call({ thread: "x".repeat(2_000) }))).toBeUndefined();
  });
});

describe("lost reads", () => {
  const expected = { tokens: 50_000, isMoved: false };

  it("are what was paid in full in their place: of the hour first, since a prompt begins with it, then of five minutes, then plain", () => {
    expect(lostReads(expected, usage(part({ cacheRead: 0, cacheWrite1h: 20_000, cacheWrite5m: 25_000, input: 9_000, output: 7 })))).toMatchObject({
      reason: "vanished", tokens: 50_000, readTokens: 0, usageAsExpected: { parts: [{ counts: { cacheRead: 50_000, cacheWrite1h: 0, cacheWrite5m: 0, input: 4_000, output: 7 } }] },
    });
  });

  it("have another reason where the call has moved", () => {
    expect(lostReads({ ...expected, isMoved: true }, usage(part({ cacheWrite5m: 50_000 })))?.reason).toBe("moved");
  });

  it.each<[string, Usage, number]>([
    ["half of them were read", usage(part({ cacheRead: 25_000, cacheWrite5m: 25_000 })), 50_000],
    ["fewer than 1,024 were expected", usage(part({ cacheWrite5m: 1_023 })), 1_023],
    ["the usage is an estimate", { ...usage(part({ input: 50_000 })), source: "estimated" }, 50_000],
    ["nothing was paid", { ...usage(), source: "none" }, 50_000],
    ["there was no other input either", usage(part({ output: 5 })), 50_000],
  ])("are none where %s", (_what, reported, tokens) => {
    expect(lostReads({ tokens, isMoved: false }, reported)).toBeUndefined();
  });

  it("begin just below half, and at 1,024", () => {
    expect(lostReads(expected, usage(part({ cacheRead: 24_999, cacheWrite5m: 30_000 })))?.tokens).toBe(25_001);
    expect(lostReads({ tokens: 1_024, isMoved: false }, usage(part({ input: 2_000 })))?.tokens).toBe(1_024);
  });

  it("are looked for in the first part that is the session's own: the others read what it has written", () => {
    const hop = part({ input: 900 }, { model: "claude-haiku-4-5" });
    expect(lostReads(expected, usage(hop, part({ cacheWrite5m: 60_000 }), part({ cacheRead: 60_000 })))).toMatchObject({ tokens: 50_000, usageAsExpected: { parts: [hop, part({ cacheRead: 50_000, cacheWrite5m: 10_000 }), part({ cacheRead: 60_000 })] } });
    expect(lostReads(expected, usage(part({ cacheRead: 50_000 }), part({ cacheWrite5m: 60_000 })))).toBeUndefined();
  });

  it("change no sum of tokens", () => {
    const count = fc.nat(100_000);
    fc.assert(
      fc.property(count, count, count, count, fc.integer({ min: 1_024, max: 200_000 }), (cacheRead, cacheWrite1h, cacheWrite5m, input, tokens) => {
        const reported = usage(part({ cacheRead, cacheWrite1h, cacheWrite5m, input }));
        const lost = lostReads({ tokens, isMoved: false }, reported);
        const sum = (counts: TokenCounts): number => counts.cacheRead + counts.cacheWrite1h + counts.cacheWrite5m + counts.input;
        expect(lost === undefined).toBe(cacheRead * 2 >= tokens || cacheWrite1h + cacheWrite5m + input === 0);
        if (lost === undefined) return;
        const [{ counts }] = lost.usageAsExpected.parts as [UsagePart];
        expect([sum(counts), counts.cacheRead - cacheRead]).toEqual([cacheRead + cacheWrite1h + cacheWrite5m + input, lost.tokens]);
        expect(Math.min(counts.input, counts.cacheWrite5m, counts.cacheWrite1h)).toBeGreaterThanOrEqual(0);
        expect(counts.cacheRead).toBeLessThanOrEqual(tokens);
      }),
    );
  });
});

it("the log hears of a session once an hour", () => {
  const reads = createCacheReads();
  expect([0, 1, 60 * minuteMs - 1, 60 * minuteMs, 61 * minuteMs].map((atMs) => reads.isToTell("key session", atMs))).toEqual([true, false, false, true, false]);
  expect([reads.isToTell("key other", 0), reads.isToTell("x".repeat(2_000), 0)]).toEqual([true, false]);
});
