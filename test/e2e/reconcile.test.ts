/**
 * Guarantee: the provider's own figures, as its console exports them, settle what a crash left unknown: to the token, in the
 * ledger, the key's spend and every budget, without a restart and after one; a later, corrected export corrects them again by entries of
 * their own, the same one changes nothing, and nothing is corrected that they do not prove.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock, type Clock } from "../../src/kernel/clock.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import { startGateway, type Gateway } from "../../src/main.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { closingOf, openingOf } from "../conformance/store-fixtures.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { launcher } from "../support/gateway-process.ts";
import { adminKey, configText, messagesBody, post, until, upstreamKey } from "../support/harness.ts";

const dayMs = 86_400_000;
/** Two days ago, in the middle of the day, so that the day is over and in this month's window or the last's alike. */
const thenMs = Math.floor(Date.now() / dayMs) * dayMs - 2 * dayMs + dayMs / 2;
const day = new Date(thenMs).toISOString().slice(0, 10);
const model = "claude-opus-4-8";

let folder: string;
let dataDir: string;
let fake: FakeAnthropic;
let gateway: Gateway | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-reconcile-"));
  dataDir = join(folder, "data");
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
});
afterEach(async () => {
  await gateway?.close(0);
  gateway = undefined;
  await fake.close();
  rmSync(folder, { recursive: true });
});

/** What earlier days left in the ledger: attempts of Opus 4.8 (5 dollars a million in, 25 out), each of at most 20,000 bytes. */
async function history(attempts: readonly { readonly kind: "reported" | "estimated" | "unresolved"; readonly input?: number; readonly output?: number; readonly holdUsd?: bigint; readonly teamId?: string }[]): Promise<void> {
  const stores = await openSqliteStores({ path: join(dataDir, "tollgate.db"), sync: "normal", clock: systemClock });
  for (const [index, { kind, input = 0, output = 0, holdUsd = 0n, teamId = "blue" }] of attempts.entries()) {
    const opening = openingOf({ openedAtMs: thenMs + index * 1_000, requestBytes: 20_000, requestedModel: model, model, upstreamModel: model, targetId: "t", teamId, holdNanoUsd: nanoUsd(holdUsd * 1_000_000_000n) });
    await stores.books.openEntry(opening);
    if (kind === "unresolved") continue;
    const cost = BigInt(input) * 5_000n + BigInt(output) * 25_000n;
    const counts = { input, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output };
    await stores.books.closeEntry(closingOf(opening.attemptId, { closedAtMs: opening.openedAtMs + 500, source: kind, servedModel: model, counts, costNanoUsd: nanoUsd(cost) }));
  }
  await stores.close();
}

async function start(config: string, clock: Clock = systemClock): Promise<void> {
  const configPath = join(folder, "tollgate.yaml");
  writeFileSync(configPath, configText({ upstreamUrl: fake.url, config }));
  gateway = await startGateway({ configPath, dataDir, insecureDevKey: false, acceptUnenforced: [], env: {}, clock });
}

async function admin<Reply = Record<string, unknown>>(path: string): Promise<Reply> {
  const reply = await fetch(`${gateway!.url}${path}`, { headers: { authorization: `Bearer ${adminKey}` } });
  expect(reply.status).toBe(200);
  return (await reply.json()) as Reply;
}

const budgets = async (): Promise<readonly Record<string, string>[]> => (await admin<{ budgets: Record<string, string>[] }>("/api/v1/budgets")).budgets;
const total = async (): Promise<Record<string, unknown>> => (await admin<{ total: Record<string, unknown> }>("/api/v1/usage?by=day")).total;
const audit = async (): Promise<readonly string[]> => {
  await gateway!.close(0);
  gateway = undefined;
  const stores = await openSqliteStores({ path: join(dataDir, "tollgate.db"), sync: "normal", clock: systemClock });
  const records = await stores.audit.list({ limit: 10, action: "usage.reconcile" });
  await stores.close();
  return records.map(({ actor, object, details }) => JSON.stringify({ actor, object, ...details }));
};

/** Every adjusting entry of each row, the oldest row first. */
async function entries(): Promise<readonly (readonly Record<string, unknown>[])[]> {
  const { rows } = await admin<{ rows: { adjustments: Record<string, unknown>[] }[] }>("/api/v1/usage?rows=100");
  return rows.map(({ adjustments }) => adjustments).toReversed();
}

const header = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed";
/** An export of the console. */
function exportOf(input: number, output: number, more: readonly string[] = []): string {
  const path = join(folder, "claude_api_tokens.csv");
  writeFileSync(path, [header, `${day},${model},gateway,Default,standard,≤ 200k,${input},0,0,0,${output},0,global,`, ...more, ""].join("\n"));
  return path;
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as a program. */
function reconcile(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [launcher, "reconcile", "--provider", "anthropic", "--url", gateway!.url, ...args], { cwd: folder, env: { PATH: process.env["PATH"] ?? "", TOLLGATE_ADMIN_KEY: adminKey } }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout, stderr }),
    );
  });
}

