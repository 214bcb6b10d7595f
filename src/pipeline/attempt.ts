/** One try at one target: build, authorise, send. Knows nothing of other targets. */
import { DialError, type OutboundRequest } from "../egress/dialer.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { forwardableRequestHeaders, headerValue, withoutHeader } from "../wire/headers.ts";
import type { AttemptOpening } from "./books.ts";
import type { Admitted, Attempt, Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";

/** What came of a try: a reply with its head, or a fault before one. */
export type AttemptResult =
  | { readonly kind: "reply"; readonly attempt: Attempt; readonly reply: UpstreamReply; readonly headAt: number }
  | { readonly kind: "fault"; readonly attempt: Attempt; readonly fault: GatewayError; readonly wasSent: boolean };

/** Never rejects: whatever goes wrong is the result. */
export async function attemptTarget(services: Services, admitted: Admitted, planned: PlannedTarget, opening: AttemptOpening): Promise<AttemptResult> {
  const { exchange } = admitted;
  const attempt: Attempt = { opening, planned, observer: exchange.dialect.observe(), dispatchedAt: services.clock.monotonic() };
  try {
    const outbound = await buildRequest(admitted, planned);
    const reply = await services.dialer.infer(admitted.admission, outbound, exchange.abort.signal);
    return { kind: "reply", attempt, reply, headAt: services.clock.monotonic() };
  } catch (fault) {
    if (fault instanceof DialError) return { kind: "fault", attempt, fault, wasSent: fault.wasSent };
    const internal = fault instanceof Error ? (fault.stack ?? fault.message) : String(fault);
    return { kind: "fault", attempt, fault: fault instanceof GatewayError ? fault : new GatewayError("gateway_internal", { internal }), wasSent: false };
  }
}

/** The call in the target's own form, always from the client's original bytes. The credential comes last. */
export async function buildRequest(planned: Planned, { place, target, upstreamModel }: PlannedTarget): Promise<OutboundRequest> {
  const { exchange, facts, payload } = planned;
  const { config } = exchange.snapshot;
  const isStreaming = facts.isStreaming && exchange.operation === "messages";
  const prepared = place.provider.prepare(
    {
      operation: exchange.operation,
      upstreamModel,
      isStreaming,
      body: payload.bytes,
      members: facts.members,
      query: exchange.query,
      headers: requestHeaders(planned, isStreaming),
    },
    place.settings,
  );
  const own = target.credential === "client" ? planned.clientCredential : undefined;
  const authorized = await place.provider.authorize(prepared, place.settings, own);
  const timeouts = { ...config.timeouts, ...target.timeouts };
  return {
    origin: place.destination.origin,
    method: authorized.method,
    path: `${place.destination.pathPrefix}${authorized.path}`,
    headers: withOwnHeaders(authorized.headers, target.headers),
    body: authorized.body,
    timeouts: { firstByteMs: isStreaming ? timeouts.firstByteStreamMs : timeouts.firstBytePlainMs, idleMs: timeouts.idleMs },
  };
}

/** A target's own header takes the place of one that is there. */
function withOwnHeaders(headers: readonly string[], own: ReadonlyMap<string, string>): readonly string[] {
  let result = headers;
  for (const [name, value] of own) result = [...withoutHeader(result, name.toLowerCase()), name, value];
  return result;
}

/** A ping cannot be put into a compressed stream, so streams are asked for plain; other replies may come as the client likes. */
function requestHeaders(planned: Planned, isStreaming: boolean): string[] {
  const { request, snapshot } = planned.exchange;
  const headers = forwardableRequestHeaders(request.rawHeaders, snapshot.config.forward.claudeCodeHeaders);
  const accepted = isStreaming ? "identity" : headerValue(request.rawHeaders, "accept-encoding");
  if (accepted !== undefined) headers.push("accept-encoding", accepted);
  return headers;
}
