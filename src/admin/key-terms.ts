/**
 * What can be done to terms that keys share. Changes wait in the same queue as those of keys, are durable with their audit record
 * before they are answered, and are in force for the next request of every key that names them.
 */
import type { AuditAction, AuditRecord } from "../audit/record.ts";
import type { KeyChanges } from "../identity/key-changes.ts";
import type { KeyIndex } from "../identity/key-index.ts";
import type { KeyRecord } from "../identity/key-store.ts";
import type { KeyTerms, KeyTermsBook, KeyTermsStore } from "../identity/key-terms.ts";
import type { Clock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import { fieldInvalid } from "./fields.ts";
import { refuseSpan, refuseSpans } from "./spans.ts";
import type { Author } from "./keys.ts";

const termsMax = 10_000;

/** What an operator can set. An absent member is left as it is, or not set in new ones; null takes it away. */
export type TermsFields = Partial<Pick<KeyTerms, "maxBudgetUsd" | "softBudgetUsd" | "budgetDuration" | "modelBudgets" | "rpmLimit" | "tpmLimit" | "maxParallelRequests">>;

/** All methods: durable when they resolve; `gateway_store_unavailable` and nothing changed otherwise. */
export interface KeyTermsService {
  /** @param id absent: one is made. @throws GatewayError `client_object_conflict`, `client_field_invalid` */
  create(id: string | undefined, fields: TermsFields, author: Author): Promise<KeyTerms>;
  /** @throws GatewayError `client_object_missing`, `client_field_invalid` */
  update(id: string, fields: TermsFields, author: Author): Promise<KeyTerms>;
  /**
   * Never while a key names them: it would be left without its cap.
   *
   * @returns what was removed
   * @throws GatewayError `client_object_missing`, `client_object_conflict`
   */
  remove(id: string, author: Author): Promise<KeyTerms>;
  readonly book: Pick<KeyTermsBook, "get" | "all" | "effective">;
}

export interface KeyTermsServiceOptions {
  readonly store: KeyTermsStore;
  /** Holds what the store holds. */
  readonly book: KeyTermsBook;
  readonly index: Pick<KeyIndex, "keys" | "termsChanged">;
  readonly changes: Pick<KeyChanges, "inTurn">;
  /** Follows the keys that the terms bind, as stored, before the change counts as done. */
  readonly onKeys?: (keys: readonly KeyRecord[]) => Promise<void>;
  readonly clock: Clock;
}

export function createKeyTermsService({ store, book, index, changes, onKeys, clock }: KeyTermsServiceOptions): KeyTermsService {
  const mustFind = (id: string): KeyTerms => {
    const found = book.get(id);
    if (found === undefined) throw new GatewayError("client_object_missing", { publicText: "There is no such budget." });
    return found;
  };
  const write = async (after: KeyTerms, before: KeyTerms | undefined, author: Author): Promise<KeyTerms> => {
    await store.put(after, auditOf("key_terms.set", author, after.updatedAtMs, { before, after }));
    book.put(after);
    const keys = index.termsChanged(after.id);
    if (keys.length > 0) await onKeys?.(keys);
    return after;
  };
  return {
    book,
    create: (wanted, fields, author) =>
      changes.inTurn(async () => {
        const nowMs = clock.now();
        const id = wanted ?? newId("bud", nowMs);
        if (book.get(id) !== undefined) throw new GatewayError("client_object_conflict", { publicText: "There is a budget with this budget_id already." });
        if (book.all().length >= termsMax) throw fieldInvalid(`budget_id: there are ${termsMax} budgets already.`);
        return await write(changed(emptyTerms(id, author.actor, nowMs), fields, author, nowMs), undefined, author);
      }),
    update: (id, fields, author) =>
      changes.inTurn(async () => {
        const before = mustFind(id);
        return await write(changed(before, fields, author, clock.now()), before, author);
      }),
    remove: (id, author) =>
      changes.inTurn(async () => {
        const before = mustFind(id);
        const users = index.keys().filter(({ termsId }) => termsId === id).length;
        if (users > 0) throw new GatewayError("client_object_conflict", { publicText: `This budget is in use by ${users === 1 ? "one key" : `${users} keys`}: give each another one first, or none with \`budget_id: null\`.` });
        await store.remove(id, auditOf("key_terms.delete", author, clock.now(), { before, after: undefined }));
        book.remove(id);
        return before;
      }),
  };
}

function emptyTerms(id: string, createdBy: string, nowMs: number): KeyTerms {
  return {
    id, maxBudgetUsd: null, softBudgetUsd: null, budgetDuration: null, modelBudgets: {}, rpmLimit: null, tpmLimit: null, maxParallelRequests: null,
    createdAtMs: nowMs, createdBy, updatedAtMs: nowMs, updatedBy: createdBy,
  };
}

function changed(terms: KeyTerms, fields: TermsFields, { actor }: Author, nowMs: number): KeyTerms {
  if (typeof fields.budgetDuration === "string") refuseSpan("budget_duration", fields.budgetDuration);
  refuseSpans(fields.modelBudgets);
  return { ...terms, ...fields, updatedAtMs: nowMs, updatedBy: actor };
}

interface Sides {
  readonly before: KeyTerms | undefined;
  readonly after: KeyTerms | undefined;
}

function auditOf(action: AuditAction, { actor, sourceAddress }: Author, nowMs: number, { before, after }: Sides): AuditRecord {
  const details = { ...(before === undefined ? {} : { before: termsOf(before) }), ...(after === undefined ? {} : { after: termsOf(after) }) };
  return { id: newId("aud", nowMs), atMs: nowMs, action, actor, object: (after ?? before)?.id ?? "", details, sourceAddress };
}

/** Without the record's own marks, which are the audit record's too. */
function termsOf({ id: _id, createdAtMs: _createdAt, createdBy: _createdBy, updatedAtMs: _updatedAt, updatedBy: _updatedBy, ...terms }: KeyTerms): TermsFields {
  return terms;
}
