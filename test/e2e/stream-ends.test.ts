/**
 * Guarantee: a stream ends once. What an upstream sends behind `message_stop` passes and is no fault, usage is found in every
 * form that the event stream's format allows, and the time that is shown as ours holds neither the client's nor the upstream's.
 */
import { createServer, request as httpRequest, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { messagesBody, post, startHarness, until, type Harness } from "../support/harness.ts";

let upstream: Server;
let harness: Harness;
let answer: (response: ServerResponse) => Promise<void>;

const start = 'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}\n\n';
const delta = 'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":777}}\n\n';
const stop = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeAll(async () => {
  upstream = createServer((request, response) => {
    request.resume();
    request.on("end", () => void answer(response));
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  harness = await startHarness({ upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, config: "timeouts: {ping: 50ms}" });
});

afterAll(async () => {
  await harness.close();
  upstream.close();
});

async function streamOf(pieces: readonly string[], gapMs: number): Promise<{ text: string; row: Record<string, unknown> | undefined }> {
  answer = async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const piece of pieces) {
      response.write(piece);
      await pause(gapMs);
    }
    response.end();
  };
  const key = await harness.key();
  const text = await (await post(harness.url, key, messagesBody({ stream: true }))).text();
  const row = await until("the row", async () => (await harness.rows()).find((found) => found["closed_at"] !== null && found["outcome"] !== "" && found["input_tokens"] !== undefined));
  return { text, row };
}

it.each([
  ["a comment", ": bye\n\n"],
  ["a ping", 'event: ping\ndata: {"type":"ping"}\n\n'],
  ["seven pings in one read", 'event: ping\ndata: {"type":"ping"}\n\n'.repeat(7)],
])("%s behind the end is passed on, and nothing of ours follows", async (_what, tail) => {
  const { text, row } = await streamOf([start, delta, stop, tail], 120);
  expect(text.split("message_stop").length - 1).toBe(2);
  expect(text.endsWith(tail)).toBe(true);
  expect(text).not.toContain("event: error");
  expect(text.slice(text.indexOf(stop) + stop.length)).toBe(tail);
  expect(row).toMatchObject({ outcome: "completed", source: "reported", output_tokens: 777 });
});

it.each([
  ["data in several lines", delta.replace(',"usage":', ',\ndata: "usage":')],
  ["carriage returns", delta.replaceAll("\n", "\r")],
  ["both line ends", delta.replaceAll("\n", "\r\n")],
])("usage in %s is found", async (_what, odd) => {
  const { row } = await streamOf([start, odd, stop], 20);
  expect(row).toMatchObject({ source: "reported", output_tokens: 777 });
});

it("a cut behind a delta without a reason to stop is no final report", async () => {
  const early = delta.replace('"end_turn"', "null");
  const { text, row } = await streamOf([start, early], 20);
  expect(text).toContain("event: error");
  expect(row).toMatchObject({ source: "estimated", outcome: "broken" });
});

it("the overhead shown holds our own time only", async () => {
  const plain = JSON.stringify({ id: "m", type: "message", role: "assistant", model: "claude-opus-4-8", content: [], stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: 5, output_tokens: 1 } });
  answer = async (response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": plain.length });
    response.write(plain.slice(0, 10));
    await pause(400);
    response.end(plain.slice(10));
  };
  const key = await harness.key();
  const body = messagesBody();
  const overheadMs = await new Promise<number>((resolve, reject) => {
    const request = httpRequest(`${harness.url}/v1/messages`, { method: "POST", headers: { "x-api-key": key, "content-type": "application/json", "content-length": body.length } }, (reply) => {
      reply.resume();
      reply.on("end", () => resolve(Number(reply.headers["x-tollgate-overhead-ms"])));
    });
    request.on("error", reject);
    request.write(body.slice(0, 20));
    setTimeout(() => request.end(body.slice(20)), 400);
  });
  expect(overheadMs).toBeGreaterThan(0);
  expect(overheadMs).toBeLessThan(200);
});
