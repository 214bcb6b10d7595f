/** The settings of a configuration that stand by themselves, under the keys that an operator writes for them. */
import { Secret } from "../kernel/secret.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { formatDuration } from "./values.ts";

/** Members whose key is not just theirs in other letters. */
const keys: Readonly<Record<string, string>> = {
  "listen.is_public": "listen.public",
  "listen.trusted_proxies": "listen.trusted_proxies",
  "admin.may_infer": "general_settings.master_key",
  "limits.body_bytes_max": "limits.body_max",
  "routing.attempts_max": "routing.attempts",
  "routing.retries_max": "routing.retries",
  "routing.failover": "routing.failover_time",
  "routing.retry_budget.tokens_per_call": "routing.retry_budget.per_call",
  "routing.circuit.is_enabled": "routing.circuit.enabled",
  "routing.circuit.failures_max": "routing.circuit.failures",
  "routing.circuit.failure_rate_max": "routing.circuit.failure_rate",
  "routing.circuit.calls_min": "routing.circuit.min_calls",
  "routing.fallbacks.failure": "routing.default_fallbacks",
  "routing.fallbacks.context_window": "routing.default_context_window_fallbacks",
  "routing.fallbacks.content_policy": "routing.default_content_policy_fallbacks",
  "routing.falls_back_in_sessions": "routing.fall_back_in_sessions",
  "spending.failover_price_max_ppm": "spending.failover_price_max",
  "spending.counts_client_credentials": "spending.count_client_credentials",
  "logging.requests": "logging.requests",
};

const sections = ["listen", "egress", "store", "admin", "keyHeader", "spending", "routing", "webhook", "limits", "timeouts", "logging", "metrics", "forward"] as const satisfies readonly (keyof GatewayConfig)[];

/** By key, each with the value that it has in force; mappings are taken apart, lists are not. */
export function settingsOf(config: GatewayConfig): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  const walk = (path: string, value: unknown): void => {
    if (value instanceof Map) for (const [name, member] of value as ReadonlyMap<string, unknown>) walk(`${path}.${name}`, member);
    else if (typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Secret)) for (const [name, member] of Object.entries(value)) walk(`${path}.${snake(name)}`, member);
    else if (value !== undefined) found.set(keyOf(path), path.endsWith("_ms") && typeof value === "number" ? formatDuration(value) : value);
  };
  for (const section of sections) walk(snake(section), config[section]);
  return found;
}

/** Keys say no unit: durations have theirs in the value. */
function keyOf(path: string): string {
  const plain = path.replace(/_ms$/, "").replace("_max_by_class.", "_by_class.");
  return keys[plain] ?? plain;
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Addresses may hold more than their reader should see. */
const unshown = /^(?:webhook|egress\.proxy)/;

/** In an operator's words; undefined for what is not to be shown. */
export function shownSetting(name: string, value: unknown): string | undefined {
  if (value instanceof Secret || unshown.test(name)) return undefined;
  if (value === undefined) return "not set";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(String).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value as string | number | boolean | bigint);
}
