/**
 * Guarantee: what a LiteLLM file and environment say of Bedrock, Vertex AI and Azure AI means here what it means there: addresses,
 * logins, routes, wildcards; logins lent to the clouds' own paths; paths begin at the folder of the file that holds them.
 */
import { describe, expect, it } from "vitest";
import { Secret } from "../kernel/secret.ts";
import { providers } from "../providers/registry.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { loadConfig, type LoadResult } from "./load.ts";

type Environment = Readonly<Record<string, string>>;

const master = "general_settings: {master_key: sk-Zq81mKp0Lx72VbNw}\n";
const json = '{"type": "authorized_user"}';

function load(text: string, env: Environment = {}, files: Readonly<Record<string, string>> = {}, path = "/etc/gateway/config.yaml"): LoadResult {
  return loadConfig({
    path,
    env,
    readFile(name) {
      const known = name === path ? text : files[name];
      if (known === undefined) throw Object.assign(new Error("missing"), { code: "ENOENT" });
      return known;
    },
    providerSchemas: new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings])),
    accept: [],
    allowInsecureDevKey: false,
  });
}

function good(...given: Parameters<typeof load>): GatewayConfig {
  const result = load(...given);
  if (!result.ok) throw new Error(result.errors.map(({ line, path, message }) => `${line} ${path}: ${message}`).join("\n"));
  return result.config;
}

function faults(...given: Parameters<typeof load>): string[] {
  const result = load(...given);
  return result.ok ? [] : result.errors.map(({ path, message }) => `${path}: ${message}`);
}

function remarks({ warnings }: GatewayConfig): string[] {
  return warnings.filter(({ message }) => !message.startsWith("nothing serves")).map(({ path, message }) => `${path}: ${message}`);
}

function entry(params: string, name = "claude-x"): string {
  return `model_list: [{model_name: "${name}", litellm_params: {${params}}}]\n${master}`;
}

/** Settings as an operator would write them: secrets in plain, defaults that nobody wrote left out. */
function settingsOf(config: GatewayConfig, name: string | undefined): Record<string, unknown> {
  const { settings } = config.providers.get(name ?? "")!;
  const plain = Object.entries(settings as Record<string, unknown>).map(([key, value]) => [key, value instanceof Secret ? value.reveal() : value] as const);
  const defaults: Readonly<Record<string, unknown>> = { inference_profile: "auto", allow_credential_process: false, auth_header: "x-api-key" };
  return Object.fromEntries(plain.filter(([key, value]) => key !== "headers" && defaults[key] !== value));
}

function only(config: GatewayConfig): { readonly kind: string | undefined; readonly model: string | undefined; readonly settings: Record<string, unknown> } {
  const target = config.models[0]?.targets[0];
  return { kind: config.providers.get(target?.provider ?? "")?.kind, model: target?.model, settings: settingsOf(config, target?.provider) };
}

const region = "aws_region_name: eu-central-1";
const role = "arn:aws:iam::123456789012:role/claude";

