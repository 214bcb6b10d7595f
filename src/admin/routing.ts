/** `GET /api/v1/route`: where a call would go now, and why; `GET /api/v1/circuits`: which targets are left alone. */
import { z } from "zod";
import { principalOf, type KeyIndex } from "../identity/key-index.ts";
import type { KeyTermsBook } from "../identity/key-terms.ts";
import type { Principal } from "../identity/principal.ts";
import { hashText } from "../identity/virtual-key.ts";
import { modelNameLengthMax } from "../kernel/bounds.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import type { ExplainedTarget, RouteExplanation, RouteQuestion } from "../routing/explanation.ts";
import type { CircuitView } from "../routing/health.ts";
import { modelOf, targetOf } from "../routing/state.ts";
import { fieldInvalid, parseFields, queryObject } from "./fields.ts";
import type { AdminHandler } from "./handler.ts";

/** What can be told of routing. */
export interface RoutingView {
  explain(principal: Principal, question: RouteQuestion): RouteExplanation;
  circuits(): readonly CircuitView[];
}

const textMax = 256;
const short = z.string().min(1, "it must not be empty").max(textMax, `it must have at most ${textMax} characters`);
const questionSchema = z.strictObject({
  model: z.string("it is needed").min(1, "it must not be empty").max(modelNameLengthMax, `it must have at most ${modelNameLengthMax} characters`),
  key: short.optional(),
  session: short.optional(),
  tags: z.string().max(4_096, "it must have at most 4096 characters").optional(),
  input_tokens: z.string().regex(/^\d{1,9}$/, "it must be a whole number of at least 0").transform(Number).optional(),
  own_login: z.enum(["true", "false"], "it must be true or false").transform((text) => text === "true").optional(),
});

/** For the caller's own key; an admin names one, or sees what a key without restrictions would. */
export function createRouteHandler(routing: RoutingView, index: Pick<KeyIndex, "byId" | "byHash" | "byAlias">, terms: Pick<KeyTermsBook, "effective">): AdminHandler {
  const principalFor = (caller: Principal, reference: string | undefined): Principal => {
    if (reference === undefined) return caller;
    const found = index.byId(reference) ?? index.byHash(reference) ?? index.byAlias(reference) ?? (reference.startsWith("sk-") ? index.byHash(hashText(reference)) : undefined);
    // Theirs and none are the same answer to whoever is no admin.
    if (found === undefined || (caller.role !== "admin" && found.id !== caller.keyId)) throw new GatewayError("client_object_missing", { publicText: "There is no such key." });
    return principalOf(terms.effective(found));
  };
  return ({ principal, query }) => {
    const asked = parseFields(questionSchema, queryObject(query));
    const tags = (asked.tags ?? "").split(",").map((tag) => tag.trim()).filter((tag) => tag !== "");
    if (tags.length > 32) throw fieldInvalid("tags: at most 32.");
    const explanation = routing.explain(principalFor(principal, asked.key), { model: asked.model, sessionId: asked.session ?? null, tags, inputTokens: asked.input_tokens, hasOwnLogin: asked.own_login === true, isForOperator: principal.role === "admin" });
    return Promise.resolve({ status: 200, body: bodyOf(explanation) });
  };
}

function bodyOf({ asked, model, understoodAs, refusal, strategy, targets, fallbacks }: RouteExplanation): Readonly<Record<string, unknown>> {
  const reasons = { failure: "fallbacks", contextWindow: "context_window_fallbacks", contentPolicy: "content_policy_fallbacks", downgrade: "downgrade" } as const;
  return {
    asked,
    model: model ?? null,
    understood_as: understoodAs,
    refusal: refusal ?? null,
    strategy: strategy ?? null,
    targets: targets.map(targetBody),
    fallbacks: fallbacks.map(({ reason, ...each }) => ({ reason: reasons[reason], model: each.model, fault: each.fault ?? null })),
  };
}

function targetBody(target: ExplainedTarget): Readonly<Record<string, unknown>> {
  const { id, provider, model, priority, weight, place, circuit, isParked, lastFailure, opensInMs, isWarm, running, firstEventMs, reasons } = target;
  return {
    id, provider, model, priority, weight,
    place: place ?? null,
    circuit,
    is_parked: isParked,
    last_failure: lastFailure ?? null,
    opens_in_seconds: secondsOf(opensInMs),
    is_warm: isWarm,
    running,
    first_event_ms: firstEventMs === undefined ? null : Math.round(firstEventMs),
    reasons,
  };
}

/** Those that are not closed, or have failed of late. */
export function createCircuitsHandler(routing: RoutingView): AdminHandler {
  return () =>
    Promise.resolve({
      status: 200,
      body: {
        circuits: routing.circuits().filter(({ state, failuresInRow }) => state !== "closed" || failuresInRow > 0).map(({ key, state, isParked, failuresInRow, lastFailure, opensInMs }) => ({
          target: targetOf(key),
          model: modelOf(key),
          state,
          is_parked: isParked,
          failures_in_row: failuresInRow,
          last_failure: lastFailure ?? null,
          opens_in_seconds: secondsOf(opensInMs),
        })),
      },
    });
}

/** Rounded up, so that who waits as long has waited enough. */
function secondsOf(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.ceil(ms / 1_000);
}
