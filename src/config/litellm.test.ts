// Guarantee: a LiteLLM file works as it is; a key that restricts and is not enforced stops the start; nothing is dropped in silence.
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { providers } from "../providers/registry.ts";
import { Secret } from "../kernel/secret.ts";
import { loadConfig, type LoadResult } from "./load.ts";

const schemas = new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));

function load(files: Readonly<Record<string, string>> | string, env: Record<string, string> = {}, accept: readonly string[] = []): LoadResult {
  const all: Readonly<Record<string, string>> = typeof files === "string" ? { "config.yaml": files } : files;
  return loadConfig({
    path: "config.yaml",
    env,
    readFile(path) {
      const text = all[basename(path)];
      if (text === undefined) throw Object.assign(new Error("missing"), { code: "ENOENT" });
      return text;
    },
    providerSchemas: schemas,
    accept,
    allowInsecureDevKey: false,
  });
}

function config(...args: Parameters<typeof load>): Extract<LoadResult, { ok: true }>["config"] {
  const result = load(...args);
  if (!result.ok) throw new Error(result.errors.map(({ line, path, message }) => `${line} ${path}: ${message}`).join("\n"));
  return result.config;
}

const master = "general_settings: {master_key: os.environ/MASTER}\n";
const env = { MASTER: "sk-Zq81mKp0Lx72VbNw", ANTHROPIC_API_KEY: "sk-ant-env" };

const typical = `
model_list:
  - model_name: claude-opus-4-8
    litellm_params: {model: anthropic/claude-opus-4-8, api_key: os.environ/ANTHROPIC_API_KEY, timeout: 300, stream_timeout: 60}
    model_info: {id: opus-eu, access_groups: [big]}
  - model_name: anthropic/*
    litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: cheap
    litellm_params:
      model: anthropic/claude-haiku-4-5
      api_key: os.environ/ANTHROPIC_API_KEY
      api_base: https://proxy.example.com/v1
      input_cost_per_token: 3e-07
      cache_creation_input_token_cost_above_1hr: 0.0000006
      extra_headers: {x-team: blue}
router_settings:
  model_group_alias: {fast: cheap, secret: {model: cheap, hidden: true}}
litellm_settings: {drop_params: true}
${master}`;