describe("an entry", () => {
  it.each<[string, string, Environment, string, string, Record<string, unknown>]>([
    ["a region", `model: bedrock/anthropic.claude-x, ${region}`, {}, "bedrock", "anthropic.claude-x", { region: "eu-central-1" }],
    ["bedrock/invoke", `model: bedrock/invoke/us.anthropic.claude-x-v1:0, ${region}`, {}, "bedrock", "us.anthropic.claude-x-v1:0", { region: "eu-central-1" }],
    ["bedrock/converse", `model: bedrock/converse/us.anthropic.claude-x, ${region}`, {}, "bedrock", "us.anthropic.claude-x", { region: "eu-central-1" }],
    ["custom_llm_provider", `model: us.anthropic.claude-x, custom_llm_provider: bedrock, ${region}`, {}, "bedrock", "us.anthropic.claude-x", { region: "eu-central-1" }],
    ["keys", `model: bedrock/claude-x, ${region}, aws_access_key_id: AKIA, aws_secret_access_key: os.environ/S, aws_session_token: t`, { S: "s" }, "bedrock", "claude-x", { region: "eu-central-1", access_key_id: "AKIA", secret_access_key: "s", session_token: "t" }],
    ["a role", `model: bedrock/claude-x, ${region}, aws_role_name: "${role}", aws_session_name: team, aws_external_id: ext, aws_sts_endpoint: "https://sts.example.com/"`, {}, "bedrock", "claude-x", { region: "eu-central-1", role_arn: role, role_session_name: "team", external_id: "ext", sts_endpoint: "https://sts.example.com" }],
    ["a profile", `model: bedrock/claude-x, ${region}, aws_profile_name: gateway`, {}, "bedrock", "claude-x", { region: "eu-central-1", profile: "gateway" }],
    ["a Bedrock API key", `model: bedrock/claude-x, ${region}, api_key: k`, {}, "bedrock", "claude-x", { region: "eu-central-1", api_key: "k" }],
    ["an address", `model: bedrock/claude-x, ${region}, aws_bedrock_runtime_endpoint: "https://vpce.example.com"`, { AWS_BEDROCK_RUNTIME_ENDPOINT: "https://other.example.com" }, "bedrock", "claude-x", { region: "eu-central-1", endpoint: "https://vpce.example.com" }],
    ["api_base before the other address", `model: bedrock/claude-x, ${region}, api_base: "https://a.example.com", aws_bedrock_runtime_endpoint: "https://b.example.com"`, {}, "bedrock", "claude-x", { region: "eu-central-1", endpoint: "https://a.example.com" }],
    ["a token file", `model: bedrock/claude-x, ${region}, aws_role_name: "${role}", aws_web_identity_token: oidc/file//var/run/secrets/token`, {}, "bedrock", "claude-x", { region: "eu-central-1", role_arn: role, web_identity_token_file: "/var/run/secrets/token" }],
    ["a token file of a variable", `model: bedrock/claude-x, ${region}, aws_web_identity_token: oidc/env_path/TOKEN_PATH`, { TOKEN_PATH: "/run/token" }, "bedrock", "claude-x", { region: "eu-central-1", web_identity_token_file: "/run/token" }],
    ["an ARN's region, before the environment's", 'model: "bedrock/arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc"', { AWS_REGION: "eu-west-1" }, "bedrock", "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc", { region: "us-west-2" }],
    ["a region before the ARN's", `model: "bedrock/arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-x", ${region}`, {}, "bedrock", "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-x", { region: "eu-central-1" }],
    ["AWS_REGION", "model: bedrock/claude-x", { AWS_REGION: "eu-west-1", AWS_DEFAULT_REGION: "eu-west-2" }, "bedrock", "claude-x", { region: "eu-west-1" }],
    ["AWS_DEFAULT_REGION", "model: bedrock/claude-x", { AWS_DEFAULT_REGION: "eu-west-2" }, "bedrock", "claude-x", { region: "eu-west-2" }],
    [
      "variables named as the parameters",
      `model: bedrock/claude-x, ${region}`,
      { AWS_ROLE_NAME: role, AWS_SESSION_NAME: "env", AWS_EXTERNAL_ID: "ext", AWS_PROFILE_NAME: "p", AWS_STS_ENDPOINT: "https://sts.example.com", AWS_WEB_IDENTITY_TOKEN: "/run/token", AWS_BEDROCK_RUNTIME_ENDPOINT: "https://vpce.example.com", AWS_BEARER_TOKEN_BEDROCK: "bearer" },
      "bedrock",
      "claude-x",
      { region: "eu-central-1", role_arn: role, role_session_name: "env", external_id: "ext", profile: "p", sts_endpoint: "https://sts.example.com", web_identity_token_file: "/run/token", endpoint: "https://vpce.example.com", api_key: "bearer" },
    ],
    ["keys of the environment", `model: bedrock/claude-x, ${region}`, { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "s" }, "bedrock", "claude-x", { region: "eu-central-1" }],
    ["Vertex AI", `model: vertex_ai/claude-x@20250101, vertex_project: p, vertex_location: europe-west1, vertex_credentials: /etc/key.json`, {}, "vertex", "claude-x@20250101", { project: "p", location: "europe-west1", credentials: "/etc/key.json" }],
    ["Vertex AI's other spellings", `model: vertex_ai/claude-x, vertex_ai_project: p, vertex_ai_location: eu, vertex_ai_credentials: '${json}'`, {}, "vertex", "claude-x", { project: "p", location: "eu", credentials: json }],
    ["credentials as a mapping", "model: vertex_ai/claude-x, vertex_credentials: {type: authorized_user, client_id: c}", {}, "vertex", "claude-x", { location: "global", credentials: '{"type":"authorized_user","client_id":"c"}' }],
    ["Vertex AI's environment", "model: vertex_ai/claude-x", { VERTEXAI_PROJECT: "p", VERTEXAI_LOCATION: "us-east5", VERTEX_LOCATION: "eu", VERTEXAI_CREDENTIALS: "/run/key.json" }, "vertex", "claude-x", { project: "p", location: "us-east5", credentials: "/run/key.json" }],
    ["the names that clouds share", "model: vertex_ai/claude-x, project: p, region_name: eu", { VERTEXAI_PROJECT: "no" }, "vertex", "claude-x", { project: "p", location: "eu" }],
    ["region_name at Bedrock", "model: bedrock/claude-x, region_name: eu-central-1", { AWS_REGION: "eu-west-1" }, "bedrock", "claude-x", { region: "eu-central-1" }],
    ["VERTEX_LOCATION", "model: vertex_ai/claude-x, vertex_project: p", { VERTEX_LOCATION: "eu" }, "vertex", "claude-x", { project: "p", location: "eu" }],
    ["what is for the paths alone", "model: vertex_ai/claude-x", { DEFAULT_VERTEXAI_PROJECT: "d", DEFAULT_VERTEXAI_LOCATION: "eu", DEFAULT_GOOGLE_APPLICATION_CREDENTIALS: "/d.json", GOOGLE_APPLICATION_CREDENTIALS: "/a.json" }, "vertex", "claude-x", { location: "global" }],
    ["Azure AI", 'model: azure_ai/claude-x, api_key: k, api_base: "https://r.services.ai.azure.com/anthropic"', {}, "foundry", "claude-x", { api_key: "k", base_url: "https://r.services.ai.azure.com/anthropic" }],
    ["Azure AI's environment", "model: azure_ai/claude-x", { AZURE_AI_API_KEY: "k", AZURE_AI_API_BASE: "https://r.services.ai.azure.com" }, "foundry", "claude-x", { api_key: "k", base_url: "https://r.services.ai.azure.com/anthropic" }],
    ["Azure's environment", "model: azure_ai/claude-x", { AZURE_API_KEY: "k", AZURE_API_BASE: "https://r.services.ai.azure.com/anthropic/v1/messages" }, "foundry", "claude-x", { api_key: "k", base_url: "https://r.services.ai.azure.com/anthropic" }],
  ])("with %s", (_, params, env, kind, model, settings) => {
    expect(only(good(entry(params), env))).toEqual({ kind, model, settings });
  });

  it.each([
    ["bedrock/*", `model: "bedrock/*", ${region}`, "bedrock/*", "*"],
    ["vertex_ai/*", 'model: "vertex_ai/*"', "vertex_ai/*", "*"],
    ["azure_ai/*", 'model: "azure_ai/*", api_key: k, api_base: "https://r.services.ai.azure.com"', "azure_ai/*", "*"],
    ["claude-* at Bedrock", `model: "bedrock/claude-*", ${region}`, "claude-*", "claude-*"],
    ["us.anthropic.* at Bedrock", `model: "bedrock/us.anthropic.*", ${region}`, "us.anthropic.*", "us.anthropic.*"],
    ["claude-* at Vertex AI", 'model: "vertex_ai/claude-*"', "claude-*", "claude-*"],
  ])("may be a wildcard: %s", (_, params, name, model) => {
    const config = good(entry(params, name));
    expect([config.models[0]?.name, config.models[0]?.targets[0]?.model]).toEqual([name, model]);
    expect(remarks(config)).toEqual([]);
  });

  it.each<[string, string, Environment, string]>([
    ["no region", "model: bedrock/claude-x", {}, "model_list[0].litellm_params.aws_region_name: is required, since the environment variable AWS_REGION_NAME is not set"],
    ["a region that is none", "model: bedrock/claude-x, aws_region_name: Frankfurt", {}, "model_list[0].litellm_params.aws_region_name: must be an AWS region such as eu-central-1"],
    ["half a key", `model: bedrock/claude-x, ${region}, aws_access_key_id: AKIA`, {}, "model_list[0].litellm_params: access_key_id and secret_access_key go together"],
    ["a role that is none", `model: bedrock/claude-x, ${region}`, { AWS_ROLE_NAME: "admin" }, "model_list[0].litellm_params: the environment variable AWS_ROLE_NAME must be the ARN of an IAM role"],
    ["another API of Bedrock", `model: bedrock/converse_like/claude-x, ${region}`, {}, "model_list[0].litellm_params.model: this is a way to other APIs of the place than this build speaks; `bedrock/NAME`, `bedrock/invoke/NAME`, `bedrock/converse/NAME` are taken"],
    ["a token in place of its file", `model: bedrock/claude-x, ${region}, aws_web_identity_token: eyJhbGciOi.e30.x`, {}, "model_list[0].litellm_params.aws_web_identity_token: must lead to a file with the token, by its path, `oidc/file/PATH` or `oidc/env_path/NAME`; other tokens are not read by this build"],
    ["a token of another service", `model: bedrock/claude-x, ${region}, aws_web_identity_token: oidc/google/aud`, {}, "model_list[0].litellm_params.aws_web_identity_token: must lead to a file with the token, by its path, `oidc/file/PATH` or `oidc/env_path/NAME`; other tokens are not read by this build"],
    ["a token path that is not set", `model: bedrock/claude-x, ${region}, aws_web_identity_token: oidc/env_path/NOPE`, {}, "model_list[0].litellm_params.aws_web_identity_token: the environment variable of this `oidc/env_path/…` is not set or empty"],
    ["a location that is none", "model: vertex_ai/claude-x, vertex_location: eu.example.com", {}, "model_list[0].litellm_params.vertex_location: must be `global`, `us`, `eu` or a region"],
    ["no address", "model: azure_ai/claude-x, api_key: k", {}, "model_list[0].litellm_params.api_base: is required, since the environment variable AZURE_AI_API_BASE is not set"],
  ])("with %s is an error that names its place", (_, params, env, expected) => {
    expect(faults(entry(params), env)).toEqual([expected]);
  });
});

