/** Who a request acts for, once its key has been found. */
import type { KeyRecord } from "./key-store.ts";

export interface Principal {
  readonly role: "admin" | "developer";
  /** Key id for the ledger; `admin` for the admin key. */
  readonly keyId: string;
  /** Absent for the admin key. */
  readonly key: KeyRecord | undefined;
  readonly userId: string | null;
  readonly teamId: string | null;
  readonly organizationId: string | null;
  /** May call models. Always true for developers, for the admin key by configuration. */
  readonly mayInfer: boolean;
  /** Hash of the secret that was presented; it bounds the life of what is derived from it. Absent for the admin key. */
  readonly secretHash?: string;
}
