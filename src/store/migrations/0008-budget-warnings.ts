/** Warnings of budgets that were told. */
import { sqlScript } from "../sql.ts";

/** `next_try_ms` is when the webhook is told next; NULL once it was, or where there is none. */
export const budgetWarnings = sqlScript`
CREATE TABLE budget_warnings (
  id TEXT PRIMARY KEY NOT NULL,
  at_ms INTEGER NOT NULL,
  body TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_try_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_warnings_due ON budget_warnings (next_try_ms) WHERE next_try_ms IS NOT NULL;
`;
