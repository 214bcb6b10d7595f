/**
 * Every key that LiteLLM's `config.yaml` has, and what this build does with it. Names: LiteLLM's own settings reference and
 * source, v1.81 to v1.105 (checked 2026-11-23). A key that only allows or forbids something (a limit, a budget, a rule of
 * access) is marked as restricting: dropping it in silence would open what an operator closed.
 */
import { keyRows, type KeyRow, type KeySection } from "./litellm-key-row.ts";
import { generalKeys, litellmSettingsKeys } from "./litellm-keys-settings.ts";

const topKeys: readonly KeyRow[] = [
  ...keyRows("top", "supported", "model_list", "models and their upstreams; may be absent where a login is lent to the clouds' own paths"),
  ...keyRows("top", "supported", "litellm_settings router_settings general_settings", "read key by key, see below"),
  ...keyRows("top", "supported", "environment_variables", "variables for the rest of the file; they win over the process's own"),
  ...keyRows("top", "supported", "include", "further files, relative to the one that names them"),
  ...keyRows("top", "supported", "credential_list", "credentials by name, for `litellm_credential_name`"),
  ...keyRows("top", "supported", "tollgate", "sections of `tollgate.yaml` that LiteLLM has no word for: listen, egress, store, spending, budgets, webhook, rate_limits, limits, timeouts, logging, metrics, forward"),
  ...keyRows("top", "not_yet", "!guardrails !policies", "content rules are not checked yet"),
  ...keyRows("top", "supported", "default_vertex_config", "login of `/vertex_ai` for Claude models that `model_list` does not have; what it leaves out: DEFAULT_VERTEXAI_PROJECT, DEFAULT_VERTEXAI_LOCATION, DEFAULT_GOOGLE_APPLICATION_CREDENTIALS"),
  ...keyRows("top", "ignored", "mcp_servers mcp_semantic_tool_filter mcp_tools", "no MCP gateway: clients reach their MCP servers themselves"),
  ...keyRows("top", "ignored", "prompts vector_store_registry search_tools agents", "requests pass as the client wrote them; nothing is added"),
  ...keyRows("top", "ignored", "files_settings finetune_settings assistant_settings", "these APIs are not served"),
  ...keyRows("top", "ignored", "callback_settings", "no callbacks run; the ledger and the log have what they would get"),
  ...keyRows("top", "ignored", "worker_registry", "one process serves all"),
];

const modelKeys: readonly KeyRow[] = [
  ...keyRows("model", "supported", "model_name", "public name, or a pattern with one `*`; several entries of one name serve it together"),
  ...keyRows("model", "supported", "litellm_params model_info", "read key by key, see below"),
];

