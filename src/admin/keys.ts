/**
 * What can be done to virtual keys, whichever API asks. Every change goes through one queue, is durable with its audit
 * record before it is answered, and is in force from the next request on.
 */
import type { AuditAction } from "../audit/record.ts";
import { createKeyChanges, type KeyChanges } from "../identity/key-changes.ts";
import type { KeyIndex } from "../identity/key-index.ts";
import type { KeyCap, KeyChange, KeyRecord, KeySecret, KeyStore } from "../identity/key-store.ts";
import type { KeyTermsBook } from "../identity/key-terms.ts";
import { acceptCustomKey, displayName, hashKey, hashText, keyPrefix, mintKey } from "../identity/virtual-key.ts";
import type { UsageStore } from "../ledger/usage-store.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import { nanoUsd, type NanoUsd } from "../kernel/money.ts";
import type { Secret } from "../kernel/secret.ts";
import { addPositiveSpan, addSpan } from "./durations.ts";
import { fieldInvalid } from "./fields.ts";
import { refuseSpan, refuseSpans } from "./spans.ts";

/** How long the old secret of a rotated key stays valid unless the caller says otherwise. */
export const rotationOverlapDefault = "10m";
const rotationOverlapMaxMs = 30 * 86_400_000;
/** Old secrets that a key has at once; the oldest ends when another rotation comes. */
export const previousSecretsMax = 3;

/** What of a key an operator can set. An absent member is left as it is, or takes its default in a new key. */
export interface KeyFields {
  readonly alias?: string | null;
  readonly userId?: string | null;
  readonly teamId?: string | null;
  readonly organizationId?: string | null;
  readonly models?: readonly string[];
  readonly aliases?: Readonly<Record<string, string>>;
  /** Decimal USD, ≥ 0. */
  readonly maxBudgetUsd?: string | null;
  readonly budgetDuration?: string | null;
  /** Decimal USD, ≥ 0. */
  readonly softBudgetUsd?: string | null;
  readonly budgetLimits?: readonly KeyCap[];
  /** By the model's public name. */
  readonly modelBudgets?: Readonly<Record<string, KeyCap>>;
  /** Terms that there are. */
  readonly termsId?: string | null;
  /** Decimal USD, ≥ 0, for each run. */
  readonly runBudgetUsd?: string | null;
  /** Life from now on, as a span; null: without end. */
  readonly duration?: string | null;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly string[];
  readonly rpmLimit?: number | null;
  readonly tpmLimit?: number | null;
  readonly maxParallelRequests?: number | null;
  /** Members of the metadata that limit what the key may do; null takes one away. */
  readonly restrictions?: { readonly model_rpm_limit?: Readonly<Record<string, number>> | null; readonly model_tpm_limit?: Readonly<Record<string, number>> | null; readonly allowed_projects?: readonly string[] | null };
  readonly isBlocked?: boolean;
}

/** Who asks. */
export interface Author {
  /** Key id, `admin` or `gateway`. */
  readonly actor: string;
  readonly sourceAddress: string;
}

/** A key with the one chance to see its secret. */
export interface ShownKey {
  readonly key: Secret;
  readonly record: KeyRecord;
}

/** All methods that change: durable when they resolve; `gateway_store_unavailable` and nothing changed otherwise. */
export interface KeyService {
  /** @throws GatewayError `client_field_invalid`; `client_object_conflict` for a taken alias or `chosen` key */
  create(fields: KeyFields & { readonly chosen?: string }, author: Author): Promise<ShownKey>;
  /** @throws GatewayError `client_object_missing`, `client_field_invalid`, `client_object_conflict` */
  update(reference: string, fields: KeyFields, author: Author): Promise<KeyRecord>;
  /** Ends keys for good. Unknown references are found before the first key is touched. @throws GatewayError `client_object_missing` */
  remove(references: readonly string[], author: Author): Promise<void>;
  /** @throws GatewayError `client_object_missing` */
  setBlocked(reference: string, isBlocked: boolean, author: Author): Promise<KeyRecord>;
  /**
   * A new secret for the same key. The old one, and tokens made from it, end after `overlap` (a span, `0s`: at once).
   *
   * @throws GatewayError `client_object_missing`, `client_field_invalid`, `client_object_conflict`
   */
  rotate(reference: string, options: { readonly overlap?: string; readonly chosen?: string; readonly fields?: KeyFields }, author: Author): Promise<ShownKey>;
  /** A live key by id (`key_…`), by one of its secrets' hashes, or by a secret itself (`sk-…`). */
  find(reference: string): KeyRecord | undefined;
  /** Live keys in the order of their making. */
  list(): readonly KeyRecord[];
  /** Lifetime spend; 0 for a key without entries. */
  spend(keyIds: readonly string[]): Promise<(keyId: string) => NanoUsd>;
  /** The door that everything else that changes keys must use too. */
  readonly changes: KeyChanges;
}

