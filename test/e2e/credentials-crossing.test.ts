/**
 * Guarantee: no client credential reaches an upstream and no provider credential a client, but for one: a login that the
 * target asks for, to that target alone. A refusal of our own credential is never shown as the client's.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { adminKey, messagesBody, upstreamKey } from "../support/harness.ts";
import { startStage, type CallOptions, type ErrorBody, type Stage } from "./stage.ts";

const login = "sk-ant-oat01-canary-of-a-client-000000000000";
const cloudLogin = "eyJ0eXAi.canary-of-a-cloud-login-000000000000";
const otherVendors = "AIza-canary-of-another-vendor-00000000";

let stage: Stage;
/** The upstream of the target that takes the client's own login. */
let own: FakeAnthropic;
/** The upstream of targets at clouds whose Messages API takes a bearer of the client's own. */
let ownCloud: FakeAnthropic;

beforeAll(async () => {
  own = await startFakeAnthropic({ authToken: login, forbiddenSecrets: [upstreamKey, adminKey] });
  ownCloud = await startFakeAnthropic({ authToken: cloudLogin, models: ["claude-opus-4-8", "anthropic.claude-opus-4-8"], forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    providers: `own: {kind: anthropic, base_url: "${own.url}", api_key: "sk-ant-unused-canary-000000000000"}, own-foundry: {kind: foundry, base_url: "${ownCloud.url}", api_key: unused-canary-0000}, own-mantle: {kind: mantle, region: us-east-1, endpoint: "${ownCloud.url}", api_key: unused-canary-0000}`,
    models: `models:
  - {name: claude-own-foundry, provider: own-foundry, model: claude-opus-4-8, credential: client}
  - {name: claude-own-mantle, provider: own-mantle, model: claude-opus-4-8, credential: client}
  - {name: claude-own-login, provider: own, model: claude-opus-4-8, credential: client}
  - {name: claude-own-first, targets: [{provider: own, model: claude-opus-4-8, credential: client, id: own-first}, {provider: anthropic, model: claude-opus-4-8, id: ours-next}]}
  - {name: "claude-*", provider: anthropic}`,
  });
  stage.forbid(login);
  stage.forbid(cloudLogin);
  stage.forbid(otherVendors);
});

afterAll(async () => {
  await stage.close();
  await own.close();
  await ownCloud.close();
  expect([...own.violations, ...ownCloud.violations]).toEqual([]);
});

const oauth = { authorization: `Bearer ${login}`, "anthropic-beta": "oauth-2025-04-20" };

describe("a client's credentials", () => {
  it.each([
    ["x-api-key", (key: string) => ({ "x-api-key": key })],
    ["a bearer", (key: string) => ({ authorization: `Bearer ${key}` })],
    ["x-litellm-api-key", (key: string) => ({ "x-litellm-api-key": key })],
    ["x-litellm-api-key with Bearer", (key: string) => ({ "x-litellm-api-key": `Bearer ${key}` })],
    ["api-key", (key: string) => ({ "api-key": key })],
    ["x-goog-api-key", (key: string) => ({ "x-goog-api-key": key })],
    ["Proxy-Authorization", (key: string) => ({ "proxy-authorization": `Bearer ${key}` })],
    ["a key beside another vendor's", (key: string) => ({ "x-goog-api-key": otherVendors, "x-api-key": key })],
    ["a key beside a claude.ai login", (key: string) => ({ ...oauth, "x-api-key": key })],
    ["a key that is sent twice", (key: string) => ({ authorization: `Bearer ${key}`, "x-api-key": key })],
  ])("stay behind: %s", async (_how, headers) => {
    for (const path of ["/v1/messages", "/v1/messages/count_tokens"]) {
      const body = path === "/v1/messages" ? messagesBody() : JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] });
      const reply = await stage.call({ path, body, headers: { "x-api-key": null, ...headers(stage.key) } });
      expect(reply.status).toBe(200);
      expect(reply.headers).not.toHaveProperty("x-tollgate-notice");
      const arrived = stage.received(reply.session);
      expect(arrived.headers["x-api-key"]).toBe(upstreamKey);
      expect(arrived.headers).not.toHaveProperty("authorization");
    }
  });

  it("of two people: the first is billed, and the caller is told", async () => {
    const second = await stage.harness.key({ key_alias: "second" });
    stage.forbid(second);
    const reply = await stage.call({ headers: { authorization: `Bearer ${second}`, "x-api-key": stage.key } });
    expect(reply.headers["x-tollgate-notice"]).toBe("two-keys");
    const counted = await stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] }), headers: { authorization: `Bearer ${second}` } });
    expect(counted.headers["x-tollgate-notice"]).toBe("two-keys");
    const [row] = await stage.rows(reply.session);
    const info = await stage.harness.admin<{ info: { key_alias: string }; key: string }>("GET", `/key/info?key=${second}`);
    expect(info.info.key_alias).toBe("second");
    const alone = await stage.call({ headers: { "x-api-key": second } });
    expect((await stage.rows(alone.session))[0]?.["key_id"]).toBe(row?.["key_id"]);
  });

  it.each([
    ["none", { "x-api-key": null }],
    ["an unknown one", { "x-api-key": "sk-unknown-0000000000000000000000" }],
    ["the upstream's own", { "x-api-key": upstreamKey }],
    ["a login alone", { ...oauth, "x-api-key": null }],
  ])("that are no key are a 401 that is not tried again: %s", async (_what, headers) => {
    for (const stream of [true, false]) {
      const reply = await stage.call({ body: messagesBody({ stream }), headers });
      expect(reply.status).toBe(401);
      expect(reply.headers["x-should-retry"]).toBe("false");
      expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
      expect(await stage.rowsNow(reply.session)).toEqual([]);
    }
  });

  it("of an operator do not call models", async () => {
    const reply = await stage.call({ headers: { "x-api-key": adminKey } });
    expect(reply.status).toBe(403);
  });

  it("that were revoked end with the next request", async () => {
    const key = await stage.harness.key();
    stage.forbid(key);
    expect((await stage.call({ headers: { "x-api-key": key } })).status).toBe(200);
    await stage.harness.admin("POST", "/key/delete", { keys: [key] });
    expect((await stage.call({ headers: { "x-api-key": key } })).status).toBe(401);
  });
});

