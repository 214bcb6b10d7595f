/**
 * Guarantee: while the store cannot be written, money fails closed with 503 and `retry-after: 2`, and keys stay valid; under budgets
 * with `fail_open` calls go on within a small allowance, from the spill file, and each attempt that was billed has exactly one row
 * when the store is back or after the next start, however the process died; budgets have counted all of it.
 *
 * A full disk is made with the operating system's bound on file sizes (`prlimit`), set on the running gateway from outside; the
 * spill file is far below that bound, as one on another disk would be.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { callAdmin, createProcessSite, killLeftovers, statusOfKey, type GatewayProcess, type ProcessSite } from "../support/gateway-process.ts";
import { adminKey, messagesBody, post, until, upstreamKey } from "../support/harness.ts";

const hasTool = spawnSync("prlimit", ["--version"]).status === 0;
/** Opus 4.8: 5 dollars a million in, 25 out. 40 cents. */
const dear = { usage: { input_tokens: 40_000, output_tokens: 8_000 } } as const;
/** Stands still after its first event until the test lets it go, or its process dies. */
const stalled = { usage: { input_tokens: 40_000 }, fault: { at: "first-event", does: "stall" } } as const;

let fake: FakeAnthropic;
let site: ProcessSite;
let gateway: GatewayProcess;
let url: string;
let key: string;

beforeEach(async () => {
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
});
afterEach(async () => {
  await killLeftovers();
  site.remove();
  await fake.close();
});

async function begin(config: string, fields: object = {}): Promise<void> {
  site = createProcessSite(fake.url, config);
  const configPath = join(site.folder, "tollgate.yaml");
  writeFileSync(configPath, readFileSync(configPath, "utf8").replace("level: silent", "level: warn"));
  await start();
  key = (await callAdmin<{ key: string }>(url, "/key/generate", fields)).key;
}

async function start(): Promise<void> {
  gateway = site.start();
  url = await gateway.ready;
}

function boundFiles(bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(gateway.pid), `--fsize=${bytes}:`]);
}

async function database(): Promise<unknown> {
  return ((await (await fetch(`${url}/health/readiness`)).json()) as { db: string }).db;
}

/** From now on the store cannot grow. */
async function fillDisk(bytes = statSync(`${site.ledgerPath}-wal`).size): Promise<void> {
  boundFiles(bytes);
  await until("the store fails", async () => (await database()) === "Not connected");
}

async function emptyDisk(): Promise<void> {
  boundFiles("unlimited");
  await until("the store works", async () => (await database()) === "connected");
  await until("nothing waits", async () => (await metric("tollgate_journal_depth")) === 0);
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
}

let calls = 0;
async function call(behaviour: object = dear, ownKey = key): Promise<{ readonly status: number; readonly session: string; readonly retryAfter: string | null; readonly text: string }> {
  const session = `outage-${calls++}`;
  const reply = await post(url, ownKey, messagesBody({ stream: true }), { "x-claude-code-session-id": session, "anthropic-test-behaviour": JSON.stringify(behaviour) });
  return { status: reply.status, session, retryAfter: reply.headers.get("retry-after"), text: await reply.text() };
}

async function calledTimes(count: number): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (let index = 0; index < count; index++) statuses.push((await call()).status);
  return statuses;
}

interface Row {
  readonly session_id: string;
  readonly state: string;
  readonly source: string;
  readonly cost_usd: string;
}

const rows = async (): Promise<readonly Row[]> => (await callAdmin<{ rows: Row[] }>(url, "/api/v1/usage?by=key&rows=1000")).rows.toReversed();
const budgets = async (): Promise<readonly Record<string, string>[]> => (await callAdmin<{ budgets: Record<string, string>[] }>(url, "/api/v1/budgets")).budgets;
/** Sessions that the provider billed. */
const billed = (): readonly string[] => fake.bill().flatMap((entry) => (entry.type === "billed" ? [entry.sessionId ?? ""] : []));
const spillBytes = (): number => statSync(join(site.dataDir, "spill.jsonl")).size;