describe("a relative path", () => {
  const vertexEntry = (credentials: string): string => entry(`model: vertex_ai/claude-x, vertex_credentials: ${credentials}`);

  it("begins at the folder of the file, also by way of a variable", () => {
    expect(only(good(vertexEntry("keys/google.json"))).settings["credentials"]).toBe("/etc/gateway/keys/google.json");
    expect(only(good(vertexEntry("../google.json"))).settings["credentials"]).toBe("/etc/google.json");
    expect(only(good(vertexEntry("os.environ/KEY"), { KEY: "google.json" })).settings["credentials"]).toBe("/etc/gateway/google.json");
    expect(only(good(vertexEntry("os.environ/KEY"), { KEY: ` ${json}` })).settings["credentials"]).toBe(` ${json}`);
    expect(only(good(entry(`model: bedrock/claude-x, ${region}, aws_web_identity_token: run/token`))).settings["web_identity_token_file"]).toBe("/etc/gateway/run/token");
  });

  it("of an included file begins at that file's folder", () => {
    const config = good(`include: [teams/a.yaml]\n${master}`, {}, { "/etc/gateway/teams/a.yaml": "model_list: [{model_name: claude-x, litellm_params: {model: vertex_ai/claude-x, vertex_credentials: google.json}}]\n" });
    expect(only(config).settings["credentials"]).toBe("/etc/gateway/teams/google.json");
  });

  it("of a variable that no key names is left to the working directory", () => {
    expect(only(good(entry("model: vertex_ai/claude-x"), { VERTEXAI_CREDENTIALS: "google.json" })).settings["credentials"]).toBe("google.json");
  });

  it("of a native file begins at its folder too", () => {
    const native = (credentials: string): string => `providers: {v: {kind: vertex, credentials: ${credentials}}, b: {kind: bedrock, region: us-east-1, web_identity_token_file: token}}\nmodels: [{name: claude-*, provider: v}]\n`;
    const path = "/etc/gateway/tollgate.yaml";
    expect(settingsOf(good(native("google.json"), {}, {}, path), "v")["credentials"]).toBe("/etc/gateway/google.json");
    expect(settingsOf(good(native(`'${json}'`), {}, {}, path), "v")["credentials"]).toBe(json);
    expect(settingsOf(good(native('"${KEY}"'), { KEY: "/run/google.json" }, {}, path), "v")["credentials"]).toBe("/run/google.json");
    expect(settingsOf(good(native("x"), {}, {}, path), "b")["web_identity_token_file"]).toBe("/etc/gateway/token");
  });
});

