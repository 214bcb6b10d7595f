/** Terms that keys share as LiteLLM's clients expect to see them (`LiteLLM_BudgetTable`, BerriAI/litellm as of 1.104). */
import type { KeyCap } from "../../identity/key-store.ts";
import type { KeyTerms } from "../../identity/key-terms.ts";
import { nextResetMs } from "../../ledger/window.ts";
import { parseWindow } from "../../ledger/window-words.ts";
import { isoOrNull } from "../durations.ts";

/** `budget_reset_at` follows from the duration; null without one. */
export function litellmBudgetRow(terms: KeyTerms, nowMs: number): Record<string, unknown> {
  return {
    budget_id: terms.id,
    max_budget: dollarsOrNull(terms.maxBudgetUsd),
    soft_budget: dollarsOrNull(terms.softBudgetUsd),
    max_parallel_requests: terms.maxParallelRequests,
    tpm_limit: terms.tpmLimit,
    rpm_limit: terms.rpmLimit,
    model_max_budget: capRows(terms.modelBudgets),
    budget_duration: terms.budgetDuration,
    budget_reset_at: resetAt(terms.budgetDuration, nowMs),
    created_at: isoOrNull(terms.createdAtMs),
    created_by: terms.createdBy,
    updated_at: isoOrNull(terms.updatedAtMs),
    updated_by: terms.updatedBy,
  };
}

/** Caps by model, in LiteLLM's newer spelling. */
export function capRows(caps: KeyTerms["modelBudgets"]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(caps).map(([model, cap]) => [model, capRow(cap)]));
}

export function capRow({ maxBudgetUsd, budgetDuration }: KeyCap): Readonly<Record<string, unknown>> {
  return { max_budget: Number(maxBudgetUsd), budget_duration: budgetDuration };
}

/** When a window of this duration ends, ISO 8601 in UTC; null for never. */
export function resetAt(duration: string | null, nowMs: number): string | null {
  const parsed = duration === null ? undefined : parseWindow(duration);
  return parsed === undefined || "fault" in parsed ? null : isoOrNull(nextResetMs(parsed.window, nowMs));
}

function dollarsOrNull(amount: string | null): number | null {
  return amount === null ? null : Number(amount);
}
