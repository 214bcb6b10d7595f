/** Replies whose HTTP is wrong or odd, written by hand. */
import { isStreamMode, modes, type Fault, type Mode, type Phase, type Where } from "./axes.ts";
import { contentTypeOf, rawBody, rawBytesAt } from "./answer.ts";

const inner: readonly Phase[] = ["first-event", "mid-text", "before-usage", "after-usage"];

interface Head {
  readonly start?: string;
  readonly headers?: string;
}

function headOf(mode: Mode, { start = "HTTP/1.1 200 OK", headers = "" }: Head = {}): string {
  return `${start}\r\ncontent-type: ${contentTypeOf(mode)}\r\n${headers}`;
}

function latin(bytes: Buffer): string {
  return bytes.toString("latin1");
}

function chunked(bytes: Buffer, size = bytes.length): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    text += `${piece.length.toString(16)}\r\n${latin(piece)}\r\n`;
  }
  return text;
}

/** The bytes are sent, then the connection is closed. The provider charges for them all the same. */
function bytes(name: string, write: (where: Where) => string, options: { readonly phases?: readonly Phase[]; readonly modes?: readonly Mode[]; readonly expect: Fault["expect"] }): Fault {
  return { name, group: "bytes", phases: options.phases ?? ["headers"], modes: options.modes ?? modes, play: (where) => ({ behaviour: { raw: write(where), isBilled: true } }), expect: options.expect };
}

function whole(mode: Mode, head: Head = {}): string {
  const body = rawBody(mode);
  return `${headOf(mode, head)}content-length: ${body.length}\r\n\r\n${latin(body)}`;
}

const second = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{"type":"smuggled"}';

export const byteFaults: readonly Fault[] = [
  bytes("a length that is too long", ({ mode }) => `${headOf(mode)}content-length: ${rawBody(mode).length + 9}\r\n\r\n${latin(rawBody(mode))}`, { phases: ["end"], expect: "any" }),
  bytes("a length that ends it early", ({ mode, phase }) => `${headOf(mode)}content-length: ${rawBytesAt(mode, phase)}\r\n\r\n${latin(rawBody(mode))}`, { phases: inner, expect: ({ mode }) => (isStreamMode(mode) ? "broken" : "verbatim") }),
  bytes("a chunk that ends it early", ({ mode, phase }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode).subarray(0, rawBytesAt(mode, phase))).slice(0, -6)}`, { phases: inner, expect: "broken" }),
  bytes("a chunk size that is none", ({ mode, phase }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode).subarray(0, rawBytesAt(mode, phase)))}zz\r\n`, { phases: inner, expect: "broken" }),
  bytes("a chunk that is longer than it says", ({ mode, phase }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode).subarray(0, rawBytesAt(mode, phase)))}1\r\nabcdef\r\n`, { phases: inner, expect: "broken" }),
  bytes("no last chunk", ({ mode }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode))}`, { phases: ["end"], expect: "any" }),
  bytes("chunks of one byte", ({ mode }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode), 1)}0\r\n\r\n`, { phases: ["mid-text"], expect: "answer" }),
  bytes("extensions and trailers", ({ mode }) => `${headOf(mode)}transfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode)).replace("\r\n", ";name=value\r\n")}0\r\nauthorization: Bearer x\r\nx-other: 1\r\n\r\n`, { phases: ["end"], expect: "answer" }),
  bytes("a length and chunks", ({ mode }) => `${headOf(mode)}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n${chunked(rawBody(mode))}0\r\n\r\n`, { expect: "elsewhere" }),
  bytes("two lengths", ({ mode }) => `${headOf(mode)}content-length: 5\r\n${`content-length: ${rawBody(mode).length}`}\r\n\r\n${latin(rawBody(mode))}`, { expect: "elsewhere" }),
  bytes("a length that is no number", ({ mode }) => `${headOf(mode)}content-length: -1\r\n\r\n${latin(rawBody(mode))}`, { expect: "elsewhere" }),
  bytes("a coding of transfer that is unknown", ({ mode }) => `${headOf(mode)}transfer-encoding: gzip, chunked\r\n\r\n${chunked(rawBody(mode))}0\r\n\r\n`, { expect: "elsewhere" }),
  bytes("no length, until it closes", ({ mode }) => `${headOf(mode)}connection: close\r\n\r\n${latin(rawBody(mode))}`, { phases: ["end"], expect: "answer" }),
  bytes("HTTP/1.0", ({ mode }) => `${headOf(mode, { start: "HTTP/1.0 200 OK" })}\r\n${latin(rawBody(mode))}`, { expect: "answer" }),
  bytes("a header of 1 MiB", ({ mode }) => whole(mode, { headers: `x-large: ${"x".repeat(1024 * 1024)}\r\n` }), { expect: "elsewhere" }),
  bytes("ten thousand headers", ({ mode }) => whole(mode, { headers: Array.from({ length: 10_000 }, (_, index) => `x-${index}: 1\r\n`).join("") }), { expect: "elsewhere" }),
  bytes("a head without an end", ({ mode }) => headOf(mode, { headers: "x-a: b" }), { expect: "elsewhere" }),
  bytes("a header with NUL", ({ mode }) => whole(mode, { headers: "x-a: b\0c\r\n" }), { expect: "elsewhere" }),
  bytes("a folded header", ({ mode }) => whole(mode, { headers: "x-a: b\r\n c: d\r\n" }), { expect: "elsewhere" }),
  bytes("a header named __proto__", ({ mode }) => whole(mode, { headers: "__proto__: polluted\r\nconstructor: x\r\n" }), { expect: "answer" }),
  bytes("headers of a hop, and of ours", ({ mode }) => whole(mode, { headers: "keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nset-cookie: a=b\r\nx-tollgate-request-id: req_forged\r\nx-litellm-model-id: forged\r\n" }), { expect: "answer" }),
  bytes("lines that end in LF only", ({ mode }) => whole(mode).replace(/\r\n/g, "\n"), { modes: ["stream", "plain"], expect: "elsewhere" }),
  bytes("words that are not HTTP", () => "SSH-2.0-OpenSSH_9.2\r\n\r\n", { phases: ["connect"], expect: "elsewhere" }),
  bytes("hints before the reply", ({ mode }) => `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n${whole(mode)}`, { expect: "answer" }),
  bytes("a second reply behind it", ({ mode }) => `${whole(mode)}${second}`, { phases: ["end"], expect: "answer" }),
];