/** Kind of provider, its settings and whose login. */
function lentBy(config: GatewayConfig): Record<string, unknown> {
  return Object.fromEntries(
    [...config.lent].map(([kind, { name, targets }]) => {
      expect([name, targets.map(({ model }) => model)]).toEqual(["*", ["*"]]);
      expect(config.providers.get(targets[0]!.provider)?.kind).toBe(kind);
      return [kind, { ...settingsOf(config, targets[0]!.provider), credential: targets[0]!.credential }];
    }),
  );
}

const opus = "model_name: claude-opus, litellm_params: {model: anthropic/claude-opus, api_key: k}";

describe("use_in_pass_through", () => {
  it("lends login, address, headers and times of the entry, and no price", () => {
    const config = good(
      entry(`model: bedrock/us.anthropic.claude-x, ${region}, aws_access_key_id: A, aws_secret_access_key: s, api_base: "https://vpce.example.com", extra_headers: {x-team: a}, timeout: 9, input_cost_per_token: 0.1, use_in_pass_through: true`),
    );
    expect(lentBy(config)).toEqual({ bedrock: { region: "eu-central-1", access_key_id: "A", secret_access_key: "s", endpoint: "https://vpce.example.com", credential: "provider" } });
    const [target] = config.lent.get("bedrock")!.targets;
    expect([[...target!.headers], target!.timeouts, target!.price]).toEqual([[["x-team", "a"]], { firstBytePlainMs: 9_000, firstByteStreamMs: 9_000 }, undefined]);
    expect(target!.id).not.toBe(config.models[0]!.targets[0]!.id);
    expect(remarks(config)).toEqual([]);
  });

  it.each(["true", '"True"', "yes", "os.environ/YES"])("is on when it is %s", (value) => {
    expect([...good(entry(`model: vertex_ai/claude-x, vertex_project: p, use_in_pass_through: ${value}`), { YES: "true" }).lent.keys()]).toEqual(["vertex"]);
  });

  it.each(["false", '"False"', "null"])("is off when it is %s", (value) => {
    expect(good(entry(`model: vertex_ai/claude-x, vertex_project: p, use_in_pass_through: ${value}`)).lent.size).toBe(0);
  });

  it("of several entries of a place lends the first one's, and says so of the others that differ", () => {
    const params = (project: string): string => `litellm_params: {model: vertex_ai/claude-x, vertex_project: ${project}, use_in_pass_through: true}`;
    const config = good(`model_list:\n  - {model_name: a-claude, ${params("one")}}\n  - {model_name: b-claude, ${params("one")}}\n  - {model_name: a-claude, ${params("two")}}\n${master}`);
    expect(lentBy(config)).toEqual({ vertex: { project: "one", location: "global", credential: "provider" } });
    expect(remarks(config).filter((line) => line.includes("use_in_pass_through"))).toEqual(["model_list[2].litellm_params.use_in_pass_through: another entry lends its login to these paths already, and the first counts: project, location and region of a client's URL choose none"]);
  });

  it("of a place without paths of its own has no effect, and says so", () => {
    const config = good(entry("model: anthropic/claude-x, api_key: k, use_in_pass_through: true"));
    expect(config.lent.size).toBe(0);
    expect(remarks(config)).toEqual(["model_list[0].litellm_params.use_in_pass_through: lends nothing here: only Bedrock and Vertex AI have paths of their own for names that `model_list` does not have"]);
  });

  it("may come from a credential of the list", () => {
    const text = `credential_list: [{credential_name: c, credential_values: {vertex_project: p, vertex_location: eu}}]\nmodel_list: [{model_name: claude-x, litellm_params: {model: vertex_ai/claude-x, litellm_credential_name: c, use_in_pass_through: true}}]\n${master}`;
    expect(lentBy(good(text))).toEqual({ vertex: { project: "p", location: "eu", credential: "provider" } });
  });
});

