/** A key's own budget: LiteLLM's `max_budget` with its `budget_duration`, as the key's record has them. */
import { nanoUsd, parseUsd } from "../kernel/money.ts";
import { defaultOverrun, type Budget } from "./budget.ts";
import type { Window } from "./window.ts";
import { parseWindow } from "./window-words.ts";

/** The part of a key's record that this is about. */
export interface KeyBudgetFields {
  readonly id: string;
  /** Decimal US dollars; null for no budget, `0` for one of nothing. */
  readonly maxBudgetUsd: string | null;
  /** Null: for the key's whole life. */
  readonly budgetDuration: string | null;
}

/** At most one; a duration that cannot be read, which no door lets in, binds for the key's whole life rather than not at all. */
export function keyBudgets({ id, maxBudgetUsd, budgetDuration }: KeyBudgetFields): readonly Budget[] {
  if (maxBudgetUsd === null) return [];
  const amountNanoUsd = parseUsd(maxBudgetUsd) ?? nanoUsd(0n);
  return [
    {
      id: `key ${id}`,
      scope: `key:${id}`,
      per: "pool",
      amountNanoUsd,
      window: windowOf(budgetDuration),
      mode: "incremental",
      onExhausted: "finish",
      overrunMaxNanoUsd: amountNanoUsd === 0n ? nanoUsd(0n) : defaultOverrun(amountNanoUsd),
      downgradeModel: undefined,
      warnAtPercent: [75, 95],
      contact: undefined,
    },
  ];
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
