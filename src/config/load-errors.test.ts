// Guarantee: whatever is wrong with a native file is told with line, column, key and one sentence; all faults of a file at
// once; and nothing that came from the environment or a file is ever repeated.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { clientLoginKinds, providers } from "../providers/registry.ts";
import { loadConfig, type LoadResult } from "./load.ts";

const providerSchemas = new Map<string, z.ZodType>(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings]));

function load(text: string, env: Record<string, string> = {}, files: Record<string, string> = {}): LoadResult {
  const readFile = (path: string): string => {
    const known = path === "/etc/t.yaml" ? text : files[path];
    if (known === undefined) throw Object.assign(new Error(`no ${path}`), { code: "ENOENT" });
    return known;
  };
  return loadConfig({ path: "/etc/t.yaml", env, readFile, providerSchemas, clientLoginKinds: clientLoginKinds(), accept: [], allowInsecureDevKey: false });
}

function errorsOf(result: LoadResult): string[] {
  return result.ok ? [] : result.errors.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
}

const good = "providers: {a: {kind: anthropic, api_key: sk-ant-1}}\n";
const models = "models: [{name: claude-*, provider: a}]\n";

const duration = "must be a duration such as `500ms`, `5s` or `2m`, or a number of milliseconds above 0";
const publicBind = "other machines can reach this address; set `listen.public: true` to mean it, or listen on 127.0.0.1";

