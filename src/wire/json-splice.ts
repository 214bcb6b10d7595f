/**
 * Replaces, removes and adds top-level members of a JSON object in its bytes. Every byte outside the touched members
 * stays as it was and in order; that is what keeps prompt caches and signatures whole.
 */
import type { JsonMember, JsonMembers } from "./json-members.ts";

/** What to change. Names must be unique over all three; absent ones are ignored by `replace` and `remove`. */
export interface JsonEdits {
  /** Name → new value, as JSON text. */
  readonly replace?: ReadonlyMap<string, string>;
  readonly remove?: ReadonlySet<string>;
  /** Put in front of the first member, as JSON text; the name must not be there yet. */
  readonly add?: ReadonlyMap<string, string>;
}

/**
 * @param bytes the buffer that `members` was scanned from
 * @returns a new buffer, or `bytes` itself when nothing changes
 */
export function spliceMembers(bytes: Buffer, members: JsonMembers, edits: JsonEdits): Buffer {
  const pieces: (Buffer | string)[] = [];
  let from = 0;
  const removed = edits.remove === undefined ? undefined : removalSpans(members, edits.remove);
  const added = edits.add === undefined ? "" : [...edits.add].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",");
  if (added !== "") {
    const hasRest = members.list.some((member) => edits.remove?.has(member.name) !== true);
    pieces.push(bytes.subarray(0, members.start + 1), hasRest ? `${added},` : added);
    from = members.start + 1;
  }
  for (const [index, member] of members.list.entries()) {
    const span = removed?.[index];
    if (span !== undefined) {
      if (span[0] > from) pieces.push(bytes.subarray(from, span[0]));
      from = Math.max(from, span[1]);
      continue;
    }
    const value = edits.replace?.get(member.name);
    if (value === undefined) continue;
    pieces.push(bytes.subarray(from, member.valueStart), value);
    from = member.valueEnd;
  }
  if (pieces.length === 0) return bytes;
  pieces.push(bytes.subarray(from));
  return assemble(pieces);
}

/**
 * For each removed member the span that goes: with the comma after it, or, behind the last one that stays, with the comma
 * before it.
 */
function removalSpans(members: JsonMembers, names: ReadonlySet<string>): readonly ([number, number] | undefined)[] {
  const list = members.list;
  const lastKept = list.findLastIndex((member) => !names.has(member.name));
  return list.map((member: JsonMember, index) => {
    if (!names.has(member.name)) return undefined;
    if (index < lastKept) return [member.nameStart, list[index + 1]!.nameStart];
    const previous = list[index - 1];
    return [previous === undefined ? member.nameStart : previous.valueEnd, member.valueEnd];
  });
}

function assemble(pieces: readonly (Buffer | string)[]): Buffer {
  let length = 0;
  for (const piece of pieces) length += typeof piece === "string" ? Buffer.byteLength(piece) : piece.length;
  const result = Buffer.allocUnsafe(length);
  let at = 0;
  for (const piece of pieces) at += typeof piece === "string" ? result.write(piece, at) : piece.copy(result, at);
  return result;
}
