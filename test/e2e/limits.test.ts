/**
 * Guarantee: no scope has more calls, tokens, streams or agents than its limits allow, at any concurrency; who is refused is told when
 * there is room, and has burnt nothing; what a call held is free as soon as it has ended, however it ended.
 */
import { describe, expect, it } from "vitest";
import { adminKey, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { openCall, startStage, type Reply, type Stage } from "./stage.ts";

const error = (reply: Reply): { readonly type: string; readonly message: string } => reply.json<{ error: { type: string; message: string } }>().error;
const rules = (...each: readonly string[]): string => `rate_limits: {rules: [${each.join(", ")}]}`;
const count = (stage: Stage): Promise<Reply> => stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] }) });
const keyOf = async (stage: Stage, fields: Record<string, unknown>): Promise<string> => (await stage.harness.admin<{ key: string }>("POST", "/key/generate", fields)).key;
/** A stream that does not end by itself. */
const slow = { textBytes: 400_000, writeDelayMs: 20 } as const;

const bedrockCall = { path: "/bedrock/model/claude-opus-4-8/invoke", body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 8, messages: [{ role: "user", content: "x" }] }) };
const vertexCall = { path: "/vertex_ai/v1/projects/p/locations/europe-west1/publishers/anthropic/models/claude-opus-4-8:rawPredict", body: JSON.stringify({ anthropic_version: "vertex-2023-10-16", max_tokens: 8, messages: [{ role: "user", content: "x" }] }) };

/** A call that is under way upstream. */
async function running(stage: Stage, options: { readonly headers?: Record<string, string>; readonly session?: string } = {}): Promise<{ end(): void }> {
  const abort = new AbortController();
  const open = await openCall(stage.url, stage.key, { body: messagesBody({ stream: true }), signal: abort.signal, ...options, headers: { ...options.headers, "anthropic-test-behaviour": JSON.stringify(slow) } });
  await until("the first event", () => Promise.resolve(open.bytes().length > 0 || undefined));
  return { end: () => abort.abort() };
}

