/**
 * CRC-32 of bytes joined from parts whose checksums are known already, so that one pass over a run of frames checks every frame in
 * it. The checksum is linear: what stands behind a part moves it by as many zero bytes
 * (the arithmetic is that of zlib's `crc32_combine`, https://github.com/madler/zlib, crc32.c, checked 2026-11).
 */

const polynomial = 0xedb88320;

const byteTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let register = byte;
  for (let bit = 0; bit < 8; bit++) register = (register & 1) === 1 ? (register >>> 1) ^ polynomial : register >>> 1;
  return register;
});

/** At `k`: what 2^k zero bytes make of each byte of a register, lowest byte first. */
const zeroTables: Int32Array[] = [Int32Array.from({ length: 1024 }, (_, index) => overOneByte((index & 0xff) << (8 * (index >>> 8))))];

function overOneByte(register: number): number {
  return byteTable[register & 0xff]! ^ (register >>> 8);
}

function over(table: Int32Array, register: number): number {
  return table[register & 0xff]! ^ table[256 + ((register >>> 8) & 0xff)]! ^ table[512 + ((register >>> 16) & 0xff)]! ^ table[768 + (register >>> 24)]!;
}

function zeroTable(power: number): Int32Array {
  for (let known = zeroTables.length; known <= power; known++) {
    const half = zeroTables[known - 1]!;
    zeroTables.push(half.map((register) => over(half, register)));
  }
  return zeroTables[power]!;
}

/**
 * @param first checksum of the first part, 32 bits of any sign; 0 for none
 * @param second checksum of the second part
 * @param secondBytes length of the second part, below 2^31
 * @returns the checksum of both, signed
 */
export function joinedChecksum(first: number, second: number, secondBytes: number): number {
  let register = first;
  for (let power = 0, rest = secondBytes; rest !== 0; power++, rest >>>= 1) {
    if ((rest & 1) === 1) register = over(zeroTable(power), register);
  }
  return register ^ second;
}

/**
 * @param checksum of some bytes
 * @returns the checksum, signed, of these bytes with `checksum` itself behind them, big-endian
 */
export function checksumWithTrailer(checksum: number): number {
  let register = ~checksum;
  for (let shift = 24; shift >= 0; shift -= 8) register = overOneByte(register ^ ((checksum >>> shift) & 0xff));
  return ~register;
}
