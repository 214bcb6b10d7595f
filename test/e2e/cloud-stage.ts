/**
 * What the tests of clouds share: one gateway in front of a strict fake of each place that serves Claude, a client that writes a
 * request in each envelope, and a reader that judges a reply in each framing by code that is not the product's.
 */
import { EventStreamCodec } from "@smithy/core/event-streams";
import { expect } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { startFakeBedrock, type BedrockBehaviour } from "../support/fake-bedrock.ts";
import { startFakeFoundry } from "../support/fake-foundry.ts";
import { FakeGoogleLogin } from "../support/fake-google-login.ts";
import { billedNanoUsd } from "../support/bill-prices.ts";
import type { BilledLine, BillLine, JsonObject, RecordedRequest } from "../support/fake-anthropic-types.ts";
import { startFakeVertex } from "../support/fake-vertex.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { checkStreamGrammar, type GrammarFailure, type GrammarPass } from "../support/stream-grammar.ts";
import { newSession, openCall, startRecorder, type OpenReply, type Recorder, type Reply, type Row } from "./stage.ts";

export type PlaceName = "anthropic" | "bedrock" | "vertex" | "foundry";
export type Envelope = "messages" | "bedrock" | "vertex";
export type Action = "stream" | "plain" | "count";
export const places: readonly PlaceName[] = ["anthropic", "bedrock", "vertex", "foundry"];
export const clouds: readonly Exclude<PlaceName, "anthropic">[] = ["bedrock", "vertex", "foundry"];
export const envelopes: readonly Envelope[] = ["messages", "bedrock", "vertex"];
/** Every client in front of every place. */
export const grid = envelopes.flatMap((envelope) => places.map((place) => [envelope, place] as const));
export const model = "claude-opus-4-8";

/** Words of a cloud that no client may read; every one of them stands in every canary. */
export const canary = "account 123456789012 arn:aws:iam::123456789012:role/canary-role //aiplatform.googleapis.com/projects/canary-project https://10.9.8.7/canary?subscription=canary";
export const canaryPattern = /123456789012|arn:|canary|10\.9\.8\.7/;

/** The logins of the gateway and of a client, none of which may be seen anywhere else. */
export const logins = { bedrock: "bedrock-login-0123456789", aws: "aws-secret-0123456789", foundry: "foundry-login-0123456789", clientsGoogle: "ya29.clients-own-google-token" };

/** Betas that have these names at Bedrock and Vertex AI only. */
const cloudNames = ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"];

export type Choose = (request: RecordedRequest, body: JsonObject) => BedrockBehaviour | undefined;

/** A fake of any place. */
export interface Fake {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly RecordedRequest[];
  readonly rejections: readonly { readonly status: number; readonly message: string }[];
  readonly violations: readonly string[];
  readonly inFlight: number;
  bill(): readonly BillLine[];
  /** Stays until replaced. */
  behave(choose: Choose): void;
  close(): Promise<void>;
}

/** One call; see {@link CloudStage.send}. */
export interface Call {
  readonly envelope: Envelope;
  /** A place, or `recorded-<place>`, `signed-bedrock`, `loginless-vertex`, `own-google`, or `all` in turn. */
  readonly place: string;
  readonly action: Action;
  /** In the URL of a Vertex client; `europe-west1` by default. */
  readonly location?: string;
  /** Further members of the body. */
  readonly fields?: JsonObject;
  readonly betas?: readonly string[];
  readonly headers?: Readonly<Record<string, string | null>>;
  /** Instead of the made body. */
  readonly body?: string;
  readonly session?: string;
  readonly signal?: AbortSignal;
}

export interface CloudStage {
  readonly harness: Harness;
  readonly key: string;
  readonly fakes: Readonly<Record<PlaceName, Fake>>;
  /** Where the gateway's Google login comes from. */
  readonly google: FakeGoogleLogin;
  /** Vertex with the project that clients' URLs name; takes no login but a client's own. */
  readonly clientsVertex: Fake;
  /** What each place answered, byte for byte, for calls to `recorded-<place>`. */
  readonly recorders: Readonly<Record<PlaceName, Recorder>>;
  open(call: Call): Promise<OpenReply>;
  send(call: Call): Promise<Reply>;
  /** Sends while the place behaves in some way. */
  sendAmid(behaviour: BedrockBehaviour | Choose, call: Call): Promise<Reply>;
  /** All rows of a session once they are closed. */
  rows(session: string): Promise<readonly Row[]>;
  close(): Promise<void>;
}

