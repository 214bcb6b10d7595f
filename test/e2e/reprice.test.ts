/**
 * Guarantee: a Claude model without a price is booked at the dearest card of its family and marked; when its price is known
 * at a later start, one adjusting entry corrects row, key and every report, once for ever. Any other unknown model is marked
 * as unpriced and never passes for free.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/clock.ts";
import { newId } from "../../src/kernel/ids.ts";
import { nanoUsd, parseUsd } from "../../src/kernel/money.ts";
import { zeroCounts } from "../../src/kernel/usage.ts";
import { createPriceBook } from "../../src/metering/price-book.ts";
import { repriceProvisional } from "../../src/metering/reprice.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import type { Stores } from "../../src/store/stores.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { messagesBody, post, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";

type Row = Readonly<Record<string, unknown>>;

let folder = "";
let fake: FakeAnthropic;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-reprice-"));
  fake = await startFakeAnthropic({ apiKey: upstreamKey, models: ["claude-opus-99", "claude-sonnet-99", "claude-zephyr-1", "claude-opus-4-8", "gpt-mystery"] });
});
afterEach(async () => {
  await fake.close();
  rmSync(folder, { recursive: true, force: true });
});

const everything = 'models: [{name: "*", provider: anthropic}]';
/** Four and twenty dollars per million tokens of input and output. */
const arrived = "{input: 4, output: 20, cache_read: 0.4, cache_write_5m: 5, cache_write_1h: 8}";
const priced = `prices: {overrides: {claude-opus-99: ${arrived}}}`;
const thousandAndHundred: Behaviour = { usage: { input_tokens: 1_000, output_tokens: 100 } };

/** One life of a gateway over the same data directory. */
async function life<Result>(sections: { config?: string; models?: string }, during: (harness: Harness) => Promise<Result>): Promise<Result> {
  const harness = await startHarness({ upstreamUrl: fake.url, dataDir: folder, models: everything, ...sections });
  try {
    return await during(harness);
  } finally {
    await harness.close();
  }
}

async function call(harness: Harness, key: string, model: string, behaviour: Behaviour = thousandAndHundred): Promise<Row> {
  const reply = await post(harness.url, key, messagesBody({ model }), { "anthropic-test-behaviour": JSON.stringify(behaviour) });
  expect(reply.status, await reply.text()).toBe(200);
  const id = reply.headers.get("x-tollgate-request-id");
  return until("the row", async () => (await harness.rows()).find((row) => row["request_id"] === id && row["closed_at"] !== null));
}

/** The one amount that rows, every report and the key agree on, in dollars. */
async function agreedTotal(harness: Harness, key: string): Promise<string> {
  const dollars = (nano: bigint): string => (Number(nano) / 1e9).toFixed(9);
  const nano = (text: unknown): bigint => parseUsd(String(text)) ?? -1n;
  const rows = await harness.rows();
  const amounts = new Set([dollars(rows.reduce((sum, row) => sum + nano(row["cost_usd"]), 0n))]);
  for (const by of ["key", "user", "team", "model", "day", "session", "agent"]) {
    const { groups, total } = await harness.admin<{ groups: Row[]; total: Row }>("GET", `/api/v1/usage?by=${by}`);
    amounts.add(dollars(groups.reduce((sum, group) => sum + nano(group["cost_usd"]), 0n))).add(dollars(nano(total["cost_usd"])));
  }
  const { info } = await harness.admin<{ info: { spend: number } }>("GET", `/key/info?key=${key}`);
  amounts.add(info.spend.toFixed(9));
  const logs = await harness.admin<{ spend: number }[]>("GET", "/spend/logs");
  amounts.add(logs.reduce((sum, { spend }) => sum + spend, 0).toFixed(9));
  expect([...amounts]).toHaveLength(1);
  return [...amounts][0]!;
}

function adjustments(): readonly Row[] {
  const database = new DatabaseSync(join(folder, "tollgate.db"), { readOnly: true });
  try {
    return database.prepare("SELECT attempt_id, delta_nano_usd, price_row, reason FROM adjustments ORDER BY attempt_id").all();
  } finally {
    database.close();
  }
}

async function withStores<Result>(during: (stores: Stores) => Promise<Result>): Promise<Result> {
  const stores = await openSqliteStores({ path: join(folder, "tollgate.db"), sync: "normal", clock: systemClock });
  try {
    return await during(stores);
  } finally {
    await stores.close();
  }
}

