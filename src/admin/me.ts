/** `/v1/me`: what a developer may know about the own key, and the short-lived token for helper scripts. */
import type { SessionTokens } from "../identity/session-token.ts";
import { showOnce } from "../identity/virtual-key.ts";
import { formatUsd } from "../kernel/money.ts";
import { isoOrNull } from "./durations.ts";
import type { AdminHandler } from "./handler.ts";
import type { KeyService } from "./keys.ts";

/** `GET /v1/me`: the caller's own identity and lifetime spend in decimal dollars. The admin key has no key record. */
export function createMeHandler(keys: KeyService): AdminHandler {
  return async ({ principal }) => {
    const { key } = principal;
    const spend = (await keys.spend([principal.keyId]))(principal.keyId);
    return {
      status: 200,
      body: {
        role: principal.role,
        key_id: principal.keyId,
        key_name: key?.name ?? null,
        key_alias: key?.alias ?? null,
        user_id: principal.userId,
        team_id: principal.teamId,
        organization_id: principal.organizationId,
        models: key?.models ?? [],
        aliases: key?.aliases ?? {},
        tags: key?.tags ?? [],
        expires: isoOrNull(key?.expiresAtMs ?? null),
        spend_usd: formatUsd(spend),
      },
    };
  };
}

/** `POST /v1/me/token`: the same token for all callers of one key until half its life. The body, if any, is not read. */
export function createTokenHandler(tokens: SessionTokens): AdminHandler {
  return async ({ principal, nowMs, sourceAddress }) => {
    const { token, expiresAtMs } = await tokens.issue(principal, nowMs, sourceAddress);
    return { status: 200, body: { token: showOnce(token), expires_at: isoOrNull(expiresAtMs) } };
  };
}
