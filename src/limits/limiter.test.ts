// Guarantee: a call is admitted when every limit that binds it has room, else refused with the time after which all have; each kind of
// limit measures its own part of a call and nothing else; idle scopes are forgotten.
import { describe, expect, it } from "vitest";
import type { Demand, Lease, Limit, LimitKind, LimitVerdict } from "./limit.ts";
import { agentGraceMsDefault } from "./limit-books.ts";
import { createLimiter, slotRetryMs, type Limiter } from "./limiter.ts";

const noTokens = { total: 0, input: 0, output: 0 };
const plain: Demand = { tokens: noTokens, isStreaming: false, isCount: false, sessionId: undefined, agentId: undefined, parentAgentId: undefined };

function limit(kind: LimitKind, max: number, scope = "key:k"): Limit {
  return { scope, kind, max };
}

/** Admits the demand or fails the test. */
function admitted(verdict: LimitVerdict): Lease {
  if (!verdict.isAdmitted) throw new Error(`refused by ${verdict.limit.kind} of ${verdict.limit.scope}`);
  return verdict.lease;
}

/** What a refusal says, or "admitted". */
function retryOf(verdict: LimitVerdict): number | "never" | "admitted" {
  return verdict.isAdmitted ? "admitted" : (verdict.retryAfterMs ?? "never");
}

function remaining(limiter: Limiter, limits: readonly Limit[], nowMs: number): number[] {
  return limiter.snapshot(limits, nowMs).map((status) => status.remaining);
}

describe("requests and counts", () => {
  it("are limited per minute, with the exact time left", () => {
    const limiter = createLimiter();
    const limits = [limit("requestsPerMinute", 2)];
    admitted(limiter.admit(limits, plain, 0.7)).end(noTokens, 1);
    admitted(limiter.admit(limits, plain, 10_000)).end(noTokens, 10_001);
    expect(retryOf(limiter.admit(limits, plain, 10_000.9))).toBe(20_000);
    expect(limiter.snapshot(limits, 10_000)).toEqual([{ limit: limits[0], remaining: 0, resetAfterMs: 50_000 }]);
    expect(retryOf(limiter.admit(limits, plain, 29_999))).toBe(1);
    admitted(limiter.admit(limits, plain, 30_000));
  });

  it("have a bucket each: counting tokens uses up no requests, tokens, slots, sessions or agents", () => {
    const limiter = createLimiter();
    const others = (["requestsPerMinute", "tokensPerMinute", "inputTokensPerMinute", "outputTokensPerMinute", "parallelRequests", "openStreams", "parallelAgents", "newAgentsPerMinute", "newSessionsPerHour"] as const).map((kind) => limit(kind, 0));
    const limits = [...others, limit("countsPerMinute", 2)];
    const count: Demand = { ...plain, tokens: { total: 9, input: 9, output: 0 }, isCount: true, isStreaming: true, sessionId: "s", agentId: "a" };
    admitted(limiter.admit(limits, count, 0)).end({ total: 5, input: 5, output: 0 }, 1);
    admitted(limiter.admit(limits, count, 1));
    expect(limiter.admit(limits, count, 1)).toMatchObject({ isAdmitted: false, limit: { kind: "countsPerMinute" }, retryAfterMs: 29_999 });
    expect(retryOf(limiter.admit([limit("countsPerMinute", 0)], plain, 1))).toBe("admitted");
  });
});

describe("tokens", () => {
  const tokens = { total: 100, input: 60, output: 40 };

  it("are limited as total, input and output, each by its own estimate", () => {
    const limiter = createLimiter();
    const limits = [limit("tokensPerMinute", 1_000), limit("inputTokensPerMinute", 600), limit("outputTokensPerMinute", 100)];
    const demand = { ...plain, tokens };
    for (let call = 0; call < 2; call += 1) admitted(limiter.admit(limits, demand, 0));
    expect(remaining(limiter, limits, 0)).toEqual([800, 480, 20]);
    expect(limiter.admit(limits, demand, 0)).toMatchObject({ isAdmitted: false, limit: { kind: "outputTokensPerMinute" }, retryAfterMs: 12_000 });
  });

  it("are corrected at the end in both directions, and stay estimated when nobody knows", () => {
    const limiter = createLimiter();
    const limits = [limit("tokensPerMinute", 1_000)];
    const demand = { ...plain, tokens };
    const [first, second, third] = [1, 2, 3].map(() => admitted(limiter.admit(limits, demand, 0)));
    first!.end({ total: 30, input: 30, output: 0 }, 0);
    expect(remaining(limiter, limits, 0)).toEqual([770]);
    second!.end({ total: 870, input: 870, output: 0 }, 0);
    expect(remaining(limiter, limits, 0)).toEqual([0]);
    third!.end(undefined, 0);
    expect(limiter.snapshot(limits, 0)[0]?.resetAfterMs).toBe(60_000);
  });

  it("refuse calls of unknown size while nothing is left, and a call above the burst for good", () => {
    const limiter = createLimiter();
    const limits = [limit("tokensPerMinute", 60)];
    admitted(limiter.admit(limits, plain, 0)).end({ total: 61, input: 61, output: 0 }, 0);
    expect(retryOf(limiter.admit(limits, plain, 0))).toBe(2_000);
    expect(retryOf(limiter.admit(limits, { ...plain, tokens }, 0))).toBe("never");
  });
});

