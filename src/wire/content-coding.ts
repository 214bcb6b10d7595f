/** Undoes HTTP content codings (RFC 9110 §8.4) of replies that must be read: whole ones, and streams piece by piece. */
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { GatewayError } from "../kernel/gateway-error.ts";

const wholeDecoders = new Map<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>([
  ["gzip", promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["x-gzip", promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["deflate", promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflate)],
  ["br", promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress)],
  ["zstd", promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress)],
]);

/**
 * @param coding value of `content-encoding`; undefined and `identity` give `bytes` back
 * @param bytesMax bound on the decoded size
 * @returns undefined for an unknown coding, broken data, or a result above the bound
 */
export async function decodeWhole(coding: string | undefined, bytes: Buffer, bytesMax: number): Promise<Buffer | undefined> {
  const name = coding?.trim().toLowerCase() ?? "identity";
  if (name === "identity") return bytes;
  try {
    return await wholeDecoders.get(name)?.(bytes, { maxOutputLength: bytesMax });
  } catch {
    return undefined;
  }
}

/** The shape of a body consumer, as `egress/reply.ts` has it. */
interface Consumer {
  data(bytes: Buffer): void;
  end(): void;
  fail(fault: GatewayError): void;
}

/** Beyond what Node takes from shared slabs: a few bytes that wait for a slow reader would keep a whole slab. */
const chunkSize = 64 * 1024;

function streamDecoder(coding: string): (zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress | zlib.ZstdDecompress) | undefined {
  const flush = { chunkSize, flush: zlib.constants.Z_SYNC_FLUSH, finishFlush: zlib.constants.Z_SYNC_FLUSH };
  switch (coding.trim().toLowerCase()) {
    case "gzip":
    case "x-gzip":
      return zlib.createGunzip(flush);
    case "deflate":
      return zlib.createInflate(flush);
    case "br":
      return zlib.createBrotliDecompress({ chunkSize, flush: zlib.constants.BROTLI_OPERATION_FLUSH });
    case "zstd":
      return zlib.createZstdDecompress({ chunkSize, flush: zlib.constants.ZSTD_e_flush });
    default:
      return undefined;
  }
}

/** Stops and restarts a sender. */
interface Flow {
  pause(): void;
  resume(): void;
}

/** A consumer that decodes for another, and the flow by which that one holds it back. */
export interface Decoding {
  readonly consumer: Consumer;
  readonly flow: Flow;
}

/**
 * Wraps a consumer so that it gets decoded bytes. An unknown coding or broken data fails it with `upstream_stream_broken`.
 *
 * @param source paused while the decoder is behind, so that a compressed flood stays bounded
 */
export function decodeFor(consumer: Consumer, coding: string, source: Flow & { abort(): void }): Decoding {
  const decoder = streamDecoder(coding);
  let isOver = false;
  let isFailing = false;
  const over = (act: () => void): void => {
    if (isOver) return;
    isOver = true;
    act();
  };
  if (decoder === undefined) {
    source.abort();
    const refuse = (): void => over(() => consumer.fail(new GatewayError("upstream_stream_broken", { internal: `unknown content coding ${coding}` })));
    return { consumer: { data: refuse, end: refuse, fail: refuse }, flow: source };
  }
  decoder.on("data", (bytes: Buffer) => {
    if (!isOver) consumer.data(bytes);
  });
  decoder.on("end", () => over(() => consumer.end()));
  decoder.on("drain", () => source.resume());
  decoder.on("error", (fault) =>
    over(() => {
      source.abort();
      consumer.fail(new GatewayError("upstream_stream_broken", { internal: `content coding ${coding}: ${fault.message}` }));
    }),
  );
  return {
    consumer: {
      data(bytes) {
        if (!isOver && !decoder.write(bytes)) source.pause();
      },
      end: () => void decoder.end(),
      fail(fault) {
        // What was decoded so far goes out first, however slowly the other side reads: nothing more will come.
        isFailing = true;
        decoder.resume();
        decoder.flush(() => over(() => consumer.fail(fault)));
      },
    },
    flow: {
      pause() {
        if (!isFailing) decoder.pause();
      },
      resume: () => void decoder.resume(),
    },
  };
}
