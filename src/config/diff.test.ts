// Guarantee: every difference between two configurations is told in a sentence that says for whom, under the key that an operator writes;
// none of them shows a secret; and two files that say the same differ in nothing.
import { describe, expect, it } from "vitest";
import type { z } from "zod";
import { providers } from "../providers/registry.ts";
import { diffConfigs, type ConfigChange } from "./diff.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { loadConfig } from "./load.ts";

const providerSchemas = new Map<string, z.ZodType>(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));

function load(text: string): GatewayConfig {
  const result = loadConfig({ path: "/etc/t.yaml", env: {}, readFile: () => text, providerSchemas, accept: [], allowInsecureDevKey: false });
  if (!result.ok) throw new Error(result.errors.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`).join("\n"));
  return result.config;
}

const base = {
  providers: 'providers: {one: {kind: anthropic, api_key: sk-ant-canary-one}, two: {kind: anthropic, api_key: sk-ant-canary-two, base_url: "https://two.example"}}',
  models: 'models: [{name: "claude-*", provider: one}]',
};
const file = (parts: Partial<typeof base> & { readonly more?: string } = {}): string => [parts.providers ?? base.providers, parts.models ?? base.models, parts.more ?? ""].join("\n");
const diff = (before: string, after: string): readonly ConfigChange[] => diffConfigs(load(before), load(after));
const texts = (before: string, after: string): readonly string[] => diff(before, after).map(({ text }) => text);

describe("what changes", () => {
  it("is nothing between a file and itself, whatever was asked of it before", () => {
    const text = file({ more: 'budgets: [{scope: "team:*", amount: 5, zone: Europe/Paris}]\nwebhook: {url: "https://hooks.example", secret: a-secret-of-some-length}\nrate_limits: {rules: [{scope: global, requests_per_minute: 5}]}' });
    expect(diff(text, text)).toEqual([]);
  });

  it("of models is who can ask for what, and who serves it", () => {
    const models = (list: string): string => file({ models: `models: [${list}]` });
    const opus = "{name: claude-opus-5-5, provider: one}";
    expect(diff(models('{name: "claude-*", provider: one}'), models(`{name: "claude-*", provider: one}, ${opus}`))).toEqual([
      { subject: "model", name: "claude-opus-5-5", change: "added", text: "Model claude-opus-5-5 can be asked for, by every key that may use it; it is served by one." },
    ]);
    expect(texts(models(`{name: "claude-*", provider: two}, ${opus}`), models('{name: "claude-*", provider: two}'))).toEqual(["Model claude-opus-5-5 is gone: who asks for it gets claude-*, served by two."]);
    expect(texts(models(`{name: "claude-*", provider: two}, ${opus}`), models(opus))).toEqual(["Model claude-* is gone: who asks for it is refused."]);
    expect(texts(models("{name: big, provider: one, aliases: [best]}, {name: small, provider: one}"), models("{name: big, provider: one, aliases: [most], strategy: weighted, fallbacks: [small], cache_affinity: false, access_groups: [g]}, {name: small, provider: one}"))).toEqual([
      "Model big can be asked for as most.",
      "Model big is no longer called best: who asks for it is refused.",
      "Model big is in the access groups g instead of none: keys whose rights name one of them may use it or not accordingly.",
      "Calls for big are spread by weighted instead of listed.",
      "Sessions of big no longer stay where their prompt cache is warm.",
      "When every target has failed, calls for big go on at small instead of none.",
    ]);
    expect(texts(models(`{name: "claude-*", provider: one}, {name: "*-latest", provider: two}`), models(`{name: "*-latest", provider: two}, {name: "claude-*", provider: one}`))).toEqual(["The order of the models is another; of patterns that fit equally well the first one counts."]);
  });

  it("of targets is where calls may go, and at what price", () => {
    const targets = (...list: string[]): string => file({ models: `models: [{name: "claude-*", targets: [${list.join(", ")}]}]` });
    const [one, two] = ["{id: a, provider: one}", "{id: b, provider: two}"];
    expect(texts(targets(one), targets(one, two))).toEqual(["Calls for claude-* may go to two."]);
    expect(texts(targets(one, two), targets(two))).toEqual(["Calls for claude-* no longer go to one."]);
    expect(texts(targets(one, two), targets(two, one))).toEqual(["Targets of claude-* stand in another order: two, then one."]);
    expect(texts(targets(one), targets("{id: a, provider: one, weight: 3, priority: 2, tags: [ci], max_input_tokens: 200000, prices: {input: 3}, price_model: claude-opus-4-8, headers: {x-a: b}, timeouts: {idle: 1s}}"))).toEqual([
      "Target one has priority 2 instead of 1 (model claude-*).",
      "Target one has weight 3 instead of 1 (model claude-*).",
      "Target one has the tags ci instead of none (model claude-*).",
      "Target one takes prompts of up to 200000 tokens instead of any length (model claude-*).",
      "Target one is charged at the price of claude-opus-4-8 (model claude-*).",
      "Target one costs $3 input per million tokens instead of the price book's prices (model claude-*).",
      "Target one has other added headers (model claude-*).",
      "Target one has other time limits (model claude-*).",
    ]);
  });

  it("of providers is which of their settings, never what they are", () => {
    expect(texts(file(), file({ providers: base.providers.replace("canary-one", "canary-new") }))).toEqual(["Provider one has another api_key: calls for claude-* use it."]);
    expect(texts(file(), file({ providers: base.providers.replace("two:", "three:") }))).toEqual(["Provider two (anthropic) is gone.", "Provider three (anthropic) is there."]);
  });

  it("of prices is what they are for every caller", () => {
    expect(texts(file(), file({ more: "prices: {multiplier: 1.2, overrides: {claude-opus-4-8: {input: 1.5, output: 7}}}" }))).toEqual([
      "claude-opus-4-8 costs $1.5 input, $7 output per million tokens instead of the price book's prices, for every caller.",
      "Every cost is multiplied by 1.2 instead of 1.",
    ]);
  });

  it("of budgets is who may spend how much", () => {
    const budgets = (text: string): string => file({ more: `budgets: [${text}]` });
    expect(texts(budgets(""), budgets('{scope: "team:payments", amount: 40}'))).toEqual(["team payments may spend $40.00 (month); what was spent in the running window counts."]);
    expect(texts(budgets('{scope: "user:*", amount: 4, window: day}'), budgets(""))).toEqual(["each user has no budget of $4.00 (day) any more."]);
    expect(texts(budgets("{id: all, scope: global, amount: 4}"), budgets("{id: all, scope: global, amount: 5}"))).toEqual(["everybody together may spend $5.00 (month) instead of $4.00 (month)."]);
    expect(texts(budgets("{id: all, scope: global, amount: 4}"), budgets('{id: all, scope: "team:a", per: member, amount: 4}'))).toEqual(["each user of team a may spend $4.00 (month) instead of everybody together $4.00 (month)."]);
    expect(texts(budgets("{id: all, scope: global, amount: 4}"), budgets("{id: all, scope: global, amount: 4, mode: strict, contact: bea}"))).toEqual(["The budget of $4.00 (month) for everybody together has another mode, overrun_max, contact."]);
  });

  it("of limits is whom they bind", () => {
    const rules = (text: string): string => file({ more: `rate_limits: {rules: [${text}]}` });
    expect(texts(rules(""), rules('{scope: "key:*", requests_per_minute: 5, open_streams: 2}'))).toEqual(["each key has requests per minute 5, open streams 2 instead of no limits of its own."]);
    expect(texts(rules('{scope: "team:a", requests_per_minute: 5}'), rules('{scope: "team:a", requests_per_minute: 6}'))).toEqual(["team a has requests per minute 6 instead of requests per minute 5."]);
  });

  it.each([
    ["listen: {port: 5000}", "listen.port is 5000 instead of 4000."],
    ["listen: {trusted_proxies: [10.0.0.0/8]}", "listen.trusted_proxies is 10.0.0.0/8 instead of none."],
    ["timeouts: {first_byte_stream: 90s}", "timeouts.first_byte_stream is 90s instead of 2m."],
    ["limits: {in_flight_max: 7}", "limits.in_flight_max is 7 instead of 10000."],
    ["limits: {in_flight_per_key_max: 7}", "limits.in_flight_per_key_max is 7 instead of not set."],
    ["limits: {body_max: 1MiB}", "limits.body_max is 1048576 instead of 33554432."],
    ["logging: {level: warn}", "logging.level is warn instead of info."],
    ["key_header: x-key", "key_header is x-key instead of not set."],
    ["admin: {key: sk-admin-canary-0123456789abcdef}", "admin.key is another."],
    ["routing: {attempts: 2}", "routing.attempts is 2 instead of 4."],
    ["routing: {failover_time: 5s}", "routing.failover_time is 5s instead of 1m."],
    ["routing: {hold_events: 1s}", "routing.hold_events is 1s instead of 2s."],
    ["routing: {circuit: {failures: 9}}", "routing.circuit.failures is 9 instead of 5."],
    ["routing: {circuit: {failures_by_class: {timeout: 2}}}", "routing.circuit.failures_by_class.timeout is 2 instead of not set."],
    ["routing: {retries_by_class: {timeout: 2}}", "routing.retries_by_class.timeout is 2 instead of not set."],
    ["routing: {circuit: {failure_rate: 0.25}}", "routing.circuit.failure_rate is 0.25 instead of 0.5."],
    ['routing: {default_fallbacks: ["claude-x"]}', "routing.default_fallbacks is claude-x instead of none."],
    ["routing: {fall_back_in_sessions: true}", "routing.fall_back_in_sessions is true instead of false."],
    ["store: {sync: full}", "store.sync is full instead of normal."],
    ['egress: {proxy: "http://u:canary-pw@p:3128"}', "egress.proxy is another."],
  ])("of the setting %s is told under its key", (more, text) => {
    expect(texts(file(), file({ more }))).toEqual([text]);
    expect(texts(file({ more }), file())).toHaveLength(1);
  });

  it("of logins that are lent to clouds' own names is told to those clients", () => {
    const before = load(file());
    const lent = new Map([["bedrock", before.models[0]!]]);
    expect(diffConfigs(before, { ...before, lent }).map(({ text }) => text)).toEqual(["Clients of bedrock that ask for a model by its cloud's name, which is in no list, are served by one."]);
    expect(diffConfigs({ ...before, lent }, before).map(({ change }) => change)).toEqual(["removed"]);
  });

  it("shows no secret, in any sentence", () => {
    const after = 'providers: {one: {kind: anthropic, api_key: sk-ant-canary-three, headers: {x-a: canary}}}\nadmin: {key: sk-admin-canary-0123456789abcdef}\nmodels: [{name: "claude-*", provider: one, headers: {authorization-x: canary}}]\nwebhook: {url: "https://hooks.example/canary", secret: canary-of-some-length}';
    expect(JSON.stringify(diff(file(), after))).not.toContain("canary");
    expect(JSON.stringify(diff(after, file()))).not.toContain("canary");
  });
});
