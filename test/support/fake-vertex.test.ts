// Guarantee: the fakes of Vertex AI and Foundry refuse what a gateway could get wrong about these places, in the words of the place's
// own front or of the model, and bill what they answer; a test may choose any request's fate by function or by header.
import { afterEach, describe, expect, it } from "vitest";
import { azureError, startFakeFoundry, type FakeFoundryOptions } from "./fake-foundry.ts";
import type { FakePlace } from "./fake-place.ts";
import { googleError, startFakeVertex, type FakeVertexOptions } from "./fake-vertex.ts";

let fake: FakePlace;
afterEach(() => fake.close());

const base = "/v1/projects/fake-project/locations/us/publishers/anthropic/models";
const ordinary = { anthropic_version: "vertex-2023-10-16", max_tokens: 16, messages: [{ role: "user", content: "Hi" }] };

interface Sending {
  readonly path: string;
  readonly body: object;
  readonly headers: Record<string, string | undefined>;
}

async function post({ path, body, headers }: Sending): Promise<{ readonly status: number; readonly json: unknown }> {
  const set = Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as [string, string]]));
  const reply = await fetch(`${fake.url}${path}`, { method: "POST", headers: [["content-type", "application/json"], ...set], body: JSON.stringify(body) });
  const text = await reply.text();
  return { status: reply.status, json: text.startsWith("event:") ? text : (JSON.parse(text) as unknown) };
}

async function vertexPost(change: Partial<Sending> = {}, options: FakeVertexOptions = {}): Promise<{ readonly status: number; readonly json: unknown }> {
  fake = await startFakeVertex(options);
  return post({ path: `${base}/claude-opus-5-5:rawPredict`, body: ordinary, ...change, headers: { authorization: "Bearer t", ...change.headers } });
}

const stream = `${base}/claude-opus-5-5:streamRawPredict`;
const front = (status: string): unknown => expect.objectContaining({ error: expect.objectContaining({ status }) as unknown });
const words = (part: string): unknown => expect.objectContaining({ type: "error", error: expect.objectContaining({ message: expect.stringContaining(part) as unknown }) as unknown });

describe("Vertex AI", () => {
  it.each<[string, Partial<Sending>, number, unknown]>([
    ["no bearer", { headers: { authorization: undefined } }, 401, front("UNAUTHENTICATED")],
    ["a key instead of a bearer", { headers: { authorization: undefined, "x-api-key": "k" } }, 401, front("UNAUTHENTICATED")],
    ["another project", { path: `${base}/claude-opus-5-5:rawPredict`.replace("fake-project", "other") }, 403, front("PERMISSION_DENIED")],
    ["another location", { path: `${base}/claude-opus-5-5:rawPredict`.replace("/us/", "/mars/") }, 400, front("INVALID_ARGUMENT")],
    ["a doubled /v1", { path: `/v1${base}/claude-opus-5-5:rawPredict` }, 404, front("NOT_FOUND")],
    ["Anthropic's query", { path: `${base}/claude-opus-5-5:rawPredict?beta=true` }, 404, front("NOT_FOUND")],
    ["Anthropic's name of a dated model", { path: `${base}/claude-sonnet-4-5-20250929:rawPredict` }, 404, front("NOT_FOUND")],
    ["an escaped @", { path: `${base}/claude-sonnet-4-5%4020250929:rawPredict` }, 404, front("NOT_FOUND")],
    ["a model in the body", { body: { ...ordinary, model: "claude-opus-5-5" } }, 400, words("model: Extra inputs")],
    ["no version", { body: { ...ordinary, anthropic_version: undefined } }, 400, words("anthropic_version: Field required")],
    ["Bedrock's version", { body: { ...ordinary, anthropic_version: "bedrock-2023-05-31" } }, 400, words("anthropic_version: Input should be")],
    ["Bedrock's betas", { body: { ...ordinary, anthropic_beta: ["x"] } }, 400, words("anthropic_beta: Extra inputs")],
    ["a stream at the wrong method", { body: { ...ordinary, stream: true } }, 400, words("stream: must fit")],
    ["tags", { body: { ...ordinary, tags: {} } }, 400, words("tags: Extra inputs")],
    ["a beta of another name here", { headers: { "anthropic-beta": "advanced-tool-use-2025-11-20" } }, 400, words("`advanced-tool-use-2025-11-20`")],
    ["a field without its beta", { body: { ...ordinary, context_management: {} } }, 400, words("context_management: Extra inputs")],
  ])("refuses %s", async (_name, change, status, json) => {
    expect(await vertexPost(change)).toEqual({ status, json });
    expect([fake.rejections.length, fake.bill()]).toEqual([1, []]);
  });

  it("refuses a token that is not good, on streams in an array", async () => {
    expect(await vertexPost({ path: stream, body: { ...ordinary, stream: true } }, { isTokenGood: () => false })).toEqual({ status: 401, json: [front("UNAUTHENTICATED")] });
  });

  it("notes headers that are Anthropic's only, and secrets that are not its own", async () => {
    await vertexPost({ headers: { "anthropic-version": "2023-06-01", "x-api-key": "sk-tollgate-1" } }, { forbiddenSecrets: ["sk-tollgate-1"] });
    expect(fake.violations).toEqual([`${base}/claude-opus-5-5:rawPredict: header x-api-key arrived`, `${base}/claude-opus-5-5:rawPredict: header anthropic-version arrived`, `${base}/claude-opus-5-5:rawPredict: a forbidden secret arrived in x-api-key`]);
  });

  it("answers and bills with Anthropic's name of the model", async () => {
    const { status, json } = await vertexPost({ path: `${base}/claude-haiku-4-5@20251001:rawPredict` });
    expect([status, json]).toEqual([200, expect.objectContaining({ model: "claude-haiku-4-5-20251001" })]);
    expect(fake.bill()).toMatchObject([{ model: "claude-haiku-4-5-20251001" }]);
  });

  it("does what a function says, and what the header says before that", async () => {
    fake = await startFakeVertex();
    const error = googleError(429, "RESOURCE_EXHAUSTED", "x");
    fake.behave(() => ({ front: { status: 429, body: error } }));
    const sending = { path: `${base}/claude-opus-5-5:rawPredict`, body: ordinary, headers: { authorization: "Bearer t" } };
    expect(await post(sending)).toEqual({ status: 429, json: error });
    const scripted = await post({ ...sending, headers: { ...sending.headers, "anthropic-test-behaviour": JSON.stringify({ status: 529 }) } });
    expect(scripted).toMatchObject({ status: 529, json: { error: { type: "overloaded_error" } } });
    expect([fake.rejections, fake.bill()]).toEqual([[], []]);
  });

  it("counts tokens for a model in the body", async () => {
    const body = { anthropic_version: "vertex-2023-10-16", model: "claude-opus-5-5", messages: ordinary.messages };
    expect(await vertexPost({ path: `${base}/count-tokens:rawPredict`, body })).toEqual({ status: 200, json: { input_tokens: expect.any(Number) as number } });
  });
});

