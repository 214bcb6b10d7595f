/** Guarantee: rows that a budget's window still counts are known to be needed, and a lifetime needs none. */
import { expect, it } from "vitest";
import { keyBudgets } from "./key-budget.ts";
import { neededSince } from "./start-ledger.ts";

const nowMs = Date.UTC(2026, 10, 20, 12);
const lifetime = keyBudgets({ id: "key_1", maxBudgetUsd: "10", budgetDuration: null, runBudgetUsd: "1" });
const month = keyBudgets({ id: "key_2", maxBudgetUsd: "10", budgetDuration: "1mo" });
const ofDay = keyBudgets({ id: "key_3", maxBudgetUsd: "10", budgetDuration: "1d" });

it("the oldest window decides, a day early for clocks that are set back", () => {
  expect(neededSince([...ofDay], nowMs)).toBe(Date.UTC(2026, 10, 19));
  expect(neededSince([...ofDay, ...month], nowMs)).toBe(Date.UTC(2026, 10, 1));
  expect(neededSince([...month], Date.UTC(2026, 11, 1, 5))).toBe(Date.UTC(2026, 10, 1));
});

it("lifetimes, and no budgets, need no rows", () => {
  expect(neededSince([...lifetime], nowMs)).toBe(nowMs);
  expect(neededSince([], nowMs)).toBe(nowMs);
});
