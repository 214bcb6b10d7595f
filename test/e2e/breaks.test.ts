/**
 * Guarantee: however an upstream breaks, the client gets one proper error – as a reply before the first event, as one typed
 * event after it, never a silent end – and the attempt is closed in the ledger with the right source.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFaultProxy, type FaultProxy } from "../support/fault-proxy.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { messagesBody, until } from "../support/harness.ts";
import type { Behaviour, Fault, Phase } from "../support/fake-anthropic-types.ts";
import { newSession, startStage, type ErrorBody, type Reply, type Stage } from "./stage.ts";

const streamed = messagesBody({ stream: true });
const blocks = [
  { type: "text", text: "Some words for the middle. ".repeat(8) },
  { type: "tool_use", name: "Bash", input: { command: "echo hello", description: "says hello" } },
] as const;
const phases: readonly Phase[] = ["connect", "headers", "first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage", "end"];

let stage: Stage;
let proxied: Stage;
let proxy: FaultProxy;

beforeAll(async () => {
  stage = await startStage({ config: "timeouts: {first_byte_stream: 300ms, first_byte_plain: 300ms, idle: 300ms}" });
  proxied = await startStage({
    config: "timeouts: {first_byte_stream: 300ms, idle: 300ms}",
    through: async (targetPort) => {
      proxy = await startFaultProxy({ targetPort });
      return proxy.url;
    },
  });
});

afterAll(async () => {
  await Promise.all([stage.close(), proxied.close()]);
  await proxy.close();
});

/** A whole legal stream or an error reply; never anything between. */
function judge(reply: Reply): "stop" | "error-event" | "error-reply" {
  expect(reply.isComplete).toBe(true);
  if (reply.status !== 200) {
    expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "api_error" } });
    expect([502, 504]).toContain(reply.status);
    expect(reply.headers["x-tollgate-request-id"]).toBeTruthy();
    return "error-reply";
  }
  const judged = checkStreamGrammar(reply.bytes());
  if (!judged.ok) throw new Error(`${judged.problem}\n${reply.text().slice(-400)}`);
  if (judged.outcome === "error") expect(judged.events.filter(({ event }) => event === "error")).toHaveLength(1);
  return judged.outcome === "stop" ? "stop" : "error-event";
}

/** A connection that broke before a reply's head may have broken before the request was read; in all else the input at least is owed. */
function doubtOf(row: Record<string, unknown> | undefined): Record<string, unknown> {
  return row?.["status"] === 0 && row["outcome"] === "broken" ? { source: "unresolved", cost_usd: "0.00" } : { source: "estimated" };
}

describe("an upstream stream that breaks", () => {
  const cases = phases.flatMap((at) => (["destroy", "reset", "end", "stall"] as const).map((does): [Phase, Fault["does"]] => [at, does]));

  it.each(cases)("at %s by %s ends in exactly one error", async (at, does) => {
    const reply = await stage.call({ body: streamed, behaviour: { blocks, pings: 0, fault: { at, does } } });
    const verdict = judge(reply);
    const [row] = await stage.rows(reply.session);
    // Everything incl. message_stop had come; only the framing of the reply was cut.
    if (at === "end" && does === "end") expect(verdict).toBe("stop");
    else if (at === "connect" || at === "headers") {
      expect(verdict).toBe("error-reply");
      expect(reply.status).toBe(does === "stall" ? 504 : 502);
      expect(row).toMatchObject(doubtOf(row));
      return;
    }
    if (at === "end") {
      expect(row).toMatchObject({ source: "reported" });
      return;
    }
    expect(verdict).toBe("error-event");
    expect(row).toMatchObject({ source: at === "after-usage" ? "reported" : "estimated", outcome: does === "stall" ? "timed_out" : "broken", status: 200 });
    const line = stage.fake.bill().find((entry) => entry.type === "billed" && entry.sessionId === reply.session);
    if (line?.type !== "billed") throw new Error("not billed");
    expect(row?.["input_tokens"]).toBe(line.usage.input_tokens);
    if (at === "after-usage") expect(row?.["output_tokens"]).toBe(line.usage.output_tokens);
    else expect(Number(row?.["output_tokens"])).toBeLessThanOrEqual(line.usage.output_tokens + 4);
  });

  it.each(phases.slice(2, 7))("with an error event of its own at %s hands that on, and no second one", async (at) => {
    const reply = await stage.call({ body: streamed, behaviour: { blocks, message: "Overloaded upstream", fault: { at, does: "error-event" } } });
    expect(judge(reply)).toBe("error-event");
    expect(reply.text()).toContain('"overloaded_error"');
    expect(reply.text()).toContain("Overloaded upstream");
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ outcome: "upstream_error", source: at === "after-usage" ? "reported" : "estimated" });
  });

  it("without message_stop ends in an error event", async () => {
    const reply = await stage.call({ body: streamed, behaviour: { blocks, isWithoutStop: true } });
    expect(judge(reply)).toBe("error-event");
    expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "reported", outcome: "broken" });
  });

  it("between any two bytes never ends in silence", async () => {
    const whole = await stage.call({ body: streamed, behaviour: { text: "a few words", pings: 0 } });
    const length = whole.bytes().length;
    const cuts = Array.from({ length: 24 }, (_, index) => Math.floor((index * length) / 24));
    await Promise.all(
      cuts.map(async (byte, index) => {
        const reply = await stage.call({ body: streamed, behaviour: { text: "a few words", pings: 0, fault: { at: { byte }, does: index % 2 === 0 ? "destroy" : "end" } } });
        expect(judge(reply)).not.toBe("stop");
        await stage.rows(reply.session);
      }),
    );
  });
});

