/**
 * The first schema. Migrations only go forward and are never edited once released; each is one script that runs inside one
 * transaction with its version.
 */
import { sqlScript } from "../sql.ts";

/**
 * `attempts` is WITHOUT ROWID on its time-ordered id, so that opening an attempt and closing it touch one B-tree, near its
 * end. The two partial indexes hold exceptions only and cost an ordinary attempt nothing. A row is `open`, then `closed` or
 * `unresolved`; no row is ever deleted, and a closed row's money is corrected in `adjustments` alone.
 *
 * `journal_mark` holds an id at or below every row in state `open`: after a crash only rows from there on are looked at.
 *
 * The triggers make `audit` and `adjustments` append-only. The ones before INSERT are needed because SQLite does not fire
 * DELETE triggers for a row that INSERT OR REPLACE removes (https://www.sqlite.org/lang_conflict.html).
 */
export const initialSchema = sqlScript`
CREATE TABLE attempts (
  attempt_id TEXT PRIMARY KEY NOT NULL,
  state TEXT NOT NULL,
  request_id TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  opened_at_ms INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  user_id TEXT,
  team_id TEXT,
  project TEXT,
  tags TEXT,
  session_id TEXT,
  agent_id TEXT,
  parent_agent_id TEXT,
  request_class TEXT,
  requested_model TEXT NOT NULL,
  upstream_model TEXT NOT NULL,
  provider TEXT NOT NULL,
  target_id TEXT NOT NULL,
  is_streaming INTEGER NOT NULL,
  request_bytes INTEGER NOT NULL,
  closed_at_ms INTEGER,
  outcome TEXT NOT NULL DEFAULT '',
  status INTEGER NOT NULL DEFAULT 0,
  source TEXT NOT NULL DEFAULT 'unresolved',
  input_tokens INTEGER NOT NULL DEFAULT 0,
  cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0,
  cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  server_tool_uses TEXT,
  served_model TEXT NOT NULL DEFAULT '',
  cost_nano_usd INTEGER NOT NULL DEFAULT 0,
  price_row TEXT NOT NULL DEFAULT '',
  is_provisional INTEGER NOT NULL DEFAULT 0,
  is_unpriced INTEGER NOT NULL DEFAULT 0,
  usage_json TEXT NOT NULL DEFAULT '',
  first_event_ms INTEGER,
  duration_ms INTEGER,
  response_bytes INTEGER NOT NULL DEFAULT 0,
  upstream_request_id TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_unresolved ON attempts (attempt_id) WHERE state = 'unresolved';
CREATE INDEX attempts_provisional ON attempts (attempt_id) WHERE is_provisional = 1;

CREATE TABLE journal_mark (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  low_attempt_id TEXT NOT NULL
) STRICT;
INSERT INTO journal_mark (id, low_attempt_id) VALUES (1, '');

CREATE TABLE key_spend (
  key_id TEXT PRIMARY KEY NOT NULL,
  settled_nano_usd INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE adjustments (
  attempt_id TEXT PRIMARY KEY NOT NULL REFERENCES attempts (attempt_id),
  id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  delta_nano_usd INTEGER NOT NULL,
  price_row TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER adjustments_keep BEFORE UPDATE ON adjustments BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END;
CREATE TRIGGER adjustments_stay BEFORE DELETE ON adjustments BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END;

CREATE TABLE keys (
  id TEXT PRIMARY KEY NOT NULL,
  token_hash TEXT NOT NULL,
  name TEXT NOT NULL,
  alias TEXT,
  user_id TEXT,
  team_id TEXT,
  models TEXT NOT NULL,
  aliases TEXT NOT NULL,
  max_budget_usd TEXT,
  budget_duration TEXT,
  expires_at_ms INTEGER,
  metadata TEXT NOT NULL,
  tags TEXT NOT NULL,
  rpm_limit INTEGER,
  tpm_limit INTEGER,
  max_parallel_requests INTEGER,
  is_blocked INTEGER NOT NULL,
  revoked_at_ms INTEGER,
  created_at_ms INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX keys_alias_live ON keys (alias) WHERE alias IS NOT NULL AND revoked_at_ms IS NULL;

CREATE TABLE key_secrets (
  hash TEXT PRIMARY KEY NOT NULL,
  key_id TEXT NOT NULL REFERENCES keys (id),
  kind TEXT NOT NULL,
  expires_at_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX key_secrets_expiry ON key_secrets (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE INDEX key_secrets_key ON key_secrets (key_id);

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  at_ms INTEGER NOT NULL,
  action TEXT NOT NULL,
  actor TEXT NOT NULL,
  object TEXT NOT NULL,
  details TEXT NOT NULL,
  source_address TEXT NOT NULL
) STRICT;
CREATE INDEX audit_action ON audit (action, seq);
CREATE TRIGGER audit_keep BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
CREATE TRIGGER audit_stay BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;
CREATE TRIGGER audit_add BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id OR seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END;

CREATE TABLE probe (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at_ms INTEGER NOT NULL,
  count INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, at_ms, count) VALUES (1, 0, 0);
`;
