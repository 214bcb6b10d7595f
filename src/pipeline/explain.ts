/**
 * Where a call would go now, and why: what `plan`, `choose` and the fallbacks would do for it, by the same functions, without sending or
 * claiming anything.
 */
import type { Fallbacks } from "../config/gateway-config.ts";
import { resolveAlias } from "../identity/access.ts";
import type { Principal } from "../identity/principal.ts";
import type { BalanceState } from "../ledger/ledger.ts";
import { affinityKey } from "../routing/affinity-key.ts";
import type { ExplainedFallback, ExplainedTarget, RouteExplanation, RouteQuestion } from "../routing/explanation.ts";
import type { CircuitView } from "../routing/health.ts";
import { withTags } from "../routing/order.ts";
import { nearestNames, type Route } from "../routing/route.ts";
import { circuitKey } from "../routing/state.ts";
import { attributionOf, foreignProject } from "./attribution.ts";
import { rank, takingPrompt, type Ranked } from "./choose.ts";
import { listedFallbacks } from "./course.ts";
import type { PlannedTarget } from "./exchange.ts";
import { targetLimitText } from "./limits.ts";
import { accessibleModels, atPlace, mayUseRoute } from "./plan.ts";
import type { Services } from "./services.ts";
import type { Snapshot } from "./snapshot.ts";

type Needed = Pick<Services, "routing" | "ledger" | "limiter" | "clock">;

/** A call that somebody might make, and what would be read of its headers. */
interface Asked {
  readonly snapshot: Snapshot;
  readonly principal: Principal;
  readonly question: RouteQuestion;
  readonly route: Route;
  readonly attribution: ReturnType<typeof attributionOf>;
  readonly warmth: ReturnType<Services["routing"]["affinity"]["find"]>;
}

/** @param principal whose call it would be */
export function explainRoute(services: Needed, snapshot: Snapshot, principal: Principal, question: RouteQuestion): RouteExplanation {
  const { model: asked, isForOperator } = question;
  const name = resolveAlias(principal.key?.aliases ?? {}, asked);
  const route = snapshot.routes.resolve(name);
  const nothing = { asked, model: undefined, strategy: undefined, targets: [], fallbacks: [] };
  const attribution = attributionOf({ ...(question.tags.length === 0 ? {} : { "x-litellm-tags": question.tags.join(",") }), ...(question.sessionId === null ? {} : { "x-claude-code-session-id": question.sessionId }) }, principal);
  if (route === undefined || (!isForOperator && !mayUseRoute(principal, route))) {
    const near = nearestNames(asked, accessibleModels(snapshot, principal));
    const fault = isForOperator ? "Nothing serves this name." : "No model that the key may use has this name.";
    return { ...nothing, understoodAs: isForOperator ? wordsOf({ asked, name, route, snapshot }) : "no model that the key may use", refusal: `${fault}${near.length === 0 ? "" : ` Near to it: ${near.join(", ")}.`}` };
  }
  const found = { ...nothing, model: route.publicName, understoodAs: wordsOf({ asked, name, route, snapshot }) };
  const project = foreignProject(principal, attribution);
  if (project !== undefined) return { ...found, refusal: `The key may not spend for the project ${JSON.stringify(project)}.` };
  if (!mayUseRoute(principal, route)) return { ...found, refusal: `The key may not use it: its models are ${principal.key?.models.join(", ") ?? "none"}.` };
  const call: Asked = { snapshot, principal, question, route, attribution, warmth: warmthOf(services, { principal, question, route }) };
  const { targets, downgrades } = explainTargets(services, call);
  const fallbacks = [...downgrades.map((model): ExplainedFallback => ({ reason: "downgrade", model, fault: standInFault(call, model) })), ...explainFallbacks(call)].filter(({ model }) => isForOperator || mayBeNamed(call, model));
  const isServed = targets.some(({ place }) => place !== undefined) || fallbacks.some(({ reason, fault }) => reason === "downgrade" && fault === undefined);
  return { ...found, refusal: isServed ? undefined : "No target would serve this call.", strategy: route.model.strategy, targets, fallbacks };
}

function wordsOf({ asked, name, route, snapshot }: { readonly asked: string; readonly name: string; readonly route: Route | undefined; readonly snapshot: Snapshot }): string {
  const own = name === asked ? "" : `the key's alias for ${name}, `;
  if (route === undefined) return `${own}no model's name, alias or pattern`;
  const { model, publicName } = route;
  if (snapshot.config.modelAliases.has(name)) return `${own}an alias (model_group_alias) of ${publicName}`;
  if (model.name === name) return `${own}the model's own name`;
  if (model.aliases.includes(name)) return `${own}an alias of ${model.name}`;
  if (model.targets.some(({ id }) => id === name)) return `${own}the id of a target of ${model.name}`;
  return model.name.includes("*") ? `${own}what the pattern ${model.name} serves` : `${own}${model.name}`;
}

