/** Turns what SQLite throws into the two things the house knows: the store is unavailable, or one value does not fit. */
import { GatewayError, isGatewayError } from "../kernel/gateway-error.ts";

/** Primary result codes (https://www.sqlite.org/rescode.html) that speak of one statement's values, not of the store. */
const valueResultCodes: ReadonlySet<number> = new Set([18 /* TOOBIG */, 19 /* CONSTRAINT */, 20 /* MISMATCH */, 25 /* RANGE */]);

/** SQLite's extended result code, or undefined for errors that did not come from SQLite itself. */
export function resultCodeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}

/** True when the same statement with other values could succeed: a constraint, a wrong type, a number out of range. */
export function isValueError(error: unknown): boolean {
  const code = resultCodeOf(error);
  if (code !== undefined) return valueResultCodes.has(code & 0xff);
  const name = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return name === "ERR_INVALID_ARG_TYPE" || name === "ERR_INVALID_ARG_VALUE" || name === "ERR_OUT_OF_RANGE";
}

/** True for a violated UNIQUE or PRIMARY KEY constraint. */
export function isUniqueError(error: unknown): boolean {
  const code = resultCodeOf(error);
  return code === 2067 || code === 1555;
}

/** A GatewayError as it is; anything else as `gateway_store_unavailable` with SQLite's sentence kept inside. */
export function storeError(error: unknown): GatewayError {
  if (isGatewayError(error)) return error;
  const code = resultCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new GatewayError("gateway_store_unavailable", { internal: code === undefined ? message : `${message} (SQLite ${code})`, cause: error });
}
