/**
 * Runs the fault matrix whole and says how many cells held, by each axis, and which did not, with the number that repeats them:
 * `npm run faults -- --cell N` (several: `--cell N,M`). `--pairwise` runs the sample of the test suite, `--match TEXT` the cells whose name
 * holds the text, `--lanes N` as many gateways beside each other.
 */
import { parseArgs } from "node:util";
import { allCells, cellName, faultOf, sampledCells } from "../test/faults/cells.ts";
import { runMatrix } from "../test/faults/run-matrix.ts";

const { values } = parseArgs({ options: { cell: { type: "string" }, match: { type: "string" }, pairwise: { type: "boolean" }, seed: { type: "string", default: "1" }, lanes: { type: "string", default: "8" } } });

const cells = allCells();
const numbers = chosen();
const tally = new Map<string, Map<string, { held: number; failed: number }>>();
const startedAt = performance.now();
let done = 0;

const { failures, violations, repeated } = await runMatrix(numbers, {
  lanes: Math.min(Number(values.lanes), Math.max(1, numbers.length)),
  onCell(_number, cell, problems) {
    for (const [axis, value] of Object.entries({ group: faultOf(cell).group, ...cell })) if (axis !== "fault") count(axis, value, problems.length === 0);
    done += 1;
    if (done % 1_000 === 0) process.stdout.write(`${done} of ${numbers.length} cells\n`);
  },
});

for (const [axis, found] of tally) {
  process.stdout.write(`\n${axis}\n`);
  for (const [value, { held, failed }] of found) process.stdout.write(`  ${value.padEnd(16)} ${String(held).padStart(6)} held${failed === 0 ? "" : `, ${failed} failed`}\n`);
}
for (const { number, name, problems } of failures) process.stdout.write(`\nfailed: npm run faults -- --cell ${number}   # ${name}\n${problems.map((problem) => `  ${printable(problem)}\n`).join("")}`);
for (const violation of new Set(violations)) process.stdout.write(`\nan upstream saw: ${violation}\n`);
process.stdout.write(`\n${numbers.length} cells of ${cells.length}, ${failures.length} failed${repeated === 0 ? "" : `, ${repeated} run again since this machine stood still`}, in ${Math.round((performance.now() - startedAt) / 1_000)} s\n`);
process.exitCode = numbers.length === 0 || failures.length > 0 || violations.length > 0 ? 1 : 0;

function chosen(): number[] {
  const all = cells.map((_, index) => index);
  if (values.cell !== undefined) return values.cell.split(",").map(Number).filter((number) => cells[number] !== undefined);
  if (values.match !== undefined) return all.filter((number) => cellName(cells[number]!).includes(values.match!));
  return values.pairwise === true ? sampledCells(Number(values.seed)) : all;
}

function count(axis: string, value: string, hasHeld: boolean): void {
  const byValue = tally.get(axis) ?? new Map<string, { held: number; failed: number }>();
  tally.set(axis, byValue);
  const own = byValue.get(value) ?? { held: 0, failed: 0 };
  byValue.set(value, own);
  if (hasHeld) own.held += 1;
  else own.failed += 1;
}

function printable(text: string): string {
  return text.replace(/[^ -~·…–]/g, "?").slice(0, 600);
}