describe("requests a minute", () => {
  it("lets through as many as the limit, tells the rest when there is room, and shows how it stands", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', requests_per_minute: 3}") });
    const replies = await Promise.all(Array.from({ length: 20 }, () => stage.call()));
    const served = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 429);
    expect([served.length, refused.length, stage.fake.requests.length]).toEqual([3, 17, 3]);
    expect(error(refused[0]!)).toMatchObject({ type: "rate_limit_error", message: expect.stringMatching(/^Key .+ has a limit of 3 requests a minute and has reached it; there is room again in \d+ seconds\.$/) as string });
    // One third of a minute brings one call.
    expect(Number(refused[0]!.headers["retry-after"])).toBeGreaterThan(15);
    expect(Number(refused[0]!.headers["retry-after"])).toBeLessThanOrEqual(20);
    expect(refused[0]!.headers).not.toHaveProperty("x-should-retry");
    expect(served.map(({ headers }) => headers["anthropic-ratelimit-requests-remaining"]).toSorted((a, b) => Number(a) - Number(b))).toEqual(["0", "1", "2"]);
    expect(served[0]!.headers).toMatchObject({ "anthropic-ratelimit-requests-limit": "3", "x-ratelimit-api_key-limit-requests": "3", "x-litellm-key-rpm-limit": "3" });
    expect(Date.parse(served[0]!.headers["anthropic-ratelimit-requests-reset"]!)).toBeGreaterThan(Date.now());
    await stage.close();
  });

  it("is the tightest of all that bind, and a refusal under one burns nothing under the others", async () => {
    const stage = await startStage({ config: rules("{scope: global, requests_per_minute: 4}", "{scope: 'model:claude-opus-4-8', requests_per_minute: 1}") });
    expect((await stage.call()).status).toBe(200);
    for (let each = 0; each < 5; each++) expect(error(await stage.call()).message).toMatch(/^Model claude-opus-4-8 has a limit of 1 requests a minute/);
    for (let each = 0; each < 3; each++) expect((await stage.call({ body: messagesBody({ model: "claude-haiku-4-5" }) })).status).toBe(200);
    expect(error(await stage.call({ body: messagesBody({ model: "claude-haiku-4-5" }) })).message).toMatch(/^This gateway has a limit of 4/);
    await stage.close();
  });

  it("is not burnt by a call that a budget refuses, and 0 lets nothing through", async () => {
    const stage = await startStage({ config: `budgets: [{scope: 'model:claude-opus-4-8', amount: 0}]\n${rules("{scope: 'key:*', requests_per_minute: 1}", "{scope: 'model:claude-sonnet-4-5', requests_per_minute: 0}")}` });
    expect(error(await stage.call()).type).toBe("billing_error");
    expect((await stage.call({ body: messagesBody({ model: "claude-haiku-4-5" }) })).status).toBe(200);
    const shut = await stage.call({ body: messagesBody({ model: "claude-sonnet-4-5" }) });
    expect([shut.status, shut.headers["x-should-retry"], shut.headers["retry-after"]]).toEqual([429, "false", undefined]);
    await stage.close();
  });

  it("is told in the form of a cloud's client on its path, without Anthropic's headers", async () => {
    const stage = await startStage({ config: rules("{scope: global, requests_per_minute: 1}") });
    const first = await stage.call(bedrockCall);
    expect([first.status, first.headers["x-ratelimit-global-remaining-requests"], first.headers["anthropic-ratelimit-requests-remaining"]]).toEqual([200, "0", undefined]);
    const bedrock = await stage.call(bedrockCall);
    expect([bedrock.status, bedrock.headers["x-amzn-errortype"]]).toEqual([429, expect.stringContaining("ThrottlingException")]);
    const vertex = await stage.call(vertexCall);
    expect([vertex.status, error(vertex)]).toEqual([429, { type: "rate_limit_error", message: expect.stringMatching(/^This gateway has a limit of 1 requests a minute/) as string }]);
    for (const { headers } of [bedrock, vertex]) {
      expect(Number(headers["retry-after"])).toBeGreaterThan(50);
      expect([headers["x-should-retry"], headers["x-ratelimit-global-remaining-requests"]]).toEqual([undefined, "0"]);
    }
    await stage.close();
  });

  it("shows how it stands on refusals too, and never the upstream's own limits", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', requests_per_minute: 2}") });
    const replies = [await stage.call({ body: messagesBody({ stream: true }) }), await stage.call(), await stage.call()];
    expect(replies.map(({ status, headers }) => [status, headers["anthropic-ratelimit-requests-limit"], headers["anthropic-ratelimit-requests-remaining"], headers["anthropic-ratelimit-tokens-limit"]])).toEqual([
      [200, "2", "1", undefined], [200, "2", "0", undefined], [429, "2", "0", undefined],
    ]);
    await stage.close();
    const free = await startStage({});
    expect(Object.keys((await free.call()).headers).filter((name) => name.includes("ratelimit"))).toEqual([]);
    await free.close();
  });

  it("binds teams, users and organizations over all their keys, and an end user within each key", async () => {
    const config = rules("{scope: 'team:t', requests_per_minute: 2}", "{scope: 'user:*', requests_per_minute: 3}", "{scope: 'organization:o', requests_per_minute: 1}", "{scope: 'end_user:*', requests_per_minute: 1}", "{scope: 'team_user:t/*', requests_per_minute: 1}");
    const stage = await startStage({ config });
    const [ann, bob, ben, own, org, anyone] = [await keyOf(stage, { team_id: "t", user_id: "ann" }), await keyOf(stage, { team_id: "t", user_id: "bob" }), await keyOf(stage, { team_id: "t", user_id: "ben" }), await keyOf(stage, { user_id: "bob" }), await keyOf(stage, { organization_id: "o" }), await keyOf(stage, {})];
    const call = (key: string, endUser?: string): Promise<Reply> => stage.call({ headers: { "x-api-key": key, ...(endUser === undefined ? {} : { "x-litellm-end-user-id": endUser }) } });
    expect([(await call(ann)).status, error(await call(ann)).message]).toEqual([200, expect.stringMatching(/^Your share of team t has a limit of 1 /)]);
    expect([(await call(bob)).status, error(await call(ben)).message]).toEqual([200, expect.stringMatching(/^Team t has a limit of 2 /)]);
    expect([(await call(own)).status, (await call(own)).status, error(await call(own)).message]).toEqual([200, 200, expect.stringMatching(/^User bob has a limit of 3 /)]);
    expect([(await call(org)).status, error(await call(org)).message]).toEqual([200, expect.stringMatching(/^Organization o has a limit of 1 /)]);
    expect([(await call(anyone, "a/b")).status, error(await call(anyone, "a/b")).message, (await call(stage.key, "a/b")).status]).toEqual([200, expect.stringMatching(/^End user a\/b has a limit of 1 /), 200]);
    await stage.close();
  });

  it("binds a model under every name it has, and the model that serves in place of another", async () => {
    const models = "models: [{name: claude-opus-4-8, provider: anthropic, aliases: [opus]}, {name: claude-haiku-4-5, provider: anthropic}]";
    const budget = "budgets: [{scope: 'model:claude-opus-4-8', amount: 1, downgrade: claude-haiku-4-5, window: lifetime}]";
    const stage = await startStage({ models, config: `${budget}\n${rules("{scope: 'key_model:*/claude-opus-4-8', requests_per_minute: 2}", "{scope: 'model:claude-haiku-4-5', requests_per_minute: 1}")}` });
    const call = (model: string): Promise<Reply> => stage.call({ body: messagesBody({ model }), behaviour: { usage: { input_tokens: 300_000, output_tokens: 0 } } });
    expect((await call("opus")).headers).toMatchObject({ "x-litellm-key-remaining-requests-claude-opus-4-8": "1" });
    expect([(await call("opus")).headers["x-tollgate-downgraded-from"], error(await call("opus")).message]).toEqual(["opus", expect.stringMatching(/^Model claude-haiku-4-5 has a limit of 1 /)]);
    // What served was the other model: nothing of this one's limit is burnt.
    expect((await call("opus")).headers["x-litellm-key-remaining-requests-claude-opus-4-8"]).toBe("0");
    await stage.close();
  });
});