interface KeyServiceOptions {
  readonly store: KeyStore;
  readonly index: KeyIndex;
  readonly usage: Pick<UsageStore, "spendByKey">;
  readonly clock: Clock;
  readonly terms: Pick<KeyTermsBook, "get">;
  /** As in `createKeyChanges`. */
  readonly onKey?: (key: KeyRecord) => Promise<void>;
}

/** @param options `index` must hold what `store` holds */
export function createKeyService(options: KeyServiceOptions): KeyService {
  const { index, usage, clock, terms } = options;
  const withFields = (key: KeyRecord, fields: KeyFields, nowMs: number): KeyRecord => {
    if (typeof fields.termsId === "string" && terms.get(fields.termsId) === undefined) throw fieldInvalid("budget_id: there is no such budget.");
    return changedKey(key, fields, nowMs);
  };
  const changes = createKeyChanges(options);
  const mustFind = (reference: string): KeyRecord => {
    const found = findKey(index, reference);
    if (found === undefined) throw new GatewayError("client_object_missing", { publicText: "There is no such key." });
    return found;
  };
  /** One change of one key: the record before → the record after. */
  const rewrite = async (action: AuditAction, reference: string, author: Author, after: (before: KeyRecord, nowMs: number) => KeyRecord): Promise<KeyRecord> => {
    let written: KeyRecord | undefined;
    await changes.change(() => {
      const nowMs = clock.now();
      const before = mustFind(reference);
      written = after(before, nowMs);
      return { key: written, audit: auditOf(action, author, nowMs, { before, after: written }) };
    });
    assert(written !== undefined, "a decided change leaves a key");
    return written;
  };

  return {
    changes,
    find: (reference) => findKey(index, reference),
    list: () => index.keys(),
    async spend(keyIds) {
      const spent = await usage.spendByKey(keyIds);
      return (keyId) => spent.get(keyId) ?? nanoUsd(0n);
    },
    async create({ chosen, ...fields }, author) {
      const key = chosen === undefined ? mintKey() : acceptCustomKey(chosen);
      const hash = hashKey(key);
      let record: KeyRecord | undefined;
      await changes.change(() => {
        refuseTaken(index, hash);
        const nowMs = clock.now();
        record = withFields(emptyKey(key, author.actor, nowMs), fields, nowMs);
        return { key: record, addSecrets: [{ hash, keyId: record.id, kind: "current", expiresAtMs: null }], audit: auditOf("key.create", author, nowMs, { after: record }) };
      });
      assert(record !== undefined, "a decided change leaves a key");
      return { key, record };
    },
    update: (reference, fields, author) => rewrite("key.update", reference, author, (before, nowMs) => withFields(before, fields, nowMs)),
    setBlocked: (reference, isBlocked, author) =>
      rewrite(isBlocked ? "key.block" : "key.unblock", reference, author, (before, nowMs) => ({ ...before, isBlocked, updatedAtMs: nowMs })),
    async remove(references, author) {
      const ids = new Set(references.map((reference) => mustFind(reference).id));
      for (const id of ids) {
        await changes.change(() => {
          const before = index.byId(id);
          // Somebody else was quicker; the key is gone, which is what was asked for.
          if (before === undefined) return undefined;
          const nowMs = clock.now();
          const removeSecretHashes = index.secretsOf(id).map(({ hash }) => hash);
          return { key: { ...before, revokedAtMs: nowMs, updatedAtMs: nowMs }, removeSecretHashes, audit: auditOf("key.delete", author, nowMs, { before }) };
        });
      }
    },
    async rotate(reference, { overlap = rotationOverlapDefault, chosen, fields = {} }, author) {
      const key = chosen === undefined ? mintKey() : acceptCustomKey(chosen);
      let record: KeyRecord | undefined;
      await changes.change(() => {
        refuseTaken(index, hashKey(key));
        const nowMs = clock.now();
        const before = mustFind(reference);
        const endMs = overlapEnd(overlap, nowMs);
        record = { ...withFields(before, fields, nowMs), tokenHash: hashKey(key), name: displayName(key) };
        const secrets = rotatedSecrets(index.secretsOf(before.id), { nowMs, endMs });
        return {
          key: record,
          addSecrets: [...secrets.kept, { hash: record.tokenHash, keyId: record.id, kind: "current", expiresAtMs: null }],
          removeSecretHashes: secrets.endedHashes,
          audit: auditOf("key.rotate", author, nowMs, { before, after: record, overlapEndsAtMs: endMs }),
        };
      });
      assert(record !== undefined, "a decided change leaves a key");
      return { key, record };
    },
  };
}

