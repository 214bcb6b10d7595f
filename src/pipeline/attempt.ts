/** One try at one target: build, authorise, send. Knows nothing of other targets. */
import { DialError, type OutboundRequest } from "../egress/dialer.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { UpstreamRequest } from "../providers/provider.ts";
import { forwardableRequestHeaders, headerValue, withoutHeader } from "../wire/headers.ts";
import type { AttemptOpening } from "./books.ts";
import type { Admitted, Attempt, Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";
import type { Place } from "./snapshot.ts";

/** What came of a try: a reply with its head, or a fault before one. */
export type AttemptResult =
  | { readonly kind: "reply"; readonly attempt: Attempt; readonly reply: UpstreamReply; readonly headAt: number }
  | { readonly kind: "fault"; readonly attempt: Attempt; readonly fault: GatewayError; readonly wasSent: boolean };

/** Never rejects: whatever goes wrong is the result. */
export async function attemptTarget(services: Services, admitted: Admitted, planned: PlannedTarget, opening: AttemptOpening): Promise<AttemptResult> {
  const { exchange } = admitted;
  const attempt: Attempt = { opening, planned, observer: exchange.dialect.observe(), dispatchedAt: services.clock.monotonic(), loss: [] };
  try {
    const { outbound, loss } = await buildRequest(services, admitted, planned);
    attempt.loss = loss;
    const reply = await services.dialer.infer(admitted.admission, outbound, exchange.abort.signal);
    return { kind: "reply", attempt, reply, headAt: services.clock.monotonic() };
  } catch (fault) {
    if (fault instanceof DialError) return { kind: "fault", attempt, fault, wasSent: fault.wasSent };
    const internal = fault instanceof Error ? (fault.stack ?? fault.message) : String(fault);
    return { kind: "fault", attempt, fault: fault instanceof GatewayError ? fault : new GatewayError("gateway_internal", { internal }), wasSent: false };
  }
}

/** A call in the target's own form, and what was taken out of it for that. */
export interface Built {
  readonly outbound: OutboundRequest;
  readonly loss: readonly string[];
}

/** Always from the client's original bytes. The credential comes last. */
export async function buildRequest(services: Services, planned: Planned, plannedTarget: PlannedTarget): Promise<Built> {
  const { place, target, upstreamModel } = plannedTarget;
  const { exchange, facts, payload } = planned;
  const { config } = exchange.snapshot;
  const isStreaming = facts.isStreaming && exchange.operation === "messages";
  const isClientsLogin = target.credential === "client";
  const prepared = place.provider.prepare(
    {
      operation: exchange.operation,
      upstreamModel,
      isStreaming,
      envelope: exchange.ingress.envelope,
      body: payload.bytes,
      members: facts.members,
      query: exchange.query,
      headers: requestHeaders(planned, isStreaming, isClientsLogin || place.provider.takesAccountHeaders === true),
      refusedBetas: services.betaMemory.refusedBy(target.id),
      clientProject: isClientsLogin ? exchange.ingress.clientProject : undefined,
    },
    place.settings,
  );
  const origin = originOf(prepared, place);
  const authorized = await place.provider.authorize(withTargetHeaders(prepared, target.headers), place.settings, {
    credentials: place.credentials,
    client: isClientsLogin ? planned.clientCredential : undefined,
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
      timeouts: { firstByteMs: isStreaming ? timeouts.firstByteStreamMs : timeouts.firstBytePlainMs, idleMs: timeouts.idleMs },
    },
  };
}

function originOf(prepared: UpstreamRequest, { provider, settings, destination }: Place): string {
  if (prepared.origin === undefined || prepared.origin === destination.origin) return destination.origin;
  if (provider.isOwnOrigin?.(prepared.origin, settings) === true) return prepared.origin;
  throw new GatewayError("gateway_internal", { internal: `${provider.id} asked for an origin that is not its own` });
}

/** A target's own header takes the place of one that is there. */
function withTargetHeaders(request: UpstreamRequest, own: ReadonlyMap<string, string>): UpstreamRequest {
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