describe("a LiteLLM file", () => {
  it("becomes the native shape: names, wildcards, keys, bases, times, prices and aliases", () => {
    const made = config(typical, env);
    expect(made.source.kind).toBe("litellm");
    expect(made.admin.mayInfer).toBe(true);
    expect(made.admin.key).toBeInstanceOf(Secret);
    const [opus, any, cheap] = made.models;
    expect([opus?.name, opus?.accessGroups, opus?.targets[0]?.id, opus?.targets[0]?.model]).toEqual(["claude-opus-4-8", ["big"], "opus-eu", "claude-opus-4-8"]);
    expect(opus?.targets[0]?.timeouts).toMatchObject({ firstByteStreamMs: 60_000 });
    expect([any?.name, any?.targets[0]?.model]).toEqual(["anthropic/*", "*"]);
    expect(any?.targets[0]?.provider).toBe(opus?.targets[0]?.provider);
    expect(cheap?.targets[0]?.provider).not.toBe(opus?.targets[0]?.provider);
    expect(cheap?.targets[0]?.price).toMatchObject({ input: 300_000n, cacheWrite1h: 600_000n });
    expect([...(cheap?.targets[0]?.headers ?? [])]).toEqual([["x-team", "blue"]]);
    expect(made.providers.get(cheap?.targets[0]?.provider ?? "")?.settings).toMatchObject({ base_url: "https://proxy.example.com" });
    expect([...made.modelAliases]).toEqual([["fast", { model: "cheap", isHidden: false }], ["secret", { model: "cheap", isHidden: true }]]);
    expect(made.warnings.map(({ message }) => message).join("\n")).toContain("v1");
  });

  it("says for each key what becomes of it", () => {
    const result = load(typical, env);
    const verdicts = new Map(result.keys.map(({ key, verdict }) => [key.replace(/ \(\d+ times\)$/, ""), verdict]));
    expect(verdicts.get("model_list[].litellm_params.api_key")).toBe("supported");
    expect(["ignored", "not yet"]).toContain(verdicts.get("litellm_settings.drop_params"));
  });

  it.each(["max_internal_user_budget: 5", "max_end_user_budget: 5\n  drop_params: true"])("does not start with %j, which restricts and is not enforced, unless that is accepted by name", (setting) => {
    const text = `model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\nlitellm_settings:\n  ${setting}\n${master}`;
    const refused = load(text, env);
    expect(refused.ok).toBe(false);
    if (!refused.ok) expect(refused.errors[0]).toMatchObject({ line: 3, message: expect.stringContaining("--accept-unenforced") as string });
    expect(load(text, env, ["max_internal_user_budget", "max_end_user_budget"].filter((name) => setting.startsWith(name))).ok).toBe(true);
  });

  it("lets a user's budget bind keys without a team only, as LiteLLM does, unless it says otherwise", () => {
    const file = "model_list: [{model_name: claude-opus-4-8, litellm_params: {model: anthropic/claude-opus-4-8, api_key: k}}]\n";
    expect(config(`${file}${master}`, env).spending.userBudget).toBe("personal_keys");
    expect(config(`${file}${master}tollgate: {spending: {user_budget: all, unpriced: warn}}`, env).spending).toMatchObject({ userBudget: "all", unpriced: "warn" });
  });

  it("does not name a model in a budget that nothing serves", () => {
    const file = `model_list: [{model_name: claude-opus-4-8, litellm_params: {model: anthropic/claude-opus-4-8, api_key: k}}]\n${master}tollgate: {budgets: [{scope: global, amount: 1, downgrade: claude-nobody}]}`;
    const result = load(file, env);
    expect(result.ok ? [] : result.errors.map(({ line, path, message }) => [line, path, message])).toEqual([[3, "tollgate.budgets[0].downgrade", "nothing serves `claude-nobody`"]]);
  });

  it.each([
    ["max_budget: 5", "lifetime", "lifetime"],
    ["max_budget: 5\n  budget_duration: 30d", "30d", "month/UTC"],
    ["max_budget: 5\n  budget_duration: 1d\n  timezone: Europe/Paris\n  budget_reset_time: '06:00'", "1d", "day@06:00/Europe/Paris"],
  ])("%j is a budget of the whole gateway", (setting, text, key) => {
    const result = load(`model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\nlitellm_settings:\n  ${setting}\n${master}`, env);
    expect(result.ok ? result.config.budgets.map(({ scope, amountNanoUsd, window }) => [scope, amountNanoUsd, window.text, window.key]) : result.errors).toEqual([["global", 5_000_000_000n, text, key]]);
  });

  it.each([
    ["max_budget: lots", "must be US dollars"],
    ["max_budget: 5\n  budget_duration: 3 moons", "moons"],
  ])("%j is an error with its line", (setting, words) => {
    const result = load(`model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\nlitellm_settings:\n  ${setting}\n${master}`, env);
    expect(result.ok ? [] : result.errors.map(({ message }) => message.includes(words))).toEqual([true]);
  });

  it("limits entries, keys and the whole proxy as the file says, counting cache reads as LiteLLM does unless it says otherwise", () => {
    const file = (params: string, more = ""): string => `model_list: [{model_name: claude-x, model_info: {id: x-1}, litellm_params: {model: anthropic/claude-x, api_key: k${params}}}]\ngeneral_settings:\n  master_key: os.environ/MASTER\n${more}`;
    const { countsCacheReads, rules } = config(file(", rpm: 5, tpm: 1000, itpm: 800, otpm: '200', max_parallel_requests: 3, default_api_key_rpm_limit: 2, default_api_key_tpm_limit: 0"), env).rateLimits;
    expect([countsCacheReads, rules]).toEqual([true, [
      { scope: "target:x-1", max: { requestsPerMinute: 5, tokensPerMinute: 1000, inputTokensPerMinute: 800, outputTokensPerMinute: 200, parallelRequests: 3 } },
      { scope: "key_model:*/claude-x", max: { requestsPerMinute: 2, tokensPerMinute: 0 } },
    ]]);
    const proxy = config(file("", "  global_max_parallel_requests: 40\n  max_parallel_requests: 7\nrouter_settings: {default_max_parallel_requests: 9}\ntollgate: {rate_limits: {count_cache_reads: false, rules: [{scope: 'key:*', requests_per_minute: 1}]}}\n"), env).rateLimits;
    expect([proxy.countsCacheReads, proxy.rules.map(({ scope, max }) => [scope, Object.values(max)])]).toEqual([false, [["global", [40]], ["target:*", [7]], ["key:*", [1]]]]);
    expect(config(file("", "router_settings: {default_max_parallel_requests: 9}\n"), env).rateLimits.rules).toEqual([{ scope: "target:*", max: { parallelRequests: 9 } }]);
    const wrong = (text: string): unknown => {
      const result = load(text, env);
      return result.ok ? [] : result.errors.map(({ path, message }) => [path, message]);
    };
    expect(wrong(file(", rpm: many"))).toEqual([["model_list[0].litellm_params.rpm", "must be a whole number of at least 0"]]);
    expect(wrong(file(", default_api_key_rpm_limit: 2").replace("model_name: claude-x", "model_name: 'claude-*'").replace("anthropic/claude-x", "anthropic/claude-*"))).toEqual([["model_list[0].litellm_params.default_api_key_rpm_limit", expect.stringContaining("names one model")]]);
  });

  it.each([
    ["general_settings", "allowed_ips: [10.0.0.1]"],
    ["general_settings", "enable_jwt_auth: true"],
    ["general_settings", "enforced_params: [user]"],
  ])("does not start with %s.%s", (section, setting) => {
    const text = `model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\n${section}:\n  master_key: os.environ/MASTER\n  ${setting}\n`;
    const result = load(text, env);
    expect(result.ok ? [] : result.errors.map(({ line }) => line)).toEqual([4]);
  });

  it("warns of names it does not know inside model entries, which LiteLLM leaves open, and refuses them elsewhere", () => {
    const open = config(`model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k, my_own: 1}}]\n${master}`, env);
    expect(open.warnings.some(({ path }) => path.includes("my_own"))).toBe(true);
    const closed = load(`model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\ngeneral_settings: {master_key: os.environ/MASTER, master_kye: x}\n`, env);
    expect(closed.ok ? "" : closed.errors[0]?.message).toContain("master_key");
  });

  it("refuses a weak master key, a missing variable and a provider that this build does not have, all in one pass with their lines", () => {
    const result = load("model_list:\n  - {model_name: a, litellm_params: {model: cohere/x}}\n  - {model_name: b, litellm_params: {model: anthropic/claude-x, api_key: os.environ/NOT_THERE}}\ngeneral_settings: {master_key: sk-1234}\n", {});
    expect(result.ok ? [] : result.errors.map(({ line }) => line)).toEqual([2, 3, 4]);
    expect(JSON.stringify(result)).not.toContain("sk-1234");
  });

  it("reads includes, credentials by name and its own environment variables", () => {
    const made = config(
      {
        "config.yaml": `include: [models.yaml]\nenvironment_variables: {TEAM_KEY: sk-ant-team}\ncredential_list: [{credential_name: shared, credential_values: {api_key: os.environ/TEAM_KEY}}]\nmodel_list: [{model_name: claude-a, litellm_params: {model: anthropic/claude-a, litellm_credential_name: shared}}]\n${master}`,
        "models.yaml": "model_list: [{model_name: claude-b, litellm_params: {model: anthropic/claude-b, api_key: sk-ant-b}}]\n",
      },
      env,
    );
    expect(made.models.map(({ name }) => name).sort()).toEqual(["claude-a", "claude-b"]);
    const settings = made.providers.get(made.models.find(({ name }) => name === "claude-a")?.targets[0]?.provider ?? "")?.settings as { api_key: Secret };
    expect(settings.api_key.reveal()).toBe("sk-ant-team");
  });

  it("takes the header that holds the key", () => {
    expect(config(`model_list: [{model_name: claude-x, litellm_params: {model: anthropic/claude-x, api_key: k}}]\ngeneral_settings: {master_key: os.environ/MASTER, litellm_key_header_name: X-My-Key}\n`, env).keyHeader).toBe("x-my-key");
  });
});
