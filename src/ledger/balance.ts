/** What one budget's scope has spent and holds, window by window. Integers only; changed by `ledger.ts` alone. */
import type { Binding, Budget } from "./budget.ts";
import type { Scope } from "./scope.ts";
import { windowAt, type WindowSpan } from "./window.ts";

/** How an amount came to be known. */
export type AmountSource = "reported" | "estimated" | "unresolved";

/** One window's sums, nano-USD. */
export interface SpanSums {
  readonly span: WindowSpan;
  /** All amounts that are final, whatever their source, and those that nobody knows at what was held for them last. */
  settled: bigint;
  /** Parts of `settled`. */
  estimated: bigint;
  unresolved: bigint;
  /** Of calls that run. */
  held: bigint;
  /** How much more the calls behind `held` may turn out to have cost, once their providers report. */
  atRisk: bigint;
  holds: number;
}

/** Sums of all windows that count at an instant, nano-USD. */
export type Used = Pick<SpanSums, "settled" | "held" | "atRisk" | "estimated" | "unresolved">;

/** Windows kept beside those that count: a clock that jumps, back or far ahead and back again, must find what was spent there. */
const spareSpansMax = 16;

/** One budget as one scope has used it. */
export class Balance {
  readonly scope: Scope;
  /** Replaced when the operator changes it; what was spent stays. */
  budget: Budget;
  /** Oldest first. Those that count no more and hold nothing go one by one, the oldest first, when there are many. */
  #spans: SpanSums[] = [];

  constructor({ budget, scope }: Binding) {
    this.budget = budget;
    this.scope = scope;
  }

  /** Sums of the window at an instant. */
  at(timeMs: number): SpanSums {
    const span = windowAt(this.budget.window, timeMs);
    const last = this.#spans.at(-1);
    if (last?.span.id === span.id) return last;
    const known = this.#spans.find((sums) => sums.span.id === span.id);
    if (known !== undefined) return known;
    const sums: SpanSums = { span, settled: 0n, estimated: 0n, unresolved: 0n, held: 0n, atRisk: 0n, holds: 0 };
    this.#spans.push(sums);
    // A clock that jumped back opens an earlier window again.
    if (last !== undefined && last.span.startMs > span.startMs) this.#spans.sort((a, b) => a.span.startMs - b.span.startMs);
    this.#forgetOldest(sums);
    return sums;
  }

  #forgetOldest(kept: SpanSums): void {
    const { rule } = this.budget.window;
    const countsFromMs = this.#spans.at(-1)!.span.countsFromMs;
    const isSpare = (each: SpanSums): boolean => each !== kept && each.holds === 0 && each.span.startMs < countsFromMs;
    let tooMany = this.#spans.filter(isSpare).length - spareSpansMax - (rule.kind === "rolling" ? rule.steps : 0);
    if (tooMany > 0) this.#spans = this.#spans.filter((each) => !isSpare(each) || tooMany-- <= 0);
  }

  /** Everything that counts at an instant: spent, and held for what runs. */
  used(timeMs: number): Used {
    const current = this.at(timeMs);
    if (this.budget.window.rule.kind !== "rolling") return current;
    const used = { settled: 0n, held: 0n, atRisk: 0n, estimated: 0n, unresolved: 0n };
    for (const sums of this.#spans) {
      // A clock that jumped back leaves amounts ahead of it, which a sliding window must not forget.
      if (sums.span.startMs < current.span.countsFromMs) continue;
      used.settled += sums.settled;
      used.held += sums.held;
      used.atRisk += sums.atRisk;
      used.estimated += sums.estimated;
      used.unresolved += sums.unresolved;
    }
    return used;
  }

  /** A call runs. */
  isRunning(): boolean {
    return this.#spans.some(({ holds }) => holds > 0);
  }

  /** No call runs, and nothing was ever counted. */
  isEmpty(): boolean {
    return this.#spans.every((sums) => sums.holds === 0 && sums.settled === 0n && sums.estimated === 0n && sums.unresolved === 0n);
  }

  /** No call runs and nothing counts any more. */
  isIdle(timeMs: number): boolean {
    const { countsFromMs } = windowAt(this.budget.window, timeMs);
    return this.#spans.every((sums) => sums.holds === 0 && sums.span.startMs < countsFromMs);
  }
}
