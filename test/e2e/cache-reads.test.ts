/**
 * Guarantee: a session whose prompt cache is not read is told by its ledger row, the sums, the metrics, one line of the log and `tollgate usage`,
 * with the reason and what it costs more, exactly; a compaction, another agent and other tools are no miss. docs/usage.md shows what is printed.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksOf, readPage } from "../docs/markdown.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { callAdmin, killLeftovers, launcher, startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";
import { adminKey, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { openCall, type Row } from "./stage.ts";

const model = "claude-opus-5-5";
const secret = "words-of-the-prompt";
const folder = mkdtempSync(join(tmpdir(), "tollgate-cache-"));
let fakes: readonly [FakeAnthropic, FakeAnthropic];
let gateway: GatewayProcess;
let url: string;
let key: string;

beforeAll(async () => {
  fakes = [await startFakeAnthropic({ apiKey: upstreamKey }), await startFakeAnthropic({ apiKey: upstreamKey })];
  const config = join(folder, "tollgate.yaml");
  writeFileSync(
    config,
    `listen: {host: 127.0.0.1, port: 0}
admin: {key: "${adminKey}"}
providers:
  first: {kind: anthropic, base_url: "${fakes[0].url}", api_key: "${upstreamKey}"}
  second: {kind: anthropic, base_url: "${fakes[1].url}", api_key: "${upstreamKey}"}
models:
  - name: ${model}
    targets: [{provider: first, model: ${model}, id: first}, {provider: second, model: ${model}, id: second}]
logging: {level: warn}
`,
  );
  gateway = startGatewayProcess({ cwd: folder, args: ["--config", config, "--data-dir", join(folder, "data")] });
  url = await gateway.ready;
  ({ key } = await callAdmin<{ key: string }>(url, "/key/generate", { key_alias: "ann-laptop" }));
});

afterAll(async () => {
  await killLeftovers();
  await Promise.all(fakes.map((fake) => fake.close()));
  rmSync(folder, { recursive: true, force: true });
  for (const { violations } of fakes) expect(violations).toEqual([]);
});

interface Turn {
  readonly session: string;
  /** Messages of the conversation, one to begin with. */
  readonly messages: number;
  readonly read: number;
  readonly written: number;
  readonly tools?: readonly string[];
  readonly agent?: string;
}

/** A turn that the fake answers with such a usage. */
async function take({ session, messages, read, written, tools = [], agent }: Turn): Promise<void> {
  const body = messagesBody({
    model,
    stream: true,
    system: [{ type: "text", text: "You help.", cache_control: { type: "ephemeral" } }],
    tools: tools.map((name) => ({ name, description: "A tool.", input_schema: { type: "object", properties: {} } })),
    messages: Array.from({ length: messages }, (_, index) => ({ role: index % 2 === 0 ? "user" : "assistant", content: secret })),
  });
  const usage = { input_tokens: 10, cache_read_input_tokens: read, cache_creation_input_tokens: written, cache_creation: { ephemeral_5m_input_tokens: written, ephemeral_1h_input_tokens: 0 }, output_tokens: 100 };
  const before = await rowsOf(session);
  const reply = await openCall(url, key, { session, body, headers: { "anthropic-test-behaviour": JSON.stringify({ usage }), ...(agent === undefined ? {} : { "x-claude-code-agent-id": agent }) } });
  expect(reply.status).toBe(200);
  await reply.ended;
  await until("the closed row", async () => {
    const rows = await rowsOf(session);
    return rows.length > before.length && rows.every((row) => row["closed_at"] !== null);
  });
}

/** Oldest first. */
async function rowsOf(session: string): Promise<readonly Row[]> {
  return (await callAdmin<{ rows: readonly Row[] }>(url, `/api/v1/usage?rows=50&session=${session}`)).rows.toReversed();
}

const found = (row: Row): readonly unknown[] => ["target_id", "expected_cache_read_tokens", "cache_read_tokens", "cache_miss", "lost_cache_read_tokens", "cache_miss_usd"].map((name) => row[name]);
const logged = (): readonly Row[] => gateway.stdout().split("\n").filter((line) => line.includes("cache_miss_unexpected")).map((line) => JSON.parse(line) as Row);

