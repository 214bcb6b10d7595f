/**
 * Guarantee: no secret and no text of a request or a reply ever reaches a log line, the audit table, a file of the data
 * directory, `/metrics`, `/health*`, an error reply or what a command prints. Unique strings stand in every place that could
 * leak; a real gateway process, logging at its chattiest, is led through every exit; then all that it left behind is searched
 * for each string, plain, in part, and in the codings that hide it from the eye.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findCanaries, formsOf, type CanaryOutput } from "../support/canary-search.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { startFakeBedrock, type FakeBedrock } from "../support/fake-bedrock.ts";
import { killLeftovers, launcher, startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";
import { messagesBody, until } from "../support/harness.ts";
import { startLoginTunnel } from "../support/login-tunnel.ts";
import { openCall, rawExchange, type CallOptions, type OpenReply, type Reply } from "./stage.ts";

const random = (): string => randomBytes(12).toString("hex");

/** What must stay where it belongs, by what it is. The slashes and signs are there because codings change them. */
const canaries = {
  providerKey: `sk-ant-api03-${random()}+/=${random()}`,
  bedrockKey: `bedrock-api-key-${random()}/+${random()}`,
  rejectedProviderKey: `sk-ant-old-${random()}`,
  adminKey: `sk-adm-${random()}${random()}`,
  chosenKey: `sk-own-${random()}${random()}`,
  wrongKey: `sk-nobody-${random()}${random()}`,
  wrongAdminKey: `sk-intruder-${random()}${random()}`,
  extraHeader: `extra-header-${random()}-value`,
  providerHeader: `provider-header-${random()}-value`,
  proxyPassword: `p@ss/${random()}:&${random()}`,
  otherVendorsLogin: `ya29.${random()}_${random()}`,
  googleKey: `AIza${random()}${random()}`,
  cookie: `session=${random()}${random()}`,
  proxyLogin: `sk-or-${random()}${random()}`,
  upstreamCookie: `cf_clearance=${random()}${random()}`,
  prompt: `prompt "${random()}" für ${random()}`,
  system: `system ${random()} ${random()}`,
  toolResult: `tool-result-${random()}-${random()}`,
  userId: `user_${random()}_account_${random()}`,
  reply: `reply ${random()} ${random()}`,
  malformed: `malformed ${random()} ${random()}`,
  cloudWords: `arn:aws:iam::${random()}:role/${random()}`,
} as const;
type Canary = keyof typeof canaries | "developerKey" | "rotatedKey" | "sessionToken" | "cliKey";

/** Grows with the keys that the gateway makes. */
const values = new Map<Canary, string>(Object.entries(canaries) as [Canary, string][]);

const outputs: CanaryOutput<Canary>[] = [];

function note(where: string, text: string | Buffer, allowed: readonly Canary[] = []): void {
  outputs.push({ where, bytes: typeof text === "string" ? Buffer.from(text) : text, allowed });
}

let root = "";
let fake: FakeAnthropic;
let bedrock: FakeBedrock;
let tunnel: { url: string; close(): void };
let gateway: GatewayProcess;
let url = "";
let key = "";
const dataDir = (): string => join(root, "data");

function configText(): string {
  return [
    "listen: {port: 0}",
    `admin: {key: "${canaries.adminKey}"}`,
    `egress: {proxy: "${tunnel.url}", no_proxy: []}`,
    "logging: {level: trace}",
    "limits: {body_max: 64KiB}",
    "timeouts: {idle: 500ms, connect: 1s}",
    "providers:",
    `  anthropic: {kind: anthropic, base_url: "${fake.url}", api_key: "${canaries.providerKey}", headers: {x-provider-extra: "\${PROVIDER_HEADER}"}}`,
    `  refused: {kind: anthropic, base_url: "${fake.url}", api_key: "${canaries.rejectedProviderKey}"}`,
    `  behind-login: {kind: anthropic, base_url: "http://127.0.0.1:9", api_key: "${canaries.providerKey}"}`,
    `  bedrock: {kind: bedrock, region: us-east-1, endpoint: "${bedrock.url}", api_key: "${canaries.bedrockKey}"}`,
    "models:",
    `  - {name: "claude-*", provider: anthropic, headers: {x-extra: "\${EXTRA_HEADER}"}}`,
    "  - {name: refused-claude, provider: refused, model: claude-haiku-4-5}",
    "  - {name: unreachable-claude, provider: behind-login, model: claude-haiku-4-5}",
    "  - {name: bedrock-claude, provider: bedrock, model: claude-sonnet-4-6}",
  ].join("\n");
}

