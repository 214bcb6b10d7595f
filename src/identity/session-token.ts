/**
 * Short-lived tokens of a key, for scripts that Claude Code asks for a credential (`apiKeyHelper`). They are derived, not
 * drawn, so that all callers in one half of a token's life get the same one, also after a restart, and a hundred shells
 * need one write.
 */
import { createHmac } from "node:crypto";
import { assert } from "../kernel/assert.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { newId } from "../kernel/ids.ts";
import { Secret } from "../kernel/secret.ts";
import type { KeyChanges } from "./key-changes.ts";
import type { KeyIndex } from "./key-index.ts";
import type { KeyChange, KeyRecord, KeySecret } from "./key-store.ts";
import type { Principal } from "./principal.ts";
import { encodeAlphanumeric, hashKey, keyPrefix } from "./virtual-key.ts";

/** Life of a token. */
export const sessionTokenLifeMs = 60 * 60 * 1000;
/** For how long callers get the same token: what is handed out has at least the other half before it. */
const slotMs = sessionTokenLifeMs / 2;
/** Short-lived tokens that a key has at once; the oldest ends when another comes. */
export const sessionSecretsMax = 3;

export interface SessionToken {
  readonly token: Secret;
  /** Wall time; the earliest end of the token, of the secret it comes from and of the key. */
  readonly expiresAtMs: number;
}

export interface SessionTokens {
  /**
   * A token of the caller's own identity; it is valid, and durable, when this resolves. A token may be had for a token, but
   * never outlives the key's secret that the first one was made from: a rotation ends them all.
   *
   * @throws GatewayError `client_role_insufficient` for the admin key
   * @throws GatewayError `client_key_invalid` when the presented secret has ended meanwhile
   * @throws GatewayError `gateway_store_unavailable`; no new token is valid then
   */
  issue(principal: Principal, nowMs: number, sourceAddress: string): Promise<SessionToken>;
}

/** @param options `gatewaySecret` must survive restarts; whoever has it and a key's hash can make that key's tokens */
export function createSessionTokens(options: { readonly changes: KeyChanges; readonly index: KeyIndex; readonly gatewaySecret: Secret }): SessionTokens {
  const { changes, index, gatewaySecret } = options;
  return {
    async issue(principal, nowMs, sourceAddress) {
      const { key, secretHash } = principal;
      if (key === undefined) throw new GatewayError("client_role_insufficient", { publicText: "The admin key has no short-lived tokens; use a developer key." });
      assert(secretHash !== undefined, "a developer's principal names its secret");
      let issued: SessionToken | undefined;
      await changes.change(() => {
        const live = index.byId(key.id);
        const origin = live === undefined ? undefined : originOf(gatewaySecret, index.secretsOf(live.id), secretHash, nowMs);
        if (live === undefined || origin === undefined) throw new GatewayError("client_key_invalid");
        const slot = Math.floor(nowMs / slotMs);
        const token = derive(gatewaySecret, origin, slot);
        const endMs = Math.min(slot * slotMs + sessionTokenLifeMs, origin.expiresAtMs ?? Number.POSITIVE_INFINITY);
        issued = { token, expiresAtMs: Math.min(endMs, live.expiresAtMs ?? Number.POSITIVE_INFINITY) };
        const secret: KeySecret = { hash: hashKey(token), keyId: live.id, kind: "session", expiresAtMs: endMs };
        return index.has(secret.hash) ? undefined : registration(live, secret, index.secretsOf(live.id), { nowMs, sourceAddress });
      });
      assert(issued !== undefined, "a decided change leaves a token");
      return issued;
    },
  };
}

/**
 * The key's lasting secret that the presented one is, or was derived from. A token of an older slot than the one before
 * this has ended, so two slots are enough to know it again.
 */
function originOf(gatewaySecret: Secret, secrets: readonly KeySecret[], presentedHash: string, nowMs: number): KeySecret | undefined {
  const presented = secrets.find(({ hash }) => hash === presentedHash);
  if (presented === undefined || (presented.expiresAtMs ?? Number.POSITIVE_INFINITY) <= nowMs) return undefined;
  if (presented.kind !== "session") return presented;
  const slot = Math.floor(nowMs / slotMs);
  return secrets.find(
    (secret) => secret.kind !== "session" && [slot, slot - 1].some((candidate) => hashKey(derive(gatewaySecret, secret, candidate)) === presentedHash),
  );
}

function derive(gatewaySecret: Secret, origin: KeySecret, slot: number): Secret {
  const digest = createHmac("sha256", gatewaySecret.reveal()).update(`tollgate session token\n${origin.keyId}\n${origin.hash}\n${slot}`).digest();
  return new Secret(keyPrefix + encodeAlphanumeric(digest));
}

function registration(key: KeyRecord, secret: KeySecret, known: readonly KeySecret[], at: { readonly nowMs: number; readonly sourceAddress: string }): KeyChange {
  const sessions = known.filter(({ kind }) => kind === "session").sort((a, b) => endOf(b) - endOf(a));
  const removed = sessions.filter((other, position) => endOf(other) <= at.nowMs || position >= sessionSecretsMax - 1);
  return {
    addSecrets: [secret],
    removeSecretHashes: removed.map(({ hash }) => hash),
    audit: { id: newId("aud", at.nowMs), atMs: at.nowMs, action: "key.session", actor: key.id, object: key.id, details: { expiresAtMs: secret.expiresAtMs }, sourceAddress: at.sourceAddress },
  };
}

function endOf(secret: KeySecret): number {
  return secret.expiresAtMs ?? Number.POSITIVE_INFINITY;
}
