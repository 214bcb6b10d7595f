/** Guarantee: conversations leave a target at the moment when one of its circuits opens or is parked, those of other targets stay, and openings are counted by target. */
import { describe, expect, it } from "vitest";
import { defaultRouting } from "../config/gateway-config.ts";
import { manualClock } from "../kernel/clock.ts";
import { circuitKey, createRoutingState, modelOf, targetOf } from "./state.ts";

const { circuit } = defaultRouting;
const opus = circuitKey({ target: { id: "a" }, upstreamModel: "claude-opus-5-5" });

/** Two conversations, one at each target. */
function stage() {
  const clock = manualClock();
  const inForce = { retryBudget: { tokensPerCall: 0.5, burst: 2 } };
  const state = createRoutingState(clock, inForce, () => 0.25);
  state.affinity.confirm("one", "a", 60_000);
  state.affinity.confirm("two", "b", 60_000);
  return { clock, inForce, state, places: () => ["one", "two"].map((key) => state.affinity.find(key)?.targetId) };
}

describe("conversations", () => {
  it("stay while their target's failures are few, and are free when the circuit opens", () => {
    const { state, places } = stage();
    for (let failures = 1; state.health.state(opus, circuit) === "closed"; failures++) {
      expect(places()).toEqual(["a", "b"]);
      expect(failures).toBeLessThan(100);
      state.health.failure(opus, "overloaded", circuit);
    }
    expect(places()).toEqual([undefined, "b"]);
    expect([...state.openings]).toEqual([["a", 1]]);
  });

  it("are free when their target's quota is used up", () => {
    const { clock, state, places } = stage();
    state.health.park(opus, clock.monotonic() + 1_000);
    state.health.park(circuitKey({ target: { id: "a" }, upstreamModel: "claude-haiku-5" }), clock.monotonic() + 1_000);
    expect(places()).toEqual([undefined, "b"]);
    expect([...state.openings]).toEqual([["a", 2]]);
  });
});

it("the budget of retries follows the settings in force", () => {
  const { inForce, state } = stage();
  expect([state.retryBudget.take(), state.retryBudget.take(), state.retryBudget.take()]).toEqual([true, true, false]);
  inForce.retryBudget = { tokensPerCall: 1, burst: 1 };
  state.retryBudget.call();
  state.retryBudget.call();
  expect(state.retryBudget.left()).toBe(1);
});

it("a circuit's key tells its target and its model, whatever the model's name is", () => {
  const key = circuitKey({ target: { id: "eu/1" }, upstreamModel: "odd\nname" });
  expect([targetOf(key), modelOf(key)]).toEqual(["eu/1", "odd\nname"]);
});