describe("a key's own limits", () => {
  it("bind from the moment they are set, and end when they are taken away", async () => {
    const stage = await startStage({});
    const key = await keyOf(stage, { rpm_limit: 1 });
    const call = (): Promise<Reply> => stage.call({ headers: { "x-api-key": key } });
    expect([(await call()).status, (await call()).status]).toEqual([200, 429]);
    await stage.harness.admin("POST", "/key/update", { key, rpm_limit: 3 });
    expect([(await call()).status, (await call()).status, (await call()).status]).toEqual([200, 200, 429]);
    await stage.harness.admin("POST", "/key/update", { key, rpm_limit: null });
    expect((await call()).status).toBe(200);
    await stage.close();
  });

  it("stand in for the rule of all keys, and may differ by model", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', requests_per_minute: 100}") });
    const key = await keyOf(stage, { model_rpm_limit: { "claude-opus-4-8": 1 }, rpm_limit: 3 });
    const call = (model: string): Promise<Reply> => stage.call({ headers: { "x-api-key": key }, body: messagesBody({ model }) });
    const first = await call("claude-opus-4-8");
    expect(first.headers).toMatchObject({ "x-ratelimit-api_key-limit-requests": "3", "x-litellm-key-remaining-requests-claude-opus-4-8": "0" });
    expect(error(await call("claude-opus-4-8")).message).toMatch(/^This key's model claude-opus-4-8 has a limit of 1/);
    expect([(await call("claude-haiku-4-5")).status, (await call("claude-haiku-4-5")).status, (await call("claude-haiku-4-5")).status]).toEqual([200, 200, 429]);
    await stage.close();
  });
});

