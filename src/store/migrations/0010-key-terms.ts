/** Terms that several keys share, LiteLLM's budget objects, and what keys have of them. */
import { sqlScript } from "../sql.ts";

export const keyTermsTable = sqlScript`
CREATE TABLE key_terms (
  id TEXT PRIMARY KEY NOT NULL,
  max_budget_usd TEXT,
  soft_budget_usd TEXT,
  budget_duration TEXT,
  rpm_limit INTEGER,
  tpm_limit INTEGER,
  max_parallel_requests INTEGER,
  created_at_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  updated_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE keys ADD COLUMN soft_budget_usd TEXT;
ALTER TABLE keys ADD COLUMN terms_id TEXT;
`;
