/** Virtual keys and their secrets. A deleted key stays as a row with `revoked_at_ms`, so that old entries keep their owner's name. */
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { Id } from "../../kernel/ids.ts";
import type { KeyCap, KeyChange, KeyRecord, KeySecret, KeyStore } from "../../identity/key-store.ts";
import type { SqlDatabase, SqlRow } from "../sql.ts";
import { isUniqueError, storeError } from "../store-error.ts";
import { insertAudit } from "./audit.ts";
import { boolean, integer, integerOrNull, json, text, textOrNull } from "./columns.ts";

/** Secrets that ended longer ago than this are removed; the margin keeps them through a clock that jumped. */
const expiredSecretKeepMs = 24 * 60 * 60 * 1000;

/** @returns the port over `sql`; each change is one transaction of its own */
export function sqliteKeys(sql: SqlDatabase): KeyStore {
  return {
    async loadAll(nowMs) {
      try {
        const keys = sql.rows`SELECT * FROM keys WHERE revoked_at_ms IS NULL ORDER BY id`.map(keyOf);
        const secrets = sql.rows`
          SELECT key_secrets.* FROM key_secrets JOIN keys ON keys.id = key_secrets.key_id
          WHERE keys.revoked_at_ms IS NULL AND (key_secrets.expires_at_ms IS NULL OR key_secrets.expires_at_ms > ${nowMs})`.map(secretOf);
        return { keys, secrets };
      } catch (error) {
        throw storeError(error);
      }
    },
    async apply(change) {
      try {
        sql.transaction(() => writeChange(sql, change));
      } catch (error) {
        throw storeError(error);
      }
    },
  };
}

function writeChange(sql: SqlDatabase, { key, addSecrets = [], removeSecretHashes = [], audit }: KeyChange): void {
  for (const hash of removeSecretHashes) void sql.run`DELETE FROM key_secrets WHERE hash = ${hash}`;
  void sql.run`DELETE FROM key_secrets WHERE expires_at_ms IS NOT NULL AND expires_at_ms < ${audit.atMs - expiredSecretKeepMs}`;
  if (key !== undefined) writeKey(sql, key);
  for (const secret of addSecrets) writeSecret(sql, secret, audit.atMs);
  insertAudit(sql, audit);
}

function writeKey(sql: SqlDatabase, key: KeyRecord): void {
  try {
    void sql.run`INSERT INTO keys (id, token_hash, name, alias, user_id, team_id, models, aliases, max_budget_usd, budget_duration,
        expires_at_ms, metadata, tags, rpm_limit, tpm_limit, max_parallel_requests, is_blocked, revoked_at_ms, created_at_ms, created_by, updated_at_ms,
        organization_id, run_budget_usd, soft_budget_usd, terms_id, budget_limits, model_budgets)
      VALUES (${key.id}, ${key.tokenHash}, ${key.name}, ${key.alias}, ${key.userId}, ${key.teamId}, ${JSON.stringify(key.models)},
        ${JSON.stringify(key.aliases)}, ${key.maxBudgetUsd}, ${key.budgetDuration}, ${key.expiresAtMs}, ${JSON.stringify(key.metadata)},
        ${JSON.stringify(key.tags)}, ${key.rpmLimit}, ${key.tpmLimit}, ${key.maxParallelRequests}, ${Number(key.isBlocked)},
        ${key.revokedAtMs}, ${key.createdAtMs}, ${key.createdBy}, ${key.updatedAtMs},
        ${key.organizationId}, ${key.runBudgetUsd}, ${key.softBudgetUsd}, ${key.termsId},
        ${JSON.stringify(key.budgetLimits)}, ${JSON.stringify(key.modelBudgets)})
      ON CONFLICT (id) DO UPDATE SET token_hash = excluded.token_hash, name = excluded.name, alias = excluded.alias, user_id = excluded.user_id,
        team_id = excluded.team_id, models = excluded.models, aliases = excluded.aliases, max_budget_usd = excluded.max_budget_usd,
        budget_duration = excluded.budget_duration, expires_at_ms = excluded.expires_at_ms, metadata = excluded.metadata, tags = excluded.tags,
        rpm_limit = excluded.rpm_limit, tpm_limit = excluded.tpm_limit, max_parallel_requests = excluded.max_parallel_requests,
        is_blocked = excluded.is_blocked, revoked_at_ms = excluded.revoked_at_ms, created_at_ms = excluded.created_at_ms,
        created_by = excluded.created_by, updated_at_ms = excluded.updated_at_ms, organization_id = excluded.organization_id, run_budget_usd = excluded.run_budget_usd,
        soft_budget_usd = excluded.soft_budget_usd, terms_id = excluded.terms_id, budget_limits = excluded.budget_limits,
        model_budgets = excluded.model_budgets`;
  } catch (error) {
    // The id's own conflict is handled above, so what is left is the alias.
    if (isUniqueError(error)) throw new GatewayError("client_object_conflict", { internal: `alias of key ${key.id} is taken`, publicText: "Another key has this alias already.", cause: error });
    throw error;
  }
}

