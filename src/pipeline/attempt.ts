/** One try at one target: build, authorise, send. Knows nothing of other targets. */
import { DialError, type OutboundRequest } from "../egress/dialer.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import { asGatewayError, GatewayError } from "../kernel/gateway-error.ts";
import type { UpstreamRequest } from "../providers/provider.ts";
import { forwardableRequestHeaders, headerValue, withoutHeader } from "../wire/headers.ts";
import type { Admitted, Attempt, Exchange, Opened, Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";
import type { Place } from "./snapshot.ts";

/** What came of a try: a reply with its head, or a fault before one. */
export type AttemptResult =
  | { readonly kind: "reply"; readonly attempt: Attempt; readonly reply: UpstreamReply; readonly headAt: number }
  | { readonly kind: "fault"; readonly attempt: Attempt; readonly fault: GatewayError; readonly wasSent: boolean };

/** Never rejects: whatever goes wrong is the result. */
export async function attemptTarget(services: Services, admitted: Admitted, planned: PlannedTarget, opened: Opened): Promise<AttemptResult> {
  const { exchange } = admitted;
  services.routing.stats.begin(planned.target.id);
  const attempt: Attempt = { ...opened, planned, observer: exchange.dialect.observe(), outputTokensMax: admitted.facts.outputTokensMax, dispatchedAt: services.clock.monotonic(), loss: [] };
  try {
    const { outbound, loss } = await buildRequest(services, admitted, planned);
    attempt.loss = loss;
    const reply = await services.dialer.infer(admitted.admission, outbound, exchange.ending);
    return { kind: "reply", attempt, reply, headAt: services.clock.monotonic() };
  } catch (fault) {
    if (fault instanceof DialError) return { kind: "fault", attempt, fault, wasSent: fault.wasSent };
    return { kind: "fault", attempt, fault: asGatewayError(fault), wasSent: false };
  }
}

/** A call in the target's own form, and what was taken out of it for that. */
export interface Built {
  readonly outbound: OutboundRequest;
  readonly loss: readonly string[];
}

/** Always from the client's original bytes. The credential comes last. */
export async function buildRequest(services: Services, planned: Planned, plannedTarget: PlannedTarget): Promise<Built> {
  const { place, target } = plannedTarget;
  const { exchange } = planned;
  const { config } = exchange.snapshot;
  const prepared = prepare(planned, plannedTarget, services.betaMemory.refusedBy(betaMemoryKey(exchange, plannedTarget)));
  const origin = originOf(prepared, place);
  const authorized = await place.provider.authorize(withTargetHeaders(prepared, target.headers), place.settings, {
    credentials: place.credentials,
    client: target.credential === "client" ? planned.clientCredential : undefined,
    host: origin.slice(origin.indexOf("//") + 2),
    nowMs: services.clock.now(),
  });
  // Once before, since signatures cover them, and once after, since an operator may replace the credential itself.
  const { method, path, headers, body } = withTargetHeaders(authorized, target.headers);
  const timeouts = { ...config.timeouts, ...target.timeouts };
  return {
    loss: prepared.loss ?? [],
    outbound: {
      origin,
      method,
      path: `${place.destination.pathPrefix}${path}`,
      headers,
      body,
      timeouts: { firstByteMs: isStream(planned) ? timeouts.firstByteStreamMs : timeouts.firstBytePlainMs, idleMs: timeouts.idleMs },
    },
  };
}

function isStream({ facts, exchange }: Planned): boolean {
  return facts.isStreaming && exchange.operation === "messages";
}

/** In the place's own form, without a login. */
function prepare(planned: Planned, { place, target, upstreamModel }: PlannedTarget, refusedBetas: ReadonlySet<string>): UpstreamRequest {
  const { exchange, facts, payload } = planned;
  const isClientsLogin = target.credential === "client";
  return place.provider.prepare(
    {
      operation: exchange.operation,
      upstreamModel,
      isStreaming: isStream(planned),
      envelope: exchange.ingress.envelope,
      body: payload.bytes,
      members: facts.members,
      query: exchange.query,
      headers: requestHeaders(planned, isStream(planned), isClientsLogin || place.provider.takesAccountHeaders === true),
      refusedBetas,
      clientProject: isClientsLogin ? exchange.ingress.clientProject : undefined,
    },
    place.settings,
  );
}

/** A try without the beta that a place refused. */
export interface BetaRetry {
  readonly plannedTarget: PlannedTarget;
  readonly refusedBeta: string;
  /** Of the call that was refused. */
  readonly loss: readonly string[];
}

/**
 * Remembers a refused beta for its target, if the call had it at all: a place may name the beta of a field that a client sent
 * without it, and then a try without is the same again, and a memory of it would cost every other client the field.
 *
 * @returns whether one more try is worth it
 */
export function forgoBeta(services: Services, planned: Planned, { plannedTarget, refusedBeta, loss }: BetaRetry): boolean {
  const key = betaMemoryKey(planned.exchange, plannedTarget);
  try {
    const without = prepare(planned, plannedTarget, new Set([...services.betaMemory.refusedBy(key), refusedBeta]));
    if ((without.loss ?? []).length === loss.length) return false;
  } catch {
    // A field that may not be dropped: the next try tells it by name.
  }
  services.betaMemory.remember(key, refusedBeta);
  return true;
}

/** What a place refuses to count with, it may take when it answers. */
function betaMemoryKey({ operation }: Exchange, { target }: PlannedTarget): string {
  return operation === "messages" ? target.id : `${operation} ${target.id}`;
}

/** Where it goes. @throws GatewayError when a provider means another place than its own */
export function originOf(prepared: UpstreamRequest, { provider, settings, destination }: Place): string {
  if (prepared.origin === undefined || prepared.origin === destination.origin) return destination.origin;
  if (provider.isOwnOrigin?.(prepared.origin, settings) === true) return prepared.origin;
  throw new GatewayError("gateway_internal", { internal: `${provider.id} asked for an origin that is not its own` });
}

/** A target's own header takes the place of one that is there. */
export function withTargetHeaders(request: UpstreamRequest, own: ReadonlyMap<string, string>): UpstreamRequest {
  if (own.size === 0) return request;
  let headers = request.headers;
  for (const [name, value] of own) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  return { ...request, headers };
}

/** A ping cannot be put into a compressed stream, so streams are asked for plain; other replies may come as the client likes. */
function requestHeaders(planned: Planned, isStreaming: boolean, mayChooseAccount: boolean): string[] {
  const { request, snapshot } = planned.exchange;
  const headers = forwardableRequestHeaders(request.rawHeaders, { includeClaudeCode: snapshot.config.forward.claudeCodeHeaders, mayChooseAccount });
  const accepted = isStreaming ? "identity" : headerValue(request.rawHeaders, "accept-encoding");
  if (accepted !== undefined) headers.push("accept-encoding", accepted);
  // An operator may have named it so that it would otherwise cross.
  const { keyHeader } = snapshot.config;
  return keyHeader === undefined ? headers : withoutHeader(headers, keyHeader.toLowerCase());
}
