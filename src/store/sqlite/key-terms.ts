/** Terms that several keys share; each change is one transaction with its audit record. */
import type { KeyTerms, KeyTermsStore } from "../../identity/key-terms.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { storeError } from "../store-error.ts";
import { insertAudit } from "./audit.ts";
import { integer, integerOrNull, json, text, textOrNull } from "./columns.ts";

/** @returns the port over `sql`; its promises reject with GatewayError `gateway_store_unavailable` */
export function sqliteKeyTerms(sql: SqlDatabase): KeyTermsStore {
  return {
    load: async () => attempt(() => sql.rows`SELECT * FROM key_terms ORDER BY id`.map(termsOf)),
    put: async (terms, audit) =>
      attempt(() =>
        sql.transaction(() => {
          writeTerms(sql, terms);
          insertAudit(sql, audit);
        }),
      ),
    remove: async (id, audit) =>
      attempt(() =>
        sql.transaction(() => {
          void sql.run`DELETE FROM key_terms WHERE id = ${id}`;
          insertAudit(sql, audit);
        }),
      ),
  };
}

function writeTerms(sql: SqlDatabase, terms: KeyTerms): void {
  void sql.run`INSERT INTO key_terms (id, max_budget_usd, soft_budget_usd, budget_duration, rpm_limit, tpm_limit, max_parallel_requests,
      created_at_ms, created_by, updated_at_ms, updated_by, model_budgets)
    VALUES (${terms.id}, ${terms.maxBudgetUsd}, ${terms.softBudgetUsd}, ${terms.budgetDuration}, ${terms.rpmLimit}, ${terms.tpmLimit},
      ${terms.maxParallelRequests}, ${terms.createdAtMs}, ${terms.createdBy}, ${terms.updatedAtMs}, ${terms.updatedBy},
      ${JSON.stringify(terms.modelBudgets)})
    ON CONFLICT (id) DO UPDATE SET max_budget_usd = excluded.max_budget_usd, soft_budget_usd = excluded.soft_budget_usd,
      budget_duration = excluded.budget_duration, rpm_limit = excluded.rpm_limit, tpm_limit = excluded.tpm_limit,
      max_parallel_requests = excluded.max_parallel_requests, updated_at_ms = excluded.updated_at_ms, updated_by = excluded.updated_by,
      model_budgets = excluded.model_budgets`;
}

function termsOf(row: SqlRow): KeyTerms {
  return {
    id: text(row, "id"),
    maxBudgetUsd: textOrNull(row, "max_budget_usd"),
    softBudgetUsd: textOrNull(row, "soft_budget_usd"),
    budgetDuration: textOrNull(row, "budget_duration"),
    modelBudgets: json<KeyTerms["modelBudgets"]>(row, "model_budgets", {}),
    rpmLimit: integerOrNull(row, "rpm_limit"),
    tpmLimit: integerOrNull(row, "tpm_limit"),
    maxParallelRequests: integerOrNull(row, "max_parallel_requests"),
    createdAtMs: integer(row, "created_at_ms"),
    createdBy: text(row, "created_by"),
    updatedAtMs: integer(row, "updated_at_ms"),
    updatedBy: text(row, "updated_by"),
  };
}

function attempt<Result>(action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    throw storeError(error);
  }
}
