/**
 * Every live key in memory, by the hash of each of its secrets, so that a request costs one look-up and no read of the
 * store. It changes only after the store has, and then at once: the next request sees it.
 */
import type { Id } from "../kernel/ids.ts";
import type { KeyChange, KeyRecord, KeySecret, KeyStore } from "./key-store.ts";
import { createKeyTermsBook, type KeyTermsBook } from "./key-terms.ts";
import type { Principal } from "./principal.ts";

/** Ready to be handed out, so that finding a key allocates nothing. */
interface Entry {
  readonly principal: Principal;
  readonly isUsable: boolean;
  /** The earlier end of the secret's life and the key's; infinite for none. */
  readonly expiresAtMs: number;
}

interface Holding {
  readonly key: KeyRecord;
  readonly secrets: ReadonlyMap<string, KeySecret>;
}

export interface KeyIndex {
  /** Takes over what the store has. Secrets of unknown keys are left out. */
  load(stored: Awaited<ReturnType<KeyStore["loadAll"]>>): void;
  /** Follows one change. Call it when the store's `apply` has resolved, never before. */
  applied(change: KeyChange): void;
  /** The terms with this id have changed: every key that names them is handed out with the new ones. @returns those keys, as stored */
  termsChanged(id: string): readonly KeyRecord[];
  /** Registers the admin key; an earlier one ends. */
  setAdmin(hash: string, mayInfer: boolean): void;
  /** Who holds this secret; undefined for unknown, expired, blocked and revoked alike, after the same single look-up. */
  find(hash: string, nowMs: number): Principal | undefined;
  /** Live keys as stored, also blocked and expired ones, in the order of their making. */
  keys(): readonly KeyRecord[];
  byId(id: string): KeyRecord | undefined;
  /** The live key that has this secret, of whatever kind and state. */
  byHash(hash: string): KeyRecord | undefined;
  byAlias(alias: string): KeyRecord | undefined;
  /** Secrets of a live key, expired ones possibly among them. */
  secretsOf(id: string): readonly KeySecret[];
  /** Whether the hash is taken, by a key or by the admin key. */
  has(hash: string): boolean;
  /** Number of live keys. */
  size(): number;
}

/** @returns an empty index, which hands out principals whose keys have what their terms give them */
export function createKeyIndex(terms: Pick<KeyTermsBook, "effective"> = createKeyTermsBook()): KeyIndex {
  const entries = new Map<string, Entry>();
  const holdings = new Map<string, Holding>();
  let adminHash: string | undefined;

  const drop = (id: string): void => {
    for (const hash of holdings.get(id)?.secrets.keys() ?? []) if (hash !== adminHash) entries.delete(hash);
    holdings.delete(id);
  };
  const put = (key: KeyRecord, secrets: ReadonlyMap<string, KeySecret>): void => {
    drop(key.id);
    if (key.revokedAtMs !== null) return;
    holdings.set(key.id, { key, secrets });
    const effective = terms.effective(key);
    // The admin key stays the admin's, should an import ever bring a key with its hash.
    for (const secret of secrets.values()) if (secret.hash !== adminHash) entries.set(secret.hash, entryOf(effective, secret));
  };

  return {
    load({ keys, secrets }) {
      const byKey = Map.groupBy(secrets, ({ keyId }) => keyId);
      for (const key of keys) put(key, new Map((byKey.get(key.id) ?? []).map((secret) => [secret.hash, secret])));
    },
    applied(change) {
      const removed = change.removeSecretHashes ?? [];
      const id = keyIdOf(change) ?? entries.get(removed[0] ?? "")?.principal.keyId;
      const held = holdings.get(id ?? "");
      const key = change.key ?? held?.key;
      if (key === undefined) return;
      const secrets = new Map(held?.secrets);
      for (const hash of removed) secrets.delete(hash);
      for (const secret of change.addSecrets ?? []) secrets.set(secret.hash, secret);
      put(key, secrets);
    },
    termsChanged(id) {
      const changed = [...holdings.values()].filter(({ key }) => key.termsId === id);
      for (const { key, secrets } of changed) put(key, secrets);
      return changed.map(({ key }) => key);
    },
    setAdmin(hash, mayInfer) {
      if (adminHash !== undefined) entries.delete(adminHash);
      adminHash = hash;
      const principal: Principal = { role: "admin", keyId: "admin", key: undefined, userId: null, teamId: null, organizationId: null, mayInfer };
      entries.set(hash, { principal, isUsable: true, expiresAtMs: Number.POSITIVE_INFINITY });
    },
    find(hash, nowMs) {
      const entry = entries.get(hash);
      return entry !== undefined && entry.isUsable && entry.expiresAtMs > nowMs ? entry.principal : undefined;
    },
    keys: () => [...holdings.values()].map(({ key }) => key).sort((a, b) => (a.id < b.id ? -1 : 1)),
    byId: (id) => holdings.get(id)?.key,
    byHash: (hash) => holdings.get(entries.get(hash)?.principal.key?.id ?? "")?.key,
    byAlias: (alias) => [...holdings.values()].find(({ key }) => key.alias === alias)?.key,
    secretsOf: (id) => [...(holdings.get(id)?.secrets.values() ?? [])],
    has: (hash) => entries.has(hash),
    size: () => holdings.size,
  };
}

/** A change is about one key: the one it writes, or the one whose secrets it adds; undefined when it only removes secrets. */
function keyIdOf(change: KeyChange): Id<"key"> | undefined {
  return change.key?.id ?? change.addSecrets?.[0]?.keyId;
}

/** @param key with what its terms give it */
export function principalOf(key: KeyRecord): Principal {
  return { role: "developer", keyId: key.id, key, userId: key.userId, teamId: key.teamId, organizationId: key.organizationId, mayInfer: true };
}

function entryOf(key: KeyRecord, secret: KeySecret): Entry {
  return {
    principal: { ...principalOf(key), secretHash: secret.hash },
    isUsable: !key.isBlocked,
    expiresAtMs: Math.min(key.expiresAtMs ?? Number.POSITIVE_INFINITY, secret.expiresAtMs ?? Number.POSITIVE_INFINITY),
  };
}
