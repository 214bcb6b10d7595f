// Guarantee: a request of Claude Code reaches a Foundry deployment as it came, with the key in one header and the deployment's name
// for a model; Azure's words, which name principals and resources, stay inside, and the model's own pass.
import { afterEach, describe, expect, it } from "vitest";
import { claudeCodeBetas, claudeCodeBody, claudeCodeCall } from "../../../test/support/claude-code-request.ts";
import { azureError, startFakeFoundry, type FakeFoundryOptions } from "../../../test/support/fake-foundry.ts";
import { healableErrors } from "../../../test/support/fake-anthropic-wordings.ts";
import type { FakePlace } from "../../../test/support/fake-place.ts";
import { isGatewayError } from "../../kernel/gateway-error.ts";
import { headerValue } from "../../wire/headers.ts";
import type { ProviderCall, ReplyVerdict } from "../provider.ts";
import type { FoundrySettings } from "./config.ts";
import { foundry } from "./index.ts";

const key = "azure-key-canary";
const settingsOf = (fields: object = {}): FoundrySettings => foundry.settings.parse({ resource: "my-resource", api_key: key, ...fields });
const settings = settingsOf();
const context = { credentials: undefined, client: undefined, host: "h", nowMs: 0 };

describe("address", () => {
  it.each([
    [{ resource: "my-resource" }, "https://my-resource.services.ai.azure.com", "/anthropic"],
    [{ base_url: "https://my-resource.services.ai.azure.com/anthropic/v1/messages" }, "https://my-resource.services.ai.azure.com", "/anthropic"],
    [{ base_url: "https://my-resource.services.ai.azure.com/anthropic/" }, "https://my-resource.services.ai.azure.com", "/anthropic"],
    [{ base_url: "https://my-resource.services.ai.azure.com" }, "https://my-resource.services.ai.azure.com", "/anthropic"],
    [{ base_url: "https://apim.internal/claude/v1" }, "https://apim.internal", "/claude"],
    [{ base_url: "http://127.0.0.1:8080" }, "http://127.0.0.1:8080", ""],
  ])("%j", (fields, origin, pathPrefix) => expect(foundry.destination(foundry.settings.parse(fields))).toEqual({ origin, pathPrefix }));

  it.each([{}, { resource: "a", base_url: "https://x" }, { resource: "a.b" }, { resource: "a/b" }, { base_url: "https://u:p@x" }, { resource: "a", surprise: 1 }, { resource: "a", auth_header: "authorization" }])("%j is refused", (fields) => {
    expect(foundry.settings.safeParse(fields).success).toBe(false);
  });
});

describe("golden conversion of a Claude Code request", () => {
  it("goes as it came, to the byte", () => {
    const call = claudeCodeCall();
    const request = foundry.prepare(call, settings);
    expect(request.body).toBe(call.body);
    expect(request.headers).toEqual(call.headers);
    expect([request.path, request.loss]).toEqual(["/v1/messages?beta=true", undefined]);
    expect(foundry.prepare({ ...call, operation: "count_tokens" }, settings).path).toBe("/v1/messages/count_tokens?beta=true");
  });

  it("only the model's name is another where the deployment has one", () => {
    const request = foundry.prepare(claudeCodeCall({}, { upstreamModel: "our-opus" }), settings);
    expect(request.body.toString()).toBe(JSON.stringify(claudeCodeBody({ model: "our-opus" })));
  });

  it("a refused beta leaves with its field, and safeguards are refused by name", () => {
    const request = foundry.prepare(claudeCodeCall({}, { refusedBetas: new Set(["context-management-2025-06-27"]) }), settings);
    expect(request.loss).toEqual(["beta:context-management-2025-06-27", "field:context_management"]);
    expect(headerValue(request.headers, "anthropic-beta")).toBe(claudeCodeBetas.filter((beta) => beta !== "context-management-2025-06-27").join(","));
    const guarded = claudeCodeCall({ safeguards: [] }, { headers: ["anthropic-beta", "dangerous-tool-use-2026-09-03"], refusedBetas: new Set(["dangerous-tool-use-2026-09-03"]) });
    let fault: unknown;
    try {
      foundry.prepare(guarded, settings);
    } catch (thrown) {
      fault = thrown;
    }
    expect(isGatewayError(fault) && [fault.code, fault.spec.text.startsWith("safeguards: ")]).toEqual(["client_field_invalid", true]);
  });

  it("the key goes in the header that was chosen, and the client's login in its place where the target says so", async () => {
    const request = foundry.prepare(claudeCodeCall(), settings);
    expect((await foundry.authorize(request, settings, context)).headers.slice(-2)).toEqual(["x-api-key", key]);
    expect((await foundry.authorize(request, settingsOf({ auth_header: "api-key" }), context)).headers.slice(-2)).toEqual(["api-key", key]);
    const client = { header: "authorization", value: "Bearer theirs" };
    const theirs = await foundry.authorize(request, settings, { ...context, client });
    expect([theirs.headers.slice(-2), theirs.headers.includes(key)]).toEqual([["authorization", "Bearer theirs"], false]);
  });
});

