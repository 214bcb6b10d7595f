/** `/v1/me`: what a developer may know about the own key, and the short-lived token for helper scripts. */
import type { Principal } from "../identity/principal.ts";
import type { SessionTokens } from "../identity/session-token.ts";
import { showOnce } from "../identity/virtual-key.ts";
import { formatUsd } from "../kernel/money.ts";
import type { BalanceState, Ledger } from "../ledger/ledger.ts";
import { kindOf, type Scope, type ScopeKind, type Spender } from "../ledger/scope.ts";
import { budgetRow } from "./budgets.ts";
import { isoOrNull } from "./durations.ts";
import type { AdminHandler } from "./handler.ts";
import type { KeyService } from "./keys.ts";

/** Kinds of scope that a caller has before it has asked for anything. */
const ownKinds: ReadonlySet<ScopeKind> = new Set(["global", "organization", "team", "team_user", "user", "key", "tag", "session", "run"]);
const sessionLengthMax = 256;

/**
 * `GET /v1/me`: the caller's own identity, lifetime spend in decimal dollars, and the budgets that every call of its falls under; with
 * `?session=ID` those of one session too. The admin key has no key record.
 */
export function createMeHandler(keys: KeyService, ledger: Pick<Ledger, "balancesOf" | "recall">): AdminHandler {
  return async ({ principal, query, nowMs }) => {
    const { key } = principal;
    const spend = (await keys.spend([principal.keyId]))(principal.keyId);
    const spender = spenderOf(principal, query.get("session"));
    await ledger.recall(spender, nowMs);
    // What only tells its owner something takes nothing from the caller.
    const budgets = ledger.balancesOf(spender, nowMs).filter(({ scope, budget }) => budget.mode !== "advisory" && ownKinds.has(kindOf(scope)) && (spender.sessionId !== null || !isOfSession(scope)));
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
        budgets: budgets.map((state) => ownBudgetRow(state, nowMs)),
      },
    };
  };
}

function spenderOf({ keyId, userId, teamId, organizationId, key }: Principal, session: string | null): Spender {
  const sessionId = session === null || session === "" ? null : session.slice(0, sessionLengthMax);
  return { keyId, userId, teamId, organizationId, endUserId: null, project: null, tags: key?.tags ?? [], sessionId, model: "", provider: "", targetId: "" };
}

function isOfSession(scope: Scope): boolean {
  const kind = kindOf(scope);
  return kind === "session" || kind === "run";
}

/** As in `GET /api/v1/budgets`, without what only operators need. */
function ownBudgetRow(state: BalanceState, nowMs: number): Readonly<Record<string, unknown>> {
  const { scope, window, amount_usd, spent_usd, held_usd, left_usd, resets_at } = budgetRow(state, nowMs) as Record<string, unknown>;
  return { scope, window, amount_usd, spent_usd, held_usd, left_usd, resets_at };
}

/** `POST /v1/me/token`: the same token for all callers of one key until half its life. The body, if any, is not read. */
export function createTokenHandler(tokens: SessionTokens): AdminHandler {
  return async ({ principal, nowMs, sourceAddress }) => {
    const { token, expiresAtMs } = await tokens.issue(principal, nowMs, sourceAddress);
    return { status: 200, body: { token: showOnce(token), expires_at: isoOrNull(expiresAtMs) } };
  };
}
