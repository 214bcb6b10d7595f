/** Guarantee: an order is always the same targets, lower priorities first, by the strategy within one, and weights are shares; tags decide as LiteLLM's router does. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RoutingStrategy } from "../config/gateway-config.ts";
import { orderTargets, withTags, type Look } from "./order.ts";

interface Item {
  readonly target: { readonly id: string; readonly priority: number; readonly weight: number; readonly tags: readonly string[] };
}
const item = (id: string, members: Partial<Item["target"]> = {}): Item => ({ target: { id, priority: 1, weight: 1, tags: [], ...members } });
const idsOf = (items: readonly Item[]): readonly string[] => items.map(({ target }) => target.id);

/** Small and seeded; the draws of a test are the same at each run. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
const look = (members: Partial<Look> = {}): Look => ({ random: seeded(7), running: () => 0, firstEventMs: () => undefined, ...members });

const items = fc.array(fc.record({ priority: fc.integer({ min: 0, max: 3 }), weight: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1_000, noNaN: true })) }), { maxLength: 8 }).map((list) => list.map((each, index) => item(`t${index}`, each)));
const strategies: readonly RoutingStrategy[] = ["listed", "weighted", "least-busy", "latency"];

describe("an order", () => {
  it("has every target once, and no priority before a lower one, whatever the draws and measurements are", () => {
    fc.assert(
      fc.property(items, fc.constantFrom(...strategies), fc.integer(), fc.array(fc.option(fc.nat(5_000), { nil: undefined }), { minLength: 8, maxLength: 8 }), (targets, strategy, seed, measured) => {
        const numberOf = (id: string): number => Number(id.slice(1));
        const order = orderTargets(targets, strategy, { random: seeded(seed), running: (id) => (measured[numberOf(id)] ?? 0) % 4, firstEventMs: (id) => measured[numberOf(id)] });
        expect(idsOf(order).toSorted()).toEqual(idsOf(targets).toSorted());
        const priorities = order.map(({ target }) => target.priority);
        expect(priorities).toEqual(priorities.toSorted((a, b) => a - b));
        for (const priority of new Set(priorities)) {
          const peers = order.filter(({ target }) => target.priority === priority);
          const listed = targets.filter(({ target }) => target.priority === priority);
          if (strategy === "listed") expect(peers).toEqual(listed);
          if (strategy === "least-busy") expect(peers.map(({ target }) => (measured[numberOf(target.id)] ?? 0) % 4)).toEqual(peers.map(({ target }) => (measured[numberOf(target.id)] ?? 0) % 4).toSorted((a, b) => a - b));
          if (strategy === "weighted") expect(peers.findLastIndex(({ target }) => target.weight > 0)).toBeLessThan(Math.max(0, peers.findIndex(({ target }) => target.weight === 0)) || peers.length);
        }
      }),
    );
  });

  it("puts each first as often as its weight says, and draws the others in proportion as well", () => {
    const targets = [item("a", { weight: 6 }), item("b", { weight: 3 }), item("c", { weight: 1 }), item("d", { weight: 0 })];
    const random = seeded(11);
    const draws = 20_000;
    const firsts = new Map<string, number>();
    let bAfterA = 0;
    for (let index = 0; index < draws; index++) {
      const order = idsOf(orderTargets(targets, "weighted", look({ random })));
      firsts.set(order[0]!, (firsts.get(order[0]!) ?? 0) + 1);
      if (order[0] === "a" && order[1] === "b") bAfterA += 1;
    }
    const share = (id: string): number => (firsts.get(id) ?? 0) / draws;
    // Four standard deviations of a share of a half are 0.014.
    expect(Math.abs(share("a") - 0.6)).toBeLessThan(0.014);
    expect(Math.abs(share("b") - 0.3)).toBeLessThan(0.014);
    expect(Math.abs(share("c") - 0.1)).toBeLessThan(0.014);
    expect(firsts.has("d")).toBe(false);
    expect(Math.abs(bAfterA / (firsts.get("a") ?? 1) - 0.75)).toBeLessThan(0.02);
  });

  it("begins with each as often as its weight says, for any weights", () => {
    const draws = 3_000;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 2, maxLength: 6 }), fc.integer({ min: 1, max: 2 ** 31 }), (weights, seed) => {
        const sum = weights.reduce((all, weight) => all + weight, 0);
        fc.pre(sum > 0);
        const targets = weights.map((weight, index) => item(`t${index}`, { weight }));
        const random = seeded(seed);
        const firsts = weights.map(() => 0);
        for (let index = 0; index < draws; index++) firsts[Number(idsOf(orderTargets(targets, "weighted", look({ random })))[0]!.slice(1))]! += 1;
        const chiSquare = weights.reduce((all, weight, index) => all + (weight === 0 ? 0 : (firsts[index]! - (draws * weight) / sum) ** 2 / ((draws * weight) / sum)), 0);
        expect(weights.filter((weight, index) => weight === 0 && firsts[index]! > 0)).toEqual([]);
        // With five degrees of freedom chance passes 40 once in some six million times.
        expect(chiSquare).toBeLessThan(40);
      }),
      { numRuns: 40, seed: 42 },
    );
  });

  it("by latency begins with the better of the two that were drawn, and has the others by what was measured", () => {
    const measured = fc.array(fc.option(fc.integer({ min: 1, max: 5_000 }), { nil: undefined }), { minLength: 2, maxLength: 7 });
    fc.assert(
      fc.property(measured, fc.integer({ min: 1, max: 2 ** 31 }), (times, seed) => {
        const targets = times.map((_, index) => item(`t${index}`));
        const msOf = (id: string): number | undefined => times[Number(id.slice(1))];
        const draws: number[] = [];
        const random = seeded(seed);
        const order = idsOf(orderTargets(targets, "latency", look({ random: () => (draws.push(random()), draws.at(-1)!), firstEventMs: msOf })));
        const drawn = draws.map((draw, index) => ({ draw, id: `t${index}` })).toSorted((a, b) => a.draw - b.draw).slice(0, 2).map(({ id }) => id);
        expect(drawn).toContain(order[0]);
        expect(msOf(order[0]!) ?? 0).toBe(Math.min(...drawn.map((id) => msOf(id) ?? 0)));
        const others = order.slice(1).map((id) => msOf(id) ?? 0);
        expect(others).toEqual(others.toSorted((a, b) => a - b));
      }),
    );
  });

  it("by latency never begins with the slowest of three or more, tries those that nobody has measured, and varies", () => {
    const targets = [item("slow"), item("middle"), item("quick")];
    const ms: Readonly<Record<string, number>> = { slow: 900, middle: 300, quick: 100 };
    const random = seeded(5);
    const firsts = new Set(Array.from({ length: 200 }, () => idsOf(orderTargets(targets, "latency", look({ random, firstEventMs: (id) => ms[id] })))[0]));
    expect(firsts).toEqual(new Set(["middle", "quick"]));
    const unmeasured = new Set(Array.from({ length: 200 }, () => idsOf(orderTargets([item("new"), item("quick")], "latency", look({ random, firstEventMs: (id) => ms[id] })))[0]));
    expect(unmeasured).toEqual(new Set(["new"]));
  });

  it("among the equally busy is drawn", () => {
    const random = seeded(3);
    const firsts = new Set(Array.from({ length: 100 }, () => idsOf(orderTargets([item("a"), item("b")], "least-busy", look({ random })))[0]));
    expect(firsts).toEqual(new Set(["a", "b"]));
  });
});

describe("tags", () => {
  const targets = [item("plain"), item("eu", { tags: ["eu"] }), item("paid-eu", { tags: ["eu", "paid"] }), item("spare", { tags: ["default"] })];
  it.each([
    ["off", ["eu"], targets, "plain eu paid-eu spare"],
    ["any", ["eu"], targets, "eu paid-eu"],
    ["any", ["paid", "us"], targets, "paid-eu"],
    ["all", ["eu", "paid"], targets, "paid-eu"],
    ["all", ["eu", "us"], targets, "spare"],
    ["any", ["us"], targets, "spare"],
    ["any", [], targets, "spare"],
    ["any", [], targets.slice(0, 3), "plain eu paid-eu"],
    ["any", ["us"], targets.slice(0, 3), ""],
  ] as const)("%s, asked for %j", (match, asked, from, expected) => {
    expect(idsOf(withTags(from, asked, match)).join(" ")).toBe(expected);
  });
});