const environment = { EXTRA_HEADER: canaries.extraHeader, PROVIDER_HEADER: canaries.providerHeader };

async function start(): Promise<void> {
  gateway = startGatewayProcess({ cwd: root, env: { HOME: root, ...environment }, args: ["--config", join(root, "tollgate.yaml"), "--data-dir", dataDir()] });
  url = await gateway.ready;
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "tollgate-canary-"));
  fake = await startFakeAnthropic({ apiKey: canaries.providerKey });
  bedrock = await startFakeBedrock({ bearer: canaries.bedrockKey });
  tunnel = await startLoginTunnel(canaries.proxyPassword);
  writeFileSync(join(root, "tollgate.yaml"), configText());
  await start();
  key = (await admin<{ key: string }>("/key/generate", { key_alias: "searched", models: ["claude-*", "refused-claude", "unreachable-claude", "bedrock-claude"] }, ["developerKey"])).key;
  values.set("developerKey", key);
}, 60_000);

afterAll(async () => {
  await killLeftovers();
  tunnel.close();
  await Promise.all([fake.close(), bedrock.close()]);
  rmSync(root, { recursive: true, force: true });
});

/** Every way in for a secret or a text at once. */
const everyHeader = {
  authorization: `Bearer ${canaries.otherVendorsLogin}`,
  "x-goog-api-key": canaries.googleKey,
  "proxy-authorization": `Bearer ${canaries.proxyLogin}`,
  cookie: canaries.cookie,
};
const everyText = {
  system: [{ type: "text", text: canaries.system }],
  messages: [
    { role: "user", content: canaries.prompt },
    { role: "assistant", content: [{ type: "tool_use", id: "toolu_01canary", name: "Bash", input: { command: canaries.prompt } }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_01canary", content: canaries.toolResult }] },
  ],
  tools: [{ name: "Bash", description: canaries.system, input_schema: { type: "object", properties: {} } }],
  metadata: { user_id: canaries.userId },
};
/** A cloud behaves as its fake is told, and not as a header says. */
const cloud = { headers: { "anthropic-test-behaviour": null } };
const replying: Behaviour = { text: canaries.reply, headers: { "set-cookie": canaries.upstreamCookie, "x-internal": canaries.cloudWords } };

const fullBody = (fields: Readonly<Record<string, unknown>> = {}): string => messagesBody({ ...everyText, ...fields });

/** Sends, and keeps the reply for the search: an error may hold nothing, an answer the model's own words. */
async function call(what: string, options: CallOptions = {}, allowed: readonly Canary[] = []): Promise<Reply> {
  const reply = await open(options);
  return noteReply(what, reply, allowed);
}

function open(options: CallOptions): Promise<OpenReply> {
  return openCall(url, key, { body: fullBody(), behaviour: replying, ...options, headers: { ...everyHeader, ...options.headers } });
}

async function noteReply(what: string, reply: OpenReply, allowed: readonly Canary[] = []): Promise<Reply> {
  const isComplete = await reply.ended;
  note(`the reply's head (${what})`, JSON.stringify(reply.message.rawHeaders), allowed);
  note(`the reply (${what})`, reply.bytes(), reply.status < 400 ? ["reply", ...allowed] : allowed);
  return { ...reply, isComplete };
}

async function admin<Shape = Record<string, unknown>>(path: string, body?: unknown, allowed: readonly Canary[] = [], asKey: string = canaries.adminKey): Promise<Shape> {
  const reply = await fetch(`${url}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${asKey}`, "content-type": "application/json", cookie: canaries.cookie },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await reply.text();
  note(`${path.replace(/sk-\w+/, "<key>")} (${reply.status})`, `${JSON.stringify([...reply.headers])}\n${text}`, allowed);
  return (text.startsWith("{") ? JSON.parse(text) : {}) as Shape;
}

interface Printed {
  readonly code: number;
  readonly stdout: string;
}

function cli(args: readonly string[], allowed: readonly Canary[] = [], env: Readonly<Record<string, string>> = {}): Promise<Printed> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [launcher, ...args],
      { cwd: root, env: { HOME: root, PATH: process.env["PATH"] ?? "", ...environment, TOLLGATE_URL: url, TOLLGATE_ADMIN_KEY: canaries.adminKey, ANTHROPIC_BASE_URL: `${url}/v1`, ANTHROPIC_AUTH_TOKEN: key, ...env } },
      (error, stdout, stderr) => {
        note(`tollgate ${args.slice(0, 2).join(" ")}`, stdout + stderr, allowed);
        done({ code: error === null ? 0 : Number(child.exitCode ?? 1), stdout });
      },
    );
  });
}

