/** Guarantee: what a LiteLLM file says about routing means the same here, and what cannot is named with its place, never passed over. */
import { describe, expect, it } from "vitest";
import { providers } from "../providers/registry.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { loadConfig, type LoadResult } from "./load.ts";

const providerSchemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));
const env = { MASTER: "sk-Zq81mKp0Lx72VbNw" };

function load(text: string): LoadResult {
  return loadConfig({ path: "config.yaml", env, readFile: () => text, providerSchemas, accept: [], allowInsecureDevKey: false });
}

function config(text: string): GatewayConfig {
  const result = load(text);
  if (!result.ok) throw new Error(result.errors.map(({ line, message }) => `${line}: ${message}`).join("\n"));
  return result.config;
}

const master = "general_settings: {master_key: os.environ/MASTER}\n";
const entry = (name: string, params = "", info = ""): string => `  - {model_name: ${JSON.stringify(name)}, litellm_params: {model: ${JSON.stringify(`anthropic/${name}`)}, api_key: k${params}}, model_info: {${info}}}\n`;
const file = (entries: readonly string[], more = ""): string => `model_list:\n${entries.join("")}${more}${more === "" || more.endsWith("\n") ? "" : "\n"}${master}`;
const faults = (text: string): readonly string[] => {
  const result = load(text);
  return result.ok ? [] : result.errors.map(({ path, message }) => `${path}: ${message}`);
};
const remarks = (text: string): readonly string[] => config(text).warnings.filter(({ path }) => /router|litellm_settings|model_list/.test(path)).map(({ path, message }) => `${path}: ${message}`);
const pair = [entry("claude-x", ", weight: 9"), entry("claude-x", ", weight: 1", "id: second")];

describe("entries of one name", () => {
  it("serve it together, by weight, else by rpm or tpm, where those without are the last resort", () => {
    const shares = (first: string, second: string): readonly number[] => config(file([entry("claude-x", first), entry("claude-x", second)])).models[0]!.targets.map(({ weight }) => weight);
    expect(config(file(pair)).models).toHaveLength(1);
    expect(config(file(pair)).models[0]).toMatchObject({ name: "claude-x", strategy: "weighted", targets: [{ weight: 9, priority: 1 }, { id: "second", weight: 1, priority: 1 }] });
    expect(shares("", "")).toEqual([1, 1]);
    expect(shares(", weight: 0.5", "")).toEqual([0.5, 0]);
    expect(shares(", rpm: 100", ", rpm: 900, tpm: 5")).toEqual([100, 900]);
    expect(shares(", tpm: 100", ", tpm: 50")).toEqual([100, 50]);
    expect(shares(", weight: 2, rpm: 1", ", weight: 3, rpm: 900")).toEqual([2, 3]);
  });

  it("have ids of their own, also where they differ in nothing but their login, and the same at each start", () => {
    const text = file([entry("claude-x"), entry("claude-x").replace("api_key: k", "api_key: other")]);
    const ids = config(text).models[0]!.targets.map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
    expect(config(text).models[0]!.targets.map(({ id }) => id)).toEqual(ids);
    expect(config(text).providers.size).toBe(2);
  });

  it("are tried by their order, those without one last", () => {
    expect(config(file([entry("claude-x"), entry("claude-x", ", order: 2"), entry("claude-x", ", order: 1")])).models[0]!.targets.map(({ priority }) => priority)).toEqual([3, 2, 1]);
  });

  it("have tags, limits, budgets and the groups of all of them", () => {
    const made = config(file([entry("claude-x", ", tags: [paid], rpm: 5, max_budget: 10, budget_duration: 1d", "id: one, access_groups: [a]"), entry("claude-x", "", "id: two, access_groups: [b, a]")]));
    expect(made.models[0]).toMatchObject({ accessGroups: ["a", "b"], targets: [{ tags: ["paid"] }, { tags: [] }] });
    expect(made.rateLimits.rules).toEqual([{ scope: "target:one", max: { requestsPerMinute: 5 } }]);
    expect(made.budgets).toMatchObject([{ id: "target one", scope: "target:one", amountNanoUsd: 10_000_000_000n, window: { key: "day/UTC" } }]);
  });

  it("tell how long a prompt they take only where prompts are checked", () => {
    const lengths = (more: string): readonly unknown[] => config(file([entry("claude-x", "", "max_input_tokens: 200000"), entry("claude-x")], more)).models[0]!.targets.map(({ inputTokensMax }) => inputTokensMax);
    expect(lengths("")).toEqual([undefined, undefined]);
    expect(lengths("router_settings: {enable_pre_call_checks: true}")).toEqual([200_000, undefined]);
  });

  it.each([
    [", weight: heavy", "model_list[0].litellm_params.weight: must be a number of at least 0"],
    [", order: -1", "model_list[0].litellm_params.order: must be a number of at least 0"],
    [", max_budget: a lot", "model_list[0].litellm_params.max_budget: must be US dollars, at least 0"],
    [", tags: paid", "model_list[0].litellm_params.tags: must be a list"],
  ])("are refused with%s", (params, message) => {
    expect(faults(file([entry("claude-x", params), entry("claude-x")]))).toEqual([message]);
  });
});

