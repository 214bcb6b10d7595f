/**
 * Stage 4: from here on the request may cost money. The opening of its first attempt, with the room kept for it under budgets, is
 * durable before this resolves, and only then is there an Admission, without which the dialer sends nothing.
 */
import { mintAdmission } from "../egress/admission.ts";
import type { Shortage } from "../ledger/ledger.ts";
import { newId, type Id } from "../kernel/ids.ts";
import { nanoUsd } from "../kernel/money.ts";
import { attributionOf } from "./attribution.ts";
import type { AttemptOpening } from "./books.ts";
import type { Admitted, Opened, Planned, PlannedTarget } from "./exchange.ts";
import { refusalOf, takeRoom } from "./holds.ts";
import type { Services } from "./services.ts";

/**
 * The first target that there is room for goes first; those before it are left out.
 *
 * @throws GatewayError `client_budget_exceeded`, `client_model_unpriced`, `gateway_store_unavailable`; then nothing is held, nothing
 *   was written and nothing was sent
 */
export async function admit(services: Services, planned: Planned): Promise<Admitted> {
  const { exchange, principal } = planned;
  const shortages: Shortage[] = [];
  for (const [index, target] of planned.targets.entries()) {
    const room = takeRoom(services, planned, target, openingFor(services, planned, target, 1));
    if (!room.isFound) {
      shortages.push(...room.shortages);
      continue;
    }
    await written(services, room, services.books.openEntry(room.opening));
    const targets = index === 0 ? planned.targets : planned.targets.slice(index);
    return { ...planned, targets, admission: mintAdmission(exchange.requestId, principal.keyId), first: room };
  }
  throw refusalOf(services, planned, shortages);
}

/**
 * A further attempt of an admitted request, at its own price; undefined where there is no room for it.
 *
 * @throws GatewayError as {@link admit}
 */
export async function openNext(services: Services, admitted: Admitted, target: PlannedTarget, ordinal: number): Promise<Opened | undefined> {
  const room = takeRoom(services, admitted, target, openingFor(services, admitted, target, ordinal));
  if (!room.isFound) return undefined;
  await written(services, room, services.books.openAttempt(room.opening));
  return room;
}

/** Room for an attempt that could not be written is room for others. */
async function written(services: Services, { hold }: Opened, writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (fault) {
    if (hold !== undefined) services.ledger.release(hold);
    throw fault;
  }
}

/** The journal's line for one attempt, before anything is held. `ordinal` counts from 1. */
function openingFor(services: Services, planned: Planned, target: PlannedTarget, ordinal: number): AttemptOpening {
  const { exchange, principal, facts, payload, route } = planned;
  const openedAtMs = services.clock.now();
  return {
    attemptId: newId("att", openedAtMs) as Id<"att">,
    requestId: exchange.requestId,
    ordinal,
    openedAtMs,
    keyId: principal.keyId,
    userId: principal.userId,
    teamId: principal.teamId,
    organizationId: principal.organizationId,
    ...attributionOf(exchange.request.headers, principal),
    requestedModel: facts.model,
    model: route.publicName,
    upstreamModel: target.upstreamModel,
    provider: target.place.name,
    targetId: target.target.id,
    isStreaming: facts.isStreaming,
    requestBytes: payload.bytes.length,
    holdNanoUsd: nanoUsd(0n),
  };
}
