/**
 * What the operator is told of calls that go on while the store cannot be written, and what readiness and metrics say meanwhile. The
 * allowance itself is the ledger's.
 */
import { failOpenSharePpmMax } from "../kernel/bounds.ts";
import type { Clock } from "../kernel/clock.ts";
import { assert } from "../kernel/assert.ts";
import { createOutageAllowance, type OutageAllowance } from "../ledger/outage-allowance.ts";
import type { Budget } from "../ledger/budget.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { SpillReplay } from "../store/stores.ts";
import type { Log } from "../telemetry/log.ts";

export interface Outage {
  /** Undefined where nothing may go on. */
  readonly allowance: OutageAllowance | undefined;
  /** The ledger is made after the store, and must be known before the first call. */
  follow(ledger: Pick<Ledger, "holdOf">): void;
  /** Tells what an earlier outage had left, and is in the ledger now. */
  noteReplay(replay: SpillReplay): void;
  /** Attempts let through in outages, ever. */
  attempts(): number;
  /** Calls may go on although the store cannot be written, now or if it were so. */
  mayFailOpen(): boolean;
  /** The store cannot be written, and calls may go on. */
  isFailingOpen(): boolean;
}

export interface OutageOptions {
  /** Of the configuration in force. */
  readonly budgets: () => readonly Budget[];
  readonly unbudgetedMs: number;
  readonly clock: Clock;
  readonly log: Pick<Log, "error" | "warn">;
}

const loggedAgainMs = 60_000;

export function createOutage({ budgets, unbudgetedMs, clock, log }: OutageOptions): Outage {
  assert(budgets().every(({ failOpen }) => failOpen === undefined || failOpen.sharePpm <= failOpenSharePpmMax), "no budget fails open by more than its part");
  let known: Pick<Ledger, "holdOf"> | undefined;
  let attempts = 0;
  let attemptsBefore = 0;
  let loggedAt = -Infinity;
  let isOn = false;
  const allowance = createOutageAllowance({ holdOf: (attemptId) => known?.holdOf(attemptId), budgets, unbudgetedMs });
  const told: OutageAllowance = {
    ...allowance,
    begin(atMs) {
      isOn = true;
      allowance.begin(atMs);
    },
    take(attemptId, atMs) {
      if (!allowance.take(attemptId, atMs)) return false;
      attempts++;
      if (atMs - loggedAt >= loggedAgainMs) {
        loggedAt = atMs;
        log.error({ attempts: attempts - attemptsBefore }, "failing open: the store cannot be written, and calls go on within the allowance of their budgets; their entries are in the spill file");
      }
      return true;
    },
    end() {
      isOn = false;
      allowance.end();
      if (attempts > attemptsBefore) log.warn({ attempts: attempts - attemptsBefore }, "the store is back; it has the entries of the calls that went on");
      attemptsBefore = attempts;
      loggedAt = -Infinity;
    },
  };
  const mayFailOpen = unbudgetedMs > 0 || budgets().some(({ failOpen }) => failOpen !== undefined);
  return {
    allowance: mayFailOpen ? told : undefined,
    follow: (ledger) => void (known = ledger),
    noteReplay({ openedAttempts, closedAttempts, lostEntries }) {
      if (openedAttempts + closedAttempts > 0) log.warn({ opened: openedAttempts, closed: closedAttempts }, "entries of an outage were in the spill file, and are in the ledger now");
      if (lostEntries > 0) log.error({ entries: lostEntries }, "entries of the spill file are damaged; a copy of the file is beside it");
    },
    attempts: () => attempts,
    mayFailOpen: () => allowance.mayTake(clock.monotonic()),
    isFailingOpen: () => isOn && allowance.mayTake(clock.monotonic()),
  };
}
