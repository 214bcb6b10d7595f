// Guarantee: for random limits and traces, refused and cancelled calls leave no trace, slots in use are exactly the open calls, no rate is
// exceeded in any window, and after everything has ended nothing is held.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Demand, Lease, Limit, LimitKind } from "./limit.ts";
import { createLimiter, type Limiter } from "./limiter.ts";

const kinds: readonly LimitKind[] = [
  "requestsPerMinute", "countsPerMinute", "tokensPerMinute", "inputTokensPerMinute", "outputTokensPerMinute",
  "parallelRequests", "openStreams", "parallelAgents", "newAgentsPerMinute", "newSessionsPerHour",
];
const scopes = ["key:a", "team:t", "session:a/s"];

const limitLists = fc.uniqueArray(
  fc.record({ scope: fc.constantFrom(...scopes), kind: fc.constantFrom(...kinds), max: fc.integer({ min: 0, max: 12 }) }).map((limit): Limit => limit.kind.includes("okens") ? { ...limit, max: limit.max * 40 } : limit),
  { selector: (limit) => `${limit.scope} ${limit.kind}`, minLength: 1, maxLength: 8 },
);
const tokenAmounts = fc.record({ input: fc.integer({ min: 0, max: 60 }), output: fc.integer({ min: 0, max: 60 }) }).map(({ input, output }) => ({ total: input + output, input, output }));
const names = (...ids: readonly string[]): fc.Arbitrary<string | undefined> => fc.constantFrom(undefined, ...ids);
const demands: fc.Arbitrary<Demand> = fc.record({
  tokens: tokenAmounts,
  isStreaming: fc.boolean(),
  isCount: fc.integer({ min: 0, max: 4 }).map((die) => die === 0),
  sessionId: names("s", "t", "u"),
  agentId: names("a", "b", "c", "d"),
  parentAgentId: names("a", "b"),
});
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ act: fc.constant("admit" as const), demand: demands }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant("end" as const), which: fc.nat(), actual: fc.option(tokenAmounts, { nil: undefined }) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("cancel" as const), which: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant("pause" as const), pauseMs: fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 3_000, max: 200_000 })) }) },
  ),
  { maxLength: 80 },
);

interface Call {
  readonly demand: Demand;
  readonly lease: Lease;
  readonly atMs: number;
}

/** All that can be seen of a limiter: how every possible limit of every scope stands, and how much it remembers. */
function view(limiter: Limiter, limits: readonly Limit[], nowMs: number): unknown {
  return { size: limiter.size, standing: limiter.snapshot(limits, nowMs) };
}

/** Runs the steps, checking each; returns what was admitted and all that is still open. */
function run(limiter: Limiter, limits: readonly Limit[], trace: readonly (typeof steps extends fc.Arbitrary<(infer Step)[]> ? Step : never)[]) {
  let nowMs = 0;
  const open: Call[] = [];
  const everAdmitted: Call[] = [];
  const closed: Call[] = [];
  for (const step of trace) {
    if (step.act === "pause") nowMs += step.pauseMs;
    else if (step.act === "admit") {
      const before = view(limiter, limits, nowMs);
      const verdict = limiter.admit(limits, step.demand, nowMs);
      if (verdict.isAdmitted) {
        const call = { demand: step.demand, lease: verdict.lease, atMs: nowMs };
        open.push(call);
        everAdmitted.push(call);
      } else {
        expect(view(limiter, limits, nowMs)).toEqual(before);
        expect(verdict.refused.length).toBeGreaterThan(0);
        expect(verdict.refused.map((each) => each.limit)).toContain(verdict.limit);
      }
    } else if (open.length > 0) {
      const index = step.which % open.length;
      const call = open[index]!;
      open.splice(index, 1);
      closed.push(call);
      if (step.act === "end") call.lease.end(step.actual, nowMs);
      else call.lease.cancel(nowMs);
    }
    const again = closed[closed.length - 1];
    const before = view(limiter, limits, nowMs);
    again?.lease.end({ total: 999, input: 999, output: 999 }, nowMs);
    again?.lease.cancel(nowMs);
    expect(view(limiter, limits, nowMs)).toEqual(before);
    expectSlots(limiter, limits, { open, nowMs });
  }
  return { nowMs, open, everAdmitted };
}

