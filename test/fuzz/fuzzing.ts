/**
 * What the fuzz tests share: random values that repeat with a seed, ways to damage bytes, and a loop that runs for a bounded
 * time and names the seed of the round that failed. The seeds are the same at each run, so that what fails is what was changed;
 * `TOLLGATE_SEED=N` begins with that round, `TOLLGATE_SEED=new` with one never tried; `TOLLGATE_FUZZ_MS=N` runs longer.
 */
import { createConnection } from "node:net";

/** Random choices of one round. */
export interface Random {
  /** From 0 up to 1. */
  next(): number;
  /** A whole number from 0 up to and without `below`. */
  below(below: number): number;
  pick<Value>(values: readonly Value[]): Value;
  /** True with this chance, 0 to 1. */
  chance(chance: number): boolean;
}

const seed = process.env["TOLLGATE_SEED"];
const firstSeed = seed === "new" ? Date.now() % 2 ** 31 : Number(seed ?? 1);
/** One round only, when a seed was given and no time. */
const isRepeating = seed !== undefined && seed !== "new" && process.env["TOLLGATE_FUZZ_MS"] === undefined;

/** Numbers that repeat with the seed (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return { next, below, pick: (values) => values[below(values.length)]!, chance: (chance) => next() < chance };
}

/** What the loop did. */
export interface FuzzRun {
  readonly rounds: number;
}

/**
 * Runs rounds side by side until the time is over. An exception that nobody caught, which would have ended a gateway process,
 * ends the run too.
 *
 * @param round gets the round's own random values and its seed; rejects when a guarantee is broken
 * @throws Error that names the seed of the failed round, or of all rounds under way when an exception cannot be told apart
 */
export async function fuzz(options: { readonly forMs: number; readonly sideBySide: number }, round: (random: Random, seed: number) => Promise<void>): Promise<FuzzRun> {
  const endAt = Date.now() + Number(process.env["TOLLGATE_FUZZ_MS"] ?? options.forMs);
  const underWay = new Set<number>();
  let rounds = 0;
  let crash: ((fault: unknown) => void) | undefined;
  const crashed = new Promise<never>((_, reject) => (crash = reject));
  crashed.catch(() => undefined);
  const onCrash = (fault: unknown): void => crash?.(new Error(`an exception would have ended the process; repeat with one of TOLLGATE_SEED=${[...underWay].join(", ")}`, { cause: fault }));
  process.on("uncaughtException", onCrash).on("unhandledRejection", onCrash);
  const worker = async (): Promise<void> => {
    while ((isRepeating ? rounds < 1 : Date.now() < endAt) && crash !== undefined) {
      const seed = firstSeed + rounds;
      rounds += 1;
      underWay.add(seed);
      try {
        await Promise.race([round(randomFrom(seed), seed), crashed]);
      } catch (fault) {
        if (underWay.size > 0 && String(fault).includes("an exception")) throw fault;
        throw new Error(`a round failed; repeat with TOLLGATE_SEED=${seed}: ${fault instanceof Error ? fault.message : String(fault)}`, { cause: fault });
      }
      underWay.delete(seed);
    }
  };
  try {
    await Promise.all(Array.from({ length: isRepeating ? 1 : options.sideBySide }, worker));
    return { rounds };
  } finally {
    crash = undefined;
    process.off("uncaughtException", onCrash).off("unhandledRejection", onCrash);
  }
}

/** Bytes that parsers stumble over. */
const awkward: readonly (string | Buffer)[] = [
  "\0", "\ufeff", "\\", '"', "{", "}", "[", "]", ",", ":", "\r", "\n", "\r\n", "\n\n", "\u2028", "\x7f", "\\u0000", "\\ud800", "\\udc00\\ud800", "1e999", "-", "NaN", "null", "0x10", "/**/", "data: ", "event: error\n",
  Buffer.from([0x80]), Buffer.from([0xff, 0xfe]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xc0, 0xaf]), Buffer.from([0xf4, 0x90, 0x80, 0x80]),
];

/** One small damage somewhere: a flipped bit, bytes taken out, doubled, moved or put in, or the end cut off. */
export function damage(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return Buffer.from("x");
  const at = random.below(bytes.length);
  const length = 1 + random.below(random.chance(0.8) ? 8 : 400);
  const head = bytes.subarray(0, at);
  const span = bytes.subarray(at, at + length);
  const tail = bytes.subarray(at + span.length);
  switch (random.below(7)) {
    case 0:
    case 1: {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << random.below(8);
      return flipped;
    }
    case 2:
      return Buffer.concat([head, tail]);
    case 3:
      return Buffer.concat([head, span, span, tail]);
    case 4:
      return Buffer.concat([head, Buffer.from(random.pick(awkward)), span, tail]);
    case 5: {
      const to = random.below(tail.length + 1);
      return Buffer.concat([head, tail.subarray(0, to), span, tail.subarray(to)]);
    }
    default:
      return random.chance(0.3) ? Buffer.from(head) : Buffer.concat([head, Buffer.from(random.pick(awkward)), tail]);
  }
}

/** Some damages, few more often than many. */
export function damageOften(bytes: Buffer, random: Random): Buffer {
  let result = bytes;
  do result = damage(result, random);
  while (random.chance(0.35));
  return result;
}

/** The bytes in pieces: whole, byte by byte at the beginning, or anything between. */
export function cutUp(bytes: Buffer, random: Random): readonly Buffer[] {
  const longest = random.pick([1, 7, 60, 400, bytes.length + 1, bytes.length + 1]);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    // A long tail in single bytes would take long and show no more.
    const size = pieces.length > 200 ? bytes.length : 1 + random.below(longest);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** What came back, and whether the sender had to end the connection to get to an end. */
export interface RawExchange {
  readonly received: Buffer;
  readonly hasGivenUp: boolean;
  /** The far side closed while bytes were still on their way to it, which may take an answer with them. */
  readonly wasReset: boolean;
}

/**
 * Sends pieces through a connection of its own, each in a turn of its own, and gives all that comes back until the far side
 * closes. After `quietMs` without a byte this side ends too, as a client does that has no more to say.
 *
 * @throws Error when the far side then still keeps the connection open
 */
export function exchangeRaw(port: number, pieces: readonly Buffer[], quietMs: number): Promise<RawExchange> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const received: Buffer[] = [];
    let hasGivenUp = false;
    const finish = (fault?: unknown): void => {
      socket.destroy();
      resolve({ received: Buffer.concat(received), hasGivenUp, wasReset: fault instanceof Error });
    };
    socket.setTimeout(quietMs, () => {
      if (hasGivenUp) {
        socket.destroy();
        return reject(new Error(`the connection stays open after: ${Buffer.concat(received).toString("latin1").slice(0, 500)}`));
      }
      hasGivenUp = true;
      socket.end();
      socket.setTimeout(10_000);
    });
    socket.on("data", (bytes: Buffer) => void received.push(bytes));
    socket.on("error", finish).on("end", () => finish()).on("close", () => finish());
    let sent = 0;
    const next = (): void => {
      const piece = pieces[sent];
      sent += 1;
      if (piece === undefined || socket.destroyed || socket.writableEnded) return;
      socket.write(piece);
      setImmediate(next);
    };
    socket.on("connect", next);
  });
}
