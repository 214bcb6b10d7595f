/**
 * K2: the token without which no inference leaves. Only `pipeline/admit.ts` may import `mintAdmission` (the architecture
 * test holds that), so a route cannot skip authentication, limits or the ledger by calling the dialer itself.
 */
import type { Id } from "../kernel/ids.ts";

const minted = new WeakSet<object>();

/** Proof that a request was authenticated, is within its limits and has a durable entry. */
export interface Admission {
  readonly requestId: Id<"req">;
  readonly keyId: string;
}

export function mintAdmission(requestId: Id<"req">, keyId: string): Admission {
  const admission: Admission = Object.freeze({ requestId, keyId });
  minted.add(admission);
  return admission;
}

/** True for admissions that came from {@link mintAdmission} in this process, whatever their shape. */
export function isMinted(admission: Admission): boolean {
  return minted.has(admission);
}
