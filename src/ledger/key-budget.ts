/**
 * A key's own budgets, as its record has them: LiteLLM's `max_budget` and `soft_budget` with their `budget_duration`, `budget_limits`,
 * `model_max_budget`, and one for each of its runs.
 */
import { nanoUsd, parseUsd } from "../kernel/money.ts";
import { defaultOverrun, type Budget } from "./budget.ts";
import type { Scope } from "./scope.ts";
import type { Window } from "./window.ts";
import { parseWindow } from "./window-words.ts";

/** The part of a key's record that this is about. */
export interface KeyBudgetFields {
  readonly id: string;
  /** Decimal US dollars; null for no budget, `0` for one of nothing. */
  readonly maxBudgetUsd: string | null;
  /** Null: for the key's whole life. */
  readonly budgetDuration: string | null;
  /** Decimal US dollars of which somebody is told, without an effect on calls; null or absent for none. */
  readonly softBudgetUsd?: string | null;
  /** Further caps, each with its own window. */
  readonly budgetLimits?: readonly KeyCapFields[];
  /** By the model's public name. */
  readonly modelBudgets?: Readonly<Record<string, KeyCapFields>>;
  /** Decimal US dollars for each run; null or absent for no budget. */
  readonly runBudgetUsd?: string | null;
}

/** Dollars and window, as above. */
export interface KeyCapFields {
  readonly maxBudgetUsd: string;
  readonly budgetDuration: string | null;
}

/** Of the scopes `key:ID` and `key_model:ID/MODEL`; a duration that cannot be read, which no door lets in, binds for the key's whole life rather than not at all. */
export function keyBudgets({ id, maxBudgetUsd, budgetDuration, softBudgetUsd = null, budgetLimits = [], modelBudgets = {}, runBudgetUsd = null }: KeyBudgetFields): readonly Budget[] {
  const own = { scope: `key:${id}`, mode: "incremental", onExhausted: "finish", downgradeModel: undefined, warnAtPercent: [75, 95], contact: undefined } as const;
  return [
    ...(maxBudgetUsd === null ? [] : [{ ...own, ...amountOf(maxBudgetUsd), id: `key ${id}`, per: "pool", window: windowOf(budgetDuration) } as const]),
    ...(softBudgetUsd === null ? [] : [{ ...own, ...amountOf(softBudgetUsd), id: `soft budget of key ${id}`, per: "pool", window: windowOf(budgetDuration), mode: "advisory", warnAtPercent: [100] } as const]),
    ...budgetLimits.map((cap) => ({ ...own, ...amountOf(cap.maxBudgetUsd), id: `key ${id}, ${cap.budgetDuration ?? "lifetime"}`, per: "pool", window: windowOf(cap.budgetDuration) }) as const),
    ...Object.entries(modelBudgets).map(([model, cap]) => ({ ...own, ...amountOf(cap.maxBudgetUsd), scope: modelScope(id, model), id: `key ${id}, ${model}`, per: "pool", window: windowOf(cap.budgetDuration) }) as const),
    ...(runBudgetUsd === null ? [] : [{ ...own, ...amountOf(runBudgetUsd), id: `runs of key ${id}`, per: "member", window: windowOf(null) } as const]),
  ];
}

function modelScope(id: string, model: string): Scope {
  return `key_model:${id}/${model}`;
}

/** Whether a scope is one that a key's own caps may have. */
export function isOwnScope(id: string, scope: Scope): boolean {
  return scope === `key:${id}` || scope.startsWith(`key_model:${id}/`);
}

function amountOf(dollars: string): Pick<Budget, "amountNanoUsd" | "overrunMaxNanoUsd"> {
  const amountNanoUsd = parseUsd(dollars) ?? nanoUsd(0n);
  return { amountNanoUsd, overrunMaxNanoUsd: amountNanoUsd === 0n ? nanoUsd(0n) : defaultOverrun(amountNanoUsd) };
}

/** Keys share windows, so that each is worked out once. */
const windows = new Map<string, Window>();
/** Durations are the operator's; this many different ones are none. */
const windowsMax = 1_000;

function windowOf(duration: string | null): Window {
  const known = windows.get(duration ?? "");
  if (known !== undefined) return known;
  const parsed = duration === null ? undefined : parseWindow(duration);
  const window = parsed !== undefined && "window" in parsed ? parsed.window : lifetime();
  if (windows.size < windowsMax) windows.set(duration ?? "", window);
  return window;
}

function lifetime(): Window {
  const parsed = parseWindow("lifetime");
  if ("window" in parsed) return parsed.window;
  throw new Error(parsed.fault);
}