describe("an unknown Claude model", () => {
  it("costs what the dearest of its family costs, or of all Claude, and says so", async () => {
    await life({}, async (harness) => {
      const key = await harness.key();
      for (const [model, dollars, card] of [
        // 15 and 75 dollars per million; 3 and 15 for Sonnet.
        ["claude-opus-99", "0.0225", /^provisional:anthropic\/claude-(?:3-opus|opus-4|opus-4-1)$/],
        ["claude-sonnet-99", "0.0045", /^provisional:anthropic\/claude-sonnet-4(?:-5)?$/],
        ["claude-zephyr-1", "0.0225", /^provisional:anthropic\/claude-(?:3-opus|opus-4|opus-4-1)$/],
      ] as const) {
        const row = await call(harness, key, model);
        expect(row).toMatchObject({ cost_usd: dollars, is_provisional: true, is_unpriced: false, source: "reported", price_row: expect.stringMatching(card) as unknown });
      }
      expect(await agreedTotal(harness, key)).toBe("0.049500000");
    });
  });

  it("is corrected by one entry when the price arrives, however often a gateway starts and whatever the price is later", async () => {
    const key = await life({}, async (harness) => {
      const made = await harness.key({ user_id: "ada", team_id: "engines" });
      await call(harness, made, "claude-opus-99");
      await call(harness, made, "claude-opus-4-8");
      await call(harness, made, "claude-sonnet-99");
      expect(await agreedTotal(harness, made)).toBe("0.034500000");
      return made;
    });
    // Without news nothing happens.
    await life({}, async (harness) => expect(await agreedTotal(harness, key)).toBe("0.034500000"));
    expect(adjustments()).toEqual([]);
    const later = "prices: {overrides: {claude-opus-99: {input: 1, output: 1, cache_read: 1, cache_write_5m: 1, cache_write_1h: 1}}}";
    for (const config of [priced, priced, later, ""]) {
      await life({ config }, async (harness) => {
        expect(await agreedTotal(harness, key)).toBe("0.018000000");
        const row = (await harness.rows()).find(({ requested_model }) => requested_model === "claude-opus-99");
        expect(row).toMatchObject({ cost_usd: "0.006", is_provisional: false, source: "reported", input_tokens: 1_000, output_tokens: 100 });
        expect(String(row!["price_row"])).toMatch(/\+override$/);
      });
      expect(adjustments()).toMatchObject([{ delta_nano_usd: -16_500_000, reason: "price of claude-opus-99 became known" }]);
    }
    // What comes after it is priced at once.
    await life({ config: priced }, async (harness) => expect(await call(harness, key, "claude-opus-99")).toMatchObject({ cost_usd: "0.006", is_provisional: false }));
    expect(adjustments()).toHaveLength(1);
  });

  it("is corrected by a new row of the price book, and not again by a repetition with the same rows", async () => {
    const key = await life({}, async (harness) => {
      const made = await harness.key();
      await call(harness, made, "claude-opus-99");
      return made;
    });
    const book = createPriceBook({
      rows: [{ provider: "anthropic", model: "claude-opus-99", input: 4_000_000, cacheRead: 400_000, cacheWrite5m: 5_000_000, cacheWrite1h: 8_000_000, output: 20_000_000, source: "https://example.com", checkedOn: "2026-11-23" }],
      aliases: {},
      listed: [],
    });
    await withStores(async (stores) => {
      const rows = await stores.usage.provisionalRows(10);
      const found = (): ReturnType<typeof repriceProvisional> => repriceProvisional(rows, { book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() }, kindOf: () => "anthropic", nowMs: Date.now() });
      expect(found()).toHaveLength(1);
      await Promise.all([stores.usage.adjust(found()), stores.usage.adjust(found())]);
      await stores.usage.adjust(found());
      expect(await stores.usage.provisionalRows(10)).toEqual([]);
    });
    expect(adjustments()).toMatchObject([{ delta_nano_usd: -16_500_000, price_row: "anthropic/claude-opus-99" }]);
    await life({}, async (harness) => expect(await agreedTotal(harness, key)).toBe("0.006000000"));
  });

  it("is corrected in a reply of several parts too, each part at its own model", async () => {
    const iterations = [
      { type: "message", input_tokens: 1_000, output_tokens: 100 },
      { type: "advisor_message", model: "claude-opus-4-8", input_tokens: 2_000, output_tokens: 10 },
      { type: "message", model: "claude-opus-99", input_tokens: 500, output_tokens: 50 },
    ];
    const key = await life({}, async (harness) => {
      const made = await harness.key();
      // (1,500 × 15 + 150 × 75) + (2,000 × 5 + 10 × 25) µUSD.
      expect(await call(harness, made, "claude-opus-99", { usage: { input_tokens: 1, output_tokens: 1, iterations } })).toMatchObject({ cost_usd: "0.044", is_provisional: true });
      return made;
    });
    await life({ config: priced }, async (harness) => {
      // (1,500 × 4 + 150 × 20) + 10,250 µUSD.
      expect((await harness.rows())[0]).toMatchObject({ cost_usd: "0.01925", is_provisional: false, input_tokens: 3_500, output_tokens: 160 });
      expect(await agreedTotal(harness, key)).toBe("0.019250000");
    });
    await life({ config: priced }, async (harness) => expect(await agreedTotal(harness, key)).toBe("0.019250000"));
    expect(adjustments()).toHaveLength(1);
  });

  it("is corrected by its target's own prices, which were given in part before", async () => {
    const target = (prices: string): string => `models: [{name: opus-next, targets: [{provider: anthropic, model: claude-opus-99, prices: ${prices}}]}]`;
    const key = await life({ models: target("{input: 2}") }, async (harness) => {
      const made = await harness.key();
      // The input by the operator's price, the output by the stand-in's.
      expect(await call(harness, made, "opus-next")).toMatchObject({ cost_usd: "0.0095", is_provisional: true, price_row: expect.stringMatching(/^provisional:.*\+override$/) as unknown });
      return made;
    });
    // A configuration that serves the target no longer does not say what it costs.
    await life({}, async (harness) => expect((await harness.rows())[0]).toMatchObject({ cost_usd: "0.0095", is_provisional: true }));
    await life({ models: target(arrived) }, async (harness) => {
      expect((await harness.rows())[0]).toMatchObject({ cost_usd: "0.006", is_provisional: false });
      expect(await agreedTotal(harness, key)).toBe("0.006000000");
    });
    expect(adjustments()).toHaveLength(1);
  });

  it("is corrected by the model that its target is to be priced as", async () => {
    const target = (rest: string): string => `models: [{name: opus-next, targets: [{provider: anthropic, model: claude-opus-99${rest}}]}]`;
    await life({ models: target("") }, async (harness) => expect(await call(harness, await harness.key(), "opus-next")).toMatchObject({ cost_usd: "0.0225", is_provisional: true }));
    await life({ models: target(", price_model: claude-opus-4-8") }, async (harness) => expect((await harness.rows())[0]).toMatchObject({ cost_usd: "0.0075", is_provisional: false, price_row: "anthropic/claude-opus-4-8" }));
  });

  it("is corrected however many rows of still unknown models stand before it", async () => {
    await withStores(async (stores) => {
      for (let index = 0; index < 2_500; index++) await bookProvisional(stores, index < 2_400 ? "claude-zephyr-1" : "claude-opus-99");
    });
    await life({ config: priced }, async (harness) => {
      const { total } = await harness.admin<{ total: Row }>("GET", "/api/v1/usage?by=model");
      // 2,400 × 0.0225 + 100 × 0.006
      expect(total["cost_usd"]).toBe("54.60");
    });
    expect(adjustments()).toHaveLength(100);
  });
});

