// Guarantee: after `kill -9` at any moment, every attempt the provider billed has exactly one ledger row; rows without a bill
// exist only as unresolved; what was reported costs what the bill says; nothing stays open; a revoked key stays revoked.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBill, type BillEntry, billEntries } from "../support/fake-anthropic-bill.ts";
import { messagesBody, post, upstreamKey } from "../support/harness.ts";
import { startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";

const kills = Number(process.env["TOLLGATE_KILLS"] ?? 30);
const seed = Number(process.env["TOLLGATE_SEED"] ?? 20_261_123);
const folder = mkdtempSync(join(tmpdir(), "tollgate-kill-"));
const billPath = join(folder, "bill.jsonl");
let upstream: ChildProcess;
let upstreamUrl = "";

/** A small seeded generator (mulberry32), so that a failing run can be run again. */
function createRandom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

beforeAll(async () => {
  upstream = spawn(process.execPath, [join(import.meta.dirname, "..", "support", "fake-anthropic-main.ts"), "--bill", billPath, "--api-key", upstreamKey, "--until-stdin-ends"], { stdio: ["pipe", "pipe", "inherit"] });
  upstreamUrl = await new Promise<string>((resolve) => upstream.stdout?.once("data", (bytes: Buffer) => resolve((JSON.parse(bytes.toString()) as { url: string }).url)));
});

afterAll(() => {
  upstream.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true });
});

interface Row {
  readonly session_id: string;
  readonly state: string;
  readonly source: string;
  readonly cost_usd: string;
  readonly input_tokens: number;
  readonly output_tokens: number;
}

async function allRows(gateway: GatewayProcess, keyId: string, sinceMs: number): Promise<readonly Row[]> {
  return (await gateway.admin<{ rows: Row[] }>("GET", `/api/v1/usage?by=key&key=${keyId}&since=${new Date(sinceMs).toISOString()}&rows=1000`)).rows;
}

describe("kill -9", () => {
  it(`keeps bill and ledger one to one over ${kills} random kills (seed ${seed})`, { timeout: 60_000 + kills * 5_000 }, async () => {
    const random = createRandom(seed);
    let gateway = await startGatewayProcess(folder, { upstreamUrl });
    const { key, token_id: keyHash } = await gateway.admin<{ key: string; token_id: string }>("POST", "/key/generate", { key_alias: "load" });
    const startTimes: number[] = [];
    const rows = new Map<string, Row[]>();
    let sequence = 0;
    for (let round = 0; round < kills; round++) {
      const roundStart = Date.now() - 1;
      const calls: Promise<unknown>[] = [];
      let isStopping = false;
      const call = async (): Promise<void> => {
        while (!isStopping) {
          const session = `kill-${seed}-${(sequence += 1)}`;
          const behaviour = { writeDelayMs: Math.floor(random() * 3), ...(random() < 0.1 ? { status: 529 } : {}) };
          const reply = await post(gateway.url, key, messagesBody({ stream: random() < 0.7 }), { "x-claude-code-session-id": session, "anthropic-test-behaviour": JSON.stringify(behaviour) });
          await reply.text();
        }
      };
      for (let worker = 0; worker < 6; worker++) calls.push(call().catch(() => undefined));
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 150));
      isStopping = true;
      await gateway.kill();
      await Promise.all(calls);
      gateway = await startGatewayProcess(folder, { upstreamUrl });
      startTimes.push(gateway.startMs);
      for (const row of await allRows(gateway, keyHash, roundStart)) rows.set(row.session_id, [...(rows.get(row.session_id) ?? []).filter((other) => JSON.stringify(other) !== JSON.stringify(row)), row]);
    }
    const bill = billEntries(readBill(billPath));
    expect(bill.length).toBeGreaterThan(kills * 3);
    const billed = new Map<string, BillEntry[]>();
    for (const entry of bill) billed.set(entry.billed.sessionId ?? "", [...(billed.get(entry.billed.sessionId ?? "") ?? []), entry]);

    expect([...billed].filter(([session, entries]) => entries.length !== 1 || rows.get(session)?.length !== 1).map(([session]) => session)).toEqual([]);
    const unbilled = [...rows].filter(([session]) => !billed.has(session)).flatMap(([, own]) => own);
    expect(unbilled.filter(({ state, source }) => state !== "unresolved" && source !== "none")).toEqual([]);
    expect([...rows.values()].flat().filter(({ state }) => state === "open")).toEqual([]);
    const reported = [...rows.values()].flat().filter(({ source }) => source === "reported");
    expect(reported.length).toBeGreaterThan(0);
    for (const row of reported) {
      const { usage } = billed.get(row.session_id)![0]!.billed;
      expect([row.input_tokens, row.output_tokens]).toEqual([usage.input_tokens, usage.output_tokens]);
    }
    startTimes.sort((a, b) => a - b);
    process.stdout.write(`kill -9: ${kills} kills, ${bill.length} billed attempts, ${unbilled.length} rows without a bill, restart median ${Math.round(startTimes[kills >> 1]!)} ms, worst ${Math.round(startTimes.at(-1)!)} ms\n`);
    expect(await gateway.stop()).toBe(0);
  });

  it("never brings a revoked key back, and keeps the tokens of one that lives", { timeout: 60_000 }, async () => {
    let gateway = await startGatewayProcess(folder, { upstreamUrl });
    const living = await gateway.admin<{ key: string }>("POST", "/key/generate", {});
    const session = (await (await fetch(`${gateway.url}/v1/me/token`, { method: "POST", headers: { authorization: `Bearer ${living.key}` } })).json()) as { token: string };
    for (let round = 0; round < 5; round++) {
      const { key } = await gateway.admin<{ key: string }>("POST", "/key/generate", {});
      await gateway.admin("POST", "/key/delete", { keys: [key] });
      expect((await post(gateway.url, key, messagesBody())).status).toBe(401);
      await gateway.kill();
      gateway = await startGatewayProcess(folder, { upstreamUrl });
      expect((await post(gateway.url, key, messagesBody())).status).toBe(401);
      expect((await post(gateway.url, session.token, messagesBody())).status).toBe(200);
    }
    await gateway.kill();
  });

  it("refuses a second gateway on the same data, and drains a running stream on SIGTERM", { timeout: 30_000 }, async () => {
    const gateway = await startGatewayProcess(folder, { upstreamUrl });
    await expect(startGatewayProcess(folder, { upstreamUrl })).rejects.toThrow(/another Tollgate|in use/i);
    const { key } = await gateway.admin<{ key: string }>("POST", "/key/generate", {});
    const reply = await post(gateway.url, key, messagesBody({ stream: true }), { "anthropic-test-behaviour": JSON.stringify({ writeDelayMs: 40 }) });
    const stopped = gateway.stop();
    expect(await reply.text()).toContain("event: message_stop");
    expect(await stopped).toBe(0);
  });
});