describe("one fault", () => {
  it.each<[string, string, string[]]>([
    ["an unknown section", "modle: []\n", ["1:1 modle: unknown key; did you mean `models`?"]],
    ["an unknown section near to none", "colour: red\n", ["1:1 colour: unknown key; known here: listen, egress, store, admin, key_header, providers, models, routing, spending, budgets, webhook, rate_limits, prices, limits, timeouts, logging, metrics, forward"]],
    ["an unknown key in a section", "listen:\n  prot: 1\n", ["2:3 listen.prot: unknown key; did you mean `port`?"]],
    ["an unknown key without a value", "listen:\n  prot:\n", ["2:3 listen.prot: unknown key; did you mean `port`?"]],
    ["a port out of range", "listen: {port: 70000}\n", ["1:16 listen.port: must be a whole number from 0 to 65535"]],
    ["a port that is a word", "listen:\n  port: http\n", ["2:9 listen.port: must be a whole number from 0 to 65535"]],
    ["a host with a port", "listen: {host: '[::1]'}\n", ["1:16 listen.host: must be an address or a host name, without port or brackets"]],
    ["a public host for the metrics", "metrics: {host: 0.0.0.0, port: 9100}\n", [`1:17 metrics.host: ${publicBind}`]],
    ["a public host", "listen:\n  host: 0.0.0.0\n", [`2:9 listen.host: ${publicBind}`]],
    ["a section that is a word", "listen: 4000\n", ["1:9 listen: must be a mapping of keys to values"]],
    ["a block of addresses that is none", "listen: {trusted_proxies: [10.0.0.0/33]}\n", ["1:28 listen.trusted_proxies[0]: must be an IP address, or a block such as `10.0.0.0/8`"]],
    ["TLS without a key", "listen: {tls: {cert_file: c.pem}}\n", ["1:15 listen.tls.key_file: is required"]],
    ["TLS files that are not there", "listen:\n  tls: {cert_file: c.pem, key_file: k.pem}\n", ["2:20 listen.tls.cert_file: this file cannot be read (ENOENT)", "2:37 listen.tls.key_file: this file cannot be read (ENOENT)"]],
    ["a proxy that is none", "egress: {proxy: 'socks5://h:1'}\n", ["1:17 egress.proxy: must be the address of a proxy such as `http://proxy.example:3128`"]],
    ["a proxy whose login cannot be decoded", "egress: {proxy: 'http://u:10%@h:1'}\n", ["1:17 egress.proxy: has a `%` in its user or password that begins no code such as `%40`; a plain one is written `%25`"]],
    ["a choice that is none", "store: {sync: maybe}\n", ["1:15 store.sync: must be `normal` or `full`"]],
    ["a retention without a unit", "store: {usage_retention: 90}\n", ["1:26 store.usage_retention: must be whole days or weeks such as `90d` or `12w`"]],
    ["a retention of nothing", "store: {usage_retention: 0d}\n", ["1:26 store.usage_retention: must be whole days or weeks such as `90d` or `12w`"]],
    ["a level that is none", "logging: {level: loud}\n", ["1:18 logging.level: must be one of trace, debug, info, warn, error, silent"]],
    ["a yes that is none", "logging: {requests: 3}\n", ["1:21 logging.requests: must be true or false"]],
    ["a duration without a number", "timeouts: {idle: soon}\n", [`1:18 timeouts.idle: ${duration}`]],
    ["a duration of nothing", "timeouts: {idle: 0s}\n", [`1:18 timeouts.idle: ${duration}`]],
    ["a size in another unit", "limits: {body_max: 3 parsecs}\n", ["1:20 limits.body_max: must be a size such as `32MiB`, or a number of bytes above 0"]],
    ["an example as admin key", "admin: {key: sk-1234}\n", ["1:14 admin.key: this secret is an example that everybody knows; make one with `openssl rand -hex 32`, or start with --insecure-dev-key while you try things out"]],
    ["a short admin key", "admin: {key: 8sHd72kP}\n", ["1:14 admin.key: this secret is too short: it needs at least 16 characters; make one with `openssl rand -hex 32`, or start with --insecure-dev-key while you try things out"]],
    ["a key header that frames messages", "key_header: Host\n", ["1:13 key_header: is set by the connection itself and cannot be chosen"]],
    ["a provider of no kind", `providers: {a: {api_key: x}}\n${models}`, ["1:13 providers.a.kind: is required; known here: anthropic, anthropic-aws, bedrock, demo, foundry, mantle, vertex"]],
    ["a provider of an unknown kind", `providers:\n  a: {kind: antropic}\n${models}`, ["2:13 providers.a.kind: there is no such provider in this build; did you mean `anthropic`?"]],
    ["a provider's unknown setting", `providers:\n  a: {kind: anthropic, apikey: x}\n${models}`, ["2:24 providers.a.apikey: unknown key; did you mean `api_key`?"]],
    ["a provider's address with a path", `providers:\n  a: {kind: anthropic, base_url: "https://h/v1"}\n${models}`, ["2:34 providers.a.base_url: must end before /v1, which the gateway adds"]],
    ["a caller's own login where none is taken", `providers:\n  a: {kind: anthropic-aws, region: us-east-1}\nmodels:\n  - {name: x, provider: a, credential: client}\n  - {name: y, targets: [{provider: a, credential: client}]}\n`, ["4:40 models[0].credential: a takes no caller's own login, so this target would serve nobody", "5:51 models[1].targets[0].credential: a takes no caller's own login, so this target would serve nobody"]],
    ["a provider's secret that is a number", `providers:\n  a: {kind: anthropic, api_key: 12}\n${models}`, ["2:33 providers.a.api_key: must be a string"]],
    ["a provider's name with a space", `providers: {"a b": {kind: demo}}\nmodels: [{name: claude-*, provider: a b}]\n`, ['1:13 providers["a b"]: a provider\'s name has letters, digits, dots, dashes and underscores only']],
    ["no model", good, ["1:1 models: is empty: name at least one model, for instance `- {name: \"claude-*\", provider: anthropic}`"]],
    ["models that are a mapping", `${good}models: {name: x}\n`, ["2:9 models: must be a list: begin each model with `- `"]],
    ["a model without a name", `${good}models:\n  - provider: a\n`, ["3:5 models[0].name: is required"]],
    ["a model without a place", `${good}models:\n  - name: claude-x\n`, ["3:5 models[0].provider: is required; known here: a"]],
    ["a model at an unknown provider", `${good}models:\n  - {name: claude-x, provider: bedrock}\n`, ["3:32 models[0].provider: there is no provider `bedrock`; known here: a"]],
    ["a pattern with two stars", `${good}models: [{name: "*-claude-*", provider: a}]\n`, ["2:17 models[0].name: a pattern has one `*`"]],
    ["a pattern with an alias", `${good}models: [{name: claude-*, aliases: [c], provider: a}]\n`, ["2:37 models[0].aliases[0]: a pattern cannot have aliases: it is unknown which of its models is meant"]],
    ["a star that stands for nothing", `${good}models: [{name: claude-x, provider: a, model: claude-*}]\n`, ["2:47 models[0].model: `*` stands for nothing here: the model's own name has none"]],
    ["one name for two models", `${good}models:\n  - {name: claude-x, provider: a}\n  - {name: claude-y, aliases: [claude-x], provider: a}\n`, ["4:32 models[1].aliases[0]: `claude-x` is a name of models[0] already"]],
    ["targets and a provider", `${good}models:\n  - name: claude-x\n    provider: a\n    targets: [{provider: a}]\n`, ["4:15 models[0].provider: belongs into the entries of `targets` when there is such a list"]],
    ["the same target twice", `${good}models:\n  - name: claude-x\n    targets: [{provider: a}, {provider: a}]\n`, ["4:30 models[0].targets[1]: is the same as models[0].targets[0]; give one of them an `id` if that is meant"]],
    ["an unknown key of a target", `${good}models:\n  - name: claude-x\n    targets: [{provider: a, modell: y}]\n`, ["4:29 models[0].targets[0].modell: unknown key; did you mean `model`?"]],
    ["a header that frames messages", `${good}models: [{name: claude-x, provider: a, headers: {Content-Length: "1"}}]\n`, ["2:50 models[0].headers.Content-Length: is set by the connection itself and cannot be chosen"]],
    ["a price below nothing", `${good}models: [{name: claude-x, provider: a, prices: {input: -1}}]\n`, ["2:56 models[0].prices.input: must be US dollars per million tokens, from 0 to 1000000"]],
    ["an unknown price", `${good}${models}prices: {overrides: {claude-x: {cache_reed: 1}}}\n`, ["3:33 prices.overrides.claude-x.cache_reed: unknown key; did you mean `cache_read`?"]],
    ["a downgrade to a model that nothing serves", `${good}models: [{name: claude-x, provider: a}]\nbudgets: [{scope: global, amount: 1}, {scope: "user:*", amount: 1, downgrade: claude-y}]\n`, ["3:79 budgets[1].downgrade: nothing serves `claude-y`"]],
    ["a margin that is none", `${good}${models}spending: {margins: {blue: -5}}\n`, ["3:28 spending.margins.blue: must be per cent from 0 to 1000 with at most four decimals"]],
    ["an unset variable", "admin:\n  key: ${NO_SUCH}\n", ["2:8 admin.key: the environment variable NO_SUCH is not set"]],
    ["an empty variable", "admin: {key: '${EMPTY}'}\n", ["1:14 admin.key: the environment variable EMPTY is empty"]],
    ["a file that is not there", "admin: {key: '${file:nowhere}'}\n", ["1:14 admin.key: the file nowhere cannot be read (ENOENT)"]],
    ["a reference without an end", "admin: {key: '${ADMIN'}\n", ["1:14 admin.key: `${` has no closing brace; write `$${` for the characters themselves"]],
    ["a doubled key", "store: {sync: full}\nstore: {sync: full}\n", ["2:1 : this key stands here a second time; remove one of the two"]],
    ["a tab", "store:\n\tsync: full\n", ["2:1 : tabs cannot indent; use spaces"]],
    ["an open bracket", "listen: {port: 1\nstore: {}\n", ["2:1 : the indentation does not fit the lines around it, or a bracket is not closed"]],
    ["an open quote", 'key_header: "x\n', ["2:1 : something is missing: a colon after a key, a comma between items, or a closing quote or bracket"]],
    ["a colon in a plain value", "key_header: a: b\n", ["1:13 : a mapping or list begins where a plain value must stand; quote a value that holds a colon and a space"]],
    ["a star without quotes", `${good}models: [{name: *, provider: a}]\n`, ["2:17 : a value that begins with `*` needs quotes"]],
    ["an anchor that is nowhere", "key_header: *there\n", ["1:13 key_header: no anchor (`&name`) of this name stands before it; a value that begins with `*` needs quotes"]],
    ["a tag", "key_header: !secret x\n", ["1:13 : YAML tags (`!name`) are not read here"]],
    ["a list as file", "- a\n", ["1:1 : the file must hold `key: value` lines"]],
    ["a limit that limits nothing", "rate_limits: {rules: [{scope: 'key:*'}]}\n", [`1:23 rate_limits.rules[0]: limits nothing: give it one of requests_per_minute, tokens_per_minute, input_tokens_per_minute, output_tokens_per_minute, counts_per_minute, parallel_requests, open_streams, agents_in_parallel, new_agents_per_minute, new_sessions_per_hour`]],
    ["a limit of agents on a target", "rate_limits: {rules: [{scope: 'target:t', agents_in_parallel: 2}]}\n", ["1:63 rate_limits.rules[0].agents_in_parallel: is not for a target or a provider, which see calls and tokens only"]],
    ["a limit beyond what is counted", "rate_limits: {rules: [{scope: global, tokens_per_minute: 1000000001}]}\n", ["1:58 rate_limits.rules[0].tokens_per_minute: must be a whole number from 0 to 1000000000"]],
    ["a scope with half a wildcard", "rate_limits: {rules: [{scope: 'model:claude-*', open_streams: 1}]}\n", ["1:31 rate_limits.rules[0].scope: has a `*` within a name, which stands for whole names only"]],
    ["a budget of one model for each team", "budgets: [{scope: 'team_model:*/claude-x', amount: 1}]\n", ["1:19 budgets[0].scope: is too open: `*` stands for both parts, as in `team_model:*`"]],
    ["two documents", "store: {}\n---\nstore: {}\n", ["2:1 : a second document begins here; a file holds one"]],
  ])("%s", (_, text, expected) => {
    expect(errorsOf(load(text, { EMPTY: "" }))).toEqual(expected);
  });
});

