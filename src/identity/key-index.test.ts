// Guarantee: what the store has is what the index finds, from the next look-up on; unknown, expired, blocked and revoked
// are the same answer.
import { describe, expect, it } from "vitest";
import { newId } from "../kernel/ids.ts";
import { createKeyChanges } from "./key-changes.ts";
import { createKeyIndex } from "./key-index.ts";
import type { KeyChange, KeyRecord, KeySecret } from "./key-store.ts";
import { createMemoryKeyStore } from "../../test/support/memory-key-store.ts";

const nowMs = Date.UTC(2026, 0, 1);

function record(members: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: newId("key", nowMs),
    tokenHash: "hash",
    name: "sk-...last",
    alias: null,
    userId: "ada",
    teamId: "engines",
    organizationId: "shipyard",
    models: [],
    aliases: {},
    maxBudgetUsd: null,
    budgetDuration: null,
    softBudgetUsd: null,
    budgetLimits: [],
    modelBudgets: {},
    termsId: null,
    runBudgetUsd: null,
    expiresAtMs: null,
    metadata: {},
    tags: [],
    rpmLimit: null,
    tpmLimit: null,
    maxParallelRequests: null,
    isBlocked: false,
    revokedAtMs: null,
    createdAtMs: nowMs,
    createdBy: "admin",
    updatedAtMs: nowMs,
    ...members,
  };
}

function secret(key: KeyRecord, members: Partial<KeySecret> = {}): KeySecret {
  return { hash: "hash", keyId: key.id, kind: "current", expiresAtMs: null, ...members };
}

function change(members: Omit<KeyChange, "audit">): KeyChange {
  return { ...members, audit: { id: newId("aud", nowMs), atMs: nowMs, action: "key.update", actor: "admin", object: "", details: {}, sourceAddress: "" } };
}

function indexWith(key: KeyRecord, ...secrets: KeySecret[]): ReturnType<typeof createKeyIndex> {
  const index = createKeyIndex();
  index.load({ keys: [key], secrets });
  return index;
}

