// Guarantee: our price book agrees with an independent public price file (LiteLLM's map of June 2026) on every Claude model
// that both know, member by member, except for the differences listed here with their reasons. The file is not part of the
// repository; TOLLGATE_PRICE_ORACLE names it, and without it the comparison is skipped.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseDecimal } from "../../src/kernel/money.ts";
import { loadPriceBook } from "../../src/metering/price-book.ts";
import type { PriceCard, PriceQuery } from "../../src/metering/price-card.ts";
import { knownDifferences } from "./prices-differences.ts";

type Entry = Readonly<Record<string, unknown>>;

const path = process.env["TOLLGATE_PRICE_ORACLE"] ?? fileURLToPath(new URL("../../../shared/data/litellm-model-prices.json", import.meta.url));
const book = loadPriceBook();

const tokenMembers = [
  ["input", "input_cost_per_token"],
  ["output", "output_cost_per_token"],
  ["cacheRead", "cache_read_input_token_cost"],
  ["cacheWrite5m", "cache_creation_input_token_cost"],
  ["cacheWrite1h", "cache_creation_input_token_cost_above_1hr"],
] as const;

describe.skipIf(!existsSync(path))(`against ${existsSync(path) ? "the price file" : "a price file (skipped: TOLLGATE_PRICE_ORACLE names none)"}`, () => {
  const entries = existsSync(path) ? readOracle(readFileSync(path, "utf8")) : [];
  const compared = entries.flatMap(([key, entry]) => {
    const card = ourCard(key, entry, {});
    return card === undefined ? [] : [{ key, entry, card }];
  });
  const found = compared.flatMap(({ key, entry, card }) => differences(key, entry, card));
  const listed = knownDifferences.flatMap(({ differences: lines }) => lines);

  it("both know at least a hundred Claude entries, of all three places", () => {
    expect(compared.length).toBeGreaterThanOrEqual(100);
    expect(new Set(compared.map(({ card }) => card.provider))).toEqual(new Set(["anthropic", "bedrock", "vertex"]));
  });

  it("every difference is listed with a reason", () => expect(found.filter((line) => !listed.includes(line))).toEqual([]));
  it("every listed difference still exists", () => expect(listed.filter((line) => !found.includes(line))).toEqual([]));
  it("no difference is listed twice, and none without a reason", () => {
    expect(new Set(listed).size).toBe(listed.length);
    for (const { reason } of knownDifferences) expect(reason).not.toBe("");
  });
});

/** Claude entries with a price, numbers as their decimal text: a binary float is not what the file says. */
function readOracle(text: string): [string, Entry][] {
  const asText = (_key: string, value: unknown, context: { readonly source?: string }): unknown => (typeof value === "number" ? context.source : value);
  const file: unknown = Reflect.apply(JSON.parse, JSON, [text, asText]);
  return Object.entries(isEntry(file) ? file : {}).flatMap(([key, entry]): [string, Entry][] =>
    key.includes("claude") && isEntry(entry) && typeof entry["input_cost_per_token"] === "string" ? [[key, entry]] : [],
  );
}

/** Our exact card for an entry; undefined for other places, and for models of which we have no row. */
function ourCard(key: string, entry: Entry, variant: Partial<PriceQuery>): PriceCard | undefined {
  const kind = String(entry["litellm_provider"]);
  const provider = kind === "anthropic" ? "anthropic" : kind.startsWith("bedrock") ? "bedrock" : kind === "vertex_ai-anthropic_models" ? "vertex" : undefined;
  // Ids with a region in the path are Bedrock's older spelling of a regional name.
  const model = key.replace(/^bedrock\/us-gov-(?:east|west)-1\/(?:anthropic\.)?/, "us-gov.anthropic.").replace(/^bedrock\/(?:invoke\/)?/, "");
  if (provider === undefined || model.includes("/anthropic.") || model.includes("commitment")) return undefined;
  const card = book.cardFor({ provider, model, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, ...variant });
  return card?.isProvisional === false ? card : undefined;
}

/** Lines `key member: ours / theirs`, µUSD per million tokens. Members of which the file says nothing are not compared. */
function differences(key: string, entry: Entry, card: PriceCard): string[] {
  const lines: string[] = [];
  const compare = (member: string, ours: bigint | null | undefined, theirs: unknown, scale = 12): void => {
    if (theirs === undefined) return;
    const expected = typeof theirs === "string" ? parseDecimal(theirs, scale) : undefined;
    if ((ours ?? undefined) !== expected) lines.push(`${key} ${member}: ${ours ?? "none"} / ${expected ?? "unreadable"}`);
  };
  for (const [member, name] of tokenMembers) {
    compare(member, card.prices[member], entry[name]);
    compare(`${member} above 200k`, card.longContext?.prices[member], entry[`${name}_above_200k_tokens`]);
  }
  if (card.longContext !== undefined && !("input_cost_per_token_above_200k_tokens" in entry)) lines.push(`${key} long context: ${card.longContext.aboveTokens} / none`);
  const batch = ourCard(key, entry, { serviceTier: "batch" });
  compare("batch input", batch?.prices.input, entry["input_cost_per_token_batches"]);
  compare("batch output", batch?.prices.output, entry["output_cost_per_token_batches"]);
  const search = entry["search_context_cost_per_query"];
  if (isEntry(search)) compare("web search", card.serverToolUses["web_search_requests"], search["search_context_size_medium"], 6);
  const factors = entry["provider_specific_entry"];
  if (isEntry(factors)) {
    compare("us factor", factorPpm(card, ourCard(key, entry, { inferenceGeo: "us" })), factors["us"], 6);
    compare("fast factor", factorPpm(card, ourCard(key, entry, { speed: "fast" })), factors["fast"], 6);
  }
  return lines;
}

/** How much dearer a variant is, in millionths, if all members are dearer by the same factor. */
function factorPpm({ prices }: PriceCard, variant: PriceCard | undefined): bigint | undefined {
  if (variant === undefined) return undefined;
  const factor = (variant.prices.input * 1_000_000n) / prices.input;
  const isUniform = tokenMembers.every(([member]) => (prices[member] ?? 0n) * factor === (variant.prices[member] ?? 0n) * 1_000_000n);
  return isUniform ? factor : undefined;
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
