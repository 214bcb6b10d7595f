/**
 * The outline of a JSON object that passes in pieces: its top-level members, with those that are long cut down. A plain reply of many
 * megabytes can so be read for its usage without being kept.
 */

/** A member's value up to this size stays whole. */
const valueBytesMax = 32 * 1024;
/** An outline beyond this size is none. */
const outlineBytesMax = 256 * 1024;

const quote = 0x22;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const comma = 0x2c;

/** Takes the pieces of one object. */
export interface JsonOutline {
  /** @param bytes any cut of the text; what is kept of it is copied */
  push(bytes: Buffer): void;
  /**
   * A JSON object with the same members where the text was one. A long array has its first elements and a `null` in the place of the
   * others; a long object or string is `null`.
   *
   * @returns undefined where even so it is too long; what was no JSON before is none now
   */
  finish(): Buffer | undefined;
}

export function createJsonOutline(): JsonOutline {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  /** The value that is being read: a string, array or object of the top level. */
  let value: Buffer[] | undefined;
  let valueBytes = 0;
  let isArray = false;
  /** Bytes of the value up to the last comma between its elements. */
  let borderBytes = 0;
  let depth = 0;
  let isInString = false;
  let isEscaped = false;

  const keep = (bytes: Buffer): void => {
    if (bytes.length === 0) return;
    keptBytes += bytes.length;
    if (keptBytes <= outlineBytesMax) kept.push(Buffer.from(bytes));
  };
  const keepOfValue = (bytes: Buffer): void => {
    if (valueBytes <= valueBytesMax && bytes.length > 0) value?.push(Buffer.from(bytes.subarray(0, valueBytesMax + 1 - valueBytes)));
    valueBytes += bytes.length;
  };
  const endValue = (): void => {
    const whole = Buffer.concat(value ?? []);
    value = undefined;
    if (valueBytes <= valueBytesMax) return keep(whole);
    keep(Buffer.from(isArray ? `${whole.toString("latin1", 0, Math.max(1, borderBytes))}${borderBytes > 0 ? "," : ""}null]` : "null", "latin1"));
  };

  return {
    push(bytes) {
      /** Where what is neither kept nor dropped begins. */
      let from = 0;
      const begin = (at: number): void => {
        keep(bytes.subarray(from, at));
        from = at;
        value = [];
        valueBytes = 0;
        borderBytes = 0;
        isArray = bytes[at] === openBracket;
      };
      const end = (past: number): void => {
        keepOfValue(bytes.subarray(from, past));
        from = past;
        endValue();
      };
      for (let at = 0; at < bytes.length; at++) {
        const byte = bytes[at];
        if (isInString) {
          if (isEscaped) isEscaped = false;
          else if (byte === backslash) isEscaped = true;
          else if (byte === quote) {
            isInString = false;
            if (depth === 1) end(at + 1);
          }
        } else if (byte === quote) {
          isInString = true;
          if (depth === 1) begin(at);
        } else if (byte === openBrace || byte === openBracket) {
          depth += 1;
          if (depth === 2) begin(at);
        } else if (byte === closeBrace || byte === closeBracket) {
          depth -= 1;
          if (depth === 1) end(at + 1);
        } else if (byte === comma && depth === 2 && isArray) {
          const atByte = valueBytes + at - from;
          if (atByte <= valueBytesMax) borderBytes = atByte;
        }
      }
      if (value === undefined) keep(bytes.subarray(from));
      else keepOfValue(bytes.subarray(from));
    },
    finish: () => (keptBytes > outlineBytesMax || value !== undefined ? undefined : Buffer.concat(kept)),
  };
}
