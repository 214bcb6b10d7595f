/** Arithmetic on several integers at once, which is what a day's figures are. */

/** Counts or nano-USD; two of one comparison have the same length. */
export type Amounts = readonly bigint[];

/** Member by member. */
export function minus(a: Amounts, b: Amounts): Amounts {
  return a.map((amount, index) => amount - b[index]!);
}

/** Member by member. */
export function plus(a: Amounts, b: Amounts): Amounts {
  return a.map((amount, index) => amount + b[index]!);
}

/** No member is farther from 0 than `tolerance`. */
export function isZero(amounts: Amounts, tolerance: bigint): boolean {
  return amounts.every((amount) => (amount < 0n ? -amount : amount) <= tolerance);
}

/**
 * Divides without a remainder: the parts sum to `total`, and each is within one of its exact share.
 *
 * @param total ≥ 0
 * @param weights ≥ 0, at least one; all 0 stand for equal shares
 */
export function split(total: bigint, weights: readonly bigint[]): readonly bigint[] {
  const given = weights.reduce((sum, weight) => sum + weight, 0n);
  const own = given === 0n ? weights.map(() => 1n) : weights;
  const all = given === 0n ? BigInt(weights.length) : given;
  const parts = own.map((weight) => (total * weight) / all);
  let left = total - parts.reduce((sum, part) => sum + part, 0n);
  // What rounding down left over goes to the largest remainders, the first ones first.
  const order = own.map((weight, index) => ({ index, rest: (total * weight) % all })).toSorted((a, b) => (a.rest === b.rest ? a.index - b.index : a.rest > b.rest ? -1 : 1));
  for (const { index } of order) {
    if (left === 0n) break;
    parts[index] = parts[index]! + 1n;
    left -= 1n;
  }
  return parts;
}
