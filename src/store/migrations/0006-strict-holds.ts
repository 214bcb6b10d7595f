/** What strict budgets hold for an attempt: the most that it can cost, beside what it is expected to cost. */
import { sqlScript } from "../sql.ts";

/** An attempt that stays `unresolved` counts at the larger of this and `hold_nano_usd` under strict budgets, at `hold_nano_usd` under the others. */
export const strictHoldColumn = sqlScript`ALTER TABLE attempts ADD COLUMN strict_hold_nano_usd INTEGER NOT NULL DEFAULT 0;`;
