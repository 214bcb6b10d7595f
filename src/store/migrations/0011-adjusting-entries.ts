/** Lets an attempt be corrected more than once: each correction is a dated entry of its own, and what they sum to stays one row an attempt. */
import { sqlScript } from "../sql.ts";

/**
 * `adjusting_entries` is the record: append-only, numbered from 0 within an attempt. An entry whose number is taken is passed over, so that a
 * correction that was worked out twice from the same state is booked once. It names no attempt that must exist, since it outlives those that are pruned.
 *
 * `adjustments` is what its readers join: the sum of an attempt's entries, with the price row, the reason and the time of the last one. Only the
 * trigger writes it, in the statement of the entry, and nothing but that sum can be written.
 */
export const adjustingEntries = sqlScript`
CREATE TABLE adjusting_entries (
  attempt_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  delta_nano_usd INTEGER NOT NULL,
  charge_delta_nano_usd INTEGER,
  price_row TEXT NOT NULL,
  reason TEXT NOT NULL,
  delta_input_tokens INTEGER NOT NULL DEFAULT 0,
  delta_cache_read_tokens INTEGER NOT NULL DEFAULT 0,
  delta_cache_write_5m_tokens INTEGER NOT NULL DEFAULT 0,
  delta_cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
  delta_output_tokens INTEGER NOT NULL DEFAULT 0,
  delta_web_searches INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (attempt_id, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO adjusting_entries (attempt_id, sequence, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason,
    delta_input_tokens, delta_cache_read_tokens, delta_cache_write_5m_tokens, delta_cache_write_1h_tokens, delta_output_tokens, delta_web_searches)
  SELECT attempt_id, 0, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason,
    delta_input_tokens, delta_cache_read_tokens, delta_cache_write_5m_tokens, delta_cache_write_1h_tokens, delta_output_tokens, delta_web_searches FROM adjustments;
CREATE TRIGGER adjusting_entries_keep BEFORE UPDATE ON adjusting_entries BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END;
CREATE TRIGGER adjusting_entries_stay BEFORE DELETE ON adjusting_entries BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END;
CREATE TRIGGER adjusting_entries_once BEFORE INSERT ON adjusting_entries
  WHEN EXISTS (SELECT 1 FROM adjusting_entries WHERE attempt_id = NEW.attempt_id AND sequence = NEW.sequence)
  BEGIN SELECT RAISE(IGNORE); END;

DROP TRIGGER adjustments_keep;
CREATE TRIGGER adjusting_entries_sum AFTER INSERT ON adjusting_entries BEGIN
  INSERT INTO adjustments (attempt_id, id, at_ms, delta_nano_usd, charge_delta_nano_usd, price_row, reason,
      delta_input_tokens, delta_cache_read_tokens, delta_cache_write_5m_tokens, delta_cache_write_1h_tokens, delta_output_tokens, delta_web_searches)
    SELECT NEW.attempt_id, NEW.id, NEW.at_ms, sum(delta_nano_usd), nullif(sum(coalesce(charge_delta_nano_usd, delta_nano_usd)), sum(delta_nano_usd)), NEW.price_row, NEW.reason,
      sum(delta_input_tokens), sum(delta_cache_read_tokens), sum(delta_cache_write_5m_tokens), sum(delta_cache_write_1h_tokens), sum(delta_output_tokens), sum(delta_web_searches)
    FROM adjusting_entries WHERE attempt_id = NEW.attempt_id
    ON CONFLICT (attempt_id) DO UPDATE SET id = excluded.id, at_ms = excluded.at_ms, delta_nano_usd = excluded.delta_nano_usd, charge_delta_nano_usd = excluded.charge_delta_nano_usd,
      price_row = excluded.price_row, reason = excluded.reason, delta_input_tokens = excluded.delta_input_tokens, delta_cache_read_tokens = excluded.delta_cache_read_tokens,
      delta_cache_write_5m_tokens = excluded.delta_cache_write_5m_tokens, delta_cache_write_1h_tokens = excluded.delta_cache_write_1h_tokens,
      delta_output_tokens = excluded.delta_output_tokens, delta_web_searches = excluded.delta_web_searches;
END;
CREATE TRIGGER adjustments_add BEFORE INSERT ON adjustments
  WHEN NEW.delta_nano_usd IS NOT (SELECT sum(delta_nano_usd) FROM adjusting_entries WHERE attempt_id = NEW.attempt_id)
  BEGIN SELECT RAISE(ABORT, 'adjustments are sums of append-only entries'); END;
CREATE TRIGGER adjustments_keep BEFORE UPDATE ON adjustments
  WHEN NEW.attempt_id <> OLD.attempt_id OR NEW.delta_nano_usd IS NOT (SELECT sum(delta_nano_usd) FROM adjusting_entries WHERE attempt_id = NEW.attempt_id)
  BEGIN SELECT RAISE(ABORT, 'adjustments are sums of append-only entries'); END;
`;
