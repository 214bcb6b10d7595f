// Guarantee: what is learnt of calls follows what they used, errs on the side that holds more, fades, and takes bounded memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLearnedOutput } from "./learned-output.ts";

const model = "claude-opus-5-5";

/** Deterministic, evenly spread in 0 … 1. */
function* evenly(seed = 1): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield (state + 0.5) / 2 ** 32;
  }
}

/** Lognormal with a median of 350 and a p99 of 6,000 tokens. */
function agentOutputs(count: number): number[] {
  const random = evenly();
  const sigma = Math.log(6_000 / 350) / 2.326;
  return Array.from({ length: count }, () => Math.round(350 * Math.exp(sigma * Math.sqrt(-2 * Math.log(random.next().value)) * Math.cos(2 * Math.PI * random.next().value))));
}

describe("output", () => {
  it("is a stated default until something is known", () => {
    const learned = createLearnedOutput();
    expect([learned.p99("a", model), learned.mean("a", model)]).toEqual([4_096, 1_024]);
  });

  it("p99 and mean come near those of an agent's turns", () => {
    const learned = createLearnedOutput();
    const outputs = agentOutputs(2_000);
    for (const tokens of outputs) learned.note("a", model, tokens);
    const recent = outputs.slice(-512).sort((a, b) => a - b);
    expect(learned.p99("a", model)).toBeGreaterThan(recent[Math.floor(512 * 0.97)]!);
    expect(learned.p99("a", model)).toBeLessThan(recent.at(-1)! * 1.5);
    const mean = recent.reduce((sum, each) => sum + each) / 512;
    expect(learned.mean("a", model) / mean).toBeGreaterThan(0.7);
    expect(learned.mean("a", model) / mean).toBeLessThan(1.4);
  });

  it("never falls outside what was seen by more than a class", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 50, maxLength: 400 }), (all) => {
        const learned = createLearnedOutput();
        for (const tokens of all) learned.note("a", model, tokens);
        expect(learned.p99("a", model)).toBeLessThanOrEqual(Math.max(32, Math.max(...all) * 1.5 + 1));
        expect(learned.p99("a", model) * 1.5 + 32).toBeGreaterThanOrEqual([...all].sort((a, b) => a - b)[Math.ceil(all.length * 0.99) - 1]!);
        expect(learned.mean("a", model)).toBeLessThanOrEqual(Math.max(...all) + 1);
      }),
      { numRuns: 100 },
    );
  });

  it("a new key gets what its model is known for, and no less for a few short answers", () => {
    const learned = createLearnedOutput();
    for (let count = 0; count < 100; count++) learned.note("a", model, 9_000);
    const known = learned.p99("a", model);
    for (let count = 0; count < 10; count++) learned.note("new", model, 5);
    expect(known).toBeGreaterThanOrEqual(9_000);
    expect(learned.p99("new", model)).toBeGreaterThan(8_000);
    expect(learned.p99("new", "another")).toBe(4_096);
  });

  it("a few long answers of a new key count at once", () => {
    const learned = createLearnedOutput();
    learned.note("new", model, 60_000);
    expect(learned.p99("new", model)).toBeGreaterThan(48_000);
  });

  it("old habits fade within two thousand calls, and a rare long answer is not forgotten within three hundred", () => {
    const learned = createLearnedOutput();
    for (let count = 0; count < 500; count++) learned.note("a", model, 50_000);
    for (let count = 0; count < 2_000; count++) learned.note("a", model, 100);
    expect(learned.p99("a", model)).toBeLessThan(150);
    for (let count = 0; count < 12; count++) learned.note("a", model, 50_000);
    for (let count = 0; count < 300; count++) learned.note("a", model, 100);
    expect(learned.p99("a", model)).toBeGreaterThan(40_000);
  });

  it("keeps no more pairs than its bound, however many keys come", () => {
    const learned = createLearnedOutput({ pairsMax: 100 });
    for (let count = 0; count < 5_000; count++) learned.note(`key${count}`, model, count);
    expect(learned.pairs).toBeLessThanOrEqual(100);
  });
});

describe("ratios", () => {
  it("bytes behind a token are on the low side of what was seen", () => {
    const learned = createLearnedOutput();
    const random = evenly();
    for (let count = 0; count < 400; count++) learned.noteInput(model, Math.round(10_000 * (3.5 + random.next().value)), 10_000);
    expect(learned.bytesPerToken(model)).toBeGreaterThan(3.4);
    expect(learned.bytesPerToken(model)).toBeLessThan(3.65);
  });

  it("denser text counts at once, images and short prompts hardly", () => {
    const learned = createLearnedOutput();
    expect(learned.bytesPerToken(model)).toBe(3);
    learned.noteInput(model, 20_000, 10_000);
    expect(learned.bytesPerToken(model)).toBeLessThan(2.1);
    const images = createLearnedOutput();
    images.noteInput(model, 1_000_000, 1_500);
    images.noteInput(model, 60, 199);
    expect(images.bytesPerToken(model)).toBe(3);
  });

  it("is never below one byte a token, nor infinite", () => {
    const learned = createLearnedOutput();
    for (let count = 0; count < 100; count++) learned.noteInput(model, 10, 10_000);
    expect(learned.bytesPerToken(model)).toBe(1);
  });

  it("characters behind a token are those of visible text, although half of the replies think out of sight", () => {
    const learned = createLearnedOutput();
    for (let count = 0; count < 300; count++) learned.noteText(model, count % 2 === 0 ? 1_000 : 5_000, 3_600);
    expect(learned.charactersPerToken(model)).toBeGreaterThan(3.4);
    expect(learned.charactersPerToken(model)).toBeLessThan(3.8);
    expect(learned.hiddenTokensMargin(model)).toBeGreaterThan(3_500);
    expect(learned.hiddenTokensMargin(model)).toBeLessThan(6_500);
    expect(learned.hiddenTokensMean(model)).toBeGreaterThan(1_500);
    expect(learned.hiddenTokensMean(model)).toBeLessThan(2_600);
  });

  it("a model that hides nothing gets nearly no margin; an unknown one the smallest thinking budget", () => {
    const learned = createLearnedOutput();
    expect(learned.hiddenTokensMargin(model)).toBe(1_024);
    for (let count = 0; count < 300; count++) learned.noteText(model, 1_000, 4_000);
    expect(learned.hiddenTokensMargin(model)).toBeLessThanOrEqual(100);
  });
});
