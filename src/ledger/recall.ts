/**
 * Makes balances of sessions and runs known when a call of theirs comes. There is no end of them, so they are neither all read at the
 * start nor all kept: what they have spent is in the attempts' rows.
 */
import type { Balance } from "./balance.ts";
import { isRecalled, type Balances } from "./balances.ts";
import type { Binding, BudgetBook } from "./budget.ts";
import type { Spent } from "./ledger.ts";
import type { Scope, Spender } from "./scope.ts";
import { windowAt } from "./window.ts";

/**
 * What attempts of a session's or run's scope have spent that began at `sinceMs` or later and have ended. All that was given to the
 * journal before the call is in it, and nothing that was given later.
 */
export type ReadSpent = (scope: Scope, sinceMs: number) => Promise<readonly Spent[]>;

export interface Recall {
  /** Undefined when nothing has to be read. */
  of(spender: Spender, nowMs: number): Promise<void> | undefined;
  /** Call for each amount as it ends: what ends while a reading is under way is not in it. */
  note(spent: Spent): void;
  /** The budgets are other ones now: what is being read for the old ones is of no use. */
  forget(): void;
}

export interface RecallOptions {
  readonly book: BudgetBook;
  readonly balances: Balances;
  /** Absent: there is nothing to read. */
  readonly readSpent: ReadSpent | undefined;
  /** Puts what was spent, and what runs, into balances of a scope that have just been made. */
  readonly fill: (scope: Scope, own: readonly Balance[], spent: readonly Spent[]) => void;
}

interface Reading {
  readonly done: Promise<void>;
  readonly late: Spent[];
}

/** A clock that is set back by this much finds what was spent in the windows it comes back to. */
const clockSlackMs = 86_400_000;

export function createRecall({ book, balances, readSpent, fill }: RecallOptions): Recall {
  const readings = new Map<Scope, Reading>();
  if (readSpent === undefined) return { of: () => undefined, note: () => {}, forget: () => {} };

  const read = (scope: Scope, unknown: readonly Binding[], nowMs: number): Promise<void> => {
    const late: Spent[] = [];
    const sinceMs = Math.min(...unknown.map(({ budget }) => windowAt(budget.window, Math.max(0, nowMs - clockSlackMs)).countsFromMs));
    const done = readSpent(scope, Math.max(0, sinceMs))
      .then((spent) => {
        if (readings.get(scope)?.late !== late) return;
        const missing = unknown.filter((binding) => !balances.has(binding));
        fill(scope, missing.map((binding) => balances.of(binding, nowMs)), [...spent, ...late]);
      })
      .finally(() => {
        if (readings.get(scope)?.late === late) readings.delete(scope);
      });
    readings.set(scope, { done, late });
    return done;
  };
  return {
    of(spender, nowMs) {
      if (!book.mayBind("session") && !book.mayBind("run")) return undefined;
      const unknown = book.bindings(spender).filter((binding) => isRecalled(binding.scope) && !balances.has(binding));
      if (unknown.length === 0) return undefined;
      const waiting = [...Map.groupBy(unknown, ({ scope }) => scope)].map(([scope, own]) => readings.get(scope)?.done ?? read(scope, own, nowMs));
      return Promise.all(waiting).then(() => undefined);
    },
    forget: () => readings.clear(),
    note(spent) {
      for (const [scope, { late }] of readings) if (book.includes(scope, spent.spender)) late.push(spent);
    },
  };
}
