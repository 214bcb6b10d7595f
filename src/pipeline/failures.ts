/** What a try tells of the target: whether it is well, and for how long to leave it alone. */
import type { FailureClass } from "../config/gateway-config.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import { retryAfterOf } from "../providers/error-reply.ts";
import { circuitKey } from "../routing/state.ts";
import type { AttemptResult } from "./attempt.ts";
import type { Exchange, PlannedTarget } from "./exchange.ts";
import type { Services } from "./services.ts";

/** A failure of the place; undefined for what says nothing about it. @param fault that a verdict or a stream gave, where the reply's own status is no failure */
export function failureOf(result: AttemptResult, fault: GatewayError | undefined): FailureClass | undefined {
  if (result.kind === "fault") return result.wasSent && result.fault.code === "upstream_unreachable" ? "broken" : failureOfFault(result.fault);
  const { status } = result.reply;
  const ownsCredential = result.attempt.planned.target.credential === "client";
  if (status === 401 || status === 403) return ownsCredential ? undefined : "credential";
  if (status === 429) return ownsCredential ? undefined : "rate_limit";
  return failureOfStatus(status) ?? (fault === undefined ? undefined : failureOfFault(fault));
}

/** Of a reply; undefined for what is none of the place. */
export function failureOfStatus(status: number): FailureClass | undefined {
  if (status === 404) return "not_found";
  if (status === 408 || status === 504) return "timeout";
  if (status === 503 || status === 529) return "overloaded";
  return status >= 500 ? "server_error" : undefined;
}

/** Of a fault that came without a reply, or inside one. */
export function failureOfFault({ code, spec }: GatewayError): FailureClass | undefined {
  if (code === "upstream_unreachable") return "connect";
  if (code === "upstream_slow" || code === "upstream_stream_idle") return "timeout";
  if (code === "upstream_stream_broken") return "broken";
  if (code === "upstream_reply_invalid") return "invalid_reply";
  if (code === "upstream_refused") return spec.status === 429 ? "rate_limit" : failureOfStatus(spec.status);
  return code === "gateway_credential_rejected" ? "credential" : undefined;
}

/** Remembers how a try went. Callers' own logins tell of the callers. */
export function noteOutcome({ routing, clock }: Services, { snapshot }: Exchange, planned: PlannedTarget, { failure, retryAfterSeconds }: { readonly failure: FailureClass | undefined; readonly retryAfterSeconds: number | undefined }): void {
  const key = circuitKey(planned);
  if (failure === undefined) return routing.health.success(key, snapshot.config.routing.circuit);
  // A quota that says when it opens has not failed: it is used up until then.
  if (failure === "rate_limit" && retryAfterSeconds !== undefined) return routing.health.park(key, clock.monotonic() + retryAfterSeconds * 1_000);
  routing.health.failure(key, failure, snapshot.config.routing.circuit);
}

/** How long a failed try asks to be left alone. */
export function waitOf(result: AttemptResult, fault: GatewayError | undefined): number | undefined {
  return fault?.spec.retryAfterSeconds ?? (result.kind === "reply" ? retryAfterOf(result.reply.headers) : undefined);
}
