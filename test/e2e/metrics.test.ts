/**
 * Guarantee: `/metrics` is open on a listener of its own and nowhere else without an admin key; the promised series are there,
 * move with what happens, and hold nothing that a request could have put into them.
 */
import { createServer, type AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/clock.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { openingOf } from "../conformance/store-fixtures.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { createProcessSite } from "../support/gateway-process.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { startStage, type Stage } from "./stage.ts";

const streamed = messagesBody({ stream: true });

let stage: Stage;
let own: string;

beforeAll(async () => {
  stage = await startStage({ config: "metrics: {port: 0}" });
  own = stage.harness.gateway.metricsUrl!;
});

afterAll(() => stage.close());

async function scrape(): Promise<string> {
  const reply = await fetch(`${own}/metrics`);
  expect(reply.status).toBe(200);
  return reply.text();
}

/** Value of one series; 0 for one that is not there yet. */
function valueOf(text: string, series: string): number {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Waits until a series has risen by `by` over `before`. */
function rise(before: string, series: string, by = 1): Promise<true> {
  return until(`${series} to rise by ${by}`, async () => valueOf(await scrape(), series) - valueOf(before, series) === by);
}

/** Time for the histogram behind the lag to sample at least twice. */
const ticks = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 60));

const requests = (status: number, blame: string, operation = "messages"): string => `tollgate_requests_total{operation="${operation}",status="${status}",blame="${blame}"}`;

describe("who may read", () => {
  it("on the listener of its own: everybody, and nothing else is there", async () => {
    const reply = await fetch(`${own}/metrics`);
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect((await fetch(`${own}/metrics?name[]=tollgate_requests_total`)).status).toBe(200);
    for (const path of ["/", "/v1/messages", "/key/list", "/health/readiness", "/metrics/x"]) expect((await fetch(`${own}${path}`, { headers: { authorization: `Bearer ${adminKey}` } })).status).toBe(404);
    expect((await fetch(`${own}/metrics`, { method: "POST", body: "x" })).status).toBe(404);
  });

  it("on the main listener: the admin only", async () => {
    const status = async (headers: Record<string, string>): Promise<number> => (await fetch(`${stage.url}/metrics`, { headers })).status;
    expect(await status({})).toBe(401);
    expect(await status({ authorization: "Bearer sk-nobody" })).toBe(401);
    expect(await status({ authorization: `Bearer ${stage.key}` })).toBe(403);
    expect(await status({ authorization: `Bearer ${adminKey}` })).toBe(200);
  });

  it("without a `metrics` section there is no listener of its own", async () => {
    const plain = await startHarness({ upstreamUrl: stage.fake.url });
    expect(plain.gateway.metricsUrl).toBeUndefined();
    expect((await fetch(`${plain.url}/metrics`)).status).toBe(401);
    await plain.close();
  });

  it("a metrics port that is taken ends the start with a sentence that names it", async () => {
    const other = createServer();
    await new Promise<void>((done) => void other.listen(0, "127.0.0.1", done));
    const { port } = other.address() as AddressInfo;
    const site = createProcessSite(stage.fake.url, `metrics: {port: ${port}}`);
    const gateway = site.start();
    expect(await gateway.exit).toBe(1);
    expect(gateway.stderr()).toContain(`127.0.0.1:${port} already`);
    await new Promise((done) => other.close(done));
    site.remove();
  });
});