/** A target on its way through the choice; reasons gather. */
interface Candidate {
  readonly planned: PlannedTarget;
  readonly reasons: string[];
}

/** `downgrades`: models that budgets without room name, where no target has any. */
function explainTargets(services: Needed, asked: Asked): { readonly targets: readonly ExplainedTarget[]; readonly downgrades: readonly string[] } {
  const { snapshot, route, question, attribution, warmth } = asked;
  const { circuit, tagMatch } = snapshot.config.routing;
  const candidates = route.targets.flatMap((target): Candidate[] => {
    const place = snapshot.places.get(target.target.provider);
    return place === undefined ? [] : [{ planned: atPlace(target, place), reasons: [] }];
  });
  const reasonsOf = new Map(candidates.map(({ planned, reasons }) => [planned, reasons]));
  const keep = (targets: readonly PlannedTarget[], kept: readonly PlannedTarget[], why: (target: PlannedTarget) => string): readonly PlannedTarget[] => {
    for (const target of targets) if (!kept.includes(target)) reasonsOf.get(target)!.push(`left out: ${why(target)}`);
    return kept;
  };
  const all = candidates.map(({ planned }) => planned);
  const tokens = question.inputTokens ?? 0;
  const usable = keep(all, all.filter(({ target }) => question.hasOwnLogin || target.credential !== "client"), () => "only for callers who send a login of their own for it");
  const tagged = keep(usable, withTags(usable, attribution.tags, tagMatch), ({ target }) => `${target.tags.length === 0 ? "it has no tags" : `its tags are ${target.tags.join(", ")}`}, the call's ${attribution.tags.length === 0 ? "none" : attribution.tags.join(", ")}`);
  const fitting = keep(tagged, takingPrompt(tagged, tokens), ({ target }) => `it takes prompts of up to ${target.inputTokensMax} tokens`);
  const limited = new Map(fitting.map((target) => [target, targetLimitText(services, snapshot, { provider: target.place.name, targetId: target.target.id, inputTokens: tokens })]));
  const open = keep(fitting, fitting.filter((target) => limited.get(target) === undefined), (target) => limited.get(target)!.replace(/\.$/, ""));
  const full = new Map(open.map((target) => [target, fullBudgets(services, asked, target)]));
  const roomy = keep(open, open.filter((target) => full.get(target)!.length === 0), (target) => `the budget of ${full.get(target)![0]!.scope} has no room`);
  // A draw that favours nobody: among equals the heavier ones, then those that stand first.
  const ranked = rank(services, { targets: roomy, strategy: route.model.strategy, circuit, warmTargetId: warmth?.targetId }, () => 0.5);
  const shares = sharesOf(ranked, route);
  const circuits = new Map(services.routing.health.states().map((view) => [view.key, view]));
  for (const [index, each] of ranked.entries()) reasonsOf.get(each.target)!.push(...reasonsFor(each, { index, route, share: shares.get(each.target), isParked: circuits.get(circuitKey(each.target))?.isParked === true }));
  const order = [...ranked.map(({ target }) => target), ...all.filter((target) => !roomy.includes(target))];
  return {
    targets: order.map((planned, index) => viewOf(services, planned, { place: index < ranked.length ? index + 1 : undefined, isWarm: planned.target.id === warmth?.targetId, reasons: reasonsOf.get(planned)!, known: circuits.get(circuitKey(planned)), circuit })),
    // Who has money and meets a limit will have room again, so no other model steps in for that.
    downgrades: roomy.length > 0 || open.length < fitting.length ? [] : [...new Set([...full.values()].flatMap((states) => states.flatMap(({ budget }) => budget.downgradeModel ?? [])))],
  };
}

/** Budgets that have nothing left for a call there. */
function fullBudgets({ ledger, clock }: Needed, { principal, route, attribution }: Asked, { target, place }: PlannedTarget): readonly BalanceState[] {
  const { keyId, userId, teamId, organizationId } = principal;
  const { endUserId, project, tags, sessionId } = attribution;
  const spender = { keyId, userId, teamId, organizationId, endUserId, project, tags, sessionId, model: route.publicName, provider: place.name, targetId: target.id, payer: target.credential === "client" ? ("client" as const) : ("caller" as const) };
  return ledger.balancesOf(spender, clock.now()).filter(({ budget, settled, held }) => budget.mode !== "advisory" && settled + held >= budget.amountNanoUsd);
}