describe("Foundry", () => {
  const body = { model: "claude-opus-5-5", max_tokens: 16, messages: [{ role: "user", content: "Hi" }] };
  async function foundryPost(change: Partial<Sending> = {}, options: FakeFoundryOptions = {}): Promise<{ readonly status: number; readonly json: unknown }> {
    fake = await startFakeFoundry({ apiKey: "k", ...options });
    return post({ path: "/anthropic/v1/messages", body, ...change, headers: { "x-api-key": "k", "anthropic-version": "2023-06-01", ...change.headers } });
  }

  it.each<[string, Partial<Sending>, number, unknown]>([
    ["a wrong key", { headers: { "x-api-key": "z" } }, 401, expect.objectContaining({ statusCode: 401 })],
    ["two keys", { headers: { "api-key": "k" } }, 401, expect.objectContaining({ statusCode: 401 })],
    ["a bearer beside the key", { headers: { authorization: "Bearer t" } }, 401, expect.objectContaining({ statusCode: 401 })],
    ["a path without /anthropic", { path: "/v1/messages" }, 404, azureError("api_not_supported", "Requested API is currently not supported")],
    ["a dated model's name", { body: { ...body, model: "claude-haiku-4-5-20251001" } }, 404, expect.objectContaining({ error: expect.objectContaining({ code: "DeploymentNotFound" }) as unknown })],
    ["no version", { headers: { "anthropic-version": undefined } }, 400, words("anthropic-version")],
    ["Vertex's version", { body: { ...body, anthropic_version: "vertex-2023-10-16" } }, 400, words("anthropic_version: Extra inputs")],
  ])("refuses %s", async (_name, change, status, json) => {
    expect(await foundryPost(change)).toEqual({ status, json });
    expect([fake.rejections.length, fake.bill()]).toEqual([1, []]);
  });

  it("answers a deployment and bills its model", async () => {
    const { status } = await foundryPost({ body: { ...body, model: "ours" } }, { deployments: { ours: "claude-opus-5-5" } });
    expect([status, fake.violations]).toEqual([200, []]);
    expect(fake.bill()).toMatchObject([{ model: "claude-opus-5-5" }]);
  });

  it("on Azure's own machines it has no MCP", async () => {
    const { status } = await foundryPost({ headers: { "anthropic-beta": "mcp-client-2025-11-20" } }, { isHostedOnAzure: true });
    expect(status).toBe(400);
  });
});
