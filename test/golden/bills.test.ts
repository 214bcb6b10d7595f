/**
 * Guarantee: what Bedrock and Vertex report costs to the pico-USD what an independent price list makes of it, streamed and
 * plain. Each record holds a usage report and its amount, worked out outside this code from the public prices in LiteLLM's map
 * (model_prices_and_context_window.json, 2026-06), by exact decimals; what Vertex AI bills at a region is worked out in the same way
 * from Anthropic's price list (https://platform.claude.com/docs/en/about-claude/pricing: 10 % more from Sonnet 4.5 on, the one price
 * before).
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { anthropicMessages } from "../../src/dialects/anthropic-messages/index.ts";
import { loadPriceBook } from "../../src/metering/price-book.ts";
import { priceUsage } from "../../src/metering/pricing.ts";
import { encodeEvent } from "../../src/wire/sse.ts";

interface Bill {
  readonly model: string;
  /** Where the place's settings decide the variant. */
  readonly region?: string;
  readonly usage: Readonly<Record<string, number>>;
  readonly picoUsd: string;
}

const book = loadPriceBook();

describe.each(["bedrock", "vertex"])("%s", (provider) => {
  const bills = JSON.parse(readFileSync(new URL(`./bills/${provider}.json`, import.meta.url), "utf8")) as readonly Bill[];

  it("has at least forty records", () => expect(bills.length).toBeGreaterThanOrEqual(40));

  it.each(bills.map((bill) => [`${bill.model}${bill.region === undefined ? "" : ` ${bill.region}`} ${JSON.stringify(bill.usage)}`, bill] as const))("%s", (_name, bill) => {
    const plain = anthropicMessages.observe();
    plain.plainBody(Buffer.from(JSON.stringify({ type: "message", model: "claude-x", content: [], usage: bill.usage })));
    const stream = anthropicMessages.observe();
    const { output_tokens: output, ...input } = bill.usage;
    stream.streamEvents(encodeEvent("message_start", JSON.stringify({ type: "message_start", message: { model: "claude-x", usage: { ...input, output_tokens: 1 } } })));
    stream.streamEvents(encodeEvent("message_delta", JSON.stringify({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: output } })));
    for (const observer of [plain, stream]) {
      const usage = { ...observer.observed(), source: "reported" as const };
      expect([usage.stage, usage.isPlausible]).toEqual(["final", true]);
      const priced = priceUsage({ usage: { ...usage, parts: usage.parts.map(({ counts }) => ({ counts, model: undefined })) }, provider, upstreamModel: bill.model, priceModel: undefined, override: undefined, region: bill.region, book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() } });
      expect({ ...priced, costNanoUsd: 0n }).toMatchObject({ costPicoUsd: BigInt(bill.picoUsd), isProvisional: false, isUnpriced: false });
    }
  });
});
