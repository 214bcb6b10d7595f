/**
 * The one door through which keys change: one change after the other, each decided on what the one before left behind.
 * Without it a slow update could write back a key that was revoked meanwhile.
 */
import type { KeyIndex } from "./key-index.ts";
import type { KeyChange, KeyRecord, KeyStore } from "./key-store.ts";

export interface KeyChanges {
  /**
   * Durable and in force when it resolves.
   *
   * @param decide called in its turn, synchronously, with the index as it is then; undefined changes nothing
   * @throws what `decide` or the store throws; nothing has changed then
   */
  change(decide: () => KeyChange | undefined): Promise<void>;
  /** For changes of what keys stand on: `action` begins when all changes before it are done, and no other one begins before it has ended. */
  inTurn<Result>(action: () => Promise<Result>): Promise<Result>;
}

export interface KeyChangesOptions {
  readonly store: KeyStore;
  readonly index: KeyIndex;
  /** Follows each key that was written, before the change counts as done. */
  readonly onKey?: (key: KeyRecord) => Promise<void>;
}

/** @returns the door; there must be one per store */
export function createKeyChanges({ store, index, onKey }: KeyChangesOptions): KeyChanges {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(action: () => Promise<Result>): Promise<Result> => {
    const turn = last.then(action);
    // A failed change must not keep the next one from its turn.
    last = turn.catch(() => {});
    return turn;
  };
  const run = async (decide: () => KeyChange | undefined): Promise<void> => {
    const change = decide();
    if (change === undefined) return;
    await store.apply(change);
    index.applied(change);
    if (change.key !== undefined) await onKey?.(change.key);
  };
  return { change: (decide) => inTurn(() => run(decide)), inTurn };
}