describe("default_vertex_config and the environment", () => {
  const list = `model_list: [{${opus}}]\n`;

  it("lend a login to the paths, the section's values first", () => {
    const section = "default_vertex_config: {vertex_project: os.environ/P, vertex_location: us-east5, vertex_credentials: google.json}\n";
    const config = good(list + section + master, { P: "p", DEFAULT_VERTEXAI_PROJECT: "no", VERTEXAI_LOCATION: "no" });
    expect(lentBy(config)).toEqual({ vertex: { project: "p", location: "us-east5", credentials: "/etc/gateway/google.json", credential: "provider" } });
    expect(remarks(config)).toEqual([]);
    expect(config.models.map(({ name }) => name)).toEqual(["claude-opus"]);
  });

  it.each<[string, string, Record<string, unknown>]>([
    ["JSON", `'${json}'`, { credentials: json }],
    ["a mapping", "{type: authorized_user}", { credentials: '{"type":"authorized_user"}' }],
    ["nothing", "null", {}],
  ])("take credentials as %s, and what is left out from DEFAULT_… and VERTEXAI_…", (_, credentials, expected) => {
    const config = good(`${list}default_vertex_config: {vertex_credentials: ${credentials}}\n${master}`, { DEFAULT_VERTEXAI_PROJECT: "p", VERTEXAI_LOCATION: "eu" });
    expect(lentBy(config)).toEqual({ vertex: { project: "p", location: "eu", ...expected, credential: "provider" } });
  });

  it.each<[Environment, Record<string, unknown>]>([
    [{ DEFAULT_VERTEXAI_PROJECT: "p", DEFAULT_VERTEXAI_LOCATION: "eu", DEFAULT_GOOGLE_APPLICATION_CREDENTIALS: "/d.json" }, { project: "p", location: "eu", credentials: "/d.json" }],
    [{ DEFAULT_GOOGLE_APPLICATION_CREDENTIALS: json }, { location: "global", credentials: json }],
    [{ DEFAULT_VERTEXAI_PROJECT: "p", VERTEXAI_PROJECT: "other", VERTEXAI_LOCATION: "eu" }, { project: "p", location: "eu" }],
  ])("lend by variables alone, which the start names: %j", (env, expected) => {
    const config = good(list + master, env);
    expect(lentBy(config)).toEqual({ vertex: { ...expected, credential: "provider" } });
    expect(remarks(config)).toHaveLength(1);
    for (const name of Object.keys(env).filter((known) => known.startsWith("DEFAULT_"))) expect(remarks(config)[0]).toContain(name);
  });

  it("lend Bedrock where AWS_REGION_NAME says its region, which the start names", () => {
    const config = good(list + master, { AWS_REGION_NAME: "us-east-1", AWS_BEDROCK_RUNTIME_ENDPOINT: "https://vpce.example.com", AWS_REGION: "eu-west-1" });
    expect(lentBy(config)).toEqual({ bedrock: { region: "us-east-1", endpoint: "https://vpce.example.com", credential: "provider" } });
    expect(remarks(config)).toEqual([expect.stringContaining("AWS_REGION_NAME")]);
  });

  it("lend nothing by variables that mean more than these paths", () => {
    const env = { VERTEXAI_PROJECT: "p", VERTEXAI_LOCATION: "eu", GOOGLE_APPLICATION_CREDENTIALS: "/a.json", GOOGLE_CLOUD_PROJECT: "g", AWS_REGION: "us-east-1", AWS_DEFAULT_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "s" };
    const config = good(list + master, env);
    expect([config.lent.size, remarks(config)]).toEqual([0, []]);
  });

  it("step back behind an entry that lends, and say so", () => {
    const config = good(`${entry("model: vertex_ai/claude-x, vertex_project: p, use_in_pass_through: true")}default_vertex_config: {vertex_project: d}\n`);
    expect(lentBy(config)).toEqual({ vertex: { project: "p", location: "global", credential: "provider" } });
    expect(remarks(config)).toEqual(["default_vertex_config: has no use: an entry with `use_in_pass_through` lends its login to these paths already"]);
  });

  it("are enough for a file without a model", () => {
    const config = good(`default_vertex_config: {vertex_project: p}\n${master}`);
    expect([config.source.kind, config.models.length, [...config.lent.keys()]]).toEqual(["litellm", 0, ["vertex"]]);
    expect(faults(`model_list: []\n${master}`)).toEqual(["model_list: is empty: name at least one model"]);
    expect(faults(`${master}`)).toEqual(["model_list: is empty: name at least one model"]);
  });

  it.each([
    ["default_vertex_config: {vertex_projct: p}\n", "default_vertex_config.vertex_projct: unknown key; did you mean `vertex_project`?"],
    ["default_vertex_config: {vertex_location: 'a/b'}\n", "default_vertex_config.vertex_location: must be `global`, `us`, `eu` or a region"],
    ["default_vertex_config: {vertex_project: os.environ/NOPE}\n", "default_vertex_config.vertex_project: the environment variable NOPE is not set"],
    ["default_vertex_config: p\n", "default_vertex_config: must be a mapping of keys to values"],
  ])("are told what is wrong with %j", (section, expected) => {
    expect(faults(list + section + master)).toEqual([expected]);
  });

  it("of another format change nothing", () => {
    const config = good("providers: {a: {kind: anthropic, api_key: k}}\nmodels: [{name: claude-*, provider: a}]\n", { DEFAULT_VERTEXAI_PROJECT: "p", AWS_REGION_NAME: "us-east-1" }, {}, "/etc/tollgate.yaml");
    expect([config.lent.size, [...config.providers.keys()]]).toEqual([0, ["a"]]);
  });
});

