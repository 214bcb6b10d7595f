// Guarantee: Mantle and Claude Platform on AWS get the Messages request as it came, but for what Mantle is known not to have, signed
// for their own service or with their own kind of key; what AWS's front says of accounts is not told.
import { afterEach, describe, expect, it } from "vitest";
import { claudeCodeBetas, claudeCodeCall, claudeCodeHeaders } from "../../test/support/claude-code-request.ts";
import { createFakeAwsLogin, createFakeMachine } from "../../test/support/fake-aws-login.ts";
import { startFakeAnthropicAws, startFakeMantle } from "../../test/support/fake-bedrock.ts";
import type { FakePlace } from "../../test/support/fake-place.ts";
import { manualClock } from "../kernel/clock.ts";
import { headerValue } from "../wire/headers.ts";
import { anthropicAws } from "./anthropic-aws/index.ts";
import { mantle } from "./mantle/index.ts";
import type { Provider, ProviderCall } from "./provider.ts";

let fake: FakePlace | undefined;
afterEach(async () => {
  await fake?.close();
  fake = undefined;
});

const nowMs = Date.UTC(2026, 10, 23, 12, 0, 0);
const keys = { AKIAGOOD: { secret: "good-secret" } };
const own = { access_key_id: "AKIAGOOD", secret_access_key: "good-secret" };

/** Sends one call through the provider; `prefix` is what stands in front of its paths. */
async function send(provider: Provider, call: ProviderCall, { settings: more, prefix = "", env = {} }: { readonly settings: Readonly<Record<string, unknown>>; readonly prefix?: string; readonly env?: Readonly<Record<string, string>> }) {
  const settings = provider.settings.parse({ region: "us-east-1", endpoint: `${fake!.url}${prefix}`, ...more });
  const clock = manualClock();
  const machine = createFakeMachine(clock, createFakeAwsLogin(clock));
  Object.assign(machine.env, env);
  const credentials = provider.login!(settings, machine.runtime);
  const request = await provider.authorize(provider.prepare(call, settings), settings, { credentials, client: undefined, host: new URL(fake!.url).host, nowMs });
  const pairs: [string, string][] = [];
  for (let index = 0; index < request.headers.length; index += 2) pairs.push([request.headers[index]!, request.headers[index + 1]!]);
  const reply = await fetch(`${fake!.url}${prefix}${request.path}`, { method: "POST", headers: pairs, body: new Uint8Array(request.body) });
  const verdict = reply.ok ? undefined : provider.judge!({ status: reply.status, headers: [...reply.headers].flat(), body: Buffer.from(await reply.arrayBuffer()), ownsCredential: false });
  return { status: reply.status, verdict };
}