describe("find", () => {
  it("gives the principal of a live key", () => {
    const key = record();
    expect(indexWith(key, secret(key)).find("hash", nowMs)).toEqual({ role: "developer", keyId: key.id, key, userId: "ada", teamId: "engines", organizationId: "shipyard", mayInfer: true, secretHash: "hash" });
  });

  it("gives the same for unknown, expired, ended, blocked and revoked ones", () => {
    const live = record();
    const cases = [
      indexWith(live, secret(live, { hash: "other" })),
      indexWith(live, secret(live, { expiresAtMs: nowMs })),
      ...[record({ expiresAtMs: nowMs }), record({ isBlocked: true }), record({ revokedAtMs: nowMs })].map((key) => indexWith(key, secret(key))),
    ];
    expect(cases.map((index) => index.find("hash", nowMs))).toEqual(Array(5).fill(undefined));
  });

  it("ends a key and a secret at their own instants, whichever is earlier", () => {
    const key = record({ expiresAtMs: nowMs + 10 });
    const index = indexWith(key, secret(key, { expiresAtMs: nowMs + 5 }), secret(key, { hash: "second", expiresAtMs: nowMs + 20 }));
    expect([4, 5].map((ms) => index.find("hash", nowMs + ms)?.keyId)).toEqual([key.id, undefined]);
    expect([9, 10].map((ms) => index.find("second", nowMs + ms)?.keyId)).toEqual([key.id, undefined]);
  });

  it("does not take a hash for the key it belongs to, nor a member every object has", () => {
    const key = record();
    const index = indexWith(key, secret(key));
    expect(["constructor", "__proto__", "", key.id].map((hash) => index.find(hash, nowMs))).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe("load", () => {
  it("leaves out secrets of unknown keys", () => {
    const key = record();
    const index = indexWith(key, secret(record(), { hash: "orphan" }));
    expect(index.find("orphan", nowMs)).toBeUndefined();
    expect(index.size()).toBe(1);
  });
});

describe("applied", () => {
  it("blocks and revokes all secrets of a key at once", () => {
    const key = record();
    const secrets = [secret(key), secret(key, { hash: "second", kind: "session" })];
    for (const after of [{ isBlocked: true }, { revokedAtMs: nowMs }]) {
      const index = indexWith(key, ...secrets);
      index.applied(change({ key: { ...key, ...after } }));
      expect(secrets.map(({ hash }) => index.find(hash, nowMs))).toEqual([undefined, undefined]);
    }
  });

  it("shows a key's new fields through all its secrets", () => {
    const key = record();
    const index = indexWith(key, secret(key), secret(key, { hash: "second", kind: "previous" }));
    index.applied(change({ key: { ...key, userId: "bea" } }));
    expect(["hash", "second"].map((hash) => index.find(hash, nowMs)?.userId)).toEqual(["bea", "bea"]);
  });

  it("adds, replaces and removes secrets, also without the key's record", () => {
    const key = record();
    const index = indexWith(key, secret(key));
    index.applied(change({ addSecrets: [secret(key, { hash: "token", kind: "session" }), secret(key, { kind: "previous", expiresAtMs: nowMs + 5 })] }));
    expect(["token", "hash"].map((hash) => index.find(hash, nowMs + 5)?.keyId)).toEqual([key.id, undefined]);
    index.applied(change({ removeSecretHashes: ["token"] }));
    expect(index.find("token", nowMs)).toBeUndefined();
    expect(index.find("hash", nowMs)?.keyId).toBe(key.id);
    expect(index.secretsOf(key.id).map(({ hash }) => hash)).toEqual(["hash"]);
  });

  it("ignores secrets of a key that is gone", () => {
    const key = record();
    const index = indexWith(key, secret(key));
    index.applied(change({ key: { ...key, revokedAtMs: nowMs }, removeSecretHashes: ["hash"] }));
    index.applied(change({ addSecrets: [secret(key, { hash: "late", kind: "session" })] }));
    expect(index.find("late", nowMs)).toBeUndefined();
    expect([index.size(), index.byId(key.id), index.byHash("hash")]).toEqual([0, undefined, undefined]);
  });
});

describe("setAdmin", () => {
  it("registers the admin key, which no key of the store can take over or remove", () => {
    const index = createKeyIndex();
    index.setAdmin("hash", true);
    const key = record();
    index.applied(change({ key, addSecrets: [secret(key)] }));
    index.applied(change({ key: { ...key, revokedAtMs: nowMs }, removeSecretHashes: ["hash"] }));
    expect(index.find("hash", nowMs)).toEqual({ role: "admin", keyId: "admin", key: undefined, userId: null, teamId: null, organizationId: null, mayInfer: true });
    index.setAdmin("next", false);
    expect([index.find("hash", nowMs), index.find("next", nowMs)?.mayInfer, index.size()]).toEqual([undefined, false, 0]);
  });
});

describe("createKeyChanges", () => {
  it("shows a change only when the store has it", async () => {
    const store = createMemoryKeyStore();
    const index = createKeyIndex();
    const release = store.hold();
    const key = record();
    const done = createKeyChanges({ store, index }).change(() => change({ key, addSecrets: [secret(key)] }));
    await Promise.resolve();
    expect(index.find("hash", nowMs)).toBeUndefined();
    release();
    await done;
    expect(index.find("hash", nowMs)?.keyId).toBe(key.id);
  });

  it("shows nothing of a change that the store refused, and goes on with the next", async () => {
    const store = createMemoryKeyStore();
    const index = createKeyIndex();
    const changes = createKeyChanges({ store, index });
    const key = record();
    store.failNext(1);
    const failed = changes.change(() => change({ key, addSecrets: [secret(key)] }));
    const next = changes.change(() => undefined);
    await expect(failed).rejects.toMatchObject({ code: "gateway_store_unavailable" });
    await next;
    expect([index.size(), store.changes.length]).toEqual([0, 0]);
  });

  it("decides each change on what the one before left behind", async () => {
    const store = createMemoryKeyStore();
    const index = createKeyIndex();
    const changes = createKeyChanges({ store, index });
    const key = record();
    await changes.change(() => change({ key, addSecrets: [secret(key)] }));
    const revoke = changes.change(() => change({ key: { ...index.byId(key.id)!, revokedAtMs: nowMs } }));
    const update = changes.change(() => {
      const found = index.byId(key.id);
      return found === undefined ? undefined : change({ key: { ...found, userId: "bea" } });
    });
    await Promise.all([revoke, update]);
    expect(index.find("hash", nowMs)).toBeUndefined();
    expect((await store.loadAll(nowMs)).keys).toEqual([]);
  });
});
