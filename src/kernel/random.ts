/** Chance as a thing that is passed in. Only this file and those that make ids and keys read the system's. */
import { randomInt } from "node:crypto";

const steps = 2 ** 32;

/** The machine's own; in [0, 1). */
export function systemRandom(): number {
  return randomInt(steps) / steps;
}
