/**
 * AWS's binary frames as the fake Bedrock sends them, with a checksum computed here, so that a mistake in the product's own codec
 * cannot hide (https://smithy.io/2.0/aws/amazon-eventstream.html, checked 2026-11). Shares no code with src/.
 */

/** CRC-32 of IEEE 802.3, bit by bit from the polynomial. */
const table = Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function checksum(bytes: Buffer): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ table[(value ^ byte) & 0xff]!;
  return (value ^ 0xffffffff) >>> 0;
}

/** One frame with string headers. */
export function frame(headers: Readonly<Record<string, string>>, payload: Buffer): Buffer {
  const head = Buffer.concat(
    Object.entries(headers).map(([name, value]) => {
      const size = Buffer.alloc(2);
      size.writeUInt16BE(Buffer.byteLength(value));
      return Buffer.concat([Buffer.from([Buffer.byteLength(name)]), Buffer.from(name), Buffer.from([7]), size, Buffer.from(value)]);
    }),
  );
  const prelude = Buffer.alloc(12);
  prelude.writeUInt32BE(12 + head.length + payload.length + 4, 0);
  prelude.writeUInt32BE(head.length, 4);
  prelude.writeUInt32BE(checksum(prelude.subarray(0, 8)), 8);
  const body = Buffer.concat([prelude, head, payload]);
  const end = Buffer.alloc(4);
  end.writeUInt32BE(checksum(body));
  return Buffer.concat([body, end]);
}

/** A `chunk` frame with one event; `p` is padding against guesses from lengths, as Bedrock sends it. */
export function chunkFrame(json: string): Buffer {
  const padding = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".slice(0, 2 + (json.length % 40));
  return frame({ ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" }, Buffer.from(JSON.stringify({ bytes: Buffer.from(json).toString("base64"), p: padding })));
}

/** The frame that ends a stream with a fault. */
export function exceptionFrame(type: string, message: string): Buffer {
  return frame({ ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" }, Buffer.from(JSON.stringify({ message })));
}