async function bookProvisional(stores: Stores, model: string): Promise<void> {
  const openedAtMs = Date.now();
  const attemptId = newId("att", openedAtMs);
  await stores.books.openEntry({
    attemptId, requestId: newId("req", openedAtMs), ordinal: 1, openedAtMs, keyId: "key_1", userId: null, teamId: null, organizationId: null, endUserId: null, project: null, tags: [], sessionId: null, agentId: null,
    parentAgentId: null, requestClass: null, requestedModel: model, model, upstreamModel: model, provider: "anthropic", targetId: "t", isStreaming: false, requestBytes: 1, holdNanoUsd: nanoUsd(0n), strictHoldNanoUsd: nanoUsd(0n),
  });
  await stores.books.closeEntry({
    attemptId, closedAtMs: openedAtMs, outcome: "completed", status: 200, source: "reported", counts: { ...zeroCounts, input: 1_000, output: 100 }, serverToolUses: {}, servedModel: model,
    costNanoUsd: nanoUsd(22_500_000n), priceRow: "provisional:anthropic/claude-opus-4", isProvisional: true, isUnpriced: false, usageJson: '{"input_tokens":1000,"output_tokens":100}',
    firstEventMs: 1, durationMs: 1, responseBytes: 1, upstreamRequestId: null, loss: "",
  });
}

describe("an unknown model that is not Claude", () => {
  it("is booked as unpriced with its counts, shows in every report, and is no stand-in", async () => {
    await life({}, async (harness) => {
      const key = await harness.key();
      expect(await call(harness, key, "gpt-mystery")).toMatchObject({ cost_usd: "0.00", is_unpriced: true, is_provisional: false, input_tokens: 1_000, output_tokens: 100, source: "reported", price_row: "" });
      for (const by of ["key", "model", "day"]) {
        const { groups, total } = await harness.admin<{ groups: Row[]; total: Row }>("GET", `/api/v1/usage?by=${by}`);
        expect([groups[0]!["unpriced_attempts"], total["unpriced_attempts"]]).toEqual([1, 1]);
      }
    });
    await life({ config: "prices: {overrides: {gpt-mystery: {input: 1, output: 2}}}" }, async (harness) => {
      expect(await call(harness, await harness.key(), "gpt-mystery")).toMatchObject({ cost_usd: "0.0012", is_unpriced: false, is_provisional: false });
    });
    expect(adjustments()).toEqual([]);
  });
});
