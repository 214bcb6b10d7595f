// Guarantee: a request of Claude Code reaches Vertex AI at the right host and path, in Google's envelope, with nothing changed that
// did not have to be; what a place refuses leaves as header and field together, and a client's own login goes to Google only.
import { afterEach, describe, expect, it } from "vitest";
import { claudeCodeBetas, claudeCodeBody, claudeCodeCall, claudeCodeHeaders } from "../../../test/support/claude-code-request.ts";
import type { FakePlace } from "../../../test/support/fake-place.ts";
import { startFakeVertex, type FakeVertexOptions } from "../../../test/support/fake-vertex.ts";
import { isGatewayError } from "../../kernel/gateway-error.ts";
import { Secret } from "../../kernel/secret.ts";
import { headerValue } from "../../wire/headers.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import type { ProviderCall, UpstreamRequest } from "../provider.ts";
import type { VertexSettings } from "./config.ts";
import { vertex } from "./index.ts";

const settingsOf = (fields: object = {}): VertexSettings => vertex.settings.parse({ project: "fake-project", location: "europe-west1", ...fields });
const settings = settingsOf();
const bodyOf = (request: UpstreamRequest): Record<string, unknown> => JSON.parse(request.body.toString()) as Record<string, unknown>;
const betasIn = (request: UpstreamRequest): readonly string[] => (headerValue(request.headers, "anthropic-beta") ?? "").split(",");

function faultOf(act: () => unknown): unknown {
  try {
    act();
  } catch (fault) {
    return isGatewayError(fault) ? [fault.code, fault.spec.text] : fault;
  }
  return undefined;
}

describe("golden conversion of a Claude Code request", () => {
  it("streams through streamRawPredict with model and betas in Google's places", () => {
    const call = claudeCodeCall();
    const request = vertex.prepare(call, settings);
    expect(request.path).toBe("/v1/projects/fake-project/locations/europe-west1/publishers/anthropic/models/claude-opus-5-5:streamRawPredict");
    const { model: _model, ...rest } = claudeCodeBody();
    expect(request.body.toString()).toBe(JSON.stringify({ anthropic_version: "vertex-2023-10-16", ...rest }));
    expect(betasIn(request)).toEqual(claudeCodeBetas.map((beta) => (beta === "advanced-tool-use-2025-11-20" ? "tool-search-tool-2025-10-19" : beta)));
    expect(request.loss).toEqual(["beta:advanced-tool-use-2025-11-20"]);
    const expected = claudeCodeHeaders([]).filter((_text, index, all) => !/^anthropic-(?:version|dangerous)/i.test(all[index - (index % 2)]!));
    expect(request.headers.filter((_text, index, all) => all[index - (index % 2)] !== "anthropic-beta")).toEqual(expected);
    expect([request.method, request.origin]).toEqual(["POST", undefined]);
  });

  it("goes through rawPredict when it does not stream", () => {
    expect(vertex.prepare(claudeCodeCall({ stream: false }, { isStreaming: false }), settings).path).toMatch(/claude-opus-5-5:rawPredict$/);
  });

  it("keeps the model in the body for count_tokens, whose URL has none", () => {
    const call = claudeCodeCall({}, { operation: "count_tokens", isStreaming: false, upstreamModel: "claude-haiku-4-5@20251001" });
    const request = vertex.prepare(call, settings);
    expect(request.path).toBe("/v1/projects/fake-project/locations/europe-west1/publishers/anthropic/models/count-tokens:rawPredict");
    expect(bodyOf(request)).toMatchObject({ model: "claude-haiku-4-5@20251001", anthropic_version: "vertex-2023-10-16" });
  });

  it("leaves the body of a Vertex client untouched, and takes project and location from the settings", () => {
    const { model: _model, ...rest } = claudeCodeBody({ anthropic_version: "vertex-2023-10-16" });
    const body = Buffer.from(JSON.stringify(rest, null, 1));
    const members = scanMembers(body);
    if (isProblem(members)) throw new Error(members.reason);
    const headers = claudeCodeHeaders(["claude-code-20250219", "tool-search-tool-2025-10-19"]);
    const request = vertex.prepare(claudeCodeCall({}, { envelope: "vertex", body, members, headers, query: "?key=x" }), settings);
    expect(request.body).toBe(body);
    expect(request.loss).toBeUndefined();
    expect(request.path).not.toContain("?");
    expect(betasIn(request)).toEqual(["claude-code-20250219", "tool-search-tool-2025-10-19"]);
  });

  it("leaves @ in a model's id as it is, and lets nothing else out of its segment", () => {
    const pathOf = (upstreamModel: string): string => vertex.prepare(claudeCodeCall({}, { upstreamModel }), settings).path;
    expect(pathOf("claude-sonnet-4-5@20250929")).toContain("/models/claude-sonnet-4-5@20250929:streamRawPredict");
    expect(pathOf("a/../b:rawPredict?x#y")).toContain("/models/a%2F..%2Fb%3ArawPredict%3Fx%23y:streamRawPredict");
  });
});

