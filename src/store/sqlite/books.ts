/**
 * The journal. Writes of one turn of the event loop share one transaction, and each caller's promise resolves after its
 * COMMIT. While the store fails, closings wait in memory until they can be written; openings are refused at once, or go to the
 * spill file and wait too, where there is one that takes them.
 */
import { journalDepthMax } from "../../kernel/bounds.ts";
import type { Clock, Timer } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { NanoUsd } from "../../kernel/money.ts";
import type { AttemptClosing, AttemptOpening, Books } from "../../pipeline/books.ts";
import type { SpillBooks } from "../spill/spill-books.ts";
import type { SqlDatabase } from "../sql.ts";
import { isUniqueError, isValueError, storeError } from "../store-error.ts";
import { abandonAttempt, closeAttempt, keySpendOf, openAttempt, raiseHold } from "./attempts.ts";
import { createJournalMark, type JournalMark } from "./journal-mark.ts";
import { probe } from "./probe.ts";
import { noteOpened, readRollupMark, type RollupMark } from "./rollups.ts";
import { createSpendBatch } from "./spend.ts";

/** Writes in one transaction at most, so that a backlog cannot hold the event loop for longer than a few milliseconds. */
const batchMax = 500;
const retryFirstMs = 50;
const retryMaxMs = 2_000;

/** What the journal needs. */
export interface BooksOptions {
  readonly sql: SqlDatabase;
  readonly clock: Clock;
  /** Writes that may wait before openings are refused. */
  readonly depthMax?: number;
  /** Told once when the store begins to fail, and of each closing that could not be kept as it was. */
  readonly onDegraded?: (error: GatewayError) => void;
  /** Takes over while the store fails; absent: openings are refused then. */
  readonly spill?: SpillBooks;
  /** The one that the upkeep moves; absent: nothing moves it. */
  readonly rollupMark?: RollupMark;
}

/** The journal with its end. */
export interface SqliteBooks extends Books {
  /** Why nothing can be written at the moment; undefined when the last write went through. */
  failure(): GatewayError | undefined;
  /** Writes what waits now, if the store takes it, so that a read sees all that has ended. */
  flush(): void;
  /**
   * Writes what waits and takes nothing more.
   *
   * @throws GatewayError `gateway_store_unavailable` when closings could be written neither here nor to the spill file; their attempts
   *   will be `unresolved`
   */
  drain(): Promise<void>;
}

interface OpenItem {
  readonly opening: AttemptOpening;
  readonly closing: undefined;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
}
interface CloseItem {
  readonly opening: undefined;
  readonly closing: AttemptClosing;
  readonly resolve: () => void;
  readonly reject: undefined;
}
type Item = OpenItem | CloseItem;

/** @returns the journal over `sql`, whose attempts of earlier processes have been recovered already */
export function sqliteBooks(options: BooksOptions): SqliteBooks {
  const journal = new Journal(options);
  const open = (opening: AttemptOpening): Promise<void> => journal.open(opening);
  return {
    openEntry: open,
    openAttempt: open,
    raiseHold: (attemptId, holdNanoUsd) => journal.raise(attemptId, holdNanoUsd),
    closeEntry: (closing) => journal.close(closing),
    depth: () => journal.depth(),
    failure: () => journal.failure,
    flush: () => journal.flush(),
    drain: () => journal.drain(),
  };
}

class Journal {
  readonly #sql: SqlDatabase;
  readonly #clock: Clock;
  readonly #depthMax: number;
  readonly #onDegraded: (error: GatewayError) => void;
  readonly #mark: JournalMark;
  readonly #rollupMark: RollupMark;
  /** Attempts that this process opened and has not closed, with their keys. A closing of any other attempt is a second one. */
  readonly #openKeys = new Map<string, string>();
  #queue: Item[] = [];
  /** Newest hold of attempts whose row says less. */
  readonly #raises = new Map<string, bigint>();
  readonly #spill: SpillBooks | undefined;
  /** Closings that a failing store could not take, and openings that the spill file took instead, oldest first. */
  readonly #retained = new Set<Item>();
  #isScheduled = false;
  #isDrained = false;
  #retryTimer: Timer | undefined;
  #retryMs = retryFirstMs;
  failure: GatewayError | undefined;