describe("Mantle", () => {
  const place = mantle.settings.parse({ region: "eu-west-1" });
  const model = "anthropic.claude-opus-5-5";
  const callOf = (fields: Readonly<Record<string, unknown>> = {}, more: Partial<ProviderCall> = {}): ProviderCall => claudeCodeCall(fields, { upstreamModel: model, ...more });

  it("stands below /anthropic of its region, and names models without dates and regions", () => {
    expect(mantle.destination(place)).toEqual({ origin: "https://bedrock-mantle.eu-west-1.api.aws", pathPrefix: "/anthropic" });
    expect(["claude-opus-5-5", "claude-haiku-4-5-20251001", "anthropic.claude-opus-5"].map((name) => mantle.modelName!(name, place))).toEqual([model, "anthropic.claude-haiku-4-5", "anthropic.claude-opus-5"]);
  });

  it("gets what came, with one beta under another name", () => {
    const call = callOf();
    const { body, headers, loss, path } = mantle.prepare(call, place);
    expect(JSON.parse(body.toString())).toEqual({ ...(JSON.parse(call.body.toString()) as object), model });
    expect(headerValue(headers, "anthropic-beta")).toBe(claudeCodeBetas.join().replace("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"));
    expect([loss, path]).toEqual([["beta:advanced-tool-use-2025-11-20"], "/v1/messages?beta=true"]);
    const plain = callOf({ model }, { headers: claudeCodeHeaders(["effort-2025-11-24"]) });
    expect(mantle.prepare(plain, place).body).toBe(plain.body);
  });

  it("gets no tags, and no refused beta with its field", () => {
    const call = callOf({ tags: ["x"] }, { refusedBetas: new Set(["context-management-2025-06-27"]), headers: claudeCodeHeaders(["request-tags-2026-08-21", "context-management-2025-06-27"]) });
    const { body, headers, loss } = mantle.prepare(call, place);
    expect(Object.keys(JSON.parse(body.toString()) as object).filter((name) => name === "tags" || name === "context_management")).toEqual([]);
    expect(headerValue(headers, "anthropic-beta")).toBeUndefined();
    expect(loss).toEqual(["beta:request-tags-2026-08-21", "beta:context-management-2025-06-27", "field:context_management", "field:tags"]);
    expect(() => mantle.prepare(callOf({ safeguards: [] }, { refusedBetas: new Set(["dangerous-tool-use-2026-09-03"]), headers: claudeCodeHeaders(["dangerous-tool-use-2026-09-03"]) }), place)).toThrow(expect.objectContaining({ code: "client_field_invalid" }));
  });

  it.each<[string, Readonly<Record<string, unknown>>, Readonly<Record<string, string>>]>([
    ["keys", own, {}],
    ["an API key", { api_key: "bedrock-key" }, {}],
    ["an API key of the environment", {}, { AWS_BEARER_TOKEN_BEDROCK: "bedrock-key" }],
  ])("takes a request with %s", async (_name, settings, env) => {
    fake = await startFakeMantle({ keys, bearer: "bedrock-key", now: () => nowMs });
    expect(await send(mantle, callOf(), { settings, prefix: "/anthropic", env })).toEqual({ status: 200, verdict: undefined });
    expect([fake.rejections, fake.violations]).toEqual([[], []]);
  });

  it("has its refusals understood", async () => {
    fake = await startFakeMantle({ keys, now: () => nowMs, rejectBetas: ["effort-2025-11-24"] });
    expect((await send(mantle, callOf(), { settings: { ...own, secret_access_key: "wrong" }, prefix: "/anthropic" })).verdict).toEqual({ replyClass: "credential", told: undefined });
    expect((await send(mantle, callOf(), { settings: own, prefix: "/anthropic" })).verdict).toMatchObject({ replyClass: "deliver", refusedBeta: "effort-2025-11-24" });
  });
});

describe("Claude Platform on AWS", () => {
  const place = anthropicAws.settings.parse({ region: "us-west-2", workspace_id: "wrkspc_01" });

  it("gets the client's own bytes and Anthropic's own names, and the operator's workspace", () => {
    expect(anthropicAws.destination(place)).toEqual({ origin: "https://aws-external-anthropic.us-west-2.api.aws", pathPrefix: "" });
    const call = claudeCodeCall({}, { headers: [...claudeCodeHeaders(), "anthropic-workspace-id", "theirs"] });
    const { body, headers, loss } = anthropicAws.prepare(call, place);
    expect([body, loss, headerValue(headers, "anthropic-beta")]).toEqual([call.body, undefined, claudeCodeBetas.join()]);
    expect(headers.filter((name) => name === "anthropic-workspace-id")).toHaveLength(1);
    expect(headerValue(headers, "anthropic-workspace-id")).toBe("wrkspc_01");
    expect(headerValue(anthropicAws.prepare(call, anthropicAws.settings.parse({ region: "us-west-2" })).headers, "anthropic-workspace-id")).toBe("theirs");
    expect("modelName" in anthropicAws).toBe(false);
  });

  it.each<[string, Readonly<Record<string, unknown>>, Readonly<Record<string, string>>]>([
    ["keys", own, {}],
    ["a workspace key", { api_key: "workspace-key" }, {}],
    ["a workspace key of the environment", {}, { ANTHROPIC_AWS_API_KEY: "workspace-key" }],
  ])("takes a request with %s", async (_name, settings, env) => {
    fake = await startFakeAnthropicAws({ keys, workspaceId: "wrkspc_01", workspaceKey: "workspace-key", now: () => nowMs });
    const count = claudeCodeCall({ max_tokens: undefined, stream: undefined, metadata: undefined }, { operation: "count_tokens", isStreaming: false });
    for (const call of [claudeCodeCall(), count]) expect(await send(anthropicAws, call, { settings: { workspace_id: "wrkspc_01", ...settings }, env })).toEqual({ status: 200, verdict: undefined });
    expect([fake.rejections, fake.violations]).toEqual([[], []]);
  });

  it("loses a beta it refused with its field", () => {
    const { body, loss } = anthropicAws.prepare(claudeCodeCall({}, { refusedBetas: new Set(["context-management-2025-06-27"]) }), place);
    expect([body.includes("context_management"), loss]).toEqual([false, ["beta:context-management-2025-06-27", "field:context_management"]]);
  });
});