describe("tokens a minute", () => {
  it("are what the provider reported once a call has ended, without what the cache gave", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', tokens_per_minute: 100000}") });
    const first = await stage.call({ behaviour: { usage: { input_tokens: 30_000, cache_read_input_tokens: 900_000, output_tokens: 20_000 } } });
    expect(first.status).toBe(200);
    const next = await stage.call({ behaviour: { usage: { input_tokens: 49_000, output_tokens: 100 } } });
    const remaining = Number(next.headers["anthropic-ratelimit-tokens-remaining"]);
    expect(remaining).toBeGreaterThan(45_000);
    expect(remaining).toBeLessThan(51_000);
    expect((await stage.call({ body: messagesBody({ messages: [{ role: "user", content: "x".repeat(60_000) }] }) })).status).toBe(429);
    await stage.close();
  });

  it("count what the cache gave where the operator says so", async () => {
    const stage = await startStage({ config: "rate_limits: {count_cache_reads: true, rules: [{scope: 'key:*', input_tokens_per_minute: 100000}]}" });
    await stage.call({ behaviour: { usage: { input_tokens: 10, cache_read_input_tokens: 90_000, output_tokens: 20_000 } } });
    expect(Number((await stage.call()).headers["anthropic-ratelimit-input-tokens-remaining"])).toBeLessThan(11_000);
    await stage.close();
  });

  it("of output alone bind output alone", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', output_tokens_per_minute: 10000}") });
    await stage.call({ behaviour: { usage: { input_tokens: 500_000, output_tokens: 15_000 } } });
    const refused = await stage.call();
    expect([refused.status, error(refused).message, refused.headers["anthropic-ratelimit-output-tokens-remaining"]]).toEqual([429, expect.stringMatching(/^Key .+ has a limit of 10,000 output tokens a minute/), "0"]);
    // Half a minute's tokens are owed, and the estimate of the next call.
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(29);
    await stage.close();
  });

  it("of a reply that the upstream refused are given back", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', tokens_per_minute: 100000, requests_per_minute: 100}") });
    const big = messagesBody({ messages: [{ role: "user", content: "x".repeat(200_000) }] });
    for (let each = 0; each < 5; each++) expect((await stage.call({ body: big, behaviour: { status: 529 } })).status).toBe(529);
    const { headers } = await stage.call({ body: big });
    expect([Number(headers["anthropic-ratelimit-requests-remaining"]), Number(headers["anthropic-ratelimit-tokens-remaining"]) > 20_000]).toEqual([94, true]);
    await stage.close();
  });

  it("tell a call that never fits not to try again", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', input_tokens_per_minute: 1000}") });
    const reply = await stage.call({ body: messagesBody({ messages: [{ role: "user", content: "x".repeat(60_000) }] }) });
    expect([reply.status, reply.headers["x-should-retry"], error(reply).message]).toEqual([429, "false", expect.stringContaining("and this call alone is more")]);
    await stage.close();
  });
});

