/** Replies in a content coding that nobody asked for, or in none that they say they are in. */
import { brotliCompressSync, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { contentTypeOf, rawBody, rawBytesAt } from "./answer.ts";
import { isStreamMode, type Expectation, type Fault, type Mode, type Where } from "./axes.ts";

/** Bedrock has no codings. */
const codedModes: readonly Mode[] = ["stream", "plain", "framed"];

function honest(encoding: NonNullable<Behaviour["encoding"]>): Fault {
  return { name: `coded as ${encoding}`, group: "encodings", phases: ["mid-text"], modes: codedModes, play: () => ({ behaviour: { encoding } }), expect: "answer" };
}

function coded(name: string, coding: string, encode: (body: Buffer, where: Where) => Buffer, expect: Fault["expect"]): Fault {
  return {
    name,
    group: "encodings",
    phases: ["mid-text"],
    modes: codedModes,
    play(where) {
      const body = encode(rawBody(where.mode), where);
      return { behaviour: { isBilled: true, raw: `HTTP/1.1 200 OK\r\ncontent-type: ${contentTypeOf(where.mode)}\r\ncontent-encoding: ${coding}\r\ncontent-length: ${body.length}\r\n\r\n${body.toString("latin1")}` } };
    },
    expect,
    hasOddUsage: true,
  };
}

/** What cannot be read is passed to the caller of a plain reply as it came. */
const unreadable = ({ mode }: Where): Expectation => (isStreamMode(mode) ? "any" : "verbatim");

const bombs = new Map<string, Buffer>();

/** A document of spaces larger than is read for usage, or a stream of blank lines, in a few kilobytes. */
function bombOf(mode: Mode, body: Buffer): Buffer {
  const kind = isStreamMode(mode) ? "stream" : "plain";
  let bomb = bombs.get(kind);
  if (bomb === undefined) {
    const filler = kind === "stream" ? Buffer.alloc(8 * 1024 * 1024, "\n") : Buffer.alloc(72 * 1024 * 1024, " ");
    bombs.set(kind, (bomb = gzipSync(Buffer.concat([filler, body]), { level: 1 })));
  }
  return bomb;
}

export const encodingFaults: readonly Fault[] = [
  honest("gzip"),
  honest("br"),
  honest("deflate"),
  honest("zstd"),
  coded("said to be gzip, and is not", "gzip", (body) => body, unreadable),
  coded("said to be br, and is gzip", "br", (body) => gzipSync(body), unreadable),
  coded("said to be deflate, and is raw", "deflate", (body) => deflateRawSync(body), unreadable),
  coded("in a coding that nobody knows", "snappy", (body) => body, unreadable),
  coded("coded twice", "gzip, br", (body) => brotliCompressSync(gzipSync(body)), unreadable),
  coded("said to be identity", "identity", (body) => body, "answer"),
  coded("gzip in several members", "gzip", (body, { mode }) => Buffer.concat([gzipSync(body.subarray(0, rawBytesAt(mode, "mid-text"))), gzipSync(body.subarray(rawBytesAt(mode, "mid-text")))]), "answer"),
  coded("gzip that breaks off", "gzip", (body) => gzipSync(body).subarray(0, 120), unreadable),
  coded("gzip with a wrong checksum", "gzip", (body) => flipLast(gzipSync(body)), unreadable),
  coded("gzip with bytes behind it", "gzip", (body) => Buffer.concat([gzipSync(body), Buffer.from("behind it")]), unreadable),
  coded("zstd that breaks off", "zstd", (body) => zstdCompressSync(body).subarray(0, 80), unreadable),
  coded("a bomb", "gzip", (body, { mode }) => bombOf(mode, body), "verbatim"),
];

function flipLast(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - 6] = copy.at(-6)! ^ 0xff;
  return copy;
}
