/** What an audit line holds: evidence of who changed or was refused what. Never a secret, a body or a prompt. */
import type { Id } from "../kernel/ids.ts";

/** The closed catalogue of audited actions. */
export type AuditAction =
  | "key.create"
  | "key.update"
  | "key.delete"
  | "key.block"
  | "key.unblock"
  | "key.rotate"
  | "key.session"
  | "key_terms.set"
  | "key_terms.delete"
  | "admin_key.create"
  | "price.adjust"
  | "request.refused"
  | "gateway.start"
  | "gateway.recover"
  | "gateway.replay"
  | "budget.set"
  | "budget.delete"
  | "config.reload"
  | "usage.reconcile";

export interface AuditRecord {
  readonly id: Id<"aud">;
  readonly atMs: number;
  readonly action: AuditAction;
  /** Key id, `admin`, or `gateway`; for refusals of unknown callers `unknown`. */
  readonly actor: string;
  /** Id of the object acted on; empty when there is none. */
  readonly object: string;
  /** Public fields before and after, or the code and count of refusals. JSON-able, bounded. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly sourceAddress: string;
}
