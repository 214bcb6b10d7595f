// Guarantee: a place whose settings a new configuration leaves alone lives on, so that its login is not made again; what has changed is a
// new place, and what is learnt of targets there begins anew; what cannot change while the gateway runs stays as it is, and is named.
import { describe, expect, it } from "vitest";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { CredentialRuntime } from "../credentials/runtime.ts";
import { loadConfig } from "../config/load.ts";
import { manualClock } from "../kernel/clock.ts";
import { loadPriceBook } from "../metering/price-book.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";
import { providers } from "../providers/registry.ts";
import { createEgress, networkOf } from "./egress.ts";
import { applicable } from "./restart-needs.ts";
import { makeSnapshot, movedTargets } from "./snapshot.ts";

const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
const runtime = { clock: manualClock(), env: {}, homeFolder: "/nowhere" } as unknown as CredentialRuntime;
const parts = { priceBook: loadPriceBook(), runtime, demoUrl: undefined };

function config(text: string): GatewayConfig {
  const result = loadConfig({ path: "/t.yaml", env: {}, readFile: () => text, providerSchemas, accept: [], allowInsecureDevKey: false });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

const two = (key: string, more = ""): GatewayConfig =>
  config(`providers: {rock: {kind: bedrock, region: eu-central-1}, own: {kind: anthropic, api_key: ${key}, base_url: "http://127.0.0.1:1"}}\nmodels: [{name: "claude-*", targets: [{id: r, provider: rock}, {id: o, provider: own}]}]\n${more}`);

describe("a snapshot of a changed configuration", () => {
  it("takes over each place whose settings are the same, and no other", () => {
    const before = makeSnapshot(two("sk-ant-one"), undefined, parts);
    const after = makeSnapshot(two("sk-ant-two", "logging: {level: warn}"), before, parts);
    expect(after.places.get("rock")).toBe(before.places.get("rock"));
    expect(after.places.get("own")).not.toBe(before.places.get("own"));
    expect(movedTargets(before, after)).toEqual(new Set(["o"]));
  });

  it("has the models, limits and prices of the new one", () => {
    const before = makeSnapshot(two("sk-ant-one"), undefined, parts);
    const after = makeSnapshot(two("sk-ant-one", 'rate_limits: {rules: [{scope: "key:*", requests_per_minute: 3}]}'), before, parts);
    expect(after.limitRules.of("key:a", "key:a")).toMatchObject([{ max: 3 }]);
    expect(before.limitRules.of("key:a", "key:a")).toEqual([]);
  });
});

describe("destinations", () => {
  const dial = async (snapshots: readonly Snapshot[], laterMs: number): Promise<string> => {
    const clock = manualClock();
    const egress = createEgress(networkOf(snapshots[0]!.config), clock);
    for (const snapshot of snapshots) egress.follow(snapshot, networkOf(snapshot.config));
    clock.advance(laterMs);
    const request = { origin: "http://127.0.0.1:1", method: "GET", path: "/", headers: [], body: null, timeouts: { firstByteMs: 1_000, idleMs: 1_000 } } as const;
    const outcome = await egress.dialer.system("probe", request, { reason: undefined, add: () => undefined, remove: () => undefined }).then(() => "answered", (fault: { code: string }) => fault.code);
    await egress.dialer.close();
    return outcome;
  };

  it("of a place that is gone stay open for as long as its calls may run, and no longer", async () => {
    const before = makeSnapshot(two("sk-ant-one", "timeouts: {total: 10s}"), undefined, parts);
    const after = makeSnapshot(config('providers: {other: {kind: anthropic, api_key: sk-ant-x, base_url: "http://127.0.0.1:2"}}\nmodels: [{name: "claude-*", provider: other}]'), before, parts);
    expect(await dial([before, after], 9_000)).toBe("upstream_unreachable");
    expect(await dial([before, after], 11_000)).toBe("gateway_internal");
    expect(await dial([after, before], 11_000)).toBe("upstream_unreachable");
  });
});

describe("what is settled at the start", () => {
  const facts = { mayFailOpen: false, hasAdminKeyFile: false };
  const running = two("sk-ant-one", "admin: {key: sk-admin-0123456789abcdefghijkl}");

  it.each([
    ["listen: {host: 127.0.0.2, port: 5000}", ["listen.host", "listen.port", "admin.key"]],
    ["store: {usage_retention: 90d}\nmetrics: {port: 9000}", ["store", "metrics", "admin.key"]],
    ["admin: {key: sk-admin-other-9876543210zyxwvu}\nbudgets: [{scope: global, amount: 1, fail_open: {}}]", ["budgets[].fail_open"]],
    ["admin: {key: sk-admin-other-9876543210zyxwvu}\nlisten: {trusted_proxies: [10.0.0.0/8]}\negress: {no_proxy: [a]}", []],
  ])("is named, and stays: %s", (more, expected) => {
    const next = two("sk-ant-two", more);
    const { config: applied, needsRestart } = applicable(running, next, facts);
    expect(needsRestart).toEqual(expected);
    expect(applied).toMatchObject({ listen: { host: running.listen.host, port: running.listen.port }, store: running.store, metrics: running.metrics, egress: next.egress });
    expect(applied.listen.trustedProxies).toEqual(next.listen.trustedProxies);
    expect(applied.admin).toEqual(expected.includes("admin.key") ? running.admin : next.admin);
    expect(applied.providers).toBe(next.providers);
  });
});
