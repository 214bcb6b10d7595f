/**
 * A budget: a cap on what a scope may spend in a window. Which budgets bind an attempt is decided here; whether there is room,
 * in `ledger.ts`.
 */
import type { NanoUsd } from "../kernel/money.ts";
import { idOf, kindOf, memberKindOf, membershipsOf, type Membership, type Scope, type ScopeKind, type Spender, type UserBudget } from "./scope.ts";
import type { Window } from "./window.ts";

export interface Budget {
  /** Unique, and the same over restarts: what was spent is kept under it. */
  readonly id: string;
  /** One scope, or with `*` each scope of a kind. */
  readonly scope: Scope | `${Exclude<ScopeKind, "global">}:*`;
  /** `pool`: the scope shares it. `member`: each user in the scope, or each run of a key, has its own, unless a nearer one is set. */
  readonly per: "pool" | "member";
  /** ≥ 0; 0 lets nothing through. */
  readonly amountNanoUsd: NanoUsd;
  readonly window: Window;
  /** `strict` holds the most a call can cost, `incremental` what it is expected to and more as it grows; `advisory` counts alike and has room for everything. */
  readonly mode: "incremental" | "strict" | "advisory";
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
  /** What may go on under it while the store cannot be written; absent: nothing. */
  readonly failOpen?: FailOpen;
}

/** How far a budget lets calls go on that the store cannot record. */
export interface FailOpen {
  /** Parts per million of the amount, > 0, for each outage and each scope of the budget. */
  readonly sharePpm: bigint;
  /** From the beginning of the outage, milliseconds. */
  readonly forMs: number;
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

/** What a new configuration says of budgets. */
export interface BookChange {
  readonly budgets: readonly Budget[];
  readonly userBudget: UserBudget;
  /** Of scopes whose own budgets change with it; an empty list takes them away. Others keep theirs. */
  readonly own: ReadonlyMap<Scope, readonly Budget[]>;
}

/** Finds the budgets of a scope. */
export interface BudgetBook {
  /** All, with those that {@link BudgetBook.setOwn} gave. */
  all(): readonly Budget[];
  /** Those in force that name their one scope, whether or not anybody has spent under it. */
  named(): readonly Binding[];
  /** All that bind an attempt of this spender, in the order of its scopes. */
  bindings(spender: Spender): readonly Binding[];
  /** Gives a scope budgets of its own in place of earlier ones, as a key's own settings do; they come before all others. */
  setOwn(scope: Scope, budgets: readonly Budget[]): void;
  /** Puts the budgets of another configuration in the place of this one's. */
  configure(change: BookChange): void;
  /** Scopes that have budgets of their own now. */
  ownScopes(): readonly Scope[];
  /** Whether budgets of some kind of scope may bind. */
  mayBind(kind: ScopeKind): boolean;
  /** Whether a spender's money counts under a scope. */
  includes(scope: Scope, spender: Spender): boolean;
}

const none: readonly Budget[] = [];
const nothing: readonly Binding[] = [];

export function createBudgetBook(configured: readonly Budget[], userBudgetAtFirst: UserBudget = "all"): BudgetBook {
  let budgets = configured;
  let userBudget = userBudgetAtFirst;
  let pools = groupBy(budgets.filter(({ per }) => per === "pool"));
  let defaults = groupBy(budgets.filter(({ per }) => per === "member"));
  let kinds = new Set(budgets.map(kindBoundBy));
  const ownByScope = new Map<string, readonly Budget[]>();
  const ownDefaults = new Map<string, readonly Budget[]>();

  /** The nearest that has any: the scope's own, its group's for members, every scope's of its kind. */
  const nearest = ({ scope, inheritsFrom }: Membership): readonly Budget[] => {
    const own = ownByScope.get(scope) ?? pools.get(scope);
    if (own !== undefined) return own;
    for (const group of inheritsFrom) {
      const inherited = ownDefaults.get(group) ?? defaults.get(group) ?? (idOf(group) === "" ? undefined : defaults.get(`${kindOf(group)}:*`));
      if (inherited !== undefined) return inherited;
    }
    return pools.get(`${kindOf(scope)}:*`) ?? none;
  };
  /** Of the last spender: whether anything binds a call is asked right before what does. */
  let last: { readonly spender: Spender; readonly bindings: readonly Binding[] } | undefined;
  const setOwn: BudgetBook["setOwn"] = (scope, own) => {
    setUnlessEmpty(ownByScope, scope, own.filter(({ per }) => per === "pool"));
    setUnlessEmpty(ownDefaults, scope, own.filter(({ per }) => per === "member"));
    for (const each of own) kinds.add(kindBoundBy(each));
    last = undefined;
  };
  const all = (): readonly Budget[] => [...budgets, ...[...ownByScope.values(), ...ownDefaults.values()].flat()];
  return {
    named() {
      const inForce = new Map([...pools, ...ownByScope]);
      return [...inForce].flatMap(([scope, own]) => (idOf(scope as Scope) === "*" ? [] : own.map((budget) => ({ budget, scope: scope as Scope }))));
    },
    all,
    setOwn,
    configure(change) {
      ({ budgets, userBudget } = change);
      pools = groupBy(budgets.filter(({ per }) => per === "pool"));
      defaults = groupBy(budgets.filter(({ per }) => per === "member"));
      for (const [scope, own] of change.own) setOwn(scope, own);
      kinds = new Set(all().map(kindBoundBy));
      last = undefined;
    },
    ownScopes: () => [...new Set([...ownByScope.keys(), ...ownDefaults.keys()])] as Scope[],
    mayBind: (kind) => kinds.has(kind),
    includes: (scope, spender) => membershipsOf(spender, new Set([kindOf(scope)]), userBudget).some((membership) => membership.scope === scope),
    bindings(spender) {
      if (budgets.length === 0 && ownByScope.size === 0 && ownDefaults.size === 0) return nothing;
      if (last?.spender === spender) return last.bindings;
      const bindings: Binding[] = [];
      for (const membership of membershipsOf(spender, kinds, userBudget)) for (const budget of nearest(membership)) bindings.push({ budget, scope: membership.scope });
      last = { spender, bindings };
      return bindings;
    },
  };
}

/** Whether what was counted under one is what counts under the other. */
export function isSameBudget(a: Budget, b: Budget): boolean {
  return a.id === b.id && a.window.key === b.window.key && a.scope === b.scope && a.per === b.per && (a.mode === "strict") === (b.mode === "strict");
}

/** The kind of the scopes that a budget binds. */
export function kindBoundBy({ per, scope }: Budget): ScopeKind {
  return per === "pool" ? kindOf(scope as Scope) : memberKindOf(scope as Scope);
}

function setUnlessEmpty(map: Map<string, readonly Budget[]>, scope: Scope, budgets: readonly Budget[]): void {
  if (budgets.length === 0) map.delete(scope);
  else map.set(scope, budgets);
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
