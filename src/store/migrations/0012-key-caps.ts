/** Caps of keys beside their one budget: of several windows, and of models. */
import { sqlScript } from "../sql.ts";

export const keyCaps = sqlScript`
ALTER TABLE keys ADD COLUMN budget_limits TEXT;
ALTER TABLE keys ADD COLUMN model_budgets TEXT;
ALTER TABLE key_terms ADD COLUMN model_budgets TEXT;
`;