describe("an event too large to be held back", () => {
  it("that breaks off ends in a broken connection, not in a torn event with another behind it", async () => {
    const start = 'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}\n\n';
    const reply = await stage.call({ body: streamed, behaviour: { textBytes: 3_000_000, deltaCharacters: 3_000_000, pings: 0, fault: { at: { byte: start.length + 2_000_000 }, does: "destroy" } } });
    expect(reply.status).toBe(200);
    expect(reply.isComplete).toBe(false);
    expect((await stage.rows(reply.session))[0]).toMatchObject({ outcome: "broken", source: "estimated" });
  });

  it("and comes whole is passed on unchanged", async () => {
    const reply = await stage.call({ body: streamed, behaviour: { textBytes: 3_000_000, deltaCharacters: 3_000_000 } });
    expect(judge(reply)).toBe("stop");
    expect((await stage.rows(reply.session))[0]).toMatchObject({ outcome: "completed", source: "reported" });
  });
});

describe("a connection that is cut on the way", () => {
  it.each([0, 1, 100, 900, 1_400, 1_700, 2_100, 2_600])("after %i bytes of the reply ends in one error", async (byte) => {
    for (const does of ["cutAtByte", "resetAtByte", "stallAtByte"] as const) {
      proxy.setFaults(() => ({ toClient: { [does]: byte } }));
      proxy.resetAll();
      await until("the pool to notice", () => proxy.open() === 0);
      const session = newSession();
      const reply = await proxied.call({ session, body: streamed, behaviour: { blocks, pings: 0 } });
      expect(judge(reply)).not.toBe("stop");
      const [row] = await proxied.rows(session);
      expect(row).toMatchObject(doubtOf(row));
    }
  });

  it("with bytes re-split anywhere comes whole", async () => {
    for (const splitBytes of [[1], [3, 1, 7], [50, 2]]) {
      proxy.setFaults(() => ({ toClient: { splitBytes }, toTarget: { splitBytes: [11] } }));
      proxy.resetAll();
      await until("the pool to notice", () => proxy.open() === 0);
      expect(judge(await proxied.call({ body: streamed, behaviour: { blocks } }))).toBe("stop");
    }
  });

  it("before the request has left costs nothing", async () => {
    proxy.setFaults(() => ({}));
    await proxy.stopListening();
    proxy.resetAll();
    await until("the pool to notice", () => proxy.open() === 0);
    const reply = await proxied.call({ body: streamed });
    expect(reply.status).toBe(502);
    const [row] = await proxied.rows(reply.session);
    expect(row).toMatchObject({ source: "none", outcome: "unreachable", cost_usd: "0.00", status: 0 });
  });
});

describe("a plain reply that breaks", () => {
  const cases: readonly [string, Behaviour][] = [
    ["at once", { fault: { at: "connect", does: "destroy" } }],
    ["after its head", { fault: { at: "headers", does: "reset" } }],
    ["in its middle", { fault: { at: "mid-text", does: "destroy" } }],
    ["before its last byte", { fault: { at: "before-usage", does: "reset" } }],
    ["by a length that is too long", { contentLengthError: 10 }],
    ["by a stall before its head", { fault: { at: "connect", does: "stall" } }],
    ["by a stall in its middle", { fault: { at: "mid-text", does: "stall" } }],
    ["by words that are not HTTP", { raw: "SSH-2.0-OpenSSH_9.2\r\n\r\n" }],
  ];

  it.each(cases)("%s is a proper error and booked", async (_how, behaviour) => {
    const reply = await stage.call({ behaviour });
    expect(judge(reply)).toBe("error-reply");
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject(doubtOf(row));
    expect(reply.headers).not.toHaveProperty("x-litellm-response-cost");
  });

  it.each(["html", "empty"] as const)("as a 200 that is %s is no success", async (page) => {
    for (const stream of [true, false]) {
      const reply = await stage.call({ body: messagesBody({ stream }), behaviour: { page } });
      expect(judge(reply)).toBe("error-reply");
      expect(reply.status).toBe(502);
      // Nobody knows what stood behind it, so it is not free.
      expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "estimated" });
    }
  });

  it("as a success of another status, with a page, is no success", async () => {
    const reply = await stage.call({ behaviour: { raw: "HTTP/1.1 203 Non-Authoritative\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<a/>" } });
    expect(reply.status).toBe(502);
  });

  it("as an empty event stream is no success", async () => {
    const reply = await stage.call({ body: streamed, behaviour: { page: { contentType: "text/event-stream", text: "" } } });
    expect(reply.status).toBe(502);
  });

  it("as a redirect is not followed and not handed on", async () => {
    const reply = await stage.call({ behaviour: { status: 307, headers: { location: `${stage.fake.url}/v1/messages` } } });
    expect(reply.status).toBe(502);
    expect(reply.headers).not.toHaveProperty("location");
  });
});

describe("a request that takes too long in all", () => {
  it("ends in one error event", async () => {
    const own = await startStage({ config: "timeouts: {total: 1s}" });
    const reply = await own.call({ body: streamed, behaviour: { text: "word ".repeat(200), writeDelayMs: 50 } });
    expect(judge(reply)).toBe("error-event");
    const plain = await own.call({ behaviour: { firstByteDelayMs: 60_000 } });
    expect(plain.status).toBe(504);
    expect((await own.rows(reply.session))[0]).toMatchObject({ outcome: "timed_out", source: "estimated" });
    expect((await own.rows(plain.session))[0]).toMatchObject({ outcome: "timed_out", source: "estimated" });
    await own.close();
  });
});