async function metric(reason: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
  return text.split("\n").filter((line) => line.startsWith("tollgate_cache_miss_unexpected_total{") && line.includes(`reason="${reason}"`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

describe("a session's prompt cache", () => {
  it("that vanishes is told with what it costs more, one that is read is not", async () => {
    await take({ session: "vanishing", messages: 1, read: 0, written: 60_000 });
    await take({ session: "vanishing", messages: 3, read: 60_000, written: 1_000 });
    await take({ session: "vanishing", messages: 5, read: 0, written: 62_000 });
    await take({ session: "vanishing", messages: 7, read: 62_000, written: 500 });
    // 61,000 tokens written at $5 a million in place of reads at $0.20.
    expect((await rowsOf("vanishing")).map(found)).toEqual([
      ["first", 0, 0, null, 0, "0.00"],
      ["first", 60_000, 60_000, null, 0, "0.00"],
      ["first", 61_000, 0, "vanished", 61_000, "0.2928"],
      ["first", 62_000, 62_000, null, 0, "0.00"],
    ]);
  });

  it("that a failover has left behind has that for its reason", async () => {
    await take({ session: "moving", messages: 1, read: 0, written: 40_000 });
    // Behaviours of one call come with it, so a place fails by itself.
    await fakes[0].close();
    await take({ session: "moving", messages: 3, read: 0, written: 40_500 });
    await take({ session: "moving", messages: 5, read: 40_500, written: 500 });
    const rows = await rowsOf("moving");
    expect(rows.slice(0, 3).map(found)).toEqual([["first", 0, 0, null, 0, "0.00"], ["first", 40_000, 0, null, 0, "0.00"], ["second", 40_000, 0, "moved", 40_000, "0.192"]]);
    expect(found(rows.at(-1)!)).toEqual(["second", 40_500, 40_500, null, 0, "0.00"]);
  });

  it("is not missed after a compaction, by another agent, nor with other tools", async () => {
    await take({ session: "changing", messages: 9, read: 0, written: 50_000 });
    await take({ session: "changing", messages: 1, read: 0, written: 9_000 });
    await take({ session: "changing", messages: 9, read: 0, written: 50_000, agent: "agent-1" });
    await take({ session: "changing", messages: 9, read: 0, written: 50_000, tools: ["Read"] });
    await take({ session: "changing", messages: 11, read: 9_000, written: 42_000 });
    expect((await rowsOf("changing")).filter((row) => row["source"] === "reported").map((row) => [row["expected_cache_read_tokens"], row["cache_miss"]])).toEqual([[0, null], [0, null], [0, null], [0, null], [9_000, null]]);
  });
});

it("the sums, the metrics and the log tell the same", async () => {
  const { total } = await callAdmin<{ total: Row }>(url, "/api/v1/usage?by=model");
  expect(total).toMatchObject({ expected_cache_read_tokens: 60_000 + 61_000 + 62_000 + 40_000 + 40_500 + 9_000, lost_cache_read_tokens: 101_000, cache_misses: 2, moved_cache_misses: 1, cache_miss_usd: "0.4848" });
  expect([await metric("vanished"), await metric("moved")]).toEqual([1, 1]);
  const lines = await until("both lines", () => (logged().length === 2 ? logged() : undefined));
  expect(lines).toMatchObject([
    { level: "warn", code: "cache_miss_unexpected", reason: "vanished", sessionId: "vanishing", model, targetId: "first", expectedTokens: 61_000, readTokens: 0, costsMoreUsd: "0.292800" },
    { reason: "moved", sessionId: "moving", targetId: "second", expectedTokens: 40_000, costsMoreUsd: "0.192000" },
  ]);
});

it("of one session the log has one line an hour, the metrics all; and never a word of a prompt", async () => {
  await take({ session: "moving", messages: 7, read: 0, written: 42_000 });
  expect(await metric("vanished")).toBe(2);
  expect(logged()).toHaveLength(2);
  expect(gateway.stdout()).not.toContain(secret);
});

it("`tollgate usage` prints what the page shows", async () => {
  const printed = await new Promise<string>((resolve, reject) => {
    const env = { PATH: process.env["PATH"] ?? "", TOLLGATE_URL: url, TOLLGATE_ADMIN_KEY: adminKey, HOME: folder };
    execFile(process.execPath, [launcher, "usage", "--by", "model"], { env }, (error, stdout) => (error === null ? resolve(stdout) : reject(error)));
  });
  const undated = (text: string): readonly string[] => text.trimEnd().replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d/g, "DATE").split("\n");
  const [shown] = blocksOf(readPage("docs/usage.md"), "console");
  expect(undated(printed)).toEqual(undated(shown?.text ?? "").slice(1));
});
