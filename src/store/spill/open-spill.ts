/** Opens the spill file of a store: what is in it, to be replayed, and the journal that writes it where something may be written at all. */
import { copyFile, readFile, stat } from "node:fs/promises";
import type { Clock } from "../../kernel/clock.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { OutageAllowance } from "../../ledger/outage-allowance.ts";
import { createSpillBooks, type SpillBooks } from "./spill-books.ts";
import { openSpillFile } from "./spill-file.ts";
import { decodeSpill, type SpillContent } from "./spill-lines.ts";

export interface SpillOptions {
  readonly path: string;
  /** Absent: nothing may go on in an outage, and the file is only replayed, if there is one. */
  readonly allowance: OutageAllowance | undefined;
  readonly clock: Clock;
}

export interface OpenSpill {
  readonly content: SpillContent;
  readonly books: SpillBooks | undefined;
  /** The store has everything: empties the file. @param hasDamage a copy is kept beside it, with `.damaged` and the time behind its name */
  replayed(hasDamage: boolean): Promise<void>;
  /** Waits for writes under way. */
  close(): Promise<void>;
}

/** @throws GatewayError `gateway_store_unavailable` when the file cannot be read, or not written where it will have to be */
export async function openSpill({ path, allowance, clock }: SpillOptions): Promise<OpenSpill> {
  try {
    const text = await readIfThere(path);
    const file = text === "" && allowance === undefined ? undefined : await openSpillFile(path);
    return {
      content: decodeSpill(text),
      books: allowance === undefined || file === undefined ? undefined : createSpillBooks({ file, allowance, clock }),
      async replayed(hasDamage) {
        if (hasDamage) await copyFile(path, `${path}.damaged-${clock.now()}`);
        if (text !== "") await file?.empty();
      },
      close: async () => file?.close(),
    };
  } catch (fault) {
    throw new GatewayError("gateway_store_unavailable", { internal: `the spill file ${path} cannot be used: ${fault instanceof Error ? fault.message : String(fault)}`, cause: fault });
  }
}

/** A device is written to and never read. */
async function readIfThere(path: string): Promise<string> {
  try {
    return (await stat(path)).isFile() ? await readFile(path, "utf8") : "";
  } catch (fault) {
    if (fault instanceof Error && "code" in fault && fault.code === "ENOENT") return "";
    throw fault;
  }
}
