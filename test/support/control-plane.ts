/** The control plane over memory stores, called as functions: no listener, no clock but the one passed in. */
import { createBudgetBook } from "../../src/ledger/budget.ts";
import { createLedger } from "../../src/ledger/ledger.ts";
import { createKeyTermsService } from "../../src/admin/key-terms.ts";
import { createKeyService, type KeyFields, type KeyService } from "../../src/admin/keys.ts";
import type { AdminCall, AdminReply } from "../../src/admin/handler.ts";
import { createManagedBudgets } from "../../src/admin/managed-budgets.ts";
import { createAdminRoutes, type AdminRoute } from "../../src/admin/routes.ts";
import { createAuthenticator } from "../../src/identity/authenticate.ts";
import { createKeyIndex, type KeyIndex } from "../../src/identity/key-index.ts";
import type { KeyRecord } from "../../src/identity/key-store.ts";
import { createKeyTermsBook, type KeyTermsStore } from "../../src/identity/key-terms.ts";
import type { Principal } from "../../src/identity/principal.ts";
import { hashText, showOnce } from "../../src/identity/virtual-key.ts";
import { manualClock, type ManualClock } from "../../src/kernel/clock.ts";
import { isGatewayError, type GatewayError } from "../../src/kernel/gateway-error.ts";
import { Secret } from "../../src/kernel/secret.ts";
import type { BudgetStore } from "../../src/ledger/budget-store.ts";
import type { LedgerRow } from "../../src/ledger/usage-store.ts";
import { createMemoryKeyStore, type MemoryKeyStore } from "./memory-key-store.ts";
import { createMemoryReconcile, createMemoryUsageStore } from "./memory-usage-store.ts";

export const controlPlaneAdminKey = "sk-admin-0123456789abcdefghij";

/** The budget store's port without a memory. */
function createMemoryBudgetStore(): BudgetStore {
  return { load: () => Promise.resolve([]), put: () => Promise.resolve(), remove: () => Promise.resolve() };
}

/** The terms store's port without a memory. */
function createMemoryTermsStore(): KeyTermsStore {
  return { load: () => Promise.resolve([]), put: () => Promise.resolve(), remove: () => Promise.resolve() };
}

/** What a test calls and looks at. */
export interface ControlPlane {
  readonly clock: ManualClock;
  readonly store: MemoryKeyStore;
  readonly index: KeyIndex;
  readonly keys: KeyService;
  readonly routes: readonly AdminRoute[];
  /** Adds to the ledger. */
  readonly rows: LedgerRow[];
  /** Who a key in `x-api-key` is at the clock's time. */
  whoIs(key: string): Principal | undefined;
  create(fields?: KeyFields): Promise<{ readonly key: string; readonly record: KeyRecord }>;
  /** Calls a row as the holder of `key` (default: the admin), role check included. */
  call(request: string, body?: unknown, key?: string): Promise<AdminReply>;
  /** As after a restart: the same store and secret, everything in memory anew. */
  restart(): Promise<ControlPlane>;
}

export async function createControlPlane(kept: Partial<Pick<ControlPlane, "clock" | "store" | "rows">> = {}): Promise<ControlPlane> {
  const { clock = manualClock(), store = createMemoryKeyStore(), rows = [] } = kept;
  const usage = createMemoryUsageStore(rows);
  const terms = createKeyTermsBook();
  const index = createKeyIndex(terms);
  index.load(await store.loadAll(clock.now()));
  index.setAdmin(hashText(controlPlaneAdminKey), false);
  const keys = createKeyService({ store, index, usage, clock, terms });
  const routes = createAdminRoutes({ routing: { explain: (_principal, { model }) => ({ asked: model, model: undefined, understoodAs: "no model's name, alias or pattern", refusal: "Nothing serves this name.", strategy: undefined, targets: [], fallbacks: [] }), circuits: () => [] }, keys, index, usage, ledger: createLedger(createBudgetBook([])), budgets: createManagedBudgets({ store: createMemoryBudgetStore(), configured: () => [], configPath: "tollgate.yaml", apply: () => Promise.resolve() }, []), terms: createKeyTermsService({ store: createMemoryTermsStore(), book: terms, index, changes: keys.changes, clock }), reconcile: createMemoryReconcile(), config: { reload: () => Promise.resolve({ isOk: true, changes: [], needsRestart: [], warnings: [] }) }, gatewaySecret: new Secret("gateway secret of the test") });
  const authenticator = createAuthenticator({ index, keyHeader: undefined });
  const whoIs = (key: string): Principal | undefined => {
    const result = authenticator.authenticate({ "x-api-key": key }, clock.now());
    return result.ok ? result.principal : undefined;
  };
  return {
    clock,
    store,
    index,
    keys,
    routes,
    rows,
    whoIs,
    async create(fields = {}) {
      const { key, record } = await keys.create(fields, { actor: "admin", sourceAddress: "127.0.0.1" });
      return { key: showOnce(key), record };
    },
    async call(request, body, key = controlPlaneAdminKey) {
      const [method, target = ""] = request.split(" ");
      const url = new URL(target, "http://localhost");
      const principal = whoIs(key);
      if (principal === undefined) throw new Error("the caller has no valid key");
      const { route, params } = routeOf(routes, method ?? "", url.pathname);
      if (route.role === "admin" && principal.role !== "admin") throw new Error("the row is for admins");
      const call: AdminCall = { principal, params, query: url.searchParams, body, nowMs: clock.now(), sourceAddress: "127.0.0.1" };
      return route.handler(call);
    },
    restart: () => createControlPlane({ clock, store, rows }),
  };
}

function routeOf(routes: readonly AdminRoute[], method: string, path: string): { route: AdminRoute; params: Record<string, string> } {
  for (const route of routes) {
    if (route.method !== method) continue;
    const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
    const match = new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, "([^/]+)")}$`).exec(path);
    if (match !== null) return { route, params: Object.fromEntries(names.map((name, position) => [name, decodeURIComponent(match[position + 1]!)])) };
  }
  throw new Error(`no row for ${method} ${path}`);
}

/** The GatewayError that a call ends with. */
export async function faultOf(promise: Promise<unknown>): Promise<GatewayError> {
  const outcome = await promise.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (!isGatewayError(outcome)) throw new Error(`expected a GatewayError, got ${String(outcome)}`);
  return outcome;
}