describe("while requests end in every way,", () => {
  it("answers pass with their own words and nothing else of the upstream's", async () => {
    for (const stream of [true, false]) {
      const reply = await call(`answer, stream ${stream}`, { body: fullBody({ stream }), behaviour: { ...replying, deltaCharacters: 100 } });
      expect([reply.status, reply.isComplete]).toEqual([200, true]);
      expect(reply.text()).toContain(canaries.reply);
    }
    const seen = fake.requests.at(-1)!.headers;
    // The canaries are really there: what the gateway adds arrived, and what it must hold back did not.
    expect([seen["x-api-key"], seen["x-extra"], seen["x-provider-extra"]]).toEqual([canaries.providerKey, canaries.extraHeader, canaries.providerHeader]);
    bedrock.behave(() => replying);
    for (const stream of [true, false]) {
      const reply = await call("answer of a cloud", { ...cloud, body: fullBody({ model: "bedrock-claude", stream }) });
      expect([reply.status, reply.text()]).toEqual([200, expect.stringContaining("usage")]);
    }
    const counted = await call("count", { path: "/v1/messages/count_tokens?beta=true", body: JSON.stringify({ model: "claude-opus-4-8", ...everyText, metadata: undefined }) });
    expect([counted.status, counted.text()]).toEqual([200, expect.stringContaining("input_tokens")]);
  });

  it("refusals of the gateway's own tell nothing of what was sent", async () => {
    const malformed = canaries.malformed;
    const bodies: readonly [string, string, number][] = [
      ["no JSON", malformed, 400],
      ["JSON cut off", fullBody().slice(0, -40), 400],
      ["a text without an end", `{"model":"claude-opus-4-8","max_tokens":5,"system":"${malformed}`, 400],
      ["a member twice", `{"model":"claude-opus-4-8","system":"${malformed}","system":"${malformed}"}`, 400],
      ["an unreadable name of a member", `{"model":"claude-opus-4-8","\\x${malformed}":1}`, 400],
      ["a model that cannot be read", `{"model":"\\x${malformed}","max_tokens":5}`, 400],
      ["a model that is no text", `{"model":{"a":"${malformed}"},"max_tokens":5}`, 400],
      ["a stream that is no boolean", messagesBody({ stream: malformed }), 400],
      ["a fallback that cannot be read", `{"model":"claude-opus-4-8","max_tokens":5,"messages":[],"fallbacks":[{"model":"x" "${malformed}"}]}`, 400],
      ["an advisor without a model", messagesBody({ tools: [{ type: "advisor_20260301", name: malformed }] }), 400],
      ["a body beyond the bound", messagesBody({ system: `${canaries.system}${"x".repeat(70_000)}` }), 413],
    ];
    for (const [what, body, status] of bodies) expect([what, (await call(what, { body })).status]).toEqual([what, status]);
    for (const wrong of [{ "x-api-key": canaries.wrongKey }, { "x-api-key": null, "x-litellm-api-key": canaries.wrongKey }, { "x-api-key": `${key}x` }]) {
      expect((await call("a wrong key", { headers: wrong })).status).toBe(401);
    }
    for (const agent of ["claude-cli/2.1.330 (external, cli)", "curl/8"]) {
      expect((await call("a model out of reach", { body: fullBody({ model: "gpt-forbidden" }), headers: { "user-agent": agent } })).status).toBeGreaterThanOrEqual(400);
    }
    await call("a path that is not there", { path: `/v1/nothing/${encodeURIComponent(canaries.cookie)}?key=${canaries.googleKey}` });
    await call("no method of this path", { method: "PUT", path: `/v1/messages?key=${canaries.googleKey}` });
    await call("a compressed body", { headers: { "content-encoding": "gzip" } });
    const port = Number(new URL(url).port);
    for (const line of [`x-api-key: ${key}\r\nX-Api-Key: ${canaries.wrongKey}`, `cookie: ${canaries.cookie}\0`, `${canaries.cookie}`, `x: ${canaries.cookie}\r\nx-many: ${"v".repeat(40_000)}`]) {
      note("the reply to a malformed head", await rawExchange(port, `POST /v1/messages HTTP/1.1\r\nHost: a\r\n${line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`));
    }
  });

  it("requests that only the way to a cloud cannot read tell nothing of themselves", async () => {
    const malformed = canaries.malformed;
    const broken = [`"anthropic_beta":"${malformed}"`, `"anthropic_beta":["a\\u0000", "${malformed}"]`, `"thinking":{"budget_tokens":1 ${malformed}}`, `"anthropic_beta":["${malformed}" ${malformed}]`, `"output_config":{${malformed}}`, `"context_management":[${malformed}]`, `"tools":[{"type":"${malformed}" x}]`, `"speed":${malformed.slice(0, 9)}`];
    bedrock.behave(() => undefined);
    for (const member of broken) {
      const rest = `"max_tokens":5,"messages":[{"role":"user","content":"x"}],${member}`;
      for (const model of ["bedrock-claude", "claude-opus-4-8"]) {
        const replies = [
          await call(`${model}: ${member.slice(0, 20)}`, { body: `{"model":"${model}",${rest}}` }),
          await call(`${model} counted: ${member.slice(0, 20)}`, { path: "/v1/messages/count_tokens", body: `{"model":"${model}",${rest}}` }),
          await call(`${model} in Bedrock's envelope: ${member.slice(0, 20)}`, { path: `/bedrock/model/${model}/invoke`, body: `{"model":"\\q${malformed}","anthropic_version":"bedrock-2023-05-31",${rest}}` }),
          await call(`${model} counted in Bedrock's envelope`, { path: `/bedrock/model/${model}/count-tokens`, body: JSON.stringify({ input: { invokeModel: { body: Buffer.from(`{"anthropic_version":"bedrock-2023-05-31",${rest}}`).toString("base64") } } }) }),
        ];
        for (const reply of replies) expect([member, reply.status, reply.text()]).toEqual([member, expect.toSatisfy((status: number) => status < 500), expect.anything()]);
      }
    }
  });

  it("errors of an upstream pass as they are, and are not written down", async () => {
    const echo = `messages.0: Input should be valid, got ${canaries.prompt}`;
    for (const status of [400, 413, 429, 500, 529]) {
      const reply = await call(`an upstream's ${status}`, { behaviour: { status, message: echo, headers: { "set-cookie": canaries.upstreamCookie } } }, ["prompt"]);
      expect([reply.status, reply.text().includes("Input should be valid")]).toEqual([status, true]);
    }
    for (const status of [401, 403]) expect((await call(`an upstream's ${status}`, { behaviour: { status, message: `invalid x-api-key ${canaries.providerKey}` } })).status).toBe(503);
    expect((await call("a login that is refused", { body: fullBody({ model: "refused-claude" }) })).status).toBe(503);
    expect((await call("a proxy that refuses", { body: fullBody({ model: "unreachable-claude" }) })).status).toBe(502);
  });

  it("errors of a cloud are told in plain words", async () => {
    const said = `User: ${canaries.cloudWords} is not authorized, key ${canaries.bedrockKey}, input ${canaries.prompt}`;
    const errors: readonly [number, string][] = [[400, "ValidationException"], [401, "UnrecognizedClientException"], [403, "AccessDeniedException"], [404, "ResourceNotFoundException"], [429, "ThrottlingException"], [500, "InternalServerException"], [503, "ServiceUnavailableException"]];
    for (const [status, type] of errors) {
      bedrock.behave(() => ({ front: { status, body: { message: said, __type: type } }, headers: { "x-amzn-errortype": type, "set-cookie": canaries.upstreamCookie } }));
      for (const path of ["/v1/messages", "/v1/messages/count_tokens", "/bedrock/model/bedrock-claude/invoke"]) {
        const reply = await call(`a cloud's ${status}`, { ...cloud, path, body: fullBody({ model: "bedrock-claude", ...(path.startsWith("/bedrock") ? { anthropic_version: "bedrock-2023-05-31" } : {}) }) });
        expect(reply.status).toBeGreaterThanOrEqual(400);
      }
    }
    for (const type of ["modelStreamErrorException", "throttlingException", "validationException", "strangeException"]) {
      for (const at of ["headers", "mid-text"] as const) {
        bedrock.behave(() => ({ text: canaries.reply, exception: { type, message: said, at } }));
        await call(`a cloud's ${type}, ${at}`, { ...cloud, body: fullBody({ model: "bedrock-claude", stream: true }) });
      }
    }
    bedrock.behave(() => undefined);
  });

  it("replies that break off, or are none, are not written down", async () => {
    const faults: readonly Behaviour["fault"][] = [{ at: "headers", does: "destroy" }, { at: "mid-text", does: "destroy" }, { at: "mid-text", does: "reset" }, { at: "mid-text", does: "end" }, { at: "mid-text", does: "stall" }, { at: "before-usage", does: "error-event" }];
    for (const fault of faults) {
      if (fault === undefined) continue;
      for (const stream of [true, false]) await call(`a reply that breaks (${JSON.stringify(fault)})`, { body: fullBody({ stream }), behaviour: { ...replying, message: canaries.malformed, fault } }, ["reply", "malformed"]);
    }
    const json = { contentType: "application/json", text: `{"type":"message","usage":{"input_tokens":1 ${canaries.reply}` };
    const stream = { contentType: "text/event-stream", text: `event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":${canaries.reply}\n\n` };
    for (const page of ["html", "empty", json, stream] as const) await call("a page", { behaviour: { page }, body: fullBody({ stream: page === stream }) });
    for (const raw of [`HTTP/1.1 200 OK\r\nset-cookie: ${canaries.upstreamCookie}\r\nbad header ${canaries.reply}\r\n\r\n`, `${canaries.reply}`, `HTTP/1.1 302 Found\r\nlocation: http://elsewhere/${canaries.providerKey}\r\ncontent-length: 0\r\n\r\n`, `HTTP/1.1 200 ${canaries.reply}\r\ncontent-type: ${canaries.reply.replaceAll(" ", "/")}\r\ncontent-length: 2\r\n\r\n{}`]) {
      expect((await call("no reply at all", { behaviour: { raw } })).status).toBe(502);
    }
    const count = `{"input_tokens": ${canaries.reply}}`;
    fake.scriptOther(() => ({ raw: `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${count.length}\r\n\r\n${count}` }));
    await call("a count that is none", { path: "/v1/messages/count_tokens" });
    await call("a count that is none, in Bedrock's envelope", { path: "/bedrock/model/claude-opus-4-8/count-tokens", body: JSON.stringify({ input: { invokeModel: { body: Buffer.from(JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 5, ...everyText })).toString("base64") } } }) });
    fake.scriptOther(() => undefined);
    bedrock.behave(() => ({ front: { status: 200, body: canaries.reply } }));
    for (const path of ["/v1/messages/count_tokens", "/v1/messages"]) await call("a cloud's answer that is none", { ...cloud, path, body: fullBody({ model: "bedrock-claude" }) });
    bedrock.behave(() => undefined);
  });

  it("clients that leave leave nothing", async () => {
    for (const stream of [true, false]) {
      const abort = new AbortController();
      const going = open({ body: fullBody({ stream }), behaviour: { ...replying, fault: { at: stream ? "mid-text" : "connect", does: "stall" } }, signal: abort.signal });
      const arrived = fake.requests.length;
      await until("the request to be there", () => fake.requests.length > arrived || fake.inFlight > 0);
      if (stream) await until("the stream to run", async () => (await going).text().includes("message_start"));
      abort.abort();
      await going.catch(() => undefined);
      await until("the upstream to be left", () => fake.inFlight === 0);
    }
  });
});

