/** One real write and one real read, to tell whether the store works. */
import { assert } from "../../kernel/assert.ts";
import type { SqlDatabase } from "../sql.ts";

/** @throws Error of SQLite when either fails */
export function probe(sql: SqlDatabase, nowMs: number): void {
  const written = sql.transaction(() => sql.run`UPDATE probe SET at_ms = ${nowMs}, count = count + 1 WHERE id = 1`);
  const found = sql.row`SELECT at_ms FROM probe WHERE id = 1`;
  assert(written === 1 && found?.["at_ms"] === BigInt(nowMs), "the store gives back what was written");
}