describe("litellm_key_header_name", () => {
  const named = "general_settings: {master_key: sk-Zq81mKp0Lx72VbNw, litellm_key_header_name: X-Team-Key}\n";

  it("without any Vertex AI login lends the clients' own, with no setting of the environment, and says so in one line", () => {
    const config = good(`model_list: [{${opus}}]\n${named}`, { VERTEXAI_PROJECT: "p", VERTEXAI_LOCATION: "eu", GOOGLE_APPLICATION_CREDENTIALS: "/a.json" });
    expect(lentBy(config)).toEqual({ vertex: { location: "global", credential: "client" } });
    expect(remarks(config)).toEqual(["general_settings.litellm_key_header_name: no Vertex AI login is configured, so `/vertex_ai` sends a client's own Google token to Google's host for the project and location of the URL, for models that `model_list` does not have; the gateway's key goes to nobody"]);
    const [model] = config.lent.values();
    expect(providers["vertex"]!.destination(config.providers.get(model!.targets[0]!.provider)!.settings).origin).toBe("https://aiplatform.googleapis.com");
  });

  it.each<[string, string, Environment]>([
    ["an entry of Vertex AI", `model_list: [{model_name: claude-x, litellm_params: {model: vertex_ai/claude-x, vertex_project: p}}]\n${named}`, {}],
    ["default_vertex_config", `model_list: [{${opus}}]\ndefault_vertex_config: {vertex_project: p}\n${named}`, {}],
    ["its variables", `model_list: [{${opus}}]\n${named}`, { DEFAULT_VERTEXAI_PROJECT: "p" }],
  ])("lends no client's login beside %s", (_, text, env) => {
    for (const { targets } of good(text, env).lent.values()) expect(targets[0]!.credential).toBe("provider");
  });

  it("is what does it: without it nothing is lent", () => {
    expect(good(`model_list: [{${opus}}]\n${master}`).lent.size).toBe(0);
  });
});

it("each key in use here is called supported", () => {
  const text = `${entry(`model: bedrock/claude-x, ${region}, aws_bedrock_runtime_endpoint: "https://v.example.com", aws_access_key_id: A, aws_secret_access_key: s, aws_session_token: t, aws_profile_name: p, aws_role_name: "${role}", aws_session_name: nn, aws_external_id: ee, aws_sts_endpoint: "https://s.example.com", aws_web_identity_token: /t, use_in_pass_through: true`)}default_vertex_config: {vertex_project: p}\n`;
  const { keys } = load(text);
  expect(keys.length).toBeGreaterThan(15);
  for (const { key, verdict } of keys) expect([key, verdict]).toEqual([key, "supported"]);
});
