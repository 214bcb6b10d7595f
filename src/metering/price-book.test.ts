// Guarantee: the book says exactly what its sources say, known names get exactly their row, and an unknown Claude name is
// never free: it gets the dearest card of its family, marked as a stand-in.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generatePriceFile, printPriceFile } from "../../scripts/prices-generate.ts";
import { createPriceBook, loadPriceBook } from "./price-book.ts";
import priceFile from "./price-book.json" with { type: "json" };
import type { PriceCard, PriceQuery } from "./price-card.ts";
import { rowId } from "./price-row.ts";

const book = loadPriceBook();

function cardFor(model: string, query: Partial<PriceQuery> = {}): PriceCard | undefined {
  return book.cardFor({ provider: "anthropic", model, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, ...query });
}

describe("the file", () => {
  it("is what the price package and the overrides give", () => {
    expect(readFileSync(new URL("price-book.json", import.meta.url), "utf8")).toBe(printPriceFile(generatePriceFile()));
  });

  it("gives every row a source, a date and whole prices", () => {
    for (const row of priceFile.rows) {
      expect(row.source, rowId(row)).toMatch(/^https:\/\//);
      expect(row.checkedOn, rowId(row)).toMatch(/^2026-\d\d-\d\d$/);
      for (const price of [row.input, row.output, row.cacheRead, row.cacheWrite5m, row.cacheWrite1h]) {
        expect(price === null || (Number.isSafeInteger(price) && price > 0), rowId(row)).toBe(true);
      }
    }
  });

  it("has all cache prices of everything on offer, and reads cheaper and writes dearer than plain input", () => {
    for (const provider of ["anthropic", "vertex", "bedrock"]) {
      for (const model of book.models(provider)) {
        const prices = book.cardFor({ provider, model: provider === "bedrock" ? `global.anthropic.${model}` : model, speed: undefined, inferenceGeo: undefined, serviceTier: undefined })!.prices;
        expect(prices.cacheRead! < prices.input && prices.input < prices.cacheWrite5m! && prices.cacheWrite5m! < prices.cacheWrite1h!, `${provider} ${model}`).toBe(true);
      }
    }
  });

  it("lists only models that have an exact card", () => {
    expect(book.models("anthropic")).toContain("claude-opus-5-5");
    expect(book.models("demo")).toEqual(book.models("anthropic"));
    expect(book.models("demo").every((model) => book.cardFor({ provider: "demo", model, speed: undefined, inferenceGeo: undefined, serviceTier: undefined })?.id === "demo/simulated")).toBe(true);
    expect(book.models("nowhere")).toEqual([]);
    for (const model of book.models("anthropic")) expect(cardFor(model)?.isProvisional).toBe(false);
  });
});

describe("known names", () => {
  it("answers the same object for the same query", () => expect(cardFor("claude-opus-5-5")).toBe(cardFor("claude-opus-5-5")));

  it.each([
    [{}, "anthropic/claude-opus-5-5"],
    [{ speed: "standard", inferenceGeo: "global", serviceTier: "standard" }, "anthropic/claude-opus-5-5"],
    [{ inferenceGeo: "not_available" }, "anthropic/claude-opus-5-5"],
    [{ speed: "fast" }, "anthropic/claude-opus-5-5?fast"],
    [{ inferenceGeo: "us" }, "anthropic/claude-opus-5-5?us"],
    [{ speed: "fast", inferenceGeo: "us" }, "anthropic/claude-opus-5-5?fast&us"],
    [{ serviceTier: "batch" }, "anthropic/claude-opus-5-5?batch"],
  ])("the variant %j has its own row", (query, id) => {
    expect(cardFor("claude-opus-5-5", query)).toMatchObject({ id, isProvisional: false });
  });

  it("joins the long-context row to its card", () => {
    expect(cardFor("claude-haiku-5-5")?.longContext).toMatchObject({ aboveTokens: 100_000, prices: { input: 500_000n, output: 2_500_000n } });
    expect(cardFor("claude-sonnet-4-6")?.longContext).toBeUndefined();
  });

  it("takes Google's region from the query and Bedrock's from the name", () => {
    expect(cardFor("claude-opus-5", { provider: "vertex", inferenceGeo: "europe-west1" })?.id).toBe("vertex/claude-opus-5?regional");
    expect(cardFor("claude-opus-5", { provider: "vertex", inferenceGeo: "global" })?.id).toBe("vertex/claude-opus-5");
    expect(cardFor("global.anthropic.claude-opus-5", { provider: "bedrock", inferenceGeo: "us" })?.id).toBe("bedrock/claude-opus-5");
    expect(cardFor("eu.anthropic.claude-opus-5", { provider: "bedrock" })?.id).toBe("bedrock/claude-opus-5?regional");
  });
});

describe("unknown names", () => {
  it.each([
    ["claude-opus-9", {}, "provisional:anthropic/claude-opus-4-1"],
    ["claude-sonnet-9", {}, "provisional:anthropic/claude-sonnet-4-5"],
    ["claude-haiku-9-20290101", {}, "provisional:anthropic/claude-haiku-4-5"],
    ["claude-fable-9", {}, "provisional:anthropic/claude-fable-5"],
    ["claude-mythos-9", {}, "provisional:anthropic/claude-mythos-5"],
    ["claude-novella-1", {}, "provisional:anthropic/claude-opus-4-1"],
    ["claude-fable-9", { speed: "fast" }, "provisional:anthropic/claude-fable-5-2?fast"],
    ["claude-opus-9", { serviceTier: "batch" }, "provisional:anthropic/claude-opus-4-1"],
  ])("%s %j costs %s", (model, query, id) => {
    expect(cardFor(model, query)).toMatchObject({ id, isProvisional: true });
  });

  it("an unknown variant of a known model costs its dearest row that is special in the same way", () => {
    expect(cardFor("claude-opus-5-5", { inferenceGeo: "eu" })?.id).toBe("provisional:anthropic/claude-opus-5-5?us");
    expect(cardFor("claude-opus-5-5", { serviceTier: "priority" })?.id).toBe("provisional:anthropic/claude-opus-5-5");
    expect(cardFor("claude-sonnet-5-5", { speed: "fast" })?.id).toBe("provisional:anthropic/claude-fable-5-2?fast");
  });

  it("a stand-in is at least as dear as every ordinary card of its family", () => {
    for (const family of ["opus", "sonnet", "haiku", "fable"]) {
      const standIn = cardFor(`claude-${family}-99`)!;
      for (const model of book.models("anthropic").filter((name) => name.includes(family))) {
        const { prices } = cardFor(model)!;
        expect(standIn.prices.input >= prices.input && standIn.prices.output >= prices.output && standIn.prices.cacheRead! >= prices.cacheRead!, model).toBe(true);
      }
    }
  });

  it("other models and unknown places have no card", () => {
    expect(cardFor("gpt-6")).toBeUndefined();
    expect(cardFor("constructor")).toBeUndefined();
    expect(cardFor("claude-opus-5-5", { provider: "elsewhere" })).toBeUndefined();
  });

  it("a flood of invented names is answered right and does not stay in memory", () => {
    for (let count = 0; count < 10_000; count++) cardFor(`claude-opus-x${count}`);
    expect(cardFor("claude-opus-5-5")?.id).toBe("anthropic/claude-opus-5-5");
  });

  it("an empty book has no stand-in", () => {
    const empty = createPriceBook({ rows: [], aliases: {}, listed: [] });
    expect(empty.cardFor({ provider: "anthropic", model: "claude-opus-5", speed: undefined, inferenceGeo: undefined, serviceTier: undefined })).toBeUndefined();
  });
});
