/** Running totals per key, kept in the transaction of the entries they sum, so that they can never differ from them. */
import type { NanoUsd } from "../../kernel/money.ts";
import type { SqlDatabase } from "../sql.ts";

/** Changes of one transaction, summed by key so that each key's row is touched once. */
export interface SpendBatch {
  add(keyId: string, nanoUsd: NanoUsd, attempts: number): void;
  write(sql: SqlDatabase): void;
}

/** An empty batch. */
export function createSpendBatch(): SpendBatch {
  const totals = new Map<string, { nanoUsd: bigint; attempts: number }>();
  return {
    add(keyId, nanoUsd, attempts) {
      const total = totals.get(keyId);
      if (total === undefined) totals.set(keyId, { nanoUsd, attempts });
      else {
        total.nanoUsd += nanoUsd;
        total.attempts += attempts;
      }
    },
    write(sql) {
      for (const [keyId, { nanoUsd, attempts }] of totals) {
        void sql.run`INSERT INTO key_spend (key_id, settled_nano_usd, attempts) VALUES (${keyId}, ${nanoUsd}, ${attempts})
          ON CONFLICT (key_id) DO UPDATE SET settled_nano_usd = settled_nano_usd + excluded.settled_nano_usd, attempts = attempts + excluded.attempts`;
      }
    },
  };
}
