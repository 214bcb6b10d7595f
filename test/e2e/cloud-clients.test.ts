/**
 * Guarantee: a client that speaks Bedrock's or Vertex's form is served by an Anthropic upstream as if it spoke Messages: same
 * rights, same ledger, its own framing and error shape back, and an upstream that sees a proper Messages request.
 */
import { EventStreamCodec } from "@smithy/core/event-streams";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createFrameReader } from "../../src/wire/event-stream.ts";
import { until } from "../support/harness.ts";
import { startStage, type Reply, type Stage } from "./stage.ts";

const bedrockModel = "us.anthropic.claude-opus-4-8";
const bedrockBody = { anthropic_version: "bedrock-2023-05-31", max_tokens: 64, messages: [{ role: "user", content: "Hello" }] };
const vertexBody = { anthropic_version: "vertex-2023-10-16", max_tokens: 64, messages: [{ role: "user", content: "Hello" }] };
const vertexPath = "/projects/their-project/locations/europe-west1/publishers/anthropic/models";

let stage: Stage;
beforeAll(async () => void (stage = await startStage({ config: "timeouts: {ping: 300ms}" })));
afterAll(() => stage.close());

/** Events in a Bedrock stream, read by AWS's own codec. */
function eventsOf(reply: Reply): { readonly events: readonly Record<string, unknown>[]; readonly exceptions: readonly string[] } {
  const codec = new EventStreamCodec((bytes) => Buffer.from(bytes as Uint8Array).toString("utf8"), (text) => Buffer.from(text));
  const events: Record<string, unknown>[] = [];
  const exceptions: string[] = [];
  const bytes = reply.bytes();
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    const { headers, body } = codec.decode(bytes.subarray(at, at + length));
    at += length;
    if (headers[":message-type"]?.value === "exception") exceptions.push(String(headers[":exception-type"]?.value));
    else events.push(JSON.parse(Buffer.from((JSON.parse(Buffer.from(body).toString()) as { bytes: string }).bytes, "base64").toString()) as Record<string, unknown>);
  }
  return { events, exceptions };
}

function bedrock(action: string, body: unknown, options: Parameters<Stage["call"]>[0] = {}): Promise<Reply> {
  return stage.call({ path: `/bedrock/model/${bedrockModel}/${action}`, body: JSON.stringify(body), ...options });
}

