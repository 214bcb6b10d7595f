/** The key store's port in memory, for tests of what stands on it: same conflicts, same all-or-nothing, no durability. */
import type { AuditRecord } from "../../src/audit/record.ts";
import type { KeyChange, KeyRecord, KeySecret, KeyStore } from "../../src/identity/key-store.ts";
import { GatewayError } from "../../src/kernel/gateway-error.ts";

export interface MemoryKeyStore extends KeyStore {
  /** Every change that was written, oldest first. */
  readonly changes: readonly KeyChange[];
  readonly audit: readonly AuditRecord[];
  /** Makes the next writes fail as a store does that cannot be written. */
  failNext(times: number): void;
  /** Holds writes back until the returned function is called. */
  hold(): () => void;
}

/** @returns an empty store */
export function createMemoryKeyStore(): MemoryKeyStore {
  const keys = new Map<string, KeyRecord>();
  const secrets = new Map<string, KeySecret>();
  const changes: KeyChange[] = [];
  let failures = 0;
  let gate: Promise<void> = Promise.resolve();

  const isLive = (id: string): boolean => keys.get(id)?.revokedAtMs === null;
  const check = ({ key, addSecrets = [] }: KeyChange): void => {
    const aliasTaken = key !== undefined && key.alias !== null && key.revokedAtMs === null && [...keys.values()].some((other) => other.id !== key.id && other.alias === key.alias && isLive(other.id));
    if (aliasTaken) throw new GatewayError("client_object_conflict", { publicText: "Another key has this alias already." });
    const secretTaken = addSecrets.some(({ hash, keyId }) => {
      const held = secrets.get(hash);
      return held !== undefined && held.keyId !== keyId && isLive(held.keyId);
    });
    if (secretTaken) throw new GatewayError("client_object_conflict", { publicText: "Another key has this secret already." });
  };

  return {
    changes,
    get audit() {
      return changes.map(({ audit }) => audit);
    },
    failNext: (times) => void (failures = times),
    hold() {
      let open: () => void = () => {};
      gate = new Promise((resolve) => (open = resolve));
      return open;
    },
    async loadAll(nowMs) {
      const live = [...keys.values()].filter(({ id }) => isLive(id));
      return { keys: live, secrets: [...secrets.values()].filter(({ keyId, expiresAtMs }) => isLive(keyId) && (expiresAtMs === null || expiresAtMs > nowMs)) };
    },
    async apply(change) {
      await gate;
      if (failures > 0) {
        failures -= 1;
        throw new GatewayError("gateway_store_unavailable", { internal: "told to fail" });
      }
      check(change);
      for (const hash of change.removeSecretHashes ?? []) secrets.delete(hash);
      if (change.key !== undefined) keys.set(change.key.id, change.key);
      for (const secret of change.addSecrets ?? []) secrets.set(secret.hash, secret);
      changes.push(change);
    },
  };
}