describe("the strategy", () => {
  it.each([
    ["simple-shuffle", "weighted"],
    ["least-busy", "least-busy"],
    ["latency-based-routing", "latency"],
    ["usage-based-routing-v2", "least-busy"],
  ])("%s is %s here", (theirs, ours) => {
    expect(config(file(pair, `router_settings: {routing_strategy: ${theirs}}`)).models[0]!.strategy).toBe(ours);
  });

  it("by usage is told to be another one, by cost is refused with what does it, and a slip with what is meant", () => {
    expect(remarks(file(pair, "router_settings: {routing_strategy: usage-based-routing}"))).toContainEqual(expect.stringContaining("served as `least-busy`"));
    expect(faults(file(pair, "router_settings: {routing_strategy: cost-based-routing}"))).toEqual(["router_settings.routing_strategy: `cost-based-routing` is not in this build: give the cheaper entries the lower `order`"]);
    expect(faults(file(pair, "router_settings: {routing_strategy: least-buzy}"))).toEqual([expect.stringContaining("did you mean `least-busy`?")]);
  });

  it("may be another for some models", () => {
    const made = config(file([...pair, entry("claude-y")], "router_settings: {routing_groups: [{group_name: g, models: [claude-y], routing_strategy: latency-based-routing}]}"));
    expect(made.models.map(({ name, strategy }) => [name, strategy])).toEqual([["claude-x", "weighted"], ["claude-y", "latency"]]);
  });
});

describe("failures", () => {
  it("are met as the file says, under whichever section it does", () => {
    for (const section of ["router_settings", "litellm_settings"]) {
      const { routing } = config(file(pair, `${section}: {num_retries: 5, allowed_fails: 3, cooldown_time: 12.5, retry_policy: {TimeoutErrorRetries: 1, BadRequestErrorRetries: 2}, ${section === "router_settings" ? "max_fallbacks: 2, allowed_fails_policy: {RateLimitErrorAllowedFails: 0}" : ""}}`));
      expect(routing).toMatchObject({ retriesMax: 5, attemptsMax: 6, retriesMaxByClass: new Map([["timeout", 1]]), circuit: { failuresMax: 4, cooldownMs: 12_500, isEnabled: true } });
      if (section === "router_settings") expect(routing).toMatchObject({ fallbacksMax: 2, circuit: { failuresMaxByClass: new Map([["rate_limit", 1]]) } });
    }
    expect(config(file(pair, "router_settings: {num_retries: 1}\nlitellm_settings: {num_retries: 3}")).routing.retriesMax).toBe(1);
  });

  it.each(["disable_cooldowns: true", "cooldown_time: 0", "cooldown_time: 0.0"])("open no circuit with %s", (setting) => {
    expect(config(file(pair, `router_settings: {${setting}}`)).routing.circuit.isEnabled).toBe(false);
  });

  it("leave what the file does not name as `tollgate.routing` has it", () => {
    const { routing } = config(file(pair, "router_settings: {num_retries: 1}\ntollgate: {routing: {attempts: 7, circuit: {failures: 9}, fall_back_in_sessions: true}}"));
    expect(routing).toMatchObject({ retriesMax: 1, attemptsMax: 7, fallsBackInSessions: true, circuit: { failuresMax: 9 } });
  });

  it.each([
    ["num_retries: many", "router_settings.num_retries: must be a whole number of at least 0"],
    ["cooldown_time: soon", "router_settings.cooldown_time: must be a number of seconds above 0"],
    ["retry_policy: {SillyErrorRetries: 1}", "router_settings.retry_policy.SillyErrorRetries: must be one of AuthenticationErrorRetries, TimeoutErrorRetries"],
    ["fallbacks: {claude-x: [claude-y]}", "router_settings.fallbacks: must be a list such as `[{MODEL: [OTHER]}]`"],
    ["fallbacks: [claude-y]", "router_settings.fallbacks[0]: must be a mapping such as `{MODEL: [OTHER]}`"],
  ])("are refused with %s", (setting, message) => {
    expect(faults(file(pair, `router_settings: {${setting}}`))).toEqual([expect.stringContaining(message)]);
  });

  it("wait as long as the file says", () => {
    const made = config(file([entry("claude-x", ", ttft_timeout: 3, timeout: 9, stream_idle_timeout: 4")], "router_settings: {timeout: 60, stream_timeout: 20, stream_idle_timeout: 15}\nlitellm_settings: {request_timeout: 99}"));
    expect(made.timeouts).toMatchObject({ firstBytePlainMs: 60_000, firstByteStreamMs: 20_000, idleMs: 15_000 });
    expect(made.models[0]!.targets[0]!.timeouts).toEqual({ firstByteStreamMs: 3_000, firstBytePlainMs: 9_000, idleMs: 4_000 });
    expect(config(file(pair, "litellm_settings: {request_timeout: 99}")).timeouts).toMatchObject({ firstBytePlainMs: 99_000, firstByteStreamMs: 99_000 });
  });
});

