/** What is held for a running attempt, and the rest of whom its money counts for. */
import { sqlScript } from "../sql.ts";

/**
 * `hold_nano_usd` is the room kept for the attempt under budgets; an attempt that stays `unresolved` counts at it. `model` is the
 * public name that serves, NULL where it is the requested one.
 */
export const holdColumns = sqlScript`
ALTER TABLE attempts ADD COLUMN hold_nano_usd INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN organization_id TEXT;
ALTER TABLE attempts ADD COLUMN end_user_id TEXT;
ALTER TABLE attempts ADD COLUMN model TEXT;
`;
