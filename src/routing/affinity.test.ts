/**
 * Guarantee: a conversation is found where it was last served for exactly as long as its cache lives; a burst at its beginning goes one way; what
 * fails is forgotten; memory is bounded by what was used last.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manualClock } from "../kernel/clock.ts";
import { affinityKey } from "./affinity-key.ts";
import { createAffinity } from "./affinity.ts";

const minute = 60_000;

describe("a conversation", () => {
  it("is warm until its time after the last hit has passed", () => {
    const clock = manualClock();
    const affinity = createAffinity(clock);
    affinity.confirm("k", "a", 5 * minute);
    clock.advance(4 * minute);
    affinity.confirm("k", "a", 5 * minute);
    clock.advance(5 * minute - 1);
    expect(affinity.find("k")).toMatchObject({ targetId: "a", isConfirmed: true });
    clock.advance(1);
    expect(affinity.find("k")).toBeUndefined();
  });

  it("goes where the first of a burst goes, until that has failed or never ends", () => {
    const clock = manualClock();
    const affinity = createAffinity(clock);
    affinity.claim("k", "a", 60 * minute);
    affinity.claim("k", "b", 60 * minute);
    expect(affinity.find("k")).toMatchObject({ targetId: "a", isConfirmed: false });
    affinity.release("k", "b");
    expect(affinity.find("k")?.targetId).toBe("a");
    affinity.release("k", "a");
    expect(affinity.find("k")).toBeUndefined();
    affinity.claim("k", "b", 60 * minute);
    clock.advance(minute);
    expect(affinity.find("k")).toBeUndefined();
  });

  it("keeps its warm cache while a call elsewhere is under way, and moves when that has answered", () => {
    const affinity = createAffinity(manualClock());
    affinity.confirm("k", "a", 5 * minute);
    affinity.claim("k", "b", 5 * minute);
    expect(affinity.find("k")?.targetId).toBe("a");
    affinity.confirm("k", "b", 5 * minute);
    expect(affinity.find("k")?.targetId).toBe("b");
  });

  it("is free when its target is let go of, and only then", () => {
    const affinity = createAffinity(manualClock());
    for (const [key, target] of [["one", "a"], ["two", "b"], ["three", "a"]] as const) affinity.confirm(key, target, minute);
    affinity.releaseTarget("a");
    expect(["one", "two", "three"].map((key) => affinity.find(key)?.targetId)).toEqual([undefined, "b", undefined]);
  });
});

it("forgets the conversation that was served longest ago when there are too many", () => {
  const affinity = createAffinity(manualClock(), 2);
  for (const key of ["one", "two", "one", "three"]) affinity.confirm(key, "a", minute);
  expect(["one", "two", "three"].map((key) => affinity.find(key)?.targetId)).toEqual(["a", undefined, "a"]);
});

it("agrees with a list that is looked through, and remembers those used last", () => {
  const keys = fc.constantFrom("k1", "k2", "k3", "k4", "k5");
  const target = fc.constantFrom("a", "b");
  const step = fc.oneof(
    fc.record({ act: fc.constantFrom("claim", "confirm", "release"), key: keys, target, ttlMs: fc.constantFrom(minute / 2, 5 * minute) }),
    fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(1, 20_000, minute, 4 * minute) }),
    fc.record({ act: fc.constant("releaseTarget" as const), target }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = manualClock();
      const affinity = createAffinity(clock, 3);
      /** Used longest ago first. */
      let list: { key: string; target: string; isConfirmed: boolean; untilMs: number }[] = [];
      let nowMs = 0;
      const alive = (key: string) => list.find((each) => each.key === key && each.untilMs > nowMs);
      const put = (key: string, to: string, isConfirmed: boolean, ttlMs: number): void => void (list = [...list.filter((each) => each.key !== key), { key, target: to, isConfirmed, untilMs: nowMs + ttlMs }].slice(-3));
      for (const each of steps) {
        if (each.act === "pass") {
          clock.advance(each.ms);
          nowMs += each.ms;
        } else if (each.act === "releaseTarget") {
          affinity.releaseTarget(each.target);
          list = list.filter((one) => one.target !== each.target);
        } else if (each.act === "release") {
          affinity.release(each.key, each.target);
          list = list.filter((one) => one.key !== each.key || one.target !== each.target);
        } else if (each.act === "confirm") {
          affinity.confirm(each.key, each.target, each.ttlMs);
          put(each.key, each.target, true, each.ttlMs);
        } else {
          const isNew = alive(each.key) === undefined;
          affinity.claim(each.key, each.target, each.ttlMs);
          if (isNew) put(each.key, each.target, false, Math.min(each.ttlMs, minute));
        }
        for (const key of ["k1", "k2", "k3", "k4", "k5"]) {
          const found = affinity.find(key);
          expect(found === undefined ? undefined : [found.targetId, found.isConfirmed]).toEqual(alive(key) === undefined ? undefined : [alive(key)!.target, alive(key)!.isConfirmed]);
          if (alive(key) === undefined) list = list.filter((one) => one.key !== key);
        }
      }
    }),
  );
});

describe("the key of a conversation", () => {
  const of = (members: Partial<Parameters<typeof affinityKey>[0]> = {}) => affinityKey({ keyId: "key_1", sessionId: "s", model: "m", hasOwnLogin: false, promptPrefix: () => Buffer.from("tools"), ...members });

  it("is the session's, and without one that of tools and system prompt, of each key, model and login by itself", () => {
    const all = [of(), of({ keyId: "key_2" }), of({ model: "n" }), of({ hasOwnLogin: true }), of({ sessionId: "t" }), of({ sessionId: null }), of({ sessionId: null, promptPrefix: () => Buffer.from("others") })];
    expect(new Set(all).size).toBe(all.length);
    expect(of({ promptPrefix: () => Buffer.from("others") })).toBe(of());
    expect(of({ sessionId: null, promptPrefix: () => undefined })).toBeUndefined();
  });

  it("does not read the prompt where there is a session", () => {
    expect(of({ promptPrefix: () => { throw new Error("read"); } })).toBe(of());
  });
});