describe("fallbacks", () => {
  const models = [entry("claude-x"), entry("claude-y"), entry("claude-z"), entry("claude-*")];
  const fallbacksOf = (more: string, name: string): unknown => config(file(models, more)).models.find((model) => model.name === name)?.fallbacks;

  it("are of the models they name, for each reason", () => {
    const more = "router_settings: {fallbacks: [{claude-x: [claude-y, claude-z]}], context_window_fallbacks: [{claude-x: [claude-z]}, {claude-y: claude-z}], content_policy_fallbacks: [{claude-x: [{model: claude-y}]}]}";
    expect(fallbacksOf(more, "claude-x")).toEqual({ failure: ["claude-y", "claude-z"], contextWindow: ["claude-z"], contentPolicy: ["claude-y"] });
    expect(fallbacksOf(more, "claude-y")).toEqual({ failure: [], contextWindow: ["claude-z"], contentPolicy: [] });
  });

  it("of all are `default_fallbacks`, or those of `*`", () => {
    expect(config(file(models, "litellm_settings: {default_fallbacks: [claude-y]}")).routing.fallbacks).toEqual({ failure: ["claude-y"], contextWindow: [], contentPolicy: [] });
    expect(config(file(models, "litellm_settings: {fallbacks: [{'*': [claude-z]}], context_window_fallbacks: [{'*': [claude-y]}]}")).routing.fallbacks).toEqual({ failure: ["claude-z"], contextWindow: ["claude-y"], contentPolicy: [] });
  });

  it("of a name that a pattern serves are of that name alone, at the pattern's own targets", () => {
    const made = config(file(models, "router_settings: {fallbacks: [{claude-opus-5-5: [claude-y]}]}"));
    const [own, pattern] = ["claude-opus-5-5", "claude-*"].map((name) => made.models.find((model) => model.name === name)!);
    expect(own).toMatchObject({ fallbacks: { failure: ["claude-y"] }, targets: [{ id: pattern!.targets[0]!.id, model: "claude-opus-5-5" }] });
    expect(pattern!.fallbacks.failure).toEqual([]);
  });

  it("of an alias are of its model", () => {
    expect(fallbacksOf("router_settings: {model_group_alias: {best: claude-x}, fallbacks: [{best: [claude-y]}]}", "claude-x")).toMatchObject({ failure: ["claude-y"] });
  });

  it("that never could step in are remarked on, each with its place", () => {
    const text = file([entry("claude-x"), entry("claude-y")], "router_settings: {fallbacks: [{claude-x: [claude-x, gpt-4, {model: claude-y, temperature: 0}]}, {claud-y: [claude-x]}]}");
    expect(remarks(text).filter((line) => line.includes("fallbacks"))).toEqual([
      "router_settings.fallbacks[0].claude-x[0]: is the model itself, so it never steps in",
      "router_settings.fallbacks[0].claude-x[1]: nothing serves `gpt-4`, so it never steps in",
      "router_settings.fallbacks[0].claude-x[2]: only its `model` counts: a fallback gets the request as it came",
      "router_settings.fallbacks[1].claud-y: nothing serves `claud-y`, so nothing steps in for it; did you mean `claude-y`?",
    ]);
  });
});

it("background checks are made as often as the file says, every five minutes where it does not", () => {
  const interval = (general: string): unknown => config(file(pair).replace("{master_key", `{${general}master_key`)).routing.checkIntervalMs;
  expect([interval(""), interval("background_health_checks: true, "), interval("background_health_checks: true, health_check_interval: 30, "), interval("health_check_interval: 30, ")]).toEqual([undefined, 300_000, 30_000, undefined]);
});

it("tags decide where the file says so, one of them or all", () => {
  expect(config(file(pair)).routing.tagMatch).toBe("off");
  expect(config(file(pair, "router_settings: {enable_tag_filtering: true}")).routing.tagMatch).toBe("any");
  expect(config(file(pair, "router_settings: {enable_tag_filtering: true, tag_filtering_match_any: false}")).routing.tagMatch).toBe("all");
});

describe("a provider's budget", () => {
  it("binds the one place there is, in both spellings", () => {
    expect(config(file(pair, "router_settings: {provider_budget_config: {anthropic: {budget_limit: 100, time_period: 1d}}}")).budgets).toMatchObject([{ scope: "provider:anthropic", amountNanoUsd: 100_000_000_000n, window: { key: "day/UTC" } }]);
    expect(config(file(pair, "router_settings: {provider_budget_config: {anthropic: {max_budget: 5, budget_duration: 30d}}}")).budgets).toMatchObject([{ scope: "provider:anthropic", amountNanoUsd: 5_000_000_000n }]);
  });

  it("is refused where it would have to bind several, and remarked on where it binds none", () => {
    expect(faults(file([entry("claude-x"), entry("claude-x").replace("api_key: k", "api_key: other")], "router_settings: {provider_budget_config: {anthropic: {budget_limit: 1}}}"))).toEqual([expect.stringContaining("`anthropic` has 2 addresses or logins here")]);
    expect(remarks(file(pair, "router_settings: {provider_budget_config: {openai: {budget_limit: 1}}}"))).toContainEqual(expect.stringContaining("so this budget binds nothing"));
  });
});
