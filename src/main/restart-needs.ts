/** What of a configuration is settled at the start: sockets that are open, files that are locked. The rest of a changed one is applied. */
import type { GatewayConfig } from "../config/gateway-config.ts";
import { isSame } from "../kernel/same.ts";

export interface Applicable {
  /** With the running values of what cannot change. */
  readonly config: GatewayConfig;
  /** Keys of what has to wait for a restart, as an operator writes them. */
  readonly needsRestart: readonly string[];
}

/** How the gateway runs, where that is not in its configuration. */
export interface RunningFacts {
  /** Whether the store was opened with a file for the entries of an outage. */
  readonly mayFailOpen: boolean;
  /** Whether the data folder has an admin key, for a configuration without one. */
  readonly hasAdminKeyFile: boolean;
}

/** @param running what is in force */
export function applicable(running: GatewayConfig, next: GatewayConfig, facts: RunningFacts): Applicable {
  const needs: string[] = [];
  const note = (key: string, a: unknown, b: unknown): void => {
    if (!isSame(a, b)) needs.push(key);
  };
  note("listen.host", running.listen.host, next.listen.host);
  note("listen.port", running.listen.port, next.listen.port);
  note("listen.tls", running.listen.tls, next.listen.tls);
  note("store", running.store, next.store);
  note("metrics", running.metrics, next.metrics);
  const isKeyless = next.admin.key === undefined && running.admin.key !== undefined && !facts.hasAdminKeyFile;
  if (isKeyless) needs.push("admin.key");
  if (!facts.mayFailOpen && next.budgets.some(({ failOpen }) => failOpen !== undefined)) needs.push("budgets[].fail_open");
  const config: GatewayConfig = {
    ...next,
    listen: { ...running.listen, trustedProxies: next.listen.trustedProxies },
    store: running.store,
    metrics: running.metrics,
    admin: isKeyless ? running.admin : next.admin,
  };
  return { config, needsRestart: needs };
}