describe("several faults", () => {
  it("are told in one pass, in the order of the file, each section, provider and model by itself", () => {
    const text = [
      "listen: {port: x}", //
      "admin: {key: changeme}",
      "providers:",
      "  a: {kind: nowhere}",
      "  b: {kind: anthropic, base_url: nope}",
      "models:",
      "  - {name: claude-x, provider: c}",
      "  - {provider: a}",
      "timeouts: {idle: x}",
      "extra: 1",
    ].join("\n");
    expect(errorsOf(load(text)).map((line) => line.split(": ")[0])).toEqual([
      "1:16 listen.port",
      "2:14 admin.key",
      "4:13 providers.a.kind",
      "5:34 providers.b.base_url",
      "7:32 models[0].provider",
      "8:5 models[1].name",
      "9:18 timeouts.idle",
      "10:1 extra",
    ]);
  });

  it("a doubled key hides no other fault", () => {
    expect(errorsOf(load("store: {}\nstore: {}\nlogging: {level: x}\n"))).toHaveLength(2);
  });

  it("a proxy of the environment that is none is an error of the environment", () => {
    const [error] = errorsOf(load("", { HTTPS_PROXY: "ftp://user:hunter22@h" }));
    expect(error).toBe("0:0 egress.proxy: the environment variable HTTPS_PROXY must be the address of a proxy such as `http://proxy.example:3128`");
  });

  it("a file that cannot be read is one error without a line", () => {
    const result = loadConfig({ path: "gone.yaml", env: {}, readFile: () => { throw Object.assign(new Error("secret text"), { code: "EACCES" }); }, providerSchemas, accept: [], allowInsecureDevKey: false });
    expect(result).toEqual({ ok: false, errors: [{ file: "gone.yaml", line: 0, column: 0, path: "", message: "the file cannot be read (EACCES)" }], keys: [] });
  });

  it("aliases that multiply themselves end in an error, not in memory", () => {
    const bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", ...Array.from({ length: 8 }, (_, index) => `a${index + 1}: &a${index + 1} [${Array(10).fill(`*a${index}`).join(", ")}]`)].join("\n");
    expect(errorsOf(load(bomb))).toContain("1:1 : the file is too large or too deeply nested");
  });
});

