/**
 * Assertions that stay on in production. A failed one ends the request it happened in with `gateway_internal`,
 * never the process; so it may guard invariants on the hot path but must not be used for bad input.
 */
import { GatewayError } from "./gateway-error.ts";

/** Throws `gateway_internal` when `condition` is false. `message` goes to the operator's log, never to a client. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new GatewayError("gateway_internal", { internal: `assertion failed: ${message}` });
}

/** Marks a branch the types exclude; throws `gateway_internal` if it is reached all the same. */
export function unreachable(value: never): never {
  throw new GatewayError("gateway_internal", { internal: `unreachable: ${String(value)}` });
}