describe("slots", () => {
  it("bind calls in parallel and are free at once when one ends, once only", () => {
    const limiter = createLimiter();
    const limits = [limit("parallelRequests", 2)];
    const first = admitted(limiter.admit(limits, plain, 0));
    admitted(limiter.admit(limits, plain, 0));
    expect(retryOf(limiter.admit(limits, plain, 0))).toBe(slotRetryMs);
    first.end(undefined, 0);
    first.end(undefined, 0);
    first.cancel(0);
    expect(limiter.snapshot(limits, 0)).toEqual([{ limit: limits[0], remaining: 1, resetAfterMs: undefined }]);
    admitted(limiter.admit(limits, plain, 0));
    expect(retryOf(limiter.admit(limits, plain, 0))).toBe(slotRetryMs);
  });

  it("of streams bind streamed replies only", () => {
    const limiter = createLimiter();
    const limits = [limit("openStreams", 1)];
    const streamed = { ...plain, isStreaming: true };
    const whole = admitted(limiter.admit(limits, plain, 0));
    expect(remaining(limiter, limits, 0)).toEqual([1]);
    const stream = admitted(limiter.admit(limits, streamed, 0));
    expect(retryOf(limiter.admit(limits, streamed, 0))).toBe(slotRetryMs);
    admitted(limiter.admit(limits, plain, 0)).end(undefined, 0);
    stream.end(undefined, 0);
    whole.end(undefined, 0);
    expect(remaining(limiter, limits, 0)).toEqual([1]);
    expect(limiter.size).toBe(0);
  });

  it("under a limit of 0 are never free", () => {
    expect(retryOf(createLimiter().admit([limit("parallelRequests", 0)], plain, 0))).toBe("never");
  });
});

describe("agents", () => {
  const agent = (agentId: string, parentAgentId?: string): Demand => ({ ...plain, sessionId: "s", agentId, parentAgentId });

  it("count as running while a call is open and for the grace after the last, and several calls of one count once", () => {
    const limiter = createLimiter();
    const limits = [limit("parallelAgents", 2, "session:k/s")];
    const first = admitted(limiter.admit(limits, agent("a"), 0));
    admitted(limiter.admit(limits, agent("a"), 0)).end(undefined, 0);
    const second = admitted(limiter.admit(limits, agent("b"), 0));
    expect(retryOf(limiter.admit(limits, agent("c"), 0))).toBe(slotRetryMs);
    first.end(undefined, 100);
    expect(retryOf(limiter.admit(limits, agent("c"), 200))).toBe(agentGraceMsDefault - 100);
    admitted(limiter.admit(limits, agent("a"), 200)).cancel(200);
    expect(retryOf(limiter.admit(limits, agent("c"), 100 + agentGraceMsDefault - 1))).toBe(1);
    admitted(limiter.admit(limits, agent("c"), 100 + agentGraceMsDefault));
    expect(retryOf(limiter.admit(limits, agent("a"), 100 + agentGraceMsDefault))).toBe(slotRetryMs);
    second.end(undefined, 100 + agentGraceMsDefault);
    admitted(limiter.admit(limits, plain, 100 + agentGraceMsDefault));
  });

  it("that wait for the agents they started keep their place, up the whole line", () => {
    const limiter = createLimiter();
    const limits = [limit("parallelAgents", 3, "session:k/s")];
    admitted(limiter.admit(limits, agent("a"), 0)).end(undefined, 0);
    admitted(limiter.admit(limits, agent("b", "a"), 0)).end(undefined, 0);
    const leaf = admitted(limiter.admit(limits, agent("c", "b"), 0));
    expect(retryOf(limiter.admit(limits, agent("d"), 600_000))).toBe(slotRetryMs);
    admitted(limiter.admit(limits, agent("a"), 600_000)).end(undefined, 600_000);
    leaf.end(undefined, 600_000);
    expect(remaining(limiter, limits, 600_000)).toEqual([0]);
    expect(remaining(limiter, limits, 600_000 + agentGraceMsDefault)).toEqual([3]);
  });

  it("beyond a limit that was lowered wait until enough of them have ended", () => {
    const limiter = createLimiter();
    for (const [index, id] of ["a", "b", "c"].entries()) {
      admitted(limiter.admit([limit("parallelAgents", 3)], agent(id), index * 100)).end(undefined, index * 100);
    }
    expect(retryOf(limiter.admit([limit("parallelAgents", 2)], agent("d"), 200))).toBe(agentGraceMsDefault + 100 - 200);
  });

  it("that are new are limited per minute, and known ones are not", () => {
    const limiter = createLimiter();
    const limits = [limit("newAgentsPerMinute", 2, "session:k/s"), limit("parallelAgents", 9, "session:k/s")];
    for (const id of ["a", "b", "a", "b"]) admitted(limiter.admit(limits, agent(id), 0)).end(undefined, 0);
    expect(limiter.admit(limits, agent("c"), 0)).toMatchObject({ isAdmitted: false, limit: limits[0], retryAfterMs: 30_000 });
    admitted(limiter.admit(limits, agent("a"), 0));
    admitted(limiter.admit(limits, plain, 0));
    admitted(limiter.admit(limits, agent("c"), 30_000));
  });
});

