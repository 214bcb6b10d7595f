/** The one sentence of a call that finds no room: which budget, how much of it, until when, and what is open all the same. */
import type { BoundGap, Shortage } from "./ledger.ts";
import { idOf, kindOf, type Scope, type ScopeKind } from "./scope.ts";
import { describeBudget, renderInstant } from "./window-text.ts";

/** What the sentence needs besides the shortages. */
export interface RefusalContext {
  readonly nowMs: number;
  /** A scope's name for people, where it has a better one than its id. */
  readonly nameOf: (scope: Scope) => string | undefined;
  /** Models that the caller may use and that have room. */
  readonly openModels: readonly string[];
  readonly requestId: string;
}

/** @param shortages at least one */
export function refusalText(shortages: readonly Shortage[], context: RefusalContext): string {
  const { nowMs, openModels, requestId } = context;
  const [worst, ...others] = inOrder(shortages);
  const sentences = [`${statusOf(worst!, context)}${resetOf(worst!, nowMs)}.`];
  if (others.length > 0) sentences.push(`Without room as well: ${others.map((shortage) => `${nameOf(shortage.scope, context)}${resetOf(shortage, nowMs)}`).join("; ")}.`);
  if (openModels.length > 0) sentences.push(`Still open to you: ${openModels.join(", ")}.`);
  const contact = worst!.budget.contact;
  if (contact !== undefined) sentences.push(`Ask: ${contact}.`);
  return `${sentences.join(" ")} Ref ${requestId}`;
}

/** The one that is shut longest first. */
export function inOrder(shortages: readonly Shortage[]): readonly Shortage[] {
  return shortages.toSorted((a, b) => (b.endMs ?? Number.POSITIVE_INFINITY) - (a.endMs ?? Number.POSITIVE_INFINITY));
}

/** Whole seconds until the worst one's window ends, at least 1; undefined when it never does. */
export function secondsUntilRoom(shortages: readonly Shortage[], nowMs: number): number | undefined {
  const endMs = inOrder(shortages)[0]?.endMs ?? null;
  return endMs === null ? undefined : Math.max(1, Math.ceil((endMs - nowMs) / 1_000));
}

function statusOf({ budget, scope, settled, held, needed }: Shortage, context: RefusalContext): string {
  const name = nameOf(scope, context);
  const amount: bigint = budget.amountNanoUsd;
  const kind = describeBudget(budget.window, context.nowMs);
  if (amount === 0n) return `${name} has a ${kind} budget of $0`;
  if (settled >= amount) return `${name} has used its ${kind} budget (${dollars(settled)} of ${dollars(amount)})`;
  const left = amount - settled - held;
  const running = held > 0n ? `, with ${dollars(held)} held for calls that run` : "";
  if (needed === "run") return `Each run of this key has a budget of ${dollars(amount)}, and this call says to which it belongs in no header: send x-claude-code-session-id`;
  if (typeof needed === "string") return `${name}'s ${kind} budget lets through only calls whose cost has an upper bound: ${mends[needed]}`;
  return `${name} has ${dollars(left > 0n ? left : 0n)} left of its ${kind} budget of ${dollars(amount)}${running}, and this call needs about ${dollars(needed)}`;
}

const mends: Readonly<Record<Exclude<BoundGap, "run">, string>> = {
  price: "this model has no price here",
  max_tokens: "set max_tokens",
  further_runs: "leave out advisor tools, fallbacks and compaction, which run further models or rounds",
  server_tool: "set max_uses on each tool that the provider runs, and leave out those that have none",
};

function resetOf({ budget, endMs }: Shortage, nowMs: number): string {
  return endMs === null ? "" : `, resets ${renderInstant(budget.window.zone, endMs, nowMs)}`;
}

const kindWords: Record<ScopeKind, string> = {
  global: "This gateway", organization: "Organization", team: "Team", team_user: "Your share of team", user: "User", key: "Key", end_user: "End user",
  model: "Model", key_model: "This key's model", team_model: "Your team's model", tag: "Tag", project: "Project", provider: "Provider", target: "Target",
  session: "This session", run: "This run",
};

function nameOf(scope: Scope, { nameOf: known }: RefusalContext): string {
  const kind = kindOf(scope);
  if (kind === "global" || kind === "session" || kind === "run") return kindWords[kind];
  const id = idOf(scope);
  const last = kind === "key_model" || kind === "team_model" ? id.slice(id.indexOf("/") + 1) : kind === "team_user" ? id.slice(0, id.indexOf("/")) : id;
  return `${kindWords[kind]} ${known(scope) ?? last}`;
}

const nanoPerCent = 10_000_000n;

/** `$4,000.12`, `$4,000`, and as many digits as it takes below a cent. */
export function dollars(nanoUsd: bigint): string {
  if (nanoUsd > 0n && nanoUsd < nanoPerCent) return `$${(Number(nanoUsd) / 1e9).toPrecision(2)}`;
  const cents = (nanoUsd + nanoPerCent / 2n) / nanoPerCent;
  const whole = (cents / 100n).toString().replace(/\B(?=(?:\d{3})+$)/g, ",");
  const rest = (cents % 100n).toString().padStart(2, "0");
  return rest === "00" ? `$${whole}` : `$${whole}.${rest}`;
}
