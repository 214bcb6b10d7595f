/**
 * Asks targets now and then for a count of tokens, which costs nothing, so that one that is down is known before a caller's request finds
 * it out, and one that is back is tried soon. Only where `routing.check_interval` says so; never a call that is paid for.
 */
import type { FailureClass, TargetConfig } from "../config/gateway-config.ts";
import { Cancellation } from "../kernel/cancellation.ts";
import type { Timer } from "../kernel/clock.ts";
import { asGatewayError, GatewayError } from "../kernel/gateway-error.ts";
import { originOf, withTargetHeaders } from "./attempt.ts";
import { failureOfFault, failureOfStatus } from "./failures.ts";
import type { Services } from "./services.ts";
import type { Place, Snapshot } from "./snapshot.ts";
import { circuitKey } from "../routing/state.ts";
import { isProblem, scanMembers } from "../wire/json-members.ts";

const tickMs = 1_000;
/** A place that has not counted by then is down for this purpose. */
const firstByteMs = 10_000;
const atOnce = 8;

interface Checked {
  readonly target: TargetConfig;
  readonly upstreamModel: string;
  readonly place: Place;
}

/** @param snapshot in force at the time */
export function startTargetChecks(services: Pick<Services, "dialer" | "routing" | "clock">, snapshot: () => Snapshot): Timer {
  const { clock } = services;
  const cancellation = new Cancellation();
  let doneAt = clock.monotonic();
  let isRunning = false;
  const run = async (now: Snapshot): Promise<void> => {
    const waiting = checkable(now);
    const work = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined && cancellation.reason === undefined; next = waiting.pop()) await check(services, next, now, cancellation);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, work));
  };
  const timer = clock.every(tickMs, () => {
    const now = snapshot();
    const { checkIntervalMs } = now.config.routing;
    if (isRunning || checkIntervalMs === undefined || clock.monotonic() - doneAt < checkIntervalMs) return;
    isRunning = true;
    void run(now).finally(() => {
      isRunning = false;
      doneAt = clock.monotonic();
    });
  });
  return {
    cancel() {
      timer.cancel();
      cancellation.cancel(new GatewayError("gateway_draining"));
    },
  };
}

/** Targets that name one model, with the gateway's own login; each once. */
function checkable({ config, places }: Snapshot): Checked[] {
  const found = new Map<string, Checked>();
  for (const { targets } of config.models) {
    for (const target of targets) {
      const place = places.get(target.provider);
      if (place !== undefined && target.credential === "provider" && !target.model.includes("*")) found.set(circuitKey({ target, upstreamModel: target.model }), { target, upstreamModel: target.model, place });
    }
  }
  return [...found.values()];
}

/** Never rejects. What says nothing of the place, as a refusal of the request itself, changes nothing. */
async function check({ dialer, routing, clock }: Pick<Services, "dialer" | "routing" | "clock">, { target, upstreamModel, place }: Checked, { config }: Snapshot, cancellation: Cancellation): Promise<void> {
  const body = Buffer.from(JSON.stringify({ model: upstreamModel, messages: [{ role: "user", content: "Hi" }] }));
  const members = scanMembers(body);
  if (isProblem(members)) return;
  const { provider, settings, credentials, destination } = place;
  let failure: FailureClass | undefined;
  try {
    const headers = ["anthropic-version", "2023-06-01", "content-type", "application/json"];
    const prepared = withTargetHeaders(provider.prepare({ operation: "count_tokens", upstreamModel, isStreaming: false, envelope: "messages", body, members, query: "", headers, refusedBetas: new Set(), clientProject: undefined }, settings), target.headers);
    const origin = originOf(prepared, place);
    const authorized = withTargetHeaders(await provider.authorize(prepared, settings, { credentials, client: undefined, host: origin.slice(origin.indexOf("//") + 2), nowMs: clock.now() }), target.headers);
    const { method, path, headers: sent, body: bytes } = authorized;
    const outbound = { origin, method, path: `${destination.pathPrefix}${path}`, headers: sent, body: bytes, timeouts: { firstByteMs, idleMs: firstByteMs } };
    const reply = await dialer.system("count_tokens", outbound, cancellation);
    reply.abort();
    if (reply.status === 200) return routing.health.seemsWell(circuitKey({ target, upstreamModel }));
    failure = reply.status === 401 || reply.status === 403 ? "credential" : reply.status === 404 ? undefined : failureOfStatus(reply.status);
  } catch (fault) {
    failure = failureOfFault(asGatewayError(fault));
  }
  if (failure !== undefined && cancellation.reason === undefined) routing.health.failure(circuitKey({ target, upstreamModel }), failure, config.routing.circuit);
}
