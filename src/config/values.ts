/** Kinds of value that an operator writes: durations, sizes, prices, whole numbers. Each says in one sentence what it takes. */
import { isIP } from "node:net";
import { z } from "zod";
import { failOpenMsMax, failOpenSharePpmMax } from "../kernel/bounds.ts";
import { isHeaderValue } from "../kernel/header-rules.ts";
import { nanoUsd, parseDecimal, type NanoUsd } from "../kernel/money.ts";
import type { PriceOverride } from "./gateway-config.ts";

/** Timers of Node.js end at 2^31 - 1 ms. */
const durationMsMax = 2_147_483_647;
const millisecondsOf = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `250ms`, `5s`, `2m`, `1.5h`, or a number of milliseconds; undefined when it is none, or not above 0. */
export function parseDuration(value: string | number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(ms|s|m|h)?$/.exec(String(value).trim());
  if (match === null) return undefined;
  const ms = Math.round(Number(match[1]) * millisecondsOf[(match[2] ?? "ms") as keyof typeof millisecondsOf]);
  return ms >= 1 && ms <= durationMsMax ? ms : undefined;
}

/** The shortest way to write a duration. */
export function formatDuration(ms: number): string {
  for (const [unit, size] of [["h", 3_600_000], ["m", 60_000], ["s", 1_000]] as const) if (ms % size === 0) return `${ms / size}${unit}`;
  return `${ms}ms`;
}

const dayMs = 86_400_000;
const retentionDaysMax = 36_500;

/** `90d` or `12w`, as milliseconds; undefined when it is none, below a day, or above a hundred years. */
export function parseRetention(value: string | number): number | undefined {
  const match = /^(\d{1,5}) ?([dw])$/.exec(String(value).trim());
  if (match === null) return undefined;
  const days = Number(match[1]) * (match[2] === "w" ? 7 : 1);
  return days >= 1 && days <= retentionDaysMax ? days * dayMs : undefined;
}

const bytesOf = { B: 1, KB: 1_000, MB: 1_000_000, GB: 1_000_000_000, KIB: 1_024, MIB: 1_048_576, GIB: 1_073_741_824 } as const;

/** `32MiB`, `500KB`, or a number of bytes; undefined when it is none, or not above 0. */
export function parseSize(value: string | number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([KMG]i?B|B)?$/i.exec(String(value).trim());
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * bytesOf[(match[2] ?? "B").toUpperCase() as keyof typeof bytesOf]);
  return bytes >= 1 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Above any true price by orders of magnitude: catches dollars per token written as dollars per million, and the reverse. */
const priceMicroUsdMax = 1_000_000n * 1_000_000n;

/** Dollars per million tokens as µUSD per million tokens, exact; undefined when it is no such number, or below 0. */
export function parsePrice(value: string | number): bigint | undefined {
  const price = parseDecimal(String(value), 6);
  return price === undefined || price < 0n || price > priceMicroUsdMax ? undefined : price;
}

/** Dollars as nano-USD, rounded up beyond nine decimals; undefined when it is no such number, below 0, or above a billion. */
export function parseDollarAmount(value: string | number): NanoUsd | undefined {
  const amount = parseDecimal(String(value), 9);
  return amount === undefined || amount < 0n || amount > 1_000_000_000n * 1_000_000_000n ? undefined : nanoUsd(amount);
}

