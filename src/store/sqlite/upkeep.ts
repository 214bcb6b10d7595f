/**
 * Keeps the ledger's sums abreast and removes old rows while the gateway serves. It works on the connection of the journal, so that nobody ever
 * waits for a lock, in transactions so short that no stream notices.
 */
import type { Clock, Timer } from "../../kernel/clock.ts";
import type { GatewayError } from "../../kernel/gateway-error.ts";
import type { SqlDatabase } from "../sql.ts";
import { storeError } from "../store-error.ts";
import type { Retention, Upkeep } from "../stores.ts";
import { prune } from "./prune.ts";
import { rollUp, type RollupMark } from "./rollups.ts";

/** Attempts wait this long before they are summed; most have ended by then. */
const lagMs = 30_000;
/** Between two looks where there is nothing to do, and after a failure. */
const idleMs = 5_000;
/** From the end of one pass over the old rows to the next. */
const passEveryMs = 3_600_000;
/** A piece is made larger below the first and smaller above the second. */
const [pieceLowMs, pieceHighMs] = [1, 3];
const [rowsMin, rowsMax] = [50, 5_000];
/** Pauses are this many times as long as the work before them. */
const pauseFactor = 19;
const pauseMinMs = 10;
const dayMs = 86_400_000;
/** A clock that is set ahead while the gateway runs makes rows look old; it is believed this far beyond the time that has passed. */
const clockSlackMs = dayMs;

export interface UpkeepOptions {
  readonly sql: SqlDatabase;
  readonly clock: Clock;
  readonly mark: RollupMark;
  /** While the journal cannot write, nothing else tries to. */
  readonly isStoreFailing: () => boolean;
  readonly onDegraded: (error: GatewayError) => void;
}

export interface SqliteUpkeep extends Upkeep {
  /** What runs has ended, since all of it is synchronous. Idempotent. */
  stop(): void;
}

export function createUpkeep(options: UpkeepOptions): SqliteUpkeep {
  const work = new Work(options);
  return { start: (retention) => work.start(retention), step: (retention) => work.step(retention), stop: () => work.stop() };
}

/** A pass over the old rows: up to where they go, and how far it has come. */
interface Pass {
  readonly horizonMs: number;
  after: string;
}

class Work {
  readonly #options: UpkeepOptions;
  #rows = 250;
  #pass: Pass | undefined;
  /** On the monotonic clock. */
  #nextPassAtMs = -Infinity;
  /** What both clocks said at the beginning. */
  readonly #start: { readonly nowMs: number; readonly monotonicMs: number };
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.#start = { nowMs: options.clock.now(), monotonicMs: options.clock.monotonic() };
  }

  start(retention: Retention, pauseMs = pauseMinMs): void {
    this.#timer?.cancel();
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.after(pauseMs, () => this.start(retention, this.#turn(retention)));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Rows are summed before any go, and both never share a transaction: each is a state that a crash may leave. */
  step(retention: Retention): boolean {
    const { sql, clock, mark } = this.#options;
    try {
      const seen = rollUp(sql, mark, { rowsMax: this.#rows, untilMs: clock.now() - lagMs });
      return seen === this.#rows || this.#prune(retention);
    } catch (error) {
      throw storeError(error);
    }
  }

  /** @returns the pause until the next turn */
  #turn(retention: Retention): number {
    const { clock, isStoreFailing, onDegraded } = this.#options;
    if (isStoreFailing()) return idleMs;
    const startMs = clock.monotonic();
    try {
      const hasMore = this.step(retention);
      const tookMs = clock.monotonic() - startMs;
      this.#adapt(tookMs, hasMore);
      return hasMore ? Math.max(pauseMinMs, tookMs * pauseFactor) : idleMs;
    } catch (error) {
      onDegraded(storeError(error));
      return idleMs;
    }
  }

  /** A piece that was not full says little. */
  #adapt(tookMs: number, hasMore: boolean): void {
    if (tookMs > pieceHighMs) this.#rows = Math.max(rowsMin, this.#rows >> 1);
    else if (hasMore && tookMs < pieceLowMs) this.#rows = Math.min(rowsMax, this.#rows << 1);
  }

  /** @returns whether the pass goes on */
  #prune(retention: Retention): boolean {
    const { sql, clock } = this.#options;
    this.#pass ??= this.#nextPass(retention);
    if (this.#pass === undefined) return false;
    const { after } = prune(sql, { horizonMs: this.#pass.horizonMs, after: this.#pass.after, rowsMax: this.#rows, reconcilable: retention.reconcilable ?? [] });
    if (after !== undefined) {
      this.#pass.after = after;
      return true;
    }
    this.#pass = undefined;
    this.#nextPassAtMs = clock.monotonic() + passEveryMs;
    return false;
  }

  #nextPass({ retentionMs, neededSinceMs }: Retention): Pass | undefined {
    const { clock } = this.#options;
    if (retentionMs === undefined || clock.monotonic() < this.#nextPassAtMs) return undefined;
    const plausibleNowMs = this.#start.nowMs + clock.monotonic() - this.#start.monotonicMs + clockSlackMs;
    const horizonMs = Math.min(Math.min(clock.now(), plausibleNowMs) - retentionMs, neededSinceMs?.() ?? Infinity);
    if (horizonMs >= dayMs) return { horizonMs: Math.floor(horizonMs / dayMs) * dayMs, after: "" };
    this.#nextPassAtMs = clock.monotonic() + passEveryMs;
    return undefined;
  }
}
