/** Whether two parts of a configuration say the same. Own code, because the system's comparison takes any two secrets for equal. */
import { Secret } from "./secret.ts";

/** Plain objects, lists, maps, sets and secrets by what is in them; everything else by identity, so that what is unknown counts as changed. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (a instanceof Secret) return a.equals(b as Secret);
  if (Array.isArray(a)) return a.length === (b as unknown[]).length && a.every((item, index) => isSame(item, (b as unknown[])[index]));
  if (a instanceof Map) return isSameMap(a, b as ReadonlyMap<unknown, unknown>);
  if (a instanceof Set) return a.size === (b as ReadonlySet<unknown>).size && [...a].every((item) => (b as ReadonlySet<unknown>).has(item));
  return isPlain(a) && isSameMap(new Map(Object.entries(a)), new Map(Object.entries(b)));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isSameMap(a: ReadonlyMap<unknown, unknown>, b: ReadonlyMap<unknown, unknown>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.has(name) && isSame(value, b.get(name)));
}
