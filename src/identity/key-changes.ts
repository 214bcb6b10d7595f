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
}

export interface KeyChangesOptions {
  readonly store: KeyStore;
  readonly index: KeyIndex;
  /** Follows each key that was written, before the change counts as done. */
  readonly onKey?: (key: KeyRecord) => Promise<void>;
}

/** @returns the door; there must be one per store */
export function createKeyChanges({ store, index, onKey }: KeyChangesOptions): KeyChanges {
  let last: Promise<void> = Promise.resolve();
  const run = async (decide: () => KeyChange | undefined): Promise<void> => {
    const change = decide();
    if (change === undefined) return;
    await store.apply(change);
    index.applied(change);
    if (change.key !== undefined) await onKey?.(change.key);
  };
  return {
    change(decide) {
      const turn = last.then(() => run(decide));
      // A failed change must not keep the next one from its turn.
      last = turn.catch(() => {});
      return turn;
    },
  };
}