export async function startCloudStage(): Promise<CloudStage> {
  const forbidden: string[] = [adminKey];
  const google = await new FakeGoogleLogin().listen();
  const others = (name: keyof typeof logins | "anthropic" | "google"): string[] => {
    const list = [...forbidden];
    for (const [owner, login] of Object.entries({ ...logins, anthropic: upstreamKey })) if (owner !== name) list.push(login);
    secrets.push(list);
    return list;
  };
  const secrets: string[][] = [];
  const anthropic = await startFakeAnthropic({ apiKey: upstreamKey, forbiddenSecrets: others("anthropic"), rejectBetas: ["refused-here-2026-01-01", ...cloudNames] });
  const fakes: Record<PlaceName, Fake> = {
    anthropic: Object.assign(anthropic, { behave: (choose: Choose) => (anthropic.script(choose), anthropic.scriptOther(choose)) }),
    bedrock: await startFakeBedrock({ bearer: logins.bedrock, keys: { AKIDCLOUDSTAGE: { secret: logins.aws } }, region: "us-east-1", forbiddenSecrets: others("bedrock") }),
    vertex: await startFakeVertex({ isTokenGood: (token) => google.liveToken(token) !== undefined, forbiddenSecrets: others("google"), rejectBetas: ["refused-here-2026-01-01"] }),
    foundry: await startFakeFoundry({ apiKey: logins.foundry, forbiddenSecrets: others("foundry"), rejectBetas: ["refused-here-2026-01-01", ...cloudNames] }),
  };
  const clientsVertex = await startFakeVertex({ project: "clients-project", isTokenGood: (token) => token === logins.clientsGoogle, forbiddenSecrets: others("clientsGoogle") });
  const recorders = Object.fromEntries(await Promise.all(places.map(async (place) => [place, await startRecorder(fakes[place].port)] as const))) as Record<PlaceName, Recorder>;
  const harness = await startHarness({ upstreamUrl: "", env: { GCE_METADATA_HOST: google.url.replace("http://", "") }, file: configOf(fakes, recorders, clientsVertex) });
  const key = await harness.key();
  for (const list of secrets) list.push(key);
  const open = (call: Call): Promise<OpenReply> => openCall(harness.url, key, formOf(call, key));
  const send = async (call: Call): Promise<Reply> => {
    const reply = await open(call);
    return { ...reply, isComplete: await reply.ended };
  };
  const all = [...Object.values(fakes), clientsVertex];
  return {
    harness, key, fakes, google, clientsVertex, recorders, open, send,
    async sendAmid(behaviour, call) {
      const fake = fakes[call.place.replace(/^\w+-/, "") as PlaceName];
      fake.behave(typeof behaviour === "function" ? behaviour : () => behaviour);
      try {
        return await send(call);
      } finally {
        fake.behave(() => undefined);
      }
    },
    rows: (session) =>
      until(`closed rows of ${session}`, async () => {
        const { rows } = await harness.admin<{ rows: Row[] }>("GET", `/api/v1/usage?by=key&rows=50&session=${session}`);
        return rows.length > 0 && rows.every((row) => row["closed_at"] !== null) ? rows.toReversed() : undefined;
      }),
    async close() {
      await harness.close();
      for (const recorder of Object.values(recorders)) recorder.close();
      for (const fake of all) await fake.close();
      await google.close();
      expect(all.flatMap(({ violations }) => violations)).toEqual([]);
    },
  };
}

