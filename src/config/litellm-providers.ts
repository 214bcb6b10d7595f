/**
 * LiteLLM's names of the places that serve Claude, and what its parameters mean to our providers. One row a place; the rest of
 * the loader knows none of them by name. Parameters: BerriAI/litellm docs, providers/{anthropic,bedrock,vertex,azure_ai},
 * checked 2026-11.
 */
import type { Field, FieldReader } from "./litellm-values.ts";

/** A setting of ours, and where LiteLLM's file or environment has it. */
interface SettingSource {
  readonly setting: string;
  /** Members of `litellm_params`, first one wins. */
  readonly params: readonly string[];
  /** Environment names LiteLLM falls back to, in order. */
  readonly env?: readonly string[];
  readonly read?: "json";
  /** Brings the value into our form; the text names what was changed, for a warning. */
  readonly normal?: (text: string) => { readonly value: string; readonly leftOut: string };
}

export interface LiteLlmProvider {
  /** Before the first slash of `litellm_params.model`, or `custom_llm_provider`. */
  readonly prefix: string;
  /** Kind of our provider. */
  readonly kind: string;
  /** Further parts of the prefix that only choose among LiteLLM's own ways to the same models. */
  readonly routes: readonly string[];
  readonly settings: readonly SettingSource[];
  /** Any one of these settings must be there; undefined: the place finds a login by itself. */
  readonly required: { readonly setting: string; readonly param: string; readonly env: string } | undefined;
}

const bases = (suffix: RegExp) => (text: string): { readonly value: string; readonly leftOut: string } => {
  const trimmed = text.replace(/\/+$/, "");
  const value = trimmed.replace(suffix, "");
  return { value, leftOut: trimmed.slice(value.length) };
};

export const litellmProviders: readonly LiteLlmProvider[] = [
  {
    prefix: "anthropic",
    kind: "anthropic",
    routes: [],
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
    settings: [
      { setting: "region", params: ["aws_region_name"], env: ["AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"] },
      { setting: "endpoint", params: ["aws_bedrock_runtime_endpoint", "api_base"], env: ["AWS_BEDROCK_RUNTIME_ENDPOINT"] },
      { setting: "api_key", params: ["api_key"], env: ["AWS_BEARER_TOKEN_BEDROCK"] },
      { setting: "access_key_id", params: ["aws_access_key_id"] },
      { setting: "secret_access_key", params: ["aws_secret_access_key"] },
      { setting: "session_token", params: ["aws_session_token"] },
      { setting: "profile", params: ["aws_profile_name"] },
      { setting: "role_arn", params: ["aws_role_name"] },
      { setting: "role_session_name", params: ["aws_session_name"] },
      { setting: "external_id", params: ["aws_external_id"] },
      { setting: "web_identity_token_file", params: ["aws_web_identity_token"] },
      { setting: "sts_endpoint", params: ["aws_sts_endpoint"] },
    ],
    required: { setting: "region", param: "aws_region_name", env: "AWS_REGION_NAME" },
  },
  {
    prefix: "vertex_ai",
    kind: "vertex",
    routes: [],
    settings: [
      { setting: "project", params: ["vertex_project", "vertex_ai_project"], env: ["VERTEXAI_PROJECT", "DEFAULT_VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT"] },
      { setting: "location", params: ["vertex_location", "vertex_ai_location"], env: ["VERTEXAI_LOCATION", "DEFAULT_VERTEXAI_LOCATION"] },
      { setting: "credentials", params: ["vertex_credentials", "vertex_ai_credentials"], env: ["VERTEXAI_CREDENTIALS", "DEFAULT_GOOGLE_APPLICATION_CREDENTIALS"], read: "json" },
      { setting: "base_url", params: ["api_base"] },
    ],
    required: { setting: "project", param: "vertex_project", env: "VERTEXAI_PROJECT" },
  },
  {
    prefix: "azure_ai",
    kind: "foundry",
    routes: [],
    settings: [
      { setting: "api_key", params: ["api_key"], env: ["AZURE_AI_API_KEY"] },
      { setting: "base_url", params: ["api_base"], env: ["AZURE_AI_API_BASE"], normal: bases(/\/v1(?:\/messages)?$/) },
    ],
    required: { setting: "base_url", param: "api_base", env: "AZURE_AI_API_BASE" },
  },
];

/** What an entry says of its place, in our words. */
export interface ReadSettings {
  readonly settings: Readonly<Record<string, string>>;
  /** Where each setting was written, for complaints; absent for what came from the environment. */
  readonly fields: ReadonlyMap<string, Field>;
  readonly leftOut: readonly { readonly field: Field; readonly text: string }[];
}

/** @param param a parameter of the entry, or of the credential it names */
export function readSettings(provider: LiteLlmProvider, param: (name: string) => Field | undefined, read: FieldReader, env: Readonly<Record<string, string | undefined>>): ReadSettings {
  const settings: Record<string, string> = {};
  const fields = new Map<string, Field>();
  const leftOut: { field: Field; text: string }[] = [];
  for (const source of provider.settings) {
    const field = source.params.map(param).find((found) => found !== undefined);
    if (field !== undefined) {
      const text = source.read === "json" && field.node.kind === "map" ? JSON.stringify(plainOf(field.node)) : read.text(field);
      if (text === undefined) continue;
      const normal = source.normal?.(text);
      if (normal !== undefined && normal.leftOut !== "") leftOut.push({ field, text: normal.leftOut });
      settings[source.setting] = normal?.value ?? text;
      fields.set(source.setting, field);
      continue;
    }
    const value = source.env?.map((name) => env[name]).find((found) => found !== undefined && found !== "");
    if (value !== undefined) settings[source.setting] = source.normal?.(value).value ?? value;
  }
  return { settings, fields, leftOut };
}

/** A mapping of plain values, as `vertex_credentials` may be one. */
function plainOf(node: Field["node"]): unknown {
  if (node.kind === "map") return Object.fromEntries([...node.entries].map(([name, { value }]) => [name, plainOf(value)]));
  if (node.kind === "list") return node.items.map(plainOf);
  return node.value;
}