const paramKeys: readonly KeyRow[] = [
  ...keyRows("params", "supported", "model", "`anthropic/NAME` or a bare Claude name, `bedrock/NAME` (also `bedrock/invoke/…`, `bedrock/converse/…`), `vertex_ai/NAME`, `azure_ai/NAME`; an entry of another provider is an error"),
  ...keyRows("params", "supported", "custom_llm_provider", "in place of the prefix of `model`"),
  ...keyRows("params", "supported", "api_key", "the upstream's key; absent: ANTHROPIC_API_KEY for `anthropic/…`, AWS_BEARER_TOKEN_BEDROCK for `bedrock/…`, AZURE_AI_API_KEY or AZURE_API_KEY for `azure_ai/…`; means nothing for `vertex_ai/…`"),
  ...keyRows("params", "supported", "api_base", "the upstream's address; of `anthropic/…` and `azure_ai/…`, `/v1` and `/v1/messages` at its end are cut off. Absent: AZURE_AI_API_BASE or AZURE_API_BASE for `azure_ai/…`, else the place's own"),
  ...keyRows("params", "supported", "timeout", "to the first byte of a plain reply, and of a stream without `stream_timeout`"),
  ...keyRows("params", "supported", "stream_timeout", "to the first byte of a streamed reply"),
  ...keyRows("params", "supported", "extra_headers", "added to each call"),
  ...keyRows("params", "supported", "litellm_credential_name", "fills in what the entry itself does not say"),
  ...keyRows("params", "supported", "input_cost_per_token output_cost_per_token cache_read_input_token_cost cache_creation_input_token_cost cache_creation_input_token_cost_above_1hr", "own price, exact"),
  ...keyRows("params", "not_yet", "*_cost_per_* *_token_cost* *_token_cost", "this price is not read; the price book's counts"),
  ...keyRows("params", "supported", "rpm tpm itpm otpm max_parallel_requests", "limits of this entry; `tpm` counts input and output, and cache reads unless `tollgate.rate_limits.count_cache_reads` is false"),
  ...keyRows("params", "supported", "default_api_key_tpm_limit default_api_key_rpm_limit", "limits of each key that has none of its own for this model"),
  ...keyRows("params", "supported", "max_budget budget_duration", "budget of this entry; calls that it has no room for go to the next one"),
  ...keyRows("params", "supported", "weight", "share of the calls among entries of one name; where no entry has it, `rpm` or `tpm` count, and where none has these, all are alike"),
  ...keyRows("params", "supported", "order", "entries of a lower one are tried first; those without come last"),
  ...keyRows("params", "supported", "tags", "for callers with one of these tags, with `router_settings.enable_tag_filtering`"),
  ...keyRows("params", "not_yet", "tag_regex", "only tags decide who gets which entry"),
  ...keyRows("params", "not_yet", "max_retries num_retries", "use `router_settings.num_retries`"),
  ...keyRows("params", "supported", "aws_region_name", "region of `bedrock/…`; absent: that of an ARN, AWS_REGION_NAME, AWS_REGION, AWS_DEFAULT_REGION, and no other"),
  ...keyRows("params", "supported", "aws_bedrock_runtime_endpoint", "address of `bedrock/…`, after `api_base`; absent: AWS_BEDROCK_RUNTIME_ENDPOINT, else the region's"),
  ...keyRows("params", "supported", "aws_access_key_id aws_secret_access_key aws_session_token", "keys of `bedrock/…`; absent: the chain of AWS's own clients"),
  ...keyRows("params", "supported", "aws_profile_name aws_role_name aws_session_name aws_external_id aws_sts_endpoint", "login of `bedrock/…`; absent: the variable of the same name in capitals"),
  ...keyRows("params", "supported", "aws_web_identity_token", "file with the token that `aws_role_name` is assumed with: its path, `oidc/file/PATH` or `oidc/env_path/NAME`; absent: AWS_WEB_IDENTITY_TOKEN"),
  ...keyRows("params", "supported", "vertex_project vertex_ai_project", "project of `vertex_ai/…`; absent: VERTEXAI_PROJECT, else the one of the login"),
  ...keyRows("params", "supported", "vertex_location vertex_ai_location", "location of `vertex_ai/…`; absent: VERTEXAI_LOCATION, VERTEX_LOCATION, else `global`"),
  ...keyRows("params", "supported", "region_name project", "further names of `aws_region_name` or `vertex_location`, and of `vertex_project`"),
  ...keyRows("params", "supported", "vertex_credentials vertex_ai_credentials", "login of `vertex_ai/…`: a path, the file's JSON, or a mapping; absent: VERTEXAI_CREDENTIALS, else Application Default Credentials"),
  ...keyRows("params", "not_yet", "aws_* vertex_* azure_* api_version tenant_id client_id client_secret", "no such part of that place yet"),
  ...keyRows("params", "supported", "use_in_pass_through", "of `bedrock/…` and `vertex_ai/…`: this login serves `/bedrock` and `/vertex_ai` for Claude models that `model_list` does not have; the first entry of a place counts"),
  ...keyRows("params", "supported", "ttft_timeout", "as `stream_timeout`, before which it counts"),
  ...keyRows("params", "supported", "stream_idle_timeout", "between two bytes of a reply"),
  ...keyRows("params", "not_yet", "auto_router_* complexity_router_* adaptive_router_* quality_router_*", "the client's model is the one that is asked"),
  ...keyRows("params", "not_yet", "!mock_response !mock_timeout", "the real upstream would be asked, and paid"),
  ...keyRows("params", "not_yet", "extra_body", "nothing is added to a request body"),
  ...keyRows("params", "ignored", "drop_params additional_drop_params allowed_openai_params merge_reasoning_content_in_choices cache_control_injection_points", "request bodies pass as the client wrote them"),
  ...keyRows("params", "ignored", "configurable_clientside_auth_params", "a client never chooses where a request goes, nor with what credential"),
  ...keyRows("params", "ignored", "keepalive_seconds allow_client_keepalive_override", "every silent stream gets pings, see `tollgate.timeouts.ping`"),
  ...keyRows("params", "ignored", "organization", "means nothing to Anthropic"),
];

