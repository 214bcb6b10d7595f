/**
 * Guarantee: any client's envelope is served by any place: the place gets a request of its own form, the client its own framing
 * and its own error shape, and the ledger one reported row for each. Where both ends speak alike, bytes pass untouched. What a
 * cloud says about its accounts stays in the log.
 */
import { EventStreamCodec } from "@smithy/core/event-streams";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { startFakeBedrock, type FakeBedrock } from "../support/fake-bedrock.ts";
import { azureError, startFakeFoundry } from "../support/fake-foundry.ts";
import { FakeGoogleLogin } from "../support/fake-google-login.ts";
import type { FakePlace, PlaceBehaviour } from "../support/fake-place.ts";
import { googleError, startFakeVertex } from "../support/fake-vertex.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";

type PlaceName = "anthropic" | "bedrock" | "vertex" | "foundry";
type Envelope = "messages" | "bedrock" | "vertex";
const places: readonly PlaceName[] = ["anthropic", "bedrock", "vertex", "foundry"];
const envelopes: readonly Envelope[] = ["messages", "bedrock", "vertex"];
const model = "claude-opus-5-5";
const secretWords = "account 123456789012 arn:aws:iam::123456789012:role/secret projects/secret-project 10.9.8.7";

let anthropic: FakeAnthropic;
let bedrock: FakeBedrock;
let vertex: FakePlace;
let foundry: FakePlace;
let google: FakeGoogleLogin;
let harness: Harness;
let key: string;
let serial = 0;

beforeAll(async () => {
  google = await new FakeGoogleLogin().listen();
  anthropic = await startFakeAnthropic({ apiKey: upstreamKey });
  bedrock = await startFakeBedrock({ bearer: "bedrock-key-canary", region: "us-east-1" });
  vertex = await startFakeVertex({ project: "fake-project", isTokenGood: (token) => token === "client-google-token" || google.liveToken(token) !== undefined });
  foundry = await startFakeFoundry({ apiKey: "foundry-key-canary" });
  const named = places.map((place) => `{name: ${place}-${model}, provider: ${place}, model: ${model}}`).join(", ");
  harness = await startHarness({
    upstreamUrl: "",
    env: { GCE_METADATA_HOST: google.url.replace("http://", "") },
    file: [
      "listen: {port: 0}",
      `admin: {key: "${adminKey}"}`,
      "logging: {level: silent}",
      "providers:",
      `  anthropic: {kind: anthropic, base_url: "${anthropic.url}", api_key: "${upstreamKey}"}`,
      `  bedrock: {kind: bedrock, region: us-east-1, endpoint: "${bedrock.url}", api_key: bedrock-key-canary}`,
      `  vertex: {kind: vertex, project: fake-project, location: us-east5, base_url: "${vertex.url}"}`,
      `  foundry: {kind: foundry, base_url: "${foundry.url}/anthropic", api_key: foundry-key-canary}`,
      `models: [${named}, {name: own-google-${model}, targets: [{provider: vertex, model: ${model}, credential: client}]}]`,
    ].join("\n"),
  });
  key = await harness.key();
});

afterAll(async () => {
  await harness.close();
  for (const fake of [anthropic, bedrock, vertex, foundry]) {
    expect(fake.violations).toEqual([]);
    await fake.close();
  }
  await google.close();
});

interface Call {
  readonly envelope: Envelope;
  readonly place: string;
  readonly action: "stream" | "plain" | "count";
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly betas?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  readonly session: string;
}