/** A hash that a revoked key, or a secret that has ended, still holds is free again. */
function writeSecret(sql: SqlDatabase, secret: KeySecret, nowMs: number): void {
  void sql.run`DELETE FROM key_secrets WHERE hash = ${secret.hash} AND (expires_at_ms <= ${nowMs}
    OR EXISTS (SELECT 1 FROM keys WHERE keys.id = key_secrets.key_id AND keys.revoked_at_ms IS NOT NULL))`;
  const written = sql.run`INSERT INTO key_secrets (hash, key_id, kind, expires_at_ms)
    VALUES (${secret.hash}, ${secret.keyId}, ${secret.kind}, ${secret.expiresAtMs})
    ON CONFLICT (hash) DO UPDATE SET kind = excluded.kind, expires_at_ms = excluded.expires_at_ms WHERE key_secrets.key_id = excluded.key_id`;
  if (written === 0) throw new GatewayError("client_object_conflict", { internal: `a secret of key ${secret.keyId} is taken`, publicText: "Another key has this secret already." });
}

function keyOf(row: SqlRow): KeyRecord {
  return {
    id: text(row, "id") as Id<"key">,
    tokenHash: text(row, "token_hash"),
    name: text(row, "name"),
    alias: textOrNull(row, "alias"),
    userId: textOrNull(row, "user_id"),
    teamId: textOrNull(row, "team_id"),
    organizationId: textOrNull(row, "organization_id"),
    models: json<readonly string[]>(row, "models", []),
    aliases: json<Readonly<Record<string, string>>>(row, "aliases", {}),
    maxBudgetUsd: textOrNull(row, "max_budget_usd"),
    budgetDuration: textOrNull(row, "budget_duration"),
    softBudgetUsd: textOrNull(row, "soft_budget_usd"),
    budgetLimits: json<readonly KeyCap[]>(row, "budget_limits", []),
    modelBudgets: json<Readonly<Record<string, KeyCap>>>(row, "model_budgets", {}),
    termsId: textOrNull(row, "terms_id"),
    runBudgetUsd: textOrNull(row, "run_budget_usd"),
    expiresAtMs: integerOrNull(row, "expires_at_ms"),
    metadata: json<Readonly<Record<string, unknown>>>(row, "metadata", {}),
    tags: json<readonly string[]>(row, "tags", []),
    rpmLimit: integerOrNull(row, "rpm_limit"),
    tpmLimit: integerOrNull(row, "tpm_limit"),
    maxParallelRequests: integerOrNull(row, "max_parallel_requests"),
    isBlocked: boolean(row, "is_blocked"),
    revokedAtMs: integerOrNull(row, "revoked_at_ms"),
    createdAtMs: integer(row, "created_at_ms"),
    createdBy: text(row, "created_by"),
    updatedAtMs: integer(row, "updated_at_ms"),
  };
}

function secretOf(row: SqlRow): KeySecret {
  return {
    hash: text(row, "hash"),
    keyId: text(row, "key_id") as Id<"key">,
    kind: text(row, "kind") as KeySecret["kind"],
    expiresAtMs: integerOrNull(row, "expires_at_ms"),
  };
}
