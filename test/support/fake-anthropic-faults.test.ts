// Guarantee: each scripted fault happens where it says, and the fsynced bill is on disk before the reply and tells what was
// delivered, so that a ledger can be compared with it after a crash.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { billEntries, readBill } from "./fake-anthropic-bill.ts";
import { startFakeAnthropic } from "./fake-anthropic.ts";
import type { FakeAnthropic } from "./fake-anthropic.ts";
import type { Behaviour, BilledLine, FinalLine, JsonObject } from "./fake-anthropic-types.ts";
import { checkStreamGrammar } from "./stream-grammar.ts";
import type { GrammarPass } from "./stream-grammar.ts";

const folder = mkdtempSync(join(tmpdir(), "fake-anthropic-"));
const billPath = join(folder, "bill.jsonl");
let fake: FakeAnthropic;
beforeAll(async () => {
  fake = await startFakeAnthropic({ billPath });
});
afterAll(async () => {
  await fake.close();
  rmSync(folder, { recursive: true });
});

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  /** Pieces as the client's socket read them. */
  readonly reads: number;
  readonly error: string | undefined;
}

const plain: JsonObject = { model: "claude-opus-5-5", max_tokens: 1000, messages: [{ role: "user", content: "Hello" }] };
const stream: JsonObject = { ...plain, stream: true };

/** Sends and reads until the end, an error, or `leave` says so. */
function post(behaviour: Behaviour, body: JsonObject = stream, options: { headers?: Record<string, string>; leave?: (bytes: Buffer) => boolean; port?: number } = {}): Promise<Reply> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "k", "anthropic-test-behaviour": JSON.stringify(behaviour), ...options.headers };
    const sent = request({ host: "127.0.0.1", port: options.port ?? fake.port, path: "/v1/messages", method: "POST", headers, agent: false }, (reply) => {
      const done = (error?: string): void => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, bytes: Buffer.concat(pieces), reads: pieces.length, error });
      reply.on("data", (bytes: Buffer) => {
        pieces.push(bytes);
        if (options.leave?.(Buffer.concat(pieces)) === true) {
          done("left");
          sent.destroy();
        }
      });
      reply.on("end", () => done());
      reply.on("error", (error) => done(error.message));
    });
    // A reset after the head is an error of the request too: what was read counts all the same.
    sent.on("error", (error) => resolve({ status: 0, headers: {}, bytes: Buffer.concat(pieces), reads: pieces.length, error: error.message }));
    sent.end(JSON.stringify(body));
  });
}

/** Sends the plain request in two chunks over a bare socket and gives every character that comes back. */
async function exchange(behaviour: Behaviour): Promise<string> {
  const body = JSON.stringify(plain);
  const socket = connect(fake.port, "127.0.0.1");
  const headers = ["host: a", "content-type: application/json", "anthropic-version: 2023-06-01", "x-api-key: k", "connection: close", "transfer-encoding: chunked", `anthropic-test-behaviour: ${JSON.stringify(behaviour)}`];
  socket.write(`POST /v1/messages HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n5\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)}\r\n${body.slice(5)}\r\n0\r\n\r\n`);
  let answer = "";
  for await (const piece of socket) answer += String(piece);
  return answer;
}

function pass(bytes: Buffer): GrammarPass {
  const result = checkStreamGrammar(bytes);
  if (!result.ok) throw new Error(result.problem);
  return result;
}

const finals = (): FinalLine[] => fake.bill().filter((line) => line.type === "final");
const lastFinal = async (count: number): Promise<FinalLine> => {
  await expect.poll(() => finals().length).toBe(count);
  return finals().at(-1)!;
};

