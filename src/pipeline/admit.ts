/**
 * Stage 4: from here on the request may cost money. The opening of its first attempt, with the room kept for it under budgets, is
 * durable before this resolves, and only then is there an Admission, without which the dialer sends nothing.
 */
import { mintAdmission } from "../egress/admission.ts";
import type { Shortage } from "../ledger/ledger.ts";
import type { RefusedLimit } from "../limits/limit.ts";
import { asGatewayError, type GatewayError } from "../kernel/gateway-error.ts";
import { newId, type Id } from "../kernel/ids.ts";
import { nanoUsd } from "../kernel/money.ts";
import { attributionOf } from "./attribution.ts";
import type { AttemptOpening } from "./books.ts";
import { cachedPrompt } from "./cache-reads.ts";
import { termsOf } from "./charge.ts";
import { chooseInstead } from "./choose.ts";
import type { Admitted, Opened, Planned, PlannedTarget } from "./exchange.ts";
import { refusalOf, takeRoom, type NoRoom } from "./holds.ts";
import { limitRefusal, takeTargetTurn, type Turn } from "./limits.ts";
import { planInstead } from "./plan.ts";
import type { Services } from "./services.ts";

/**
 * The first target that there is room for goes first; those before it are left out. Where no target has any, a budget without room
 * may name another model, which is then tried in place of the one that was asked for, under its own limits; never one more after that.
 *
 * @param turn of the call under its limits, which moves to the model that serves
 * @throws GatewayError `client_budget_exceeded`, `client_rate_limited`, `client_model_unpriced`, `gateway_store_unavailable`; then nothing is held, nothing
 *   was written and nothing was sent
 */
export async function admit(services: Services, planned: Planned, turn: Turn | undefined): Promise<Admitted> {
  const asked = await admitPlan(services, planned);
  if ("admission" in asked) return asked;
  const { shortages, refused, fault } = asked;
  // A target with money and without room will have room again.
  if (refused !== undefined) throw limitRefusal(refused, planned.principal);
  for (const model of new Set(shortages.map(({ budget }) => budget.downgradeModel))) {
    const other = model === undefined ? undefined : planInstead(planned, model, { reason: "budget", count: 1 });
    const chosen = other === undefined ? undefined : chooseInstead(services, other);
    if (chosen === undefined) continue;
    turn?.move(chosen);
    const instead = await admitPlan(services, chosen);
    if ("admission" in instead) return instead;
  }
  throw shortages.length === 0 && fault !== undefined ? fault : refusalOf(services, planned, shortages);
}

/** What stands against each target of a plan. */
interface Refused {
  readonly shortages: readonly Shortage[];
  /** Of the target whose limits open soonest. */
  readonly refused: readonly RefusedLimit[] | undefined;
  readonly fault: GatewayError | undefined;
}

/** A model that steps in for one that failed everywhere, as the call's attempt of this ordinal; undefined where limits or budgets have no room for it. */
export async function admitInstead(services: Services, planned: Planned, turn: Turn | undefined, ordinal: number): Promise<Admitted | undefined> {
  try {
    turn?.move(planned);
  } catch (fault) {
    if (asGatewayError(fault).code === "client_rate_limited") return undefined;
    throw fault;
  }
  const result = await admitPlan(services, planned, ordinal);
  return "admission" in result ? result : undefined;
}

async function admitPlan(services: Services, planned: Planned, ordinal = 1): Promise<Admitted | Refused> {
  const { exchange, principal, targets } = planned;
  const shortages: Shortage[] = [];
  let refused: readonly RefusedLimit[] | undefined;
  let fault: GatewayError | undefined;
  for (const [index, target] of targets.entries()) {
    const opening = openingFor(services, planned, target, ordinal);
    if (isTooDear(services, planned, target, opening)) continue;
    const room = await roomFor(services, planned, target, opening);
    if (!room.isFound) {
      shortages.push(...room.shortages);
      fault ??= room.fault;
      // What opens soonest is what is worth waiting for.
      if (room.refused !== undefined && (refused === undefined || waitOf(room.refused) < waitOf(refused))) refused = room.refused;
      continue;
    }
    await written(services, room, ordinal === 1 ? services.books.openEntry(room.opening) : services.books.openAttempt(room.opening));
    return { ...planned, targets: index === 0 ? targets : targets.slice(index), admission: mintAdmission(exchange.requestId, principal.keyId), first: room };
  }
  return { shortages, refused, fault };
}

type TargetRoom = ({ readonly isFound: true } & Opened) | (NoRoom & { readonly refused: readonly RefusedLimit[] | undefined });

/** Room under the target's limits and under the budgets, or neither. */
async function roomFor(services: Services, planned: Planned, target: PlannedTarget, opening: AttemptOpening): Promise<TargetRoom> {
  for (let reading = services.ledger.recall(opening, opening.openedAtMs); reading !== undefined; reading = services.ledger.recall(opening, opening.openedAtMs)) await reading;
  const turn = takeTargetTurn(services, planned, opening);
  if ("refused" in turn) return { isFound: false, shortages: [], refused: turn.refused };
  const { lease } = turn;
  try {
    const prompt = cachedPrompt(services, planned, opening);
    const room = takeRoom(services, planned, target, prompt?.expected === undefined ? opening : { ...opening, expectedCacheReadTokens: prompt.expected.tokens });
    if (room.isFound) return { ...room, lease, prompt };
    lease?.cancel(services.clock.monotonic());
    return { ...room, refused: undefined };
  } catch (fault) {
    lease?.cancel(services.clock.monotonic());
    throw fault;
  }
}

/**
 * Whether the operator wants a target left out for its price: each at its own for this very call. Where the plan's first has none there
 * is nothing to compare with.
 */
export function isTooDear({ estimates }: Services, planned: Planned, target: PlannedTarget, opening: AttemptOpening): boolean {
  const { failoverPriceMaxPpm } = planned.exchange.snapshot.config.spending;
  if (failoverPriceMaxPpm === undefined || target === planned.preferred) return false;
  const first = estimates.forCall(planned, planned.preferred, opening)?.demands[0];
  const own = estimates.forCall(planned, target, opening)?.demands[0];
  if (first === undefined) return false;
  return own === undefined || own.expected * 1_000_000n > first.expected * failoverPriceMaxPpm;
}

function waitOf(refused: readonly RefusedLimit[]): number {
  return Math.max(...refused.map(({ retryAfterMs }) => retryAfterMs ?? Number.POSITIVE_INFINITY));
}

/**
 * A further attempt of an admitted request, at its own price; undefined where there is no room for it.
 *
 * @throws GatewayError as {@link admit}
 */
export async function openNext(services: Services, admitted: Admitted, target: PlannedTarget, ordinal: number): Promise<Opened | undefined> {
  const room = await roomFor(services, admitted, target, openingFor(services, admitted, target, ordinal));
  if (!room.isFound) return undefined;
  await written(services, room, services.books.openAttempt(room.opening));
  return room;
}

/** Room for an attempt that could not be written is room for others. */
async function written(services: Services, { hold, lease }: Opened, writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (fault) {
    if (hold !== undefined) services.ledger.release(hold);
    lease?.cancel(services.clock.monotonic());
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
    ...termsOf(exchange.snapshot.config.spending, target, principal.teamId),
    holdNanoUsd: nanoUsd(0n),
    strictHoldNanoUsd: nanoUsd(0n),
  };
}
