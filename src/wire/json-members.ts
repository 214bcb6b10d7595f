/**
 * Finds the top-level members of a JSON object in a byte buffer without parsing their values, so that a body of
 * megabytes can be inspected and spliced at the cost of one scan. It must never understand a body differently from the
 * upstream's parser: hence names are decoded before they are compared, and doubt of any kind is an error.
 *
 * Grammar: RFC 8259. Values below the top level are skipped by strings and brackets only; a fault inside them is the
 * upstream's to find, and cannot move a top-level border.
 */
import { jsonDepthMax, jsonMembersMax } from "../kernel/bounds.ts";

/** Why a buffer is not one unambiguous JSON object. `offset` is a byte position. */
export interface JsonMembersProblem {
  readonly reason: string;
  readonly offset: number;
}

/** One member. All positions are byte offsets into the scanned buffer. */
export interface JsonMember {
  /** Decoded. */
  readonly name: string;
  /** The opening quote of the name. */
  readonly nameStart: number;
  readonly valueStart: number;
  /** Exclusive. */
  readonly valueEnd: number;
}

/** The members of one object, in order, with unique names. */
export interface JsonMembers {
  /** Offset of `{`. */
  readonly start: number;
  /** Offset just past `}`. */
  readonly end: number;
  readonly list: readonly JsonMember[];
  get(name: string): JsonMember | undefined;
}

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const colon = 0x3a;
const comma = 0x2c;

/** Thrown and caught inside this file only. */
class Problem extends Error {
  readonly offset: number;
  constructor(reason: string, offset: number) {
    super(reason);
    this.offset = offset;
  }
}

const bracketStack = new Uint8Array(jsonDepthMax + 1);

/**
 * @param bytes the buffer; when `start` and `end` are absent it must hold one object and white space only
 * @returns the members, or the first problem: not an object, broken syntax at the top level, a repeated or
 *   unreadable name, nesting deeper than {@link jsonDepthMax}, more than {@link jsonMembersMax} members, bytes after the end
 */
export function scanMembers(bytes: Buffer, start = 0, end = bytes.length): JsonMembers | JsonMembersProblem {
  try {
    return scanObject(bytes, start, end);
  } catch (fault) {
    if (fault instanceof Problem) return { reason: fault.message, offset: fault.offset };
    throw fault;
  }
}

/** Tells the two results of {@link scanMembers} and {@link scanElements} apart. */
export function isProblem(result: object): result is JsonMembersProblem {
  return "reason" in result;
}

function scanObject(bytes: Buffer, start: number, end: number): JsonMembers {
  let at = skipSpace(bytes, start, end);
  if (bytes[at] !== openBrace) throw new Problem(bytes[at] === 0xef ? "starts with a byte order mark" : "is not a JSON object", at);
  const objectStart = at;
  const list: JsonMember[] = [];
  at = skipSpace(bytes, at + 1, end);
  if (bytes[at] === closeBrace && at < end) at += 1;
  else {
    for (;;) {
      const nameStart = at;
      if (at >= end || bytes[at] !== quote) throw new Problem("expected a member name", at);
      const nameEnd = skipString(bytes, at, end);
      const name = decodeName(bytes, nameStart, nameEnd);
      at = skipSpace(bytes, nameEnd, end);
      if (at >= end || bytes[at] !== colon) throw new Problem("expected ':'", at);
      const valueStart = skipSpace(bytes, at + 1, end);
      const valueEnd = skipValue(bytes, valueStart, end);
      if (find(list, name) !== undefined) throw new Problem(`has the member ${JSON.stringify(name)} twice`, nameStart);
      if (list.length === jsonMembersMax) throw new Problem(`has more than ${jsonMembersMax} members`, nameStart);
      list.push({ name, nameStart, valueStart, valueEnd });
      at = skipSpace(bytes, valueEnd, end);
      if (at < end && bytes[at] === comma) {
        at = skipSpace(bytes, at + 1, end);
        continue;
      }
      if (at < end && bytes[at] === closeBrace) break;
      throw new Problem("expected ',' or '}'", at);
    }
    at += 1;
  }
  const objectEnd = at;
  at = skipSpace(bytes, at, end);
  if (at !== end) throw new Problem("has bytes after its end", at);
  return { start: objectStart, end: objectEnd, list, get: (name) => find(list, name) };
}

