/**
 * Guarantee: request shapes that two parsers on a path could read differently, and requests beyond the bounds, are refused
 * with a clear answer before anybody is authenticated and before a byte goes upstream.
 */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messagesBody } from "../support/harness.ts";
import { rawExchange, startStage, type ErrorBody, type Stage } from "./stage.ts";

const streamed = messagesBody({ stream: true });

let stage: Stage;
/** Begun at the start, because the header timeout takes its time. */
let slowHeader: Promise<string>;

beforeAll(async () => {
  stage = await startStage({ config: "timeouts: {request_body: 1s}\nlimits: {body_max: 32MiB}" });
  slowHeader = rawExchange(stage.port, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
});

afterAll(() => stage.close());

/** A request with a good key, so that what refuses it is its shape and nothing else. */
function raw(fields: { readonly line?: string; readonly headers?: readonly string[]; readonly body?: string; readonly isWithoutHost?: boolean; readonly isWithoutLength?: boolean }): string {
  const body = fields.body ?? messagesBody();
  return [
    fields.line ?? "POST /v1/messages HTTP/1.1",
    ...(fields.isWithoutHost === true ? [] : ["Host: localhost"]),
    `x-api-key: ${stage.key}`,
    "content-type: application/json",
    ...(fields.isWithoutLength === true ? [] : [`content-length: ${Buffer.byteLength(body)}`]),
    ...(fields.headers ?? []),
    "",
    body,
  ].join("\r\n");
}

function chunked(body: string, trailers: readonly string[] = [], extension = ""): string {
  return `${Buffer.byteLength(body).toString(16)}${extension}\r\n${body}\r\n0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`;
}

describe("a hostile shape", () => {
  const shapes: readonly [string, () => string, number][] = [
    ["no Host", () => raw({ isWithoutHost: true }), 400],
    ["two Host headers", () => raw({ headers: ["Host: other"] }), 400],
    ["a Host with a path and a query", () => raw({ isWithoutHost: true, headers: ["Host: good/admin?x="] }), 400],
    ["a Host with a user", () => raw({ isWithoutHost: true, headers: ["Host: user@good"] }), 400],
    ["an empty Host", () => raw({ isWithoutHost: true, headers: ["Host: "] }), 400],
    ["an absolute target with another host", () => raw({ line: "POST http://other/v1/messages HTTP/1.1" }), 400],
    ["an authority as target", () => raw({ line: "POST //other/v1/messages HTTP/1.1" }), 400],
    ["an asterisk as target", () => raw({ line: "OPTIONS * HTTP/1.1" }), 400],
    ["a fragment in the target", () => raw({ line: "POST /v1/messages#x HTTP/1.1" }), 400],
    ["a dot segment", () => raw({ line: "POST /v1/../v1/messages HTTP/1.1" }), 400],
    ["an encoded dot segment", () => raw({ line: "POST /v1/%2e%2e/v1/messages HTTP/1.1" }), 400],
    ["an empty segment", () => raw({ line: "POST /v1//messages HTTP/1.1" }), 400],
    ["a backslash", () => raw({ line: "POST /v1\\messages HTTP/1.1" }), 400],
    ["two Authorization headers", () => raw({ headers: ["Authorization: Bearer a", "Authorization: Bearer b"] }), 400],
    ["two x-api-key headers", () => raw({ headers: ["X-Api-Key: another"] }), 400],
    ["two content types", () => raw({ headers: ["Content-Type: text/plain"] }), 400],
    ["two content lengths", () => raw({ headers: [`Content-Length: ${messagesBody().length}`] }), 400],
    ["a length and a transfer coding", () => raw({ headers: ["Transfer-Encoding: chunked"], body: chunked(messagesBody()) }), 400],
    ["Transfer-Encoding: identity, chunked", () => raw({ isWithoutLength: true, headers: ["Transfer-Encoding: identity, chunked"], body: chunked(messagesBody()) }), 400],
    ["Transfer-Encoding: gzip, chunked", () => raw({ isWithoutLength: true, headers: ["Transfer-Encoding: gzip, chunked"], body: chunked(messagesBody()) }), 400],
    ["Transfer-Encoding in HTTP/1.0", () => raw({ line: "POST /v1/messages HTTP/1.0", isWithoutLength: true, headers: ["Transfer-Encoding: chunked"], body: chunked(messagesBody()) }), 400],
    ["Upgrade with a second request behind it", () => raw({ headers: ["Connection: Upgrade", "Upgrade: websocket"] }) + raw({}), 400],
    ["an upgrade to h2c", () => raw({ headers: ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"] }), 400],
    ["announced trailers", () => raw({ isWithoutLength: true, headers: ["Transfer-Encoding: chunked", "Trailer: Authorization"], body: chunked(messagesBody(), ["Authorization: Bearer x"]) }), 400],
    ["trailers that nobody announced", () => raw({ isWithoutLength: true, headers: ["Transfer-Encoding: chunked"], body: chunked(messagesBody(), ["Authorization: Bearer x"]) }), 400],
    ["a space before the colon", () => raw({ headers: ["X-Space : 1"] }), 400],
    ["a folded header", () => raw({ headers: ["X-Fold: 1\r\n 2"] }), 400],
    ["a NUL in a value", () => raw({ headers: ["X-Nul: a\0b"] }), 400],
    ["a bare line feed", () => raw({}).replaceAll("\r\n", "\n"), 400],
    ["a GET with a body", () => raw({ line: "GET /v1/models HTTP/1.1" }), 400],
    ["an unknown expectation", () => raw({ headers: ["Expect: miracles"] }), 417],
    ["CONNECT", () => raw({ line: "CONNECT api.anthropic.com:443 HTTP/1.1" }), 400],
    ["TRACE", () => raw({ line: "TRACE /v1/messages HTTP/1.1", headers: ["Connection: close"] }), 405],
    ["101 headers", () => raw({ headers: Array.from({ length: 101 }, (_, index) => `x-h${index}: 1`) }), 431],
    ["33 KiB of headers", () => raw({ headers: Array.from({ length: 33 }, (_, index) => `x-h${index}: ${"v".repeat(1_024)}`) }), 431],
    ["one header of 40 KiB", () => raw({ headers: [`x-long: ${"v".repeat(40_960)}`] }), 431],
  ];

  it.each(shapes)("is refused: %s", async (_name, bytes, status) => {
    const before = stage.fake.requests.length;
    const reply = await rawExchange(stage.port, bytes());
    expect(reply).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(reply.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(reply.toLowerCase()).toContain("connection: close");
    expect(stage.fake.requests.length).toBe(before);
  });

  it("of the refused kind is judged before the key: no key gives the same answer", async () => {
    const reply = await rawExchange(stage.port, "POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\ncontent-length: 2\r\n\r\n{}");
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply).toContain("The header host came twice.");
  });

  it("in HTTP/2 is told what this port speaks", async () => {
    const reply = await rawExchange(stage.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply).toContain("speaks HTTP/1.1");
    expect(reply).toContain("NodeHttpHandler");
  });

  it("that names a header __proto__ does no harm", async () => {
    const reply = await rawExchange(stage.port, raw({ headers: ["__proto__: x", "constructor: y", "Connection: close"] }));
    expect(reply).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("with chunk extensions is read as the body it is", async () => {
    const reply = await rawExchange(stage.port, raw({ isWithoutLength: true, headers: ["Transfer-Encoding: chunked", "Connection: close"], body: chunked(messagesBody(), [], ";a=b") }));
    expect(reply).toMatch(/^HTTP\/1\.1 200 /);
    expect(stage.fake.requests.at(-1)?.body.toString()).toBe(messagesBody());
  });

  it("that names the key's header as hop by hop sends nothing of it upstream", async () => {
    const reply = await rawExchange(stage.port, raw({ headers: ["Connection: close, x-api-key, anthropic-beta", "anthropic-beta: files-api-2025-04-14"] }));
    expect(reply).toMatch(/^HTTP\/1\.1 200 /);
    expect(stage.fake.requests.at(-1)?.headers).not.toHaveProperty("anthropic-beta");
  });
});

describe("ordinary HTTP", () => {
  it("may be pipelined: answers come in order", async () => {
    const first = raw({ body: messagesBody({ messages: [{ role: "user", content: "first" }] }), headers: ['anthropic-test-behaviour: {"text":"answer one","firstByteDelayMs":50}'] });
    const second = raw({ body: messagesBody({ messages: [{ role: "user", content: "second" }] }), headers: ['anthropic-test-behaviour: {"text":"answer two"}', "Connection: close"] });
    const reply = await rawExchange(stage.port, first + second);
    expect(reply.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    expect(reply.indexOf("answer one")).toBeGreaterThan(0);
    expect(reply.indexOf("answer one")).toBeLessThan(reply.indexOf("answer two"));
  });

  it("may ask for 100 Continue", async () => {
    const reply = await rawExchange(stage.port, raw({ headers: ["Expect: 100-continue", "Connection: close"] }));
    expect(reply).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  });

  it("may be HTTP/1.0 with a Host", async () => {
    const reply = await rawExchange(stage.port, raw({ line: "POST /v1/messages HTTP/1.0", body: streamed }));
    expect(reply).toMatch(/^HTTP\/1\.1 200 /);
    expect(reply.toLowerCase()).not.toContain("transfer-encoding");
    expect(reply).toContain("event: message_stop");
  });

  it("keeps its connection over a refusal that read the whole request", async () => {
    const reply = await rawExchange(stage.port, `GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n${raw({ headers: ["Connection: close"] })}`);
    expect(reply).toMatch(/^HTTP\/1\.1 404 /);
    expect(reply).toMatch(/HTTP\/1\.1 200 /);
  });
});

describe("a bound", () => {
  const tooLarge = Buffer.alloc(33 * 1024 * 1024, 0x20);

  it.each(["announced", "chunked"] as const)("on the body answers 413 in the caller's dialect (%s)", async (how) => {
    const reply = await stage.call({ body: tooLarge, ...(how === "chunked" ? { headers: { "content-length": null, "transfer-encoding": "chunked" } } : {}) });
    expect(reply.status).toBe(413);
    expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "request_too_large", message: expect.stringContaining("32 MiB") as string } });
    expect(await stage.rowsNow(reply.session)).toEqual([]);
  });

  it("on the body is told before the connection ends, also to a client that wants it closed and still sends", async () => {
    const socket = connect(stage.port, "127.0.0.1");
    let text = "";
    let fault: Error | undefined;
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.on("data", (piece) => (text += piece.toString("latin1"))).on("error", (error) => (fault = error));
    const head = raw({ headers: ["Connection: close"], body: "" }).replace("content-length: 0", `content-length: ${tooLarge.length}`);
    socket.write(head);
    // In pieces, so that the answer comes while more is on its way.
    for (let at = 0; at < tooLarge.length && !socket.destroyed; at += 65_536) {
      if (!socket.write(tooLarge.subarray(at, at + 65_536))) await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
    }
    await closed;
    expect(fault).toBeUndefined();
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(text).toContain("request_too_large");
  });

  it("on the body also holds for a client that would never stop", async () => {
    const sent = await new Promise<{ readonly text: string; readonly bytes: number }>((resolve) => {
      const socket = connect(stage.port, "127.0.0.1");
      let text = "";
      let bytes = 0;
      socket.on("data", (piece) => (text += piece.toString("latin1")));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve({ text, bytes }));
      const piece = Buffer.concat([Buffer.from("10000\r\n"), Buffer.alloc(65_536, 0x20), Buffer.from("\r\n")]);
      const push = (): void => {
        if (socket.destroyed) return;
        bytes += 65_536;
        if (socket.write(piece)) setImmediate(push);
        else socket.once("drain", push);
      };
      socket.write(raw({ isWithoutLength: true, headers: ["Transfer-Encoding: chunked"], body: "" }));
      push();
    });
    expect(sent.text).toMatch(/^HTTP\/1\.1 413 /);
    expect(sent.bytes).toBeLessThan(128 * 1024 * 1024);
  });

  it("on the body is judged after the key: without one nothing is read", async () => {
    const reply = await stage.call({ body: tooLarge, headers: { "x-api-key": "sk-nobody" } });
    expect(reply.status).toBe(401);
  });

  it("on nesting is 128 levels", async () => {
    const nested = (levels: number): string => `{"model":"claude-opus-4-8","max_tokens":8,"messages":[{"role":"user","content":"x"}],"x":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    const reply = await stage.call({ body: nested(129) });
    expect(reply.status).toBe(400);
    expect(reply.json<ErrorBody>().error.message).toContain("nest");
    const before = stage.fake.requests.length;
    await stage.call({ body: nested(100) });
    expect(stage.fake.requests.length).toBe(before + 1);
  });

  it("on the time for a body answers 408", async () => {
    const reply = await rawExchange(stage.port, raw({ body: "" }).replace("content-length: 0", "content-length: 100"));
    expect(reply).toMatch(/^HTTP\/1\.1 408 /);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "hello"],
    ["a list", "[]"],
    ["a byte order mark", `\ufeff${messagesBody()}`],
    ["bytes after the end", `${messagesBody()}x`],
    ["two objects", messagesBody() + messagesBody()],
    ["no model", '{"messages":[]}'],
    ["a model that is no text", messagesBody({ model: 7 })],
    ["a stream that is no boolean", messagesBody({ stream: "true" })],
    ["a member twice", `{"model":"claude-opus-4-8",${messagesBody().slice(1)}`],
    ["a member twice, once escaped", `{"m\\u006fdel":"claude-opus-4-8",${messagesBody().slice(1)}`],
    ["a decisive member in other letters", messagesBody({ Model: "claude-haiku-4-5" })],
    ["a compressed body", null],
  ])("on sense refuses %s with 400", async (_what, body) => {
    const before = stage.fake.requests.length;
    const reply = await stage.call(body === null ? { headers: { "content-encoding": "gzip" } } : { body });
    expect(reply.status).toBe(400);
    expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
    expect(reply.headers["request-id"]).toBe(reply.headers["x-tollgate-request-id"]);
    expect(stage.fake.requests.length).toBe(before);
    expect(await stage.rowsNow(reply.session)).toEqual([]);
  });

  it("on the time for headers answers 408", async () => {
    expect(await slowHeader).toMatch(/^HTTP\/1\.1 408 /);
  }, 30_000);
});
