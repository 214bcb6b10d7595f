/** Chooses few of many combinations, so that each two values that can meet do meet. Repeats with its seed. */
import { createRandom } from "../simulation/random.ts";

/** Candidates that are weighed for each pair that is still missing. */
const candidatesMax = 48;

/** All pairs of a combination, as text. */
export function pairsOf(combination: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(combination).map(([axis, value]) => `${axis}=${value}`);
  return entries.flatMap((one, index) => entries.slice(index + 1).map((other) => `${one} & ${other}`));
}

/** @returns some of `valid`, in their order, that hold every pair which any of `valid` holds */
export function pairwise<Combination extends Readonly<Record<string, string>>>(valid: readonly Combination[], seed: number): Combination[] {
  const random = createRandom(seed);
  const pairs = valid.map(pairsOf);
  const holders = new Map<string, number[]>();
  pairs.forEach((own, index) => own.forEach((pair) => void (holders.get(pair)?.push(index) ?? holders.set(pair, [index]))));
  const missing = new Set(holders.keys());
  const chosen = new Set<number>();
  // The rarest first: combinations that must be taken anyway bring others along.
  for (const [pair, indexes] of [...holders].toSorted((a, b) => a[1].length - b[1].length)) {
    if (!missing.has(pair)) continue;
    let best = indexes[0]!;
    let bestGain = -1;
    for (let turn = 0; turn < Math.min(candidatesMax, indexes.length); turn++) {
      const index = indexes.length <= candidatesMax ? indexes[turn]! : random.pick(indexes);
      const gain = pairs[index]!.filter((own) => missing.has(own)).length;
      if (gain > bestGain) [best, bestGain] = [index, gain];
    }
    chosen.add(best);
    for (const own of pairs[best]!) missing.delete(own);
  }
  return valid.filter((_, index) => chosen.has(index));
}
