/**
 * Guarantee: a circuit opens after as many failures in a row, or as large a share of them, as the configuration says; one call finds out whether the place
 * is well again; each failure of that doubles the wait, within bounds; a quota only parks; and what is remembered is bounded.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultRouting, type CircuitConfig, type FailureClass } from "../config/gateway-config.ts";
import { manualClock } from "../kernel/clock.ts";
import { createTargetHealth, type CircuitState } from "./health.ts";

const circuit = (members: Partial<CircuitConfig> = {}): CircuitConfig => ({ ...defaultRouting.circuit, failuresMax: 3, callsMin: 10, windowMs: 10_000, cooldownMs: 1_000, ...members });
const inRow = circuit({ callsMin: 1_000 });

describe("a circuit", () => {
  it("opens with the failure that is one too many, by class or in all, and a success between them begins anew", () => {
    const health = createTargetHealth(manualClock());
    const classes = circuit({ callsMin: 1_000, failuresMaxByClass: new Map([["timeout", 1], ["rate_limit", 4]]) });
    for (const failureClass of ["overloaded", "overloaded"] as const) health.failure("k", failureClass, classes);
    health.success("k", classes);
    for (const failureClass of ["overloaded", "rate_limit", "rate_limit"] as const) health.failure("k", failureClass, classes);
    expect(health.state("k", classes)).toBe("closed");
    health.failure("k", "server_error", classes);
    expect(health.state("k", classes)).toBe("open");
    health.failure("other", "timeout", classes);
    expect(health.state("other", classes)).toBe("open");
  });

  it("opens by its share of failures, of enough calls, within the window", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    const share = circuit({ failuresMax: 1_000, failureRateMax: 0.5 });
    // What has never failed is not counted, which costs the many nothing; from its first failure on it is.
    const pairs = (count: number): void => {
      for (let index = 0; index < count; index++) {
        health.failure("k", "overloaded", share);
        health.success("k", share);
      }
    };
    pairs(4);
    expect(health.state("k", share)).toBe("closed");
    clock.advance(11_000);
    pairs(4);
    expect(health.state("k", share)).toBe("closed");
    pairs(1);
    health.failure("k", "overloaded", share);
    expect(health.state("k", share)).toBe("open");
  });

  it("lets one call find out, for a moment until it is sent and a minute after, and the others wait", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    for (let index = 0; index < 3; index++) health.failure("k", "overloaded", inRow);
    expect([health.state("k", inRow), health.mayTry("k", inRow), health.opensInMs("k")]).toEqual(["open", false, 1_000]);
    clock.advance(1_000);
    expect([health.state("k", inRow), health.isProbed("k"), health.mayTry("k", inRow), health.isProbed("k"), health.mayTry("k", inRow)]).toEqual(["half-open", false, true, true, false]);
    clock.advance(2_000);
    expect(health.mayTry("k", inRow)).toBe(true);
    health.dispatched("k");
    clock.advance(59_999);
    expect(health.mayTry("k", inRow)).toBe(false);
    clock.advance(1);
    expect(health.mayTry("k", inRow)).toBe(true);
    health.giveUp("k");
    expect([health.isProbed("k"), health.state("k", inRow)]).toEqual([false, "half-open"]);
    health.success("k", inRow);
    expect([health.state("k", inRow), health.mayTry("k", inRow), health.opensInMs("k")]).toEqual(["closed", true, undefined]);
  });

  it("waits twice as long after each probe that fails, ten times at the most, and as at first after a success", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    const waits: (number | undefined)[] = [];
    for (let index = 0; index < 3; index++) health.failure("k", "overloaded", inRow);
    for (let probe = 0; probe < 6; probe++) {
      waits.push(health.opensInMs("k"));
      clock.advance(health.opensInMs("k")!);
      health.failure("k", "overloaded", inRow);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    clock.advance(10_000);
    health.success("k", inRow);
    for (let index = 0; index < 3; index++) health.failure("k", "overloaded", inRow);
    expect(health.opensInMs("k")).toBe(1_000);
  });

  it("is tried at once when something that costs nothing works there, and closes by a call only", () => {
    const health = createTargetHealth(manualClock());
    for (let index = 0; index < 3; index++) health.failure("k", "overloaded", inRow);
    health.seemsWell("k");
    health.seemsWell("unknown");
    expect([health.state("k", inRow), health.states().length]).toEqual(["half-open", 1]);
  });

  it("waits for a quota as long as that says, switched off or not, without counting it as a failure", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    const off = circuit({ isEnabled: false });
    health.park("k", clock.monotonic() + 5_000);
    health.park("k", clock.monotonic() + 1_000);
    expect([health.state("k", off), health.opensInMs("k")]).toEqual(["open", 5_000]);
    for (let index = 0; index < 9; index++) health.failure("off", "overloaded", off);
    expect(health.state("off", off)).toBe("closed");
    clock.advance(5_000);
    expect([health.state("k", off), health.states()[0]]).toEqual(["closed", expect.objectContaining({ failuresInRow: 0, lastFailure: "rate_limit" })]);
  });

  it("tells who listens when it opens, is parked and closes, each once", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    const told: string[] = [];
    health.onOpen((key) => told.push(`open ${key}`));
    health.onClose((key) => told.push(`close ${key}`));
    for (let index = 0; index < 5; index++) health.failure("k", "overloaded", inRow);
    clock.advance(1_000);
    health.success("k", inRow);
    health.success("k", inRow);
    health.park("q", clock.monotonic() + 1);
    expect(told).toEqual(["open k", "close k", "open q"]);
  });

  it("tells of a quota once, however many calls meet it, and once when a call succeeds after it", () => {
    const clock = manualClock();
    const health = createTargetHealth(clock);
    const told: string[] = [];
    health.onOpen((key) => told.push(`open ${key}`));
    health.onClose((key) => told.push(`close ${key}`));
    for (let index = 0; index < 5; index++) health.park("q", clock.monotonic() + 1_000 + index);
    // One that was on its way before the quota was used up tells nothing.
    health.success("q", inRow);
    expect([told, health.states()[0]?.isParked]).toEqual([["open q"], true]);
    clock.advance(1_004);
    for (let index = 0; index < 2; index++) health.success("q", inRow);
    expect([told, health.states()[0]?.isParked]).toEqual([["open q", "close q"], false]);
    health.park("q", clock.monotonic() + 1_000);
    expect(told).toEqual(["open q", "close q", "open q"]);
  });

  it("is forgotten when its place is another, and the first of very many are", () => {
    const health = createTargetHealth(manualClock());
    for (let index = 0; index < 10_005; index++) health.failure(`t\nclaude-${index}`, "not_found", inRow);
    expect([health.states().length, health.states()[0]!.key]).toEqual([10_000, "t\nclaude-5"]);
    health.forget((key) => key.startsWith("t\n"));
    expect(health.states()).toEqual([]);
  });
});

it("agrees with a circuit of few lines, whatever happens", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ act: fc.constant("failure" as const), failure: fc.constantFrom<FailureClass>("overloaded", "timeout") }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant("success" as const) }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant("pass" as const), ms: fc.constantFrom(1, 400, 1_000, 5_000, 61_000) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("park" as const), ms: fc.constantFrom(300, 3_000) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("seemsWell" as const) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constantFrom("try", "dispatched", "giveUp") }) },
  );
  const config = circuit({ callsMin: 1_000, failuresMaxByClass: new Map([["timeout", 2]]) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const clock = manualClock();
      const health = createTargetHealth(clock);
      let now = 0;
      const model = { row: 0, openUntil: undefined as number | undefined, opened: 0, parkedUntil: 0, probedUntil: 0 };
      const stateNow = (): CircuitState => (model.parkedUntil > now ? "open" : model.openUntil === undefined ? "closed" : model.openUntil > now ? "open" : "half-open");
      for (const each of steps) {
        switch (each.act) {
          case "pass":
            clock.advance(each.ms);
            now += each.ms;
            break;
          case "failure": {
            const isOpen = stateNow() === "open";
            health.failure("k", each.failure, config);
            model.row += 1;
            model.probedUntil = 0;
            const opens = model.openUntil === undefined ? model.row >= (each.failure === "timeout" ? 2 : 3) : !isOpen;
            if (opens) model.openUntil = now + 1_000 * Math.min(10, 2 ** model.opened++);
            break;
          }
          case "success":
            health.success("k", config);
            Object.assign(model, { row: 0, openUntil: undefined, opened: 0, probedUntil: 0 });
            break;
          case "park":
            health.park("k", clock.monotonic() + each.ms);
            model.parkedUntil = Math.max(model.parkedUntil, now + each.ms);
            break;
          case "seemsWell":
            health.seemsWell("k");
            if (model.openUntil !== undefined) model.openUntil = Math.min(model.openUntil, now);
            break;
          case "try": {
            const expected = stateNow() === "closed" || (stateNow() === "half-open" && model.probedUntil <= now);
            expect(health.mayTry("k", config)).toBe(expected);
            if (expected && stateNow() === "half-open") model.probedUntil = now + 2_000;
            break;
          }
          case "dispatched":
            health.dispatched("k");
            if (stateNow() === "half-open") model.probedUntil = now + 60_000;
            break;
          case "giveUp":
            health.giveUp("k");
            model.probedUntil = 0;
        }
        expect(health.state("k", config)).toBe(stateNow());
        expect(health.isProbed("k")).toBe(stateNow() === "half-open" && model.probedUntil > now);
        expect(health.opensInMs("k")).toBe(stateNow() === "closed" ? undefined : Math.max(0, Math.max(model.parkedUntil, model.openUntil ?? 0) - now));
      }
    }),
  );
});