describe("sessions", () => {
  it("that are new are limited per hour; calls that name none share one; an hour's silence forgets a session", () => {
    const limiter = createLimiter();
    const limits = [limit("newSessionsPerHour", 2)];
    for (const sessionId of ["s", undefined, "s", "none", undefined]) admitted(limiter.admit(limits, { ...plain, sessionId }, 0)).end(undefined, 0);
    expect(retryOf(limiter.admit(limits, { ...plain, sessionId: "t" }, 0))).toBe(1_800_000);
    admitted(limiter.admit(limits, { ...plain, sessionId: "t" }, 3_600_000));
    admitted(limiter.admit(limits, { ...plain, sessionId: "u" }, 3_600_001));
    expect(retryOf(limiter.admit(limits, { ...plain, sessionId: "s" }, 3_600_001))).not.toBe("admitted");
  });

  it("beyond the number remembered push out the longest unused, never one with an open call", () => {
    const limiter = createLimiter({ sessionsMax: 3 });
    const limits = [limit("newSessionsPerHour", 1_000)];
    const open = admitted(limiter.admit(limits, { ...plain, sessionId: "open" }, 0));
    for (let index = 0; index < 50; index += 1) admitted(limiter.admit(limits, { ...plain, sessionId: `s${index}` }, index)).end(undefined, index);
    expect(limiter.size).toBe(4);
    const before = remaining(limiter, limits, 50);
    admitted(limiter.admit(limits, { ...plain, sessionId: "open" }, 50)).end(undefined, 50);
    expect(remaining(limiter, limits, 50)).toEqual(before);
    open.end(undefined, 50);
  });
});

describe("a cancelled call", () => {
  it("burns nothing: requests, tokens, slots, the new session and the new agent come back", () => {
    const limiter = createLimiter();
    const kinds = ["requestsPerMinute", "tokensPerMinute", "parallelRequests", "parallelAgents", "newAgentsPerMinute", "newSessionsPerHour"] as const;
    const limits = kinds.map((kind) => limit(kind, 1));
    const demand = { ...plain, tokens: { total: 1, input: 1, output: 0 }, agentId: "a", sessionId: "s" };
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const id = `try ${attempt}`;
      const lease = admitted(limiter.admit(limits, { ...demand, agentId: id, sessionId: id }, attempt));
      expect(remaining(limiter, limits, attempt)).toEqual([0, 0, 0, 0, 0, 0]);
      lease.cancel(attempt);
      lease.end({ total: 1_000, input: 1_000, output: 0 }, attempt);
      expect(remaining(limiter, limits, attempt)).toEqual([1, 1, 1, 1, 1, 1]);
    }
  });
});

