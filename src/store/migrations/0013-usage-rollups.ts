/** Sums of attempts by day, which answer reports without reading every row, and what stays of rows that are pruned. */
import { sqlScript } from "../sql.ts";

/**
 * `attempt_amounts` is an attempt as reports count it, with its adjustments; empty text where it has none of a dimension. The sums are of its
 * columns, so that one and the same expression stands behind a sum over rows and a sum that was kept.
 *
 * `usage_sums` has every dimension that reports may filter or group by, `usage_sums_by` one of few values at a time for those without a filter.
 * In them is each attempt at or below `rollup_state.mark` that is not in `rollup_pending`; all others are read from their rows. `rollup_strays` are
 * attempts in the sums whose ids were not made within an hour of their opening, since a clock was set: a range of ids does not find them.
 *
 * `pruned_spend` and `pruned_bills` are what budgets and reconciling need of attempts whose rows are gone. Only rows opened before
 * `pruned_before_ms`, a beginning of a day, may be gone. `prune_pass` is empty outside the transaction that prunes.
 */
export const usageRollups = sqlScript`
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
    a.is_unpriced AS unpriced_attempts
  FROM attempts AS a LEFT JOIN adjustments AS d ON d.attempt_id = a.attempt_id;

CREATE TABLE usage_sums (
  day INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  team_id TEXT NOT NULL,
  organization_id TEXT NOT NULL,
  project TEXT NOT NULL,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  tags TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  charge_nano_usd INTEGER NOT NULL,
  reported_nano_usd INTEGER NOT NULL,
  estimated_nano_usd INTEGER NOT NULL,
  adjusted_nano_usd INTEGER NOT NULL,
  wasted_nano_usd INTEGER NOT NULL,
  notional_nano_usd INTEGER NOT NULL,
  unresolved_attempts INTEGER NOT NULL,
  unresolved_nano_usd INTEGER NOT NULL,
  unpriced_attempts INTEGER NOT NULL,
  PRIMARY KEY (day, key_id, user_id, team_id, organization_id, project, model, provider, tags)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_sums_by (
  dimension TEXT NOT NULL,
  day INTEGER NOT NULL,
  value TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  charge_nano_usd INTEGER NOT NULL,
  reported_nano_usd INTEGER NOT NULL,
  estimated_nano_usd INTEGER NOT NULL,
  adjusted_nano_usd INTEGER NOT NULL,
  wasted_nano_usd INTEGER NOT NULL,
  notional_nano_usd INTEGER NOT NULL,
  unresolved_attempts INTEGER NOT NULL,
  unresolved_nano_usd INTEGER NOT NULL,
  unpriced_attempts INTEGER NOT NULL,
  PRIMARY KEY (dimension, day, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  mark TEXT NOT NULL,
  pruned_before_ms INTEGER NOT NULL
) STRICT;
INSERT INTO rollup_state (id, mark, pruned_before_ms) VALUES (1, '', 0);
CREATE TABLE rollup_pending (attempt_id TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_strays (attempt_id TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE pruned_spend (
  id INTEGER PRIMARY KEY,
  day INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  user_id TEXT,
  team_id TEXT,
  organization_id TEXT,
  end_user_id TEXT,
  project TEXT,
  tags TEXT,
  session_id TEXT,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  target_id TEXT NOT NULL,
  payer TEXT,
  amount_source TEXT NOT NULL,
  amount_nano_usd INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX pruned_spend_whole ON pruned_spend (day, key_id, coalesce(session_id, ''), model, target_id, amount_source, provider, coalesce(payer, ''),
  coalesce(end_user_id, ''), coalesce(project, ''), coalesce(tags, ''), coalesce(user_id, ''), coalesce(team_id, ''), coalesce(organization_id, ''));
CREATE INDEX pruned_spend_session ON pruned_spend (session_id) WHERE session_id IS NOT NULL;

CREATE TABLE pruned_bills (
  provider TEXT NOT NULL,
  day INTEGER NOT NULL,
  model TEXT NOT NULL,
  knowledge TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  over_midnight INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cache_read_tokens INTEGER NOT NULL,
  cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  web_searches INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL,
  PRIMARY KEY (provider, day, model, knowledge)
) STRICT, WITHOUT ROWID;

CREATE TABLE prune_pass (attempt_id TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
DROP TRIGGER adjustments_stay;
CREATE TRIGGER adjustments_stay BEFORE DELETE ON adjustments
  WHEN NOT EXISTS (SELECT 1 FROM prune_pass WHERE attempt_id = OLD.attempt_id)
  BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END;
`;
