/**
 * Keeps one credential fresh: asks ahead of its end, never twice at once, keeps the old one while it lives when the new one
 * cannot be had, and does not hammer a login service that fails.
 */
import type { Clock } from "../kernel/clock.ts";
import { CredentialError, type CredentialSource, type Expiring } from "./runtime.ts";

/** A refresh begins this long before the end, in the background; tokens live for an hour, and services allow renewal then. */
export const refreshAheadMs = 5 * 60_000;
/** Nearer to its end than this a value is no longer handed out: the request must still arrive with it. */
const lastUseMs = 10_000;
/** An upstream that refuses a login younger than this refuses it for another reason than its age. */
const refusedPauseMs = 30_000;
/** Between two tries of a login that fails. */
const retryPauseMs = 5_000;

/**
 * @param load logs in; each call is one login
 * @param hasChanged looks at what the login is made of (a key file, say) and tells whether it has changed since the last load
 */
export function createRefreshing<Value extends Expiring>(clock: Clock, load: () => Promise<Value>, hasChanged?: () => Promise<boolean>): CredentialSource<Value> {
  let current: Value | undefined;
  let loadedAt = 0;
  let running: Promise<Value> | undefined;
  let failedAt: number | undefined;
  let lastFault: unknown;

  const isGood = (value: Value | undefined, marginMs: number): value is Value =>
    value !== undefined && (value.expiresAtMs === undefined || value.expiresAtMs - clock.now() > marginMs);

  const refresh = (): Promise<Value> => {
    running ??= load()
      .then(
        (fresh) => {
          current = fresh;
          loadedAt = clock.monotonic();
          failedAt = undefined;
          return fresh;
        },
        (fault: unknown) => {
          failedAt = clock.monotonic();
          lastFault = fault;
          throw fault;
        },
      )
      .finally(() => (running = undefined));
    return running;
  };
  const mayTry = (): boolean => failedAt === undefined || clock.monotonic() - failedAt >= retryPauseMs;

  return {
    async get() {
      if (isGood(current, lastUseMs)) {
        const isDue = !isGood(current, refreshAheadMs) || (running === undefined && (await hasChanged?.()) === true);
        if (isDue && mayTry()) void refresh().catch(() => undefined);
        if (isGood(current, lastUseMs)) return current;
      }
      if (running === undefined && !mayTry()) throw lastFault instanceof Error ? lastFault : new CredentialError(String(lastFault), true);
      return refresh();
    },
    refused(value) {
      // A login that has just been made will not be better for being made again.
      if (current === value && clock.monotonic() - loadedAt >= refusedPauseMs) current = undefined;
    },
  };
}
