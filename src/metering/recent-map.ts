/**
 * A map that keeps what is used and never grows beyond its bound. A use sets a mark instead of moving the entry, which at a call's rate is
 * what counts; the order is put right when room is needed. Forgetting the wrong entry now and then only costs an estimate.
 */

/** Marked entries that are passed over for one new entry, at most, so that none has to wait for a walk through all. */
const passesMax = 16;

interface Entry<Value> {
  value: Value;
  /** Since it was last passed over. */
  isUsed: boolean;
}

/** Entries by name. While there are no more names than its bound, none is lost. */
export class RecentMap<Value> {
  readonly #entriesMax: number;
  /** Next to be judged first. */
  readonly #entries = new Map<string, Entry<Value>>();

  /** @param entriesMax ≥ 1 */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get(id: string): Value | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    entry.isUsed = true;
    return entry.value;
  }

  set(id: string, value: Value): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) {
      entry.value = value;
      entry.isUsed = true;
      return;
    }
    if (this.#entries.size >= this.#entriesMax) this.#makeRoom();
    this.#entries.set(id, { value, isUsed: false });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Drops the first entry that was not used since it was passed over last, or the one after those that were. */
  #makeRoom(): void {
    let passes = 0;
    for (const [id, entry] of this.#entries) {
      this.#entries.delete(id);
      if (!entry.isUsed || passes === passesMax) return;
      passes++;
      entry.isUsed = false;
      this.#entries.set(id, entry);
    }
  }
}
