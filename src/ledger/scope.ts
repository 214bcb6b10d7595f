/**
 * Scopes: the names under which an attempt's money counts. One attempt counts under several, and a budget binds one scope, or
 * each scope of a kind.
 */

/** Kinds of scope, in the order in which they are told to people. `PART/PART` kinds join two ids. */
export const scopeKinds = [
  "global", "organization", "team", "team_user", "user", "key", "end_user", "model", "key_model", "team_model",
  "tag", "project", "provider", "target", "session", "run",
] as const;

export type ScopeKind = (typeof scopeKinds)[number];

/** `global`, or `kind:id`, or `kind:id/id`. */
export type Scope = "global" | `${Exclude<ScopeKind, "global">}:${string}`;

/**
 * Who bears the money of an attempt. `caller`: it counts under all its scopes. `platform`: nobody saw its reply, so it counts where the
 * gateway's own bill does. `client`: it is billed to the caller's own login, and counts nowhere.
 */
export type Payer = "caller" | "platform" | "client";

/** Whose budgets a user's is among: of every key of the user, or of those without a team only. */
export type UserBudget = "all" | "personal_keys";

/** Who and what one attempt spends for, as its row in the ledger tells it; `null` and empty for what the request did not name. */
export interface Spender {
  readonly keyId: string;
  readonly userId: string | null;
  readonly teamId: string | null;
  readonly organizationId: string | null;
  readonly endUserId: string | null;
  readonly project: string | null;
  readonly tags: readonly string[];
  readonly sessionId: string | null;
  /** Public name of the model that serves. */
  readonly model: string;
  readonly provider: string;
  readonly targetId: string;
  /** Absent: the caller. */
  readonly payer?: Payer;
  /** Shown with what is held for it; counts nowhere. */
  readonly requestId?: string;
}

/** A scope with the ones a default for members may come from, nearest first. */
export interface Membership {
  readonly scope: Scope;
  /** Scopes whose `per: member` budgets this one inherits where it has none of its own. */
  readonly inheritsFrom: readonly Scope[];
}

const nobody: readonly Scope[] = [];
const everybody: readonly Scope[] = ["global"];
const platformKinds: ReadonlySet<ScopeKind> = new Set(["global", "provider", "target"]);

/** Whether money that `payer` bears counts under scopes of a kind. */
export function countsUnder(payer: Payer | undefined, kind: ScopeKind): boolean {
  return payer === undefined || payer === "caller" || (payer === "platform" && platformKinds.has(kind));
}

/**
 * Scopes of an attempt; the same attempt always gives the same ones, in the order of {@link scopeKinds}.
 *
 * @param kinds those that somebody asks for; most gateways have budgets of two or three
 */
export function membershipsOf(spender: Spender, kinds: ReadonlySet<ScopeKind>, userBudget: UserBudget = "all"): readonly Membership[] {
  const { keyId, userId, teamId, organizationId, endUserId, project, tags, sessionId, model, provider, targetId, payer } = spender;
  const memberships: Membership[] = [];
  if (payer === "client") return memberships;
  const add = (kind: Exclude<ScopeKind, "global">, id: string | null, inheritsFrom = nobody): void => {
    if (id !== null && kinds.has(kind) && countsUnder(payer, kind)) memberships.push({ scope: `${kind}:${id}`, inheritsFrom });
  };
  const pair = (first: string | null, second: string | null): string | null => (first === null || second === null ? null : `${first}/${second}`);
  if (kinds.has("global")) memberships.push({ scope: "global", inheritsFrom: nobody });
  add("organization", organizationId);
  add("team", teamId);
  if (kinds.has("team_user")) add("team_user", pair(teamId, userId), [`team:${teamId ?? ""}`]);
  add("user", userBudget === "personal_keys" && teamId !== null ? null : userId, organizationId === null ? everybody : [`organization:${organizationId}`, "global"]);
  add("key", keyId);
  add("end_user", endUserId);
  add("model", model);
  if (kinds.has("key_model")) add("key_model", pair(keyId, model));
  if (kinds.has("team_model")) add("team_model", pair(teamId, model));
  if (kinds.has("tag")) for (const tag of tags) add("tag", tag);
  add("project", project);
  add("provider", provider);
  add("target", targetId);
  add("session", sessionId);
  // A run without a name has a scope too, under which nothing has room: a cap on each run must not be had by leaving the name out.
  if (kinds.has("run")) add("run", `${keyId}/${sessionId ?? ""}`, [`key:${keyId}`]);
  return memberships;
}

/** Kind of what inherits a `per: member` budget of a scope. */
export function memberKindOf(scope: Scope): ScopeKind {
  const kind = kindOf(scope);
  if (kind === "key") return "run";
  return kind === "team" ? "team_user" : "user";
}

export function kindOf(scope: Scope): ScopeKind {
  const colon = scope.indexOf(":");
  return (colon === -1 ? scope : scope.slice(0, colon)) as ScopeKind;
}

/** What stands behind the kind; empty for `global`. */
export function idOf(scope: Scope): string {
  const colon = scope.indexOf(":");
  return colon === -1 ? "" : scope.slice(colon + 1);
}
