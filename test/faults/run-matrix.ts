/** Runs many cells in a few lanes beside each other, since most of a cell's time is waiting. */
import type { Cell } from "./axes.ts";
import { allCells, cellName } from "./cells.ts";
import { silenceMs, startLane, type Lane } from "./lane.ts";
import { runCell } from "./run-cell.ts";

/** A cell that was not as it has to be. */
export interface Failure {
  readonly number: number;
  readonly cell: Cell;
  readonly name: string;
  readonly problems: readonly string[];
}

export interface MatrixOptions {
  readonly lanes: number;
  /** Called after each cell. */
  readonly onCell?: (number: number, cell: Cell, problems: readonly string[]) => void;
}

/** What a run found. */
export interface MatrixResult {
  readonly failures: readonly Failure[];
  /** What reached an upstream and must not. */
  readonly violations: readonly string[];
  /** Cells that ran twice, because this process stood still meanwhile. */
  readonly repeated: number;
}

/** Models of one gateway's configuration at the most: reading it stops everybody's clock in this process. */
const laneCellsMax = 150;

/** @param numbers of the cells to run; see `allCells` */
export async function runMatrix(numbers: readonly number[], { lanes, onCell }: MatrixOptions): Promise<MatrixResult> {
  const cells = allCells();
  const failures: Failure[] = [];
  const violations: string[] = [];
  const disturbed: number[] = [];
  const shares = sharesOf(numbers, lanes);
  const standstills = watchStandstills();
  // One after the other: all at once would be a silence long enough to count as an upstream's.
  let starting: Promise<unknown> = Promise.resolve();
  const started = (share: readonly number[]): Promise<Lane> => {
    const lane = starting.then(() => startLane(new Map(share.map((number) => [number, cells[number]!]))));
    starting = lane.catch(() => undefined);
    return lane;
  };
  const runShare = async (share: readonly number[], mayRepeat: boolean): Promise<void> => {
    const lane = await started(share);
    for (const number of share) {
      const cell = cells[number]!;
      const startedAt = performance.now();
      const problems = await runCell(lane, number, cell);
      if (problems.length > 0 && mayRepeat && (await standstills.since(startedAt))) {
        disturbed.push(number);
        continue;
      }
      if (problems.length > 0) failures.push({ number, cell, name: cellName(cell), problems });
      onCell?.(number, cell, problems);
    }
    violations.push(...(await lane.close()));
  };
  const worker = async (): Promise<void> => {
    for (let share = shares.shift(); share !== undefined; share = shares.shift()) await runShare(share, true);
  };
  await Promise.all(Array.from({ length: lanes }, worker));
  for (const number of disturbed) await runShare([number], false);
  standstills.stop();
  return { failures: failures.toSorted((a, b) => a.number - b.number), violations, repeated: disturbed.length };
}

function sharesOf(numbers: readonly number[], lanes: number): number[][] {
  const count = Math.ceil(numbers.length / Math.min(laneCellsMax, Math.ceil(numbers.length / lanes)));
  return Array.from({ length: Number.isNaN(count) ? 0 : count }, (_, share) => numbers.filter((_number, index) => index % count === share));
}

const tickMs = 25;

/** Gateway and upstreams share this process: when it stands still for as long as an upstream may be silent, a failure says nothing of the gateway. */
function watchStandstills(): { since(at: number): Promise<boolean>; stop(): void } {
  let lastAt = performance.now();
  let stoodStillAt = -Infinity;
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - lastAt > silenceMs / 2) stoodStillAt = now;
    lastAt = now;
  }, tickMs);
  return {
    async since(at) {
      // The tick that notices may still be due.
      await new Promise((resolve) => void setTimeout(resolve, 2 * tickMs));
      return stoodStillAt >= at;
    },
    stop: () => clearInterval(timer),
  };
}