  constructor({ sql, clock, depthMax, onDegraded, spill, rollupMark }: BooksOptions) {
    this.#sql = sql;
    this.#clock = clock;
    this.#depthMax = depthMax ?? journalDepthMax;
    this.#onDegraded = onDegraded ?? (() => undefined);
    this.#mark = createJournalMark(sql);
    this.#rollupMark = rollupMark ?? readRollupMark(sql);
    this.#spill = spill;
  }

  depth(): number {
    return this.#queue.length + this.#retained.size;
  }

  open(opening: AttemptOpening): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const item: OpenItem = { opening, closing: undefined, resolve, reject };
      if (this.failure !== undefined) return this.#openElsewhere(item, this.failure);
      this.#queue.push(item);
      this.#schedule();
    });
  }

  raise(attemptId: AttemptOpening["attemptId"], holdNanoUsd: NanoUsd): void {
    if (this.#isDrained) return;
    this.#raises.set(attemptId, holdNanoUsd);
    if (this.failure === undefined) this.#scheduleSoon();
    else this.#spill?.raiseHold(attemptId, holdNanoUsd);
  }

  close(closing: AttemptClosing): Promise<void> {
    this.#raises.delete(closing.attemptId);
    return new Promise((resolve) => {
      const item: CloseItem = { opening: undefined, closing, resolve, reject: undefined };
      if (this.#isDrained) {
        this.#onDegraded(new GatewayError("gateway_store_unavailable", { internal: `attempt ${closing.attemptId} ended after the store was closed` }));
        resolve();
      } else if (this.failure !== undefined) this.#retainClosing(item);
      else {
        this.#queue.push(item);
        this.#scheduleSoon();
      }
    });
  }

  flush(): void {
    // A store that is back already takes what waited without waiting for the next try.
    if (this.failure !== undefined && !this.#isDrained) {
      this.#retryTimer?.cancel();
      this.#retry();
    }
    while (this.#queue.length > 0 && this.failure === undefined) this.#flush();
  }

  async drain(): Promise<void> {
    this.#retryTimer?.cancel();
    this.flush();
    if (this.failure !== undefined) {
      this.#setAside(this.#queue.splice(0), this.failure);
      this.#retry();
      this.#retryTimer?.cancel();
    }
    this.#isDrained = true;
    const isSpilled = (await this.#spill?.settled()) === true;
    if (this.#retained.size === 0) return;
    const reason = this.failure?.details.internal ?? "";
    if (isSpilled) this.#onDegraded(new GatewayError("gateway_store_unavailable", { internal: `${this.#retained.size} entries stay in the spill file for the next start: ${reason}` }));
    else throw new GatewayError("gateway_store_unavailable", { internal: `${this.#retained.size} closings could not be written; their attempts will be unresolved: ${reason}` });
  }

  #refusal(): GatewayError | undefined {
    if (this.#isDrained) return new GatewayError("gateway_store_unavailable", { internal: "the store is closed" });
    if (this.failure !== undefined && this.#spill === undefined) return this.failure;
    if (this.depth() >= this.#depthMax) return new GatewayError("gateway_store_unavailable", { internal: `${this.depth()} writes wait for the store` });
    return undefined;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  /** Nobody waits for these: they may go with the openings of the next turn. */
  #scheduleSoon(): void {
    if (!this.#isScheduled) setImmediate(() => this.#schedule());
  }

  /** Writes one batch; the next one, if any, gets a turn of its own. */
  #flush(): void {
    if (this.#queue.length === 0 && this.#raises.size === 0) return;
    const items = this.#queue.length <= batchMax ? this.#queue : this.#queue.slice(0, batchMax);
    this.#queue = items === this.#queue ? [] : this.#queue.slice(batchMax);
    const error = this.#commit(items);
    if (error !== undefined) {
      this.#beginFailure(items, error);
      this.#setAside(this.#queue.splice(0), error);
    } else if (this.#queue.length > 0) this.#schedule();
  }

  /** Writes `items` in one transaction and settles their promises; on failure nothing is written and nothing settled. */
  #commit(items: readonly Item[]): GatewayError | undefined {
    let refused: Map<Item, GatewayError> | undefined;
    try {
      refused = this.#sql.transaction(() => this.#write(items));
    } catch (error) {
      for (const { opening } of items) if (opening !== undefined) this.#openKeys.delete(opening.attemptId);
      this.#mark.revert();
      return storeError(error);
    }
    this.#mark.committed();
    this.#raises.clear();
    for (const item of items) {
      if (item.closing !== undefined) this.#openKeys.delete(item.closing.attemptId);
      const refusal = refused?.get(item);
      if (refusal !== undefined && this.#retained.has(item)) this.#onDegraded(refusal);
      if (refusal !== undefined && item.reject !== undefined) item.reject(refusal);
      else item.resolve();
    }
    return undefined;
  }

  #write(items: readonly Item[]): Map<Item, GatewayError> | undefined {
    let refused: Map<Item, GatewayError> | undefined;
    const spend = createSpendBatch();
    let closings = 0;
    for (const item of items) {
      if (item.closing !== undefined) {
        const keyId = this.#openKeys.get(item.closing.attemptId);
        if (keyId !== undefined && this.#writeClosing(item.closing)) {
          spend.add(keyId, keySpendOf(item.closing), 1);
          closings++;
        }
      } else {
        const error = this.#writeOpening(item);
        if (error !== undefined) (refused ??= new Map()).set(item, error);
      }
    }
    for (const [attemptId, holdNanoUsd] of this.#raises) raiseHold(this.#sql, attemptId, holdNanoUsd);
    spend.write(this.#sql);
    this.#mark.write(closings, this.#openKeys);
    return refused;
  }

  /** A value that the store cannot hold is this opening's fault alone, so the others of its batch go on. */
  #writeOpening(item: OpenItem): GatewayError | undefined {
    const { opening } = item;
    try {
      openAttempt(this.#sql, opening);
      noteOpened(this.#sql, this.#rollupMark, opening.attemptId);
    } catch (error) {
      if (!isValueError(error)) throw error;
      // The commit after which the spill file took this one may have reached the disk although it failed.
      if (!isUniqueError(error) || !this.#retained.has(item)) return storeError(error);
    }
    this.#openKeys.set(opening.attemptId, opening.keyId);
    this.#mark.opened(opening.attemptId);
    return undefined;
  }

  /** A closing whose values the store cannot hold would fail for ever; its attempt becomes `unresolved` instead. */
  #writeClosing(closing: AttemptClosing): boolean {
    try {
      return closeAttempt(this.#sql, closing);
    } catch (error) {
      if (!isValueError(error)) throw error;
      abandonAttempt(this.#sql, closing.attemptId, closing.closedAtMs);
      this.#onDegraded(new GatewayError("gateway_internal", { internal: `closing of ${closing.attemptId} does not fit the ledger: ${storeError(error).message}` }));
      return false;
    }
  }

  #beginFailure(items: readonly Item[], error: GatewayError): void {
    const isNew = this.failure === undefined;
    this.failure = error;
    if (isNew) this.#spill?.begin();
    this.#setAside(items, error);
    this.#retryMs = retryFirstMs;
    this.#scheduleRetry();
    if (isNew) this.#onDegraded(error);
  }

  #setAside(items: readonly Item[], error: GatewayError): void {
    for (const item of items) {
      if (item.closing !== undefined) this.#retainClosing(item);
      else {
        // A commit that failed late may have reached the disk all the same; such a row must be found after a restart.
        this.#mark.freeze();
        this.#openElsewhere(item, error);
      }
    }
  }

  #retainClosing(item: CloseItem): void {
    this.#retained.add(item);
    void this.#spill?.closeEntry(item.closing);
  }

  /** The store may come back while the spill file is being written: then it takes the opening, and whichever is first lets the call go on. */
  #openElsewhere(item: OpenItem, error: GatewayError): void {
    if (this.#spill === undefined) return item.reject(error);
    this.#retained.add(item);
    this.#spill.openEntry(item.opening).then(item.resolve, (fault: GatewayError) => {
      this.#retained.delete(item);
      item.reject(fault);
    });
  }

  #scheduleRetry(): void {
    this.#retryTimer?.cancel();
    this.#retryTimer = this.#clock.after(this.#retryMs, () => this.#retry());
  }

  /** Writes what waited, then lets openings in again. */
  #retry(): void {
    this.#retryTimer = undefined;
    let error = this.#probe();
    while (error === undefined && (this.#retained.size > 0 || this.#raises.size > 0)) {
      const items = [...this.#retained].slice(0, batchMax);
      error = this.#commit(items);
      if (error === undefined) for (const item of items) this.#retained.delete(item);
    }
    this.failure = error;
    if (error === undefined) return this.#spill?.end();
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
    this.#scheduleRetry();
  }

  #probe(): GatewayError | undefined {
    try {
      probe(this.#sql, this.#clock.now());
      return undefined;
    } catch (error) {
      return storeError(error);
    }
  }
}
