/**
 * Which limits bind a scope: the operator's rules, and what a key has of its own. Limits of one scope are made once and then always the
 * same objects, so that a call allocates none.
 */
import type { Limit, LimitKind } from "./limit.ts";

/** Limits of one scope, or with `*` in place of an id, or of either of two joined ones, of each such scope: `key:*`, `team_user:payments/*`. */
export interface LimitRule {
  readonly scope: string;
  readonly max: Readonly<Partial<Record<LimitKind, number>>>;
}

/** Rules of one configuration. */
export interface LimitRules {
  /** Of the scopes that some rule names, as in `key:*`. */
  readonly kinds: ReadonlySet<string>;
  /**
   * @param name the scope as a rule may name it
   * @param counted the scope under which it is counted; another one where clients choose the name, which must not be shared by keys
   */
  of(name: string, counted: string): readonly Limit[];
}

/** Scopes whose limits are kept in one generation; those of clients' own names come and go. */
const keptMax = 50_000;
const none: readonly Limit[] = [];

/** Kinds of scope that clients may name as they like, through a header or a route with a wildcard. */
const openKinds: ReadonlySet<string> = new Set(["end_user", "model", "key_model", "team_model", "tag", "project", "session", "run"]);
/** Kinds of which an id joins two. */
const pairKinds: ReadonlySet<string> = new Set(["team_user", "key_model", "team_model"]);

/** Of two rules for one scope and kind the more particular one wins, and of equal ones the stricter. */
export function createLimitRules(rules: readonly LimitRule[]): LimitRules {
  const byScope = new Map<string, Map<LimitKind, number>>();
  for (const { scope, max } of rules) {
    let known = byScope.get(scope);
    if (known === undefined) byScope.set(scope, (known = new Map()));
    for (const [kind, value] of Object.entries(max) as [LimitKind, number][]) known.set(kind, Math.min(value, known.get(kind) ?? value));
  }
  let kept = new Map<string, readonly Limit[]>();
  let older: ReadonlyMap<string, readonly Limit[]> = new Map();
  const keep = (counted: string, limits: readonly Limit[]): readonly Limit[] => {
    if (kept.size >= keptMax) [older, kept] = [kept, new Map()];
    kept.set(counted, limits);
    return limits;
  };
  return {
    kinds: new Set(rules.map(({ scope }) => kindOf(scope))),
    of(name, counted) {
      const found = kept.get(counted);
      if (found !== undefined) return found;
      const recent = older.get(counted);
      if (recent !== undefined) return keep(counted, recent);
      const own = byScope.get(name);
      const max = new Map([...patternsOf(name).flatMap((pattern) => [...(byScope.get(pattern) ?? [])]), ...(own ?? [])]);
      return keep(counted, max.size === 0 ? none : limitsOf(counted, max, own === undefined && openKinds.has(kindOf(name))));
    },
  };
}

/**
 * @param max by kind
 * @param hasClientName see {@link Limit.hasClientName}
 */
export function limitsOf(scope: string, max: ReadonlyMap<LimitKind, number>, hasClientName = false): readonly Limit[] {
  return [...max].map(([kind, value]) => ({ scope, kind, max: value, hasClientName }));
}

/** Rules with a `*` that bind a scope, the more particular after the more general. */
function patternsOf(name: string): readonly string[] {
  const kind = kindOf(name);
  const slash = pairKinds.has(kind) ? name.indexOf("/") : -1;
  return slash === -1 ? [`${kind}:*`] : [`${kind}:*`, `${kind}:*${name.slice(slash)}`, `${name.slice(0, slash)}/*`];
}

/** A list in which the second one's limits stand in for those of the same kind in the first. */
export function overriddenBy(limits: readonly Limit[], own: readonly Limit[]): readonly Limit[] {
  if (own.length === 0) return limits;
  if (limits.length === 0) return own;
  return [...limits.filter(({ kind }) => !own.some((each) => each.kind === kind)), ...own];
}

function kindOf(scope: string): string {
  const colon = scope.indexOf(":");
  return colon === -1 ? scope : scope.slice(0, colon);
}
