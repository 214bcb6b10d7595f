// Guarantee: every key that `tollgate.yaml` may hold does what its description says: one row a key, with what is written and
// the member of the configuration that comes of it. A key without a row fails here, so that none is read and then forgotten.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { Secret } from "../kernel/secret.ts";
import { providers } from "../providers/registry.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { loadConfig } from "./load.ts";
import { configSchema } from "./schema.ts";

const providerSchemas = new Map<string, z.ZodType>(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));

const files: Record<string, string> = { "/etc/secrets/key": "sk-from-a-file\n" };
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-native-"));
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=native", "-keyout", "k.pem", "-out", "c.pem"], { cwd: folder, stdio: "ignore" });
  for (const name of ["c.pem", "k.pem"]) files[`/etc/tls/${name}`] = readFileSync(join(folder, name), "utf8");
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Record<string, string> = {}): GatewayConfig {
  const readFile = (path: string): string => {
    const known = path === "/etc/t.yaml" ? text : files[path];
    if (known === undefined) throw Object.assign(new Error("not there"), { code: "ENOENT" });
    return known;
  };
  const result = loadConfig({ path: "/etc/t.yaml", env, readFile, providerSchemas, accept: [], allowInsecureDevKey: false });
  if (!result.ok) throw new Error(result.errors.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`).join("\n"));
  return result.config;
}

/** What can be compared and printed: secrets as `secret …`, maps as objects, big numbers as `…n`. */
function plain(value: unknown): unknown {
  if (value instanceof Secret) return `secret ${value.reveal()}`;
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Map) return Object.fromEntries([...(value as ReadonlyMap<string, unknown>)].map(([name, member]) => [name, plain(member)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  return value;
}

/** A member by its dotted path; undefined when a part of it is not there. */
function memberOf(config: GatewayConfig, path: string): unknown {
  let value = plain(config);
  for (const part of path.split(".")) value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[part] : undefined;
  return value;
}

/** As far as it is walked here. */
interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Every key with a value of its own; sections, lists of mappings and mappings by name stand for their members. */
function leaves(schema: JsonSchema, path: string): readonly string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, member]) => leaves(member, path === "" ? name : `${path}.${name}`));
  const listed = schema.items === undefined ? [] : leaves(schema.items, `${path}[]`);
  const named = typeof schema.additionalProperties === "object" ? leaves(schema.additionalProperties, `${path}.*`) : [];
  const below = [...own, ...listed.filter((leaf) => leaf !== `${path}[]`), ...named.filter((leaf) => leaf !== `${path}.*`), ...(schema.anyOf ?? []).flatMap((branch) => leaves(branch, path)).filter((leaf) => leaf !== path)];
  return below.length === 0 ? [path] : below;
}

function knownKeys(): readonly string[] {
  const read = (schema: z.ZodType): JsonSchema => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  const general = leaves(read(configSchema), "").filter((key) => !key.startsWith("providers."));
  const ofKinds = [...providerSchemas].flatMap(([kind, schema]) => leaves(read(schema), `providers.${kind}`));
  return [...general, ...[...providerSchemas.keys()].map((kind) => `providers.${kind}.kind`), ...ofKinds];
}

/** What is written, the member that it becomes, and that member's value. */
type Row = readonly [yaml: string, member: string, value: unknown];

const base = "providers: {a: {kind: demo}, b: {kind: demo}}\n";
const models = 'models: [{name: "claude-*", provider: a}]\n';
const model = (keys: string): string => `${base}models: [{name: "claude-x", ${keys}}]\n`;
const target = (keys: string): string => model(`targets: [{provider: b${keys === "" ? "" : `, ${keys}`}}]`);
const place = (kind: string, keys: string): string => `providers: {p: {kind: ${kind}, ${keys}}}\nmodels: [{name: "claude-*", provider: p}]\n`;
const budget = (keys: string): string => `budgets: [{scope: "team:blue", amount: 10${keys === "" ? "" : `, ${keys}`}}]`;
const limit = (keys: string): string => `rate_limits: {rules: [{scope: "key:*", ${keys}}]}`;
const tls = (keys = ""): string => `listen: {tls: {cert_file: tls/c.pem, key_file: tls/k.pem${keys}}}`;

const general: Record<string, Row> = {
  "listen.host": ["listen: {host: '::1'}", "listen.host", "::1"],
  "listen.port": ["listen: {port: 4321}", "listen.port", 4321],
  "listen.tls.cert_file": [tls(), "listen.tls.certFile", "/etc/tls/c.pem"],
  "listen.tls.key_file": [tls(), "listen.tls.keyFile", "/etc/tls/k.pem"],
  "listen.tls.client_ca_file": [tls(", client_ca_file: tls/c.pem"), "listen.tls.clientCaFile", "/etc/tls/c.pem"],
  "listen.trusted_proxies": ["listen: {trusted_proxies: [10.0.0.0/8, 192.0.2.1, 'fd00::/8']}", "listen.trustedProxies", ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]],
  "listen.public": ["listen: {host: 0.0.0.0, public: true}", "listen.isPublic", true],
  "egress.proxy": ["egress: {proxy: 'http://u:p@proxy.example:3128'}", "egress.proxy", "secret http://u:p@proxy.example:3128"],
  "egress.no_proxy": ["egress: {no_proxy: [localhost, .example.com]}", "egress.noProxy", ["localhost", ".example.com"]],
  "egress.ca_file": ["egress: {ca_file: tls/c.pem}", "egress.caFile", "/etc/tls/c.pem"],
  "store.path": ["store: {path: ../var/ledger.db}", "store.path", "/var/ledger.db"],
  "store.spill.path": ["store: {spill: {path: ../var/spill.jsonl}}", "store.spill.path", "/var/spill.jsonl"],
  "store.spill.unbudgeted": ["store: {spill: {unbudgeted: 90s}}", "store.spill.unbudgetedMs", 90_000],
  "store.usage_retention": ["store: {usage_retention: 12w}", "store.usageRetentionMs", 84 * 86_400_000],
  "store.sync": ["store: {sync: full}", "store.sync", "full"],
  "admin.key": ["admin: {key: sk-adm-8sHd72kPq91LmZx}", "admin.key", "secret sk-adm-8sHd72kPq91LmZx"],
  key_header: ["key_header: X-Team-Key", "keyHeader", "x-team-key"],
  "models[].name": [`${base}models: [{name: "*-latest", provider: a}]`, "models.0.name", "*-latest"],
  "models[].aliases": [model("provider: a, aliases: [claude-y, claude-z]"), "models.0.aliases", ["claude-y", "claude-z"]],
  "models[].access_groups": [model("provider: a, access_groups: [blue, red]"), "models.0.accessGroups", ["blue", "red"]],
  "models[].strategy": [model("provider: a, strategy: latency"), "models.0.strategy", "latency"],
  "models[].cache_affinity": [model("provider: a, cache_affinity: false"), "models.0.hasAffinity", false],
  "models[].fallbacks": [`${base}models: [{name: claude-x, provider: a, fallbacks: [claude-y]}, {name: claude-y, provider: a}]`, "models.0.fallbacks.failure", ["claude-y"]],
  "models[].context_window_fallbacks": [`${base}models: [{name: claude-x, provider: a, context_window_fallbacks: [claude-y]}, {name: claude-y, provider: a}]`, "models.0.fallbacks.contextWindow", ["claude-y"]],
  "models[].content_policy_fallbacks": [`${base}models: [{name: claude-x, provider: a, content_policy_fallbacks: [claude-y]}, {name: claude-y, provider: a}]`, "models.0.fallbacks.contentPolicy", ["claude-y"]],
  "models[].priority": [model("provider: a, priority: 2"), "models.0.targets.0.priority", 2],
  "models[].weight": [model("provider: a, weight: 0.5"), "models.0.targets.0.weight", 0.5],
  "models[].tags": [model("provider: a, tags: [eu]"), "models.0.targets.0.tags", ["eu"]],
  "models[].limits.requests_per_minute": [model("provider: a, id: t, limits: {requests_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { requestsPerMinute: 7 } }],
  "models[].limits.tokens_per_minute": [model("provider: a, id: t, limits: {tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { tokensPerMinute: 7 } }],
  "models[].limits.input_tokens_per_minute": [model("provider: a, id: t, limits: {input_tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { inputTokensPerMinute: 7 } }],
  "models[].limits.output_tokens_per_minute": [model("provider: a, id: t, limits: {output_tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { outputTokensPerMinute: 7 } }],
  "models[].limits.parallel_requests": [model("provider: a, id: t, limits: {parallel_requests: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { parallelRequests: 7 } }],
  "models[].limits.open_streams": [model("provider: a, id: t, limits: {open_streams: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { openStreams: 7 } }],
  "models[].max_input_tokens": [model("provider: a, max_input_tokens: 9"), "models.0.targets.0.inputTokensMax", 9],
  "models[].id": [model("provider: a, id: first"), "models.0.targets.0.id", "first"],
  "models[].provider": [model("provider: b"), "models.0.targets.0.provider", "b"],
  "models[].model": [model("provider: a, model: claude-opus-4-8"), "models.0.targets.0.model", "claude-opus-4-8"],
  "models[].credential": [model("provider: a, credential: client"), "models.0.targets.0.credential", "client"],
  "models[].price_model": [model("provider: a, price_model: claude-opus-4-8"), "models.0.targets.0.priceModel", "claude-opus-4-8"],
  "models[].prices.input": [model("provider: a, prices: {input: 3.5}"), "models.0.targets.0.price", { input: "3500000n" }],
  "models[].prices.output": [model("provider: a, prices: {output: 0.000001}"), "models.0.targets.0.price", { output: "1n" }],
  "models[].prices.cache_read": [model("provider: a, prices: {cache_read: '0.3'}"), "models.0.targets.0.price", { cacheRead: "300000n" }],
  "models[].prices.cache_write_5m": [model("provider: a, prices: {cache_write_5m: 4}"), "models.0.targets.0.price", { cacheWrite5m: "4000000n" }],
  "models[].prices.cache_write_1h": [model("provider: a, prices: {cache_write_1h: 0}"), "models.0.targets.0.price", { cacheWrite1h: "0n" }],
  "models[].headers": [model("provider: a, headers: {X-Extra: one}"), "models.0.targets.0.headers", { "x-extra": "one" }],
  "models[].timeouts.first_byte_stream": [model("provider: a, timeouts: {first_byte_stream: 5m}"), "models.0.targets.0.timeouts", { firstByteStreamMs: 300_000 }],
  "models[].timeouts.first_byte_plain": [model("provider: a, timeouts: {first_byte_plain: 90s}"), "models.0.targets.0.timeouts", { firstBytePlainMs: 90_000 }],
  "models[].timeouts.idle": [model("provider: a, timeouts: {idle: 250}"), "models.0.targets.0.timeouts", { idleMs: 250 }],
  "models[].targets[].id": [target("id: second"), "models.0.targets.0.id", "second"],
  "models[].targets[].provider": [target(""), "models.0.targets.0.provider", "b"],
  "models[].targets[].model": [target("model: claude-opus-4-8"), "models.0.targets.0.model", "claude-opus-4-8"],
  "models[].targets[].credential": [target("credential: client"), "models.0.targets.0.credential", "client"],
  "models[].targets[].price_model": [target("price_model: claude-opus-4-8"), "models.0.targets.0.priceModel", "claude-opus-4-8"],
  "models[].targets[].prices.input": [target("prices: {input: 1}"), "models.0.targets.0.price", { input: "1000000n" }],
  "models[].targets[].prices.output": [target("prices: {output: 1}"), "models.0.targets.0.price", { output: "1000000n" }],
  "models[].targets[].prices.cache_read": [target("prices: {cache_read: 1}"), "models.0.targets.0.price", { cacheRead: "1000000n" }],
  "models[].targets[].prices.cache_write_5m": [target("prices: {cache_write_5m: 1}"), "models.0.targets.0.price", { cacheWrite5m: "1000000n" }],
  "models[].targets[].prices.cache_write_1h": [target("prices: {cache_write_1h: 1}"), "models.0.targets.0.price", { cacheWrite1h: "1000000n" }],
  "models[].targets[].headers": [target("headers: {x-a: two words}"), "models.0.targets.0.headers", { "x-a": "two words" }],
  "models[].targets[].timeouts.first_byte_stream": [target("timeouts: {first_byte_stream: 1h}"), "models.0.targets.0.timeouts", { firstByteStreamMs: 3_600_000 }],
  "models[].targets[].timeouts.first_byte_plain": [target("timeouts: {first_byte_plain: 1.5s}"), "models.0.targets.0.timeouts", { firstBytePlainMs: 1_500 }],
  "models[].targets[].timeouts.idle": [target("timeouts: {idle: 10s}"), "models.0.targets.0.timeouts", { idleMs: 10_000 }],
  "models[].targets[].priority": [target("priority: '3'"), "models.0.targets.0.priority", 3],
  "models[].targets[].weight": [target("weight: 0"), "models.0.targets.0.weight", 0],
  "models[].targets[].tags": [target("tags: [eu, paid]"), "models.0.targets.0.tags", ["eu", "paid"]],
  "models[].targets[].limits.requests_per_minute": [target("id: t, limits: {requests_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { requestsPerMinute: 7 } }],
  "models[].targets[].limits.tokens_per_minute": [target("id: t, limits: {tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { tokensPerMinute: 7 } }],
  "models[].targets[].limits.input_tokens_per_minute": [target("id: t, limits: {input_tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { inputTokensPerMinute: 7 } }],
  "models[].targets[].limits.output_tokens_per_minute": [target("id: t, limits: {output_tokens_per_minute: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { outputTokensPerMinute: 7 } }],
  "models[].targets[].limits.parallel_requests": [target("id: t, limits: {parallel_requests: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { parallelRequests: 7 } }],
  "models[].targets[].limits.open_streams": [target("id: t, limits: {open_streams: 7}"), "rateLimits.rules.0", { scope: "target:t", max: { openStreams: 7 } }],
  "models[].targets[].max_input_tokens": [target("max_input_tokens: 9"), "models.0.targets.0.inputTokensMax", 9],
  "budgets[].id": [budget("id: blue"), "budgets.0.id", "blue"],
  "budgets[].scope": [budget(""), "budgets.0.scope", "team:blue"],
  "budgets[].per": [budget("per: member"), "budgets.0.per", "member"],
  "budgets[].amount": [budget(""), "budgets.0.amountNanoUsd", "10000000000n"],
  "budgets[].window": [budget("window: week"), "budgets.0.window.key", "week/UTC"],
  "budgets[].rolling": [budget("rolling: 7d"), "budgets.0.window.key", "rolling/7d/1h"],
  "budgets[].zone": [budget("zone: Europe/Berlin"), "budgets.0.window.key", "month/Europe/Berlin"],
  "budgets[].mode": [budget("mode: strict"), "budgets.0.mode", "strict"],
  "budgets[].on_exhausted": [budget("on_exhausted: cut"), "budgets.0.onExhausted", "cut"],
  "budgets[].overrun_max": [budget("overrun_max: 0.25"), "budgets.0.overrunMaxNanoUsd", "250000000n"],
  "budgets[].downgrade": [budget("downgrade: claude-haiku-4-5"), "budgets.0.downgradeModel", "claude-haiku-4-5"],
  "budgets[].warn_at": [budget("warn_at: [90, 50]"), "budgets.0.warnAtPercent", [50, 90]],
  "budgets[].fail_open.share": [budget("fail_open: {share: 1.5 %}"), "budgets.0.failOpen.sharePpm", "15000n"],
  "budgets[].fail_open.for": [budget("fail_open: {for: 5m}"), "budgets.0.failOpen.forMs", 300_000],
  "budgets[].contact": [budget("contact: ops@example.com"), "budgets.0.contact", "ops@example.com"],
  "webhook.url": ["webhook: {url: 'https://hooks.example.com/a?b=1', secret: 3f9c01ab77d2e846}", "webhook.url", "https://hooks.example.com/a?b=1"],
  "webhook.secret": ["webhook: {url: 'https://hooks.example.com/a', secret: 3f9c01ab77d2e846}", "webhook.secret", "secret 3f9c01ab77d2e846"],
  "rate_limits.count_cache_reads": ["rate_limits: {count_cache_reads: true}", "rateLimits.countsCacheReads", true],
  "rate_limits.rules[].scope": [limit("open_streams: 1"), "rateLimits.rules.0.scope", "key:*"],
  "rate_limits.rules[].requests_per_minute": [limit("requests_per_minute: 7"), "rateLimits.rules.0.max.requestsPerMinute", 7],
  "rate_limits.rules[].tokens_per_minute": [limit("tokens_per_minute: 7"), "rateLimits.rules.0.max.tokensPerMinute", 7],
  "rate_limits.rules[].input_tokens_per_minute": [limit("input_tokens_per_minute: 7"), "rateLimits.rules.0.max.inputTokensPerMinute", 7],
  "rate_limits.rules[].output_tokens_per_minute": [limit("output_tokens_per_minute: 7"), "rateLimits.rules.0.max.outputTokensPerMinute", 7],
  "rate_limits.rules[].counts_per_minute": [limit("counts_per_minute: 7"), "rateLimits.rules.0.max.countsPerMinute", 7],
  "rate_limits.rules[].parallel_requests": [limit("parallel_requests: 7"), "rateLimits.rules.0.max.parallelRequests", 7],
  "rate_limits.rules[].open_streams": [limit("open_streams: 7"), "rateLimits.rules.0.max.openStreams", 7],
  "rate_limits.rules[].agents_in_parallel": [limit("agents_in_parallel: 7"), "rateLimits.rules.0.max.parallelAgents", 7],
  "rate_limits.rules[].new_agents_per_minute": [limit("new_agents_per_minute: 7"), "rateLimits.rules.0.max.newAgentsPerMinute", 7],
  "rate_limits.rules[].new_sessions_per_hour": [limit("new_sessions_per_hour: 7"), "rateLimits.rules.0.max.newSessionsPerHour", 7],
  "routing.attempts": ["routing: {attempts: 7}", "routing.attemptsMax", 7],
  "routing.retries": ["routing: {retries: 2}", "routing.retriesMax", 2],
  "routing.retries_by_class": ["routing: {retries_by_class: {timeout: 2}}", "routing.retriesMaxByClass", { timeout: 2 }],
  "routing.failover_time": ["routing: {failover_time: 20s}", "routing.failoverMs", 20_000],
  "routing.hold_events": ["routing: {hold_events: 0}", "routing.holdEventsMs", 0],
  "routing.retry_budget.per_call": ["routing: {retry_budget: {per_call: 0.25}}", "routing.retryBudget.tokensPerCall", 0.25],
  "routing.retry_budget.burst": ["routing: {retry_budget: {burst: 0}}", "routing.retryBudget.burst", 0],
  "routing.circuit.enabled": ["routing: {circuit: {enabled: false}}", "routing.circuit.isEnabled", false],
  "routing.circuit.failures": ["routing: {circuit: {failures: 9}}", "routing.circuit.failuresMax", 9],
  "routing.circuit.failures_by_class": ["routing: {circuit: {failures_by_class: {timeout: 2}}}", "routing.circuit.failuresMaxByClass", { timeout: 2 }],
  "routing.circuit.failure_rate": ["routing: {circuit: {failure_rate: 0.9}}", "routing.circuit.failureRateMax", 0.9],
  "routing.circuit.window": ["routing: {circuit: {window: 10s}}", "routing.circuit.windowMs", 10_000],
  "routing.circuit.min_calls": ["routing: {circuit: {min_calls: 5}}", "routing.circuit.callsMin", 5],
  "routing.circuit.cooldown": ["routing: {circuit: {cooldown: 1m}}", "routing.circuit.cooldownMs", 60_000],
  "routing.default_fallbacks": ["routing: {default_fallbacks: [claude-y]}", "routing.fallbacks.failure", ["claude-y"]],
  "routing.default_context_window_fallbacks": ["routing: {default_context_window_fallbacks: [claude-y]}", "routing.fallbacks.contextWindow", ["claude-y"]],
  "routing.default_content_policy_fallbacks": ["routing: {default_content_policy_fallbacks: [claude-y]}", "routing.fallbacks.contentPolicy", ["claude-y"]],
  "routing.fallbacks_max": ["routing: {fallbacks_max: 1}", "routing.fallbacksMax", 1],
  "routing.fall_back_in_sessions": ["routing: {fall_back_in_sessions: true}", "routing.fallsBackInSessions", true],
  "routing.check_interval": ["routing: {check_interval: 1m}", "routing.checkIntervalMs", 60_000],
  "routing.tag_match": ["routing: {tag_match: all}", "routing.tagMatch", "all"],
  "spending.failover_price_max": ["spending: {failover_price_max: 1.5}", "spending.failoverPriceMaxPpm", "1500000n"],
  "spending.charge_wasted": ["spending: {charge_wasted: caller}", "spending.wastedPayer", "caller"],
  "spending.user_budget": ["spending: {user_budget: personal_keys}", "spending.userBudget", "personal_keys"],
  "spending.unpriced": ["spending: {unpriced: warn}", "spending.unpriced", "warn"],
  "spending.count_client_credentials": ["spending: {count_client_credentials: true}", "spending.countsClientCredentials", true],
  "spending.margin": ["spending: {margin: 12.5 %}", "spending.margin.generalPpm", 1_125_000],
  "spending.margins": ["spending: {margins: {payments: 5}}", "spending.margin.byTeam", { payments: 1_050_000 }],
  "prices.multiplier": ["prices: {multiplier: 1.1}", "prices.multiplierPpm", "1100000n"],
  "prices.overrides.*.input": ["prices: {overrides: {claude-x: {input: 2}}}", "prices.overrides", { "claude-x": { input: "2000000n" } }],
  "prices.overrides.*.output": ["prices: {overrides: {claude-x: {output: 2}}}", "prices.overrides", { "claude-x": { output: "2000000n" } }],
  "prices.overrides.*.cache_read": ["prices: {overrides: {claude-x: {cache_read: 2}}}", "prices.overrides", { "claude-x": { cacheRead: "2000000n" } }],
  "prices.overrides.*.cache_write_5m": ["prices: {overrides: {claude-x: {cache_write_5m: 2}}}", "prices.overrides", { "claude-x": { cacheWrite5m: "2000000n" } }],
  "prices.overrides.*.cache_write_1h": ["prices: {overrides: {claude-x: {cache_write_1h: 2}}}", "prices.overrides", { "claude-x": { cacheWrite1h: "2000000n" } }],
  "limits.body_max": ["limits: {body_max: 8MiB}", "limits.bodyBytesMax", 8 * 1024 * 1024],
  "limits.in_flight_max": ["limits: {in_flight_max: 5}", "limits.inFlightMax", 5],
  "limits.in_flight_per_key_max": ["limits: {in_flight_per_key_max: 5}", "limits.inFlightPerKeyMax", 5],
  "timeouts.connect": ["timeouts: {connect: 1s}", "timeouts.connectMs", 1_000],
  "timeouts.first_byte_stream": ["timeouts: {first_byte_stream: 1s}", "timeouts.firstByteStreamMs", 1_000],
  "timeouts.first_byte_plain": ["timeouts: {first_byte_plain: 1s}", "timeouts.firstBytePlainMs", 1_000],
  "timeouts.idle": ["timeouts: {idle: 1s}", "timeouts.idleMs", 1_000],
  "timeouts.total": ["timeouts: {total: 1s}", "timeouts.totalMs", 1_000],
  "timeouts.ping": ["timeouts: {ping: 1s}", "timeouts.pingMs", 1_000],
  "timeouts.request_body": ["timeouts: {request_body: 1s}", "timeouts.requestBodyMs", 1_000],
  "timeouts.drain": ["timeouts: {drain: 1s}", "timeouts.drainMs", 1_000],
  "logging.level": ["logging: {level: warn}", "logging.level", "warn"],
  "logging.requests": ["logging: {requests: false}", "logging.requests", false],
  "metrics.host": ["metrics: {host: '::1', port: 0}", "metrics.host", "::1"],
  "metrics.port": ["metrics: {port: 9100}", "metrics.port", 9_100],
  "forward.claude_code_headers": ["forward: {claude_code_headers: false}", "forward.claudeCodeHeaders", false],
};

/** Keys of one kind of place, each with what is written for it and what its settings hold then. */
function ofKind(kind: string, needed: string, keys: Readonly<Record<string, readonly [written: string, value: unknown]>>): readonly (readonly [string, Row])[] {
  const rows = Object.entries(keys).map(([key, [written, value]]): readonly [string, Row] => {
    const others = needed.split(", ").filter((part) => part !== "" && !part.startsWith(`${key}:`) && !(key === "base_url" && part.startsWith("resource:")));
    return [`providers.${kind}.${key}`, [place(kind, [...others, `${key}: ${written}`].join(", ")), `providers.p.settings.${key}`, value]];
  });
  return [[`providers.${kind}.kind`, [place(kind, needed === "" ? "" : needed), "providers.p.kind", kind]], ...rows];
}

const headers = ["{x-a: one}", { "x-a": "one" }] as const;
const awsLogin = {
  region: ["us-east-1", "us-east-1"],
  api_key: ["k-1", "secret k-1"],
  access_key_id: ["AKIAX, secret_access_key: s", "AKIAX"],
  secret_access_key: ["s-1, access_key_id: AKIAX", "secret s-1"],
  session_token: ["t-1", "secret t-1"],
  profile: ["blue", "blue"],
  role_arn: ["'arn:aws:iam::123456789012:role/gateway'", "arn:aws:iam::123456789012:role/gateway"],
  role_session_name: ["tollgate", "tollgate"],
  external_id: ["ext-1", "ext-1"],
  web_identity_token_file: ["tokens/identity", "/etc/tokens/identity"],
  sts_endpoint: ["'https://sts.example/'", "https://sts.example"],
  allow_credential_process: ["true", true],
  headers,
} as const;

const rows: Readonly<Record<string, Row>> = {
  ...general,
  ...Object.fromEntries([
    ...ofKind("anthropic", "", { base_url: ["'https://gw.example/prefix/'", "https://gw.example/prefix"], api_key: ["sk-ant-1", "secret sk-ant-1"], auth_token: ["t-1", "secret t-1"], headers }),
    ...ofKind("bedrock", "region: eu-central-1", { ...awsLogin, endpoint: ["'https://vpce.example/'", "https://vpce.example"], inference_profile: ["eu", "eu"] }),
    ...ofKind("mantle", "region: eu-central-1", { ...awsLogin, endpoint: ["'https://m.example/anthropic'", "https://m.example/anthropic"] }),
    ...ofKind("anthropic-aws", "region: eu-central-1", { ...awsLogin, endpoint: ["'https://aws.example'", "https://aws.example"], workspace_id: ["wrkspc_1", "wrkspc_1"] }),
    ...ofKind("vertex", "", {
      project: ["my-project", "my-project"],
      location: ["europe-west1", "europe-west1"],
      base_url: ["'https://v.example/v1'", "https://v.example"],
      credentials: ["google.json", "secret /etc/google.json"],
      quota_project: ["billing", "billing"],
      headers,
    }),
    ...ofKind("foundry", "resource: mine", { resource: ["other", "other"], base_url: ["'https://f.example/anthropic/v1/messages'", "https://f.example/anthropic"], api_key: ["k-1", "secret k-1"], auth_header: ["api-key", "api-key"], headers }),
    ...ofKind("demo", "", { base_url: ["'http://127.0.0.1:9'", "http://127.0.0.1:9"] }),
  ]),
};

/** The file that says as little as it can, with the same kind of place where one is meant. */
function least(key: string): string {
  if (key.startsWith("rate_limits.rules[].") && !key.endsWith("scope")) return whole(limit(key.endsWith("open_streams") ? "parallel_requests: 1" : "open_streams: 1"));
  if (key.startsWith("budgets[].") && !/scope|amount/.test(key)) return whole(budget(""));
  const kind = /^providers\.([^.]+)\./.exec(key)?.[1];
  if (kind === undefined || key.endsWith(".kind")) return base + models;
  const needed = { foundry: "resource: mine", bedrock: "region: eu-central-1", mantle: "region: eu-central-1", "anthropic-aws": "region: eu-central-1" }[kind] ?? "";
  return place(kind, needed);
}

function whole(yaml: string): string {
  return `${yaml}\n${yaml.includes("providers:") ? "" : base}${yaml.includes("models:") ? "" : models}`;
}

describe("tollgate.yaml", () => {
  it("has a row here for each of its keys", () => {
    expect(Object.keys(rows).toSorted()).toEqual([...knownKeys()].toSorted());
  });

  it.each(Object.entries(rows).map(([key, [yaml, member, value]]) => [key, member, yaml, value] as const))("%s becomes %s", (key, member, yaml, value) => {
    expect(memberOf(load(whole(yaml)), member)).toEqual(value);
    // Otherwise the row would show nothing.
    expect(memberOf(load(least(key)), member)).not.toEqual(value);
  });

  it("has these values where nothing is written", () => {
    expect(plain(load("providers: {anthropic: {kind: anthropic}}\nmodels: [{name: '*', provider: anthropic}]"))).toMatchObject({
      source: { kind: "native", path: "/etc/t.yaml" },
      listen: { host: "127.0.0.1", port: 4000, isPublic: false, tls: undefined, trustedProxies: [] },
      egress: { proxy: undefined, noProxy: [], caFile: undefined },
      store: { path: undefined, sync: "normal", usageRetentionMs: undefined, spill: { path: undefined, unbudgetedMs: 0 } },
      admin: { key: undefined, mayInfer: false },
      keyHeader: undefined,
      providers: { anthropic: { name: "anthropic", kind: "anthropic", settings: { base_url: "https://api.anthropic.com", headers: {} } } },
      models: [{ name: "*", aliases: [], accessGroups: [], targets: [{ provider: "anthropic", model: "*", credential: "provider", priceModel: undefined, price: undefined, headers: {}, timeouts: {} }] }],
      modelAliases: {},
      lent: {},
      budgets: [],
      spending: { failoverPriceMaxPpm: undefined, wastedPayer: "platform", userBudget: "all", unpriced: "refuse", countsClientCredentials: false, margin: { generalPpm: undefined, byTeam: {} } },
      webhook: undefined,
      rateLimits: { countsCacheReads: false, rules: [] },
      prices: { multiplierPpm: "1000000n", overrides: {} },
      limits: { bodyBytesMax: 33_554_432, inFlightMax: 10_000, inFlightPerKeyMax: undefined },
      timeouts: { connectMs: 5_000, firstByteStreamMs: 120_000, firstBytePlainMs: 600_000, idleMs: 300_000, totalMs: 3_600_000, pingMs: 15_000, requestBodyMs: 300_000, drainMs: 600_000 },
      logging: { level: "info", requests: true },
      metrics: undefined,
      forward: { claudeCodeHeaders: true },
      warnings: [],
    });
  });

  it("keeps targets in their order, a target's own prices before the model's, and every price that is written", () => {
    const config = load(`${base}models: [{name: claude-x, prices: {input: 1, output: 2}, targets: [{provider: b, prices: {input: 3}}, {provider: a, model: claude-y}]}]`);
    expect(plain(config.models)).toMatchObject([{ targets: [{ provider: "b", model: "claude-x", price: { input: "3000000n", output: "2000000n" } }, { provider: "a", model: "claude-y", price: { input: "1000000n", output: "2000000n" } }] }]);
    expect(new Set(config.models[0]!.targets.map(({ id }) => id)).size).toBe(2);
  });
});

describe("egress and the environment", () => {
  const env = { HTTPS_PROXY: "http://up.example:1", NO_PROXY: "one.example, .two.example" };
  const own = ["localhost", "127.0.0.1", "::1"];
  it.each<[string, string, Record<string, string>, string | undefined, readonly string[]]>([
    ["HTTPS_PROXY and NO_PROXY count when nothing is written", "", env, "http://up.example:1", ["one.example", ".two.example", ...own]],
    ["lower case counts first", "", { ...env, https_proxy: "low.example:2", no_proxy: "three.example" }, "http://low.example:2", ["three.example", ...own]],
    ["an empty variable is none", "", { ...env, https_proxy: "", no_proxy: "" }, "http://up.example:1", ["one.example", ".two.example", ...own]],
    ["a written proxy wins, with the environment's exceptions", "proxy: 'http://file.example:3'", env, "http://file.example:3", ["one.example", ".two.example"]],
    ["written exceptions win", "no_proxy: [x.example]", env, "http://up.example:1", ["x.example"]],
    ["an empty list of exceptions is one", "no_proxy: []", env, "http://up.example:1", []],
    ["an empty proxy is none", "proxy: ''", env, undefined, ["one.example", ".two.example"]],
  ])("%s", (_what, egress, environment, proxy, noProxy) => {
    const config = load(whole(`egress: {${egress}}`), environment);
    expect([config.egress.proxy?.reveal(), config.egress.noProxy]).toEqual([proxy, noProxy]);
  });
});

describe("a reference", () => {
  const env = { SECRET: "sk-adm-from-the-environment", PORT: "4444", FLAG: "true", AMOUNT: "2s", NAME: "blue" };
  it.each<Row>([
    ["admin: {key: '${SECRET}'}", "admin.key", "secret sk-adm-from-the-environment"],
    [place("anthropic", "api_key: '${SECRET}'"), "providers.p.settings.api_key", "secret sk-adm-from-the-environment"],
    [place("anthropic", "api_key: '${file:secrets/key}'"), "providers.p.settings.api_key", "secret sk-from-a-file"],
    [place("foundry", "resource: '${NAME}', api_key: '${file:/etc/secrets/key}'"), "providers.p.settings", { resource: "blue", api_key: "secret sk-from-a-file", auth_header: "x-api-key", headers: {} }],
    ["egress: {proxy: 'http://${NAME}:${SECRET}@proxy.example:1'}", "egress.proxy", "secret http://blue:sk-adm-from-the-environment@proxy.example:1"],
    ["listen: {port: '${PORT}'}", "listen.port", 4444],
    ["listen: {public: '${FLAG}'}", "listen.isPublic", true],
    ["timeouts: {idle: '${AMOUNT}'}", "timeouts.idleMs", 2_000],
    [model("provider: a, headers: {x-a: '$${SECRET} ${NAME}'}"), "models.0.targets.0.headers", { "x-a": "${SECRET} blue" }],
  ])("in %j becomes %s", (yaml, member, value) => {
    expect(memberOf(load(whole(yaml), env), member)).toEqual(value);
  });
});