describe("while it is administered,", () => {
  it("the management API shows a key only to who made it, and refusals show nothing", async () => {
    await admin("/key/generate", { key: canaries.chosenKey, key_alias: "chosen" }, ["chosenKey"]);
    await admin("/key/generate", { key: canaries.chosenKey, key_alias: "chosen-again" });
    await admin("/key/generate", { models: canaries.malformed, unknown_field: canaries.malformed });
    await admin("/key/generate", `{"key_alias": ${canaries.malformed}}`);
    // Whoever names a key by itself gets it back, as LiteLLM has it.
    await admin("/key/update", { key: canaries.chosenKey, max_budget: 5 }, ["chosenKey"]);
    const { key: rotated } = await admin<{ key: string }>("/key/regenerate", { key: canaries.chosenKey, grace_period: "10m" }, ["rotatedKey"]);
    values.set("rotatedKey", rotated);
    const { token } = await admin<{ token: string }>("/v1/me/token", {}, ["sessionToken"], key);
    expect([typeof rotated, typeof token]).toEqual(["string", "string"]);
    values.set("sessionToken", token);
    await admin("/v1/me", undefined, [], token);
    for (const path of ["/key/block", "/key/unblock"]) await admin(path, { key: rotated }, ["rotatedKey"]);
    await admin(`/key/info?key=${rotated}`, undefined, ["rotatedKey"]);
    for (const path of ["/key/list", "/spend/logs", "/api/v1/usage?by=key&rows=1000", "/api/v1/usage?by=session", "/v1/me", "/v1/models", "/metrics"]) await admin(path);
    await admin("/key/delete", { keys: [rotated] }, ["rotatedKey"]);
    for (const path of ["/key/info", `/key/info?key=${canaries.wrongKey}`, "/key/list", "/metrics", "/v1/models"]) for (const wrong of [canaries.wrongAdminKey, key]) await admin(path, undefined, [], wrong);
    for (const path of ["/key/delete", "/key/update"]) await admin(path, { key: canaries.wrongKey, keys: [canaries.wrongKey] });
  });

  it("commands print a key only when they make it", async () => {
    const made = await cli(["keys", "create", "--alias", "by-command", "--json"], ["cliKey"]);
    expect(made.code).toBe(0);
    values.set("cliKey", (JSON.parse(made.stdout) as { key: string }).key);
    const own = values.get("cliKey")!;
    for (const args of [["keys", "list"], ["keys", "list", "--json"], ["keys", "show", own], ["keys", "show", own, "--json"], ["keys", "show", canaries.wrongKey], ["keys", "block", own], ["keys", "revoke", own]]) await cli(args);
    for (const by of ["key", "model", "session", "provider"]) await cli(["usage", "--by", by, "--json"]);
    for (const format of [[], ["--json"]]) await cli(["doctor", "--config", join(root, "tollgate.yaml"), "--data-dir", dataDir(), ...format]);
    await cli(["doctor"], [], { ANTHROPIC_API_KEY: canaries.providerKey, ANTHROPIC_CUSTOM_HEADERS: `x-secret: ${canaries.extraHeader}`, TOLLGATE_ADMIN_KEY: canaries.wrongAdminKey, HTTPS_PROXY: tunnel.url });
    await cli(["keys", "list"], [], { TOLLGATE_ADMIN_KEY: canaries.wrongAdminKey });
    await cli(["keys", "list", "--url", tunnel.url]);
  }, 60_000);

  it("no check of a broken file repeats a secret in it", async () => {
    const secret = canaries.malformed.replaceAll(" ", "-");
    values.set("malformed", secret);
    const files: readonly [string, string][] = [
      ["an unclosed quote", `admin: {key: "${secret}\nproviders: {}`],
      ["a key with a space", `providers: {anthropic: {kind: anthropic, api_key ${secret}}}`],
      ["a tab", `providers:\n\tanthropic: {kind: anthropic, api_key: ${secret}}`],
      ["a list in place of a secret", `providers: {anthropic: {kind: anthropic, api_key: [${secret}]}}`],
      ["a secret beside its place", `providers: {anthropic: {kind: anthropic, apikey: ${secret}, base_url: "https://user:${secret}@example.com"}}`],
      ["a secret in place of a section", `admin: ${secret}\negress: ${secret}\nproviders: ${secret}`],
      ["a secret as a value of a closed list", `logging: {level: ${secret}}\nstore: {sync: ${secret}}\nlimits: {body_max: ${secret}}\ntimeouts: {idle: ${secret}}`],
      ["a secret from a variable where none belongs", 'logging: {level: "${EXTRA_HEADER}"}\nproviders: {x: {kind: "${EXTRA_HEADER}"}}\nmodels: [{name: "claude-*", provider: "${EXTRA_HEADER}"}]'],
      ["a variable that is not there", 'admin: {key: "${MISSING}"}\negress: {proxy: "${EXTRA_HEADER}"}'],
      ["a proxy that is no address", `egress: {proxy: "http://user:${secret}@proxy:80:80"}`],
      ["a proxy of another kind", `egress: {proxy: "socks5://user:${secret}@proxy:1080"}`],
      ["a header with a line break", `providers: {anthropic: {kind: anthropic, api_key: x, headers: {x-a: "${secret}\\r\\nx: y"}}}`],
      ["a credential in AWS's settings", `providers: {b: {kind: bedrock, region: us-east-1, secret_access_key: ${secret}}}`],
      ["a LiteLLM file", `model_list: [{model_name: claude, litellm_params: {model: anthropic/claude-opus-4-8, api_key: [${secret}], api_base: "https://u:${secret}@h/v1", unknown: ${secret}}}]\ngeneral_settings: {master_key: [${secret}], database_url: "postgres://u:${secret}@db/x", unknown_setting: ${secret}}\nenvironment_variables: {ANTHROPIC_API_KEY: [${secret}]}\ncredential_list: ${secret}`],
    ];
    mkdirSync(join(root, "broken"));
    for (const [index, [what, text]] of files.entries()) {
      const file = join(root, "broken", `${index}.yaml`);
      writeFileSync(file, text);
      for (const format of [[], ["--json"]]) expect([what, (await cli(["config", "check", file, ...format])).code]).toEqual([what, expect.toSatisfy((code: number) => code !== 0)]);
    }
    const serving = startGatewayProcess({ cwd: root, env: { HOME: root, ...environment }, args: ["--config", join(root, "broken", "6.yaml"), "--data-dir", join(root, "other-data")] });
    expect(await serving.exit).not.toBe(0);
    note("a start with a broken file", serving.stdout() + serving.stderr());
  }, 120_000);
});

