/**
 * Terms that several keys share: LiteLLM's budget objects. A key that names them has what it does not set itself from them; money is
 * counted for each key by itself. Kept in memory beside the keys, so that a request costs no second look-up.
 */
import type { AuditRecord } from "../audit/record.ts";
import type { KeyRecord } from "./key-store.ts";

/** `null` means not set, which is never the same as zero. */
export interface KeyTerms {
  readonly id: string;
  /** Decimal USD as written. */
  readonly maxBudgetUsd: string | null;
  readonly softBudgetUsd: string | null;
  readonly budgetDuration: string | null;
  /** As a key's own, which win as a whole. */
  readonly modelBudgets: KeyRecord["modelBudgets"];
  readonly rpmLimit: number | null;
  readonly tpmLimit: number | null;
  readonly maxParallelRequests: number | null;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly updatedAtMs: number;
  readonly updatedBy: string;
}

/** Port to where they live. Each change is durable with its audit record when it resolves, or nothing is written. */
export interface KeyTermsStore {
  load(): Promise<readonly KeyTerms[]>;
  /** Inserted, or replaced as a whole. @throws GatewayError `gateway_store_unavailable` */
  put(terms: KeyTerms, audit: AuditRecord): Promise<void>;
  /** One that is not there stays so. @throws GatewayError `gateway_store_unavailable` */
  remove(id: string, audit: AuditRecord): Promise<void>;
}

/** Those in force, by their id. It follows the store: change it only after the store has resolved. */
export interface KeyTermsBook {
  get(id: string): KeyTerms | undefined;
  /** In the order of their ids. */
  all(): readonly KeyTerms[];
  put(terms: KeyTerms): void;
  remove(id: string): void;
  /** The key with what it has from its terms; the very same record where it has nothing from any. */
  effective(key: KeyRecord): KeyRecord;
}

export function createKeyTermsBook(stored: readonly KeyTerms[] = []): KeyTermsBook {
  const known = new Map(stored.map((terms) => [terms.id, terms]));
  return {
    get: (id) => known.get(id),
    all: () => [...known.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    put: (terms) => void known.set(terms.id, terms),
    remove: (id) => void known.delete(id),
    effective(key) {
      const terms = key.termsId === null ? undefined : known.get(key.termsId);
      return terms === undefined ? key : withTerms(key, terms);
    },
  };
}

/** Field by field, as LiteLLM's join of both tables has it (`LiteLLM_VerificationTokenView`, BerriAI/litellm as of 1.104). */
function withTerms(key: KeyRecord, terms: KeyTerms): KeyRecord {
  return {
    ...key,
    maxBudgetUsd: key.maxBudgetUsd ?? terms.maxBudgetUsd,
    softBudgetUsd: key.softBudgetUsd ?? terms.softBudgetUsd,
    budgetDuration: key.budgetDuration ?? terms.budgetDuration,
    modelBudgets: Object.keys(key.modelBudgets).length > 0 ? key.modelBudgets : terms.modelBudgets,
    rpmLimit: key.rpmLimit ?? terms.rpmLimit,
    tpmLimit: key.tpmLimit ?? terms.tpmLimit,
    maxParallelRequests: key.maxParallelRequests ?? terms.maxParallelRequests,
  };
}
