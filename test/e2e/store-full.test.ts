/**
 * Guarantee: while the ledger cannot be written the gateway takes no work, says why, and sends nothing upstream; what had
 * begun before goes on, and its bill is written as soon as there is room again, or found as unresolved after a death.
 *
 * A full disk is made with the operating system's bound on file sizes (`prlimit`), set on the running gateway from outside.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { callAdmin, createProcessSite, isReady, killLeftovers, type GatewayProcess, type ProcessSite } from "../support/gateway-process.ts";
import { adminKey, messagesBody, post, until, upstreamKey } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";

const hasTool = spawnSync("prlimit", ["--version"]).status === 0;
/** Stands still after its first event for as long as the disk stays full, roughly. */
const paused = { text: "word ".repeat(20), fault: { at: "mid-text", does: "pause", ms: 2_500, isWholeEvents: true } } as const;

let fake: FakeAnthropic;
let site: ProcessSite;
let gateway: GatewayProcess;
let url: string;
let key: string;

beforeEach(async () => {
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
  site = createProcessSite(fake.url);
  const configPath = join(site.folder, "tollgate.yaml");
  writeFileSync(configPath, readFileSync(configPath, "utf8").replace("level: silent", "level: error"));
  await start();
  key = (await callAdmin<{ key: string }>(url, "/key/generate", {})).key;
});

afterEach(async () => {
  await killLeftovers();
  site.remove();
  await fake.close();
});

async function start(): Promise<void> {
  gateway = site.start();
  url = await gateway.ready;
}

function boundFiles(bytes: number | "unlimited"): void {
  execFileSync("prlimit", ["--pid", String(gateway.pid), `--fsize=${bytes}:`]);
}

/** From now on no file of the gateway may grow beyond the log's present size. */
async function fillDisk(): Promise<void> {
  boundFiles(statSync(`${site.ledgerPath}-wal`).size);
  await until("readiness says no", async () => !(await isReady(url)));
}

async function emptyDisk(): Promise<void> {
  boundFiles("unlimited");
  await until("readiness says yes", () => isReady(url));
}

interface Row {
  readonly session_id: string;
  readonly outcome: string;
  readonly source: string;
  readonly closed_at: string | null;
  readonly cost_usd: string;
}

async function rows(session?: string): Promise<readonly Row[]> {
  return (await callAdmin<{ rows: Row[] }>(url, `/api/v1/usage?by=key&rows=100${session === undefined ? "" : `&session=${session}`}`)).rows;
}

function send(session: string, behaviour: object = {}, isStreaming = true): Promise<Response> {
  return post(url, key, messagesBody({ stream: isStreaming }), { "x-claude-code-session-id": session, "anthropic-test-behaviour": JSON.stringify(behaviour) });
}

describe.skipIf(!hasTool)("while the disk is full", () => {
  it("new requests are refused with a sentence that says why, and nothing goes upstream", async () => {
    await fillDisk();
    for (const isStreaming of [true, false]) {
      const reply = await send("refused", {}, isStreaming);
      expect(reply.status).toBe(503);
      expect(reply.headers.get("retry-after")).toBe("2");
      expect(reply.headers.get("x-should-retry")).toBeNull();
      expect(await reply.json()).toMatchObject({ type: "error", error: { type: "api_error", message: "The gateway cannot write its ledger at the moment, so it takes no work." } });
    }
    const many = await Promise.all(Array.from({ length: 40 }, (_, index) => send(`refused-${index}`)));
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([503]));
    await Promise.all(many.map((reply) => reply.arrayBuffer()));
    expect(fake.requests).toEqual([]);
    expect(await rows()).toEqual([]);
    await emptyDisk();
    expect(await rows()).toEqual([]);
  });

  it("it is alive and not ready, says so once in its log, and management says why it cannot write", async () => {
    const errors = (): readonly Record<string, unknown>[] =>
      gateway
        .stdout()
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ level }) => level === "error");
    await fillDisk();
    await (await send("refused")).text();
    await until("the log's line", () => errors().length > 0);
    expect(errors()).toMatchObject([{ msg: "the store degrades", internal: expect.stringMatching(/disk/) as string }]);
    expect((await fetch(`${url}/health/liveliness`)).status).toBe(200);
    expect(await (await fetch(`${url}/health/readiness`)).json()).toMatchObject({ status: "unhealthy", db: "Not connected" });
    const made = await fetch(`${url}/key/generate`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: "{}" });
    expect(made.status).toBe(503);
    expect(JSON.stringify(await made.json())).toContain("cannot write its ledger");
    const before = (await callAdmin<{ keys: unknown[] }>(url, "/key/list")).keys.length;
    await emptyDisk();
    expect((await callAdmin<{ keys: unknown[] }>(url, "/key/list")).keys).toHaveLength(before);
    await callAdmin(url, "/key/generate", {});
  });

  it("a running stream ends whole; its bill waits and is written when there is room, and all is as before", async () => {
    const running = await send("running", paused);
    await until("it is upstream", () => fake.requests.length === 1);
    await fillDisk();
    const text = await running.text();
    expect(checkStreamGrammar(Buffer.from(text))).toMatchObject({ ok: true, outcome: "stop", text: paused.text });
    const metrics = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
    expect(metrics).toMatch(/^tollgate_journal_depth 1$/m);
    expect(await rows("running")).toMatchObject([{ closed_at: null }]);
    await emptyDisk();
    const [row] = await until("the closing", async () => {
      const found = await rows("running");
      return found[0]?.closed_at === null ? undefined : found;
    });
    expect(row).toMatchObject({ outcome: "completed", source: "reported" });
    expect(Number(row!.cost_usd)).toBeGreaterThan(0);
    expect((await send("after")).status).toBe(200);
    expect(fake.bill().filter(({ type }) => type === "billed")).toHaveLength(2);
    await until("two closed rows", async () => (await rows()).filter(({ closed_at }) => closed_at !== null).length === 2);
  });

  it("kill -9 leaves what was not yet written to be found as unresolved", async () => {
    const running = await send("running", paused);
    await until("it is upstream", () => fake.requests.length === 1);
    await fillDisk();
    await running.text();
    await gateway.kill9();
    await start();
    expect(await rows("running")).toMatchObject([{ outcome: "unresolved", source: "unresolved" }]);
    expect((await send("after")).status).toBe(200);
  });

  it("SIGTERM still ends the process, with a failure that says what could not be written", async () => {
    const running = await send("running", paused);
    await until("it is upstream", () => fake.requests.length === 1);
    await fillDisk();
    await running.text();
    gateway.signal("SIGTERM");
    expect(await gateway.exit).toBe(1);
    expect(gateway.stderr()).toContain("could not be written");
    expect(gateway.stderr()).not.toMatch(/\n\s+at /);
    await start();
    expect(await rows("running")).toMatchObject([{ outcome: "unresolved" }]);
  });
});