function warmthOf({ routing }: Needed, { principal, question, route }: Pick<Asked, "principal" | "question" | "route">): Asked["warmth"] {
  if (!route.model.hasAffinity || question.sessionId === null) return undefined;
  const key = affinityKey({ keyId: principal.keyId, sessionId: question.sessionId, model: route.publicName, hasOwnLogin: question.hasOwnLogin, promptPrefix: () => undefined });
  return key === undefined ? undefined : routing.affinity.find(key);
}

/** Of the targets among which the draw is, in whole per cent; none where nothing is drawn. */
function sharesOf(ranked: readonly Ranked[], { model }: Route): ReadonlyMap<PlannedTarget, number> {
  const [first] = ranked;
  if (model.strategy !== "weighted" || first === undefined || first.isWarm) return new Map();
  const equal = ranked.filter(({ target, state, isProbed, isWarm }) => state !== "open" && !isProbed && !isWarm && target.target.priority === first.target.target.priority);
  const total = equal.reduce((sum, { target }) => sum + target.target.weight, 0);
  return new Map(equal.length < 2 || total === 0 ? [] : equal.map(({ target }) => [target, Math.round((target.target.weight / total) * 100)]));
}

interface Standing {
  readonly index: number;
  readonly route: Route;
  readonly share: number | undefined;
  readonly isParked: boolean;
}

function reasonsFor({ state, isProbed, isWarm }: Ranked, { index, route, share, isParked }: Standing): readonly string[] {
  const { strategy } = route.model;
  return [
    ...(isWarm ? ["the session's prompt cache is warm here"] : []),
    ...(share === undefined ? [] : [`drawn first for ${share} % of the calls`]),
    ...(index === 0 && strategy === "least-busy" && !isWarm ? ["the fewest replies run here"] : []),
    ...(index === 0 && strategy === "latency" && !isWarm ? ["the quicker of two that are drawn; others may be drawn next time"] : []),
    ...(state === "open" ? [isParked ? "its quota is used up for now, so it comes last" : "its circuit is open, so it comes last"] : []),
    ...(isProbed ? ["another call is finding out whether it is well again"] : state === "half-open" ? ["the next call finds out whether it is well again"] : []),
  ];
}

interface Seen {
  readonly place: number | undefined;
  readonly isWarm: boolean;
  readonly reasons: readonly string[];
  readonly known: CircuitView | undefined;
  readonly circuit: Parameters<Services["routing"]["health"]["state"]>[1];
}

function viewOf({ routing }: Needed, planned: PlannedTarget, { place, isWarm, reasons, known, circuit }: Seen): ExplainedTarget {
  const { target, upstreamModel } = planned;
  const state = routing.health.state(circuitKey(planned), circuit);
  return {
    id: target.id,
    provider: planned.place.name,
    model: upstreamModel,
    priority: target.priority,
    weight: target.weight,
    place,
    circuit: state,
    isParked: known?.isParked === true,
    lastFailure: known?.lastFailure,
    opensInMs: state === "closed" ? undefined : known?.opensInMs,
    isWarm,
    running: routing.stats.running(target.id),
    firstEventMs: routing.stats.firstEventMs(target.id),
    reasons,
  };
}

function explainFallbacks(asked: Asked): readonly ExplainedFallback[] {
  const { snapshot, route, warmth } = asked;
  const { routing } = snapshot.config;
  const isInSession = warmth?.isConfirmed === true && !routing.fallsBackInSessions;
  return (["failure", "contextWindow", "contentPolicy"] as const satisfies readonly (keyof Fallbacks)[]).flatMap((reason) =>
    listedFallbacks(routing, route, reason).map((model, index): ExplainedFallback => {
      const fault = standInFault(asked, model) ?? (isInSession ? "not inside a session whose prompt cache is warm" : index < routing.fallbacksMax ? undefined : "fallbacks_max is reached before");
      return { reason, model, fault };
    }),
  );
}

/** Why a model would not step in for this caller, whatever happens; undefined where it would. */
function standInFault({ snapshot, principal, route, question, attribution }: Asked, model: string): string | undefined {
  const instead = snapshot.routes.resolve(model);
  if (instead === undefined) return "nothing serves it";
  if (instead.publicName === route.publicName) return "it is the same model";
  if (!mayUseRoute(principal, instead)) return "the key may not use it";
  const usable = instead.targets.filter(({ target }) => question.hasOwnLogin || target.credential !== "client");
  if (usable.length === 0) return "only for callers who send a login of their own for it";
  return withTags(usable, attribution.tags, snapshot.config.routing.tagMatch).length === 0 ? "no target of it serves the call's tags" : undefined;
}

function mayBeNamed({ snapshot, principal }: Asked, model: string): boolean {
  const instead = snapshot.routes.resolve(model);
  return instead !== undefined && mayUseRoute(principal, instead);
}
