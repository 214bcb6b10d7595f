/**
 * Guarantee: what a LiteLLM file lends serves the clouds' own paths, and only for names that its `model_list` does not have; a key's
 * rights bind there too; a client's own Google token goes to Google's host for the URL's project and location, and the gateway's key to
 * nobody.
 */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { startFakeBedrock, type FakeBedrock } from "../support/fake-bedrock.ts";
import { FakeGoogleLogin } from "../support/fake-google-login.ts";
import type { FakePlace } from "../support/fake-place.ts";
import { startFakeVertex } from "../support/fake-vertex.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { wholeStream, type Envelope } from "./cloud-stage.ts";
import { newSession, openCall, type CallOptions, type Reply } from "./stage.ts";

const bedrockLogin = "bedrock-login-0123456789";
const googleToken = "ya29.clients-own-google-token";
const applicationProfile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const end = "tollgate: {listen: {host: 127.0.0.1, port: 0}, logging: {level: silent}";

let closers: (() => unknown)[] = [];
let made: string;

beforeAll(() => {
  made = mkdtempSync(join(tmpdir(), "tollgate-google-"));
  const names = ["aiplatform.googleapis.com", "*.googleapis.com"].map((name) => `DNS:${name}`).join(",");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=fake", "-addext", `subjectAltName=${names}`, "-keyout", "google.key", "-out", "google.pem"], { cwd: made, stdio: "ignore" });
});
afterAll(() => rmSync(made, { recursive: true, force: true }));
afterEach(async () => {
  for (const close of closers.toReversed()) await close();
  closers = [];
});

interface Site {
  readonly harness: Harness;
  readonly anthropic: FakeAnthropic;
  readonly bedrock: FakeBedrock;
  readonly vertex: FakePlace;
  /** Hosts and ports that were asked for through the proxy. */
  readonly asked: readonly string[];
  key(fields?: Record<string, unknown>): Promise<string>;
  row(session: string): Promise<Readonly<Record<string, unknown>>>;
}

interface Addresses {
  readonly anthropic: string;
  readonly bedrock: string;
  readonly vertex: string;
}