function configOf(fakes: Readonly<Record<PlaceName, Fake>>, recorders: Readonly<Record<PlaceName, Recorder>>, clientsVertex: Fake): string {
  const kinds: Record<PlaceName, (url: string) => string> = {
    anthropic: (url) => `{kind: anthropic, base_url: "${url}", api_key: "${upstreamKey}"}`,
    bedrock: (url) => `{kind: bedrock, region: us-east-1, endpoint: "${url}", api_key: ${logins.bedrock}}`,
    vertex: (url) => `{kind: vertex, project: fake-project, location: us-east5, base_url: "${url}"}`,
    foundry: (url) => `{kind: foundry, base_url: "${url}/anthropic", api_key: ${logins.foundry}}`,
  };
  const direct = places.map((place) => [place, kinds[place](fakes[place].url)] as const);
  const recorded = places.map((place) => [`recorded-${place}`, kinds[place](recorders[place].url)] as const);
  const served = [...[...direct, ...recorded].map(([name]) => name), "signed-bedrock", "loginless-vertex"].map((name) => `  - {name: ${name}-${model}, provider: ${name}, model: ${model}}`);
  return [
    "listen: {port: 0}",
    `admin: {key: "${adminKey}"}`,
    "logging: {level: silent}",
    "timeouts: {ping: 300ms}",
    "providers:",
    ...[...direct, ...recorded].map(([name, settings]) => `  ${name}: ${settings}`),
    `  signed-bedrock: {kind: bedrock, region: us-east-1, endpoint: "${fakes.bedrock.url}", access_key_id: AKIDCLOUDSTAGE, secret_access_key: ${logins.aws}}`,
    `  loginless-vertex: {kind: vertex, base_url: "${fakes.vertex.url}"}`,
    `  own-google: {kind: vertex, base_url: "${clientsVertex.url}"}`,
    "models:",
    ...served,
    `  - {name: all-${model}, targets: [${clouds.map((place) => `{provider: ${place}, model: ${model}}`).join(", ")}, {provider: anthropic, model: ${model}}]}`,
    `  - {name: own-google-${model}, targets: [{provider: own-google, model: ${model}, credential: client}]}`,
  ].join("\n");
}

/** A request in the envelope's own form, for a client's call. */
function formOf({ envelope, place, action, location = "europe-west1", fields = {}, betas = [], headers = {}, body, session = newSession(), signal }: Call, key: string): Parameters<typeof openCall>[2] {
  const name = `${place}-${model}`;
  const rest = { messages: [{ role: "user", content: "Hello" }], ...(action === "count" ? {} : { max_tokens: 64 }), ...fields };
  const inHeader: Record<string, string> = betas.length === 0 ? {} : { "anthropic-beta": betas.join(",") };
  const stream = action === "stream" ? { stream: true } : {};
  const inBody = { anthropic_version: "bedrock-2023-05-31", ...(betas.length === 0 ? {} : { anthropic_beta: betas }), max_tokens: 64, ...rest };
  const forms: Record<Envelope, { path: string; json: JsonObject; headers: Record<string, string> }> = {
    messages: { path: `/v1/messages${action === "count" ? "/count_tokens" : ""}?beta=true`, json: { model: name, ...rest, ...stream }, headers: { "anthropic-version": "2023-06-01", ...inHeader } },
    bedrock: {
      path: `/bedrock/model/${name}/${{ stream: "invoke-with-response-stream", plain: "invoke", count: "count-tokens" }[action]}`,
      json: action === "count" ? { input: { invokeModel: { body: Buffer.from(JSON.stringify(inBody)).toString("base64") } } } : inBody,
      headers: {},
    },
    vertex: {
      path: `/vertex_ai/v1/projects/clients-project/locations/${location}/publishers/anthropic/models/${action === "count" ? "count-tokens" : name}:${action === "stream" ? "streamRawPredict" : "rawPredict"}`,
      json: { anthropic_version: "vertex-2023-10-16", ...rest, ...stream, ...(action === "count" ? { model: name } : {}) },
      headers: inHeader,
    },
  };
  const form = forms[envelope];
  return {
    path: form.path,
    body: body ?? JSON.stringify(form.json),
    session,
    headers: { "anthropic-version": null, "x-api-key": null, "x-litellm-api-key": key, ...form.headers, ...headers },
    ...(signal === undefined ? {} : { signal }),
  };
}

/** A streamed reply as its client reads it: the dialect's events, and the exception that ends a stream of frames. */
export interface ReadStream {
  readonly grammar: GrammarPass | GrammarFailure;
  readonly exception: { readonly type: string; readonly message: string } | undefined;
}

