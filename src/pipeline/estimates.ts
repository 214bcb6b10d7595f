/** What the stages need to know of costs before they are reported. Learnt from attempts that ended; never a price of its own. */
import type { ObservedUsage } from "../dialects/dialect.ts";
import type { Demand } from "../ledger/ledger.ts";
import type { AttemptOpening } from "./books.ts";
import type { Attempt, Exchange, Planned, PlannedTarget } from "./exchange.ts";

/** Cost of one attempt while it runs, nano-USD. */
export interface RunningCost {
  /** What it is expected to come to, given what the reply has told; more than {@link RunningCost.soFar}. */
  expected(observed: ObservedUsage): bigint;
  /** What it has cost by now, with a margin for what is on its way. */
  soFar(observed: ObservedUsage): bigint;
}

export interface Estimates {
  /** In the order in which they should be tried: the careful one first. Undefined where the model has no price. */
  demands(planned: Planned, target: PlannedTarget, opening: AttemptOpening): readonly Demand[] | undefined;
  running(planned: Planned, attempt: Attempt): RunningCost;
  /** Learns from an attempt that ended with its provider's own report. */
  learn(exchange: Exchange, attempt: Attempt): void;
}
