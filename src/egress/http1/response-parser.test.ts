// Guarantee: a response is framed exactly as RFC 9112 says, at every cut of its bytes, and anything that two parsers could
// read differently is a fault and never a reply.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createResponseParser } from "./response-parser.ts";

interface Outcome {
  status?: number;
  headers?: string[];
  body: string;
  ended?: boolean;
  fault?: string;
}

function parse(pieces: readonly Buffer[], options: { isHead?: boolean; closes?: boolean } = {}): Outcome {
  const outcome: Outcome = { body: "" };
  const parser = createResponseParser(
    {
      head: (status, headers) => Object.assign(outcome, { status, headers }),
      body: (bytes) => void (outcome.body += bytes.toString("latin1")),
      end: (mayReuse) => void (outcome.ended = mayReuse),
    },
    options.isHead ?? false,
  );
  for (const piece of pieces) {
    // The parser owns what it is given.
    const fault = parser.push(Buffer.from(piece));
    if (fault !== undefined) return { ...outcome, fault };
  }
  if (options.closes === true) {
    const fault = parser.finish();
    if (fault !== undefined) return { ...outcome, fault };
  }
  return outcome;
}

function cut(text: string, positions: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  const sorted = [0, ...[...positions].map((position) => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

const chunked = (chunks: readonly string[], trailers = ""): string => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n${trailers}\r\n`;
const chunk = fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 40 });

describe("createResponseParser", () => {
  it("gives the same body for any chunks at any cut, and the connection back", () => {
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), fc.constantFrom("", "x-t: 1\r\n"), (chunks, cuts, trailers) => {
        const outcome = parse(cut(chunked(chunks, trailers), cuts));
        expect(outcome).toMatchObject({ status: 200, body: chunks.join(""), ended: true });
      }),
      { numRuns: 1_500 },
    );
  });

  it("gives the same body for any announced length at any cut, behind informational responses", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii", maxLength: 60 }), fc.array(fc.nat(), { maxLength: 8 }), fc.nat(2), (body, cuts, informational) => {
        const text = `${"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(informational)}HTTP/1.1 201 Created\r\nContent-Length: ${body.length}\r\nX-Empty:\r\n\r\n${body}`;
        expect(parse(cut(text, cuts))).toMatchObject({ status: 201, headers: ["Content-Length", String(body.length), "X-Empty", ""], body, ended: true });
      }),
      { numRuns: 500 },
    );
  });

  it("reads a body without length to the connection's end, and does not reuse it", () => {
    expect(parse([Buffer.from("HTTP/1.1 200 OK\r\n\r\nab"), Buffer.from("cd")], { closes: true })).toMatchObject({ body: "abcd", ended: false });
  });

  it.each([
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false],
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Upgrade, CLOSE\r\n\r\n", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false],
    ["HTTP/1.1 204 No Content\r\n\r\n", true],
    ["HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", true],
    ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", true],
  ])("ends %j with reuse %s", (text, expected) => {
    expect(parse([Buffer.from(text)])).toMatchObject({ body: "", ended: expected });
  });

  it("has no body after HEAD, whatever the lengths say", () => {
    expect(parse([Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")], { isHead: true })).toMatchObject({ body: "", ended: true });
  });

  it("does not give a connection back on which more came than the response", () => {
    expect(parse([Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabHTTP/1.1 200 OK\r\n")])).toMatchObject({ body: "a", ended: false });
    expect(parse([Buffer.from(`${chunked(["a"])}x`)])).toMatchObject({ body: "a", ended: false });
  });

  it.each([
    ["HTTP/2 200 OK\r\n\r\n", "the status line is not readable"],
    ["HTTP/1.1 2000 OK\r\n\r\n", "the status line is not readable"],
    ["ICY 200 OK\r\n\r\n", "the status line is not readable"],
    ["HTTP/1.1 200 O\nK\r\n\r\n", "the status line is not readable"],
    ["HTTP/1.1 101 Switching\r\n\r\n", "the protocol was switched"],
    ["HTTP/1.1 200 OK\r\nA : 1\r\n\r\n", "a header line is not readable"],
    ["HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n", "a header line is not readable"],
    ["HTTP/1.1 200 OK\r\nA: 1\nB: 2\r\n\r\n", "a header line is not readable"],
    ["HTTP/1.1 200 OK\r\nA: \u0000\r\n\r\n", "a header line is not readable"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "there are two content lengths"],
    ["HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", "the content length is not readable"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "the content length is not readable"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "there are a content length and a transfer coding"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "the transfer coding is not chunked"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "there are two transfer codings"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "a chunk size is not readable"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\n", "a chunk size is not readable"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", "a chunk size is not readable"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n80000000\r\n", "a chunk size is not readable"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n", "a chunk line does not end in CRLF"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a chunk is longer than it says"],
    [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;${"x".repeat(300)}`, "a chunk line is too long"],
    [`HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}\r\n\r\n`, "the head is too large"],
    [`HTTP/1.1 200 OK\r\n${"A: 1\r\n".repeat(300)}\r\n`, "there are too many headers"],
  ])("refuses %j", (text, fault) => {
    expect(parse([Buffer.from(text, "latin1")]).fault).toBe(fault);
  });

  it("calls an early end of the connection by its place", () => {
    expect(parse([Buffer.from("HTTP/1.1 200 OK\r\n")], { closes: true }).fault).toBe("the connection ended before a response");
    expect(parse([Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")], { closes: true })).toMatchObject({ body: "ab", fault: "the connection ended inside a response" });
    expect(parse([Buffer.from(chunked(["abc"]).slice(0, -2))], { closes: true }).fault).toBe("the connection ended inside a response");
  });

  it("never throws and never gives more bytes than it got, whatever comes", () => {
    const fragments = fc.constantFrom("HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n", "\r\n", "3\r\nabc\r\n", "0\r\n", "abc", "\n", "\r", " ", ":", "f".repeat(9), "HTTP/1.1 100 Continue\r\n\r\n", ";x=1\r\n", "\u0000");
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 14 }), fc.array(fc.nat(), { maxLength: 6 }), fc.boolean(), (parts, cuts, closes) => {
        const text = parts.join("");
        expect(parse(cut(text, cuts), { closes }).body.length).toBeLessThanOrEqual(text.length);
        // What is read does not depend on the cut.
        const { body, status, fault } = parse(cut(text, cuts), { closes });
        const whole = parse(cut(text, []), { closes });
        expect({ status, isFault: fault !== undefined }).toEqual({ status: whole.status, isFault: whole.fault !== undefined });
        if (fault === undefined) expect(body).toBe(whole.body);
      }),
      { numRuns: 5_000 },
    );
  });
});
