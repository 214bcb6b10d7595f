// Guarantee: each target's reason is what the choice goes by at that moment (strategies, circuits, probes, quotas), and asking changes nothing.
import { describe, expect, it } from "vitest";
import { defaultRouting } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import type { CredentialRuntime } from "../credentials/runtime.ts";
import type { Principal } from "../identity/principal.ts";
import { manualClock, type ManualClock } from "../kernel/clock.ts";
import { createBudgetBook } from "../ledger/budget.ts";
import { createLedger } from "../ledger/ledger.ts";
import { createLimiter } from "../limits/limiter.ts";
import { makeSnapshot } from "../main/snapshot.ts";
import { loadPriceBook } from "../metering/price-book.ts";
import { providers } from "../providers/registry.ts";
import type { RouteExplanation, RouteQuestion } from "../routing/explanation.ts";
import { createRoutingState, type RoutingState } from "../routing/state.ts";
import { explainRoute } from "./explain.ts";

const admin: Principal = { role: "admin", keyId: "admin", key: undefined, userId: null, teamId: null, organizationId: null, mayInfer: true };
const model = "claude-opus-4-8";
const circuit = { ...defaultRouting.circuit, failuresMax: 1, cooldownMs: 10_000 };

interface Lab {
  readonly clock: ManualClock;
  readonly routing: RoutingState;
  readonly ask: (question?: Partial<RouteQuestion>) => RouteExplanation;
  /** Of each target, in order. */
  readonly told: (question?: Partial<RouteQuestion>) => readonly string[];
}

function lab(targets: readonly string[], strategy = "listed", more = ""): Lab {
  const text = `providers: {own: {kind: anthropic, api_key: sk-ant-x, base_url: "http://127.0.0.1:1"}}
models: [{name: ${model}, strategy: ${strategy}, targets: [${targets.map((target) => `{provider: own, ${target}}`).join(", ")}]}]
routing: {circuit: {failures: 1, cooldown: 10s}}
${more}`;
  const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
  const loaded = loadConfig({ path: "/t.yaml", env: {}, readFile: () => text, providerSchemas, accept: [], allowInsecureDevKey: false });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  const clock = manualClock();
  const snapshot = makeSnapshot(loaded.config, undefined, { priceBook: loadPriceBook(), runtime: { clock, env: {}, homeFolder: "/nowhere" } as unknown as CredentialRuntime, demoUrl: undefined });
  const routing = createRoutingState(clock, loaded.config.routing, () => {
    throw new Error("an explanation draws nothing");
  });
  const services = { routing, clock, limiter: createLimiter(), ledger: createLedger(createBudgetBook(loaded.config.budgets)) };
  const ask: Lab["ask"] = (question = {}) => explainRoute(services, snapshot, admin, { model, sessionId: null, tags: [], inputTokens: undefined, hasOwnLogin: false, isForOperator: true, ...question });
  return { clock, routing, ask, told: (question) => ask(question).targets.map(({ place, id, reasons }) => `${place ?? "-"} ${id}: ${reasons.join("; ")}`) };
}
const keyOf = (id: string): string => `${id}\n${model}`;

describe("the reasons by strategy", () => {
  it("are shares of the draw within one priority, and none for a weight of 0 or a later priority", () => {
    const { told } = lab(["id: a, weight: 1", "id: b, weight: 3", "id: c, weight: 0", "id: late, priority: 2"], "weighted");
    expect(told()).toEqual(["1 b: drawn first for 75 % of the calls", "2 a: drawn first for 25 % of the calls", "3 c: drawn first for 0 % of the calls", "4 late: "]);
  });

  it("are how busy targets are, and how quick", () => {
    const busy = lab(["id: a", "id: b"], "least-busy");
    busy.routing.stats.begin("a");
    expect([busy.told(), busy.ask().targets.map(({ running }) => running)]).toEqual([["1 b: the fewest replies run here", "2 a: "], [0, 1]]);
    const quick = lab(["id: a", "id: b"], "latency");
    for (const [id, ms] of [["a", 900], ["b", 100]] as const) quick.routing.stats.noteFirstEvent(id, ms);
    expect([quick.told(), quick.ask().targets.map(({ firstEventMs }) => firstEventMs)]).toEqual([["1 b: the quicker of two that are drawn; others may be drawn next time", "2 a: "], [100, 900]]);
  });
});

describe("the reasons by circuit", () => {
  it("tell an open one, one that may be tried, and one that is being tried", () => {
    const { routing, clock, told, ask } = lab(["id: a", "id: b"]);
    routing.health.failure(keyOf("a"), "overloaded", circuit);
    expect(told()).toEqual(["1 b: ", "2 a: its circuit is open, so it comes last"]);
    expect(ask().targets[1]).toMatchObject({ circuit: "open", isParked: false, lastFailure: "overloaded", opensInMs: 10_000 });
    clock.advance(10_000);
    expect(told()).toEqual(["1 a: the next call finds out whether it is well again", "2 b: "]);
    for (let index = 0; index < 5; index++) ask();
    // Had the questions claimed the probe, no call could.
    expect(routing.health.mayTry(keyOf("a"), circuit)).toBe(true);
    expect(told()).toEqual(["1 b: ", "2 a: another call is finding out whether it is well again"]);
  });

  it("tell a quota from a failure, and who is back soonest where all are away", () => {
    const { routing, clock, told } = lab(["id: a", "id: b"]);
    routing.health.park(keyOf("a"), clock.monotonic() + 60_000);
    routing.health.failure(keyOf("b"), "connect", circuit);
    expect(told()).toEqual(["1 b: its circuit is open, so it comes last", "2 a: its quota is used up for now, so it comes last"]);
  });
});

describe("a session", () => {
  it("has its home first, and asking neither claims nor keeps it warm", () => {
    const { routing, clock, told } = lab(["id: a", "id: b"]);
    const key = `admin ${model}  s one`;
    for (let index = 0; index < 3; index++) expect(told({ sessionId: "one" })).toEqual(["1 a: ", "2 b: "]);
    expect(routing.affinity.find(key)).toBeUndefined();
    routing.affinity.confirm(key, "b", 1_000);
    expect(told({ sessionId: "one" })).toEqual(["1 b: the session's prompt cache is warm here", "2 a: "]);
    expect(told({ sessionId: "two" })).toEqual(["1 a: ", "2 b: "]);
    clock.advance(1_000);
    expect(told({ sessionId: "one" })).toEqual(["1 a: ", "2 b: "]);
  });
});

describe("a budget without room", () => {
  it("names the model that serves instead, and where none does, there is no answer", () => {
    const instead = `budgets: [{scope: global, amount: 0, downgrade: claude-haiku-4-5}]`;
    const told = lab(["id: a"], "listed", instead.replace("haiku-4-5", "opus-4-8")).ask();
    expect([told.refusal, told.fallbacks]).toEqual(["No target would serve this call.", [{ reason: "downgrade", model, fault: "it is the same model" }]]);
    const none = lab(["id: a"], "listed", "budgets: [{scope: global, amount: 0}]");
    expect([none.ask().refusal, none.told(), none.ask().fallbacks]).toEqual(["No target would serve this call.", ["- a: left out: the budget of global has no room"], []]);
  });
});