/** A proxy that takes itself for Vertex AI: whatever location's host is asked for, the fake answers, over TLS; other hosts are out of reach. */
async function startGoogle(port: number): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on("connect", (request, socket: Socket) => {
    asked.push(String(request.url));
    if (!String(request.url).endsWith("aiplatform.googleapis.com:443")) return void socket.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    const secure = new TLSSocket(socket, { isServer: true, cert: readFileSync(join(made, "google.pem")), key: readFileSync(join(made, "google.key")) });
    const onward = connect(port, "127.0.0.1");
    for (const one of [socket, secure, onward]) {
      sockets.add(one);
      one.on("error", () => [socket, onward].forEach((both) => both.destroy()));
    }
    secure.pipe(onward).pipe(secure);
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function startSite(file: (at: Addresses) => string, options: { readonly project?: string; readonly isTokenGood?: (token: string) => boolean; readonly env?: Record<string, string> } = {}): Promise<Site> {
  const google = await new FakeGoogleLogin().listen();
  const secrets: string[] = [adminKey];
  const anthropic = await startFakeAnthropic({ apiKey: upstreamKey, forbiddenSecrets: secrets });
  const bedrock = await startFakeBedrock({ bearer: bedrockLogin, keys: { AKIDLITELLM: { secret: "aws-secret-0123456789" } }, arns: { [applicationProfile]: "anthropic.claude-sonnet-4-5-20250929-v1:0" }, forbiddenSecrets: secrets });
  const vertex = await startFakeVertex({ project: options.project ?? "lent-project", isTokenGood: options.isTokenGood ?? ((token) => google.liveToken(token) !== undefined), forbiddenSecrets: secrets });
  const proxy = await startGoogle(vertex.port);
  const text = `${file({ anthropic: anthropic.url, bedrock: bedrock.url, vertex: vertex.url })}\n${end}, egress: {proxy: "${proxy.url}", no_proxy: [127.0.0.1], ca_file: "${join(made, "google.pem")}"}}\n`;
  const harness = await startHarness({ upstreamUrl: "", file: text, env: { GCE_METADATA_HOST: google.url.replace("http://", ""), CLOUDSDK_CONFIG: "/nonexistent", AWS_CONFIG_FILE: "/nonexistent", AWS_SHARED_CREDENTIALS_FILE: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true", ...options.env } });
  closers.push(async () => {
    await harness.close();
    await google.close();
    for (const fake of [anthropic, bedrock, vertex]) {
      await fake.close();
      expect(fake.violations).toEqual([]);
    }
  });
  return {
    harness, anthropic, bedrock, vertex, asked: proxy.asked,
    async key(fields) {
      const key = await harness.key(fields);
      secrets.push(key);
      return key;
    },
    row: (session) =>
      until(`a closed row of ${session}`, async () => {
        const { rows } = await harness.admin<{ rows: Record<string, unknown>[] }>("GET", `/api/v1/usage?by=key&rows=50&session=${session}`);
        return rows.length > 0 && rows.every((row) => row["closed_at"] !== null) ? rows[0] : undefined;
      }),
  };
}

type Action = "stream" | "plain" | "count";

/** A request in a cloud's own form, or Anthropic's. */
function requestOf(envelope: Envelope, model: string, action: Action): Required<Pick<CallOptions, "path" | "body">> {
  const body = { messages: [{ role: "user", content: "Hello" }], ...(action === "count" && envelope !== "bedrock" ? {} : { max_tokens: 64 }) };
  const stream = action === "stream" ? { stream: true } : {};
  if (envelope === "messages") return { path: "/v1/messages", body: JSON.stringify({ model, ...body, ...stream }) };
  if (envelope === "vertex") {
    const method = `${action === "count" ? "count-tokens" : model}:${action === "stream" ? "streamRawPredict" : "rawPredict"}`;
    return { path: `/vertex_ai/v1/projects/clients-project/locations/europe-west1/publishers/anthropic/models/${method}`, body: JSON.stringify({ anthropic_version: "vertex-2023-10-16", ...body, ...stream, ...(action === "count" ? { model } : {}) }) };
  }
  const inner = JSON.stringify({ anthropic_version: "bedrock-2023-05-31", ...body });
  return {
    path: `/bedrock/model/${encodeURIComponent(model)}/${{ stream: "invoke-with-response-stream", plain: "invoke", count: "count-tokens" }[action]}`,
    body: action === "count" ? JSON.stringify({ input: { invokeModel: { body: Buffer.from(inner).toString("base64") } } }) : inner,
  };
}

async function call(site: Site, key: string, [envelope, model, action]: readonly [Envelope, string, Action], headers: CallOptions["headers"] = {}): Promise<Reply> {
  const reply = await openCall(site.harness.url, key, { ...requestOf(envelope, model, action), session: newSession(), headers: { "x-api-key": null, "x-litellm-api-key": key, ...(envelope === "messages" ? {} : { "anthropic-version": null }), ...headers } });
  return { ...reply, isComplete: await reply.ended };
}

const passThrough = ({ anthropic, bedrock, vertex }: Addresses): string => `
model_list:
  - {model_name: claude-opus-4-8, litellm_params: {model: anthropic/claude-opus-4-8, api_key: "${upstreamKey}", api_base: "${anthropic}"}}
  - {model_name: team-haiku, litellm_params: {model: bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0, aws_region_name: us-east-1, api_base: "${bedrock}", api_key: ${bedrockLogin}, use_in_pass_through: true}}
  - {model_name: team-opus, litellm_params: {model: vertex_ai/claude-opus-4-6, vertex_project: lent-project, vertex_location: us-east5, api_base: "${vertex}", use_in_pass_through: true}}
general_settings: {master_key: "${adminKey}"}`;

const bedrockId = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const vertexId = "claude-sonnet-4-5@20250929";

describe("use_in_pass_through", () => {
  it.each([
    ["bedrock", bedrockId, "stream"], ["bedrock", bedrockId, "plain"], ["bedrock", bedrockId, "count"], ["bedrock", applicationProfile, "plain"],
    ["vertex", vertexId, "stream"], ["vertex", vertexId, "plain"], ["vertex", vertexId, "count"], ["vertex", "claude-sonnet-5-5", "plain"],
  ] as const)("serves %s's own %s for %s with the lent login, in the lent place", async (envelope, model, action) => {
    const site = await startSite(passThrough);
    const reply = await call(site, await site.key({ user_id: "ada" }), [envelope, model, action]);
    expect(reply.status, reply.text()).toBe(200);
    if (action === "stream") wholeStream(envelope, reply);
    const [arrived, ...more] = site[envelope].requests;
    expect(more).toEqual([]);
    if (envelope === "vertex") expect(arrived?.url).toMatch(/^\/v1\/projects\/lent-project\/locations\/us-east5\//);
    else expect(decodeURIComponent(arrived!.url)).toContain(action === "count" ? "anthropic.claude-sonnet-4-5-20250929-v1:0" : model);
    if (action === "count") return;
    expect(await site.row(reply.session)).toMatchObject({ user_id: "ada", provider: envelope, source: "reported" });
  });

  it("leaves what model_list has to its entry, under public and under cloud names", async () => {
    const site = await startSite(passThrough);
    const key = await site.key();
    for (const one of [["bedrock", "us.anthropic.claude-opus-4-8", "plain"], ["vertex", "claude-opus-4-8", "plain"]] as const) expect((await call(site, key, one)).status).toBe(200);
    expect([site.anthropic.requests.length, site.bedrock.requests.length, site.vertex.requests.length]).toEqual([2, 0, 0]);
    const named = await call(site, key, ["bedrock", "team-haiku", "plain"]);
    expect([named.status, site.bedrock.requests.length]).toEqual([200, 1]);
  });

  it("serves nothing on /v1/messages, nothing that is no Claude model, and shows nothing in the list of models", async () => {
    const site = await startSite(passThrough);
    const key = await site.key();
    for (const model of ["claude-sonnet-5-5", vertexId, bedrockId]) expect((await call(site, key, ["messages", model, "plain"])).status).toBe(404);
    expect((await call(site, key, ["bedrock", "amazon.nova-pro-v1:0", "plain"])).status).toBe(404);
    expect((await call(site, key, ["vertex", "gemini-3-pro", "plain"])).status).toBe(404);
    const listed = await fetch(`${site.harness.url}/v1/models`, { headers: { "x-api-key": key, "anthropic-version": "2023-06-01" } });
    expect(((await listed.json()) as { data: { id: string }[] }).data.map(({ id }) => id).toSorted()).toEqual(["claude-opus-4-8", "team-haiku", "team-opus"]);
    expect([...site.anthropic.requests, ...site.bedrock.requests, ...site.vertex.requests]).toEqual([]);
  });

  it.each<[string, readonly [Envelope, string, Action], number]>([
    ["claude-sonnet-4-5-20250929", ["bedrock", bedrockId, "plain"], 200],
    ["claude-sonnet-4-5-20250929", ["vertex", vertexId, "plain"], 200],
    ["claude-sonnet-*", ["bedrock", bedrockId, "plain"], 200],
    ["us.anthropic.*", ["bedrock", bedrockId, "plain"], 200],
    ["claude-opus-4-8", ["bedrock", bedrockId, "plain"], 404],
    ["claude-opus-4-8", ["vertex", vertexId, "plain"], 404],
    ["claude-opus-4-8", ["bedrock", bedrockId, "count"], 404],
    ["team-haiku", ["bedrock", bedrockId, "plain"], 404],
    ["claude-*", ["bedrock", applicationProfile, "plain"], 404],
    ["arn:aws:bedrock:*", ["bedrock", applicationProfile, "plain"], 200],
  ])("gives a key for %s no more than its list: %j is %i", async (models, one, status) => {
    const site = await startSite(passThrough);
    const reply = await call(site, await site.key({ models: [models] }), one);
    expect(reply.status, reply.text()).toBe(status);
    expect([site.anthropic.requests.length, site.bedrock.requests.length + site.vertex.requests.length]).toEqual([0, status === 200 ? 1 : 0]);
  });
});

const plainList = ({ anthropic }: Addresses): string => `
model_list:
  - {model_name: claude-opus-4-8, litellm_params: {model: anthropic/claude-opus-4-8, api_key: "${upstreamKey}", api_base: "${anthropic}"}}
`;

describe("defaults", () => {
  it.each<[string, string, Record<string, string>]>([
    ["default_vertex_config", "default_vertex_config: {vertex_project: lent-project, vertex_location: us-east5}\n", {}],
    ["its variables", "", { DEFAULT_VERTEXAI_PROJECT: "lent-project", DEFAULT_VERTEXAI_LOCATION: "us-east5" }],
  ])("%s serve /vertex_ai at Google's host for the place, whatever the client's URL names", async (_, section, env) => {
    const site = await startSite((at) => `${plainList(at)}${section}general_settings: {master_key: "${adminKey}"}`, { env });
    const reply = await call(site, await site.key(), ["vertex", vertexId, "stream"]);
    wholeStream("vertex", reply);
    expect(site.asked).toEqual(["us-east5-aiplatform.googleapis.com:443"]);
    expect(site.vertex.requests.map(({ url }) => url)).toEqual([`/v1/projects/lent-project/locations/us-east5/publishers/anthropic/models/${vertexId}:streamRawPredict`]);
  });

  it("AWS_REGION_NAME and AWS's own variables serve /bedrock, signed", async () => {
    let at: Addresses | undefined;
    const aws = { AWS_ACCESS_KEY_ID: "AKIDLITELLM", AWS_SECRET_ACCESS_KEY: "aws-secret-0123456789" };
    // The file's own variables count as the process's, and here the address is only known with the fakes.
    const site = await startSite((given) => `${plainList((at = given))}environment_variables: {AWS_REGION_NAME: us-east-1, AWS_BEDROCK_RUNTIME_ENDPOINT: "${at.bedrock}"}\ngeneral_settings: {master_key: "${adminKey}"}`, { env: aws });
    wholeStream("bedrock", await call(site, await site.key(), ["bedrock", bedrockId, "stream"]));
    expect(site.bedrock.requests[0]?.headers["authorization"]).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIDLITELLM\//);
  });
});

describe("litellm_key_header_name without a Vertex AI login", () => {
  const own = { project: "clients-project", isTokenGood: (token: string) => token === googleToken };
  const file = (at: Addresses): string => `${plainList(at)}general_settings: {master_key: "${adminKey}", litellm_key_header_name: X-Team-Key}`;
  const none = { "x-litellm-api-key": null } as const;

  it.each(["stream", "plain", "count"] as const)("%s: the client's token goes to Google's host for the URL's project and location, the key to nobody", async (action) => {
    const site = await startSite(file, own);
    const key = await site.key({ user_id: "ada" });
    const reply = await call(site, key, ["vertex", vertexId, action], { ...none, "x-team-key": key, authorization: `Bearer ${googleToken}` });
    expect(reply.status, reply.text()).toBe(200);
    expect(site.asked).toEqual(["europe-west1-aiplatform.googleapis.com:443"]);
    const [arrived] = site.vertex.requests;
    expect(arrived?.url).toMatch(/^\/v1\/projects\/clients-project\/locations\/europe-west1\//);
    expect(arrived?.headers["authorization"]).toBe(`Bearer ${googleToken}`);
    expect(JSON.stringify(arrived?.headers)).not.toContain(key);
    if (action !== "count") expect(await site.row(reply.session)).toMatchObject({ user_id: "ada", provider: "vertex" });
  });

  it("asks nobody without a token, with a key in its place, on another path, and beyond a key's rights", async () => {
    const site = await startSite(file, own);
    const key = await site.key();
    const narrow = await site.key({ models: ["claude-opus-4-8"] });
    const token = { ...none, authorization: `Bearer ${googleToken}` };
    expect((await call(site, key, ["vertex", vertexId, "plain"], { ...none, "x-team-key": key })).status).toBe(401);
    expect((await call(site, key, ["vertex", vertexId, "plain"], { ...none, authorization: `Bearer ${key}` })).status).toBe(401);
    expect((await call(site, key, ["vertex", vertexId, "plain"], { ...none, "x-team-key": key, authorization: "Bearer sk-ant-oat01-of-another-house" })).status).toBe(401);
    expect((await call(site, key, ["messages", "claude-sonnet-4-5", "plain"], { ...token, "x-team-key": key })).status).toBe(404);
    // Elsewhere a bearer may be for somebody else than Google, and no project is named.
    const elsewhere = await openCall(site.harness.url, key, { ...requestOf("messages", "claude-sonnet-4-5", "plain"), path: "/foundry/v1/messages", headers: { "x-api-key": null, "x-team-key": key, authorization: "Bearer eyJ0.of-another-house" } });
    await elsewhere.ended;
    expect(elsewhere.status).toBe(404);
    expect((await call(site, narrow, ["vertex", vertexId, "plain"], { ...token, "x-team-key": narrow })).status).toBe(404);
    expect([site.asked, site.vertex.requests]).toEqual([[], []]);
  });

  it("leaves a model of model_list to its entry, which does not get the token", async () => {
    const site = await startSite(file, own);
    const key = await site.key();
    const reply = await call(site, key, ["vertex", "claude-opus-4-8", "plain"], { ...none, "x-team-key": key, authorization: `Bearer ${googleToken}` });
    expect(reply.status, reply.text()).toBe(200);
    expect([site.asked, site.anthropic.requests.length]).toEqual([[], 1]);
    expect(JSON.stringify(site.anthropic.requests[0]?.headers)).not.toContain(googleToken);
  });
});

it("the gateway's logins at clouds go through the dialer like everything else: by the operator's proxy, to the login services' own hosts", async () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048, privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } });
  const account = JSON.stringify({ type: "service_account", client_email: "gateway@lent-project.iam.gserviceaccount.com", private_key: privateKey, project_id: "lent-project" });
  const site = await startSite(() => `
model_list:
  - {model_name: claude-opus-4-8, litellm_params: {model: vertex_ai/claude-opus-4-8, vertex_project: lent-project, vertex_location: us-east5, vertex_credentials: '${account}'}}
  - {model_name: claude-sonnet-4-6, litellm_params: {model: bedrock/claude-sonnet-4-6, aws_region_name: eu-west-1, aws_access_key_id: AKIDLITELLM, aws_secret_access_key: aws-secret-0123456789, aws_role_name: "arn:aws:iam::123456789012:role/claude"}}
general_settings: {master_key: "${adminKey}"}`);
  const key = await site.key();
  // The login services are out of reach here; where they were looked for is what counts.
  for (const model of ["claude-opus-4-8", "claude-sonnet-4-6"]) expect((await call(site, key, ["messages", model, "plain"])).status).toBeGreaterThanOrEqual(500);
  expect(site.asked).toEqual(["oauth2.googleapis.com:443", "sts.eu-west-1.amazonaws.com:443"]);
});