/** Reads frames by AWS's own codec, and holds the events against the grammar; an exception counts as the one error that ends it. */
export function readStream(envelope: Envelope, reply: OpenReply): ReadStream {
  const isFramed = envelope === "bedrock";
  expect(reply.headers["content-type"]).toContain(isFramed ? "application/vnd.amazon.eventstream" : "text/event-stream");
  if (!isFramed) return { grammar: checkStreamGrammar(reply.bytes()), exception: undefined };
  const codec = new EventStreamCodec((text) => Buffer.from(text as Uint8Array).toString(), (text) => Buffer.from(text));
  const whole = reply.bytes();
  const events: string[] = [];
  let exception: ReadStream["exception"];
  for (let at = 0; at < whole.length; at += whole.readUInt32BE(at)) {
    expect(exception, "a frame after an exception").toBeUndefined();
    const frame = codec.decode(whole.subarray(at, at + whole.readUInt32BE(at)));
    const payload = JSON.parse(Buffer.from(frame.body).toString()) as { readonly bytes?: string; readonly message?: string };
    if (frame.headers[":message-type"]?.value === "exception") {
      exception = { type: String(frame.headers[":exception-type"]?.value), message: String(payload.message) };
      events.push(`event: error\ndata: ${JSON.stringify({ type: "error", error: exception })}\n\n`);
    } else {
      const json = Buffer.from(payload.bytes ?? "", "base64").toString();
      events.push(`event: ${(JSON.parse(json) as { type: string }).type}\ndata: ${json}\n\n`);
    }
  }
  return { grammar: checkStreamGrammar(Buffer.from(events.join(""))), exception };
}

/** A stream that came whole; fails otherwise. */
export function wholeStream(envelope: Envelope, reply: Reply): GrammarPass {
  expect(reply.status, reply.text()).toBe(200);
  expect(reply.isComplete).toBe(true);
  const { grammar } = readStream(envelope, reply);
  if (!grammar.ok) throw new Error(grammar.problem);
  expect(grammar.outcome, JSON.stringify(grammar.error)).toBe("stop");
  return grammar;
}

/** An error in the envelope's own shape, without a word of a cloud's. */
export function readError(envelope: Envelope, reply: Reply): { readonly type: string; readonly message: string } {
  expect(`${reply.text()} ${JSON.stringify(reply.headers)}`).not.toMatch(canaryPattern);
  const { type, error, message } = reply.json<{ type: string; error: { type: string; message: string }; message?: string }>();
  expect(type).toBe("error");
  expect([typeof error.type, typeof error.message]).toEqual(["string", "string"]);
  expect(reply.headers["content-type"]).toContain("application/json");
  if (envelope === "bedrock") {
    expect(message).toBe(error.message);
    expect(reply.headers["x-amzn-errortype"]).toMatch(/^[A-Z][A-Za-z]+$/);
    expect(reply.headers["x-amzn-requestid"]).toBeDefined();
  } else {
    expect(message).toBeUndefined();
    expect(reply.headers["request-id"]).toBeDefined();
  }
  return error;
}

/** The bill lines of one call. */
export function billedSince(fake: Fake, count: number): BilledLine[] {
  return fake.bill().slice(count).filter((line): line is BilledLine => line.type === "billed");
}

/** What a bill is due at a place; a region of Bedrock and Vertex costs a tenth more than Anthropic's list (prices of clouds: test/golden/bills). */
export function dueNanoUsd(place: PlaceName, { model: billed, usage }: BilledLine): bigint {
  const list = billedNanoUsd(billed, usage);
  return place === "bedrock" || place === "vertex" ? (list * 11n) / 10n : list;
}

/** A ledger's amount, as printed, in nano-USD. */
export function nanoUsdOf(row: Row): bigint {
  const [, dollars = "", rest = ""] = /^(\d+)(?:\.(\d{1,9}))?$/.exec(String(row["cost_usd"])) ?? [];
  return BigInt(dollars) * 1_000_000_000n + BigInt(rest.padEnd(9, "0"));
}
