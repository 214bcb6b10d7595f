/**
 * LiteLLM's names of the places that serve Claude, and what its parameters mean to our providers. One row a place; the rest of
 * the loader knows none of them by name. Parameters: BerriAI/litellm docs, providers/{anthropic,bedrock,vertex,azure_ai};
 * environment and order: litellm/llms/bedrock/base_aws_llm.py, vertex_ai/vertex_llm_base.py, azure_ai/; checked 2026-11.
 */
import type { Field, FieldReader } from "./litellm-values.ts";
import { withFullPaths } from "./providers.ts";

/** A setting of ours, and where LiteLLM's file or environment has it. */
interface SettingSource {
  readonly setting: string;
  /** Members of `litellm_params`, first one wins. */
  readonly params: readonly string[];
  /** Environment names LiteLLM falls back to, in order. */
  readonly env?: readonly string[];
  readonly read?: "json";
  /** Brings the value into our form, or says why it cannot be used. */
  readonly normal?: (text: string, env: Environment) => Normal | { readonly fault: string };
  /** What the model's name at the place tells; goes before the environment. */
  readonly fromModel?: (name: string) => string | undefined;
}

/** A value in our form; `leftOut` names what was cut off, for a warning. */
interface Normal {
  readonly value: string;
  readonly leftOut: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export interface LiteLlmProvider {
  /** Before the first slash of `litellm_params.model`, or `custom_llm_provider`. */
  readonly prefix: string;
  /** Kind of our provider. */
  readonly kind: string;
  /** Further parts of the prefix that only choose among LiteLLM's own ways to the same models. */
  readonly routes: readonly string[];
  /** Names here that lead to other APIs of the place. */
  readonly otherApis?: RegExp;
  /** `use_in_pass_through` means something here: the place has paths of its own. */
  readonly hasOwnPaths: boolean;
  readonly settings: readonly SettingSource[];
  /** Any one of these settings must be there; undefined: the place finds a login by itself. */
  readonly required: { readonly setting: string; readonly param: string; readonly env: string } | undefined;
}

/** A base address without what the gateway adds. */
const bases = (suffix: RegExp) => (text: string): Normal => {
  const trimmed = text.replace(/\/+$/, "");
  const value = trimmed.replace(suffix, "");
  return { value, leftOut: trimmed.slice(value.length) };
};

/**
 * LiteLLM's references to identity tokens. Only those that lead to a file are taken: a token ends within the hour, and a file is
 * read anew at each login (https://docs.litellm.ai/docs/oidc, checked 2026-11).
 */
function tokenFile(text: string, env: Environment): Normal | { readonly fault: string } {
  const [, kind, rest = ""] = /^oidc\/([a-z_]+)\/(.*)$/s.exec(text) ?? [];
  if (kind === "file" && rest !== "") return { value: rest, leftOut: "" };
  const path = kind === "env_path" ? env[rest] : undefined;
  if (path !== undefined && path !== "") return { value: path, leftOut: "" };
  if (kind === "env_path") return { fault: "the environment variable of this `oidc/env_path/…` is not set or empty" };
  if (kind === undefined && !text.startsWith("eyJ")) return { value: text, leftOut: "" };
  return { fault: "must lead to a file with the token, by its path, `oidc/file/PATH` or `oidc/env_path/NAME`; other tokens are not read by this build" };
}

/** An ARN names its region, and is served nowhere else. */
function arnRegion(name: string): string | undefined {
  return /^arn:aws[a-z-]*:bedrock:([a-z0-9-]+):/.exec(name)?.[1];
}

export const litellmProviders: readonly LiteLlmProvider[] = [
  {
    prefix: "anthropic",
    kind: "anthropic",
    routes: [],
    hasOwnPaths: false,
    settings: [
      { setting: "api_key", params: ["api_key"], env: ["ANTHROPIC_API_KEY"] },
      { setting: "base_url", params: ["api_base"], normal: bases(/\/v1(?:\/messages)?$/) },
    ],
    required: { setting: "api_key", param: "api_key", env: "ANTHROPIC_API_KEY" },
  },
  {
    prefix: "bedrock",
    kind: "bedrock",
    routes: ["invoke", "converse"],
    otherApis: /^(?!arn:)[^/]*\//,
    hasOwnPaths: true,
    settings: [
      { setting: "region", params: ["aws_region_name", "region_name"], fromModel: arnRegion, env: ["AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"] },
      { setting: "endpoint", params: ["api_base", "aws_bedrock_runtime_endpoint"], env: ["AWS_BEDROCK_RUNTIME_ENDPOINT"] },
      { setting: "api_key", params: ["api_key"], env: ["AWS_BEARER_TOKEN_BEDROCK"] },
      { setting: "access_key_id", params: ["aws_access_key_id"] },
      { setting: "secret_access_key", params: ["aws_secret_access_key"] },
      { setting: "session_token", params: ["aws_session_token"] },
      { setting: "profile", params: ["aws_profile_name"], env: ["AWS_PROFILE_NAME"] },
      { setting: "role_arn", params: ["aws_role_name"], env: ["AWS_ROLE_NAME"] },
      { setting: "role_session_name", params: ["aws_session_name"], env: ["AWS_SESSION_NAME"] },
      { setting: "external_id", params: ["aws_external_id"], env: ["AWS_EXTERNAL_ID"] },
      { setting: "web_identity_token_file", params: ["aws_web_identity_token"], env: ["AWS_WEB_IDENTITY_TOKEN"], normal: tokenFile },
      { setting: "sts_endpoint", params: ["aws_sts_endpoint"], env: ["AWS_STS_ENDPOINT"] },
    ],
    required: { setting: "region", param: "aws_region_name", env: "AWS_REGION_NAME" },
  },
  {
    prefix: "vertex_ai",
    kind: "vertex",
    routes: [],
    hasOwnPaths: true,
    settings: [
      { setting: "project", params: ["vertex_project", "vertex_ai_project", "project"], env: ["VERTEXAI_PROJECT"] },
      { setting: "location", params: ["vertex_location", "vertex_ai_location", "region_name"], env: ["VERTEXAI_LOCATION", "VERTEX_LOCATION"] },
      { setting: "credentials", params: ["vertex_credentials", "vertex_ai_credentials"], env: ["VERTEXAI_CREDENTIALS"], read: "json" },
      { setting: "base_url", params: ["api_base"] },
    ],
    required: undefined,
  },
  {
    prefix: "azure_ai",
    kind: "foundry",
    routes: [],
    hasOwnPaths: false,
    settings: [
      { setting: "api_key", params: ["api_key"], env: ["AZURE_AI_API_KEY", "AZURE_API_KEY"] },
      { setting: "base_url", params: ["api_base"], env: ["AZURE_AI_API_BASE", "AZURE_API_BASE"], normal: bases(/\/v1(?:\/messages)?$/) },
    ],
    required: { setting: "base_url", param: "api_base", env: "AZURE_AI_API_BASE" },
  },
];

/** What an entry says of its place, in our words. */
export interface ReadSettings {
  readonly settings: Readonly<Record<string, string>>;
  /** Where each setting was written, for complaints; absent for what came from the environment. */
  readonly fields: ReadonlyMap<string, Field>;
  /** Which variable of the environment gave it, for the others. */
  readonly variables: ReadonlyMap<string, string>;
  readonly leftOut: readonly { readonly field: Field; readonly text: string }[];
  /** Values that cannot be used; without a field where the environment has them. */
  readonly faults: readonly { readonly field: Field | undefined; readonly message: string }[];
}

/** Where an entry's settings are looked for. */
export interface SettingsSource {
  /** A parameter of the entry, or of the credential it names. */
  readonly param: (name: string) => Field | undefined;
  /** The model's name at the place; undefined: no particular one. */
  readonly model: string | undefined;
  readonly read: FieldReader;
  readonly env: Environment;
}

/** Paths that stand in a file begin at that file's folder; those of the environment are left as they are. */
export function readSettings(provider: LiteLlmProvider, { param, model, read, env }: SettingsSource): ReadSettings {
  const settings: Record<string, string> = {};
  const fields = new Map<string, Field>();
  const variables = new Map<string, string>();
  const leftOut: { field: Field; text: string }[] = [];
  const faults: { field: Field | undefined; message: string }[] = [];
  for (const { setting, params, env: names, read: how, normal, fromModel } of provider.settings) {
    const field = params.map(param).find((found) => found !== undefined);
    const variable = field === undefined ? names?.find((name) => env[name] !== undefined && env[name] !== "") : undefined;
    const told = field === undefined && model !== undefined ? fromModel?.(model) : undefined;
    const written = how === "json" && field?.node.kind === "map" ? JSON.stringify(plainOf(field.node)) : read.text(field);
    const text = written ?? told ?? (variable === undefined ? undefined : env[variable]);
    if (text === undefined) continue;
    const found = normal?.(text, env) ?? { value: text, leftOut: "" };
    if (field !== undefined) fields.set(setting, field);
    else if (variable !== undefined) variables.set(setting, variable);
    if ("fault" in found) {
      faults.push({ field, message: field === undefined ? `the environment variable ${variable ?? ""} ${found.fault}` : found.fault });
      continue;
    }
    if (field !== undefined && found.leftOut !== "") leftOut.push({ field, text: found.leftOut });
    Object.assign(settings, field === undefined ? { [setting]: found.value } : withFullPaths({ [setting]: found.value }, field.node.place.file));
  }
  return { settings, fields, variables, leftOut, faults };
}

/** A mapping of plain values, as `vertex_credentials` may be one. */
function plainOf(node: Field["node"]): unknown {
  if (node.kind === "map") return Object.fromEntries([...node.entries].map(([name, { value }]) => [name, plainOf(value)]));
  if (node.kind === "list") return node.items.map(plainOf);
  return node.value;
}
