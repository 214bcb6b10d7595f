/**
 * Guarantee: a stream goes out event by event as it comes, whole and unchanged for any cut of its bytes; the gateway adds
 * nothing but pings in silence; and who leaves, or reads slowly, is felt by the upstream.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { messagesBody, until } from "../support/harness.ts";
import { newSession, startRecorder, startStage, type OpenReply, type Recorder, type Stage } from "./stage.ts";

const ping = 'event: ping\ndata: {"type": "ping"}\n\n';
const streamed = messagesBody({ stream: true });
const blocks = [
  { type: "thinking", thinking: "Let me see. ".repeat(8) },
  { type: "text", text: "Grüße, 世界 🌍! ".repeat(20) },
  { type: "tool_use", name: "Bash", input: { command: "echo 'ä\\n\"'", timeout: 5, list: [1, 2, { a: null }] } },
] as const;

let stage: Stage;
let recorder: Recorder;
let direct: Stage;

beforeAll(async () => {
  stage = await startStage({
    through: async (port) => {
      recorder = await startRecorder(port);
      return recorder.url;
    },
  });
  direct = await startStage({ config: "timeouts: {ping: 1s}" });
});

afterAll(async () => {
  await Promise.all([stage.close(), direct.close()]);
  recorder.close();
});

/** The stream must be legal, end with `message_stop`, and hold what the fake said. */
function expectWhole(bytes: Buffer): void {
  const judged = checkStreamGrammar(bytes);
  if (!judged.ok) throw new Error(judged.problem);
  expect(judged.outcome).toBe("stop");
}

describe("a stream", () => {
  it.each([[[1]], [[2, 3]], [[7, 1, 64]], [[100]], [[1000, 1]], [[65_536]]])("cut into pieces of %j bytes comes byte for byte", async (splitBytes) => {
    const reply = await stage.call({ body: streamed, behaviour: { blocks, splitBytes, pings: 2 } });
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(reply.headers["x-litellm-model-id"]).toBeTruthy();
    expect(reply.bytes().equals(recorder.reply(reply.session))).toBe(true);
    expectWhole(reply.bytes());
  });

  it("is asked for without a content coding", async () => {
    const reply = await stage.call({ body: streamed, headers: { "accept-encoding": "gzip, br" } });
    expect(stage.received(reply.session).headers["accept-encoding"]).toBe("identity");
  });

  it.each(["gzip", "br", "zstd", "deflate"] as const)("that comes compressed with %s all the same is decoded", async (encoding) => {
    for (const splitBytes of [undefined, [5]]) {
      const reply = await direct.call({ body: streamed, behaviour: { blocks, encoding, ...(splitBytes === undefined ? {} : { splitBytes }) } });
      expect(reply.headers).not.toHaveProperty("content-encoding");
      expectWhole(reply.bytes());
      const [row] = await direct.rows(reply.session);
      expect(row).toMatchObject({ source: "reported", outcome: "completed" });
    }
  });

  it.each(["gzip", "br", "zstd", "deflate"] as const)("compressed with %s that breaks off gives what had come, then one error", async (encoding) => {
    const reply = await direct.call({ body: streamed, behaviour: { text: "word ".repeat(200), encoding, fault: { at: "before-usage", does: "destroy" } } });
    const judged = checkStreamGrammar(reply.bytes());
    if (!judged.ok) throw new Error(judged.problem);
    expect(judged.outcome).toBe("error");
    expect(judged.text).toBe("word ".repeat(200));
  });

  it("in an unknown content coding is an error, not noise", async () => {
    const reply = await direct.call({ body: streamed, behaviour: { headers: { "content-encoding": "rot13" } } });
    expect(reply.status).toBe(502);
  });

  it("with a length of its own loses it, so that a ping or an error event has room", async () => {
    const text = 'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}\n\n';
    const reply = await direct.call({ body: streamed, behaviour: { page: { contentType: "text/event-stream", text } } });
    expect(reply.headers).not.toHaveProperty("content-length");
    const judged = checkStreamGrammar(reply.bytes());
    expect(judged).toMatchObject({ ok: true, outcome: "error" });
  });

  it("gives its first event at once, while the upstream still waits", async () => {
    const reply = await direct.open({ body: streamed, behaviour: { fault: { at: "first-event", does: "stall" } } });
    await until("the first event", () => reply.text().endsWith("\n\n") && reply.text().startsWith("event: message_start"));
    reply.leave();
  });

  it("gives each event as it comes", async () => {
    const reply = await direct.open({ body: streamed, behaviour: { text: "abcdef", deltaCharacters: 1, writeDelayMs: 20 } });
    const sizes = new Set<number>();
    reply.message.on("data", () => void sizes.add(reply.bytes().length));
    await reply.ended;
    expect(sizes.size).toBeGreaterThan(6);
    expectWhole(reply.bytes());
  });

  it("of half an event is held back until the event is whole", async () => {
    const reply = await direct.open({ body: streamed, behaviour: { text: "x".repeat(400), deltaCharacters: 200, fault: { at: "mid-text", does: "pause", ms: 300 } } });
    const sizes: string[] = [];
    reply.message.on("data", () => void sizes.push(reply.text()));
    expect(await reply.ended).toBe(true);
    for (const text of sizes) expect(text.endsWith("\n\n")).toBe(true);
    expectWhole(reply.bytes());
  });
});

