// Guarantee: the checksum put together from the parts' own is the one that zlib computes over the whole.
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { checksumWithTrailer, joinedChecksum } from "./joined-checksum.ts";

const bytes = fc.uint8Array({ maxLength: 5_000 });

it("two parts have the checksum of the whole", () => {
  fc.assert(
    fc.property(bytes, bytes, (first, second) => {
      expect(joinedChecksum(crc32(first), crc32(second), second.length) >>> 0).toBe(crc32(Buffer.concat([first, second])));
    }),
  );
});

it("a long second part moves the first as far as it is long", () => {
  const [first, second] = [Buffer.from("a"), Buffer.alloc(5_000_003, "b")];
  expect(joinedChecksum(crc32(first), crc32(second), second.length) >>> 0).toBe(crc32(Buffer.concat([first, second])));
});

it("bytes with their checksum behind them have the checksum told", () => {
  fc.assert(
    fc.property(bytes, (part) => {
      const trailer = Buffer.alloc(4);
      trailer.writeUInt32BE(crc32(part));
      expect(checksumWithTrailer(crc32(part)) >>> 0).toBe(crc32(Buffer.concat([part, trailer])));
    }),
  );
});
