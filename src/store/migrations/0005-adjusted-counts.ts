/** What an adjusting entry corrects besides money. */
import { sqlScript } from "../sql.ts";

/** Differences, as `delta_nano_usd` is one; 0 in entries that only correct a price. */
export const adjustedCounts = sqlScript`
ALTER TABLE adjustments ADD COLUMN delta_input_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE adjustments ADD COLUMN delta_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE adjustments ADD COLUMN delta_cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE adjustments ADD COLUMN delta_cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE adjustments ADD COLUMN delta_output_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE adjustments ADD COLUMN delta_web_searches INTEGER NOT NULL DEFAULT 0;
`;