/** Slots in use are exactly the open calls that use one. */
function expectSlots(limiter: Limiter, limits: readonly Limit[], { open, nowMs }: { open: readonly Call[]; nowMs: number }): void {
  const real = open.filter((call) => !call.demand.isCount);
  for (const { limit, remaining } of limiter.snapshot(limits, nowMs)) {
    if (limit.kind === "parallelRequests") expect(remaining).toBe(limit.max - real.length);
    if (limit.kind === "openStreams") expect(remaining).toBe(limit.max - real.filter((call) => call.demand.isStreaming).length);
    if (limit.kind === "parallelAgents") {
      const running = new Set(real.map((call) => call.demand.agentId).filter((id) => id !== undefined)).size;
      expect(running).toBeLessThanOrEqual(limit.max);
      expect(remaining).toBeLessThanOrEqual(limit.max - running);
    }
  }
}

describe("any trace under any limits", () => {
  it("refuses without a trace, holds exactly what is open, frees it once, and forgets all when idle", () => {
    fc.assert(
      fc.property(limitLists, steps, (limits, trace) => {
        const limiter = createLimiter();
        const { nowMs, open } = run(limiter, limits, trace);
        for (const call of open) call.lease.end(undefined, nowMs);
        const laterMs = nowMs + 100 * 3_600_000;
        for (const { limit, remaining, resetAfterMs } of limiter.snapshot(limits, laterMs)) {
          expect({ kind: limit.kind, remaining, resetAfterMs }).toEqual({ kind: limit.kind, remaining: limit.max, resetAfterMs: 0 });
        }
        const idle: Demand = { tokens: { total: 0, input: 0, output: 0 }, isStreaming: false, isCount: true, sessionId: undefined, agentId: undefined, parentAgentId: undefined };
        for (let call = 0; call < 500; call += 1) limiter.admit([], idle, laterMs);
        expect(limiter.size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it("cancels without a trace: with a cancelled call put in anywhere, everything stands as if it had not been", () => {
    fc.assert(
      fc.property(limitLists, steps, demands, (limits, trace, extra) => {
        const limiter = createLimiter();
        const { nowMs } = run(limiter, limits, trace);
        const before = view(limiter, limits, nowMs);
        const verdict = limiter.admit(limits, extra, nowMs);
        if (verdict.isAdmitted) verdict.lease.cancel(nowMs);
        expect(limiter.snapshot(limits, nowMs)).toEqual((before as { standing: unknown }).standing);
      }),
      { numRuns: 300 },
    );
  });

  it("admits in any window no more requests or counts than burst and steady rate", () => {
    const onlyEnds = steps.map((trace) => trace.filter((step) => step.act !== "cancel"));
    fc.assert(
      fc.property(limitLists, onlyEnds, (limits, trace) => {
        const { everAdmitted } = run(createLimiter(), limits, trace);
        for (const { kind, max } of limits) {
          if (kind !== "requestsPerMinute" && kind !== "countsPerMinute") continue;
          const times = everAdmitted.filter((call) => call.demand.isCount === (kind === "countsPerMinute")).map((call) => call.atMs);
          times.forEach((firstMs, first) => {
            times.slice(first).forEach((lastMs, count) => expect(count + 1).toBeLessThanOrEqual(max + (max * (lastMs - firstMs)) / 60_000));
          });
        }
      }),
      { numRuns: 300 },
    );
  });

  it("is told a time after which it is admitted, if nobody else comes and the wait is for a rate", () => {
    fc.assert(
      fc.property(limitLists, steps, demands, (limits, trace, extra) => {
        const limiter = createLimiter();
        const { nowMs, open } = run(limiter, limits, trace);
        for (const call of open) call.lease.end(undefined, nowMs);
        const verdict = limiter.admit(limits, extra, nowMs);
        if (verdict.isAdmitted || verdict.retryAfterMs === undefined) return;
        const isOnlyRates = verdict.refused.every((each) => each.limit.kind.includes("Per"));
        if (isOnlyRates) expect(limiter.admit(limits, extra, nowMs + verdict.retryAfterMs - 1).isAdmitted).toBe(false);
        expect(limiter.admit(limits, extra, nowMs + verdict.retryAfterMs).isAdmitted).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
