/**
 * Time and the event loop of a simulated world: things happen in the order of their due time, and between two of them every
 * promise that can go on has gone on. Nothing waits in reality.
 */
import type { Clock, Timer } from "../../src/kernel/clock.ts";
import type { Random } from "./random.ts";

interface Item {
  readonly dueAt: number;
  /** Breaks ties in the order of scheduling. */
  readonly order: number;
  readonly act: () => void;
  isCancelled: boolean;
}

const realImmediate = globalThis.setImmediate;

/** Of one world; only one runs at a time, since it stands in for `setImmediate`. */
export class SimulatedTime {
  readonly #random: Random;
  /** A binary heap, earliest first. */
  readonly #heap: Item[] = [];
  #order = 0;
  #turn: (() => void)[] = [];
  #isTurnDue = false;
  /** Monotonic milliseconds since the world began. */
  elapsedMs = 0;
  /** Wall time is this and the elapsed time; the operator's clock may be set. */
  wallOffsetMs: number;

  constructor(startMs: number, random: Random) {
    this.wallOffsetMs = startMs;
    this.#random = random;
  }

  now(): number {
    return Math.floor(this.wallOffsetMs + this.elapsedMs);
  }

  after(delayMs: number, act: () => void): Timer {
    const item: Item = { dueAt: this.elapsedMs + Math.max(0, delayMs), order: this.#order++, act, isCancelled: false };
    this.#push(item);
    return { cancel: () => void (item.isCancelled = true) };
  }

  /**
   * The clock of one process, deaf once the process is dead.
   *
   * @param isAlive asked before each timer fires
   */
  clockFor(isAlive: () => boolean): Clock {
    const after = (delayMs: number, action: () => void): Timer => this.after(delayMs, () => isAlive() && action());
    return {
      now: () => this.now(),
      monotonic: () => this.elapsedMs,
      after,
      every(periodMs, action) {
        let timer = after(periodMs, function fire() {
          timer = after(periodMs, fire);
          action();
        });
        return { cancel: () => timer.cancel() };
      },
    };
  }

  /** Runs everything due until `untilMs` of elapsed time. `watch` sees the world after each event. */
  async run(untilMs: number, watch: () => void): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.dueAt <= untilMs; next = this.#heap[0]) {
      this.#pop();
      if (next.isCancelled) continue;
      if (next.dueAt > this.elapsedMs) this.elapsedMs = next.dueAt;
      next.act();
      await new Promise<void>((resolve) => void realImmediate(resolve));
      watch();
    }
    this.elapsedMs = Math.max(this.elapsedMs, untilMs);
  }

  /** What the process meant to do in its next turn of the loop dies with it. */
  forgetTurn(): void {
    this.#turn = [];
  }

  /** Puts this world's loop in the place of the real one for what calls `setImmediate`; the result undoes it. */
  takeOver(): () => void {
    globalThis.setImmediate = ((act: () => void) => this.#immediate(act)) as typeof setImmediate;
    return () => void (globalThis.setImmediate = realImmediate);
  }

  /** All that was asked for in one turn runs in the next, a moment later. */
  #immediate(act: () => void): void {
    this.#turn.push(act);
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.after(this.#random.next() * 2, () => {
      this.#isTurnDue = false;
      const turn = this.#turn;
      this.#turn = [];
      for (const each of turn) each();
    });
  }

  #push(item: Item): void {
    const heap = this.#heap;
    let at = heap.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(item, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Item, b: Item): boolean {
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
