/**
 * Stage 4: from here on the request may cost money. The opening of its first attempt is durable before this resolves, and
 * only then is there an Admission, without which the dialer sends nothing.
 */
import { mintAdmission } from "../egress/admission.ts";
import { nanoUsd } from "../kernel/money.ts";
import { newId, type Id } from "../kernel/ids.ts";
import { attributionOf } from "./attribution.ts";
import type { AttemptOpening } from "./books.ts";
import type { Admitted, Planned, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";

/** @throws GatewayError `gateway_store_unavailable`; then nothing was written and nothing was sent */
export async function admit(services: Services, planned: Planned): Promise<Admitted> {
  const { exchange, principal } = planned;
  const firstOpening = openingFor(services, planned, planned.targets[0]!, 1);
  await services.books.openEntry(firstOpening);
  return { ...planned, admission: mintAdmission(exchange.requestId, principal.keyId), firstOpening };
}

/** The journal's line for one attempt. `ordinal` counts from 1. */
export function openingFor(services: Services, planned: Planned, target: PlannedTarget, ordinal: number): AttemptOpening {
  const { exchange, principal, facts, payload } = planned;
  const openedAtMs = services.clock.now();
  return {
    attemptId: newId("att", openedAtMs) as Id<"att">,
    requestId: exchange.requestId,
    ordinal,
    openedAtMs,
    keyId: principal.keyId,
    userId: principal.userId,
    teamId: principal.teamId,
    organizationId: null,
    endUserId: null,
    ...attributionOf(exchange.request.headers, principal),
    requestedModel: facts.model,
    model: facts.model,
    upstreamModel: target.upstreamModel,
    provider: target.place.name,
    targetId: target.target.id,
    isStreaming: facts.isStreaming,
    requestBytes: payload.bytes.length,
    holdNanoUsd: nanoUsd(0n),
  };
}
