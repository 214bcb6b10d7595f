/**
 * Guarantee: an upstream may answer before it has read the whole request, and still gets every byte of it: the memory of a
 * large body is given back only after its last byte has left.
 */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { messagesBody, post, startHarness, type Harness } from "../support/harness.ts";

const bodies = 4;
let upstream: Server;
let harness: Harness;
const hashes: string[] = [];

function sha(bytes: string | Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function frame(data: Record<string, unknown>): string {
  return `event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`;
}

beforeAll(async () => {
  upstream = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const message = { id: "msg_1", type: "message", role: "assistant", model: "claude-opus-4-8", content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 5, output_tokens: 1 } };
    response.write(frame({ type: "message_start", message }));
    const hash = createHash("sha256");
    // Reading begins only now, and in small steps, so that most of the body is still on its way at the commit.
    setImmediate(() => request.on("data", (bytes: Buffer) => {
      hash.update(bytes);
      request.pause();
      setImmediate(() => request.resume());
    }));
    request.on("end", () => {
      hashes.push(hash.digest("hex"));
      response.write(frame({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 2 } }));
      response.end(frame({ type: "message_stop" }));
    });
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  harness = await startHarness({ upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` });
});

afterAll(async () => {
  await harness.close();
  upstream.close();
});

it("an answer that comes before the request was read leaves the request whole", async () => {
  const key = await harness.key();
  const sent = Array.from({ length: bodies }, () =>
    messagesBody({ stream: true, messages: [{ role: "user", content: randomBytes(6_000_000).toString("base64") }] }),
  );
  const texts = await Promise.all(sent.map(async (body) => (await post(harness.url, key, body)).text()));
  for (const text of texts) expect(text).toContain("message_stop");
  expect(hashes.toSorted()).toEqual(sent.map(sha).toSorted());
});
