/**
 * Port to where virtual keys live. A secret is only ever its SHA-256, in lower-case hex, which is also LiteLLM's form;
 * so hashes taken over from LiteLLM verify as they are.
 */
import type { AuditRecord } from "../audit/record.ts";
import type { Id } from "../kernel/ids.ts";

/** A virtual key without its secret. `null` means not set, which is never the same as zero. */
export interface KeyRecord {
  readonly id: Id<"key">;
  /** Hash of the current secret: LiteLLM's `token`. */
  readonly tokenHash: string;
  /** `sk-...` and the last four characters of the secret. */
  readonly name: string;
  readonly alias: string | null;
  readonly userId: string | null;
  readonly teamId: string | null;
  readonly organizationId: string | null;
  /** Names, patterns with `*`, or access groups; empty: all. */
  readonly models: readonly string[];
  /** Requested name → served name. */
  readonly aliases: Readonly<Record<string, string>>;
  /** Decimal USD as written. */
  readonly maxBudgetUsd: string | null;
  readonly budgetDuration: string | null;
  /** From which on its owner is told; nothing is refused. Decimal USD as written. */
  readonly softBudgetUsd: string | null;
  /** Further caps beside {@link maxBudgetUsd}, each with a window of its own: LiteLLM's `budget_limits`. */
  readonly budgetLimits: readonly KeyCap[];
  /** By the model's name as it is counted: LiteLLM's `model_max_budget`. */
  readonly modelBudgets: Readonly<Record<string, KeyCap>>;
  /** Of {@link KeyTerms}, from which it has what is not set here: LiteLLM's `budget_id`. */
  readonly termsId: string | null;
  /** Of each run: of all calls with one session id. Decimal USD as written. */
  readonly runBudgetUsd: string | null;
  readonly expiresAtMs: number | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tags: readonly string[];
  readonly rpmLimit: number | null;
  readonly tpmLimit: number | null;
  readonly maxParallelRequests: number | null;
  readonly isBlocked: boolean;
  readonly revokedAtMs: number | null;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly updatedAtMs: number;
}

/** A cap with its window. */
export interface KeyCap {
  /** Decimal USD as written. */
  readonly maxBudgetUsd: string;
  /** `null`: for the key's whole life. */
  readonly budgetDuration: string | null;
}

/** One accepted secret of a key. A key has one `current`, and may have `previous` (rotation overlap) and `session` (short-lived) ones. */
export interface KeySecret {
  readonly hash: string;
  readonly keyId: Id<"key">;
  readonly kind: "current" | "previous" | "session";
  /** The end of its life; `null` for none beyond the key's own. */
  readonly expiresAtMs: number | null;
}

/** What one change writes. All of it, with its audit record, or nothing. */
export interface KeyChange {
  /** Inserted, or replaced as a whole. */
  readonly key?: KeyRecord;
  readonly addSecrets?: readonly KeySecret[];
  readonly removeSecretHashes?: readonly string[];
  readonly audit: AuditRecord;
}

export interface KeyStore {
  /** Every key that is not revoked, and every secret that has not expired at `nowMs`. */
  loadAll(nowMs: number): Promise<{ readonly keys: readonly KeyRecord[]; readonly secrets: readonly KeySecret[] }>;
  /**
   * Durable when it resolves; then, and only then, may the key index show it.
   *
   * @throws GatewayError `client_object_conflict` when another live key has the alias or the secret; nothing is written
   * @throws GatewayError `gateway_store_unavailable`; nothing is written
   */
  apply(change: KeyChange): Promise<void>;
}