/** A schema that reads a string or number with `parse`. */
function read<Value>(title: string, message: string, parse: (value: string | number) => Value | undefined) {
  return z
    .union([z.string(), z.number()], { error: message })
    .transform((value, context): Value => {
      const parsed = parse(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .meta({ title });
}

/** Milliseconds. */
export const duration = read("duration", "must be a duration such as `500ms`, `5s` or `2m`, or a number of milliseconds above 0", parseDuration);
/** Milliseconds, whole days. */
export const retention = read("duration", "must be whole days or weeks such as `90d` or `12w`", parseRetention);
/** Milliseconds, as long as calls may go on at all while the store cannot be written. */
export const outageDuration = duration.refine((ms) => ms <= failOpenMsMax, `must be at most ${formatDuration(failOpenMsMax)}`);
/** Parts per million, of a part of an amount that may go on while the store cannot be written. */
export const outageShare = read("per cent", `must be per cent, above 0 and at most ${Number(failOpenSharePpmMax) / 10_000}`, (value) => {
  const ppm = parseDecimal(String(value).replace(/ ?%$/, ""), 4);
  return ppm === undefined || ppm <= 0n || ppm > failOpenSharePpmMax ? undefined : ppm;
});
/** Bytes. */
export const size = read("size", "must be a size such as `32MiB`, or a number of bytes above 0", parseSize);
/** µUSD per million tokens. */
export const price = read("price", "must be US dollars per million tokens, from 0 to 1000000", parsePrice);
/** Nano-USD. Beyond nine billion dollars the ledger's column ends. */
export const dollarAmount = read("US dollars", "must be US dollars, from 0 to 1000000000", parseDollarAmount);
/** Parts per million. */
export const multiplier = read("factor", "must be a factor from 0 to 1000 with at most six decimals", (value) => {
  const ppm = parseDecimal(String(value), 6);
  return ppm === undefined || ppm < 0n || ppm > 1_000_000_000n ? undefined : ppm;
});

/** Parts per million of what something costs with so many per cent on top. */
export const marginPercent = read("per cent", "must be per cent from 0 to 1000 with at most four decimals", (value) => {
  const ppm = parseDecimal(String(value).replace(/ ?%$/, ""), 4);
  return ppm === undefined || ppm < 0n || ppm > 10_000_000n ? undefined : Number(1_000_000n + ppm);
});

/** A whole number; as a string too, since `${PORT}` gives one. */
export const integer = (min: number, max: number) =>
  read("integer", `must be a whole number from ${min} to ${max}`, (value) => {
    const number = Number(value);
    return /^\d+$/.test(String(value).trim()) && number >= min && number <= max ? number : undefined;
  });

/** Yes or no; as a string too, since `${NAME}` gives one. */
export const flag = z
  .union([z.boolean(), z.enum(["true", "false"])], { error: "must be true or false" })
  .transform((value) => value === true || value === "true")
  .meta({ title: "boolean" });

/** A string that is not empty. */
export const text = z.string({ error: "must be a string" }).min(1, "must not be empty");

/** An address or a block of them. */
export const addressBlock = text.refine((value) => {
  const [address = "", prefix, ...rest] = value.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 6 ? 128 : 32));
}, "must be an IP address, or a block such as `10.0.0.0/8`");

/** Visible characters, spaces and tabs: what a header's value may hold. */
export const headerValue = text.refine((value) => isHeaderValue(value), "must be one line of characters that HTTP headers allow");

/** Prices of a model; a missing member keeps the price book's. */
export const prices = z
  .strictObject({
    input: price.optional().meta({ title: "price", description: "Input tokens, in US dollars per million." }),
    output: price.optional().meta({ title: "price", description: "Output tokens." }),
    cache_read: price.optional().meta({ title: "price", description: "Input read from the prompt cache." }),
    cache_write_5m: price.optional().meta({ title: "price", description: "Input written to the prompt cache for five minutes." }),
    cache_write_1h: price.optional().meta({ title: "price", description: "Input written to the prompt cache for an hour." }),
  })
  .transform(
    (own): PriceOverride => ({
      ...(own.input === undefined ? {} : { input: own.input }),
      ...(own.output === undefined ? {} : { output: own.output }),
      ...(own.cache_read === undefined ? {} : { cacheRead: own.cache_read }),
      ...(own.cache_write_5m === undefined ? {} : { cacheWrite5m: own.cache_write_5m }),
      ...(own.cache_write_1h === undefined ? {} : { cacheWrite1h: own.cache_write_1h }),
    }),
  );
