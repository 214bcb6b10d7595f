/** Spans in LiteLLM's spelling (`30s`, `30m`, `30h`, `30d`, `1mo`) and instants in a query, both in UTC. */
import { fieldInvalid } from "./fields.ts";

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
/** Far enough for any key, and near enough for every instant to be a valid date. */
const spanMaxMs = 100 * 366 * 86_400_000;
const dayMs = 86_400_000;

/**
 * The instant one span after another. A month is the calendar's: to the same day and time, or to the last day of a shorter month.
 *
 * @param field named in the error
 * @param text a whole number and `s`, `m`, `h`, `d`, `w` or `mo`
 * @param fromMs wall time
 * @throws GatewayError `client_field_invalid` for anything else, and for more than a hundred years
 */
export function addSpan(field: string, text: string, fromMs: number): number {
  const match = /^(\d{1,9})(mo|[smhdw])$/.exec(text);
  if (match === null) throw fieldInvalid(`${field}: it must be a span such as 30s, 30m, 12h, 30d or 1mo.`);
  const [, digits, unit = ""] = match;
  const count = Number(digits);
  const endMs = unit === "mo" ? addMonths(fromMs, count) : fromMs + count * unitMs[unit]!;
  if (!(endMs - fromMs <= spanMaxMs)) throw fieldInvalid(`${field}: it must not be longer than a hundred years.`);
  return endMs;
}

/** {@link addSpan} for a span that must not be empty. */
export function addPositiveSpan(field: string, text: string, fromMs: number): number {
  const endMs = addSpan(field, text, fromMs);
  if (endMs === fromMs) throw fieldInvalid(`${field}: it must be longer than nothing.`);
  return endMs;
}

function addMonths(fromMs: number, count: number): number {
  const from = new Date(fromMs);
  const firstOfMonth = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + count, 1));
  const lastDay = new Date(Date.UTC(firstOfMonth.getUTCFullYear(), firstOfMonth.getUTCMonth() + 1, 0)).getUTCDate();
  return firstOfMonth.getTime() + (Math.min(from.getUTCDate(), lastDay) - 1) * dayMs + (((fromMs % dayMs) + dayMs) % dayMs);
}

/**
 * @param text `2026-01-31`, or an ISO 8601 time; without a zone it is UTC, as the ledger's days are
 * @returns milliseconds since the epoch; `isDay` when only a date was given
 * @throws GatewayError `client_field_invalid`
 */
export function parseInstant(field: string, text: string): { readonly ms: number; readonly isDay: boolean } {
  // A `+` of a zone that was not escaped arrives as a space.
  const tidy = text.replace(/ (?=\d{2}:\d{2}$)/, "+").replace(/^(\d{4}-\d{2}-\d{2}) /, "$1T");
  const match = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(tidy);
  const isDay = match !== null && tidy === match[1];
  const ms = match === null ? Number.NaN : Date.parse(isDay || match[2] !== undefined ? tidy : `${tidy}Z`);
  // The parser takes 2026-02-30 for 2 March; a day that does not exist is a slip.
  const exists = match !== null && !Number.isNaN(ms) && new Date(Date.parse(match[1]!)).toISOString().startsWith(match[1]!);
  if (!exists) throw fieldInvalid(`${field}: it must be a date such as 2026-01-31, or an ISO 8601 time.`);
  return { ms, isDay };
}

/** ISO 8601 in UTC, or null. */
export function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