it("nothing of it is found anywhere, neither before nor after a kill -9 and a new start", async () => {
  for (const path of ["/health/liveliness", "/health/liveness", "/health/readiness"]) await admin(path, undefined, [], canaries.wrongKey);
  await admin("/metrics");
  const running = await open({ body: fullBody({ stream: true }), behaviour: { ...replying, fault: { at: "mid-text", does: "stall" } } });
  await until("the stream to run", () => running.text().includes("message_start"));
  await gateway.kill9();
  noteProcess("before the kill");
  noteDataDir("after the kill");

  await start();
  await call("an answer after the new start");
  await admin("/metrics");
  await admin("/api/v1/usage?by=key&rows=1000");
  gateway.signal("SIGTERM");
  expect(await gateway.exit, gateway.stderr()).toBe(0);
  noteProcess("after the new start");
  noteDataDir("after the end");

  // The search finds what is there: an output that holds each value in each form gives as many finds.
  expect(findCanaries(values, outputs)).toEqual([]);
  const before = outputs.length;
  for (const [name, value] of values) for (const form of formsOf(value)) note(`a test of the search for ${name}`, `x${form}y`);
  expect(findCanaries(values, outputs).length).toBeGreaterThanOrEqual(outputs.length - before);
  expect(outputs.filter(({ where }) => where.startsWith("log")).every(({ bytes }) => bytes.includes('"msg":"request"'))).toBe(true);
}, 60_000);

function noteProcess(when: string): void {
  // A cloud's own words about accounts tell its operator what to mend, and stand nowhere else.
  note(`log ${when}`, gateway.stdout(), ["cloudWords"]);
  note(`stderr ${when}`, gateway.stderr());
}

/** Files as they are, and rows as SQLite reads them: a long value is spread over pages. */
function noteDataDir(when: string): void {
  for (const name of readdirSync(dataDir())) if (name !== "admin-key") note(`${name} ${when}`, readFileSync(join(dataDir(), name)));
  const copy = mkdtempSync(join(root, "copy-"));
  for (const name of readdirSync(dataDir()).filter((file) => file.startsWith("tollgate.db") && !file.endsWith("-shm"))) writeFileSync(join(copy, name), readFileSync(join(dataDir(), name)));
  const database = new DatabaseSync(join(copy, "tollgate.db"));
  const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[];
  expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(["audit", "attempts", "keys"]));
  for (const { name } of tables) note(`table ${name} ${when}`, JSON.stringify(database.prepare(`SELECT * FROM "${name}"`).all(), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)));
  database.close();
}
