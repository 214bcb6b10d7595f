/**
 * Room under budgets, for one attempt: asked for before its opening is written, kept abreast of the reply, and given up for what
 * it cost. Without a budget that binds the caller none of it happens.
 */
import { secondsUntilRoom, refusalText } from "../ledger/refusal-text.ts";
import type { Shortage } from "../ledger/ledger.ts";
import type { Payer } from "../ledger/scope.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { nanoUsd } from "../kernel/money.ts";
import type { AttemptOpening } from "./books.ts";
import { chargedDemands, chargedRunning } from "./charge.ts";
import type { Attempt, Opened, Planned, PlannedTarget } from "./exchange.ts";
import { accessibleModels } from "./plan.ts";
import type { Services } from "./services.ts";
import { demandsOfUnpriced, free } from "./unpriced.ts";

/** An opening with the room that was found for it. */
export type Room = ({ readonly isFound: true } & Opened) | NoRoom;

/** Budgets without room, or what else stands against it. */
export interface NoRoom {
  readonly isFound: false;
  readonly shortages: readonly Shortage[];
  readonly fault?: GatewayError;
}

/** @param opening without its hold */
export function takeRoom(services: Services, planned: Planned, target: PlannedTarget, opening: AttemptOpening): Room {
  const { ledger, estimates } = services;
  if (!ledger.isBound(opening)) return { isFound: true, opening, hold: undefined, estimate: undefined, lease: undefined };
  const estimate = estimates.forCall(planned, target, opening);
  const demands = estimate?.demands ?? (ledger.isCapped(opening) ? demandsOfUnpriced(services, planned, target) : free);
  if (demands === undefined) return { isFound: false, shortages: [], fault: new GatewayError("client_model_unpriced", { internal: `${target.place.provider.id}/${target.upstreamModel} has no price` }) };
  const decision = ledger.admit(opening.attemptId, opening, chargedDemands(demands, opening), opening.openedAtMs);
  if (!decision.isAdmitted) return { isFound: false, shortages: decision.shortages };
  return { isFound: true, opening: { ...opening, holdNanoUsd: nanoUsd(decision.hold.amount), strictHoldNanoUsd: nanoUsd(decision.hold.strictAmount) }, hold: decision.hold, estimate, lease: undefined };
}

/** The refusal of a call that no target has room for. */
export function refusalOf(services: Services, planned: Planned, shortages: readonly Shortage[]): GatewayError {
  const { exchange } = planned;
  const nowMs = services.clock.now();
  const retryAfterSeconds = secondsUntilRoom(shortages, nowMs);
  const publicText = refusalText(shortages, {
    nowMs,
    nameOf: (scope) => (scope === `key:${planned.principal.keyId}` ? (planned.principal.key?.alias ?? planned.principal.key?.name) : undefined),
    openModels: openModels(services, planned, shortages),
    requestId: exchange.requestId,
  });
  return new GatewayError("client_budget_exceeded", { publicText, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) });
}

const openModelsMax = 3;
const modelKinds = /^(?:model|key_model|team_model):/;

/** Only where it is the model that has no room: other budgets are shut for every model. */
function openModels(services: Services, planned: Planned, shortages: readonly Shortage[]): readonly string[] {
  if (!shortages.every(({ scope }) => modelKinds.test(scope))) return [];
  const short = new Set(shortages.map(({ scope }) => scope.slice(scope.lastIndexOf("/") + 1).replace(modelKinds, "")));
  return accessibleModels(planned.exchange.snapshot, planned.principal)
    .filter((model) => !short.has(model))
    .slice(0, openModelsMax);
}

/** Keeps what is held abreast of a running reply. */
export interface HoldWatch {
  /** Call after each part of the reply that was observed; a fault ends the reply. */
  afterEvents(): GatewayError | undefined;
}

const unheld: HoldWatch = { afterEvents: () => undefined };

export function watchHold(services: Services, planned: Planned, attempt: Attempt): HoldWatch {
  const { hold, observer, opening } = attempt;
  if (hold === undefined) return unheld;
  const running = chargedRunning(services.estimates.running(planned.exchange, attempt), opening);
  let isTrue = false;
  /** Below this many characters of output what is held is certainly enough. */
  let enoughUntil = 0;
  /** Of output: as of the last part, and of the largest. The provider has written the next one by the time it could be told to stop. */
  let characters = 0;
  let partMost = 0;
  return {
    afterEvents() {
      if (!observer.hasStarted()) return undefined;
      const charactersBefore = characters;
      characters = observer.outputCharacters();
      partMost = Math.max(partMost, characters - charactersBefore);
      if (isTrue && characters + partMost < enoughUntil) return undefined;
      const observed = observer.observed();
      // What the reply has cost is known then, and is booked at its end.
      if (observed.stage === "final") return undefined;
      const before = hold.amount;
      const next = running.soFar(observed, partMost);
      let shortage: Shortage | undefined;
      if (!isTrue) {
        isTrue = true;
        shortage = services.ledger.trueUp(hold, running.expected(observed));
      }
      // A quarter more of output than it takes, so that a long reply does not ask at every event.
      if (next > hold.amount) shortage ??= services.ledger.raise(hold, next, running.soFar(observed, partMost + characters / 4));
      enoughUntil = characters + partMost + running.charactersFor(hold.amount - next);
      if (hold.amount > before) services.books.raiseHold(opening.attemptId, nanoUsd(hold.amount));
      return shortage === undefined ? undefined : refusalOf(services, planned, [shortage]);
    },
  };
}

/** What an attempt counts for at its end; `none`: for nothing. */
export interface Settlement {
  readonly charge: bigint;
  readonly payer: Payer;
  readonly source: "reported" | "estimated" | "unresolved" | "none";
}

/** Ends the hold. An attempt that began before any budget bound it counts at its end. */
export function settleHold({ ledger }: Services, { hold, opening }: Attempt, { charge, payer, source }: Settlement): void {
  if (source === "none") {
    if (hold !== undefined) ledger.release(hold);
  } else if (hold !== undefined && source === "unresolved") ledger.abandon(hold, payer);
  else if (hold !== undefined) ledger.settle(hold, charge, source, payer);
  else ledger.restore({ spender: payer === (opening.payer ?? "caller") ? opening : { ...opening, payer }, dispatchedAtMs: opening.openedAtMs, amountNanoUsd: source === "unresolved" ? 0n : charge, source });
}
