/** `GET /api/v1/budgets`: what each budget's scopes have spent and hold. Money is decimal US dollars in strings. */
import type { BalanceState, Hold, Ledger } from "../ledger/ledger.ts";
import { describeBudget } from "../ledger/window-text.ts";
import { formatUsd, nanoUsd } from "../kernel/money.ts";
import { isoOrNull } from "./durations.ts";
import type { AdminHandler } from "./handler.ts";

/** Balances, largest share used first, and under `holds` the calls that run, oldest first. */
export function createBudgetsHandler(ledger: Pick<Ledger, "balances" | "holds">): AdminHandler {
  return ({ nowMs }) =>
    Promise.resolve({
      status: 200,
      body: {
        budgets: ledger.balances(nowMs).toSorted(byShareUsed).map((state) => budgetRow(state, nowMs)),
        holds: ledger.holds().map(holdRow),
      },
    });
}

/** One budget of one scope. `left_usd` is what a new call may take, never below zero. */
export function budgetRow({ budget, scope, settled, held, estimated, unresolved, endMs }: BalanceState, nowMs: number): Readonly<Record<string, unknown>> {
  const left = budget.amountNanoUsd - settled - held;
  return {
    id: budget.id,
    scope,
    window: describeBudget(budget.window, nowMs),
    mode: budget.mode,
    on_exhausted: budget.onExhausted,
    amount_usd: usd(budget.amountNanoUsd),
    overrun_max_usd: usd(budget.overrunMaxNanoUsd),
    spent_usd: usd(settled),
    estimated_usd: usd(estimated),
    unresolved_usd: usd(unresolved),
    held_usd: usd(held),
    left_usd: usd(left > 0n ? left : 0n),
    resets_at: isoOrNull(endMs),
  };
}

function holdRow({ attemptId, spender, amount, heldSinceMs, lines }: Hold): Readonly<Record<string, unknown>> {
  return { attempt_id: attemptId, request_id: spender.requestId ?? null, key_id: spender.keyId, model: spender.model, held_usd: usd(amount), since: isoOrNull(heldSinceMs), budgets: lines.map(({ balance }) => balance.budget.id) };
}

function byShareUsed(a: BalanceState, b: BalanceState): number {
  const share = ({ budget, settled, held }: BalanceState): number => (budget.amountNanoUsd === 0n ? Number.POSITIVE_INFINITY : Number(settled + held) / Number(budget.amountNanoUsd));
  return share(b) - share(a);
}

function usd(amount: bigint): string {
  return formatUsd(nanoUsd(amount));
}
