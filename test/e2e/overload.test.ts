/**
 * Guarantee: beyond `limits.in_flight_max`, or one key's `limits.in_flight_per_key_max`, a request is refused at once, in the caller's
 * form, before its body is read or anything is sent; the others are not disturbed; and with the load the refusals end.
 */
import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { adminKey, messagesBody, until } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { startStage, type ErrorBody, type OpenReply, type Stage } from "./stage.ts";

const streamed = messagesBody({ stream: true });

let stage: Stage;

afterEach(() => stage.close());

async function inFlight(): Promise<number> {
  const reply = await fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
  return Number(/^tollgate_requests_in_flight (\d+)$/m.exec(await reply.text())![1]);
}

/** A stage whose limit of two is used up by streams that stand still. */
async function fullStage(): Promise<readonly OpenReply[]> {
  stage = await startStage({ config: "limits: {in_flight_max: 2}" });
  const held = await Promise.all([1, 2].map(() => stage.open({ body: streamed, behaviour: { fault: { at: "first-event", does: "stall" } } })));
  for (const reply of held) await until("the first event", () => reply.text().includes("message_start"));
  return held;
}

describe("at the limit of work in flight", () => {
  it("a request is refused as overloaded, with the time to come again; nothing is sent and nothing is owed", async () => {
    await fullStage();
    const before = stage.fake.requests.length;
    for (const body of [messagesBody(), streamed]) {
      const reply = await stage.call({ body });
      expect(reply.status).toBe(529);
      expect(reply.headers).toMatchObject({ "content-type": "application/json", "retry-after": "1" });
      expect(reply.headers).not.toHaveProperty("x-should-retry");
      expect(reply.headers["request-id"]).toBe(reply.headers["x-tollgate-request-id"]);
      expect(reply.json<ErrorBody>()).toEqual({ type: "error", error: { type: "overloaded_error", message: expect.stringContaining("limit of work in flight") as string }, request_id: reply.headers["request-id"] });
      expect(await stage.rowsNow(reply.session)).toEqual([]);
    }
    expect(stage.fake.requests.length).toBe(before);
  });

  it("counting tokens is refused as well, and a caller of another form in its own", async () => {
    await fullStage();
    expect((await stage.call({ path: "/v1/messages/count_tokens" })).status).toBe(529);
    const bedrock = await stage.call({ path: "/bedrock/model/anthropic.claude-opus-4-8/invoke" });
    expect(bedrock.status).toBe(529);
    expect(bedrock.headers["x-amzn-errortype"]).toBe("ServiceUnavailableException");
  });

  it("the answer does not wait for the body, which is never held in memory", async () => {
    await fullStage();
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(`${stage.url}/v1/messages`, { method: "POST", headers: { "x-api-key": stage.key, "content-type": "application/json", "content-length": 30_000_000 } });
      request.on("response", (reply) => {
        resolve(reply.statusCode);
        request.destroy();
      });
      request.on("error", reject);
      request.write("{");
    });
    expect(status).toBe(529);
  });

  it("a bad key is still a bad key, and management, probes and metrics still answer", async () => {
    await fullStage();
    expect((await stage.call({ headers: { "x-api-key": "sk-nobody" } })).status).toBe(401);
    expect((await fetch(`${stage.url}/health/readiness`)).status).toBe(200);
    expect((await stage.harness.admin<{ keys: unknown[] }>("GET", "/key/list")).keys).toBeInstanceOf(Array);
    expect(await inFlight()).toBe(2);
  });

  it("what runs goes on, and when it ends there is room again", async () => {
    const [first] = await fullStage();
    expect((await stage.call()).status).toBe(529);
    first!.leave();
    await until("room", async () => (await inFlight()) === 1);
    const reply = await stage.call({ body: streamed });
    expect(checkStreamGrammar(reply.bytes())).toMatchObject({ ok: true, outcome: "stop" });
  });
});

describe("at one key's limit of work in flight", () => {
  /** A stage where the first key may have two, and has. */
  async function fullKey(): Promise<readonly OpenReply[]> {
    stage = await startStage({ config: "limits: {in_flight_max: 5, in_flight_per_key_max: 2}" });
    const held = await Promise.all([1, 2].map(() => stage.open({ body: streamed, behaviour: { fault: { at: "first-event", does: "stall" } } })));
    for (const reply of held) await until("the first event", () => reply.text().includes("message_start"));
    return held;
  }

  it("its next request is refused as overloaded, with whose limit it is, and other keys are not", async () => {
    await fullKey();
    const other = await stage.harness.key();
    stage.forbid(other);
    const refused = await stage.call();
    expect(refused.status).toBe(529);
    expect(refused.headers).toMatchObject({ "retry-after": "1" });
    expect(refused.json<ErrorBody>().error).toMatchObject({ type: "overloaded_error", message: expect.stringContaining("This key has 2 requests in work") as string });
    expect((await stage.call({ path: "/v1/messages/count_tokens" })).status).toBe(529);
    expect((await stage.call({ headers: { "x-api-key": other } })).status).toBe(200);
  });

  it("there is room again when one of its own ends, however it ends", async () => {
    const [first] = await fullKey();
    const replies = await Promise.all(Array.from({ length: 20 }, () => stage.call()));
    expect(replies.every(({ status }) => status === 529)).toBe(true);
    first!.leave();
    await until("room", async () => (await inFlight()) === 1);
    for (let index = 0; index < 5; index++) expect((await stage.call()).status).toBe(200);
    // What is refused for another reason takes no place for good.
    for (let index = 0; index < 5; index++) expect((await stage.call({ body: "{" })).status).toBe(400);
    expect((await stage.call()).status).toBe(200);
  });
});

describe("after a storm", () => {
  it("every request was answered whole or refused, each answered one is in the ledger, and all is as before", async () => {
    stage = await startStage({ config: "limits: {in_flight_max: 8}" });
    const replies = await Promise.all(Array.from({ length: 120 }, () => stage.call({ body: streamed, behaviour: { firstByteDelayMs: 30 } })));
    const answered = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 529);
    expect(answered.length + refused.length).toBe(replies.length);
    expect(answered.length).toBeGreaterThanOrEqual(8);
    expect(refused.length).toBeGreaterThan(0);
    for (const reply of answered) expect(checkStreamGrammar(reply.bytes())).toMatchObject({ ok: true, outcome: "stop" });
    for (const { session } of answered) expect(await stage.rows(session)).toHaveLength(1);
    expect(stage.fake.requests.length).toBe(answered.length);
    await until("nothing is in flight", async () => (await inFlight()) === 0);
    for (let index = 0; index < 20; index++) expect((await stage.call()).status).toBe(200);
  });
});