async function call({ envelope, place, action, fields = {}, betas = [], headers = {}, signal }: Call): Promise<Answer> {
  serial += 1;
  const session = `grid-${serial}`;
  const name = `${place}-${model}`;
  const rest = { messages: [{ role: "user", content: "Hello" }], ...(action === "count" && envelope !== "bedrock" ? {} : { max_tokens: 64 }), ...fields };
  const inHeader: Record<string, string> = betas.length === 0 ? {} : { "anthropic-beta": betas.join(",") };
  const forms: Record<Envelope, { path: string; body: object; headers: Record<string, string> }> = {
    messages: {
      path: `/v1/messages${action === "count" ? "/count_tokens" : ""}?beta=true`,
      body: { model: name, ...rest, ...(action === "stream" ? { stream: true } : {}) },
      headers: { "anthropic-version": "2023-06-01", ...inHeader },
    },
    bedrock: {
      path: `/bedrock/model/${name}/${{ stream: "invoke-with-response-stream", plain: "invoke", count: "count-tokens" }[action]}`,
      body: action === "count" ? { input: { invokeModel: { body: Buffer.from(JSON.stringify({ anthropic_version: "bedrock-2023-05-31", ...rest })).toString("base64") } } } : { anthropic_version: "bedrock-2023-05-31", ...(betas.length === 0 ? {} : { anthropic_beta: betas }), ...rest },
      headers: {},
    },
    vertex: {
      path: `/vertex_ai/v1/projects/clients-project/locations/europe-west1/publishers/anthropic/models/${action === "count" ? "count-tokens" : name}:${action === "stream" ? "streamRawPredict" : "rawPredict"}`,
      body: { anthropic_version: "vertex-2023-10-16", ...rest, ...(action === "count" ? { model: name } : {}), ...(action === "stream" ? { stream: true } : {}) },
      headers: inHeader,
    },
  };
  const form = forms[envelope];
  const reply = await fetch(`${harness.url}${form.path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-litellm-api-key": key, "x-claude-code-session-id": session, ...form.headers, ...headers },
    body: JSON.stringify(form.body),
    ...(signal === undefined ? {} : { signal }),
  });
  return { status: reply.status, headers: reply.headers, bytes: Buffer.from(await reply.arrayBuffer()), session };
}

/** The dialect's events in a stream of either framing, and the exceptions. */
function eventsIn(envelope: Envelope, bytes: Buffer): { readonly types: readonly string[]; readonly exceptions: readonly string[] } {
  if (envelope !== "bedrock") return { types: [...bytes.toString().matchAll(/^event: (\w+)$/gm)].map(([, type]) => type!), exceptions: [] };
  const codec = new EventStreamCodec((text) => Buffer.from(text as Uint8Array).toString(), (text) => Buffer.from(text));
  const types: string[] = [];
  const exceptions: string[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
    const { headers, body } = codec.decode(bytes.subarray(at, at + bytes.readUInt32BE(at)));
    if (headers[":message-type"]?.value === "exception") exceptions.push(String(headers[":exception-type"]?.value));
    else types.push((JSON.parse(Buffer.from((JSON.parse(Buffer.from(body).toString()) as { bytes: string }).bytes, "base64").toString()) as { type: string }).type);
  }
  return { types, exceptions };
}

async function rowOf(session: string): Promise<Record<string, unknown>> {
  return until("the row", async () => (await harness.rows()).find((row) => row["session_id"] === session && row["closed_at"] !== null));
}

const grid = envelopes.flatMap((envelope) => places.map((place) => [envelope, place] as const));
const contentTypes: Record<Envelope, string> = { messages: "text/event-stream", bedrock: "application/vnd.amazon.eventstream", vertex: "text/event-stream" };

describe.each(grid)("a %s client in front of %s", (envelope, place) => {
  it("streams", async () => {
    const { status, headers, bytes, session } = await call({ envelope, place, action: "stream" });
    expect(status, bytes.toString()).toBe(200);
    expect(headers.get("content-type")).toContain(contentTypes[envelope]);
    const { types, exceptions } = eventsIn(envelope, bytes);
    expect([types[0], types.at(-1), exceptions.length]).toEqual(["message_start", "message_stop", 0]);
    expect(await rowOf(session)).toMatchObject({ source: "reported", outcome: "completed", provider: place, is_streaming: true });
  });

  it("gets a plain reply, with tools", async () => {
    const { status, bytes, session } = await call({ envelope, place, action: "plain", fields: { tools: [{ name: "read", description: "d", input_schema: { type: "object", properties: {} } }] } });
    expect(status, bytes.toString()).toBe(200);
    expect(JSON.parse(bytes.toString())).toMatchObject({ type: "message", role: "assistant" });
    expect(Number((await rowOf(session))["cost_usd"])).toBeGreaterThan(0);
  });

  it("has its tokens counted in its own words, and booked nowhere", async () => {
    const { status, bytes, session } = await call({ envelope, place, action: "count" });
    expect(status, bytes.toString()).toBe(200);
    expect((JSON.parse(bytes.toString()) as Record<string, number>)[envelope === "bedrock" ? "inputTokens" : "input_tokens"]).toBeGreaterThan(0);
    expect((await harness.rows()).some((row) => row["session_id"] === session)).toBe(false);
  });

  it("thinks", async () => {
    const { status, bytes } = await call({ envelope, place, action: "plain", fields: { max_tokens: 4_096, thinking: { type: "adaptive" } } });
    expect(status, bytes.toString()).toBe(200);
  });
});

const fakeOf = (place: PlaceName): { behave(choose: () => PlaceBehaviour | undefined): void } => ({ anthropic: { behave: () => {} }, bedrock, vertex, foundry })[place];

const awsErrors: Readonly<Record<number, string>> = { 400: "ValidationException", 429: "ThrottlingException", 403: "UnrecognizedClientException" };

describe.each(envelopes)("faults of a place, for a %s client", (envelope) => {
  const fronts: readonly [PlaceName, number, unknown, number][] = [
    ["bedrock", 400, { message: `bad thing ${secretWords}` }, 400],
    ["bedrock", 429, { message: `slow ${secretWords}` }, 429],
    ["bedrock", 403, { message: `token ${secretWords}` }, 503],
    ["vertex", 404, googleError(404, "NOT_FOUND", `no model ${secretWords}`), 404],
    ["vertex", 429, googleError(429, "RESOURCE_EXHAUSTED", `quota ${secretWords}`), 429],
    ["vertex", 401, googleError(401, "UNAUTHENTICATED", `login ${secretWords}`), 503],
    ["foundry", 401, azureError("401", `key ${secretWords}`), 503],
    ["foundry", 500, azureError("InternalServerError", `broken ${secretWords}`), 500],
  ];
  it.each(fronts)("%s answering %i is told as a sentence without accounts", async (place, status, body, told) => {
    const headers = place === "bedrock" ? { headers: { "x-amzn-errortype": awsErrors[status]! } } : {};
    fakeOf(place).behave(() => ({ front: { status, body }, ...headers }));
    const answer = await call({ envelope, place, action: "stream" });
    fakeOf(place).behave(() => undefined);
    const text = answer.bytes.toString();
    expect(answer.status, text).toBe(told);
    expect(text).not.toMatch(/123456789012|secret|10\.9\.8\.7/);
    expect(JSON.parse(text)).toMatchObject({ type: "error" });
    expect(answer.headers.get("x-amzn-errortype") !== null).toBe(envelope === "bedrock");
    if (told === 503) expect(answer.headers.get("x-should-retry")).toBe("false");
    expect(await rowOf(answer.session)).toMatchObject({ source: "none", outcome: "upstream_error" });
  });

  it("an exception frame after the first event ends the stream in one typed error", async () => {
    bedrock.behave(() => ({ exception: { type: "modelStreamErrorException", message: `broke ${secretWords}`, at: "mid-text" } }));
    const answer = await call({ envelope, place: "bedrock", action: "stream" });
    bedrock.behave(() => undefined);
    const { types, exceptions } = eventsIn(envelope, answer.bytes);
    expect(types[0]).toBe("message_start");
    expect(types.filter((type) => type === "error").length + exceptions.length).toBe(1);
    expect(answer.bytes.toString()).not.toMatch(/123456789012|secret/);
    expect(await rowOf(answer.session)).toMatchObject({ source: "estimated" });
  });
});

describe("where both ends speak alike", () => {
  it("a Bedrock client's body and frames pass byte for byte", async () => {
    const answer = await call({ envelope: "bedrock", place: "bedrock", action: "stream", betas: ["interleaved-thinking-2025-05-14"] });
    expect(answer.headers.get("x-tollgate-loss")).toBeNull();
    const sent = bedrock.requests.at(-1)!;
    expect(sent.body.toString()).toBe(JSON.stringify({ anthropic_version: "bedrock-2023-05-31", anthropic_beta: ["interleaved-thinking-2025-05-14"], messages: [{ role: "user", content: "Hello" }], max_tokens: 64 }));
  });

  it("a Vertex client's body passes byte for byte, to the target's own project and location", async () => {
    await call({ envelope: "vertex", place: "vertex", action: "stream" });
    const sent = vertex.requests.at(-1)!;
    expect(sent.url).toContain("/projects/fake-project/locations/us-east5/");
    expect(sent.body.toString()).toBe(JSON.stringify({ anthropic_version: "vertex-2023-10-16", messages: [{ role: "user", content: "Hello" }], max_tokens: 64, stream: true }));
  });
});

it("what a place cannot take leaves in pairs, and is told", async () => {
  const answer = await call({ envelope: "messages", place: "bedrock", action: "plain", betas: ["some-new-beta-2027-01-01", "interleaved-thinking-2025-05-14"] });
  expect(answer.status, answer.bytes.toString()).toBe(200);
  expect(answer.headers.get("x-tollgate-loss")).toContain("some-new-beta-2027-01-01");
  expect((await rowOf(answer.session))["loss"]).toContain("some-new-beta-2027-01-01");
});

it("a client's own Google login goes to Google, for the project and location it names, and its Tollgate key nowhere", async () => {
  const without = await call({ envelope: "vertex", place: "own-google", action: "plain" });
  expect(without.status).toBe(401);
  const before = vertex.requests.length;
  const answer = await call({ envelope: "vertex", place: "own-google", action: "plain", headers: { authorization: "Bearer client-google-token" } });
  // The client's project is none of the fake's, which says so: what matters is where it was asked, and with what.
  const sent = vertex.requests.at(-1)!;
  expect(vertex.requests.length).toBe(before + 1);
  expect(sent.headers["authorization"]).toBe("Bearer client-google-token");
  expect(sent.url).toContain("/projects/clients-project/locations/europe-west1/");
  expect(JSON.stringify(sent.headers)).not.toContain(key);
  expect(answer.status).toBe(403);
});
