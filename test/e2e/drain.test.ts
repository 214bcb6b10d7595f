/**
 * Guarantee: a gateway that is told to stop finishes what runs and takes nothing new, and says so in the caller's own form;
 * what outlives the drain time ends in exactly one error event, with its entry closed; a second signal ends it at once.
 */
import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/clock.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { callAdmin, createProcessSite, killLeftovers } from "../support/gateway-process.ts";
import { adminKey, messagesBody, post, until, upstreamKey } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { newSession, startStage, type ErrorBody, type OpenReply, type Stage } from "./stage.ts";

const streamed = messagesBody({ stream: true });
/** About 1.5 s of stream. */
const slow = { text: "word ".repeat(60), deltaCharacters: 5, writeDelayMs: 25 } as const;
const endless = { fault: { at: "first-event", does: "stall" } } as const;

afterEach(killLeftovers);

async function openStream(stage: Stage, behaviour: object): Promise<OpenReply> {
  const reply = await stage.open({ body: streamed, behaviour });
  await until("the first event", () => reply.text().startsWith("event: message_start"));
  return reply;
}

/** A stage whose gateway has been told to stop while `behaviour` streams. */
async function draining(behaviour: object, drainMs: number): Promise<{ readonly stage: Stage; readonly stream: OpenReply; readonly closed: Promise<void> }> {
  const stage = await startStage();
  const stream = await openStream(stage, behaviour);
  return { stage, stream, closed: stage.harness.gateway.close(drainMs) };
}

/** The ledger of a gateway that has ended. */
async function ledgerOf(stage: Stage): Promise<readonly { readonly sessionId: string | null; readonly state: string; readonly source: string | null; readonly outcome: string | null; readonly costNanoUsd: bigint }[]> {
  const stores = await openSqliteStores({ path: `${stage.harness.dataDir}/tollgate.db`, sync: "normal", clock: systemClock });
  try {
    return await stores.usage.rows({}, 100);
  } finally {
    await stores.close();
  }
}

