// Guarantee: a reply's running usage never falls below what it has reported or relayed, and is exact once the final usage is there.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { zeroCounts } from "../kernel/usage.ts";
import { createLearnedOutput } from "./learned-output.ts";
import { loadPriceBook } from "./price-book.ts";
import { priceUsage } from "./pricing.ts";
import { endedUsage, runningUsage, type ReplySoFar, type RunningInput } from "./running-cost.ts";

const model = "claude-opus-5-5";
const learned = createLearnedOutput();
for (let count = 0; count < 300; count++) learned.noteText(model, 1_000, 4_000);
const book = loadPriceBook();

const started: ReplySoFar = {
  stage: "started", isPlausible: true, parts: [{ counts: { ...zeroCounts, cacheRead: 58_200, cacheWrite5m: 1_800, output: 4 }, model: undefined }],
  serverToolUses: {}, speed: undefined, inferenceGeo: undefined, serviceTier: undefined, outputCharacters: 0,
};
const inputOf = (reply: Partial<ReplySoFar>, rest: Partial<RunningInput> = {}): RunningInput => ({
  variant: { speed: undefined, inferenceGeo: undefined, serviceTier: undefined }, model, outputTokensMax: 32_000, learned, reply: { ...started, ...reply }, input: { ...zeroCounts, cacheWrite5m: 60_000 }, ...rest,
});
const pricing = { provider: "anthropic", upstreamModel: model, priceModel: undefined, override: undefined, book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() } };
const runningCost = (input: RunningInput): bigint => priceUsage({ ...pricing, usage: runningUsage(input) }).costNanoUsd;
const endedCost = (input: RunningInput): bigint => priceUsage({ ...pricing, usage: endedUsage(input) }).costNanoUsd;
/** 58,200 at $0.20 and 1,800 at $5. */
const inputCost = 20_640_000n;

describe("a running reply", () => {
  it("costs the expected input until it has told anything", () => {
    const input = inputOf({ stage: "nothing", parts: [] });
    expect(endedUsage(input)).toMatchObject({ source: "estimated", parts: [{ counts: { cacheWrite5m: 60_000, output: 0 } }] });
    expect(endedCost(input)).toBe(300_000_000n);
    expect(runningCost(input)).toBeGreaterThan(300_000_000n);
  });

  it("costs its reported input and what passed, with a margin for what is hidden", () => {
    const tokens = Math.ceil(40_000 / learned.charactersPerToken(model)) + learned.hiddenTokensMargin(model);
    expect(runningCost(inputOf({ outputCharacters: 40_000 }))).toBe(inputCost + BigInt(tokens) * 20_000n);
    expect(tokens).toBeGreaterThanOrEqual(9_900);
  });

  it("never costs more output than max_tokens, unless more was reported", () => {
    expect(runningCost(inputOf({ outputCharacters: 9_000_000 }))).toBe(inputCost + 640_000_000n);
    const parts = [{ counts: { ...started.parts[0]!.counts, output: 40_000 }, model: undefined }];
    expect(runningCost(inputOf({ parts, outputCharacters: 1 }))).toBe(inputCost + 800_000_000n);
  });

  it("costs what was asked for until the reply tells how it is served", () => {
    const variant = { speed: "fast", inferenceGeo: undefined, serviceTier: undefined };
    expect(runningCost(inputOf({ outputCharacters: 4_000 }, { variant }))).toBe(2n * runningCost(inputOf({ outputCharacters: 4_000 })));
    expect(runningCost(inputOf({ outputCharacters: 4_000, speed: "standard" }, { variant }))).toBe(runningCost(inputOf({ outputCharacters: 4_000 })));
  });

  it("never gets cheaper as characters pass", () => {
    fc.assert(
      fc.property(fc.nat(500_000), fc.nat(500_000), (a, b) => {
        expect(runningCost(inputOf({ outputCharacters: Math.max(a, b) }))).toBeGreaterThanOrEqual(runningCost(inputOf({ outputCharacters: Math.min(a, b) })));
        expect(endedCost(inputOf({ outputCharacters: a }))).toBeGreaterThanOrEqual(inputCost + 80_000n);
      }),
    );
  });

  it("is exact once its final usage is there, whatever was learnt or asked for", () => {
    const final = inputOf({ stage: "final", outputCharacters: 1_000_000 }, { variant: { speed: "fast", inferenceGeo: "us", serviceTier: undefined } });
    expect(runningCost(final)).toBe(inputCost + 80_000n);
    expect(endedCost(final)).toBe(inputCost + 80_000n);
    expect(endedUsage(final).source).toBe("reported");
    expect(endedUsage({ ...final, reply: { ...final.reply, isPlausible: false } }).source).toBe("estimated");
  });
});

describe("a reply that broke off", () => {
  it("is booked as an estimate with the hidden output that is usual", () => {
    const input = inputOf({ outputCharacters: 40_000 });
    const output = Math.ceil(40_000 / learned.charactersPerTokenUsual(model)) + learned.hiddenTokensMean(model);
    expect(endedUsage(input)).toMatchObject({ source: "estimated", parts: [{ counts: { cacheRead: 58_200, cacheWrite5m: 1_800, output } }] });
    expect(endedCost(input)).toBe(inputCost + BigInt(output) * 20_000n);
  });

  it("hides nothing where nothing has passed, and where nothing is learnt", () => {
    expect(endedUsage(inputOf({ outputCharacters: 0 })).parts[0]!.counts.output).toBe(4);
    expect(endedUsage(inputOf({ outputCharacters: 4_000 }, { learned: createLearnedOutput() })).parts[0]!.counts.output).toBe(1_000);
  });

  it("gives the last of several parts what their reported output leaves open", () => {
    const part = { counts: { ...zeroCounts, input: 10, output: 1_000 }, model: undefined };
    const usage = endedUsage(inputOf({ parts: [part, part], outputCharacters: 40_000 }));
    const total = Math.ceil(40_000 / learned.charactersPerTokenUsual(model)) + learned.hiddenTokensMean(model);
    expect(usage.parts.map(({ counts }) => counts.output)).toEqual([1_000, total - 1_000]);
  });
});