describe("several limits", () => {
  it("refuse together: all without room are told, the longest wait is the answer, and nothing is burnt", () => {
    const limiter = createLimiter();
    const limits = [limit("requestsPerMinute", 60), limit("requestsPerMinute", 1, "team:t"), limit("parallelRequests", 1, "user:u"), limit("tokensPerMinute", 10, "organization:o")];
    admitted(limiter.admit(limits, { ...plain, tokens: { total: 10, input: 10, output: 0 } }, 0));
    const verdict = limiter.admit(limits, { ...plain, tokens: { total: 3, input: 3, output: 0 } }, 0);
    expect(verdict).toEqual({
      isAdmitted: false,
      limit: limits[1],
      retryAfterMs: 60_000,
      refused: [{ limit: limits[1], retryAfterMs: 60_000 }, { limit: limits[2], retryAfterMs: slotRetryMs }, { limit: limits[3], retryAfterMs: 18_000 }],
    });
    expect(remaining(limiter, limits, 0)).toEqual([59, 0, 0, 0]);
  });

  it("admit everything when there are none", () => {
    expect(retryOf(createLimiter().admit([], plain, 0))).toBe("admitted");
  });

  it("follow a changed configuration from the next call on, and a running call's correction keeps to it", () => {
    const limiter = createLimiter();
    const before = [limit("tokensPerMinute", 100)];
    const after = [limit("tokensPerMinute", 1_000)];
    const lease = admitted(limiter.admit(before, { ...plain, tokens: { total: 100, input: 100, output: 0 } }, 0));
    expect(remaining(limiter, after, 0)).toEqual([900]);
    lease.end({ total: 150, input: 150, output: 0 }, 0);
    expect(remaining(limiter, after, 0)).toEqual([850]);
  });
});

describe("memory", () => {
  it("keeps what is owed and what is known, however many calls others make meanwhile", () => {
    const limiter = createLimiter();
    const limits = [limit("requestsPerMinute", 1), limit("newSessionsPerHour", 1)];
    admitted(limiter.admit(limits, { ...plain, sessionId: "s" }, 0)).end(undefined, 0);
    const busy = [limit("requestsPerMinute", 1_000_000, "key:other")];
    for (let index = 0; index < 10_000; index += 1) admitted(limiter.admit(busy, plain, 59_999)).end(undefined, 59_999);
    expect(retryOf(limiter.admit(limits, { ...plain, sessionId: "s" }, 59_999))).toBe(1);
    admitted(limiter.admit(limits, { ...plain, sessionId: "s" }, 60_000));
    expect(retryOf(limiter.admit(limits, { ...plain, sessionId: "t" }, 120_000))).toBe(3_480_000);
  });

  it("of scopes that clients make up keeps the latest, and every scope that an operator named", () => {
    const limiter = createLimiter({ clientNamedMax: 3 });
    const session = (id: number): readonly Limit[] => [{ ...limit("requestsPerMinute", 1, `session:k/${id}`), hasClientName: true }, limit("requestsPerMinute", 100)];
    for (let id = 0; id < 50; id += 1) admitted(limiter.admit(session(id), plain, 0)).end(undefined, 0);
    expect(limiter.size).toBe(4);
    expect([0, 46, 47, 49].map((id) => remaining(limiter, session(id), 0))).toEqual([[1, 50], [1, 50], [0, 50], [0, 50]]);
    expect(retryOf(limiter.admit(session(49), plain, 0))).toBe(60_000);
    const first = admitted(limiter.admit(session(0), { ...plain, tokens: { total: 1, input: 1, output: 0 } }, 0));
    for (let id = 1; id < 9; id += 1) admitted(limiter.admit(session(id + 50), plain, 0));
    first.cancel(0);
    expect(limiter.size).toBe(4);
  });

  it("forgets idle scopes, paid by the calls that come in", () => {
    const limiter = createLimiter();
    for (let index = 0; index < 5_000; index += 1) {
      const limits = [limit("requestsPerMinute", 60, `end_user:${index}`), limit("parallelRequests", 5, `end_user:${index}`), limit("newAgentsPerMinute", 5, `session:${index}`)];
      admitted(limiter.admit(limits, { ...plain, agentId: "a" }, index)).end(undefined, index);
    }
    expect(limiter.size).toBeGreaterThan(5_000);
    const busy = [limit("requestsPerMinute", 1_000_000)];
    for (let index = 0; index < 30_000; index += 1) admitted(limiter.admit(busy, plain, 10_000_000 + index)).end(undefined, 10_000_000 + index);
    expect(limiter.size).toBe(1);
  });
});