describe("a Bedrock client", () => {
  it("gets its stream in intact frames, and its request reaches the upstream as a Messages request", async () => {
    const reply = await bedrock("invoke-with-response-stream", { ...bedrockBody, anthropic_beta: ["interleaved-thinking-2025-05-14"] });
    expect(reply.status).toBe(200);
    expect(reply.headers["content-type"]).toBe("application/vnd.amazon.eventstream");
    expect(reply.headers["x-amzn-requestid"]).toBeDefined();
    const { events, exceptions } = eventsOf(reply);
    expect(exceptions).toEqual([]);
    expect([events[0]?.["type"], events.at(-1)?.["type"]]).toEqual(["message_start", "message_stop"]);
    const { headers, body } = stage.received(reply.session);
    expect(headers["anthropic-beta"]).toContain("interleaved-thinking-2025-05-14");
    expect(JSON.parse(body.toString())).toEqual({ model: "claude-opus-4-8", stream: true, max_tokens: 64, messages: bedrockBody.messages });
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ source: "reported", requested_model: bedrockModel, upstream_model: "claude-opus-4-8", outcome: "completed" });
    expect(Number(row?.["cost_usd"])).toBeGreaterThan(0);
  });

  it("gets a plain reply as it is", async () => {
    const reply = await bedrock("invoke", bedrockBody);
    expect(reply.status).toBe(200);
    expect(reply.json<{ type: string }>().type).toBe("message");
    expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "reported", is_streaming: false });
  });

  it("has its tokens counted in its own words", async () => {
    const inner = Buffer.from(JSON.stringify({ ...bedrockBody, tools: [] })).toString("base64");
    const reply = await bedrock("count-tokens", { input: { invokeModel: { body: inner } } });
    expect(reply.status, reply.text()).toBe(200);
    expect(reply.json<{ inputTokens: number }>().inputTokens).toBeGreaterThan(0);
    const wrong = await bedrock("count-tokens", { input: { converse: {} } });
    expect(wrong.status).toBe(400);
    expect(wrong.headers["x-amzn-errortype"]).toBe("ValidationException");
    expect(wrong.json<{ message: string }>().message).toContain("input.invokeModel.body");
  });

  it("is pinged in silence by a frame, and told a break by exactly one exception frame", async () => {
    const reply = await bedrock("invoke-with-response-stream", bedrockBody, { behaviour: { text: "word ".repeat(40), writeDelayMs: 30, fault: { at: "before-usage", does: "destroy" } } });
    const { events, exceptions } = eventsOf(reply);
    expect(exceptions).toEqual(["modelStreamErrorException"]);
    expect(events[0]?.["type"]).toBe("message_start");
    const silent = await bedrock("invoke-with-response-stream", bedrockBody, { behaviour: { fault: { at: "mid-text", does: "stall" } }, signal: AbortSignal.timeout(1_500) });
    expect(eventsOf(silent).events.some(({ type }) => type === "ping")).toBe(true);
    await until("the row", async () => (await stage.rowsNow(silent.session))[0]);
  });

  it("meets refusals in AWS's shape: no key, a signature in place of a key, a model it may not use, an upstream error", async () => {
    const none = await bedrock("invoke", bedrockBody, { headers: { "x-api-key": null } });
    expect([none.status, none.headers["x-should-retry"], none.headers["x-amzn-errortype"]]).toEqual([401, "false", "UnrecognizedClientException"]);
    const signed = await bedrock("invoke", bedrockBody, { headers: { "x-api-key": null, authorization: "AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00" } });
    expect(signed.status).toBe(401);
    expect(signed.json<{ message: string }>().message).toContain("CLAUDE_CODE_SKIP_BEDROCK_AUTH=1");
    const unknown = await stage.call({ path: "/bedrock/model/meta.llama3-70b-instruct-v1:0/invoke", body: JSON.stringify(bedrockBody) });
    expect([unknown.status, unknown.headers["x-amzn-errortype"]]).toEqual([404, "ResourceNotFoundException"]);
    const busy = await bedrock("invoke", bedrockBody, { behaviour: { status: 529 } });
    expect(busy.status).toBe(529);
  });

  it("may name a model by an ARN whose slash is escaped", async () => {
    const arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile%2Fus.anthropic.claude-sonnet-4-5-20250929-v1:0";
    const reply = await stage.call({ path: `/bedrock/model/${arn}/invoke`, body: JSON.stringify(bedrockBody) });
    expect(reply.status, reply.text()).toBe(200);
    expect((await stage.rows(reply.session))[0]).toMatchObject({ upstream_model: "claude-sonnet-4-5-20250929" });
  });

  it("lists inference profiles, and tells each, without a key, since the client asks so", async () => {
    const reply = await stage.call({ method: "GET", path: "/bedrock/inference-profiles?type=SYSTEM_DEFINED", body: null, headers: { "x-api-key": null } });
    expect(reply.status).toBe(200);
    expect(reply.json<{ inferenceProfileSummaries: { inferenceProfileId: string }[] }>().inferenceProfileSummaries.length).toBeGreaterThan(0);
    const about = (identifier: string): Promise<Reply> => stage.call({ method: "GET", path: `/bedrock/inference-profiles/${identifier}`, body: null, headers: { "x-api-key": null } });
    for (const { inferenceProfileId: id, inferenceProfileArn: arn } of reply.json<{ inferenceProfileSummaries: { inferenceProfileId: string; inferenceProfileArn: string }[] }>().inferenceProfileSummaries) {
      for (const identifier of [id, encodeURIComponent(arn), arn.replace("::", ":123456789012:").replace("/", "%2F")]) {
        expect((await about(identifier)).json()).toMatchObject({ inferenceProfileId: id, inferenceProfileArn: arn, status: "ACTIVE", type: "SYSTEM_DEFINED" });
      }
    }
    for (const other of ["arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc", "us.meta.llama3", "..%2Fmodels"]) expect((await about(other)).status).toBe(404);
  });
});

