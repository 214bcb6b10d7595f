/** Who bears the money of an attempt, what is charged for it, and a key's budget for each run. */
import { sqlScript } from "../sql.ts";

/**
 * `payer` is NULL for the caller; `charge_nano_usd` and `margin_ppm` are NULL where the charge is the cost, and so is
 * `charge_delta_nano_usd` where the correction of the charge is that of the cost.
 */
export const payerColumns = sqlScript`
ALTER TABLE attempts ADD COLUMN payer TEXT;
ALTER TABLE attempts ADD COLUMN is_wasted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN is_notional INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN margin_ppm INTEGER;
ALTER TABLE attempts ADD COLUMN charge_nano_usd INTEGER;
ALTER TABLE adjustments ADD COLUMN charge_delta_nano_usd INTEGER;
ALTER TABLE keys ADD COLUMN run_budget_usd TEXT;
`;
