/** Values that Anthropic's exports and reports write alike: days, amounts, and what is said of batches. */
import { nanoUsd, parseDecimal, type NanoUsd } from "../kernel/money.ts";

/** What is said of batches, which the gateway does not offer. */
export function batchRemark(lines: number): string {
  return `${lines} ${lines === 1 ? "line is" : "lines are"} about batches, which no call through this gateway makes; left out.`;
}

/** The day of `2026-01-31`, `2026-01-31 02:00` or an ISO 8601 time in UTC; undefined for others, and for days that do not exist. */
export function dayOf(text: string): string | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|\+00:00)?)?$/.exec(text.trim());
  const day = match?.[1];
  if (day === undefined) return undefined;
  const ms = Date.parse(day);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(day) ? day : undefined;
}

/**
 * A decimal amount with what its last decimal leaves open.
 *
 * @param scale decimals of its unit that make a nano-USD: 9 for dollars, 7 for cents
 */
export function amountOf(text: string, scale: number): { readonly costNanoUsd: NanoUsd; readonly roundingNanoUsd: NanoUsd } | undefined {
  const match = /^-?\d{1,12}(?:\.(\d{1,20}))?$/.exec(text.trim());
  const cost = match === null ? undefined : parseDecimal(text, scale);
  if (cost === undefined) return undefined;
  const decimals = match?.[1]?.length ?? 0;
  return { costNanoUsd: nanoUsd(cost), roundingNanoUsd: nanoUsd(decimals > scale ? 1n : 10n ** BigInt(scale - decimals) / 2n + 1n) };
}
