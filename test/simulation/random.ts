/** Numbers that repeat with their seed, so that a run of the simulation can be had again. */

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** Whole, both ends included. */
  int(least: number, most: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  pick<Value>(values: readonly Value[]): Value;
  /** A lognormal by two of its quantiles, both > 0. */
  lognormal(median: number, p99: number): number;
}

/** Of the standard normal distribution, at 0.99. */
const normalP99 = 2.326_347_9;

/** Mulberry32: 32 bits of state, which is plenty for one run. */
export function createRandom(seed: number): Random {
  let state = Math.imul(seed ^ 0x5bd1_e995, 0x9e37_79b1) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    int: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: (probability) => next() < probability,
    pick: (values) => values[Math.floor(next() * values.length)]!,
    lognormal(median, p99) {
      const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
      return median * Math.exp((Math.log(p99 / median) / normalP99) * normal);
    },
  };
}
