/** The cells of the fault matrix: the whole product of its axes without what cannot be, and the sample by pairs. */
import { clients, modes, otherPlaces, phases, whyImpossible, type Cell, type Fault } from "./axes.ts";
import { byteFaults } from "./byte-faults.ts";
import { encodingFaults } from "./encoding-faults.ts";
import { eventFaults, frameFaults } from "./event-faults.ts";
import { networkFaults, timeFaults } from "./network-faults.ts";
import { pairwise } from "./pairwise.ts";
import { statusFaults } from "./status-faults.ts";

export const faults: readonly Fault[] = [...statusFaults, ...timeFaults, ...networkFaults, ...byteFaults, ...eventFaults, ...frameFaults, ...encodingFaults];

const faultByName = new Map(faults.map((fault) => [fault.name, fault]));

export function faultOf({ fault }: Pick<Cell, "fault">): Fault {
  const found = faultByName.get(fault);
  if (found === undefined) throw new Error(`no such fault: ${fault}`);
  return found;
}

/** Always in the same order, so that a cell's place in it is its number. */
export function allCells(): Cell[] {
  const cells: Cell[] = [];
  for (const fault of faults) {
    for (const phase of phases) {
      for (const mode of modes) {
        for (const client of clients) {
          if (whyImpossible({ phase, mode, client }, fault) !== undefined) continue;
          for (const other of otherPlaces) cells.push({ fault: fault.name, phase, mode, client, other });
        }
      }
    }
  }
  return cells;
}

/** Numbers of the cells that hold every pair. */
export function sampledCells(seed: number): number[] {
  const cells = allCells().map((cell, index) => ({ cell: { ...cell }, index }));
  const numbers = new Map(cells.map(({ cell, index }) => [cell, index]));
  return pairwise(cells.map(({ cell }) => cell), seed).map((cell) => numbers.get(cell)!);
}

/** For people. */
export function cellName({ fault, phase, mode, client, other }: Cell): string {
  return `${fault} · ${phase} · ${mode} · client ${client} · other ${other}`;
}