const infoKeys: readonly KeyRow[] = [
  ...keyRows("info", "supported", "id", "stable id of the entry, shown as `x-litellm-model-id`"),
  ...keyRows("info", "supported", "base_model", "model whose price counts"),
  ...keyRows("info", "supported", "mode", "`chat`, `completion` and `responses` mean nothing more here; others get a warning"),
  ...keyRows("info", "supported", "access_groups", "names that a key's list of models may hold instead of the model"),
  ...keyRows("info", "not_yet", "!team_id team_public_model_name", "models are not tied to teams yet"),
  ...keyRows("info", "not_yet", "!supported_environments", "an entry is not limited to an environment yet"),
  ...keyRows("info", "not_yet", "*_cost_per_* *_token_cost* *_token_cost", "write it under `litellm_params`, the only place where LiteLLM reads it since 1.102"),
  ...keyRows("info", "not_yet", "cooldown_time", "`router_settings.cooldown_time` is for all entries"),
  ...keyRows("info", "supported", "max_input_tokens", "with `router_settings.enable_pre_call_checks`: calls whose prompt is likely to be longer go to another entry, where there is one"),
  ...keyRows("info", "ignored", "max_tokens max_output_tokens", "the upstream knows its limits"),
  ...keyRows("info", "ignored", "tier version description supports_* litellm_provider", "for display only"),
  ...keyRows("info", "ignored", "health_check_* disable_background_health_check", "no paid probes are sent"),
];

