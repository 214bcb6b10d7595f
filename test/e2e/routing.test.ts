/**
 * Guarantee: a stream that fails before its first content fails over and one that has begun does not; a place that is down is left alone
 * and found again; retries stay within their budget; a session stays where its cache is warm; another model steps in only where it may,
 * and says so. Each try has its own row.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { adminKey, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { newSession, startStage, type ErrorBody, type Reply, type Stage } from "./stage.ts";

const secondKey = "sk-ant-second-canary-0000000000000000";
let stage: Stage;
let second: FakeAnthropic;

const pair = (name: string, extra = ""): string => `
  - name: ${name}
    ${extra}
    targets:
      - {provider: anthropic, model: claude-opus-4-8, id: ${name}-first}
      - {provider: second, model: claude-opus-4-8, id: ${name}-second}`;

beforeAll(async () => {
  second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    config: `timeouts: {first_byte_stream: 400ms}
routing: {retries: 2, attempts: 4, hold_events: 200ms, circuit: {failures: 3, cooldown: 300ms}}`,
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:${["held-1", "held-2", "held-3", "held-4", "held-5", "held-6", "begun", "slow", "down", "parked", "dead", "limits", "logins"].map((name) => pair(`claude-${name}`)).join("")}${pair("claude-warm", "strategy: weighted")}
  - {name: claude-again, provider: anthropic, model: claude-opus-4-8, id: again}
  - {name: claude-stands-in, provider: second, model: claude-haiku-4-5, id: stands-in, aliases: [claude-small]}
  - {name: claude-falls-back, provider: anthropic, model: claude-opus-4-8, id: falls-back, fallbacks: [claude-small], context_window_fallbacks: [claude-small], content_policy_fallbacks: [claude-small]}
  - {name: claude-falls-back-session, provider: anthropic, model: claude-opus-4-8, id: falls-back-session, fallbacks: [claude-small]}`,
  });
  stage.forbid(secondKey);
});

afterAll(async () => {
  await stage.close();
  await second.close();
  expect(second.violations).toEqual([]);
});

afterEach(() => {
  stage.fake.setDefault({});
  second.setDefault({});
});

const bodyOf = (model: string): string => messagesBody({ model, stream: true });
const call = (model: string, options: { readonly session?: string; readonly headers?: Record<string, string> } = {}): Promise<Reply> => stage.call({ body: bodyOf(model), ...options });
const servedBy = ({ headers }: Reply): string | undefined => headers["x-litellm-model-id"];
const starts = (reply: Reply): number => reply.text().split("event: message_start").length - 1;

describe("a stream that fails before its first content", () => {
  it.each([
    [1, "an error in the place of the beginning", { isErrorFirst: true }, { outcome: "upstream_error", source: "none" }],
    [2, "an error after the head of the message", { fault: { at: "first-event", does: "error-event" } }, { outcome: "upstream_error", source: "estimated" }],
    [3, "a connection that breaks there", { fault: { at: "first-event", does: "reset" } }, { outcome: "broken", source: "estimated" }],
    [4, "an end there", { fault: { at: "first-event", does: "end" } }, { outcome: "broken", source: "estimated" }],
    [5, "an end before anything", { fault: { at: "headers", does: "end" } }, {}],
  ] satisfies readonly [number, string, Behaviour, Record<string, unknown>][])("is served by the next target: %i, %s", async (index, _what, behaviour, first) => {
    const model = `claude-held-${index}`;
    stage.fake.script([behaviour]);
    const reply = await call(model);
    expect([reply.status, starts(reply), servedBy(reply), reply.headers["x-tollgate-attempts"]]).toEqual([200, 1, `${model}-second`, "2"]);
    expect(reply.text()).not.toContain("event: error");
    const rows = await stage.rows(reply.session, 2);
    expect(rows.find(({ ordinal }) => ordinal === 1)).toMatchObject({ target_id: `${model}-first`, ...first });
    expect(rows.find(({ ordinal }) => ordinal === 2)).toMatchObject({ target_id: `${model}-second`, outcome: "completed", source: "reported" });
  });

  it("goes to the client as it is when the request itself is at fault", async () => {
    stage.fake.script([{ fault: { at: "first-event", does: "error-event", errorType: "invalid_request_error" } }]);
    const reply = await call("claude-held-6");
    expect(reply.text()).toContain("invalid_request_error");
    expect(servedBy(reply)).toBe("claude-held-6-first");
  });
});

it("a stream that has begun is never begun again", async () => {
  const before = second.requests.length;
  stage.fake.script([{ writeDelayMs: 20, fault: { at: "mid-text", does: "error-event" } }]);
  const reply = await call("claude-begun");
  expect([starts(reply), reply.text().split("event: error").length - 1]).toEqual([1, 1]);
  expect(second.requests.length).toBe(before);
});

it("a beginning is held for so long and no longer", async () => {
  stage.fake.script([{ fault: { at: "first-event", does: "stall" } }]);
  const open = await stage.open({ body: bodyOf("claude-slow") });
  await until("the beginning has come", () => open.text().includes("message_start"));
  expect(open.headers["x-litellm-model-id"]).toBe("claude-slow-first");
  open.leave();
});

describe("a place that is down", () => {
  it("is left alone after some failures, and found again by one probe", async () => {
    stage.fake.setDefault({ status: 529 });
    for (let index = 0; index < 3; index++) expect(servedBy(await call("claude-down"))).toBe("claude-down-second");
    const before = stage.fake.requests.length;
    for (let index = 0; index < 3; index++) expect(servedBy(await call("claude-down"))).toBe("claude-down-second");
    expect(stage.fake.requests.length).toBe(before);
    stage.fake.setDefault({});
    await until("the probe", async () => servedBy(await call("claude-down")) === "claude-down-first");
  });

  it("is left alone for as long as its limit says", async () => {
    stage.fake.script([{ status: 429, headers: { "retry-after": "30" } }]);
    expect(servedBy(await call("claude-parked"))).toBe("claude-parked-second");
    const before = stage.fake.requests.length;
    expect(servedBy(await call("claude-parked"))).toBe("claude-parked-second");
    expect(stage.fake.requests.length).toBe(before);
  });
});

describe("when every place has failed", () => {
  it("the caller is told of the limit that ends first", async () => {
    stage.fake.setDefault({ status: 429, headers: { "retry-after": "40" } });
    second.setDefault({ status: 500 });
    const reply = await call("claude-limits");
    expect([reply.status, reply.headers["retry-after"], reply.json<ErrorBody>().error.type]).toEqual([429, "40", "rate_limit_error"]);
  });

  it("a refused login of ours is never the answer", async () => {
    stage.fake.setDefault({ status: 401 });
    second.setDefault({ fault: { at: "connect", does: "reset" } });
    const reply = await call("claude-logins");
    expect([reply.status, reply.json<ErrorBody>().error.type]).toEqual([529, "overloaded_error"]);
    expect(Number(reply.headers["retry-after"])).toBeGreaterThan(0);
  });

  it("upstreams get no more than a tenth more calls than clients make, and a burst", async () => {
    stage.fake.setDefault({ status: 529 });
    second.setDefault({ status: 529 });
    const before = stage.fake.requests.length + second.requests.length;
    const calls = 100;
    for (let index = 0; index < calls; index++) expect([503, 529]).toContain((await call("claude-dead")).status);
    const sent = stage.fake.requests.length + second.requests.length - before;
    expect(sent).toBeGreaterThanOrEqual(calls);
    // Until the circuits open each call tries both.
    expect(sent).toBeLessThanOrEqual(calls * 1.1 + 10 + 3);
  });
});

it("a lonely target is tried again", async () => {
  stage.fake.script([{ status: 529 }, { status: 500 }]);
  // The tests before this one have taken from the budget of retries.
  for (let index = 0; index < 30; index++) await call("claude-stands-in");
  const reply = await call("claude-again");
  expect([reply.status, reply.headers["x-litellm-attempted-retries"]]).toEqual([200, "2"]);
  expect(await stage.rows(reply.session, 3)).toHaveLength(3);
});

describe("a session", () => {
  it("stays where its prompt cache is warm, and others spread", async () => {
    const homes = new Set<string>();
    for (let index = 0; index < 12; index++) {
      const session = newSession();
      const places = new Set<string | undefined>();
      for (let turn = 0; turn < 3; turn++) places.add(servedBy(await call("claude-warm", { session })));
      expect(places.size).toBe(1);
      homes.add([...places][0]!);
    }
    expect(homes.size).toBe(2);
  });

  it("begins at one place, however many of its calls come at once", async () => {
    const session = newSession();
    const replies = await Promise.all(Array.from({ length: 8 }, () => call("claude-warm", { session })));
    expect(new Set(replies.map(servedBy)).size).toBe(1);
  });

  it("leaves a place that fails", async () => {
    const session = newSession();
    const home = servedBy(await call("claude-warm", { session }));
    (home === "claude-warm-first" ? stage.fake : second).script([{ status: 529 }]);
    expect(servedBy(await call("claude-warm", { session }))).not.toBe(home);
    expect(servedBy(await call("claude-warm", { session }))).not.toBe(home);
  });
});

describe("another model steps in", () => {
  it.each([
    ["every place has failed", { status: 529 }],
    ["the prompt is too long", { status: 400, message: "prompt is too long: 215000 tokens > 200000 maximum" }],
    ["the provider's policy refuses it", { status: 400, message: "Output blocked by content filtering policy" }],
  ] satisfies readonly [string, Behaviour][])("where %s, and says so", async (_when, behaviour) => {
    stage.fake.setDefault(behaviour);
    const reply = await call("claude-falls-back");
    expect([reply.status, servedBy(reply), reply.headers["x-tollgate-fallback-from"], reply.headers["x-tollgate-model"]]).toEqual([200, "stands-in", "claude-falls-back", "claude-stands-in"]);
    const rows = await stage.rows(reply.session, 2);
    expect(rows.find(({ ordinal }) => ordinal === rows.length)).toMatchObject({ model: "claude-stands-in", requested_model: "claude-falls-back" });
  });

  it("not for a refusal of any other kind", async () => {
    stage.fake.setDefault({ status: 400, message: "messages: wrong" });
    const reply = await call("claude-falls-back");
    expect([reply.status, reply.json<ErrorBody>().error.message]).toEqual([400, "messages: wrong"]);
  });

  it("not for a key that may not use it", async () => {
    const key = await stage.harness.key({ models: ["claude-falls-back"] });
    stage.fake.setDefault({ status: 529 });
    const reply = await call("claude-falls-back", { headers: { "x-api-key": key, authorization: `Bearer ${key}` } });
    expect(reply.status).toBe(529);
  });

  it("not inside a session whose cache is warm", async () => {
    const session = newSession();
    expect((await call("claude-falls-back-session", { session })).status).toBe(200);
    stage.fake.setDefault({ status: 529 });
    expect((await call("claude-falls-back-session", { session })).status).toBe(529);
    expect((await call("claude-falls-back-session")).status).toBe(200);
  });
});
