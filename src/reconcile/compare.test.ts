// Guarantee: every difference between ledger and bill has a name; corrections sum exactly to what the bill leaves for attempts in doubt,
// are proposed only where the bill proves them, and settle the difference, so that a second run proposes nothing.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ledgerRow } from "../../test/support/memory-usage-store.ts";
import { nanoUsd } from "../kernel/money.ts";
import { addCounts, zeroCounts, type TokenCounts } from "../kernel/usage.ts";
import type { BilledGroup, UncertainAttempt } from "../ledger/reconcile-store.ts";
import type { LedgerRow } from "../ledger/usage-store.ts";
import { split } from "./amounts.ts";
import { compareBill, type ComparedLine, type CompareInput } from "./compare.ts";
import type { BillLine } from "./provider-bill.ts";

const day = "2026-10-05";
const model = "claude-opus-4-8";
const counts = (input: number, output = 0): TokenCounts => ({ ...zeroCounts, input, output });
const bill = (used: TokenCounts, members: Partial<BillLine> = {}): BillLine => ({ day, model, counts: used, webSearches: 0, costNanoUsd: nanoUsd(0n), roundingNanoUsd: nanoUsd(0n), entries: 1, ...members });
const group = (members: Partial<BilledGroup>): BilledGroup => ({ day, model, knowledge: "reported", attempts: 1, overMidnight: 0, counts: zeroCounts, webSearches: 0, costNanoUsd: nanoUsd(0n), ...members });
/** An attempt in doubt; `settled` is what an earlier file made of it. */
function doubtful(members: Partial<LedgerRow>, settled?: TokenCounts): UncertainAttempt {
  const row = ledgerRow({ openedAtMs: Date.parse(`${day}T10:00Z`), requestBytes: 10_000, servedModel: model, counts: zeroCounts, costNanoUsd: nanoUsd(0n), ...members });
  const own = { counts: row.counts, webSearches: 0, costNanoUsd: row.costNanoUsd, priceRow: row.priceRow };
  return { row: { ...row, counts: settled ?? row.counts }, webSearches: 0, own, entries: settled === undefined ? 0 : 1, isSettled: settled !== undefined };
}
const unresolvedRow = (attemptId: string, hold: bigint, settled?: TokenCounts): UncertainAttempt => doubtful({ attemptId, state: "unresolved", source: "unresolved", servedModel: "", holdNanoUsd: nanoUsd(hold) }, settled);
/** The groups of what is in doubt, as the store would have them. */
function groupsOf(attempts: readonly UncertainAttempt[]): readonly BilledGroup[] {
  const kinds = Map.groupBy(attempts, ({ row, isSettled }) => (isSettled ? "adjusted" : row.state === "unresolved" ? "unresolved" : "estimated"));
  return [...kinds].map(([knowledge, members]) => group({ knowledge, attempts: members.length, counts: members.reduce((sum, { row }) => addCounts(sum, row.counts), zeroCounts) }));
}
/** The attempts after the corrections of a line. */
function settledBy(attempts: readonly UncertainAttempt[], { corrections }: ComparedLine): readonly UncertainAttempt[] {
  return attempts.map((attempt) => {
    const found = corrections.find((each) => each.attempt === attempt);
    return found === undefined ? attempt : { ...attempt, row: { ...attempt.row, counts: found.counts }, entries: attempt.entries + 1, isSettled: !found.isOwn };
  });
}

function compare(input: Partial<CompareInput>): ComparedLine {
  const lines = compareBill({ kind: "usage", bill: [], groups: [], uncertain: [], canonicalName: (name) => name.replace(/-\d{8}$/, ""), webSearchCost: (_, uses) => BigInt(uses) * 10n, today: "2026-10-09", ...input });
  return lines.find((line) => line.day === day && line.model === model)!;
}

const codes = ({ reasons }: ComparedLine): readonly string[] => reasons.map(({ code }) => code);
const corrected = ({ corrections }: ComparedLine): readonly (readonly [string, number, number])[] => corrections.map(({ attempt: { row: { attemptId } }, counts: { input, output } }) => [attemptId, input, output]);

