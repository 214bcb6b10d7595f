/**
 * Guarantee: who serves a call is decided as the file says: by tags, by the length of the prompt, by the limits of each target; one probe
 * tells whether a place that failed is well again while others wait elsewhere; a count of tokens finds another place too; and a LiteLLM
 * file's own words for all this mean the same.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { openCall, startStage, type OpenReply, type Reply, type Stage } from "./stage.ts";

const secondKey = "sk-ant-second-canary-0000000000000000";
let stage: Stage;
let second: FakeAnthropic;

const pair = (name: string, first = "", other = "", extra = ""): string => `
  - name: ${name}
    ${extra}
    targets:
      - {provider: anthropic, model: claude-opus-4-8, id: ${name}-first${first}}
      - {provider: second, model: claude-opus-4-8, id: ${name}-second${other}}`;

beforeAll(async () => {
  second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    config: "routing: {tag_match: any, retries_by_class: {overloaded: 1}, circuit: {failures: 1, cooldown: 100ms}}",
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:${pair("claude-tags", ", tags: [eu]", ", tags: [default]")}${pair("claude-long", ", max_input_tokens: 2000")}${pair("claude-limited", ", limits: {requests_per_minute: 2}")}${pair("claude-probe")}${pair("claude-counts")}
  - {name: claude-only-eu, provider: anthropic, model: claude-opus-4-8, id: only-eu, tags: [eu]}
  - {name: claude-again, provider: anthropic, model: claude-opus-4-8, id: again}`,
  });
  stage.forbid(secondKey);
});

afterAll(async () => {
  await stage.close();
  await second.close();
});

beforeEach(() => {
  stage.fake.setDefault({});
  second.setDefault({});
});

const servedBy = ({ headers }: Pick<Reply, "headers">): string | undefined => headers["x-litellm-model-id"];
const call = (model: string, options: { readonly headers?: Record<string, string>; readonly content?: string } = {}): Promise<Reply> =>
  stage.call({ body: messagesBody({ model, stream: true, ...(options.content === undefined ? {} : { messages: [{ role: "user", content: options.content }] }) }), ...(options.headers === undefined ? {} : { headers: options.headers }) });

describe("tags", () => {
  it("lead to the target that has one of them, others and none to the default", async () => {
    expect(servedBy(await call("claude-tags", { headers: { "x-litellm-tags": "eu,ci" } }))).toBe("claude-tags-first");
    expect(servedBy(await call("claude-tags", { headers: { "x-litellm-tags": "us" } }))).toBe("claude-tags-second");
    expect(servedBy(await call("claude-tags"))).toBe("claude-tags-second");
  });

  it("refuse a call that no target is for, also where there is one target only", async () => {
    expect((await call("claude-only-eu", { headers: { "x-litellm-tags": "eu" } })).status).toBe(200);
    expect((await call("claude-only-eu")).status).toBe(200);
    const refused = await call("claude-only-eu", { headers: { "x-litellm-tags": "us" } });
    expect([refused.status, refused.text()]).toEqual([404, expect.stringContaining("is not served for the tags of this request")]);
  });
});

it("a prompt that is too long for a target goes to another", async () => {
  expect(servedBy(await call("claude-long", { content: "short" }))).toBe("claude-long-first");
  expect(servedBy(await call("claude-long", { content: "long ".repeat(10_000) }))).toBe("claude-long-second");
});

it("a target whose limit is reached leaves its calls to the next", async () => {
  const places = [];
  for (let index = 0; index < 4; index++) places.push(servedBy(await call("claude-limited")));
  expect(places).toEqual(["claude-limited-first", "claude-limited-first", "claude-limited-second", "claude-limited-second"]);
});

it("one call finds out whether a place is well again, while those beside it are served elsewhere", async () => {
  stage.fake.setDefault({ status: 529 });
  expect(servedBy(await call("claude-probe"))).toBe("claude-probe-second");
  // The probe hangs at its head until the others have been served.
  stage.fake.setDefault({ fault: { at: "connect", does: "stall" } });
  const before = stage.fake.requests.length;
  await until("the circuit to be half open", async () => {
    const probe = stage.open({ body: messagesBody({ model: "claude-probe", stream: true }) });
    void probe.catch(() => undefined);
    await until("either place to have the call", () => stage.fake.requests.length > before || second.requests.length > 0);
    return stage.fake.requests.length > before;
  });
  const places = await Promise.all(Array.from({ length: 6 }, () => call("claude-probe")));
  expect(new Set(places.map(servedBy))).toEqual(new Set(["claude-probe-second"]));
  expect(stage.fake.requests.length).toBe(before + 1);
});

it("a failure of one kind is tried again as often as the file says for it", async () => {
  stage.fake.script([{ status: 529 }]);
  expect((await call("claude-again")).status).toBe(200);
  await until("the circuit to let calls through", async () => (await call("claude-again")).status === 200);
  stage.fake.setDefault({ status: 500 });
  const before = stage.fake.requests.length;
  expect((await call("claude-again")).status).toBe(500);
  expect(stage.fake.requests.length).toBe(before + 1);
});

it("a count of tokens is made by the next place where the first fails", async () => {
  const count = (): Promise<Reply> => stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-counts", messages: [{ role: "user", content: "Hi" }] }) });
  stage.fake.scriptOther(() => ({ status: 529 }));
  const reply = await count();
  expect([reply.status, servedBy(reply)]).toEqual([200, "claude-counts-second"]);
  second.scriptOther(() => ({ status: 503 }));
  expect((await count()).status).toBe(503);
  stage.fake.scriptOther(() => ({ status: 400 }));
  expect((await count()).status).toBe(400);
});

it("a LiteLLM file's entries of one name, their order, retries, fallbacks and tags decide as there", async () => {
  const file = `
model_list:
  - {model_name: claude-pair, litellm_params: {model: anthropic/claude-opus-4-8, api_base: "${stage.fake.url}", api_key: "${upstreamKey}", order: 2}, model_info: {id: later}}
  - {model_name: claude-pair, litellm_params: {model: anthropic/claude-opus-4-8, api_base: "${second.url}", api_key: "${secondKey}", order: 1}, model_info: {id: sooner}}
  - {model_name: claude-lonely, litellm_params: {model: anthropic/claude-opus-4-8, api_base: "${second.url}", api_key: "${secondKey}"}, model_info: {id: lonely}}
  - {model_name: claude-helper, litellm_params: {model: anthropic/claude-haiku-4-5, api_base: "${stage.fake.url}", api_key: "${upstreamKey}"}, model_info: {id: helper}}
tollgate: {logging: {level: error}, routing: {attempts: 8}}
router_settings: {num_retries: 1, allowed_fails: 1000, fallbacks: [{claude-lonely: [claude-pair, claude-helper]}]}
general_settings: {master_key: ${adminKey}}
`;
  const harness = await startHarness({ upstreamUrl: stage.fake.url, file });
  const key = await harness.key();
  stage.forbid(key);
  const ask = async (model: string): Promise<OpenReply> => {
    const reply = await openCall(harness.url, key, { body: messagesBody({ model, stream: true }) });
    await reply.ended;
    return reply;
  };
  expect(servedBy(await ask("claude-pair"))).toBe("sooner");
  second.setDefault({ status: 529 });
  expect(servedBy(await ask("claude-pair"))).toBe("later");
  const before = second.requests.length;
  const helped = await ask("claude-lonely");
  expect([helped.status, servedBy(helped), helped.headers["x-tollgate-fallback-from"], helped.headers["x-litellm-attempted-fallbacks"]]).toEqual([200, "later", "claude-lonely", "1"]);
  // The one that was asked for twice, and the first of the pair that stepped in.
  expect(second.requests.length - before).toBe(3);
  stage.fake.script([{ status: 529 }]);
  const helpedAgain = await ask("claude-lonely");
  expect([helpedAgain.status, servedBy(helpedAgain), helpedAgain.headers["x-litellm-attempted-fallbacks"]]).toEqual([200, "helper", "2"]);
  await harness.close();
});
