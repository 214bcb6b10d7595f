/** The control plane's rows of the route table: path, who may, and what answers. */
import type { KeyIndex } from "../identity/key-index.ts";
import { createSessionTokens } from "../identity/session-token.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import type { Secret } from "../kernel/secret.ts";
import { createBudgetsHandler } from "./budgets.ts";
import { createReloadHandler, type ConfigReload } from "./config.ts";
import type { AdminHandler } from "./handler.ts";
import type { KeyTermsService } from "./key-terms.ts";
import type { KeyService } from "./keys.ts";
import { createLitellmBudgetHandlers } from "./litellm/budgets.ts";
import { createLitellmKeyHandlers } from "./litellm/keys.ts";
import { createSpendLogsHandler } from "./litellm/spend.ts";
import type { ManagedBudgets } from "./managed-budgets.ts";
import { createMeHandler, createTokenHandler } from "./me.ts";
import { createReconcileHandler, type ReconcileOptions } from "./reconcile.ts";
import { createCircuitsHandler, createRouteHandler, type RoutingView } from "./routing.ts";
import { createUsageHandler } from "./usage.ts";

/** One row. `role` is the least that is needed: an admin may call a developer's row too. */
export interface AdminRoute {
  readonly method: "GET" | "POST";
  /** Exact, or with `{name}` segments. */
  readonly path: string;
  readonly role: "admin" | "developer";
  /** `change`: leaves an audit record. */
  readonly audit: "read" | "change";
  readonly handler: AdminHandler;
}

/** What the handlers work on. */
export interface AdminServices {
  readonly keys: KeyService;
  readonly index: KeyIndex;
  readonly usage: UsageStore;
  readonly ledger: Pick<Ledger, "balances" | "balancesOf" | "holds" | "recall" | "restore">;
  readonly budgets: ManagedBudgets;
  readonly terms: KeyTermsService;
  readonly reconcile: Pick<ReconcileOptions, "store" | "audit" | "prices">;
  readonly config: ConfigReload;
  readonly routing: RoutingView;
  /** From which short-lived tokens are derived; must survive restarts. */
  readonly gatewaySecret: Secret;
  /** Names of providers whose answers are simulated; absent: the one that a start without a configuration makes. */
  readonly simulated?: ReadonlySet<string>;
}

const simulatedByDefault: ReadonlySet<string> = new Set(["demo"]);

/** Every control-plane path there is. */
export function createAdminRoutes({ routing, keys, index, usage, ledger, budgets, terms, reconcile, config, gatewaySecret, simulated = simulatedByDefault }: AdminServices): readonly AdminRoute[] {
  const litellm = createLitellmKeyHandlers(keys, ledger, terms.book);
  const litellmBudgets = createLitellmBudgetHandlers(terms);
  const tokens = createSessionTokens({ changes: keys.changes, index, gatewaySecret });
  return [
    { method: "POST", path: "/key/generate", role: "admin", audit: "change", handler: litellm.generate },
    { method: "POST", path: "/key/update", role: "admin", audit: "change", handler: litellm.update },
    { method: "POST", path: "/key/delete", role: "admin", audit: "change", handler: litellm.remove },
    { method: "POST", path: "/key/block", role: "admin", audit: "change", handler: litellm.block },
    { method: "POST", path: "/key/unblock", role: "admin", audit: "change", handler: litellm.unblock },
    { method: "POST", path: "/key/regenerate", role: "admin", audit: "change", handler: litellm.regenerate },
    { method: "POST", path: "/key/{key}/regenerate", role: "admin", audit: "change", handler: litellm.regenerate },
    { method: "GET", path: "/key/info", role: "developer", audit: "read", handler: litellm.info },
    { method: "GET", path: "/key/list", role: "admin", audit: "read", handler: litellm.list },
    { method: "POST", path: "/budget/new", role: "admin", audit: "change", handler: litellmBudgets.create },
    { method: "POST", path: "/budget/update", role: "admin", audit: "change", handler: litellmBudgets.update },
    { method: "POST", path: "/budget/delete", role: "admin", audit: "change", handler: litellmBudgets.remove },
    { method: "POST", path: "/budget/info", role: "admin", audit: "read", handler: litellmBudgets.info },
    { method: "GET", path: "/budget/list", role: "admin", audit: "read", handler: litellmBudgets.list },
    { method: "GET", path: "/budget/settings", role: "admin", audit: "read", handler: litellmBudgets.settings },
    { method: "GET", path: "/spend/logs", role: "admin", audit: "read", handler: createSpendLogsHandler({ keys, usage }) },
    { method: "GET", path: "/api/v1/usage", role: "admin", audit: "read", handler: createUsageHandler({ keys, usage, adjustments: reconcile.store, simulated }) },
    { method: "GET", path: "/api/v1/budgets", role: "admin", audit: "read", handler: createBudgetsHandler(ledger) },
    { method: "POST", path: "/api/v1/budgets", role: "admin", audit: "change", handler: budgets.set },
    { method: "POST", path: "/api/v1/budgets/delete", role: "admin", audit: "change", handler: budgets.remove },
    { method: "GET", path: "/api/v1/budgets/definitions", role: "admin", audit: "read", handler: budgets.definitions },
    { method: "POST", path: "/api/v1/reconcile", role: "admin", audit: "change", handler: createReconcileHandler({ ...reconcile, usage, ledger }) },
    { method: "POST", path: "/api/v1/config/reload", role: "admin", audit: "change", handler: createReloadHandler(config) },
    { method: "GET", path: "/api/v1/route", role: "developer", audit: "read", handler: createRouteHandler(routing, index, terms.book) },
    { method: "GET", path: "/api/v1/circuits", role: "admin", audit: "read", handler: createCircuitsHandler(routing) },
    { method: "GET", path: "/v1/me", role: "developer", audit: "read", handler: createMeHandler(keys, ledger) },
    { method: "POST", path: "/v1/me/token", role: "developer", audit: "change", handler: createTokenHandler(tokens) },
  ];
}