describe.skipIf(!hasTool)("while the store cannot be written", () => {
  it("a budget that says nothing fails closed with 503 and retry-after 2, and keys stay what they are", async () => {
    await begin("budgets: [{scope: global, amount: 100}]");
    await fillDisk();
    const refused = await call();
    expect([refused.status, refused.retryAfter]).toEqual([503, "2"]);
    expect(refused.text).toContain("cannot write its ledger");
    expect([await statusOfKey(url, key), await statusOfKey(url, "sk-unknown")]).toEqual([200, 401]);
    expect((await call(dear, "sk-unknown")).status).toBe(401);
    expect((await fetch(`${url}/health/readiness`)).status).toBe(503);
    expect(fake.requests).toEqual([]);
    await emptyDisk();
    expect((await call()).status).toBe(200);
  });

  it("calls go on up to the share of the budget, are told loudly, and are in the ledger once when the store is back", async () => {
    await begin("budgets: [{scope: global, amount: 100, fail_open: {}}]");
    await fillDisk();
    expect((await fetch(`${url}/health/readiness`)).status).toBe(200);
    expect(await calledTimes(6)).toEqual([200, 200, 200, 200, 200, 503]);
    expect(billed()).toHaveLength(5);
    expect([await metric("tollgate_failing_open"), await metric("tollgate_fail_open_attempts_total")]).toEqual([1, 5]);
    await until("the log's line", () => /"level":"error".*"msg":"failing open: /.test(gateway.stdout()));
    expect(await rows()).toEqual([]);
    expect(await budgets()).toMatchObject([{ spent_usd: "2.00", held_usd: "0.00" }]);
    await emptyDisk();
    expect((await rows()).map(({ session_id, source }) => [session_id, source])).toEqual(billed().map((session) => [session, "reported"]));
    expect(await until("an empty file", () => spillBytes() === 0)).toBe(true);
    expect(await metric("tollgate_failing_open")).toBe(0);
    expect(await budgets()).toMatchObject([{ spent_usd: "2.00", held_usd: "0.00" }]);
    // The next outage has its own allowance.
    await fillDisk();
    expect(await calledTimes(6)).toEqual([200, 200, 200, 200, 200, 503]);
    await emptyDisk();
    expect((await rows()).map(({ session_id }) => session_id)).toEqual(billed());
  });

  it("every budget that binds a call must allow it, and calls without any budget need a word of their own", async () => {
    await begin("budgets: [{scope: 'team:*', amount: 100, fail_open: {share: 0.5}}, {scope: 'team:blue', id: strict one, amount: 100, mode: strict}]");
    const red = (await callAdmin<{ key: string }>(url, "/key/generate", { team_id: "red" })).key;
    const blue = (await callAdmin<{ key: string }>(url, "/key/generate", { team_id: "blue" })).key;
    await fillDisk();
    expect([(await call(dear, red)).status, (await call(dear, blue)).status, (await call()).status]).toEqual([200, 503, 503]);
    await emptyDisk();
    expect(await rows()).toHaveLength(1);
  });

  it("calls without any budget go on where the operator says so", async () => {
    await begin("store: {spill: {path: ./elsewhere.jsonl, unbudgeted: 10m}}\nbudgets: [{scope: 'team:*', amount: 100}]");
    const team = (await callAdmin<{ key: string }>(url, "/key/generate", { team_id: "red" })).key;
    await fillDisk();
    expect([(await call()).status, (await call(dear, team)).status]).toEqual([200, 503]);
    expect(statSync(join(site.folder, "elsewhere.jsonl")).size).toBeGreaterThan(0);
    expect(statSync(join(site.folder, "elsewhere.jsonl")).mode & 0o777).toBe(0o600);
    await emptyDisk();
    expect((await rows()).map(({ session_id }) => session_id)).toEqual(billed());
  });

  it("nothing goes on when the spill file cannot be written either", async () => {
    await begin("budgets: [{scope: global, amount: 100, fail_open: {}}]");
    await fillDisk(0);
    const many = await Promise.all(Array.from({ length: 10 }, () => call()));
    expect(new Set(many.map(({ status, retryAfter }) => `${status} ${retryAfter}`))).toEqual(new Set(["503 2"]));
    expect(fake.requests).toEqual([]);
    expect(await budgets()).toMatchObject([{ spent_usd: "0.00", held_usd: "0.00" }]);
    await emptyDisk();
    expect((await call()).status).toBe(200);
    expect(await rows()).toHaveLength(1);
  });

  it("kill -9 leaves one row for each attempt that was billed, and budgets as they were", async () => {
    await begin("budgets: [{scope: global, amount: 100, fail_open: {}}]");
    expect(await calledTimes(2)).toEqual([200, 200]);
    const leaving = new AbortController();
    const before = post(url, key, messagesBody({ stream: true }), { "x-claude-code-session-id": "before", "anthropic-test-behaviour": JSON.stringify(stalled) }, leaving.signal);
    await before;
    await fillDisk();
    expect(await calledTimes(3)).toEqual([200, 200, 200]);
    const during = await post(url, key, messagesBody({ stream: true }), { "x-claude-code-session-id": "during", "anthropic-test-behaviour": JSON.stringify(stalled) }, leaving.signal);
    expect(during.status).toBe(200);
    await until("its hold is in the file", () => readFileSync(join(site.dataDir, "spill.jsonl"), "utf8").includes('"hold"'));
    const [{ spent_usd, held_usd } = {}] = await budgets();
    expect(spent_usd).toBe("2.00");
    await gateway.kill9();
    leaving.abort();
    await start();
    const found = await rows();
    expect(new Set(found.map(({ session_id }) => session_id))).toEqual(new Set([...billed(), "before", "during"]));
    expect(found).toHaveLength(7);
    expect(found.filter(({ state }) => state === "unresolved").map(({ session_id }) => session_id)).toEqual(["before", "during"]);
    await until("the log's line", () => gateway.stdout().includes("entries of an outage were in the spill file"));
    expect(spillBytes()).toBe(0);
    const [after] = await budgets();
    // What ran counts at its last durable hold from now on.
    expect(Number(after!["spent_usd"])).toBeCloseTo(2 + Number(held_usd), 6);
    expect(after).toMatchObject({ unresolved_usd: held_usd, held_usd: "0.00" });
    await gateway.kill9();
    await start();
    expect(await rows()).toEqual(found);
    expect(await budgets()).toEqual([after]);
  });

  it("SIGTERM in an outage ends well, and the next start has all entries", async () => {
    await begin("budgets: [{scope: global, amount: 100, fail_open: {}}]");
    await fillDisk();
    expect(await calledTimes(2)).toEqual([200, 200]);
    gateway.signal("SIGTERM");
    expect(await gateway.exit).toBe(0);
    await start();
    expect((await rows()).map(({ session_id, state }) => [session_id, state])).toEqual(billed().map((session) => [session, "closed"]));
    expect(await budgets()).toMatchObject([{ spent_usd: "0.80" }]);
  });
});