describe("calls at once", () => {
  it("are never more than the limit, of 200 that come together", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', parallel_requests: 5}") });
    const replies = await Promise.all(Array.from({ length: 200 }, () => stage.call({ behaviour: { firstByteDelayMs: 2_000 } })));
    expect(replies.filter(({ status }) => status === 200).length).toBe(5);
    expect(replies.filter(({ status }) => status === 429).every(({ headers }) => headers["retry-after"] === "1")).toBe(true);
    expect((await stage.call()).status).toBe(200);
    await stage.close();
  });

  it("are free again when a stream ends, when its client leaves and when its upstream breaks", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', parallel_requests: 1, open_streams: 1}") });
    const stream = { body: messagesBody({ stream: true }) };
    for (const how of ["ends", "breaks", "is left"] as const) {
      if (how === "ends") expect((await stage.call(stream)).isComplete).toBe(true);
      if (how === "breaks") await stage.call({ ...stream, behaviour: { fault: { at: "mid-text", does: "reset" } } });
      if (how === "is left") {
        const open = await running(stage);
        expect((await stage.call(stream)).status).toBe(429);
        open.end();
        await until("its row closed", async () => ((await stage.harness.admin<{ rows: { closed_at: string | null }[] }>("GET", "/api/v1/usage?by=key&rows=100")).rows.every(({ closed_at }) => closed_at !== null) ? true : undefined));
      }
      expect([how, (await stage.call(stream)).status]).toEqual([how, 200]);
    }
    await stage.close();
  });

  it("may be streams alone", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', open_streams: 1}") });
    const open = await running(stage);
    expect(error(await stage.call({ body: messagesBody({ stream: true }) })).message).toMatch(/^Key .+ has a limit of 1 open streams and has reached it; there is room again in 1 second\.$/);
    expect((await stage.call()).status).toBe(200);
    open.end();
    await stage.close();
  });

  it("are free with the last byte: who calls one after the other is never refused", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', parallel_requests: 1}") });
    const statuses: number[] = [];
    for (let each = 0; each < 60; each++) statuses.push((await stage.call(each % 2 === 0 ? {} : { body: messagesBody({ stream: true }), behaviour: { textBytes: 100_000 } })).status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    await stage.close();
  });

  it("are free within 100 ms of a disconnect, by the clock of the upstream that gets the next call", async () => {
    const stage = await startStage({ config: rules("{scope: 'key:*', parallel_requests: 1}") });
    const waits: number[] = [];
    for (let each = 0; each < 9; each++) {
      const open = await running(stage);
      const leftAt = Date.now();
      open.end();
      const served = await until("a call that is served", async () => {
        const reply = await stage.call();
        return reply.status === 200 ? reply : undefined;
      });
      const { atMs } = stage.fake.requests.find(({ headers }) => headers["x-claude-code-session-id"] === served.session)!;
      waits.push(atMs - leftAt);
    }
    // The middle one: a machine that is busy with other tests may pause any of them.
    expect(waits.toSorted((a, b) => a - b)[4]).toBeLessThanOrEqual(100);
    await stage.close();
  });
});

describe("agents and sessions", () => {
  it("a session runs no more agents at once than it may, and its main loop is none of them", async () => {
    const stage = await startStage({ config: rules("{scope: 'session:*', agents_in_parallel: 2}") });
    const agent = (id: string, session = "s1"): { readonly session: string; readonly headers: Record<string, string> } => ({ session, headers: { "x-claude-code-agent-id": id } });
    const open = [await running(stage, agent("a1")), await running(stage, agent("a2"))];
    expect(error(await stage.call(agent("a3"))).message).toMatch(/^This session has a limit of 2 agents at once/);
    expect((await stage.call({ session: "s1" })).status).toBe(200);
    expect((await stage.call(agent("a1"))).status).toBe(200);
    expect((await stage.call(agent("b1", "s2"))).status).toBe(200);
    for (const each of open) each.end();
    await stage.close();
  });

  it("new agents and new sessions come no faster than they may; known ones go on", async () => {
    const stage = await startStage({ config: rules("{scope: 'session:*', new_agents_per_minute: 1}", "{scope: 'key:*', new_sessions_per_hour: 2}") });
    const call = (session: string, agent?: string): Promise<number> => stage.call({ session, ...(agent === undefined ? {} : { headers: { "x-claude-code-agent-id": agent } }) }).then(({ status }) => status);
    expect([await call("s1", "a1"), await call("s1", "a2"), await call("s1", "a1"), await call("s1")]).toEqual([200, 429, 200, 200]);
    expect([await call("s2"), await call("s3"), await call("s1")]).toEqual([200, 429, 200]);
    await stage.close();
  });

  it("one key's session is not another's, though they name it alike", async () => {
    const stage = await startStage({ config: rules("{scope: 'session:*', requests_per_minute: 1}") });
    const other = await keyOf(stage, {});
    expect([(await stage.call({ session: "s" })).status, (await stage.call({ session: "s" })).status]).toEqual([200, 429]);
    expect((await stage.call({ session: "s", headers: { "x-api-key": other } })).status).toBe(200);
    await stage.close();
  });
});