const wide = "budgets: [{scope: global, amount: 100, rolling: 7d}, {scope: 'team:blue', amount: 100, rolling: 7d, mode: strict}, {scope: 'team:red', amount: 100, rolling: 7d}]";

describe("tollgate reconcile", () => {
  it("shows both sides and corrects nothing by itself, then settles an unresolved attempt everywhere, once", async () => {
    await history([{ kind: "reported", input: 100_000, output: 1_000 }, { kind: "unresolved", holdUsd: 2n }]);
    await start(wide);
    expect(await budgets()).toMatchObject([{ scope: "global", spent_usd: "2.525", unresolved_usd: "2.00" }, { scope: "team:blue", spent_usd: "2.525" }, { scope: "team:red" }]);
    const file = exportOf(112_000, 1_400);
    const look = await reconcile("--file", file);
    expect(look.code).toBe(1);
    expect(look.stdout).toMatch(new RegExp(`${day}\\s+${model}\\s+101,000\\s+113,400\\s+\\+12,400\\s+0\\.5250\\s+differs`));
    expect(look.stdout).toContain("1 unresolved attempt here, which it would explain.");
    expect(look.stdout).toContain("--apply corrects 1 attempt by +0.07 USD.");
    expect(await budgets()).toMatchObject([{ spent_usd: "2.525" }, {}, {}]);

    const booked = await reconcile("--file", file, "--apply");
    expect([booked.code, booked.stderr]).toEqual([0, ""]);
    expect(booked.stdout).toContain("Booked: 1 attempt by +0.07 USD, as adjusting entries.");
    const settled = [{ scope: "global", spent_usd: "0.595", unresolved_usd: "0.00" }, { scope: "team:blue", spent_usd: "0.595", unresolved_usd: "0.00" }, { scope: "team:red" }];
    expect(await budgets()).toMatchObject(settled);
    expect(await total()).toMatchObject({ attempts: 2, input_tokens: 112_000, output_tokens: 1_400, cost_usd: "0.595", adjusted_usd: "0.07", unresolved_attempts: 0 });

    const again = await reconcile("--file", file, "--apply", "--json");
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ agrees: true, is_settled: true, corrections: { attempts: 0, is_applied: false }, lines: [{ day, model, agrees: true, ledger: { adjusted_attempts: 1, cost_usd: "0.595" } }] });
    expect(await budgets()).toMatchObject(settled);
    expect(await audit()).toEqual([expect.stringMatching(/"actor":"admin","object":"anthropic".*"file":"claude_api_tokens\.csv","fileSha256":"[0-9a-f]{64}","attempts":1,"deltaUsd":"0\.07"/)]);
    await start(wide);
    expect(await budgets()).toMatchObject(settled);
  });

  it("corrects again by a later, corrected export, with an entry of its own each time, and never twice by the same", async () => {
    await history([{ kind: "reported", input: 1_000 }, { kind: "unresolved", holdUsd: 1n }, { kind: "unresolved", holdUsd: 3n, teamId: "red" }]);
    await start(wide);
    const book = async (input: number, output: number): Promise<Outcome> => reconcile("--file", exportOf(input, output), "--apply");
    const spent = async (): Promise<unknown> => Object.fromEntries((await budgets()).map((row) => [row["scope"], row["spent_usd"]]));
    // 1,000 and 3,000 tokens by what was held.
    expect((await book(5_000, 0)).stdout).toContain("Booked: 2 attempts by +0.02 USD");
    expect(await spent()).toEqual({ global: "0.025", "team:blue": "0.01", "team:red": "0.015" });
    const look = await reconcile("--file", exportOf(9_000, 400), "--json");
    expect(JSON.parse(look.stdout)).toMatchObject({ agrees: false, corrections: { attempts: 2, delta_usd: "0.03", is_applied: false }, lines: [{ reasons: [{ code: "adjusted" }, { code: "over_midnight" }], corrections: [{ was: "adjusted", delta_usd: "0.0075" }, { was: "adjusted", delta_usd: "0.0225" }] }] });
    expect(await spent()).toEqual({ global: "0.025", "team:blue": "0.01", "team:red": "0.015" });
    const later = await book(9_000, 400);
    expect([later.code, later.stdout]).toEqual([0, expect.stringContaining("2 attempts here that earlier figures have settled, which these would correct.")]);
    const settled = { global: "0.055", "team:blue": "0.0175", "team:red": "0.0375" };
    expect(await spent()).toEqual(settled);
    expect((await book(9_000, 400)).stdout).toContain("Ledger and provider agree.");
    expect(await total()).toMatchObject({ attempts: 3, input_tokens: 9_000, output_tokens: 400, cost_usd: "0.055", adjusted_usd: "0.05" });
    const booked = await entries();
    const reason = `reconciled with anthropic's figures of ${day}`;
    expect(booked).toMatchObject([
      [],
      [{ delta_usd: "0.005", input_tokens: 1_000, output_tokens: 0, reason }, { delta_usd: "0.0075", input_tokens: 1_000, output_tokens: 100, reason }],
      [{ delta_usd: "0.015", input_tokens: 3_000, output_tokens: 0, reason }, { delta_usd: "0.0225", input_tokens: 3_000, output_tokens: 300, reason }],
    ]);
    expect(booked.map((own) => own.map(({ at }) => Math.abs(Date.parse(String(at)) - Date.now()) < 60_000))).toEqual([[], [true, true], [true, true]]);
    expect(new Set(booked.flat().map(({ id }) => id)).size).toBe(4);
    await gateway!.close(0);
    await start(wide);
    expect(await spent()).toEqual(settled);
    // What is less is given back as exactly.
    expect((await book(5_000, 0)).stdout).toContain("Booked: 2 attempts by -0.03 USD");
    expect(await spent()).toEqual({ global: "0.025", "team:blue": "0.01", "team:red": "0.015" });
  });

  it("gives back what was held for attempts that cost nothing, and lets calls in again", async () => {
    await history([{ kind: "unresolved", holdUsd: 100n }]);
    await start("budgets: [{scope: global, amount: 100, rolling: 7d}]");
    const key = await newKey();
    expect((await post(gateway!.url, key, messagesBody())).status).toBe(429);
    const path = join(folder, "none.csv");
    writeFileSync(path, `${header}\n`);
    const booked = await reconcile("--file", path, "--since", day, "--until", day, "--apply");
    expect(booked.stdout).toContain("1 unresolved attempt here, which cost nothing by these figures.");
    expect(booked.code).toBe(0);
    expect((await budgets())[0]).toMatchObject({ spent_usd: "0.00", unresolved_usd: "0.00", left_usd: "100.00" });
    expect((await post(gateway!.url, key, messagesBody())).status).toBe(200);
  });

  it("corrects estimates that cannot be right, each team's budget by its own attempts", async () => {
    await history([{ kind: "reported", input: 1_000 }, { kind: "estimated", input: 1_000, output: 100, teamId: "red" }]);
    await start(wide);
    expect(await budgets()).toMatchObject([{ spent_usd: "0.0125", estimated_usd: "0.0075" }, { scope: "team:red", spent_usd: "0.0075" }, { scope: "team:blue", spent_usd: "0.005" }]);
    expect((await reconcile("--file", exportOf(2_000, 300), "--apply")).stdout).toContain("Booked: 1 attempt by +0.005 USD");
    const byScope = new Map((await budgets()).map((row) => [row["scope"], row["spent_usd"]]));
    expect(byScope).toEqual(new Map([["global", "0.0175"], ["team:red", "0.0125"], ["team:blue", "0.005"]]));
  });

  it("corrects nothing that a file does not prove: less than was reported, other keys, costs, days that are not over", async () => {
    await history([{ kind: "reported", input: 5_000 }, { kind: "unresolved", holdUsd: 1n }]);
    await start(wide);
    const less = await reconcile("--file", exportOf(4_000, 0), "--apply");
    expect([less.code, less.stdout]).toEqual([1, expect.stringContaining("Nothing can be corrected by these figures.")]);
    const other = exportOf(5_000, 0, [`${day},${model},another,Default,standard,≤ 200k,30000,0,0,0,9,0,global,`]);
    expect((await reconcile("--file", other, "--apply")).stdout).toMatch(/more input than the requests[\s\S]*several API keys: "another", "gateway"/);
    expect((await reconcile("--file", other, "--api-key", "nobody")).stderr).toContain('It has "another", "gateway".');
    const costs = join(folder, "cost.csv");
    writeFileSync(costs, `usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed\n${day},Claude Opus 4.8,Default,gateway,message,≤ 200k,input_no_cache,0.02,0.03,token,global,\n`);
    const priced = await reconcile("--file", costs, "--apply");
    expect(priced.stdout).toMatch(/0\.0250\s+0\.0200\s+-0\.0050\s+agrees/);
    expect(priced.stdout).toContain("the file's own rounding leaves this open");
    expect((await budgets())[0]).toMatchObject({ spent_usd: "1.025", unresolved_usd: "1.00" });
    const only = await reconcile("--file", other, "--api-key", "gateway", "--apply");
    expect(only.stdout).toContain("Booked: 1 attempt by 0.00 USD");
    expect((await budgets())[0]).toMatchObject({ spent_usd: "0.025", unresolved_usd: "0.00" });
  });

  it("says which line and column of a file it cannot read, and which providers there are", async () => {
    await start("");
    const path = exportOf(1, 1, [`${day},${model},gateway,Default,standard,≤ 200k,many,0,0,0,1,0,global,`]);
    const fault = await reconcile("--file", path);
    expect([fault.code, fault.stderr]).toEqual([1, expect.stringMatching(/claude_api_tokens\.csv:3:\d+: usage_input_tokens_no_cache: "many" is not a whole number/)]);
    const wrong = await new Promise<string>((resolve) => void execFile(process.execPath, [launcher, "reconcile", "--provider", "bedrock", "--file", exportOf(1, 1), "--url", gateway!.url], { cwd: folder, env: { PATH: process.env["PATH"] ?? "", TOLLGATE_ADMIN_KEY: adminKey } }, (_, _stdout, stderr) => resolve(stderr)));
    expect(wrong).toContain("provider: it must be one whose exports can be read: anthropic.");
    expect((await reconcile("--file", join(folder, "nowhere.csv"))).stderr).toContain("cannot be read (ENOENT)");
  });

  it("is one reconciliation at a time, and refuses bodies beyond its bounds", async () => {
    await history([{ kind: "unresolved", holdUsd: 2n }]);
    await start(wide);
    const send = (body: unknown): Promise<Response> => fetch(`${gateway!.url}/api/v1/reconcile`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: JSON.stringify(body) });
    const body = { provider: "anthropic", kind: "usage", since: day, until: day, apply: true, lines: [{ day, model, input_tokens: 10_000 }] };
    const replies = await Promise.all(Array.from({ length: 5 }, async () => ((await (await send(body)).json()) as { corrections: { attempts: number } }).corrections.attempts));
    expect(replies.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0, 1]);
    expect((await budgets())[0]).toMatchObject({ spent_usd: "0.05", unresolved_usd: "0.00" });
    const many = await send({ ...body, lines: Array.from({ length: 4_001 }, () => ({ day, model })) });
    expect([many.status, await many.text()]).toEqual([400, expect.stringContaining("at most 4000 lines")]);
    expect((await send({ ...body, lines: [{ day, model, input_tokens: 1.5 }] })).status).toBe(400);
    expect((await send({ ...body, since: "2026-02-30" })).status).toBe(400);
    expect((await send("x".repeat(1_100_000))).status).toBe(413);
    const developer = await fetch(`${gateway!.url}/api/v1/reconcile`, { method: "POST", headers: { "x-api-key": await newKey() }, body: "{}" });
    expect(developer.status).toBe(403);
  });

  it("an attempt that a process died with counts at its last durable hold until then, and is settled by the provider's figures", async () => {
    const earlier: Clock = { ...systemClock, now: () => thenMs + (Date.now() % 60_000) };
    await start(wide, earlier);
    const key = await newKey();
    const controller = new AbortController();
    const reply = await post(gateway!.url, key, messagesBody({ stream: true, messages: [{ role: "user", content: "word ".repeat(4_000) }] }), { "anthropic-test-behaviour": JSON.stringify({ usage: { input_tokens: 4_000 }, fault: { at: "first-event", does: "stall" } }) }, controller.signal);
    expect(reply.status).toBe(200);
    const held = await until("a hold", async () => (await budgets()).find(({ scope, held_usd }) => scope === "global" && Number(held_usd) > 0.02)?.["held_usd"]);
    // The store as a death would leave it at this moment.
    const copy = join(folder, "copy");
    await new Promise((resolve) => void execFile("cp", ["-r", dataDir, copy], resolve));
    rmSync(join(copy, "tollgate.db.lock"), { force: true });
    controller.abort();
    await gateway!.close(0);
    dataDir = copy;
    await start(wide);
    const [after] = await budgets();
    // What is held less once the provider has reported is not written: until it is known, an attempt counts at the larger figure.
    expect(Number(after!["unresolved_usd"])).toBeGreaterThanOrEqual(Number(held));
    expect(after).toMatchObject({ scope: "global", spent_usd: after!["unresolved_usd"], held_usd: "0.00" });
    expect((await total())["unresolved_attempts"]).toBe(1);
    expect((await reconcile("--file", exportOf(4_000, 20), "--apply")).stdout).toContain("Booked: 1 attempt by +0.0205 USD");
    expect((await budgets())[0]).toMatchObject({ spent_usd: "0.0205", unresolved_usd: "0.00" });
  });
});

async function newKey(): Promise<string> {
  const reply = await fetch(`${gateway!.url}/key/generate`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: "{}" });
  return ((await reply.json()) as { key: string }).key;
}
