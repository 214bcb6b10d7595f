/** What prompt caches should have been read for, and what the lost reads cost more. */
import { sqlScript } from "../sql.ts";

/**
 * `cache_miss` is NULL where nothing was lost, else `vanished` or `moved`. The sums count what was expected of attempts whose usage was
 * reported, since others tell nothing of reads; like all money of theirs, what lost reads cost is without notional money.
 */
export const cacheReads = sqlScript`
ALTER TABLE attempts ADD COLUMN expected_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN cache_miss TEXT;
ALTER TABLE attempts ADD COLUMN lost_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN cache_miss_nano_usd INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_sums ADD COLUMN expected_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums ADD COLUMN lost_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums ADD COLUMN cache_misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums ADD COLUMN moved_cache_misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums ADD COLUMN cache_miss_nano_usd INTEGER NOT NULL DEFAULT 0;

ALTER TABLE usage_sums_by ADD COLUMN expected_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums_by ADD COLUMN lost_cache_read_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums_by ADD COLUMN cache_misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums_by ADD COLUMN moved_cache_misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_sums_by ADD COLUMN cache_miss_nano_usd INTEGER NOT NULL DEFAULT 0;

DROP VIEW attempt_amounts;
CREATE VIEW attempt_amounts AS
  SELECT a.attempt_id, a.request_id, a.session_id, a.agent_id, a.opened_at_ms, a.opened_at_ms / 86400000 AS day,
    a.key_id, coalesce(a.user_id, '') AS user_id, coalesce(a.team_id, '') AS team_id, coalesce(a.organization_id, '') AS organization_id,
    coalesce(a.project, '') AS project, coalesce(nullif(a.served_model, ''), a.upstream_model) AS model, a.provider, coalesce(a.tags, '') AS tags,
    a.input_tokens + coalesce(d.delta_input_tokens, 0) AS input_tokens,
    a.cache_read_tokens + coalesce(d.delta_cache_read_tokens, 0) AS cache_read_tokens,
    a.cache_write_5m_tokens + coalesce(d.delta_cache_write_5m_tokens, 0) AS cache_write_5m_tokens,
    a.cache_write_1h_tokens + coalesce(d.delta_cache_write_1h_tokens, 0) AS cache_write_1h_tokens,
    a.output_tokens + coalesce(d.delta_output_tokens, 0) AS output_tokens,
    iif(a.is_notional, 0, a.cost_nano_usd + coalesce(d.delta_nano_usd, 0)) AS cost_nano_usd,
    iif(a.is_notional, 0, coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0)) AS charge_nano_usd,
    iif(a.source = 'reported' AND NOT a.is_notional, coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0), 0) AS reported_nano_usd,
    iif(a.source = 'estimated' AND NOT a.is_notional, coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0), 0) AS estimated_nano_usd,
    iif(a.is_notional, 0, coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0)) AS adjusted_nano_usd,
    iif(a.is_wasted AND NOT a.is_notional, coalesce(a.charge_nano_usd, a.cost_nano_usd) + coalesce(d.charge_delta_nano_usd, d.delta_nano_usd, 0), 0) AS wasted_nano_usd,
    iif(a.is_notional, a.cost_nano_usd + coalesce(d.delta_nano_usd, 0), 0) AS notional_nano_usd,
    a.state = 'unresolved' AND d.attempt_id IS NULL AS unresolved_attempts,
    iif(a.state = 'unresolved' AND d.attempt_id IS NULL, a.hold_nano_usd, 0) AS unresolved_nano_usd,
    a.is_unpriced AS unpriced_attempts,
    iif(a.source = 'reported', a.expected_cache_read_tokens, 0) AS expected_cache_read_tokens, a.lost_cache_read_tokens,
    a.cache_miss IS NOT NULL AS cache_misses, a.cache_miss IS 'moved' AS moved_cache_misses,
    iif(a.is_notional, 0, a.cache_miss_nano_usd) AS cache_miss_nano_usd
  FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id;
`;