describe("names of deployments", () => {
  it.each([["claude-haiku-4-5-20251001", "claude-haiku-4-5"], ["claude-opus-5-5", "claude-opus-5-5"], ["my-deployment-20250101", "my-deployment-20250101"]])("%s is %s", (name, deployment) =>
    expect(foundry.modelName!(name, settings)).toBe(deployment));
});

describe("failures", () => {
  const verdict = (status: number, body: unknown, ownsCredential = false, headers: string[] = []): ReplyVerdict =>
    foundry.judge!({ status, headers, body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), ownsCredential });
  const principal = "The principal `user@company.example` lacks the required data action `Microsoft.CognitiveServices/x` on my-resource";

  it.each(Object.entries(healableErrors))("%s: the model's words reach the client", (_name, { status = 0, message = "" }) => {
    const { told, replyClass, refusedBeta } = verdict(status, { type: "error", error: { type: "invalid_request_error", message } });
    expect([replyClass, told?.message ?? message, refusedBeta === undefined]).toEqual(["deliver", message, !message.includes("anthropic-beta")]);
  });

  it.each<[string, number, unknown, string, string, number | undefined]>([
    ["a wrong key", 401, { statusCode: 401, message: `Unauthorized. ${principal}` }, "credential", "authentication_error", undefined],
    ["a missing role", 401, azureError("PermissionDenied", principal), "credential", "authentication_error", undefined],
    ["a forbidden network", 403, azureError("AccessDenied", `Virtual Network of ${principal}`), "credential", "permission_error", undefined],
    ["an unknown deployment", 404, azureError("DeploymentNotFound", "The API deployment for this resource does not exist."), "retryable", "not_found_error", undefined],
    ["another API", 404, azureError("api_not_supported", "Requested API is currently not supported"), "retryable", "not_found_error", undefined],
    ["a rate limit", 429, azureError("RateLimitReached", principal), "retryable", "rate_limit_error", undefined],
    ["a fault between Azure and the model", 401, azureError("invalid_model_endpoint_authentication", principal), "retryable", "overloaded_error", 503],
    ["a content filter", 400, azureError("content_filter", principal), "deliver", "invalid_request_error", undefined],
    ["a bad request of Azure's front", 400, azureError("BadRequest", principal), "deliver", "invalid_request_error", undefined],
    ["a fault", 500, azureError("InternalServerError", principal), "retryable", "api_error", undefined],
    ["a page", 502, `<html>${principal}</html>`, "retryable", "api_error", undefined],
  ])("%s is told in plain words", (_name, status, body, replyClass, type, toldStatus) => {
    const result = verdict(status, body);
    expect([result.replyClass, result.told?.type, result.told?.status]).toEqual([replyClass, type, toldStatus]);
    expect(result.told?.message).not.toMatch(/principal|company|my-resource|Microsoft\.Cog/);
  });

  it("keeps the waiting time, and leaves a client's own login to the client", () => {
    expect(verdict(429, azureError("429", "x"), false, ["retry-after", "20"]).told?.retryAfterSeconds).toBe(20);
    expect(verdict(401, azureError("401", principal), true).replyClass).toBe("deliver");
  });
});

describe("against the strict fake", () => {
  let fake: FakePlace | undefined;
  afterEach(() => fake?.close());

  async function send(call: ProviderCall, options: FakeFoundryOptions = {}, fields: object = {}): Promise<Response> {
    fake = await startFakeFoundry({ apiKey: key, ...options });
    const own = settingsOf({ resource: undefined, base_url: `${fake.url}/anthropic`, ...fields });
    const { headers, path, body } = await foundry.authorize(foundry.prepare(call, own), own, context);
    const pairs = headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]!] as [string, string]] : []));
    return fetch(`${fake.url}${foundry.destination(own).pathPrefix}${path}`, { method: "POST", headers: pairs, body: new Uint8Array(body) });
  }

  it.each(["x-api-key", "api-key"])("a Claude Code request with its key in %s is accepted whole and billed", async (header) => {
    const reply = await send(claudeCodeCall({}, { upstreamModel: "our-opus" }), { deployments: { "our-opus": "claude-opus-5-5" } }, { auth_header: header });
    expect([reply.status, await reply.text()]).toEqual([200, expect.stringContaining("event: message_stop")]);
    expect([fake!.rejections, fake!.violations]).toEqual([[], []]);
    expect(fake!.bill()).toMatchObject([{ type: "billed", model: "claude-opus-5-5", isStreaming: true }]);
  });

  it("a refused beta is found in its reply, and the request passes without it", async () => {
    const refused = "effort-2025-11-24";
    const reply = await send(claudeCodeCall({ messages: [{ role: "user", content: "x" }] }), { rejectBetas: [refused] });
    expect(foundry.judge!({ status: reply.status, headers: [], body: Buffer.from(await reply.arrayBuffer()), ownsCredential: false }).refusedBeta).toBe(refused);
    await fake!.close();
    const call = claudeCodeCall({ messages: [{ role: "user", content: "x" }] }, { refusedBetas: new Set([refused]) });
    expect((await send(call, { rejectBetas: [refused] })).status).toBe(200);
  });
});