it("token counts have a bucket of their own, and nothing else limits them", async () => {
  const stage = await startStage({ config: rules("{scope: 'key:*', requests_per_minute: 1, parallel_requests: 1, counts_per_minute: 3}") });
  expect((await stage.call()).status).toBe(200);
  expect([(await count(stage)).status, (await count(stage)).status, (await count(stage)).status, (await count(stage)).status]).toEqual([200, 200, 200, 429]);
  expect((await stage.call()).status).toBe(429);
  await stage.close();
});

it("a target without room is passed over, and only when none is left the caller waits", async () => {
  const models = "models: [{name: 'claude-*', targets: [{id: first, provider: anthropic}, {id: second, provider: anthropic}]}]";
  const stage = await startStage({ models, config: rules("{scope: 'target:*', requests_per_minute: 1}") });
  const replies = [await stage.call(), await stage.call(), await stage.call()];
  expect(replies.map(({ status, headers }) => [status, headers["x-litellm-model-id"]])).toEqual([[200, "first"], [200, "second"], [429, undefined]]);
  expect(error(replies[2]!).message).toMatch(/^Target (?:first|second) has a limit of 1 requests a minute/);
  await stage.close();
});

it("a target that has no room after another's failure is passed over, and the caller reads of that failure", async () => {
  const models = "models: [{name: 'claude-*', targets: [{id: first, provider: anthropic}, {id: second, provider: anthropic}]}]";
  const stage = await startStage({ models, config: rules("{scope: 'target:second', parallel_requests: 0}") });
  const reply = await stage.call({ behaviour: { status: 529, headers: { "retry-after": "7" } } });
  expect([reply.status, error(reply).type, reply.headers["retry-after"], stage.fake.requests.length]).toEqual([529, "overloaded_error", "7", 1]);
  expect((await stage.call()).status).toBe(200);
  await stage.close();
});

it("a LiteLLM file limits its entries, each key's use of a model, and the whole proxy", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const entry = (name: string, params: string): string => `  - {model_name: ${name}, litellm_params: {model: anthropic/${name}, api_key: ${upstreamKey}, api_base: "${fake.url}", ${params}}}`;
  const file = ["model_list:", entry("claude-opus-4-8", "rpm: 3"), entry("claude-haiku-4-5", "default_api_key_rpm_limit: 1"), "general_settings:", `  master_key: ${adminKey}`, "  global_max_parallel_requests: 2", "tollgate: {listen: {host: 127.0.0.1, port: 0}, logging: {level: silent}}"].join("\n");
  const harness = await startHarness({ upstreamUrl: fake.url, file });
  const [one, other, lifted] = [await harness.key(), await harness.key(), await harness.key({ model_rpm_limit: { "claude-haiku-4-5": 2 } })];
  const call = async (key: string, model: string, behaviour = {}): Promise<Reply> => {
    const open = await openCall(harness.url, key, { body: messagesBody({ model }), behaviour });
    return { ...open, isComplete: await open.ended };
  };
  const haiku = "claude-haiku-4-5";
  expect([(await call(one, haiku)).status, error(await call(one, haiku)).message, (await call(other, haiku)).status]).toEqual([200, expect.stringMatching(/^This key's model claude-haiku-4-5 has a limit of 1 /), 200]);
  expect([(await call(lifted, haiku)).status, (await call(lifted, haiku)).status, (await call(lifted, haiku)).status]).toEqual([200, 200, 429]);
  const together = await Promise.all([1, 2, 3, 4].map(() => call(one, "claude-opus-4-8", { firstByteDelayMs: 1_000 })));
  expect(together.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 429, 429]);
  expect(error(together.find(({ status }) => status === 429)!).message).toMatch(/^This gateway has a limit of 2 requests at once/);
  expect([(await call(other, "claude-opus-4-8")).status, error(await call(other, "claude-opus-4-8")).message]).toEqual([200, expect.stringMatching(/^Target .+ has a limit of 3 requests a minute/)]);
  await harness.close();
  await fake.close();
});