describe("a file of usage", () => {
  it("agrees when every kind of token does, whatever the spelling of the model", () => {
    const line = compare({ bill: [bill(counts(60, 5), { model: `${model}-20260101` }), bill(counts(40, 5))], groups: [group({ counts: counts(100, 10), attempts: 3 })] });
    expect([line.agrees, line.reasons, line.corrections]).toEqual([true, [], []]);
    const swapped = compare({ bill: [bill({ ...zeroCounts, cacheRead: 100 })], groups: [group({ counts: counts(100) })] });
    expect([swapped.agrees, codes(swapped)]).toEqual([false, ["less_than_reported"]]);
  });

  it("gives an unresolved attempt what is left", () => {
    const line = compare({ bill: [bill(counts(130, 17))], groups: [group({ counts: counts(100, 10) }), group({ knowledge: "unresolved" })], uncertain: [unresolvedRow("att_a", 5n)] });
    expect([codes(line), corrected(line)]).toEqual([["unresolved"], [["att_a", 30, 7]]]);
    expect(line.reasons[0]!.text).toContain("which it would explain");
  });

  it("settles unresolved attempts that cost nothing", () => {
    const line = compare({ bill: [bill(counts(100, 10))], groups: [group({ counts: counts(100, 10) }), group({ knowledge: "unresolved", attempts: 2 })], uncertain: [unresolvedRow("att_a", 5n), unresolvedRow("att_b", 0n)] });
    expect([line.agrees, codes(line), corrected(line)]).toEqual([true, ["unresolved"], [["att_a", 0, 0], ["att_b", 0, 0]]]);
  });

  it("divides what is left by what was held for each", () => {
    const line = compare({ bill: [bill(counts(40, 1))], groups: [group({ knowledge: "unresolved", attempts: 2 })], uncertain: [unresolvedRow("att_a", 1n), unresolvedRow("att_b", 3n)] });
    expect(corrected(line)).toEqual([["att_a", 10, 0], ["att_b", 30, 1]]);
  });

  it("leaves estimates that fit as they are, and corrects those that cannot be right", () => {
    const estimate = doubtful({ attemptId: "att_e", source: "estimated", counts: counts(50, 5), costNanoUsd: nanoUsd(10n) });
    const groups = [group({ counts: counts(100) }), group({ knowledge: "estimated", counts: counts(50, 5) })];
    const beside = compare({ bill: [bill(counts(170, 5))], groups: [...groups, group({ knowledge: "unresolved" })], uncertain: [estimate, unresolvedRow("att_a", 5n)] });
    expect([codes(beside), corrected(beside)]).toEqual([["unresolved", "estimated"], [["att_a", 20, 0]]]);
    const wrong = compare({ bill: [bill(counts(140, 9))], groups, uncertain: [estimate] });
    expect([codes(wrong), corrected(wrong)]).toEqual([["estimated"], [["att_e", 40, 9]]]);
    const right = compare({ bill: [bill(counts(150, 5))], groups, uncertain: [estimate] });
    expect([right.agrees, right.reasons, right.corrections]).toEqual([true, [], []]);
  });

  it("proves nothing when it has less than was reported, more than the requests can have held, or a day that is not over", () => {
    const uncertain = [unresolvedRow("att_a", 5n)];
    const groups = [group({ counts: counts(100) }), group({ knowledge: "unresolved" })];
    const less = compare({ bill: [bill(counts(90))], groups, uncertain });
    expect([codes(less), less.corrections]).toEqual([["unresolved", "less_than_reported"], []]);
    const more = compare({ bill: [bill(counts(10_101))], groups, uncertain });
    expect([codes(more), more.corrections]).toEqual([["unresolved", "implausible"], []]);
    expect(compare({ bill: [bill(counts(10_100))], groups, uncertain }).corrections).toHaveLength(1);
    const today = compare({ bill: [bill(counts(130))], groups, uncertain, today: day });
    expect([codes(today), today.corrections]).toEqual([["day_not_over", "unresolved"], []]);
  });

  it("names what only one side has, and calls that ran over midnight", () => {
    expect(codes(compare({ bill: [bill(counts(1))] }))).toEqual(["missing_here"]);
    expect(codes(compare({ groups: [group({ counts: counts(1) })] }))).toEqual(["missing_there"]);
    const shifted = compare({ bill: [bill(counts(5)), bill(counts(7), { day: "2026-10-06" })], groups: [group({ counts: counts(6), overMidnight: 1 }), group({ day: "2026-10-06", counts: counts(6) })] });
    expect(codes(shifted)).toEqual(["less_than_reported", "over_midnight"]);
    expect(codes(compare({ bill: [bill(counts(7))], groups: [group({ counts: counts(6) })] }))).toEqual(["unexplained"]);
  });

  it("corrects again what an earlier file settled, when a later one says otherwise", () => {
    const uncertain = [unresolvedRow("att_a", 1n, counts(10)), unresolvedRow("att_b", 3n, counts(30))];
    const later = compare({ bill: [bill(counts(80, 4))], groups: groupsOf(uncertain), uncertain });
    expect([codes(later), corrected(later)]).toEqual([["adjusted"], [["att_a", 20, 1], ["att_b", 60, 3]]]);
    expect(later.reasons[0]!.text).toContain("2 attempts here that earlier figures have settled, which these would correct");
    const same = compare({ bill: [bill(counts(40))], groups: groupsOf(uncertain), uncertain });
    expect([same.agrees, same.reasons, same.corrections]).toEqual([true, [], []]);
  });

  it("gives an estimate back its own figures when a later file bears them out", () => {
    const settled = doubtful({ attemptId: "att_e", source: "estimated", counts: counts(50, 5), costNanoUsd: nanoUsd(10n) }, counts(40, 9));
    const line = compare({ bill: [bill(counts(50, 5))], groups: groupsOf([settled]), uncertain: [settled] });
    expect([corrected(line), line.corrections.map(({ isOwn }) => isOwn)]).toEqual([[["att_e", 50, 5]], [true]]);
  });

  it("leaves what was settled when a later file proves nothing", () => {
    const uncertain = [unresolvedRow("att_a", 1n, counts(30))];
    const groups = [group({ counts: counts(100) }), ...groupsOf(uncertain)];
    expect(compare({ bill: [bill(counts(90))], groups, uncertain })).toMatchObject({ corrections: [], agrees: false });
    expect(codes(compare({ bill: [bill(counts(90))], groups, uncertain }))).toEqual(["adjusted", "less_than_reported"]);
    expect(codes(compare({ bill: [bill(counts(10_101))], groups, uncertain }))).toEqual(["adjusted", "implausible"]);
  });

  it("settles with its corrections all that it corrects, and after a corrected file everything is as if that had been the first", () => {
    const tokens = fc.nat(500);
    const vector = fc.record({ input: tokens, cacheRead: tokens, cacheWrite5m: tokens, cacheWrite1h: tokens, output: tokens });
    const input = fc.record({ reported: vector, files: fc.tuple(vector, vector), estimates: fc.array(vector, { maxLength: 3 }), holds: fc.array(fc.bigInt(0n, 9n), { maxLength: 3 }) });
    fc.assert(
      fc.property(input, ({ reported, files, estimates, holds }) => {
        const estimated = estimates.map((each, index) => doubtful({ attemptId: `att_e${index}`, source: "estimated", counts: each, costNanoUsd: nanoUsd(BigInt(index)) }));
        const fresh = [...estimated, ...holds.map((hold, index) => unresolvedRow(`att_u${index}`, hold))];
        const read = (billed: TokenCounts, uncertain: readonly UncertainAttempt[]): ComparedLine => compare({ bill: [bill(billed)], groups: [group({ counts: reported }), ...groupsOf(uncertain)], uncertain });
        const first = read(files[0], fresh);
        expect(first.agrees || first.reasons.length > 0).toBe(true);
        const after = settledBy(fresh, first);
        if (first.corrections.length > 0) {
          expect(after.every(({ row, isSettled }) => row.state !== "unresolved" || isSettled)).toBe(true);
          const again = read(files[0], after);
          expect([again.agrees, again.corrections, again.reasons]).toEqual([true, [], []]);
        }
        const [direct, later] = [read(files[1], fresh), read(files[1], after)];
        const figures = (attempts: readonly UncertainAttempt[]): unknown => attempts.map(({ row }) => row.counts);
        const isProof = direct.corrections.length > 0 || direct.agrees;
        expect(figures(settledBy(after, later))).toEqual(figures(isProof ? settledBy(fresh, direct) : after));
      }),
      { numRuns: 500 },
    );
  });
});

