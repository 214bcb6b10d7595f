/**
 * Guarantee: a thousand calls at once upon a budget of ten and a half get ten through where it is strict, and never more than its
 * amount and its overrun where it is not; twenty agents can use up their budget to the last twentieth, and are refused nothing while
 * a tenth is left. `TOLLGATE_BURSTS=N` runs more bursts, `TOLLGATE_GROUPS=N` more groups of agents.
 */
import { describe, expect, it } from "vitest";
import { noteFigure } from "../support/figures.ts";
import { adverse, agentsAtWork, burst, type Special } from "./special.ts";
import { runScenario, type Outcome } from "./world.ts";

const bursts = Number(process.env["TOLLGATE_BURSTS"] ?? 20);
const groups = Number(process.env["TOLLGATE_GROUPS"] ?? 1);
const calls = 1_000;

const run = ({ scenario, random }: Special): Promise<Outcome> => runScenario(scenario, random);
const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const percent = (part: bigint, whole: bigint): number => Number((part * 10_000n) / whole) / 100;

describe(`${calls} calls at once upon a budget of ten and a half`, () => {
  it(`are ten under a strict one, in ${bursts} worlds`, async () => {
    const { heldMostNanoUsd: one } = await run(burst(1, 1, { mode: "strict", amountNanoUsd: 1_000_000_000_000n }));
    expect(one).toBeGreaterThan(0n);
    const amountNanoUsd = (one * 21n) / 2n;
    let admittedMost = 0;
    let billedMost = 0n;
    for (let seed = 1; seed <= bursts; seed++) {
      const { objections, admitted, billedNanoUsd, balances } = await run(burst(seed, calls, { mode: "strict", amountNanoUsd }));
      expect(objections, `seed ${seed}`).toEqual([]);
      expect(admitted, `seed ${seed}`).toBe(10);
      expect(balances[0]?.settled, `seed ${seed}`).toBe(billedNanoUsd);
      expect(billedNanoUsd <= amountNanoUsd, `seed ${seed}: ${billedNanoUsd} of ${amountNanoUsd}`).toBe(true);
      admittedMost = Math.max(admittedMost, admitted);
      billedMost = larger(billedMost, billedNanoUsd);
    }
    noteFigure("burst-strict", { worlds: bursts, calls, admittedMost, billedMostPercent: percent(billedMost, amountNanoUsd) });
  }, 600_000);

  it(`come to no more than the amount and its overrun under an incremental one, in ${bursts} worlds`, async () => {
    const amountNanoUsd = 1_000_000_000n;
    let mostOver = 0n;
    let cutsTotal = 0;
    for (let seed = 1; seed <= bursts; seed++) {
      const { objections, cuts, balances } = await run(burst(seed, calls, { mode: "incremental", amountNanoUsd }));
      expect(objections, `seed ${seed}`).toEqual([]);
      const { budget, settled } = balances[0]!;
      cutsTotal += cuts;
      expect(settled <= amountNanoUsd + budget.overrunMaxNanoUsd, `seed ${seed}: ${settled}`).toBe(true);
      mostOver = larger(mostOver, settled - amountNanoUsd);
    }
    noteFigure("burst-incremental", { worlds: bursts, calls, cuts: cutsTotal, overAmountMostUsd: Number(mostOver) / 1e9, overrunMaxUsd: 0.5 });
    expect(cutsTotal).toBeGreaterThan(0);
  }, 600_000);
});

describe("callers whose prompts and replies are unlike what is estimated", () => {
  it(`take an incremental budget no further than their own calls, and a strict one nowhere, in ${bursts * 10} worlds`, async () => {
    let overMost = 0n;
    for (let seed = 1; seed <= bursts * 10; seed++) {
      const { objections, overMostNanoUsd } = await run(adverse(seed));
      expect(objections.filter((text) => !/ ms: overspent: .* \(incremental\) /.test(text)), `seed ${seed}`).toEqual([]);
      expect(overMostNanoUsd.strict, `seed ${seed}`).toBe(0n);
      overMost = larger(overMost, overMostNanoUsd.incremental);
    }
    noteFigure("adverse", { worlds: bursts * 10, incrementalBeyondOverrunMostUsd: Number(overMost) / 1e9, strictBeyondAmountUsd: 0 });
  }, 600_000);
});

describe("agents that share a budget", () => {
  it(`use at least 95 % of it, and none is refused while a tenth is left, in ${groups} worlds`, async () => {
    const amountNanoUsd = 20_000_000_000n;
    const used: number[] = [];
    const usedAtRefusal: number[] = [];
    for (let seed = 1; seed <= groups; seed++) {
      const { objections, balances, usedAtRefusalLeastNanoUsd } = await run(agentsAtWork(seed, 20, amountNanoUsd));
      expect(objections, `seed ${seed}`).toEqual([]);
      const { settled, budget } = balances[0]!;
      expect(settled <= amountNanoUsd + budget.overrunMaxNanoUsd).toBe(true);
      used.push(percent(settled, amountNanoUsd));
      usedAtRefusal.push(percent(usedAtRefusalLeastNanoUsd ?? 0n, amountNanoUsd));
    }
    expect(Math.min(...used)).toBeGreaterThanOrEqual(95);
    expect(Math.min(...usedAtRefusal)).toBeGreaterThanOrEqual(90);
    noteFigure("agents", { worlds: groups, usedLeastPercent: Math.min(...used), usedMostPercent: Math.max(...used), usedAtRefusalLeastPercent: Math.min(...usedAtRefusal) });
  }, 600_000);
});
