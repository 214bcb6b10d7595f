/**
 * Base64 decoded from bytes to bytes. The runtime decodes from strings only, and for texts of some hundred characters, such as one
 * event of a stream, making the string costs more than decoding without it.
 */

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Six bits by character; any other character makes its whole group negative. */
const sixBits = new Int32Array(256).fill(-1);
for (let value = 0; value < alphabet.length; value++) sixBits[alphabet.charCodeAt(value)] = value;
const padding = 0x3d;

/**
 * Decodes whole groups with their padding, as far as they go.
 *
 * @param bytes holds the text from `start` on; nothing at or beyond `limit` is read
 * @param out takes the decoded bytes from `to` on; must have room for three quarters of the text
 * @returns offset in `bytes` of the first byte that belongs to no group
 */
export function decodeBase64(bytes: Uint8Array, start: number, limit: number, out: Uint8Array, to: number): number {
  let at = start;
  let size = to;
  for (; at + 4 <= limit; at += 4) {
    const group = (sixBits[bytes[at]!]! << 18) | (sixBits[bytes[at + 1]!]! << 12) | (sixBits[bytes[at + 2]!]! << 6) | sixBits[bytes[at + 3]!]!;
    if (group < 0) break;
    out[size] = group >> 16;
    out[size + 1] = group >> 8;
    out[size + 2] = group;
    size += 3;
  }
  if (at + 4 > limit || bytes[at + 3] !== padding) return at;
  const third = bytes[at + 2] === padding ? 0 : sixBits[bytes[at + 2]!]!;
  const last = (sixBits[bytes[at]!]! << 18) | (sixBits[bytes[at + 1]!]! << 12) | (third << 6);
  if (last < 0) return at;
  out[size] = last >> 16;
  if (bytes[at + 2] !== padding) out[size + 1] = last >> 8;
  return at + 4;
}

/** Bytes that the text from `start` to `end`, which `decodeBase64` found, stands for. */
export function decodedBytes(bytes: Uint8Array, start: number, end: number): number {
  const full = ((end - start) / 4) * 3;
  if (end === start || bytes[end - 1] !== padding) return full;
  return bytes[end - 2] === padding ? full - 2 : full - 1;
}
