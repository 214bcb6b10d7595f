/** Reads columns of a result row as the types of the ports. The one place where SQLite's 64-bit integers become numbers. */
import { assert } from "../../kernel/assert.ts";
import { nanoUsd, type NanoUsd } from "../../kernel/money.ts";
import type { TokenCounts } from "../../kernel/usage.ts";
import type { SqlRow } from "../sql.ts";

/** TEXT NOT NULL. */
export function text(row: SqlRow, column: string): string {
  const value = row[column];
  assert(typeof value === "string", `column ${column} holds text`);
  return value;
}

/** TEXT. */
export function textOrNull(row: SqlRow, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/** INTEGER NOT NULL within the safe range: counts, milliseconds, bytes. */
export function integer(row: SqlRow, column: string): number {
  const value = Number(row[column]);
  assert(Number.isSafeInteger(value), `column ${column} holds a safe integer`);
  return value;
}

/** INTEGER within the safe range. */
export function integerOrNull(row: SqlRow, column: string): number | null {
  return row[column] === null ? null : integer(row, column);
}

/** INTEGER NOT NULL, 0 or 1. */
export function boolean(row: SqlRow, column: string): boolean {
  return integer(row, column) !== 0;
}

/** INTEGER NOT NULL of 64 bits, in nano-USD. */
export function money(row: SqlRow, column: string): NanoUsd {
  const value = row[column];
  assert(typeof value === "bigint", `column ${column} holds an amount`);
  return nanoUsd(value);
}

/** TEXT that holds JSON written by this store; `fallback` where it is NULL. The caller names the type it wrote. */
export function json<Value>(row: SqlRow, column: string, fallback: Value): Value {
  const value = textOrNull(row, column);
  return value === null ? fallback : (JSON.parse(value) as Value);
}

/** The five counts of tokens of an attempt, or of a sum of attempts. */
export function countsOf(row: SqlRow): TokenCounts {
  return {
    input: integer(row, "input_tokens"),
    cacheRead: integer(row, "cache_read_tokens"),
    cacheWrite5m: integer(row, "cache_write_5m_tokens"),
    cacheWrite1h: integer(row, "cache_write_1h_tokens"),
    output: integer(row, "output_tokens"),
  };
}
