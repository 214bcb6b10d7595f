/** Budgets that operators set while the gateway runs. */
import { sqlScript } from "../sql.ts";

/** `definition` is JSON in the words of the configuration's `budgets`. */
export const budgetTable = sqlScript`
CREATE TABLE budgets (
  id TEXT PRIMARY KEY NOT NULL,
  scope TEXT NOT NULL,
  definition TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;