describe("secrets", () => {
  // Marked, so that a hit is no accident; with characters that YAML, URLs and regular expressions treat specially.
  const secret = fc.stringMatching(/^[ -~]{1,30}$/).map((text) => `Zq${text}qZ`);
  const keys = ["listen.host", "listen.port", "admin.key", "key_header", "store.sync", "egress.proxy", "timeouts.idle", "limits.body_max", "logging.level", "metrics.port", "providers.a.kind", "providers.a.base_url", "providers.a.auth_token", "prices.multiplier"];
  const modelKeys = ["name", "provider", "model", "credential", "price_model", "id"];

  it("no message holds a value of the environment or of a file, wherever it is put", () => {
    fc.assert(
      fc.property(secret, fc.subarray(keys, { minLength: 1 }), fc.subarray(modelKeys), fc.boolean(), (value, places, modelPlaces, isFile) => {
        const reference = isFile ? "${file:secret}" : "${SECRET}";
        const tree: Record<string, unknown> = { providers: { a: { kind: "anthropic" } } };
        for (const place of places) {
          const path = place.split(".");
          let node = tree;
          for (const part of path.slice(0, -1)) node = (node[part] ??= {}) as Record<string, unknown>;
          node[path.at(-1)!] = reference;
        }
        tree["models"] = [{ name: "claude-x", provider: "a" }, Object.fromEntries([["name", "claude-y"], ["provider", "a"], ...modelPlaces.map((key) => [key, reference])]), { name: reference, provider: "a", aliases: [reference] }];
        const result = load(JSON.stringify(tree), { SECRET: value }, { "/etc/secret": value });
        const notices = result.ok ? result.config.warnings : result.errors;
        for (const { message } of notices) expect(message).not.toContain(value);
      }),
      { numRuns: 300 },
    );
  });

  it("a credential written into the wrong key is not repeated either", () => {
    const text = "providers:\n  a: {kind: sk-ant-api03-XYZ}\nmodels: [{name: claude-x, provider: sk-ant-api03-XYZ}]\nlisten: {host: sk-ant-api03-XYZ!}\nadmin: {key: sk-XYZ}\n";
    const errors = errorsOf(load(text));
    expect(errors.length).toBeGreaterThan(3);
    expect(errors.join("\n")).not.toContain("XYZ");
  });

  it("a configuration shows no secret when it is printed", () => {
    const result = load(`${good.replace("sk-ant-1", "'${K}'")}${models}admin: {key: '\${A}'}\negress: {proxy: 'http://u:\${P}@h:1'}\n`, { K: "sk-ant-canary-1", A: "sk-canary-0123456789-abc", P: "canary-3" });
    expect(result.ok).toBe(true);
    expect(JSON.stringify(result, (_, value: unknown) => (value instanceof Map ? [...value] : typeof value === "bigint" ? String(value) : value))).not.toContain("canary");
  });
});