const routerKeys: readonly KeyRow[] = [
  ...keyRows("router", "supported", "model_group_alias", "further names, hidden ones served but not listed"),
  ...keyRows("router", "supported", "routing_strategy", "`simple-shuffle` (also when absent), `least-busy`, `latency-based-routing`; `usage-based-routing` and its v2 are served as `least-busy`, `cost-based-routing` is an error. Whatever it is, a session stays where its prompt cache is warm"),
  ...keyRows("router", "supported", "routing_groups", "strategies of single models"),
  ...keyRows("router", "ignored", "routing_strategy_args", "averages are of the last minutes"),
  ...keyRows("router", "ignored", "enable_weighted_failover", "always so"),
  ...keyRows("router", "not_yet", "default_priority polling_interval default_litellm_params", "write parameters at each entry; calls are not queued"),
  ...keyRows("router", "supported", "num_retries", "how often a target is tried again when no other entry is left; other entries are always tried"),
  ...keyRows("router", "supported", "retry_policy", "the same by failure: `TimeoutErrorRetries`, `RateLimitErrorRetries`, `InternalServerErrorRetries`; what blames the request or a login is not tried again at the same place"),
  ...keyRows("router", "ignored", "retry_after", "waits are random and grow, and are never shorter than an upstream's `retry-after`"),
  ...keyRows("router", "not_yet", "model_group_retry_policy", "`retry_policy` is for all models"),
  ...keyRows("router", "supported", "fallbacks context_window_fallbacks content_policy_fallbacks", "models that step in, by the name of the one that failed, `*` for all; each must be allowed to the key and have room in its budgets, and is told in `x-tollgate-fallback-from`. A session with a warm prompt cache gets none, unless `tollgate.routing.fall_back_in_sessions` says so"),
  ...keyRows("router", "supported", "default_fallbacks", "models that step in for all that have no `fallbacks` of their own"),
  ...keyRows("router", "supported", "max_fallbacks", "models that step in for one call at the most"),
  ...keyRows("router", "supported", "allowed_fails allowed_fails_policy", "failures in a row after which an entry is left alone, in all or by failure"),
  ...keyRows("router", "supported", "cooldown_time", "for how long; then one call is let through to see. 0: never left alone"),
  ...keyRows("router", "supported", "disable_cooldowns", "entries that fail are not left alone"),
  ...keyRows("router", "ignored", "enable_health_check_routing health_check_staleness_threshold health_check_ignore_transient_errors background_health_check_model_groups", "real calls tell which entry is well; no paid probes are sent"),
  ...keyRows("router", "supported", "enable_pre_call_checks", "see `model_info.max_input_tokens`; a prompt that is too long after all is for `context_window_fallbacks`"),
  ...keyRows("router", "ignored", "optional_pre_call_checks", "sessions stay where their prompt cache is warm, and budgets and limits of entries bind, always; headers pass by a fixed list"),
  ...keyRows("router", "supported", "enable_tag_filtering", "callers' tags (`x-litellm-tags`, the key's) decide who gets which entry"),
  ...keyRows("router", "supported", "tag_filtering_match_any", "`false`: an entry must have all of a caller's tags"),
  ...keyRows("router", "not_yet", "tag_routing_prefix", "every tag of a caller counts"),
  ...keyRows("router", "supported", "provider_budget_config", "budget of a provider, `{PREFIX: {budget_limit, time_period}}`; an error where the file has several addresses or logins for it"),
  ...keyRows("router", "supported", "default_max_parallel_requests", "calls at once of each entry, where `general_settings.max_parallel_requests` does not say it"),
  ...keyRows("router", "ignored", "deployment_affinity_ttl_seconds", "a session stays for as long as its prompt cache lives: five minutes or an hour after the last hit"),
  ...keyRows("router", "supported", "timeout stream_timeout ttft_timeout stream_idle_timeout", "for entries without their own"),
  ...keyRows("router", "ignored", "redis_host redis_port redis_password redis_db redis_url redis_ssl cache_kwargs cache_responses caching_groups client_ttl", "no Redis is needed, and replies are not cached"),
  ...keyRows("router", "ignored", "ignore_invalid_deployments", "an entry that cannot work is an error at the start"),
  ...keyRows("router", "ignored", "set_verbose debug_level", "see `tollgate.logging.level`"),
];

const credentialKeys: readonly KeyRow[] = [
  ...keyRows("credential", "supported", "credential_name credential_values", "see `credential_list`"),
  ...keyRows("credential", "ignored", "credential_info", "for display only"),
];

/** The whole table, in the order of the reference page. */
export const litellmKeys: readonly KeyRow[] = [...topKeys, ...modelKeys, ...paramKeys, ...infoKeys, ...credentialKeys, ...routerKeys, ...litellmSettingsKeys, ...generalKeys];

/** Path of a section as it is shown. */
export const sectionPrefixes: Readonly<Record<KeySection, string>> = {
  top: "",
  model: "model_list[].",
  params: "model_list[].litellm_params.",
  info: "model_list[].model_info.",
  credential: "credential_list[].",
  router: "router_settings.",
  litellm: "litellm_settings.",
  general: "general_settings.",
};

/** Names only; the pattern rows apply to what has no row of its own. */
const exactRows = new Map(litellmKeys.filter(({ name }) => !name.includes("*")).map((row) => [`${row.section}:${row.name}`, row]));
const patternRows = litellmKeys
  .filter(({ name }) => name.includes("*"))
  .map((row) => ({ row, pattern: new RegExp(`^${row.name.split("*").join(".*")}$`) }));

/** @returns undefined for a name that LiteLLM does not have there */
export function keyRow(section: KeySection, name: string): KeyRow | undefined {
  return exactRows.get(`${section}:${name}`) ?? patternRows.find(({ row, pattern }) => row.section === section && pattern.test(name))?.row;
}

/** Names of a section, for suggestions. */
export function keyNames(section: KeySection): readonly string[] {
  return litellmKeys.filter((row) => row.section === section && !row.name.includes("*")).map(({ name }) => name);
}
