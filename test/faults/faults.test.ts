/**
 * Guarantee: whatever an upstream does, at whatever moment, and whatever its caller does meanwhile, the caller sees one answer or one error
 * in its own form, each attempt that may be billed has one row, nothing stays held, no slot stays taken, and the next call is served. Here
 * by a sample that holds every pair of values; `npm run faults` runs every cell.
 */
import { expect, it } from "vitest";
import { allCells, sampledCells } from "./cells.ts";
import { runMatrix } from "./run-matrix.ts";

const seed = Number(process.env["TOLLGATE_SEED"] ?? 1);

it("every pair of fault, phase, form of reply, caller and other target leaves the gateway as it was", async () => {
  const numbers = sampledCells(seed);
  process.stdout.write(`faults: TOLLGATE_SEED=${seed}, ${numbers.length} of ${allCells().length} cells\n`);
  const { failures, violations } = await runMatrix(numbers, { lanes: 8 });
  expect(failures.map(({ number, name, problems }) => `npm run faults -- --cell ${number}   # ${name}\n${problems.join("\n")}`)).toEqual([]);
  expect(violations).toEqual([]);
}, 180_000);