function findKey(index: KeyIndex, reference: string): KeyRecord | undefined {
  if (reference.startsWith(keyPrefix)) return index.byHash(hashText(reference));
  return index.byId(reference) ?? index.byHash(reference);
}

/** Beside the store's own check this covers the admin key, which the store does not know. */
function refuseTaken(index: KeyIndex, hash: string): void {
  if (index.has(hash)) throw new GatewayError("client_object_conflict", { publicText: "Another key has this secret already." });
}

function emptyKey(key: Secret, createdBy: string, nowMs: number): KeyRecord {
  return {
    id: newId("key", nowMs),
    tokenHash: hashKey(key),
    name: displayName(key),
    alias: null,
    userId: null,
    teamId: null,
    organizationId: null,
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
    createdBy,
    updatedAtMs: nowMs,
  };
}

function changedKey(key: KeyRecord, { duration, restrictions, ...fields }: KeyFields, nowMs: number): KeyRecord {
  if (typeof fields.budgetDuration === "string") refuseSpan("budget_duration", fields.budgetDuration);
  for (const [index, { budgetDuration }] of (fields.budgetLimits ?? []).entries()) refuseSpan(`budget_limits[${index}].budget_duration`, budgetDuration);
  refuseSpans(fields.modelBudgets);
  const life = duration === undefined ? {} : { expiresAtMs: duration === null ? null : addPositiveSpan("duration", duration, nowMs) };
  const limited = restrictions === undefined ? {} : { metadata: { ...(fields.metadata ?? key.metadata), ...restrictions } };
  return { ...key, ...fields, ...limited, ...life, updatedAtMs: nowMs };
}

function overlapEnd(overlap: string, nowMs: number): number {
  const endMs = addSpan("grace_period", overlap, nowMs);
  if (endMs - nowMs > rotationOverlapMaxMs) throw fieldInvalid("grace_period: it must not be longer than 30d.");
  return endMs;
}

/** The old secrets of a key under rotation: none outlives the overlap, the tokens made from them included. */
function rotatedSecrets(secrets: readonly KeySecret[], { nowMs, endMs }: { readonly nowMs: number; readonly endMs: number }): { kept: KeySecret[]; endedHashes: string[] } {
  const capped = secrets.map((secret): KeySecret => ({
    ...secret,
    kind: secret.kind === "current" ? "previous" : secret.kind,
    expiresAtMs: Math.min(secret.expiresAtMs ?? Number.POSITIVE_INFINITY, endMs),
  }));
  const live = capped.filter((secret) => secret.expiresAtMs! > nowMs);
  // The one that was current until now has no end of its own, so it is among the last to end and stays.
  const previous = live.filter(({ kind }) => kind === "previous").sort((a, b) => b.expiresAtMs! - a.expiresAtMs! || Number(isCurrent(secrets, b)) - Number(isCurrent(secrets, a)));
  const kept = [...previous.slice(0, previousSecretsMax), ...live.filter(({ kind }) => kind === "session")];
  const keptHashes = new Set(kept.map(({ hash }) => hash));
  return { kept, endedHashes: secrets.map(({ hash }) => hash).filter((hash) => !keptHashes.has(hash)) };
}

function isCurrent(secrets: readonly KeySecret[], { hash }: KeySecret): boolean {
  return secrets.some((secret) => secret.hash === hash && secret.kind === "current");
}

interface Sides {
  readonly before?: KeyRecord;
  readonly after?: KeyRecord;
  readonly overlapEndsAtMs?: number;
}

/** With both sides given only the members that differ are kept. */
function auditOf(action: AuditAction, author: Author, nowMs: number, { before, after, overlapEndsAtMs }: Sides): KeyChange["audit"] {
  const object = (after ?? before)!.id;
  const from = before === undefined ? undefined : publicFields(before);
  const to = after === undefined ? undefined : publicFields(after);
  const differs = (name: string): boolean => from === undefined || to === undefined || JSON.stringify(from[name]) !== JSON.stringify(to[name]);
  const only = (side: Readonly<Record<string, unknown>>): Record<string, unknown> => Object.fromEntries(Object.entries(side).filter(([name]) => differs(name)));
  return {
    id: newId("aud", nowMs),
    atMs: nowMs,
    action,
    actor: author.actor,
    object,
    details: { ...(from === undefined ? {} : { before: only(from) }), ...(to === undefined ? {} : { after: only(to) }), ...(overlapEndsAtMs === undefined ? {} : { overlapEndsAtMs }) },
    sourceAddress: author.sourceAddress,
  };
}

/** What an audit line may hold of a key: everything but the hash, which would let a reader test guesses, and the clock's own marks. */
function publicFields(key: KeyRecord): Readonly<Record<string, unknown>> {
  const { tokenHash: _hash, updatedAtMs: _updated, id: _id, ...rest } = key;
  return rest;
}
