/** Values that several of LiteLLM's bodies have, checked alike. */
import { z } from "zod";
import { modelNameLengthMax } from "../../kernel/bounds.ts";
import type { KeyCap } from "../../identity/key-store.ts";
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

/** Of a model that a key may be about. */
export const modelName = z.string().min(1, "it must not be empty").max(modelNameLengthMax, `it must have at most ${modelNameLengthMax} characters`);
/** Both spellings that LiteLLM has had (BerriAI/litellm, `BudgetConfig` and `BudgetLimitEntry`, as of 1.104); when it resets follows from the span. */
export const cap = z
  .strictObject({ max_budget: dollars.nullish(), budget_limit: dollars.nullish(), budget_duration: z.string("it must be a span such as 1d").nullish(), time_period: z.string("it must be a span such as 1d").nullish(), reset_at: z.unknown().optional() }, "it must be an object with max_budget and budget_duration")
  .transform((wire, context): KeyCap => {
    const maxBudgetUsd = wire.max_budget ?? wire.budget_limit;
    if (maxBudgetUsd !== undefined && maxBudgetUsd !== null) return { maxBudgetUsd, budgetDuration: wire.budget_duration ?? wire.time_period ?? null };
    context.addIssue({ code: "custom", message: "max_budget is needed, an amount in dollars" });
    return z.NEVER;
  });
/** Caps by the model's public name. */
export const modelBudgets = z.record(modelName, cap, "it must be an object of models and caps");

/** The object without its undefined members: in a change, an absent member means "as it was". */
export function withoutAbsent<Fields extends object>(fields: Fields): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
