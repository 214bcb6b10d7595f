/**
 * Guarantee: whatever clients, providers, networks, disks, clocks and operators do, and wherever the process dies, every billed
 * attempt has exactly one row, no budget comes to more than its amount and its overrun, nobody is refused while there is room,
 * nothing stays held, and the rows alone make the same balances again. `TOLLGATE_SEEDS=N` runs more, `TOLLGATE_SEED=N` one.
 */
import { expect, it } from "vitest";
import { noteFigure } from "../support/figures.ts";
import { createScenario, type Scenario } from "./scenario.ts";
import { runScenario, runSeed, type Outcome } from "./world.ts";

const one = process.env["TOLLGATE_SEED"];
const count = Number(process.env["TOLLGATE_SEEDS"] ?? 2_000);
const first = Number(process.env["TOLLGATE_SEED_FIRST"] ?? 1);
/** Each found something once. */
const known = [5_154, 9_278, 15_794];
const seeds = one === undefined ? [...Array.from({ length: count }, (_, index) => first + index), ...known.filter((seed) => seed < first || seed >= first + count)] : [Number(one)];

it("loses and invents nothing when the process dies before or after any commit of a world", async () => {
  let deathsTotal = 0;
  for (const seed of one === undefined ? [24, 47] : [Number(one)]) {
    const world = (deathAtCommit?: Scenario["deathAtCommit"]): Promise<Outcome> => {
      const { scenario, random } = createScenario(seed);
      return runScenario({ ...scenario, accidents: [], ...(deathAtCommit === undefined ? {} : { deathAtCommit }) }, random);
    };
    const { commits } = await world();
    expect(commits).toBeGreaterThan(20);
    for (let index = 1; index < commits; index++) {
      for (const isAfter of [false, true]) {
        const { objections, deaths } = await world({ index, isAfter });
        expect(objections, `TOLLGATE_SEED=${seed}, dead ${isAfter ? "after" : "before"} commit ${index}`).toEqual([]);
        deathsTotal += deaths;
      }
    }
  }
  noteFigure("every-commit", { deaths: deathsTotal });
}, 600_000);

it(`keeps every promise in ${seeds.length} worlds`, async () => {
  const failed: string[] = [];
  const total = { calls: 0, attempts: 0, refusals: 0, deaths: 0, cuts: 0, unresolved: 0 };
  for (const seed of seeds) {
    const outcome: Outcome = await runSeed(seed);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome[name];
    if (outcome.objections.length > 0) failed.push(`TOLLGATE_SEED=${seed}\n  ${outcome.objections.join("\n  ")}`);
    if (failed.length >= 5) break;
  }
  process.stdout.write(`simulation: ${seeds.length} worlds, ${JSON.stringify(total)}\n`);
  expect(failed.join("\n")).toBe("");
  noteFigure("simulation", { worlds: count, ...total });
  if (one !== undefined) return;
  // Otherwise the worlds proved nothing.
  expect(Math.min(...Object.values(total))).toBeGreaterThan(0);
}, 1_800_000);
