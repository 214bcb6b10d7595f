/**
 * The journal of an outage: the same port as the store's own, over a file that may lie on another disk. It takes openings within the
 * allowance and no others, and keeps everything only until the store has it.
 */
import type { Clock } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { OutageAllowance } from "../../ledger/outage-allowance.ts";
import type { Books } from "../../pipeline/books.ts";
import type { SpillFile } from "./spill-file.ts";
import { encodeSpillLine, type SpillEntry } from "./spill-lines.ts";

/** The second implementation of the journal, with the ends of an outage. */
export interface SpillBooks extends Books {
  /** The store began to fail. */
  begin(): void;
  /** The store has everything; the file is emptied. */
  end(): void;
  /** Resolves when all writes have ended: true when every one of this outage is in the file. */
  settled(): Promise<boolean>;
}

export interface SpillBooksOptions {
  readonly file: Pick<SpillFile, "append" | "empty">;
  readonly allowance: OutageAllowance;
  readonly clock: Clock;
}

export function createSpillBooks({ file, allowance, clock }: SpillBooksOptions): SpillBooks {
  let pending = 0;
  let hasLost = false;
  let settle: (() => void)[] = [];
  const write = async (entry: SpillEntry): Promise<void> => {
    pending++;
    try {
      await file.append(encodeSpillLine(entry));
    } finally {
      pending--;
      if (pending === 0) for (const resolve of settle.splice(0)) resolve();
    }
  };
  /** Nobody waits for these; without them the attempt counts at what was held for it, should the process die. */
  const note = (entry: SpillEntry): Promise<void> => write(entry).catch(() => void (hasLost = true));
  const open: Books["openEntry"] = async (opening) => {
    const { attemptId } = opening;
    if (!allowance.take(attemptId, clock.monotonic())) throw new GatewayError("gateway_store_unavailable", { internal: "the store cannot be written, and no allowance is left for this call" });
    try {
      await write({ kind: "opening", opening });
    } catch (fault) {
      allowance.giveBack(attemptId);
      throw new GatewayError("gateway_store_unavailable", { internal: `neither the store nor the spill file can be written: ${fault instanceof Error ? fault.message : String(fault)}`, cause: fault });
    }
  };
  return {
    openEntry: open,
    openAttempt: open,
    raiseHold: (attemptId, holdNanoUsd) => void note({ kind: "hold", attemptId, holdNanoUsd }),
    closeEntry(closing) {
      // What nobody knows counts at what was held for it.
      if (closing.source !== "unresolved") allowance.closed(closing.attemptId, closing.chargeNanoUsd ?? closing.costNanoUsd);
      return note({ kind: "closing", closing });
    },
    depth: () => pending,
    begin() {
      hasLost = false;
      allowance.begin(clock.monotonic());
    },
    end() {
      allowance.end();
      void file.empty();
    },
    async settled() {
      if (pending > 0) await new Promise<void>((resolve) => settle.push(resolve));
      return !hasLost;
    },
  };
}
