/** Reads a large plain reply for its usage while it passes: decoded where it is coded, and cut down to its outline, so that none of it is kept. */
import { plainReplyMeterBytesMax } from "../kernel/bounds.ts";
import { decodeFor, type Decoding } from "../wire/content-coding.ts";
import { createJsonOutline } from "../wire/json-outline.ts";

/** Follows one reply. */
export interface PlainMeter {
  /** @param bytes as they came; not changed */
  push(bytes: Buffer): void;
  /** The reply's outline, decoded, once all of it has been pushed; undefined where it cannot be read or is longer than {@link plainReplyMeterBytesMax}. */
  finish(): Promise<Buffer | undefined>;
}

/**
 * @param coding the reply's `content-encoding`
 * @param source held while the decoder is behind
 */
export function createPlainMeter(coding: string | undefined, source: { hold(): void; release(): void }): PlainMeter {
  const outline = createJsonOutline();
  let bytesRead = 0;
  const read = (bytes: Buffer): void => {
    bytesRead += bytes.length;
    if (bytesRead <= plainReplyMeterBytesMax) outline.push(bytes);
  };
  const result = (): Buffer | undefined => (bytesRead <= plainReplyMeterBytesMax ? outline.finish() : undefined);
  if (coding === undefined || coding.trim().toLowerCase() === "identity") return { push: read, finish: () => Promise.resolve(result()) };

  let decoding: Decoding | undefined;
  const ended = new Promise<Buffer | undefined>((resolve) => {
    const end = (outlined: Buffer | undefined): void => {
      source.release();
      resolve(outlined);
    };
    decoding = decodeFor({ data: read, end: () => end(result()), fail: () => end(undefined) }, coding, { pause: () => source.hold(), resume: () => source.release(), abort: () => {} });
  });
  return {
    push: (bytes) => decoding?.consumer.data(bytes),
    finish() {
      decoding?.consumer.end();
      return ended;
    },
  };
}
