/**
 * Where a call would go now, and why: what `plan`, `choose` and the fallbacks would do for it, by the same functions, without sending or
 * claiming anything.
 */
import type { Fallbacks } from "../config/gateway-config.ts";
import { resolveAlias } from "../identity/access.ts";
import type { Principal } from "../identity/principal.ts";
import { affinityKey } from "../routing/affinity-key.ts";
import type { ExplainedFallback, ExplainedTarget, RouteExplanation, RouteQuestion } from "../routing/explanation.ts";
import { withTags } from "../routing/order.ts";
import { nearestNames, type Route } from "../routing/route.ts";
import { circuitKey } from "../routing/state.ts";
import { rank, type Ranked } from "./choose.ts";
import type { PlannedTarget } from "./exchange.ts";
import { accessibleModels, atPlace, mayUseRoute } from "./plan.ts";
import type { Services } from "./services.ts";
import type { Snapshot } from "./snapshot.ts";

type Needed = Pick<Services, "routing" | "ledger" | "clock">;

/** @param principal whose call it would be */
export function explainRoute(services: Needed, snapshot: Snapshot, principal: Principal, question: RouteQuestion): RouteExplanation {
  const { model: asked } = question;
  const name = resolveAlias(principal.key?.aliases ?? {}, asked);
  const route = snapshot.routes.resolve(name);
  const understoodAs = wordsOf({ asked, name, route, snapshot });
  const nothing = { asked, understoodAs, strategy: undefined, targets: [], fallbacks: [] };
  if (route === undefined) {
    const near = nearestNames(asked, accessibleModels(snapshot, principal));
    return { ...nothing, model: undefined, refusal: `Nothing serves this name.${near.length === 0 ? "" : ` Near to it: ${near.join(", ")}.`}` };
  }
  if (!mayUseRoute(principal, route)) return { ...nothing, model: route.publicName, refusal: `The key may not use it: its models are ${principal.key?.models.join(", ") ?? "none"}.` };
  const targets = explainTargets(services, snapshot, { principal, question, route });
  const isServed = targets.some(({ place }) => place !== undefined);
  return {
    asked,
    model: route.publicName,
    understoodAs,
    refusal: isServed ? undefined : "No target would serve this call.",
    strategy: route.model.strategy,
    targets,
    fallbacks: explainFallbacks(snapshot, principal, route),
  };
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

interface Asked {
  readonly principal: Principal;
  readonly question: RouteQuestion;
  readonly route: Route;
}

/** A target on its way through the choice; reasons gather. */
interface Candidate {
  readonly planned: PlannedTarget;
  readonly reasons: string[];
}

function explainTargets(services: Needed, snapshot: Snapshot, asked: Asked): readonly ExplainedTarget[] {
  const { route, principal, question } = asked;
  const { circuit, tagMatch } = snapshot.config.routing;
  const candidates = route.targets.flatMap((target): Candidate[] => {
    const place = snapshot.places.get(target.target.provider);
    return place === undefined ? [] : [{ planned: atPlace(target, place), reasons: [] }];
  });
  const reasonsOf = new Map(candidates.map(({ planned, reasons }) => [planned, reasons]));
  const keep = (targets: readonly PlannedTarget[], kept: readonly PlannedTarget[], why: (target: PlannedTarget) => string): readonly PlannedTarget[] => {
    for (const target of targets) if (!kept.includes(target)) reasonsOf.get(target)!.push(why(target));
    return kept;
  };
  const all = candidates.map(({ planned }) => planned);
  const tags = [...new Set([...(principal.key?.tags ?? []), ...question.tags])];
  const tagged = keep(all, withTags(all, tags, tagMatch), ({ target }) => `left out: ${target.tags.length === 0 ? "it has no tags" : `its tags are ${target.tags.join(", ")}`}, the call's ${tags.length === 0 ? "none" : tags.join(", ")}`);
  const tokens = question.inputTokens ?? 0;
  const short = tagged.filter(({ target }) => tokens <= (target.inputTokensMax ?? Infinity));
  const fitting = keep(tagged, short.length === 0 ? tagged : short, ({ target }) => `left out: it takes prompts of up to ${target.inputTokensMax} tokens`);
  const roomy = keep(fitting, fitting.filter((target) => fullBudget(services, asked, target) === undefined), (target) => `left out: ${fullBudget(services, asked, target)}`);
  const warmTargetId = warmAt(services, asked);
  // A draw that favours nobody: among equals the heavier ones, then those that stand first.
  const ranked = rank(services, { targets: roomy, strategy: route.model.strategy, circuit, warmTargetId }, () => 0.5);
  const shares = sharesOf(ranked, route);
  for (const [index, each] of ranked.entries()) reasonsOf.get(each.target)!.push(...reasonsFor(each, { index, route, share: shares.get(each.target) }));
  for (const { planned, reasons } of candidates) if (planned.target.credential === "client") reasons.push("only for callers who send a login of their own for it");
  const order = [...ranked.map(({ target }) => target), ...all.filter((target) => !roomy.includes(target))];
  return order.map((planned) => viewOf(services, planned, { place: roomy.includes(planned) ? ranked.findIndex(({ target }) => target === planned) + 1 : undefined, isWarm: planned.target.id === warmTargetId, reasons: reasonsOf.get(planned)!, circuit }));
}

/** The first budget or limit-like cap that leaves the target nothing; sentences name it by its scope. */
function fullBudget({ ledger, clock }: Needed, { principal, question, route }: Asked, { target, place }: PlannedTarget): string | undefined {
  const { keyId, userId, teamId, organizationId, key } = principal;
  const spender = { keyId, userId, teamId, organizationId, endUserId: null, project: null, tags: [...(key?.tags ?? []), ...question.tags], sessionId: question.sessionId, model: route.publicName, provider: place.name, targetId: target.id, payer: target.credential === "client" ? ("client" as const) : ("caller" as const) };
  const full = ledger.balancesOf(spender, clock.now()).find(({ budget, settled, held }) => budget.mode !== "advisory" && settled + held >= budget.amountNanoUsd);
  return full === undefined ? undefined : `the budget of ${full.scope} has no room`;
}

function warmAt({ routing }: Needed, { principal, question, route }: Asked): string | undefined {
  if (!route.model.hasAffinity || question.sessionId === null) return undefined;
  const key = affinityKey({ keyId: principal.keyId, sessionId: question.sessionId, model: route.publicName, hasOwnLogin: false, promptPrefix: () => undefined });
  return key === undefined ? undefined : routing.affinity.find(key)?.targetId;
}

/** Of the targets among which the draw is, in whole per cent; none where nothing is drawn. */
function sharesOf(ranked: readonly Ranked[], { model }: Route): ReadonlyMap<PlannedTarget, number> {
  const [first] = ranked;
  if (model.strategy !== "weighted" || first === undefined || first.isWarm) return new Map();
  const equal = ranked.filter(({ target, state, isProbed, isWarm }) => state !== "open" && !isProbed && !isWarm && target.target.priority === first.target.target.priority);
  const total = equal.reduce((sum, { target }) => sum + target.target.weight, 0);
  return new Map(equal.length < 2 || total === 0 ? [] : equal.map(({ target }) => [target, Math.round((target.target.weight / total) * 100)]));
}

function reasonsFor({ state, isProbed, isWarm }: Ranked, { index, route, share }: { readonly index: number; readonly route: Route; readonly share: number | undefined }): readonly string[] {
  const { strategy } = route.model;
  return [
    ...(isWarm ? ["the session's prompt cache is warm here"] : []),
    ...(share === undefined ? [] : [`drawn first for ${share} % of the calls`]),
    ...(index === 0 && strategy === "least-busy" && !isWarm ? ["the fewest replies run here"] : []),
    ...(index === 0 && strategy === "latency" && !isWarm ? ["the quicker of two that are drawn; others may be drawn next time"] : []),
    ...(state === "open" ? ["its circuit is open, so it comes last"] : []),
    ...(isProbed ? ["another call is finding out whether it is well again"] : state === "half-open" ? ["the next call finds out whether it is well again"] : []),
  ];
}

function viewOf({ routing }: Needed, planned: PlannedTarget, { place, isWarm, reasons, circuit }: { readonly place: number | undefined; readonly isWarm: boolean; readonly reasons: readonly string[]; readonly circuit: Parameters<Services["routing"]["health"]["state"]>[1] }): ExplainedTarget {
  const { target, upstreamModel } = planned;
  const key = circuitKey(planned);
  const known = routing.health.states().find((view) => view.key === key);
  const state = routing.health.state(key, circuit);
  return {
    id: target.id,
    provider: planned.place.name,
    model: upstreamModel,
    priority: target.priority,
    weight: target.weight,
    place,
    circuit: state,
    lastFailure: known?.lastFailure,
    opensInMs: state === "closed" ? undefined : routing.health.opensInMs(key),
    isWarm,
    running: routing.stats.running(target.id),
    firstEventMs: routing.stats.firstEventMs(target.id),
    reasons,
  };
}

function explainFallbacks(snapshot: Snapshot, principal: Principal, route: Route): readonly ExplainedFallback[] {
  const { fallbacks: everybodys, fallbacksMax } = snapshot.config.routing;
  return (["failure", "contextWindow", "contentPolicy"] as const satisfies readonly (keyof Fallbacks)[]).flatMap((reason) => {
    const own = route.model.fallbacks[reason];
    return (own.length > 0 ? own : everybodys[reason]).map((model, index): ExplainedFallback => {
      const instead = snapshot.routes.resolve(model);
      const fault = instead === undefined ? "nothing serves it" : instead.publicName === route.publicName ? "it is the same model" : mayUseRoute(principal, instead) ? (index < fallbacksMax ? undefined : "fallbacks_max is reached before") : "the key may not use it";
      return { reason, model, fault };
    });
  });
}
