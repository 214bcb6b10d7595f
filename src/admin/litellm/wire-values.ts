/** Values that several of LiteLLM's bodies have, checked alike. */
import { z } from "zod";
import { parseUsd } from "../../kernel/money.ts";

/** Characters of a name. */
export const nameLengthMax = 256;
/** The ledger's 64-bit range. */
const nanoUsdMax = 2n ** 63n - 1n;

/** Name of an object, not empty. */
export const name = z.string().min(1, "it must not be empty").max(nameLengthMax, `it must have at most ${nameLengthMax} characters`);
/** A limit. */
export const count = z.number("it must be a whole number of at least 0").int("it must be a whole number").min(0, "it must be at least 0").max(Number.MAX_SAFE_INTEGER, "it is too large");
/** An amount as text, within the ledger's range. */
export const dollars = z
  .union([z.number(), z.string()], "it must be an amount in dollars")
  .transform(String)
  .refine((text) => {
    const amount = parseUsd(text);
    return amount !== undefined && amount >= 0n && amount <= nanoUsdMax;
  }, "it must be an amount in dollars, at least 0");

/** The object without its undefined members: in a change, an absent member means "as it was". */
export function withoutAbsent<Fields extends object>(fields: Fields): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
