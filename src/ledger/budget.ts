/**
 * A budget: a cap on what a scope may spend in a window. Which budgets bind an attempt is decided here; whether there is room,
 * in `ledger.ts`.
 */
import type { NanoUsd } from "../kernel/money.ts";
import { idOf, kindOf, membershipsOf, type Membership, type Scope, type ScopeKind, type Spender } from "./scope.ts";
import type { Window } from "./window.ts";

export interface Budget {
  /** Unique, and the same over restarts: what was spent is kept under it. */
  readonly id: string;
  /** One scope, or with `*` each scope of a kind. */
  readonly scope: Scope | `${Exclude<ScopeKind, "global">}:*`;
  /** `pool`: the scope shares it. `member`: each user in the scope has its own, unless a nearer one is set. */
  readonly per: "pool" | "member";
  /** ≥ 0; 0 lets nothing through. */
  readonly amountNanoUsd: NanoUsd;
  readonly window: Window;
  /** `strict` holds the most a call can cost, `incremental` what it is expected to and more as it grows. */
  readonly mode: "incremental" | "strict";
  /** What happens to running replies once it is spent: they end within the overrun, or are cut at once. */
  readonly onExhausted: "finish" | "cut";
  /** ≥ 0; what running replies may take beyond the amount, all together. 0 for `strict` and `cut`. */
  readonly overrunMaxNanoUsd: NanoUsd;
  /** Served instead where this budget has no room. */
  readonly downgradeModel: string | undefined;
  /** Shares of the amount, per cent, ascending, at each of which its owner is told once a window. */
  readonly warnAtPercent: readonly number[];
  /** Whom to ask, for the refusal's sentence. */
  readonly contact: string | undefined;
}

/** The larger of 2 % of the amount and half a dollar. */
export function defaultOverrun(amountNanoUsd: NanoUsd): NanoUsd {
  const share = amountNanoUsd / 50n;
  return (share > 500_000_000n ? share : 500_000_000n) as NanoUsd;
}

/** A budget as it binds one scope. */
export interface Binding {
  readonly budget: Budget;
  readonly scope: Scope;
}

/** Finds the budgets of a scope. */
export interface BudgetBook {
  /** All, with those that {@link BudgetBook.setOwn} gave. */
  all(): readonly Budget[];
  /** All that bind an attempt of this spender, in the order of its scopes. */
  bindings(spender: Spender): readonly Binding[];
  /** Gives a scope budgets of its own in place of earlier ones, as a key's own settings do; they come before all others. */
  setOwn(scope: Scope, budgets: readonly Budget[]): void;
}

const none: readonly Budget[] = [];
const nothing: readonly Binding[] = [];

export function createBudgetBook(budgets: readonly Budget[]): BudgetBook {
  const pools = groupBy(budgets.filter(({ per }) => per === "pool"));
  const defaults = groupBy(budgets.filter(({ per }) => per === "member"));
  const kinds = new Set(budgets.map(({ per, scope }) => (per === "pool" ? kindOf(scope as Scope) : kindOf(scope as Scope) === "team" ? "team_user" : "user")));
  const ownByScope = new Map<string, readonly Budget[]>();

  /** The nearest that has any: the scope's own, its group's for members, every scope's of its kind. */
  const nearest = ({ scope, inheritsFrom }: Membership): readonly Budget[] => {
    const own = ownByScope.get(scope) ?? pools.get(scope);
    if (own !== undefined) return own;
    for (const group of inheritsFrom) {
      const inherited = defaults.get(group) ?? (idOf(group) === "" ? undefined : defaults.get(`${kindOf(group)}:*`));
      if (inherited !== undefined) return inherited;
    }
    return pools.get(`${kindOf(scope)}:*`) ?? none;
  };
  return {
    all: () => [...budgets, ...[...ownByScope.values()].flat()],
    setOwn(scope, own) {
      if (own.length === 0) ownByScope.delete(scope);
      else ownByScope.set(scope, own);
      kinds.add(kindOf(scope));
    },
    bindings(spender) {
      if (budgets.length === 0 && ownByScope.size === 0) return nothing;
      const bindings: Binding[] = [];
      for (const membership of membershipsOf(spender, kinds)) for (const budget of nearest(membership)) bindings.push({ budget, scope: membership.scope });
      return bindings;
    },
  };
}

function groupBy(budgets: readonly Budget[]): ReadonlyMap<string, readonly Budget[]> {
  const groups = new Map<string, Budget[]>();
  for (const budget of budgets) {
    const group = groups.get(budget.scope);
    if (group === undefined) groups.set(budget.scope, [budget]);
    else group.push(budget);
  }
  return groups;
}
