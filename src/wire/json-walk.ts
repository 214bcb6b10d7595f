/**
 * Looks for members of certain names in every object of a JSON value, however deep, in one pass over the bytes and without
 * building the value. Repeated and differently spelled names are all shown, since another parser may believe any of them.
 */
import { skipString } from "./json-members.ts";

/** A member that was looked for. */
export interface FoundMember {
  /** As written, decoded. */
  readonly name: string;
  /** Its value when that is a string, decoded; undefined for every other value, or a string that cannot be decoded. */
  readonly text: string | undefined;
}

const quote = 0x22;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;
const colon = 0x3a;
/** A name of ten letters with each of them escaped. */
const nameBytesMax = 64;

/**
 * @param bytes of a value that `scanMembers` has passed: its strings end and its brackets match
 * @param wanted names in lower case; a name is looked for in any case
 * @param visit called for each object that has at least one of them, inner objects first
 */
export function walkObjects(bytes: Buffer, [start, end]: readonly [number, number], wanted: ReadonlySet<string>, visit: (found: readonly FoundMember[]) => void): void {
  /** One entry per open bracket: undefined for an array. */
  const open: (FoundMember[] | undefined)[] = [];
  let isName = false;
  let pending: string | undefined;
  const settle = (text: string | undefined): void => {
    if (pending === undefined) return;
    open.at(-1)?.push({ name: pending, text });
    pending = undefined;
  };
  for (let at = start; at < end; ) {
    const byte = bytes[at]!;
    if (byte === quote) {
      const stringEnd = skipString(bytes, at, end);
      if (isName) {
        pending = stringEnd - at <= nameBytesMax ? wantedName(bytes, at, stringEnd, wanted) : undefined;
        isName = false;
      } else if (pending !== undefined) settle(decode(bytes, at, stringEnd));
      at = stringEnd;
      continue;
    }
    if (byte === openBrace || byte === openBracket) {
      settle(undefined);
      open.push(byte === openBrace ? [] : undefined);
      isName = byte === openBrace;
    } else if (byte === closeBrace || byte === closeBracket) {
      settle(undefined);
      const found = open.pop();
      if (found !== undefined && found.length > 0) visit(found);
      isName = false;
    } else if (byte === comma) {
      settle(undefined);
      isName = open.at(-1) !== undefined;
    } else if (byte > 0x20 && byte !== colon) settle(undefined);
    at += 1;
  }
}

function wantedName(bytes: Buffer, start: number, end: number, wanted: ReadonlySet<string>): string | undefined {
  const name = decode(bytes, start, end);
  return name !== undefined && wanted.has(name.toLowerCase()) ? name : undefined;
}

function decode(bytes: Buffer, start: number, end: number): string | undefined {
  const inner = bytes.toString("utf8", start + 1, end - 1);
  if (!inner.includes("\\")) return inner;
  try {
    return JSON.parse(bytes.toString("utf8", start, end)) as string;
  } catch {
    return undefined;
  }
}
