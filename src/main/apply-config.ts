/** Puts a valid configuration in force: everything that can fail comes first, then all of it changes between two requests. */
import type { ManagedBudgets } from "../admin/managed-budgets.ts";
import { comparable } from "../config/diff.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Clock } from "../kernel/clock.ts";
import { isSame } from "../kernel/same.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { followConfig } from "../ledger/start-ledger.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";
import { networkOf, type Egress } from "./egress.ts";

export interface ApplyParts {
  readonly snapshot: () => Snapshot;
  readonly make: (config: GatewayConfig) => Promise<Snapshot>;
  /** Must not fail. */
  readonly swap: (next: Snapshot) => void;
  readonly egress: Pick<Egress, "follow">;
  readonly ledger: Ledger;
  readonly managed: Pick<ManagedBudgets, "configure">;
  readonly usage: Pick<UsageStore, "spentSince">;
  readonly clock: Clock;
}

/** @returns what rejects when the configuration cannot be put in force; then nothing has changed */
export function createApply({ snapshot, make, swap, egress, ledger, managed, usage, clock }: ApplyParts): (config: GatewayConfig) => Promise<void> {
  return async (config) => {
    const network = networkOf(config);
    const next = await make(config);
    const change = (): void => {
      egress.follow(next, network);
      swap(next);
    };
    if (isSame(moneyOf(snapshot().config), moneyOf(config))) return change();
    await managed.configure(config.budgets, async (own) => {
      const { budgets, spending } = config;
      await followConfig(ledger, { budgets, userBudget: spending.userBudget, own }, { usage, nowMs: clock.now() });
      change();
    });
  };
}

/** What decides where money counts. */
function moneyOf({ budgets, spending }: GatewayConfig): object {
  return { budgets: budgets.map(comparable), userBudget: spending.userBudget };
}
