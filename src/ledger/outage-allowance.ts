/**
 * What calls may spend while the store cannot be written: of each budget the part that its owner lets go on. All caps hold as ever,
 * from memory; this bounds what rests on the spill file alone. Pure but for the holds it is shown.
 */
import { failOpenMsMax } from "../kernel/bounds.ts";
import type { Balance } from "./balance.ts";
import type { Budget } from "./budget.ts";
import type { Hold, Line } from "./ledger.ts";

export interface OutageAllowance {
  /** The store began to fail. @param atMs monotonic, like all times here */
  begin(atMs: number): void;
  /** The store takes writes again; the next outage has its whole allowance. */
  end(): void;
  /**
   * Lets an attempt go on if every budget that binds it allows that, for long enough and with room for what is held for it. What it
   * holds more later, as its reply grows, counts too and is not refused.
   *
   * @returns false outside an outage
   */
  take(attemptId: string, atMs: number): boolean;
  /** The attempt goes nowhere after all. */
  giveBack(attemptId: string): void;
  /** The attempt has ended; from now on it counts at what was charged for it. Attempts that were not let through here are ignored. */
  closed(attemptId: string, chargeNanoUsd: bigint): void;
  /** Whether any budget, or the lack of one, lets calls go on at this time of an outage, or in one that begins now; readiness follows it. */
  mayTake(atMs: number): boolean;
}

export interface OutageAllowanceOptions {
  /** The room kept for an attempt that is about to leave; undefined where no budget binds it. */
  readonly holdOf: (attemptId: string) => Hold | undefined;
  readonly budgets: () => readonly Budget[];
  /** How long calls that no budget binds go on, milliseconds; 0: not at all. */
  readonly unbudgetedMs: number;
}

/** What one budget's scope has used of its allowance in this outage. */
interface Used {
  ended: bigint;
  /** Lines of running attempts, whose holds grow with their replies. */
  readonly running: Map<string, Line>;
}

export function createOutageAllowance({ holdOf, budgets, unbudgetedMs }: OutageAllowanceOptions): OutageAllowance {
  let beganMs: number | undefined;
  const used = new Map<Balance, Used>();
  const taken = new Map<string, readonly Line[]>();

  const usedOf = (balance: Balance): Used => {
    const known = used.get(balance);
    if (known !== undefined) return known;
    const fresh: Used = { ended: 0n, running: new Map() };
    used.set(balance, fresh);
    return fresh;
  };
  const leave = (attemptId: string, cost: bigint): void => {
    for (const { balance } of taken.get(attemptId) ?? []) {
      const own = usedOf(balance);
      if (own.running.delete(attemptId)) own.ended += cost;
    }
    taken.delete(attemptId);
  };
  return {
    begin: (atMs) => void (beganMs ??= atMs),
    end() {
      beganMs = undefined;
      used.clear();
      taken.clear();
    },
    take(attemptId, atMs) {
      if (beganMs === undefined) return false;
      const elapsedMs = atMs - beganMs;
      const lines = (holdOf(attemptId)?.lines ?? []).filter(({ balance }) => balance.budget.mode !== "advisory");
      const hasRoom = lines.length === 0 ? elapsedMs < unbudgetedMs : lines.every((line) => hasRoomFor(line, usedOf(line.balance), elapsedMs));
      if (!hasRoom) return false;
      taken.set(attemptId, [...lines]);
      for (const line of lines) usedOf(line.balance).running.set(attemptId, line);
      return true;
    },
    giveBack: (attemptId) => leave(attemptId, 0n),
    closed: leave,
    mayTake(atMs) {
      const elapsedMs = beganMs === undefined ? 0 : atMs - beganMs;
      return elapsedMs < unbudgetedMs || (elapsedMs < failOpenMsMax && budgets().some(({ failOpen }) => failOpen !== undefined && elapsedMs < failOpen.forMs));
    },
  };
}

function hasRoomFor({ balance, held }: Line, { ended, running }: Used, elapsedMs: number): boolean {
  const { amountNanoUsd, failOpen } = balance.budget;
  if (failOpen === undefined || elapsedMs >= failOpen.forMs) return false;
  let total = ended + held;
  for (const line of running.values()) total += line.held;
  return total <= (amountNanoUsd * failOpen.sharePpm) / 1_000_000n;
}
