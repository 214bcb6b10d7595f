// Guarantee: each share of a budget is told of once in each window, from the moment it is settled, and never for what is only held.
import { expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import type { Budget } from "./budget.ts";
import type { BalanceState } from "./ledger.ts";
import { crossedWarnings } from "./warnings.ts";
import { windowAt } from "./window.ts";
import { parseWindow } from "./window-words.ts";

const nowMs = Date.UTC(2026, 10, 23, 12);
const usd = (amount: number): NanoUsd => BigInt(Math.round(amount * 1e9)) as NanoUsd;

function stateOf(settled: number, rest: { readonly amount?: number; readonly held?: number; readonly words?: { readonly window?: string; readonly rolling?: string }; readonly atMs?: number } = {}): BalanceState {
  const parsed = parseWindow(rest.words ?? { window: "month" });
  if ("fault" in parsed) throw new Error(parsed.fault);
  const budget: Budget = {
    id: "b", scope: "team:t", per: "pool", amountNanoUsd: usd(rest.amount ?? 100), window: parsed.window, mode: "incremental", onExhausted: "finish",
    overrunMaxNanoUsd: usd(1), downgradeModel: undefined, warnAtPercent: [75, 95], contact: undefined,
  };
  return { budget, scope: "team:t", settled: usd(settled), held: usd(rest.held ?? 0), estimated: 0n, unresolved: 0n, endMs: windowAt(parsed.window, rest.atMs ?? nowMs).endMs };
}
const percents = (state: BalanceState): readonly number[] => crossedWarnings([state], nowMs).map(({ event }) => event.threshold_percent);

it("a share is crossed when it is settled to the last nano-dollar, and not by what is held", () => {
  expect(percents(stateOf(74.999999999, { held: 25 }))).toEqual([]);
  expect(percents(stateOf(75))).toEqual([75]);
  expect(percents(stateOf(120))).toEqual([75, 95]);
  expect(percents(stateOf(0, { amount: 0 }))).toEqual([]);
});

it("has another name in the next window, and the same one until then", () => {
  const ids = (atMs: number): readonly string[] => crossedWarnings([stateOf(80, { atMs })], atMs).map(({ id }) => id);
  expect(ids(nowMs)).toEqual(ids(nowMs + 86_400_000));
  expect(ids(nowMs)).not.toEqual(ids(nowMs + 30 * 86_400_000));
});

it("of a sliding window keeps its name, and is new once the earlier one has slid out", () => {
  const [warning] = crossedWarnings([stateOf(80, { words: { rolling: "7d" } })], nowMs);
  expect(warning!.isNewAfterMs).toBeGreaterThan(nowMs - 8 * 86_400_000);
  expect(warning!.isNewAfterMs).toBeLessThanOrEqual(nowMs - 7 * 86_400_000);
  expect(crossedWarnings([stateOf(80, { words: { rolling: "7d" } })], nowMs + 86_400_000)[0]!.id).toBe(warning!.id);
});

it("tells what an operator has to know", () => {
  expect(crossedWarnings([stateOf(80)], nowMs)[0]!.event).toEqual({
    type: "budget.threshold_crossed", created_at: "2026-11-23T12:00:00.000Z", budget_id: "b", scope: "team:t", window: "November", threshold_percent: 75,
    spent_usd: "80.00", amount_usd: "100.00", resets_at: "2026-12-01T00:00:00.000Z",
  });
});
