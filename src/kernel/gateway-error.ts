/**
 * The one error type that stages throw. What a client may read is chosen by the code; everything else stays inside.
 */
import { errorCodes, type ErrorCode, type ErrorSpec } from "./error-codes.ts";

const marker = Symbol.for("tollgate.GatewayError");

/** What goes with a code. */
export interface GatewayErrorDetails {
  /** For the operator's log only. Never holds a secret or a request body. */
  readonly internal?: string;
  /** A sentence that replaces the catalogue's public text. Built from our own words and names from the configuration only. */
  readonly publicText?: string;
  /** Overrides the catalogue, for the few refusals whose form depends on the client (for instance `policy_blocked`). */
  readonly status?: number;
  readonly type?: string;
  readonly shouldRetry?: false;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** A fault with a code of the closed catalogue. State: nothing of the failed stage's effect remains unless the stage says so. */
export class GatewayError extends Error {
  readonly [marker] = true;
  readonly code: ErrorCode;
  readonly details: GatewayErrorDetails;

  constructor(code: ErrorCode, details: GatewayErrorDetails = {}) {
    super(`${code}${details.internal === undefined ? "" : `: ${details.internal}`}`, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "GatewayError";
    this.code = code;
    this.details = details;
  }

  /** The catalogue's row with this error's own overrides applied. */
  get spec(): ErrorSpec {
    const { status, type, shouldRetry, retryAfterSeconds, publicText } = this.details;
    const base = errorCodes[this.code];
    if (status === undefined && type === undefined && shouldRetry === undefined && retryAfterSeconds === undefined && publicText === undefined) return base;
    return {
      ...base,
      ...(status === undefined ? {} : { status }),
      ...(type === undefined ? {} : { type }),
      ...(shouldRetry === undefined ? {} : { shouldRetry }),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      ...(publicText === undefined ? {} : { text: publicText }),
    };
  }
}

/** True for a GatewayError of any copy of this module. */
export function isGatewayError(value: unknown): value is GatewayError {
  return typeof value === "object" && value !== null && marker in value;
}

/** A GatewayError as it is; anything else wrapped as `gateway_internal` with its message kept inside. */
export function asGatewayError(value: unknown): GatewayError {
  if (isGatewayError(value)) return value;
  return new GatewayError("gateway_internal", { internal: internalWords(value), cause: value });
}

/** What the log may say of any fault: where it happened, and why, unless the reason quotes what was being parsed. */
export function internalWords(value: unknown): string {
  if (!(value instanceof Error)) return String(value);
  const { name, message, stack } = value;
  // Of the engine's own errors only those of parsers quote their input, as `Unexpected token 'x', "…" is not valid JSON`.
  if (value instanceof SyntaxError) return [name, ...(stack ?? "").split("\n").filter((line) => /^ +at /.test(line))].join("\n");
  return stack ?? message;
}