describe("errors", () => {
  it.each([400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529])("status %i comes in the envelope and is not billed", async (status) => {
    const before = fake.bill().length;
    const reply = await post({ status, message: "scripted", headers: { "retry-after": "7" } });
    expect(reply.status).toBe(status);
    expect(reply.headers["retry-after"]).toBe("7");
    expect(JSON.parse(reply.bytes.toString())).toMatchObject({ type: "error", error: { type: expect.stringMatching(/_error$|request_too_large/), message: "scripted" }, request_id: reply.headers["request-id"] });
    expect(fake.bill().length).toBe(before);
    expect(fake.clientErrors400).toBe(0);
  });

  it("a page, an empty body and raw bytes come as scripted", async () => {
    expect((await post({ page: "html" })).headers["content-type"]).toContain("text/html");
    expect(await post({ page: "empty" })).toMatchObject({ status: 200, bytes: Buffer.alloc(0) });
    expect(await post({ raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" })).toMatchObject({ status: 200, bytes: Buffer.from("hi") });
  });

  it("an error may be the first event of a 200, and then nothing is billed", async () => {
    const before = fake.bill().length;
    expect(pass((await post({ isErrorFirst: true })).bytes)).toMatchObject({ outcome: "error", events: [{ event: "error" }] });
    expect(fake.bill().length).toBe(before);
  });

  it("a script of a queue, then a function, then the default is followed in that order", async () => {
    const post1 = async (): Promise<number> =>
      (await fetch(`${fake.url}/v1/messages`, { method: "POST", headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "k" }, body: JSON.stringify(plain) })).status;
    fake.script([{ status: 529 }, {}]);
    fake.script((seen) => (seen.headers["x-api-key"] === "k" ? { status: 503 } : undefined));
    expect([await post1(), await post1(), await post1()]).toEqual([529, 200, 503]);
    fake.script(() => undefined);
    fake.setDefault({ status: 500 });
    expect(await post1()).toBe(500);
    fake.setDefault({});
    expect(await post1()).toBe(200);
  });
});

describe("faults", () => {
  const tool: Behaviour = { blocks: [{ type: "text", text: "a sentence of some length, for the middle" }, { type: "tool_use", name: "Bash", input: { command: "a long enough command to have a middle" } }] };

  it.each(["headers", "first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage", "end"] as const)("a reset at %s breaks the stream there", async (at) => {
    const count = finals().length;
    const reply = await post({ ...tool, fault: { at, does: "reset" } });
    expect(reply.error).toBeDefined();
    const final = await lastFinal(count + 1);
    const received = reply.bytes.toString();
    expect(received.includes("message_start")).toBe(at !== "headers");
    expect(received.includes('"input_json_delta"')).toBe(["mid-tool-json", "before-usage", "after-usage", "end"].includes(at));
    expect(received.includes("message_delta")).toBe(["after-usage", "end"].includes(at));
    expect(received.endsWith("\n\n") || received === "").toBe(!at.startsWith("mid"));
    expect(final).toMatchObject({ outcome: "fault", isStartSent: at !== "headers", isUsageSent: ["after-usage", "end"].includes(at) });
  });

  it("a destroyed connection before the head gives no status", async () => {
    expect((await post({ fault: { at: "connect", does: "destroy" } })).status).toBe(0);
  });

  it.each([0, 1, 100, 333])("exactly %i bytes arrive before a fault at that byte", async (byte) => {
    for (const body of [stream, plain]) {
      expect((await post({ fault: { at: { byte }, does: "reset" } }, body)).bytes.length).toBe(byte);
      const cut = await post({ fault: { at: { byte }, does: "end" } }, body);
      expect(cut.bytes.length).toBe(byte);
    }
  });

  it("an error event mid-stream is one, at a border, and the end", async () => {
    const result = pass((await post({ ...tool, fault: { at: "mid-text", does: "error-event", errorType: "api_error" }, message: "broke" })).bytes);
    expect(result).toMatchObject({ outcome: "error", error: { type: "api_error", message: "broke" } });
    expect(result.text.length).toBeGreaterThan(0);
  });

  it("a stall is silent until the client leaves", async () => {
    const count = finals().length;
    const reply = await post({ fault: { at: "first-event", does: "stall" } }, stream, { leave: (bytes) => bytes.includes("message_start") });
    expect(reply.bytes.toString().match(/^event: /gm)).toEqual(["event: "]);
    expect(await lastFinal(count + 1)).toMatchObject({ outcome: "fault", isStartSent: true, isUsageSent: false, outputTokensSent: 0 });
  });

  it("a pause goes on afterwards", async () => {
    expect(pass((await post({ fault: { at: "mid-text", does: "pause", ms: 30 } })).bytes).outcome).toBe("stop");
  });

  it("a stream may end properly without message_stop, or go on after it", async () => {
    const cut = await post({ isWithoutStop: true });
    expect(cut.error).toBeUndefined();
    expect(checkStreamGrammar(cut.bytes)).toMatchObject({ ok: false, problem: "the stream ends without message_stop or error" });
    expect(checkStreamGrammar((await post({ tail: "event: ping\ndata: {\"type\":\"ping\"}\n\n" })).bytes)).toMatchObject({ ok: false });
  });

  it("a wrong Content-Length breaks the reply", async () => {
    expect((await post({ contentLengthError: 10 }, plain)).error).toBeDefined();
    const [head = "", body = ""] = (await exchange({ contentLengthError: -10 })).split("\r\n\r\n");
    expect(Buffer.byteLength(body)).toBe(Number(/content-length: (\d+)/i.exec(head)?.[1]) + 10);
  });

  it("split sizes and paced writes keep every byte", async () => {
    expect(pass((await post({ splitBytes: [1, 7, 200] })).bytes).outcome).toBe("stop");
    const paced = await post({ writeDelayMs: 2 });
    expect(pass(paced.bytes).outcome).toBe("stop");
    expect(paced.reads).toBeGreaterThan(4);
  });

  it("a compressed stream decompresses to a legal one, and only on offer when negotiated", async () => {
    for (const [encoding, open] of [["gzip", gunzipSync], ["br", brotliDecompressSync], ["zstd", zstdDecompressSync]] as const) {
      const reply = await post({ encoding });
      expect(reply.headers["content-encoding"]).toBe(encoding);
      expect(pass(open(reply.bytes)).outcome).toBe("stop");
      expect(JSON.parse(open((await post({ encoding }, plain)).bytes).toString())).toMatchObject({ type: "message" });
    }
    const identity = await post({ encoding: "gzip", isEncodingNegotiated: true }, stream, { headers: { "accept-encoding": "identity" } });
    expect(identity.headers["content-encoding"]).toBeUndefined();
  });

  it("huge output arrives whole", async () => {
    expect(pass((await post({ textBytes: 300_000, deltaCharacters: 5000 })).bytes).text.length).toBe(300_000);
  });

  it("usage can be replaced, corrected in message_delta, split into iterations, or missing; the bill has what is charged", async () => {
    const iterations = [{ type: "message", model: "claude-haiku-5-5", input_tokens: 5, output_tokens: 6 }];
    const reply = pass((await post({ usage: { input_tokens: 77, iterations, speed: "fast" }, deltaUsage: { input_tokens: null } })).bytes);
    expect(reply.usage).toMatchObject({ input_tokens: 77, iterations, speed: "fast" });
    expect((fake.bill().at(-1) as BilledLine).usage).toMatchObject({ input_tokens: 77, iterations });
    const missing = pass((await post({ usage: null })).bytes);
    expect(missing.usage).toEqual({});
    expect((fake.bill().at(-1) as BilledLine).usage.output_tokens).toBeGreaterThan(0);
    expect(JSON.parse((await post({ usage: null }, plain)).bytes.toString())).not.toHaveProperty("usage");
  });

  it("a request body in chunks is accepted", async () => {
    const answer = await exchange({});
    expect(answer).toContain("HTTP/1.1 200 OK");
    expect(answer).toContain('"stop_reason":"end_turn"');
  });
});

describe("bill", () => {
  it("is in the file before the first reply byte, with who asked", async () => {
    let atHead: readonly string[] = [];
    await post({ firstByteDelayMs: 1 }, { ...stream, metadata: { user_id: "someone" } }, {
      headers: { "anthropic-test-id": "t-1", "x-claude-code-session-id": "session-1", "x-claude-code-agent-id": "agent-1" },
      leave: () => {
        atHead = readFileSync(billPath, "utf8").trim().split("\n");
        return false;
      },
    });
    const line = JSON.parse(atHead.at(-1) ?? "{}") as BilledLine;
    expect(line).toMatchObject({
      type: "billed", testId: "t-1", sessionId: "session-1", model: "claude-opus-5-5", isStreaming: true,
      correlation: { "anthropic-test-id": "t-1", "x-claude-code-agent-id": "agent-1", user_id: "someone" },
    });
    expect(line.usage.input_tokens).toBeGreaterThan(0);
  });

  it("a client that leaves gets a final line with the output it was sent, less than planned", async () => {
    const count = finals().length;
    await post({ textBytes: 4000, writeDelayMs: 5 }, stream, { leave: (bytes) => bytes.includes("text_delta") });
    const final = await lastFinal(count + 1);
    const entry = billEntries(fake.bill()).find(({ billed }) => billed.billId === final.billId);
    expect(final).toMatchObject({ outcome: "client_left", isStartSent: true, isUsageSent: false });
    expect(final.outputTokensSent).toBeGreaterThan(0);
    expect(final.outputTokensSent).toBeLessThan(entry?.billed.usage.output_tokens ?? 0);
    expect(fake.requests.at(-1)).toMatchObject({ isAborted: true, isFinished: false });
  });

  it("the file equals the memory, and a torn last line is left out", async () => {
    await post({});
    expect(readBill(billPath)).toEqual(fake.bill());
    const torn = join(folder, "torn.jsonl");
    appendFileSync(torn, `${JSON.stringify(fake.bill()[0])}\n{"type":"bil`);
    expect(readBill(torn).length).toBe(1);
    const second = await startFakeAnthropic({ billPath: torn });
    await post({}, plain, { port: second.port });
    await second.close();
    expect(readBill(torn).length).toBe(2);
  });

  it("many at once lose no line", async () => {
    const before = readBill(billPath).length;
    await Promise.all(Array.from({ length: 200 }, () => post({}, plain)));
    expect(readBill(billPath).length).toBe(before + 200);
  });
});

describe("process", () => {
  async function start(path: string): Promise<{ child: ChildProcess; port: number; url: string }> {
    const child = spawn(process.execPath, [join(import.meta.dirname, "fake-anthropic-main.ts"), "--bill", path, "--until-stdin-ends"], { stdio: ["pipe", "pipe", "inherit"] });
    let text = "";
    for await (const piece of child.stdout!) {
      text += String(piece);
      if (text.includes("\n")) break;
    }
    return { child, ...(JSON.parse(text) as { port: number; url: string }) };
  }

  it("runs on its own, is scripted over HTTP, and its bill survives SIGKILL", async () => {
    const path = join(folder, "process.jsonl");
    const first = await start(path);
    await fetch(`${first.url}/__fake/queue`, { method: "POST", body: JSON.stringify([{ text: "scripted" }]) });
    const bare = { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "k" };
    const reply = await fetch(`${first.url}/v1/messages`, { method: "POST", headers: bare, body: JSON.stringify(plain) });
    expect(await reply.json()).toMatchObject({ content: [{ text: "scripted" }] });
    expect(await (await fetch(`${first.url}/__fake/state`)).json()).toMatchObject({ requests: 1, clientErrors400: 0 });
    const gone = new Promise((resolve) => first.child.once("exit", resolve));
    first.child.kill("SIGKILL");
    await gone;
    expect(billEntries(readBill(path)).length).toBe(1);
    const second = await start(path);
    await post({}, plain, { port: second.port });
    const ended = new Promise((resolve) => second.child.once("exit", resolve));
    second.child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(billEntries(readBill(path)).length).toBe(2);
  });
});
