// Guarantee: the map never holds more than its bound, loses nothing within it, shows no replaced value, and drops what is unused first.
import fc from "fast-check";
import { expect, it } from "vitest";
import { RecentMap } from "./recent-map.ts";

const steps = fc.array(fc.record({ id: fc.integer({ min: 0, max: 39 }).map(String), isWrite: fc.boolean() }), { maxLength: 400 });

it("stays within its bound, and an entry that is there has the value that was written last", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), steps, (entriesMax, uses) => {
      const map = new RecentMap<number>(entriesMax);
      const written = new Map<string, number>();
      uses.forEach(({ id, isWrite }, step) => {
        if (isWrite) {
          map.set(id, step);
          written.set(id, step);
          expect(map.get(id)).toBe(step);
        } else {
          const found = map.get(id);
          if (found !== undefined || written.size <= entriesMax) expect(found).toBe(written.get(id));
        }
        expect(map.size).toBe(Math.min(map.size, entriesMax));
      });
    }),
    { numRuns: 200 },
  );
});

it("a stream of names that come once does not drive out the few that are in use", () => {
  const map = new RecentMap<number>(100);
  for (let count = 0; count < 10; count++) map.set(`kept${count}`, count);
  for (let count = 0; count < 5_000; count++) {
    map.set(`once${count}`, count);
    expect(map.get(`kept${count % 10}`)).toBe(count % 10);
  }
  expect(map.size).toBe(100);
});

it("makes room in few steps even when all entries are in use", () => {
  const map = new RecentMap<number>(1_000);
  for (let count = 0; count < 1_000; count++) map.set(String(count), count);
  for (let count = 0; count < 1_000; count++) map.get(String(count));
  map.set("new", 1);
  expect([map.get("new"), map.get("0"), map.get("16"), map.size]).toEqual([1, 0, undefined, 1_000]);
});