describe("hosts", () => {
  it.each([
    ["global", "https://aiplatform.googleapis.com"],
    ["us", "https://aiplatform.us.rep.googleapis.com"],
    ["eu", "https://aiplatform.eu.rep.googleapis.com"],
    ["us-east5", "https://us-east5-aiplatform.googleapis.com"],
  ])("%s is served at %s", (location, origin) => {
    expect(vertex.destination(settingsOf({ location }))).toEqual({ origin, pathPrefix: "" });
    expect(vertex.isOwnOrigin!(origin, settings)).toBe(true);
  });

  it.each([
    "https://evil.example", "http://aiplatform.googleapis.com", "https://aiplatform.googleapis.com:8443", "https://aiplatform.asia.rep.googleapis.com", "https://x.us-east5-aiplatform.googleapis.com",
    "https://global-aiplatform.googleapis.com", "https://us-aiplatform.googleapis.com", "https://aiplatform.googleapis.com.evil.example", "nonsense",
  ])("%s is not Vertex AI", (origin) => expect(vertex.isOwnOrigin!(origin, settings)).toBe(false));

  it("an address of the operator's takes the place of Google's, with or without /v1 at its end", () => {
    for (const base of ["https://psc.internal/vertex", "https://psc.internal/vertex/", "https://psc.internal/vertex/v1"]) {
      const own = settingsOf({ base_url: base });
      expect(vertex.destination(own)).toEqual({ origin: "https://psc.internal", pathPrefix: "/vertex" });
      expect(vertex.isOwnOrigin!("https://aiplatform.googleapis.com", own)).toBe(false);
    }
  });

  it("a client's own login goes to the project and location of its URL", () => {
    const clientProject = { project: "their-project", location: "eu" };
    const request = vertex.prepare(claudeCodeCall({}, { clientProject }), settings);
    expect([request.origin, request.path.split("/publishers", 1)[0]]).toEqual(["https://aiplatform.eu.rep.googleapis.com", "/v1/projects/their-project/locations/eu"]);
    expect(vertex.prepare(claudeCodeCall({}, { clientProject }), settingsOf({ base_url: "https://psc.internal" })).origin).toBeUndefined();
  });

  it.each([{ project: "p", location: "eu.evil" }, { project: "p", location: "-" }, { project: "p", location: "EU" }, { project: "../x", location: "eu" }, { project: "a/b", location: "eu" }])("%j in a client's URL is refused", (clientProject) => {
    expect(faultOf(() => vertex.prepare(claudeCodeCall({}, { clientProject }), settings))).toEqual(["client_field_invalid", "The path holds a project or location that cannot be one."]);
  });
});