describe("many streams at once", () => {
  it("each get their own answer, and their own row", async () => {
    await Promise.all(
      Array.from({ length: 120 }, async (_, index) => {
        const text = `answer number ${index}, ${"and more ".repeat(index % 7)}`;
        const reply = await direct.call({ body: messagesBody({ stream: index % 3 !== 0 }), behaviour: { text, deltaCharacters: 5, splitBytes: [97], usage: { output_tokens: 1_000 + index } } });
        const judged = checkStreamGrammar(reply.bytes());
        const said = index % 3 === 0 ? reply.json<{ content: { text: string }[] }>().content[0]?.text : judged.ok ? judged.text : judged.problem;
        expect(said).toBe(text);
        expect((await direct.rows(reply.session))[0]).toMatchObject({ output_tokens: 1_000 + index, source: "reported" });
      }),
    );
  });
});

describe("a ping of our own", () => {
  it("comes between events after silence, never inside one", async () => {
    const reply = await direct.call({ body: streamed, behaviour: { text: "x".repeat(100), pings: 0, fault: { at: "mid-text", does: "pause", ms: 2_500 } } });
    expect(reply.text().split(ping).length).toBeGreaterThan(1);
    expectWhole(reply.bytes());
    const [row] = await direct.rows(reply.session);
    expect(row).toMatchObject({ source: "reported" });
  });

  it("never comes before message_start", async () => {
    const reply = await direct.call({ body: streamed, behaviour: { pings: 0, fault: { at: { byte: 40 }, does: "pause", ms: 2_500 } } });
    expect(reply.text().startsWith("event: message_start")).toBe(true);
    expect(reply.text()).not.toContain(ping);
    expectWhole(reply.bytes());
  });

  it("never comes into a plain reply", async () => {
    const reply = await direct.call({ behaviour: { firstByteDelayMs: 2_500 } });
    expect(() => reply.json()).not.toThrow();
    expect(reply.text()).not.toContain("ping");
  });
});

describe("a client that leaves", () => {
  it.each([
    ["before the head", { firstByteDelayMs: 60_000 }, true],
    ["after the first event", { fault: { at: "first-event", does: "stall" } }, true],
    ["in the middle of a text", { text: "word ".repeat(300), writeDelayMs: 20 }, true],
    ["before a plain reply", { firstByteDelayMs: 60_000 }, false],
    ["in the middle of a plain reply", { fault: { at: "mid-text", does: "stall" } }, false],
  ] as const)("%s ends the upstream's work at once and is booked", async (_when, behaviour, stream) => {
    const session = newSession();
    const leave = new AbortController();
    let reply: OpenReply | undefined;
    direct.open({ session, body: messagesBody({ stream }), behaviour, signal: leave.signal }).then((opened) => (reply = opened), () => undefined);
    const request = await until("the request", () => direct.fake.requests.find(({ headers }) => headers["x-claude-code-session-id"] === session));
    const hasStart = stream && !("firstByteDelayMs" in behaviour);
    if (hasStart) await until("some bytes", () => (reply?.bytes().length ?? 0) > 200);
    leave.abort();
    await until("the abort", () => request.isAborted, 2_000);
    const [row] = await direct.rows(session);
    expect(row).toMatchObject({ outcome: "client_closed", source: "estimated" });
    expect(Number(row?.["cost_usd"])).toBeGreaterThan(0);
    if (hasStart) expect(row?.["input_tokens"]).toBe(billedInput(session));
  });

  /** Input tokens on the fake's bill. */
  function billedInput(session: string): number {
    const line = direct.fake.bill().find((entry) => entry.type === "billed" && entry.sessionId === session);
    return line?.type === "billed" ? line.usage.input_tokens : -1;
  }
});

/** Text that no coding makes small. */
function randomText(characters: number): string {
  return randomBytes(characters / 2).toString("hex");
}

describe("a client that reads slowly", () => {
  it.each([undefined, "gzip"] as const)("holds the upstream back, and gets everything in the end (coding: %s)", async (encoding) => {
    const text = randomText(32 * 1024 * 1024);
    direct.fake.script([{ text, deltaCharacters: 100_000, ...(encoding === undefined ? {} : { encoding }) }]);
    const reply = await direct.open({ body: streamed });
    reply.message.pause();
    const request = direct.received(reply.session);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(request.isFinished).toBe(false);
    reply.message.resume();
    expect(await reply.ended).toBe(true);
    expectWhole(reply.bytes());
    const [row] = await direct.rows(reply.session);
    expect(row).toMatchObject({ outcome: "completed", source: "reported" });
  });
});