describe("a Vertex client", () => {
  it.each(["/vertex_ai/v1", "/vertex_ai", "/vertex-ai/v1", "/vertex-ai"])("streams below %s, and its request reaches the upstream as a Messages request", async (base) => {
    const reply = await stage.call({ path: `${base}${vertexPath}/claude-sonnet-4-5@20250929:streamRawPredict`, body: JSON.stringify({ ...vertexBody, stream: true }), headers: { "anthropic-beta": "interleaved-thinking-2025-05-14" } });
    expect(reply.status, reply.text()).toBe(200);
    expect(reply.headers["content-type"]).toContain("text/event-stream");
    expect(reply.text()).toContain("message_stop");
    const received = stage.received(reply.session);
    expect(JSON.parse(received.body.toString())).toEqual({ model: "claude-sonnet-4-5-20250929", stream: true, max_tokens: 64, messages: vertexBody.messages });
    expect(received.headers["anthropic-beta"]).toBe("interleaved-thinking-2025-05-14");
    expect((await stage.rows(reply.session))[0]).toMatchObject({ source: "reported", is_streaming: true });
  });

  it("gets plain replies, and counts whose model stands in the body", async () => {
    const plain = await stage.call({ path: `/vertex_ai/v1${vertexPath}/claude-opus-4-8:rawPredict`, body: JSON.stringify(vertexBody) });
    expect([plain.status, plain.json<{ type: string }>().type]).toEqual([200, "message"]);
    const count = await stage.call({ path: `/vertex_ai/v1${vertexPath}/count-tokens:rawPredict`, body: JSON.stringify({ model: "claude-opus-4-8", messages: vertexBody.messages }) });
    expect(count.status, count.text()).toBe(200);
    expect(count.json<{ input_tokens: number }>().input_tokens).toBeGreaterThan(0);
  });

  it("is told which calls there are, and which names a path may hold", async () => {
    for (const path of [`${vertexPath}/claude-opus-4-8:generateContent`, "/projects/a%20b/locations/x/publishers/anthropic/models/claude-opus-4-8:rawPredict", `${vertexPath}/claude-opus-4-8`]) {
      const reply = await stage.call({ path: `/vertex_ai/v1${path}`, body: JSON.stringify(vertexBody) });
      expect([reply.status, reply.json<{ error: { type: string } }>().error.type]).toEqual([404, "not_found_error"]);
    }
  });
});

it("a cloud's dated id is served by an entry whose name has no date, with that entry's rights", async () => {
  const own = await startStage({ models: "models: [{name: claude-sonnet-4-5, provider: anthropic}, {name: claude-haiku-4-5, provider: anthropic}]" });
  const narrow = await own.harness.key({ models: ["claude-haiku-4-5"] });
  own.forbid(narrow);
  const paths = [`/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke`, `/vertex_ai/v1${vertexPath}/claude-sonnet-4-5@20250929:rawPredict`];
  for (const [index, path] of paths.entries()) {
    const call = { path, body: JSON.stringify(index === 0 ? bedrockBody : vertexBody) };
    const reply = await own.call(call);
    expect(reply.status, reply.text()).toBe(200);
    expect((await own.rows(reply.session))[0]).toMatchObject({ upstream_model: "claude-sonnet-4-5" });
    expect((await own.call({ ...call, headers: { "x-api-key": narrow } })).status).toBe(404);
  }
  await own.close();
});

describe("Messages clients of other clouds' base URLs", () => {
  it.each(["/foundry", "/anthropic-aws", "/mantle"])("are served below %s", async (base) => {
    const reply = await stage.call({ path: `${base}/v1/messages?beta=true` });
    expect(reply.status).toBe(200);
  });

  it("may say a cloud's own name, which Claude Code does in Mantle mode; rights follow what it means here", async () => {
    const body = JSON.stringify({ model: "anthropic.claude-opus-4-8", max_tokens: 64, messages: [{ role: "user", content: "Hello" }] });
    const reply = await stage.call({ path: "/mantle/v1/messages?beta=true", body });
    expect(reply.status, reply.text()).toBe(200);
    expect((await stage.rows(reply.session))[0]).toMatchObject({ requested_model: "anthropic.claude-opus-4-8", upstream_model: "claude-opus-4-8" });
    const elsewhere = await stage.call({ path: "/v1/messages", body });
    expect(elsewhere.status, elsewhere.text()).toBe(200);
    expect((await stage.rows(elsewhere.session))[0]).toMatchObject({ requested_model: "anthropic.claude-opus-4-8", upstream_model: "claude-opus-4-8" });
    const unserved = await stage.call({ path: "/v1/messages", body: body.replace("anthropic.claude-opus-4-8", "amazon.nova-pro-v1:0") });
    expect([unserved.status, unserved.text()]).toEqual([404, expect.stringContaining("not available to this key")]);
  });
});

it("frames reach a Bedrock client whole at any pace of the upstream", async () => {
  const reply = await bedrock("invoke-with-response-stream", bedrockBody, { behaviour: { splitBytes: [3, 1, 7], text: "größe 測量 ".repeat(20) } });
  const reader = createFrameReader();
  expect(reader.push(reply.bytes()).length).toBeGreaterThan(5);
  expect(reader.isAtBorder()).toBe(true);
});
