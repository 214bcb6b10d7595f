/** Stage 3: may the caller use every model the request names, and which targets serve it. Pure. */
import { mayUseModel, resolveAlias } from "../identity/access.ts";
import type { Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { ClientProject } from "../providers/provider.ts";
import { nearestNames, type Route, type RouteTarget } from "../routing/route.ts";
import { allowedProjects, attributionOf, foreignProject } from "./attribution.ts";
import type { Exchange, Planned, PlannedTarget, Received, Replaced } from "./exchange.ts";
import type { Place, Snapshot } from "./snapshot.ts";

/**
 * @throws GatewayError `client_model_unavailable`, the same for unknown and forbidden; `gateway_credential_missing` when
 *   only targets with the caller's own login serve the model and none was sent
 */
export function plan(received: Received): Planned {
  refuseForeignProject(received);
  const route = accessibleRoute(received, received.facts.model);
  const refused = refusedFurtherModel(received, route);
  if (refused !== undefined) throw modelUnavailable(received, refused);
  const [preferred, ...others] = usableTargets(received, route);
  if (preferred === undefined) throw new GatewayError("gateway_credential_missing", { internal: `key ${received.principal.keyId}` });
  return { ...received, route, preferred, targets: [preferred, ...others] };
}

/** The same request for another model, by the operator's name for it; undefined where the caller may not use it, or nothing serves it for this caller. */
export function planInstead(planned: Planned, model: string, { reason, count }: Pick<Replaced, "reason" | "count">): Planned | undefined {
  const route = planned.exchange.snapshot.routes.resolve(model);
  if (route === undefined || route.publicName === planned.route.publicName || !mayUseRoute(planned.principal, route)) return undefined;
  if (refusedFurtherModel(planned, route) !== undefined) return undefined;
  const [preferred, ...others] = usableTargets(planned, route);
  return preferred === undefined ? undefined : { ...planned, route, preferred, targets: [preferred, ...others], insteadOf: { model: planned.facts.model, reason, count } };
}

function usableTargets(received: Received, route: Route): readonly PlannedTarget[] {
  const { exchange } = received;
  return route.targets.flatMap((target): PlannedTarget[] => {
    const place = exchange.snapshot.places.get(target.target.provider);
    const isClientPaid = target.target.credential === "client";
    if (place === undefined || (isClientPaid && !hasLoginFor(received, place))) return [];
    return [atPlace(target, place, isClientPaid ? exchange.ingress.clientProject : undefined)];
  });
}

/** A target with what its place makes of it. @param clientProject of a caller's own login */
export function atPlace(target: RouteTarget, place: Place, clientProject?: ClientProject): PlannedTarget {
  const { provider, settings } = place;
  return { ...target, upstreamModel: provider.modelName?.(target.upstreamModel, settings) ?? target.upstreamModel, place, priceRegion: provider.priceRegion?.(settings, clientProject) };
}

function hasLoginFor({ exchange, clientCredential }: Received, { provider }: Place): boolean {
  const betas = exchange.request.headers["anthropic-beta"];
  return clientCredential !== undefined && provider.isClientLogin?.(clientCredential.value, typeof betas === "string" ? betas : "") === true;
}

function accessibleRoute(received: Received, requested: string): Route {
  const { exchange, principal } = received;
  const { routes } = exchange.snapshot;
  const name = resolveAlias(principal.key?.aliases ?? {}, requested);
  const route = exchange.ingress.hasCloudNames ? routes.resolveCloudName(name, exchange.ingress.envelope) : routes.resolve(name);
  if (route !== undefined && mayUseRoute(principal, route)) return route;
  throw modelUnavailable(received, requested);
}

/** Whether the key's rights have the model under any of the names that give a right to it. */
export function mayUseRoute(principal: Principal, route: Route): boolean {
  return route.rightsNames.some((name) => mayUseModel(principal, name, route.model.accessGroups));
}

/**
 * A model named beside `model` reaches the upstream as it is written, so it must be one that this key may use under that very
 * name at that very place: an alias, or a name that means another model there, would be a way around the key's rights.
 *
 * @returns the first that is not
 */
function refusedFurtherModel({ exchange, facts, payload, principal }: Received, route: Route): string | undefined {
  const { routes } = exchange.snapshot;
  // A key that may use everything, in front of routes that take every Claude name, has no narrower right to check.
  if (routes.isOpen && (principal.key === undefined || principal.key.models.length === 0)) return undefined;
  const providers = route.targets.map(({ target }) => target.provider);
  return facts.furtherModels(payload.bytes).find((model) => {
    const further = routes.resolve(model);
    const isSame = further?.targets.some(({ target, upstreamModel }) => upstreamModel === model && providers.includes(target.provider)) === true;
    return further === undefined || !isSame || !mayUseRoute(principal, further);
  });
}

/** Whether a caller may use a name, listed or not. */
export function mayUseName(snapshot: Snapshot, principal: Principal, name: string): boolean {
  const route = snapshot.routes.resolve(resolveAlias(principal.key?.aliases ?? {}, name));
  return route !== undefined && mayUseRoute(principal, route);
}

/** The public names a caller may use, for the model list and for hints. */
export function accessibleModels(snapshot: Snapshot, principal: Principal): readonly string[] {
  const known = [...new Set([...snapshot.places.values()].flatMap(({ provider }) => snapshot.priceBook.models(provider.id)))];
  return snapshot.routes
    .list(known)
    .filter((route) => mayUseRoute(principal, route))
    .map((route) => route.publicName);
}

/**
 * Claude Code hides the text of a 404 behind its own, and peels betas off for a plain 400; `policy_blocked` with
 * `x-should-retry: false` is the one form it shows at once (measured on 2.1.330).
 */
function modelUnavailable(received: Received, requested: string): GatewayError {
  const { exchange, principal } = received;
  const near = nearestNames(requested, accessibleModels(exchange.snapshot, principal));
  const hint = near.length === 0 ? "" : ` Near to it: ${near.join(", ")}.`;
  const publicText = `The model ${JSON.stringify(requested)} is not available to this key.${hint} Ask your gateway's operator, or choose another with /model.`;
  return new GatewayError("client_model_unavailable", isClaudeCode(exchange) ? { publicText, status: 400, type: "policy_blocked", shouldRetry: false } : { publicText });
}

/** What a repository's settings claim is checked against the key, or anybody could spend for any project. */
function refuseForeignProject({ exchange, principal }: Received): void {
  const allowed = allowedProjects(principal);
  if (allowed === undefined) return;
  const project = foreignProject(principal, attributionOf(exchange.request.headers, principal));
  if (project === undefined) return;
  const publicText = `This key may not spend for the project ${JSON.stringify(project)}; ${allowed.length === 0 ? "it has none" : `its projects are ${allowed.join(", ")}`}. The project comes from x-litellm-tags in ANTHROPIC_CUSTOM_HEADERS.`;
  throw new GatewayError("client_project_forbidden", isClaudeCode(exchange) ? { publicText, status: 400, type: "policy_blocked" } : { publicText });
}

function isClaudeCode({ request }: Exchange): boolean {
  return request.headers["user-agent"]?.startsWith("claude-cli/") === true;
}
