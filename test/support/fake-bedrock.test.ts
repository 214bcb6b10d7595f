// Guarantee: the fakes of Bedrock and Mantle refuse what a gateway could get wrong about these places, in AWS's words; their frames are
// the ones that AWS's own codec reads; they bill what they answer.
import { EventStreamCodec } from "@smithy/core/event-streams";
import { afterEach, describe, expect, it } from "vitest";
import { startFakeBedrock, startFakeMantle, type FakeBedrock, type FakeBedrockOptions } from "./fake-bedrock.ts";
import type { FakePlace } from "./fake-place.ts";

let fake: FakeBedrock | FakePlace;
afterEach(() => fake.close());

const ordinary = { anthropic_version: "bedrock-2023-05-31", max_tokens: 16, messages: [{ role: "user", content: "Hi" }] };
const model = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

interface Sending {
  readonly path?: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

async function post({ path = `/model/${model}/invoke`, body = ordinary, headers = { authorization: "Bearer t" } }: Sending = {}): Promise<{ readonly status: number; readonly type: string | null; readonly text: string; readonly bytes: Buffer }> {
  const reply = await fetch(`${fake.url}${path}`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const bytes = Buffer.from(await reply.arrayBuffer());
  return { status: reply.status, type: reply.headers.get("x-amzn-errortype")?.split(":")[0] ?? null, text: bytes.toString(), bytes };
}

const countOf = (inner: object): object => ({ input: { invokeModel: { body: Buffer.from(JSON.stringify(inner)).toString("base64") } } });
const tool = { name: "Bash", input_schema: { type: "object" } };

describe("Bedrock refuses", () => {
  it.each<[string, Sending, FakeBedrockOptions, number, string, string]>([
    ["a path that is none", { path: "/v1/messages" }, {}, 404, "UnknownOperationException", ""],
    ["an escaped colon", { path: `/model/${model.replace(":", "%3A")}/invoke` }, {}, 400, "ValidationException", "identifier is invalid"],
    ["a profile of another place", { path: `/model/${model.replace("us.", "eu.")}/invoke` }, {}, 400, "ValidationException", "identifier is invalid"],
    ["a foundation model on demand", { path: `/model/${model.slice(3)}/invoke` }, {}, 400, "ValidationException", "on-demand throughput"],
    ["an unknown ARN", { path: "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fx/invoke" }, {}, 404, "ResourceNotFoundException", "Could not find"],
    ["no login", { headers: {} }, {}, 403, "MissingAuthenticationTokenException", "Missing"],
    ["a wrong API key", {}, { bearer: "right" }, 403, "AccessDeniedException", "API Key"],
    ["a made-up signature", { headers: { authorization: "AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0" } }, { keys: {} }, 403, "InvalidSignatureException", ""],
    ["no version", { body: { ...ordinary, anthropic_version: undefined } }, {}, 400, "ValidationException", "anthropic_version"],
    ["a model in the body", { body: { ...ordinary, model: "x" } }, {}, 400, "ValidationException", "model: Extra inputs"],
    ["a stream flag", { body: { ...ordinary, stream: true } }, {}, 400, "ValidationException", "stream: Extra inputs"],
    ["an unknown beta in the body", { body: { ...ordinary, anthropic_beta: ["effort-2025-11-24", "skills-2025-10-02"] } }, {}, 400, "ValidationException", "invalid beta flag"],
    ["an unknown beta in the header", { headers: { authorization: "Bearer t", "anthropic-beta": "skills-2025-10-02" } }, {}, 400, "ValidationException", "invalid beta flag"],
    ["a field without its beta", { body: { ...ordinary, context_management: {} } }, {}, 400, "ValidationException", "context_management: Extra inputs"],
    ["an effort on a message without its beta", { body: { ...ordinary, messages: [{ role: "user", content: "Hi" }, { role: "system", content: "x", output_config: { effort: "low" } }] } }, {}, 400, "ValidationException", "messages.1.output_config"],
    ["an eager tool", { body: { ...ordinary, tools: [{ ...tool, eager_input_streaming: true }] } }, {}, 400, "ValidationException", "eager_input_streaming"],
    ["a deferred tool without its beta", { body: { ...ordinary, tools: [{ ...tool, defer_loading: true }] } }, {}, 400, "ValidationException", "defer_loading"],
    ["a count without max_tokens", { path: `/model/${model.slice(3)}/count-tokens`, body: countOf({ ...ordinary, max_tokens: undefined }) }, {}, 400, "ValidationException", "max_tokens"],
    ["a count by a profile", { path: `/model/${model}/count-tokens`, body: countOf(ordinary) }, {}, 400, "ValidationException", "identifier is invalid"],
    ["a count of what is no base64", { path: `/model/${model.slice(3)}/count-tokens`, body: { input: { invokeModel: { body: "{}" } } } }, {}, 400, "ValidationException", "base64"],
    ["a count with an empty list of tools", { path: `/model/${model.slice(3)}/count-tokens`, body: countOf({ ...ordinary, tools: [] }) }, {}, 400, "ValidationException", "tools"],
    ["a count of a model that it does not count", { path: `/model/${model.slice(3)}/count-tokens`, body: countOf(ordinary) }, { uncountable: /haiku/ }, 400, "ValidationException", "doesn't support counting"],
  ])("%s", async (_name, sending, options, status, type, words) => {
    fake = await startFakeBedrock(options);
    const reply = await post(sending);
    expect([reply.status, reply.type]).toEqual([status, type]);
    expect(reply.text).toContain(words);
    expect([fake.rejections.length, fake.bill().length]).toEqual([1, 0]);
  });
});

describe("Bedrock answers", () => {
  it("a plain request, a count, and a stream in frames that AWS's codec reads", async () => {
    fake = await startFakeBedrock();
    expect(JSON.parse((await post()).text)).toMatchObject({ type: "message", model: "claude-haiku-4-5-20251001" });
    expect(JSON.parse((await post({ path: `/model/${model.slice(3)}/count-tokens`, body: countOf(ordinary) })).text)).toEqual({ inputTokens: expect.any(Number) as unknown });
    const { bytes } = await post({ path: `/model/${model}/invoke-with-response-stream` });
    const codec = new EventStreamCodec((part) => (typeof part === "string" ? part : Buffer.from(part).toString()), (text) => Buffer.from(text));
    const types: unknown[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
      const { headers, body } = codec.decode(bytes.subarray(at, at + bytes.readUInt32BE(at)));
      expect(headers[":message-type"]).toEqual({ type: "string", value: "event" });
      const { bytes: inner } = JSON.parse(Buffer.from(body).toString()) as { bytes: string };
      types.push((JSON.parse(Buffer.from(inner, "base64").toString()) as { type: unknown }).type);
    }
    expect([types[0], types.at(-1), types.includes("ping")]).toEqual(["message_start", "message_stop", false]);
    expect([fake.bill().length, fake.rejections, fake.violations]).toEqual([2, [], []]);
  });

  it("an error in AWS's words, or an exception frame, when a test wants it", async () => {
    const bedrock = await startFakeBedrock();
    fake = bedrock;
    bedrock.behave(() => ({ front: { status: 429, body: { message: "slow down" } }, headers: { "x-amzn-errortype": "ThrottlingException" } }));
    expect(await post()).toMatchObject({ status: 429, type: "ThrottlingException", text: '{"message":"slow down"}' });
    bedrock.behave(() => ({ exception: { type: "modelStreamErrorException", message: "oh", at: "mid-text" } }));
    const { text } = await post({ path: `/model/${model}/invoke-with-response-stream` });
    expect(text).toContain("modelStreamErrorException");
    expect(text).not.toContain("message_stop");
  });
});

describe("Mantle", () => {
  it.each<[string, Sending, number]>([
    ["takes the Messages API", {}, 200],
    ["wants its path", { path: "/v1/messages" }, 404],
    ["wants its names", { body: { model: "claude-opus-5", max_tokens: 5, messages: ordinary.messages } }, 404],
    ["wants no tags", { body: { model: "anthropic.claude-opus-5", max_tokens: 5, messages: ordinary.messages, tags: [] } }, 400],
    ["wants a login", { headers: { "anthropic-version": "2023-06-01" } }, 403],
  ])("%s", async (_name, sending, status) => {
    fake = await startFakeMantle();
    const reply = await post({ path: "/anthropic/v1/messages", body: { model: "anthropic.claude-opus-5", max_tokens: 5, messages: ordinary.messages }, headers: { authorization: "Bearer t", "anthropic-version": "2023-06-01" }, ...sending });
    expect(reply.status).toBe(status);
  });
});
