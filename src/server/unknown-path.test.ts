// Guarantee: whoever repeats a part of the base URL is told which part and where it is set, in the error shape of the client that
// uses this prefix; a path that merely looks alike gets no such hint.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startHarness, type Harness } from "../../test/support/harness.ts";

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ upstreamUrl: "http://127.0.0.1:9" });
});
afterAll(() => harness.close());

interface Refusal {
  readonly type?: string;
  readonly message?: string;
  readonly error: { readonly type: string; readonly message: string; readonly code?: string };
}

async function refusalOf(path: string): Promise<{ reply: Response; body: Refusal }> {
  // No header tells the client apart: the path alone has to.
  const reply = await fetch(`${harness.url}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  return { reply, body: (await reply.json()) as Refusal };
}

const vertexCall = "projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-4-8:rawPredict";

describe("a doubled part of the path", () => {
  it.each([
    ["/v1/v1/messages?beta=true", "/v1", "ANTHROPIC_BASE_URL=http://127.0.0.1:4000."],
    ["/v1/v1/messages/count_tokens", "/v1", "ANTHROPIC_BASE_URL=http://127.0.0.1:4000."],
    ["/anthropic/v1/v1/messages", "/v1", "ANTHROPIC_BASE_URL=http://127.0.0.1:4000/anthropic."],
    ["/anthropic/anthropic/v1/messages", "/anthropic", "ANTHROPIC_BASE_URL=http://127.0.0.1:4000/anthropic."],
    ["/foundry/v1/v1/messages", "/v1", "ANTHROPIC_FOUNDRY_BASE_URL=http://127.0.0.1:4000/foundry."],
    ["/mantle/v1/v1/messages", "/v1", "ANTHROPIC_BEDROCK_MANTLE_BASE_URL=http://127.0.0.1:4000/mantle."],
    ["/anthropic-aws/v1/v1/messages", "/v1", "ANTHROPIC_AWS_BASE_URL=http://127.0.0.1:4000/anthropic-aws."],
    [`/vertex_ai/v1/v1/${vertexCall}`, "/v1", "ANTHROPIC_VERTEX_BASE_URL=http://127.0.0.1:4000/vertex_ai/v1."],
    [`/vertex-ai/v1/v1/${vertexCall}`, "/v1", "ANTHROPIC_VERTEX_BASE_URL=http://127.0.0.1:4000/vertex-ai/v1."],
    [`/vertex_ai/vertex_ai/v1/${vertexCall}`, "/vertex_ai", "ANTHROPIC_VERTEX_BASE_URL=http://127.0.0.1:4000/vertex_ai/v1."],
  ])("%s is told so in Anthropic's shape", async (path, doubled, setting) => {
    const { reply, body } = await refusalOf(path);
    expect([reply.status, body.type, body.error.type]).toEqual([404, "error", "not_found_error"]);
    expect(body.error.message).toContain(`The path has ${doubled} twice`);
    expect(body.error.message).toContain(setting);
  });

  it.each(["/bedrock/bedrock/model/anthropic.claude-opus-4-8/invoke", "/bedrock/v1/v1/messages"])("%s is told so in AWS's shape", async (path) => {
    const { reply, body } = await refusalOf(path);
    expect([reply.status, reply.headers.get("x-amzn-errortype"), reply.headers.get("x-amzn-requestid")]).toEqual([404, "ResourceNotFoundException", expect.stringMatching(/^req_/)]);
    expect(body.message).toMatch(/twice.*ANTHROPIC_BEDROCK_BASE_URL=http:\/\/127\.0\.0\.1:4000\/bedrock\./);
    expect(body.error.message).toBe(body.message);
  });

  it.each(["/bedrock/nothing", "/foundry/nothing", "/vertex_ai/v1/nothing", "/v1/nothing", "/constructor/constructor", "/chat/chat", "/bedrocks/bedrocks"])("%s has no hint", async (path) => {
    const { reply, body } = await refusalOf(path);
    expect(reply.status).toBe(404);
    expect(JSON.stringify(body)).not.toContain("twice");
  });

  it("elsewhere stays in the shape that LiteLLM's clients read", async () => {
    expect((await refusalOf("/chat/completions/nothing")).body.error.code).toBe("404");
  });
});