describe("while it drains", () => {
  it("running streams end whole, with their usage", async () => {
    const { stage, stream, closed } = await draining(slow, 20_000);
    expect(await stream.ended).toBe(true);
    expect(checkStreamGrammar(stream.bytes())).toMatchObject({ ok: true, outcome: "stop", text: slow.text });
    await closed;
    expect(await ledgerOf(stage)).toMatchObject([{ sessionId: stream.session, state: "closed", source: "reported", outcome: "completed" }]);
    await stage.close();
  });

  it("a new request is told so in the caller's form, and nothing of it goes upstream", async () => {
    const { stage, stream, closed } = await draining(slow, 20_000);
    const before = stage.fake.requests.length;
    const refused = await stage.call({ body: streamed });
    expect(refused.status).toBe(503);
    expect(refused.headers).toMatchObject({ "retry-after": "1", connection: "close", "content-type": "application/json" });
    expect(refused.headers).not.toHaveProperty("x-should-retry");
    expect(refused.headers["x-tollgate-request-id"]).toMatch(/^req_/);
    expect(refused.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "overloaded_error", message: expect.stringContaining("shutting down") as string } });
    const counted = await stage.call({ path: "/v1/messages/count_tokens" });
    expect(counted.status).toBe(503);
    const bedrock = await stage.call({ path: "/bedrock/model/anthropic.claude-opus-4-8/invoke" });
    expect(bedrock.status).toBe(503);
    expect(bedrock.headers["x-amzn-errortype"]).toBe("ServiceUnavailableException");
    expect(stage.fake.requests.length).toBe(before);
    expect(await stage.rowsNow(refused.session)).toEqual([]);
    stream.leave();
    await closed;
    await stage.close();
  });

  it("it is alive and not ready", async () => {
    const { stage, stream, closed } = await draining(slow, 20_000);
    expect((await fetch(`${stage.url}/health/readiness`)).status).toBe(503);
    expect((await fetch(`${stage.url}/health/liveliness`)).status).toBe(200);
    stream.leave();
    await closed;
    await expect(fetch(`${stage.url}/health/liveliness`)).rejects.toThrow();
    await stage.close();
  });

  it("the metrics can still be read, and count what was refused", async () => {
    const stage = await startStage({ config: "metrics: {port: 0}" });
    const stream = await openStream(stage, slow);
    const closed = stage.harness.gateway.close(20_000);
    await stage.call({ body: streamed });
    const text = await (await fetch(`${stage.harness.gateway.metricsUrl}/metrics`)).text();
    expect(text).toContain('tollgate_requests_total{operation="messages",status="503",blame="gateway"} 1');
    expect(text).toMatch(/^tollgate_requests_in_flight 1$/m);
    stream.leave();
    await closed;
    await stage.close();
  });

  it("a request whose body is still coming is let through to its end", async () => {
    const stage = await startStage();
    const session = newSession();
    const body = messagesBody();
    const half = httpRequest(`${stage.url}/v1/messages`, { method: "POST", headers: { "x-api-key": stage.key, "content-type": "application/json", "content-length": body.length, "x-claude-code-session-id": session } });
    const status = new Promise<number | undefined>((resolve, reject) => half.on("response", (reply) => resolve(reply.resume().statusCode)).on("error", reject));
    half.write(body.slice(0, 10));
    const metrics = (): Promise<string> => fetch(`${stage.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } }).then((reply) => reply.text());
    await until("the request is in work", async () => /^tollgate_requests_in_flight 1$/m.test(await metrics()));
    const closed = stage.harness.gateway.close(20_000);
    half.end(body.slice(10));
    expect(await status).toBe(200);
    await closed;
    await stage.close();
  });
});

describe("what outlives the drain time", () => {
  it("as a stream ends in exactly one error event, and its entry is closed", async () => {
    const { stage, stream, closed } = await draining(endless, 100);
    expect(await stream.ended).toBe(true);
    const judged = checkStreamGrammar(stream.bytes());
    expect(judged).toMatchObject({ ok: true, outcome: "error", error: { type: "overloaded_error", message: expect.stringContaining("shutting down") as string } });
    expect(stream.text().match(/^event: error$/gm)).toHaveLength(1);
    await closed;
    await until("the upstream is let go", () => stage.received(stream.session).isAborted);
    const [row] = await ledgerOf(stage);
    expect(row).toMatchObject({ state: "closed", source: "estimated", outcome: "timed_out" });
    expect(row!.costNanoUsd).toBeGreaterThan(0n);
    await stage.close();
  });

  it("as a plain request is told to come again, and its entry is closed", async () => {
    const stage = await startStage();
    const pending = stage.call({ behaviour: { firstByteDelayMs: 60_000 } });
    await until("it is upstream", () => stage.fake.requests.length > 0);
    await stage.harness.gateway.close(50);
    const reply = await pending;
    expect(reply.status).toBe(503);
    expect(reply.headers["retry-after"]).toBe("1");
    expect(reply.json<ErrorBody>().error.type).toBe("overloaded_error");
    expect(await ledgerOf(stage)).toMatchObject([{ state: "closed", source: "estimated", outcome: "timed_out" }]);
    await stage.close();
  });

  it("as a client that never reads cannot hold the gateway", async () => {
    const stage = await startStage();
    const stuck = await stage.open({ body: streamed, behaviour: { textBytes: 20_000_000 } });
    stuck.message.pause();
    await until("the stream has begun", () => stage.fake.requests.length > 0);
    const startedAt = performance.now();
    await stage.harness.gateway.close(100);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect(await ledgerOf(stage)).toMatchObject([{ state: "closed" }]);
    stuck.leave();
    await stage.close();
  });
});

describe("a signal", () => {
  it("ends an idle gateway at once, whatever connections wait", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const site = createProcessSite(fake.url, "metrics: {port: 0}");
    const gateway = site.start();
    const url = await gateway.ready;
    // Leaves a kept-alive connection behind.
    await callAdmin(url, "/key/list");
    const startedAt = performance.now();
    gateway.signal("SIGTERM");
    expect(await gateway.exit, gateway.stderr()).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    site.remove();
    await fake.close();
  });

  it("lets a stream finish before the process ends with 0", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const site = createProcessSite(fake.url);
    const gateway = site.start();
    const url = await gateway.ready;
    const { key } = await callAdmin<{ key: string }>(url, "/key/generate", {});
    const reply = await post(url, key, streamed, { "anthropic-test-behaviour": JSON.stringify(slow) });
    gateway.signal("SIGTERM");
    expect(await reply.text()).toContain("event: message_stop");
    expect(await gateway.exit, gateway.stderr()).toBe(0);
    site.remove();
    await fake.close();
  });

  it("under many streams breaks none of them", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const site = createProcessSite(fake.url);
    const gateway = site.start();
    const url = await gateway.ready;
    const { key } = await callAdmin<{ key: string }>(url, "/key/generate", {});
    const replies = await Promise.all(Array.from({ length: 100 }, () => post(url, key, streamed, { "anthropic-test-behaviour": JSON.stringify(slow) })));
    gateway.signal("SIGTERM");
    for (const reply of replies) expect(checkStreamGrammar(Buffer.from(await reply.text()))).toMatchObject({ ok: true, outcome: "stop", text: slow.text });
    expect(await gateway.exit, gateway.stderr()).toBe(0);
    const stores = await openSqliteStores({ path: site.ledgerPath, sync: "normal", clock: systemClock });
    const rows = await stores.usage.rows({}, 1_000);
    expect(stores.recoveredAttempts).toBe(0);
    expect(rows.filter(({ state, source }) => state === "closed" && source === "reported")).toHaveLength(100);
    await stores.close();
    site.remove();
    await fake.close();
  });

  it("that comes twice ends the process at once; the cut attempt is unresolved at the next start", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const site = createProcessSite(fake.url);
    const gateway = site.start();
    const url = await gateway.ready;
    const { key } = await callAdmin<{ key: string }>(url, "/key/generate", {});
    const reply = await post(url, key, streamed, { "anthropic-test-behaviour": JSON.stringify(endless), "x-claude-code-session-id": "cut" });
    gateway.signal("SIGTERM");
    await until("it drains", () => gateway.stderr().includes("once more stops at once"));
    const startedAt = performance.now();
    gateway.signal("SIGTERM");
    expect(await gateway.exit).toBe(143);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await expect(reply.text()).rejects.toThrow();
    const next = site.start();
    const { rows } = await callAdmin<{ rows: Record<string, unknown>[] }>(await next.ready, "/api/v1/usage?rows=5&session=cut");
    expect(rows).toMatchObject([{ outcome: "unresolved" }]);
    next.signal("SIGTERM");
    expect(await next.exit).toBe(0);
    site.remove();
    await fake.close();
  });
});