describe("a file of costs", () => {
  const cost = (amount: bigint, members: Partial<BillLine> = {}): BillLine => bill(zeroCounts, { costNanoUsd: nanoUsd(amount), ...members });

  it("agrees within its own rounding, and says so", () => {
    const line = compare({ kind: "cost", bill: [cost(220n, { roundingNanoUsd: nanoUsd(5n) })], groups: [group({ costNanoUsd: nanoUsd(226n) })] });
    expect([line.agrees, codes(line)]).toEqual([true, ["rounding"]]);
    expect(compare({ kind: "cost", bill: [cost(220n, { roundingNanoUsd: nanoUsd(5n) })], groups: [group({ costNanoUsd: nanoUsd(227n) })] }).agrees).toBe(false);
  });

  it("names another price with its share, and corrects nothing", () => {
    const line = compare({ kind: "cost", bill: [cost(880n)], groups: [group({ costNanoUsd: nanoUsd(1_000n) }), group({ knowledge: "unresolved" })], uncertain: [unresolvedRow("att_a", 5n)] });
    expect([codes(line), line.corrections]).toEqual([["unresolved", "price"], []]);
    expect(line.reasons[1]!.text).toContain("the provider bills 12 % less");
  });

  it("has searches by themselves, and so has the ledger then", () => {
    const lines = compareBill({ kind: "cost", bill: [cost(100n), cost(30n, { model: "(web search)" })], groups: [group({ costNanoUsd: nanoUsd(130n), webSearches: 3 })], uncertain: [], canonicalName: (name) => name, webSearchCost: (_, uses) => BigInt(uses) * 10n, today: "2026-10-09" });
    expect(lines.map((line) => [line.model, line.agrees, line.difference.cost])).toEqual([["(web search)", true, 0n], [model, true, 0n]]);
  });
});

describe("split", () => {
  it("gives parts that sum to the whole, each within one of its share", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 15n), fc.array(fc.bigInt(0n, 10n ** 12n), { minLength: 1, maxLength: 20 }), (total, weights) => {
        const parts = split(total, weights);
        const all = weights.reduce((sum, weight) => sum + weight, 0n);
        expect(parts.reduce((sum, part) => sum + part, 0n)).toBe(total);
        for (const [index, part] of parts.entries()) {
          const off = all === 0n ? part * BigInt(weights.length) - total : part * all - total * weights[index]!;
          expect((off < 0n ? -off : off) < (all === 0n ? BigInt(weights.length) : all)).toBe(true);
        }
      }),
    );
  });
});