function find(list: readonly JsonMember[], name: string): JsonMember | undefined {
  for (const member of list) if (member.name === name) return member;
  return undefined;
}

/**
 * Spans of the elements of a JSON array, without parsing them.
 *
 * @returns `[start, end)` pairs of byte offsets, or the first problem
 */
export function scanElements(bytes: Buffer, start: number, end: number): readonly (readonly [number, number])[] | JsonMembersProblem {
  try {
    let at = skipSpace(bytes, start, end);
    if (bytes[at] !== openBracket) throw new Problem("is not a JSON array", at);
    const spans: [number, number][] = [];
    at = skipSpace(bytes, at + 1, end);
    if (bytes[at] === closeBracket) return spans;
    for (;;) {
      const valueEnd = skipValue(bytes, at, end);
      spans.push([at, valueEnd]);
      at = skipSpace(bytes, valueEnd, end);
      if (at < end && bytes[at] === closeBracket) return spans;
      if (at >= end || bytes[at] !== comma) throw new Problem("expected ',' or ']'", at);
      at = skipSpace(bytes, at + 1, end);
    }
  } catch (fault) {
    if (fault instanceof Problem) return { reason: fault.message, offset: fault.offset };
    throw fault;
  }
}

function skipSpace(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/**
 * From an opening quote to just past the closing one. A quote is escaped exactly when an odd number of backslashes stands
 * before it. Short strings are cheaper in a loop, long ones in one native search.
 *
 * @throws an Error of this file when the string does not end before `end`
 */
export function skipString(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  const loopEnd = Math.min(end, at + 24);
  while (at < loopEnd) {
    const byte = bytes[at]!;
    if (byte === quote) return at + 1;
    at += byte === backslash ? 2 : 1;
  }
  // A quote before `at` cannot be the end: either the loop passed it as escaped, or `at` steps over an escaped one.
  for (;;) {
    const found = bytes.indexOf(quote, at);
    if (found === -1 || found >= end) throw new Problem("has a string without end", start);
    let slash = found;
    while (slash > at && bytes[slash - 1] === backslash) slash -= 1;
    if (((found - slash) & 1) === 0) return found + 1;
    at = found + 1;
  }
}

function decodeName(bytes: Buffer, start: number, end: number): string {
  const inner = bytes.toString("utf8", start + 1, end - 1);
  if (!inner.includes("\\")) return inner;
  try {
    return JSON.parse(bytes.toString("utf8", start, end)) as string;
  } catch {
    throw new Problem("has an unreadable member name", start);
  }
}

function skipValue(bytes: Buffer, start: number, end: number): number {
  const first = start < end ? bytes[start] : undefined;
  if (first === quote) return skipString(bytes, start, end);
  if (first === openBrace || first === openBracket) return skipNested(bytes, start, end);
  return skipScalar(bytes, start, end);
}

const scalarPattern = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

function skipScalar(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    if (byte === comma || byte === closeBrace || byte === closeBracket || byte <= 0x20) break;
    at += 1;
  }
  if (at - start > 400 || !scalarPattern.test(bytes.toString("latin1", start, at))) throw new Problem("has a value that is not JSON", start);
  return at;
}

function skipNested(bytes: Buffer, start: number, end: number): number {
  let depth = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at]!;
    // Most bytes outside strings are below the brackets; one comparison passes them.
    if (byte === quote) {
      at = skipString(bytes, at, end);
      continue;
    }
    if (byte >= openBracket) {
      if (byte === openBrace || byte === openBracket) {
        // The top-level object is level 1.
        if (depth + 2 > jsonDepthMax) throw new Problem(`is nested deeper than ${jsonDepthMax} levels`, at);
        bracketStack[depth] = byte;
        depth += 1;
      } else if (byte === closeBrace || byte === closeBracket) {
        depth -= 1;
        // `{` and `}` differ by 2, `[` and `]` too.
        if (bracketStack[depth] !== byte - 2) throw new Problem("has brackets that do not match", at);
        if (depth === 0) return at + 1;
      }
    }
    at += 1;
  }
  throw new Problem("ends inside a value", end);
}
