/**
 * Guarantee: the header that the operator named for keys is read first, in a native file and in a LiteLLM one; the ordinary
 * headers follow; and it never goes upstream, whatever its name.
 */
import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { adminKey, messagesBody, post, startHarness, upstreamKey, type Harness } from "../support/harness.ts";
import { startStage, type CallOptions, type Stage } from "./stage.ts";

const litellm = (url: string, header: string): string =>
  [
    "model_list:",
    '  - model_name: "claude-*"',
    `    litellm_params: {model: "anthropic/claude-*", api_key: "${upstreamKey}", api_base: "${url}"}`,
    `general_settings: {master_key: "${adminKey}", litellm_key_header_name: "${header}"}`,
    "tollgate: {listen: {host: 127.0.0.1, port: 0}, logging: {level: silent}}",
  ].join("\n");

let stage: Stage | undefined;
let harness: Harness | undefined;
let fake: FakeAnthropic | undefined;

afterEach(async () => {
  await stage?.close();
  await harness?.close();
  await fake?.close();
  expect(fake?.violations ?? []).toEqual([]);
  stage = harness = fake = undefined;
});

const none = { "x-api-key": null } as const;

function withHeaders(headers: CallOptions["headers"]): CallOptions {
  return { headers: { ...none, ...headers } };
}

/** Whose row a request became: the key's alias is the user's id in these tests. */
async function billed(own: Stage, call: CallOptions): Promise<unknown> {
  const reply = await own.call(call);
  expect(reply.status, reply.text()).toBe(200);
  return (await own.rows(reply.session))[0]!["user_id"];
}

describe("key_header", () => {
  it("is read first, with or without Bearer, in any letter case", async () => {
    stage = await startStage({ config: "key_header: X-Team-Key" });
    const first = await stage.harness.key({ user_id: "first" });
    const other = await stage.harness.key({ user_id: "other" });
    expect(await billed(stage, withHeaders({ "x-team-key": first }))).toBe("first");
    expect(await billed(stage, withHeaders({ "X-TEAM-KEY": `Bearer ${first}` }))).toBe("first");
    expect(await billed(stage, withHeaders({ "x-team-key": first, "x-litellm-api-key": other, authorization: `Bearer ${other}`, "x-api-key": other }))).toBe("first");
    const both = await stage.call(withHeaders({ "x-team-key": first, "x-api-key": other }));
    expect(both.headers["x-tollgate-notice"]).toBe("two-keys");
  });

  it("that is absent, empty or holds something else leaves the ordinary order", async () => {
    stage = await startStage({ config: "key_header: X-Team-Key" });
    const own = await stage.harness.key({ user_id: "own" });
    const other = await stage.harness.key({ user_id: "other" });
    expect(await billed(stage, withHeaders({ "x-api-key": own }))).toBe("own");
    expect(await billed(stage, withHeaders({ authorization: `Bearer ${own}` }))).toBe("own");
    expect(await billed(stage, withHeaders({ "x-team-key": "", "x-api-key": own }))).toBe("own");
    expect(await billed(stage, withHeaders({ "x-team-key": "ya29.of-another-house", "x-api-key": own }))).toBe("own");
    expect(await billed(stage, withHeaders({ "x-litellm-api-key": own, authorization: `Bearer ${other}` }))).toBe("own");
    expect((await stage.call(withHeaders({ "x-team-key": "sk-nobody" }))).status).toBe(401);
    expect((await stage.call(withHeaders({}))).status).toBe(401);
  });

  it("that comes twice, with different keys, is refused as nobody's", async () => {
    stage = await startStage({ config: "key_header: X-Team-Key" });
    const one = await stage.harness.key();
    const two = await stage.harness.key();
    const reply = await stage.call(withHeaders({ "x-team-key": [one, two] }));
    expect([400, 401]).toContain(reply.status);
  });

  it.each(["X-Team-Key", "Proxy-Authorization", "Anthropic-Team-Key", "X-Stainless-Key", "X-Claude-Code-Key", "User-Agent", "X-App"])("named %s never goes upstream", async (name) => {
    stage = await startStage({ config: `key_header: ${name}` });
    const key = await stage.harness.key({ user_id: "own" });
    stage.forbid(key);
    const countBody = JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "Hello" }] });
    for (const [path, body] of [["/v1/messages", messagesBody()], ["/v1/messages/count_tokens", countBody]] as const) {
      const reply = await stage.call({ ...withHeaders({ [name.toLowerCase()]: `Bearer ${key}` }), path, body });
      expect(reply.status, reply.text()).toBe(200);
      expect(stage.received(reply.session).headers).not.toHaveProperty(name.toLowerCase());
    }
  });
});

describe("general_settings.litellm_key_header_name", () => {
  it.each(["Proxy-Authorization", "X-Litellm-Key"])("%s is read first, the ordinary order follows, and it stays here", async (name) => {
    fake = await startFakeAnthropic({ apiKey: upstreamKey });
    harness = await startHarness({ upstreamUrl: fake.url, file: litellm(fake.url, name) });
    const own = await harness.key({ user_id: "own" });
    const other = await harness.key({ user_id: "other" });
    expect(await raw(harness, { [name]: `Bearer ${own}`, authorization: `Bearer ${other}` })).toBe(200);
    expect(await raw(harness, { [name]: own, "x-api-key": other })).toBe(200);
    expect(await raw(harness, { authorization: `Bearer ${own}` })).toBe(200);
    expect((await post(harness.url, own, messagesBody())).status).toBe(200);
    expect(await raw(harness, { [name]: "Basic dXNlcjpwYXNz", "x-api-key": own })).toBe(200);
    expect(await raw(harness, { [name]: "Bearer sk-nobody" })).toBe(401);
    const rows = await harness.rows();
    expect(rows.map((row) => row["user_id"])).toEqual(["own", "own", "own", "own", "own"]);
    for (const { headers } of fake.requests) {
      expect(headers).not.toHaveProperty(name.toLowerCase());
      for (const secret of [own, other, adminKey]) expect(JSON.stringify(headers)).not.toContain(secret);
    }
  });
});

/** `fetch` does not send `Proxy-Authorization`. */
function raw(own: Harness, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(`${own.url}/v1/messages`, { method: "POST", agent: false, headers: { "anthropic-version": "2023-06-01", "content-type": "application/json", ...headers } });
    call.on("error", reject);
    call.on("response", (reply) => {
      reply.on("end", () => resolve(reply.statusCode ?? 0));
      reply.resume();
    });
    call.end(messagesBody());
  });
}
