/**
 * Ids that sort by time and say what they name. 48 bits of milliseconds, 80 random bits, in Crockford base 32: the
 * layout of ULID (https://github.com/ulid/spec) behind a prefix. Within one process they grow strictly.
 */
import { randomFillSync } from "node:crypto";

/** What an id can name. */
export type IdPrefix = "req" | "att" | "key" | "aud" | "adj" | "stk";

/** A prefixed id, for instance `att_01K…`. */
export type Id<Prefix extends IdPrefix> = `${Prefix}_${string}`;

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const pool = Buffer.alloc(16 * 64);
let poolOffset = pool.length;
let lastMs = 0;
let lastCounter = 0;

/**
 * @param prefix what the id names
 * @param nowMs wall time, milliseconds since the epoch; if it runs backwards the last time is used again
 */
export function newId<Prefix extends IdPrefix>(prefix: Prefix, nowMs: number): Id<Prefix> {
  if (poolOffset + 16 > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  if (nowMs > lastMs) {
    lastMs = nowMs;
    // The top bit stays free, so that counting up within one millisecond cannot overflow 20 bits.
    lastCounter = pool.readUInt32LE(poolOffset) & 0x7ffff;
  } else {
    lastCounter = (lastCounter + 1) & 0xfffff;
    if (lastCounter === 0) lastMs += 1;
  }
  let text = "";
  let time = lastMs;
  for (let index = 0; index < 10; index++) {
    text = alphabet[time % 32] + text;
    time = Math.floor(time / 32);
  }
  text += alphabet[(lastCounter >> 15) & 31]! + alphabet[(lastCounter >> 10) & 31]! + alphabet[(lastCounter >> 5) & 31]! + alphabet[lastCounter & 31]!;
  for (let index = 4; index < 16; index++) text += alphabet[pool[poolOffset + index]! & 31]!;
  poolOffset += 16;
  return `${prefix}_${text}`;
}

/** The smallest id of a moment: ids made at or after `ms` sort at or after it. For range queries over time. */
export function idFloor<Prefix extends IdPrefix>(prefix: Prefix, ms: number): Id<Prefix> {
  let text = "";
  let time = Math.max(0, Math.floor(ms));
  for (let index = 0; index < 10; index++) {
    text = alphabet[time % 32] + text;
    time = Math.floor(time / 32);
  }
  return `${prefix}_${text}${"0".repeat(16)}`;
}