describe("settings", () => {
  it.each([{ location: "evil.example/" }, { location: "" }, { project: "a/b" }, { project: "" }, { base_url: "ftp://x" }, { base_url: "https://u:p@x" }, { base_url: "https://x/v1/projects/p" }, { surprise: 1 }])("%j is refused", (fields) => {
    expect(vertex.settings.safeParse({ project: "p", ...fields }).success).toBe(false);
  });

  it("takes credentials as a path, as JSON text and as an object, and prints none of them", () => {
    for (const credentials of ["/etc/key.json", '{"type":"authorized_user"}', { type: "authorized_user" }]) {
      const parsed = settingsOf({ credentials });
      expect(parsed.credentials).toBeInstanceOf(Secret);
      expect(JSON.stringify(parsed)).toContain('"credentials":"[secret]"');
    }
  });
});

describe("what this place takes", () => {
  it("request tags leave with their beta, and without it", () => {
    const tagged = claudeCodeCall({ tags: { team: "a" } }, { headers: claudeCodeHeaders(["claude-code-20250219", "request-tags-2026-08-21"]) });
    const request = vertex.prepare(tagged, settings);
    expect([bodyOf(request)["tags"], betasIn(request), request.loss]).toEqual([undefined, ["claude-code-20250219"], ["beta:request-tags-2026-08-21", "field:tags"]]);
    const bare = vertex.prepare(claudeCodeCall({ tags: {} }, { headers: claudeCodeHeaders([]) }), settings);
    expect([bodyOf(bare)["tags"], bare.loss]).toEqual([undefined, ["field:tags"]]);
  });

  it("a refused beta leaves with its field, by the name that was sent or the one that came", () => {
    const without = (beta: string): UpstreamRequest => vertex.prepare(claudeCodeCall({}, { refusedBetas: new Set([beta]) }), settings);
    const managed = without("context-management-2025-06-27");
    expect(bodyOf(managed)["context_management"]).toBeUndefined();
    expect(managed.loss).toEqual(["beta:context-management-2025-06-27", "beta:advanced-tool-use-2025-11-20", "field:context_management"]);
    for (const name of ["tool-search-tool-2025-10-19", "advanced-tool-use-2025-11-20"]) {
      const searched = without(name);
      expect(betasIn(searched).join()).not.toMatch(/tool-search|advanced-tool/);
      expect(JSON.stringify(bodyOf(searched)["tools"])).not.toContain("defer_loading");
      expect(searched.loss).toEqual(["beta:advanced-tool-use-2025-11-20", "field:tools.defer_loading"]);
    }
  });

  it("what is refused changes neither messages nor system", () => {
    const call = claudeCodeCall({}, { refusedBetas: new Set(claudeCodeBetas) });
    const before = JSON.parse(call.body.toString()) as Record<string, unknown>;
    const after = bodyOf(vertex.prepare(call, settings));
    expect([JSON.stringify(after["messages"]), JSON.stringify(after["system"])]).toEqual([JSON.stringify(before["messages"]), JSON.stringify(before["system"])]);
  });

  it("examples of tools get the beta that admits them here", () => {
    const tools = [{ name: "a", input_schema: { type: "object" }, input_examples: [{}] }];
    expect(betasIn(vertex.prepare(claudeCodeCall({ tools }), settings))).toContain("tool-examples-2025-10-29");
    const refused = vertex.prepare(claudeCodeCall({ tools }, { refusedBetas: new Set(["tool-examples-2025-10-29"]) }), settings);
    expect([betasIn(refused).includes("tool-examples-2025-10-29"), JSON.stringify(bodyOf(refused)["tools"]).includes("input_examples")]).toEqual([false, false]);
  });

  it("the beta of web search goes with messages and stays away from count_tokens, which refuses it", () => {
    const headers = claudeCodeHeaders(["claude-code-20250219", "web-search-2025-03-05"]);
    const tools = [{ type: "web_search_20250305", name: "web_search" }];
    expect(betasIn(vertex.prepare(claudeCodeCall({ tools }, { headers }), settings))).toContain("web-search-2025-03-05");
    const counted = vertex.prepare(claudeCodeCall({ tools }, { headers, operation: "count_tokens", isStreaming: false }), settings);
    expect([betasIn(counted), counted.loss, bodyOf(counted)["tools"]]).toEqual([["claude-code-20250219"], ["beta:web-search-2025-03-05"], tools]);
  });

  it("safeguards are served, and once their beta is refused the client hears the field's name", () => {
    const call = (refused: readonly string[]): ProviderCall =>
      claudeCodeCall({ safeguards: [{ type: "dangerous_tool_use" }] }, { headers: claudeCodeHeaders(["dangerous-tool-use-2026-09-03"]), refusedBetas: new Set(refused) });
    expect(bodyOf(vertex.prepare(call([]), settings))["safeguards"]).toBeDefined();
    expect(faultOf(() => vertex.prepare(call(["dangerous-tool-use-2026-09-03"]), settings))).toEqual(["client_field_invalid", expect.stringMatching(/^safeguards: /)]);
  });
});

