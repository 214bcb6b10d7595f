/** Which budgets have been spent up to a share at which somebody wants to be told: once for each share, scope and window. */
import type { NanoUsd } from "../kernel/money.ts";
import { formatUsd } from "../kernel/money.ts";
import type { BalanceState } from "./ledger.ts";
import { describeBudget } from "./window-text.ts";
import { windowAt } from "./window.ts";

/** A share that was crossed. */
export interface BudgetWarning {
  /** The same for the same crossing, also in another process. */
  readonly id: string;
  readonly atMs: number;
  /** Of a window that slides: a crossing of the same name before this is another one. 0 for others, whose windows are in the id. */
  readonly isNewAfterMs: number;
  /** What the webhook is told, without what changes from one try to the next. */
  readonly event: BudgetEvent;
}

/** Money is decimal US dollars in strings, times are ISO 8601 in UTC. */
export interface BudgetEvent {
  readonly type: "budget.threshold_crossed";
  readonly created_at: string;
  readonly budget_id: string;
  readonly scope: string;
  readonly window: string;
  readonly threshold_percent: number;
  readonly spent_usd: string;
  readonly amount_usd: string;
  /** Null for never. */
  readonly resets_at: string | null;
}

/** Of what is settled, not of what is held: that may come back. */
export function crossedWarnings(states: readonly BalanceState[], nowMs: number): readonly BudgetWarning[] {
  const warnings: BudgetWarning[] = [];
  for (const state of states) {
    const { budget, settled } = state;
    // A budget of nothing is shut on purpose, unless it shuts nothing.
    if (settled === 0n || (budget.amountNanoUsd === 0n && budget.mode !== "advisory")) continue;
    for (const percent of budget.warnAtPercent) if (settled * 100n >= budget.amountNanoUsd * BigInt(percent)) warnings.push(warningOf(state, percent, nowMs));
  }
  return warnings;
}

function warningOf({ budget, scope, settled, endMs }: BalanceState, percent: number, nowMs: number): BudgetWarning {
  const span = windowAt(budget.window, nowMs);
  const isRolling = budget.window.rule.kind === "rolling";
  return {
    id: `${budget.id} ${isRolling ? budget.window.key : span.id} ${scope} ${percent}`,
    atMs: nowMs,
    isNewAfterMs: isRolling ? span.countsFromMs : 0,
    event: {
      type: "budget.threshold_crossed",
      created_at: new Date(nowMs).toISOString(),
      budget_id: budget.id,
      scope,
      window: describeBudget(budget.window, nowMs),
      threshold_percent: percent,
      spent_usd: formatUsd(settled as NanoUsd),
      amount_usd: formatUsd(budget.amountNanoUsd),
      resets_at: endMs === null ? null : new Date(endMs).toISOString(),
    },
  };
}
