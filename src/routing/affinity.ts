/** Where each conversation's prompt cache is warm: on the target that served it last, for as long as the cache lives from the last hit on. */
import type { Clock } from "../kernel/clock.ts";

export interface Affinity {
  /** Undefined where no cache is warm. `isConfirmed`: a reply has come from there; else a call is on its way. */
  find(key: string): { readonly targetId: string; readonly isConfirmed: boolean } | undefined;
  /** A call is on its way, so that those that come beside it go the same way; a warm cache elsewhere is forgotten only when this one is confirmed. */
  claim(key: string, targetId: string, ttlMs: number): void;
  /** A reply has come. @param ttlMs from now */
  confirm(key: string, targetId: string, ttlMs: number): void;
  /** Nothing came of it there. */
  release(key: string, targetId: string): void;
  /** The target is failing, limited or draining: its conversations are free. */
  releaseTarget(targetId: string): void;
}

/** A call that never ends frees its claim. */
const claimMs = 60_000;

interface Place {
  targetId: string;
  isConfirmed: boolean;
  untilAt: number;
}

/** @param sizeMax conversations remembered; those that were used last */
export function createAffinity(clock: Clock, sizeMax = 50_000): Affinity {
  const places = new Map<string, Place>();
  const liveOf = (key: string): Place | undefined => {
    const place = places.get(key);
    if (place === undefined || place.untilAt > clock.monotonic()) return place;
    places.delete(key);
    return undefined;
  };
  const put = (key: string, place: Place): void => {
    // Behind all others, so that the front is what was used longest ago.
    places.delete(key);
    places.set(key, place);
    if (places.size > sizeMax) places.delete(places.keys().next().value!);
  };
  return {
    find: (key) => liveOf(key),
    claim(key, targetId, ttlMs) {
      if (liveOf(key) === undefined) put(key, { targetId, isConfirmed: false, untilAt: clock.monotonic() + Math.min(ttlMs, claimMs) });
    },
    confirm: (key, targetId, ttlMs) => put(key, { targetId, isConfirmed: true, untilAt: clock.monotonic() + ttlMs }),
    release(key, targetId) {
      if (places.get(key)?.targetId === targetId) places.delete(key);
    },
    releaseTarget(targetId) {
      for (const [key, place] of places) if (place.targetId === targetId) places.delete(key);
    },
  };
}
