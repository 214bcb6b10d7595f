/** A key as LiteLLM's clients expect to see it (`LiteLLM_VerificationToken`, BerriAI/litellm as of 1.104). */
import type { KeyRecord } from "../../identity/key-store.ts";
import { nanoUsd, usdNumber, type NanoUsd } from "../../kernel/money.ts";
import type { KeyTerms } from "../../identity/key-terms.ts";
import type { BalanceState } from "../../ledger/ledger.ts";
import { isoOrNull } from "../durations.ts";
import { capRow, capRows, litellmBudgetRow } from "./budget-row.ts";

/** What of a key is not in its record. */
export interface KeyStanding {
  readonly budget: BalanceState | undefined;
  readonly terms: KeyTerms | undefined;
  readonly nowMs: number;
}

/**
 * @param key the record; its secret is not in it
 * @param spend over the key's whole life
 * @param own with a budget in its present window, `spend` is what counts against that, as LiteLLM has it
 * @returns the row
 */
export function litellmKeyRow(key: KeyRecord, spend: NanoUsd, { budget, terms, nowMs }: KeyStanding): Record<string, unknown> {
  const limits = {
    max_budget: key.maxBudgetUsd === null ? null : Number(key.maxBudgetUsd),
    budget_duration: key.budgetDuration,
    tpm_limit: key.tpmLimit,
    rpm_limit: key.rpmLimit,
    max_parallel_requests: key.maxParallelRequests,
  };
  return {
    token: key.tokenHash,
    key_name: key.name,
    key_alias: key.alias,
    spend: usdNumber(budget === undefined ? spend : nanoUsd(budget.settled)),
    expires: isoOrNull(key.expiresAtMs),
    models: key.models,
    aliases: key.aliases,
    config: {},
    permissions: {},
    user_id: key.userId,
    team_id: key.teamId,
    organization_id: key.organizationId,
    metadata: key.metadata,
    tags: key.tags,
    blocked: key.isBlocked,
    ...limits,
    run_budget_usd: key.runBudgetUsd === null ? null : Number(key.runBudgetUsd),
    budget_reset_at: isoOrNull(budget?.endMs ?? null),
    ...(budget === undefined ? {} : standing(budget, spend)),
    budget_limits: key.budgetLimits.map(capRow),
    model_max_budget: capRows(key.modelBudgets),
    budget_id: key.termsId,
    soft_budget: key.softBudgetUsd === null ? null : Number(key.softBudgetUsd),
    litellm_budget_table: terms === undefined ? null : litellmBudgetRow(terms, nowMs),
    created_at: isoOrNull(key.createdAtMs),
    created_by: key.createdBy,
    updated_at: isoOrNull(key.updatedAtMs),
  };
}

/** What LiteLLM has no word for. */
function standing({ budget, settled, held }: BalanceState, spend: NanoUsd): Readonly<Record<string, unknown>> {
  const left = budget.amountNanoUsd - settled - held;
  return { x_tollgate_held: usdNumber(nanoUsd(held)), x_tollgate_left: usdNumber(nanoUsd(left > 0n ? left : 0n)), x_tollgate_lifetime_spend: usdNumber(spend) };
}
