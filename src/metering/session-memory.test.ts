// Guarantee: a session's next input is what its last report and the added bytes say, only while its cache lives, in bounded memory.
import { describe, expect, it } from "vitest";
import { zeroCounts, type TokenCounts } from "../kernel/usage.ts";
import { createSessionMemory, type SessionReport } from "./session-memory.ts";

const model = "claude-opus-5-5";
const counts = (members: Partial<TokenCounts>): TokenCounts => ({ ...zeroCounts, ...members });
const report = (members: Partial<TokenCounts>, rest: Partial<SessionReport> = {}): SessionReport => ({
  parts: [{ counts: counts(members), model: undefined }], requestBytes: 200_000, hasOneHourCache: false, atMs: 1_000, ...rest,
});
const usual = { cacheRead: 58_200, cacheWrite5m: 1_790, input: 10, output: 350 };
const call = (members: Partial<{ requestBytes: number; nowMs: number }> = {}): { requestBytes: number; bytesPerToken: number; nowMs: number } => ({ requestBytes: 204_000, bytesPerToken: 4, nowMs: 2_000, ...members });

describe("the next call of a session", () => {
  it("reads what the last one read or wrote, and writes the rest and what was added", () => {
    const memory = createSessionMemory();
    memory.note("s", model, report(usual));
    expect(memory.next("s", model, call())).toEqual({ cacheRead: 59_990, cacheWrite: 1_010, input: 0 });
  });

  it("of a session without a cache is all input again", () => {
    const memory = createSessionMemory();
    memory.note("s", model, report({ input: 50_000 }));
    expect(memory.next("s", model, call())).toEqual({ cacheRead: 0, cacheWrite: 0, input: 51_000 });
  });

  it.each([
    ["is unknown for another session or model", "t", model, call()],
    ["is unknown for another model", "s", "claude-haiku-5-5", call()],
    ["is cold five minutes later", "s", model, call({ nowMs: 301_000 })],
    ["is cold when the clock went back", "s", model, call({ nowMs: 999 })],
    ["is another conversation when its body has shrunk by more than a tenth", "s", model, call({ requestBytes: 179_999 })],
  ])("%s", (_title, sessionId, asked, next) => {
    const memory = createSessionMemory();
    memory.note("s", model, report(usual));
    expect(memory.next(sessionId, asked, next)).toBeUndefined();
  });

  it("is warm up to the last millisecond, and as a repeated or slightly shorter body", () => {
    const memory = createSessionMemory();
    memory.note("s", model, report(usual));
    expect(memory.next("s", model, call({ nowMs: 300_999 }))).toBeDefined();
    expect(memory.next("s", model, call({ requestBytes: 180_000 }))).toEqual({ cacheRead: 59_990, cacheWrite: 10, input: 0 });
  });

  it("is warm for an hour where everything was written for an hour, and not with a mixed prompt", () => {
    const memory = createSessionMemory();
    memory.note("hour", model, report({ cacheRead: 9, cacheWrite1h: 9 }, { hasOneHourCache: true }));
    memory.note("read", model, report({ cacheRead: 9 }, { hasOneHourCache: true }));
    memory.note("mixed", model, report({ cacheRead: 9, cacheWrite1h: 9, cacheWrite5m: 1 }, { hasOneHourCache: true }));
    const isWarm = (id: string, nowMs: number): boolean => memory.next(id, model, call({ nowMs })) !== undefined;
    expect([isWarm("hour", 3_600_999), isWarm("hour", 3_601_000), isWarm("read", 3_600_999), isWarm("mixed", 301_000)]).toEqual([true, false, true, false]);
  });

  it("follows the last own part, since each part reads the conversation anew", () => {
    const memory = createSessionMemory();
    const parts = [
      { counts: counts({ cacheRead: 90_000 }), model: undefined },
      { counts: counts({ input: 70_000 }), model: "claude-haiku-5-5" },
      { counts: counts({ cacheRead: 5_000, cacheWrite5m: 1_000 }), model: undefined },
    ];
    memory.note("s", model, report({}, { parts: [...parts.slice(0, 1), parts[2]!, parts[1]!] }));
    expect(memory.next("s", model, call({ requestBytes: 200_000 }))?.cacheRead).toBe(6_000);
  });
});

describe("memory", () => {
  it("holds no more sessions than its bound and keeps the latest", () => {
    const memory = createSessionMemory(100);
    for (let count = 0; count < 1_000; count++) memory.note(`s${count}`, model, report(usual));
    expect(memory.sessions).toBeLessThanOrEqual(100);
    expect(memory.last("s999", model)).toBeDefined();
    expect(memory.last("s0", model)).toBeUndefined();
  });

  it("keeps nothing under an absurdly long id, nor for a report without parts", () => {
    const memory = createSessionMemory();
    memory.note("x".repeat(257), model, report(usual));
    memory.note("s", model, report({}, { parts: [] }));
    expect(memory.sessions).toBe(0);
    expect(memory.next("x".repeat(257), model, call())).toBeUndefined();
  });
});
