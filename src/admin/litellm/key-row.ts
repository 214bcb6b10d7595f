/** A key as LiteLLM's clients expect to see it (`LiteLLM_VerificationToken`, BerriAI/litellm as of 1.104). */
import type { KeyRecord } from "../../identity/key-store.ts";
import { usdNumber, type NanoUsd } from "../../kernel/money.ts";
import { isoOrNull } from "../durations.ts";
import { unenforcedIn } from "./key-body.ts";

/**
 * @param key the record; its secret is not in it
 * @param spend over the key's whole life
 * @returns the row; `x_tollgate_unenforced` names limits that are set and do not bind, and is absent when there are none
 */
export function litellmKeyRow(key: KeyRecord, spend: NanoUsd): Record<string, unknown> {
  const limits = {
    max_budget: key.maxBudgetUsd === null ? null : Number(key.maxBudgetUsd),
    budget_duration: key.budgetDuration,
    tpm_limit: key.tpmLimit,
    rpm_limit: key.rpmLimit,
    max_parallel_requests: key.maxParallelRequests,
  };
  const notBinding = unenforcedIn(limits);
  return {
    token: key.tokenHash,
    key_name: key.name,
    key_alias: key.alias,
    spend: usdNumber(spend),
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
    budget_reset_at: null,
    litellm_budget_table: null,
    created_at: isoOrNull(key.createdAtMs),
    created_by: key.createdBy,
    updated_at: isoOrNull(key.updatedAtMs),
    ...(notBinding.length === 0 ? {} : { x_tollgate_unenforced: notBinding }),
  };
}
