/** Stable names of targets that got none from the operator. */
import { createHash } from "node:crypto";

/**
 * The same parts give the same id on every machine and at every start. Credentials are never among the parts.
 *
 * @returns 16 hexadecimal digits
 */
export function targetId(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}
