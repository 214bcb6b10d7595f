/**
 * Ids that sort by time and say what they name. 48 bits of milliseconds, 80 random bits, in Crockford base 32: the
 * layout of ULID (https://github.com/ulid/spec) behind a prefix. Within one process they grow strictly.
 */
import { randomFillSync } from "node:crypto";

/** What an id can name. */
export type IdPrefix = "req" | "att" | "key" | "aud" | "adj" | "stk" | "bud";

/** A prefixed id, for instance `att_01K…`. */
export type Id<Prefix extends IdPrefix> = `${Prefix}_${string}`;

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Two characters for ten bits: ids are made several times a request, and joining single characters costs. */
const pairs = Array.from({ length: 1024 }, (_, index) => alphabet[index >> 5]! + alphabet[index & 31]!);
const pool = Buffer.alloc(16 * 64);
let poolOffset = pool.length;
let lastMs = 0;
let lastTime = timeText(0);
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
    setTime(nowMs);
    // The top bit stays free, so that counting up within one millisecond cannot overflow 20 bits.
    lastCounter = pool.readUInt32LE(poolOffset) & 0x7ffff;
  } else {
    lastCounter = (lastCounter + 1) & 0xfffff;
    if (lastCounter === 0) setTime(lastMs + 1);
  }
  const random = poolOffset + 4;
  poolOffset += 16;
  return `${prefix}_${lastTime}${pairs[lastCounter >> 10]!}${pairs[lastCounter & 1023]!}${randomPair(random)}${randomPair(random + 2)}${randomPair(random + 4)}${randomPair(random + 6)}${randomPair(random + 8)}${randomPair(random + 10)}`;
}

function randomPair(offset: number): string {
  return pairs[pool.readUInt16LE(offset) & 1023]!;
}

function setTime(ms: number): void {
  lastMs = ms;
  lastTime = timeText(ms);
}

/** Ten characters that sort like the number; a whole number from 0 on. */
function timeText(ms: number): string {
  let text = "";
  let time = ms;
  for (let index = 0; index < 5; index++) {
    text = pairs[time % 1024]! + text;
    time = Math.floor(time / 1024);
  }
  return text;
}

/** The smallest id of a moment: ids made at or after `ms` sort at or after it. For range queries over time. */
export function idFloor<Prefix extends IdPrefix>(prefix: Prefix, ms: number): Id<Prefix> {
  return `${prefix}_${timeText(Math.max(0, Math.floor(ms)))}${"0".repeat(16)}`;
}
