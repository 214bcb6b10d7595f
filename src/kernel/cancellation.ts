/**
 * The end of a request before its time: the client left, or the time is up. What `AbortController` is for, without an event target,
 * which would cost every request more than reading its head does.
 */
import type { GatewayError } from "./gateway-error.ts";

/** What those see who must stop. */
export interface Cancelled {
  /** Why; undefined while nothing has ended. */
  readonly reason: GatewayError | undefined;
  /** Calls `act` once, when it ends; not if it has ended already. The same function is kept once. */
  add(act: () => void): void;
  remove(act: () => void): void;
}

export class Cancellation implements Cancelled {
  reason: GatewayError | undefined;
  #acts: (() => void)[] = [];

  add(act: () => void): void {
    if (!this.#acts.includes(act)) this.#acts.push(act);
  }

  remove(act: () => void): void {
    const index = this.#acts.indexOf(act);
    if (index !== -1) this.#acts.splice(index, 1);
  }

  /** The first reason counts; later ones are ignored. */
  cancel(reason: GatewayError): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    const acts = this.#acts;
    this.#acts = [];
    for (const act of acts) act();
  }
}