describe("names of models", () => {
  it.each([
    ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929"], ["claude-sonnet-4-5", "claude-sonnet-4-5@20250929"], ["claude-opus-4-5", "claude-opus-4-5@20251101"],
    ["claude-haiku-4-5-20251001", "claude-haiku-4-5@20251001"], ["claude-opus-4-20250514", "claude-opus-4@20250514"], ["claude-3-5-haiku-20241022", "claude-3-5-haiku@20241022"],
    ["claude-3-5-sonnet-20241022", "claude-3-5-sonnet-v2@20241022"], ["claude-opus-5-5", "claude-opus-5-5"], ["claude-sonnet-4-6", "claude-sonnet-4-6"],
    ["claude-opus-4-1@20250805", "claude-opus-4-1@20250805"], ["constructor", "constructor"],
  ])("%s is %s", (name, id) => expect(vertex.modelName!(name, settings)).toBe(id));
});

describe("against the strict fake", () => {
  let fake: FakePlace | undefined;
  afterEach(() => fake?.close());

  async function send(call: ProviderCall, options: FakeVertexOptions = {}): Promise<Response> {
    fake = await startFakeVertex(options);
    const own = settingsOf({ base_url: fake.url });
    const prepared = vertex.prepare(call, own);
    const { headers, path, body } = { ...prepared, headers: [...prepared.headers, "authorization", "Bearer ya29.good"] };
    const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]!] as [string, string]] : []));
    return fetch(`${fake.url}${path}`, { method: "POST", headers: pairs, body: new Uint8Array(body) });
  }

  it("a Claude Code request is accepted whole and billed at the model's name", async () => {
    const reply = await send(claudeCodeCall({}, { upstreamModel: "claude-sonnet-4-5@20250929" }));
    expect([reply.status, await reply.text()]).toEqual([200, expect.stringContaining("event: message_stop")]);
    expect([fake!.rejections, fake!.violations]).toEqual([[], []]);
    expect(fake!.bill()).toMatchObject([{ type: "billed", model: "claude-sonnet-4-5-20250929", isStreaming: true }]);
  });

  it("count_tokens is accepted", async () => {
    const fields = { max_tokens: undefined, metadata: undefined, stream: undefined, context_management: undefined };
    const reply = await send(claudeCodeCall(fields, { operation: "count_tokens", isStreaming: false }));
    expect([reply.status, await reply.json()]).toEqual([200, { input_tokens: expect.any(Number) as number }]);
  });

  it("a beta that it refuses comes back as the one to leave out, and without it and its field the request passes", async () => {
    const refused = "context-management-2025-06-27";
    const reply = await send(claudeCodeCall(), { rejectBetas: [refused] });
    const verdict = vertex.judge!({ status: reply.status, headers: [], body: Buffer.from(await reply.arrayBuffer()), ownsCredential: false });
    expect([reply.status, verdict.refusedBeta]).toEqual([400, refused]);
    await fake!.close();
    expect((await send(claudeCodeCall({}, { refusedBetas: new Set([refused]) }), { rejectBetas: [refused] })).status).toBe(200);
  });
});