describe("what moves", () => {
  it("requests are counted by status and by whose fault it was", async () => {
    const cases = [
      [200, "none", { body: messagesBody() }],
      [200, "none", { body: streamed }],
      [401, "client", { headers: { "x-api-key": "sk-nobody" } }],
      [400, "client", { body: "[]" }],
      [404, "client", { body: messagesBody({ model: "nobody-serves-this" }) }],
      [400, "upstream", { behaviour: { status: 400 } }],
      [502, "upstream", { behaviour: { page: "html" } }],
      [503, "gateway", { behaviour: { status: 401 } }],
    ] as const;
    for (const [status, blame, call] of cases) {
      const before = await scrape();
      expect((await stage.call(call)).status).toBe(status);
      await rise(before, requests(status, blame));
    }
    const before = await scrape();
    await stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] }) });
    await rise(before, requests(200, "none", "count_tokens"));
  });

  it("a client that leaves counts as such", async () => {
    const before = await scrape();
    const reply = await stage.open({ body: streamed, behaviour: { fault: { at: "first-event", does: "stall" } } });
    await until("the first event", () => reply.text().includes("message_start"));
    reply.leave();
    await rise(before, requests(499, "client"));
  });

  it("time to the first event, overhead and whole time are observed once per answer", async () => {
    const before = await scrape();
    await stage.call({ body: streamed, behaviour: { firstByteDelayMs: 120 } });
    await rise(before, "tollgate_request_seconds_count");
    const after = await scrape();
    const grown = (series: string): number => valueOf(after, series) - valueOf(before, series);
    expect(grown("tollgate_first_event_seconds_count")).toBe(1);
    expect(grown('tollgate_first_event_seconds_bucket{le="0.1"}')).toBe(0);
    expect(grown('tollgate_first_event_seconds_bucket{le="+Inf"}')).toBe(1);
    expect(grown("tollgate_first_event_seconds_sum")).toBeGreaterThan(0.1);
    expect(grown("tollgate_overhead_seconds_count")).toBe(1);
    expect(grown("tollgate_overhead_seconds_sum")).toBeLessThan(0.12);
  });

  it("open streams and requests in flight rise and fall, however the streams end", async () => {
    const idle = await scrape();
    expect(valueOf(idle, "tollgate_open_streams")).toBe(0);
    const stalled = { fault: { at: "first-event", does: "stall" } } as const;
    const replies = await Promise.all([1, 2, 3].map(() => stage.open({ body: streamed, behaviour: stalled })));
    await rise(idle, "tollgate_open_streams", 3);
    expect(valueOf(await scrape(), "tollgate_requests_in_flight")).toBe(3);
    for (const reply of replies) reply.leave();
    await stage.call({ body: streamed, behaviour: { fault: { at: "mid-text", does: "destroy" } } });
    await stage.call({ body: streamed, behaviour: { fault: { at: "mid-text", does: "error-event" } } });
    await stage.call({ body: streamed, behaviour: { isErrorFirst: true } });
    await stage.call({ body: streamed, behaviour: { page: { contentType: "text/event-stream", text: "" } } });
    await until("all are closed", async () => {
      const text = await scrape();
      return valueOf(text, "tollgate_open_streams") === 0 && valueOf(text, "tollgate_requests_in_flight") === 0;
    });
  });

  it("an attempt whose bill is unknown is counted at once", async () => {
    const before = await scrape();
    expect((await stage.call({ behaviour: { fault: { at: "connect", does: "destroy" } } })).status).toBe(502);
    await rise(before, "tollgate_unresolved_attempts");
  });

  it("attempts that a crash left open are counted from the start", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-metrics-"));
    const stores = await openSqliteStores({ path: join(folder, "tollgate.db"), sync: "normal", clock: systemClock });
    await stores.books.openEntry(openingOf());
    await stores.close();
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const after = await startHarness({ upstreamUrl: fake.url, dataDir: folder, config: "metrics: {port: 0}" });
    expect(valueOf(await (await fetch(`${after.gateway.metricsUrl}/metrics`)).text(), "tollgate_unresolved_attempts")).toBe(1);
    await after.close();
    await fake.close();
    rmSync(folder, { recursive: true });
  });

  it("the event loop's lag shows a loop that stood still", async () => {
    const lag = await until("lag", async () => {
      await scrape();
      await ticks();
      // The gateway runs in this process, so this is what a stalled gateway looks like.
      const end = performance.now() + 300;
      while (performance.now() < end);
      await ticks();
      return valueOf(await scrape(), "tollgate_event_loop_lag_seconds") || undefined;
    });
    expect(lag).toBeGreaterThan(0.01);
  });

  it("the journal's depth is there, and nothing waits in it when all is quiet", async () => {
    const text = await scrape();
    expect(text).toMatch(/^# TYPE tollgate_journal_depth gauge$/m);
    expect(text).toMatch(/^tollgate_journal_depth 0$/m);
  });
});

describe("what it may not hold", () => {
  it("no key, model, session or path of a request, and no more series than before", async () => {
    const before = await scrape();
    for (let index = 0; index < 5; index++) {
      await stage.call({ body: messagesBody({ model: `canary-model-${index}` }), session: `canary-session-${index}` });
      await stage.call({ path: `/canary-path-${index}` });
    }
    const after = await scrape();
    expect(after).not.toContain("canary");
    for (const secret of [stage.key, adminKey, upstreamKey]) expect(after).not.toContain(secret);
    expect(after.split("\n").length - before.split("\n").length).toBeLessThanOrEqual(1);
  });
});