describe("a target with credential: client", () => {
  const call = (options: CallOptions = {}) => stage.call({ body: messagesBody({ model: "claude-own-login" }), ...options, headers: { ...oauth, ...options.headers } });

  it("gets the login, and nothing of ours", async () => {
    const reply = await call();
    expect(reply.status).toBe(200);
    const arrived = own.requests.at(-1)!;
    expect(arrived.headers["authorization"]).toBe(`Bearer ${login}`);
    expect(arrived.headers).not.toHaveProperty("x-api-key");
    expect(arrived.body.toString()).not.toContain(stage.key);
    expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "reported", provider: "own" });
  });

  it("shows its owner the quota that is theirs", async () => {
    const reply = await call();
    expect(reply.headers).toHaveProperty("anthropic-ratelimit-unified-status");
    expect(reply.headers).not.toHaveProperty("set-cookie");
  });

  it.each([401, 403])("hands on its own %i", async (status) => {
    const reply = await call({ behaviour: { status, message: "OAuth token has expired." } });
    expect(reply.status).toBe(status);
    expect(reply.json<ErrorBody>().error.message).toBe("OAuth token has expired.");
  });

  it("is not held to be down for what callers' logins meet there: neither a refusal nor a quota", async () => {
    const first = (behaviour?: Behaviour) => call({ body: messagesBody({ model: "claude-own-first" }), ...(behaviour === undefined ? {} : { behaviour }) });
    for (let index = 0; index < 6; index++) expect((await first({ status: index % 2 === 0 ? 401 : 403 })).status).toBe(index % 2 === 0 ? 401 : 403);
    await first({ status: 429, headers: { "retry-after": "60" } });
    const reply = await first();
    expect([reply.status, reply.headers["x-litellm-model-id"]]).toEqual([200, "own-first"]);
  });

  it("refuses who sends no login", async () => {
    const before = own.requests.length;
    for (const headers of [{ authorization: null }, { authorization: `Bearer ${stage.key}` }, { authorization: "Bearer sk-gone-0000000000000000000" }, { authorization: "Basic dXNlcjpwYXNz" }]) {
      const reply = await call({ headers });
      expect(reply.status).toBe(401);
      expect(reply.headers["x-should-retry"]).toBe("false");
    }
    expect(own.requests.length).toBe(before);
  });
});

describe.each(["foundry", "mantle"])("a target with credential: client at %s", (place) => {
  const call = (bearer: string): ReturnType<Stage["call"]> => stage.call({ path: `/${place}/v1/messages`, body: messagesBody({ model: `claude-own-${place}` }), headers: { authorization: `Bearer ${bearer}` } });

  it("gets the client's own bearer, and nothing of ours", async () => {
    const reply = await call(cloudLogin);
    expect(reply.status, reply.text()).toBe(200);
    const arrived = ownCloud.requests.at(-1)!;
    expect(arrived.headers["authorization"]).toBe(`Bearer ${cloudLogin}`);
    expect(arrived.headers).not.toHaveProperty("x-api-key");
    expect(JSON.stringify(arrived)).not.toContain(stage.key);
    expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "reported", provider: `own-${place}` });
  });

  it("gets no key of any gateway, and no claude.ai login", async () => {
    const before = ownCloud.requests.length;
    for (const bearer of [stage.key, "sk-gone-0000000000000000000", login]) expect((await call(bearer)).status).toBe(401);
    expect(ownCloud.requests.length).toBe(before);
  });
});

describe("the gateway's own credential", () => {
  it.each([401, 403])("when refused with %i is the operator's trouble, not the client's", async (status) => {
    for (const stream of [true, false]) {
      const reply = await stage.call({ body: messagesBody({ stream }), behaviour: { status, message: `invalid x-api-key ${upstreamKey}` } });
      expect(reply.status).toBe(503);
      expect(reply.headers["x-should-retry"]).toBe("false");
      const { error } = reply.json<ErrorBody>();
      expect(error.type).toBe("api_error");
      expect(error.message).toContain("credential for anthropic was rejected");
      expect((await stage.rows(reply.session))[0]).toMatchObject({ status, source: "none", cost_usd: "0.00" });
    }
  });

  it("is in no answer of the gateway, whatever is asked", async () => {
    for (const path of ["/v1/models", "/metrics", "/key/list", "/api/v1/usage?rows=100", "/spend/logs", "/health/readiness", "/v1/me", "/nowhere"]) {
      for (const key of [stage.key, adminKey]) await stage.call({ method: "GET", path, body: null, headers: { "x-api-key": key } });
    }
  });
});
