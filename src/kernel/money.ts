/**
 * Money in integers. A price is µUSD per million tokens, so price × tokens is pico-USD with no rounding; the ledger keeps
 * nano-USD, rounded up once per attempt. No float ever holds an amount.
 */

/** 1e-12 USD, exact. */
export type PicoUsd = bigint & { readonly unit: "pico-USD" };
/** 1e-9 USD, the ledger's unit. A signed 64-bit range is about ±9.2 billion USD. */
export type NanoUsd = bigint & { readonly unit: "nano-USD" };

export const picoUsd = (value: bigint): PicoUsd => value as PicoUsd;
export const nanoUsd = (value: bigint): NanoUsd => value as NanoUsd;

/** Rounds towards positive infinity: a cost is never booked too low. */
export function nanoFromPico(amount: PicoUsd): NanoUsd {
  const quotient = amount / 1000n;
  return nanoUsd(amount % 1000n > 0n ? quotient + 1n : quotient);
}

/** What is charged for a cost: with a margin, in parts per million of the cost (1 000 000: the cost itself), rounded up once. */
export function charged(cost: bigint, marginPpm: number | undefined): bigint {
  if (marginPpm === undefined || marginPpm === 1_000_000) return cost;
  const product = cost * BigInt(marginPpm);
  return product > 0n ? (product + 999_999n) / 1_000_000n : product / 1_000_000n;
}

/** Decimal dollars, exact, with at least `fractionDigits` and at most nine digits after the point; for people and JSON strings. */
export function formatUsd(amount: NanoUsd, fractionDigits = 2): string {
  const negative = amount < 0n;
  const magnitude: bigint = amount;
  const digits = (negative ? -magnitude : magnitude).toString().padStart(10, "0");
  const whole = digits.slice(0, -9);
  let fraction = digits.slice(-9);
  while (fraction.length > fractionDigits && fraction.endsWith("0")) fraction = fraction.slice(0, -1);
  return `${negative ? "-" : ""}${whole}${fraction === "" ? "" : `.${fraction}`}`;
}

/** A number for JSON members that LiteLLM's clients expect to be floats. Display only, never read back. */
export function usdNumber(amount: NanoUsd): number {
  return Number(formatUsd(amount, 0));
}

/**
 * Reads a decimal dollar amount exactly, rounding up beyond nano-USD.
 *
 * @param text what an operator wrote: digits, optional point, optional exponent (`3e-06`)
 * @returns undefined when it is not such a number
 */
export function parseUsd(text: string): NanoUsd | undefined {
  const scaled = parseDecimal(text, 9);
  return scaled === undefined ? undefined : nanoUsd(scaled);
}

/**
 * A decimal as an integer of 10^-`scale`, exact, rounded up if it has more digits.
 *
 * @returns undefined when `text` is not a decimal number, or its exponent is beyond ±40
 */
export function parseDecimal(text: string, scale: number): bigint | undefined {
  const match = /^([+-]?)(\d{1,30})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text.trim());
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = "", exponentText = "0"] = match;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > 40) return undefined;
  const digits = BigInt(whole + fraction);
  const shift = scale - fraction.length + exponent;
  let value: bigint;
  if (shift >= 0) value = digits * 10n ** BigInt(shift);
  else {
    const divisor = 10n ** BigInt(-shift);
    value = digits / divisor;
    if (sign !== "-" && digits % divisor > 0n) value += 1n;
  }
  return sign === "-" ? -value : value;
}
