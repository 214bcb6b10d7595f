// Guarantee: Bedrock gets the betas it is known to take and no field whose beta stayed behind; every byte of `messages` and `system`
// is the client's; a request in Bedrock's own form goes byte for byte; what was taken is listed.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { claudeCodeCall, claudeCodeHeaders } from "../../../test/support/claude-code-request.ts";
import { headerValue } from "../../wire/headers.ts";
import { isProblem, scanMembers } from "../../wire/json-members.ts";
import { betasOf } from "../envelope.ts";
import type { ProviderCall } from "../provider.ts";
import { betaRows } from "./capabilities.ts";
import { settings } from "./config.ts";
import { toBedrock } from "./envelope.ts";
import { countReply, prepare } from "./endpoint.ts";

const place = settings.parse({ region: "us-east-1" });
const toModel = { upstreamModel: "us.anthropic.claude-opus-5-5" };

function callOf(fields: Readonly<Record<string, unknown>> = {}, call: Partial<ProviderCall> = {}): ProviderCall {
  return claudeCodeCall(fields, { ...toModel, ...call });
}

function json(call: ProviderCall): Record<string, unknown> {
  return JSON.parse(toBedrock(call).body.toString()) as Record<string, unknown>;
}

function textOf(body: Buffer, name: string): string {
  const members = scanMembers(body);
  if (isProblem(members)) throw new Error(members.reason);
  const member = members.get(name)!;
  return body.toString("utf8", member.valueStart, member.valueEnd);
}

/** What Claude Code 2.1.330 sends in Bedrock mode. */
function nativeCall(fields: Readonly<Record<string, unknown>> = {}, call: Partial<ProviderCall> = {}): ProviderCall {
  return callOf(
    {
      model: undefined,
      stream: undefined,
      context_management: undefined,
      messages: [{ role: "user", content: "Hi" }, { role: "system", content: "# Environment" }],
      anthropic_beta: ["interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "thinking-token-count-2026-05-13"],
      anthropic_version: "bedrock-2023-05-31",
      ...fields,
    },
    { envelope: "bedrock", headers: claudeCodeHeaders(["claude-code-20250219", "thinking-token-count-2026-05-13", "effort-2025-11-24"]), ...call },
  );
}

describe("a Messages request of Claude Code", () => {
  it("goes with the betas that Bedrock takes in the body, under Bedrock's names", () => {
    const call = callOf();
    const form = toBedrock(call);
    const body = JSON.parse(form.body.toString()) as Record<string, unknown>;
    expect(body).toEqual({
      ...(JSON.parse(call.body.toString()) as object),
      model: undefined,
      stream: undefined,
      anthropic_version: "bedrock-2023-05-31",
      anthropic_beta: [
        "interleaved-thinking-2025-05-14", "context-management-2025-06-27", "mid-conversation-output-config-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01", "thinking-token-count-2026-05-13", "tool-search-tool-2025-10-19", "effort-2025-11-24",
      ],
    });
    expect("model" in body || "stream" in body).toBe(false);
    expect(form.loss).toEqual(["beta:claude-code-20250219", "beta:per-turn-control-2026-07-01", "beta:advanced-tool-use-2025-11-20"]);
    expect([headerValue(form.headers, "anthropic-beta"), headerValue(form.headers, "anthropic-version")]).toEqual([undefined, undefined]);
    for (const name of ["messages", "system", "tools"]) expect(textOf(form.body, name)).toBe(textOf(call.body, name));
  });

  it("goes to the path of the model, streaming or not, with a colon as it is and an ARN's slash escaped", () => {
    const path = (upstreamModel: string, isStreaming: boolean): string => prepare(callOf({}, { upstreamModel, isStreaming }), place).path;
    expect(path("us.anthropic.claude-haiku-4-5-20251001-v1:0", true)).toBe("/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke-with-response-stream");
    expect(path("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", false)).toBe("/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc/invoke");
    expect(path("../../x?y#z", false)).toBe("/model/..%2F..%2Fx%3Fy%23z/invoke");
  });

  it("loses a field together with the beta that was refused, and no other", () => {
    const body = json(callOf({}, { refusedBetas: new Set(["context-management-2025-06-27"]) }));
    expect("context_management" in body).toBe(false);
    expect(body["anthropic_beta"]).not.toContain("context-management-2025-06-27");
    expect(body["output_config"]).toEqual({ effort: "medium" });
    const { loss } = toBedrock(callOf({}, { refusedBetas: new Set(["effort-2025-11-24"]) }));
    expect(loss).toContain("field:output_config.effort");
  });

  it("loses its deferred tools' marks with tool search, refused by either name", () => {
    for (const refused of ["tool-search-tool-2025-10-19", "advanced-tool-use-2025-11-20"]) {
      const call = callOf({}, { refusedBetas: new Set([refused]) });
      const form = toBedrock(call);
      const body = JSON.parse(form.body.toString()) as { tools: Record<string, unknown>[]; anthropic_beta: string[] };
      expect(body.tools.map(({ name }) => name)).toEqual(["Bash", "WebFetch"]);
      expect(body.tools.some((tool) => "defer_loading" in tool)).toBe(false);
      expect(body.anthropic_beta).not.toContain("tool-search-tool-2025-10-19");
      expect(form.loss).toContain("field:tools.defer_loading");
      expect(textOf(form.body, "messages")).toBe(textOf(call.body, "messages"));
    }
  });

  it("keeps structured outputs without their beta, which Bedrock does not know", () => {
    const format = { type: "json_schema", schema: { type: "object" } };
    const call = callOf({ output_config: { effort: "low", format } }, { headers: claudeCodeHeaders(["effort-2025-11-24", "structured-outputs-2025-12-15"]) });
    expect(json(call)).toMatchObject({ output_config: { effort: "low", format }, anthropic_beta: ["effort-2025-11-24"] });
    expect(toBedrock(call).loss).toEqual(["beta:structured-outputs-2025-12-15"]);
  });

  it("has its eager tools put into the beta that Bedrock wants instead", () => {
    const tools = [{ name: "Bash", input_schema: { type: "object" }, eager_input_streaming: true }, { name: "Read", description: 'says "eager_input_streaming"', input_schema: { type: "object" } }];
    const call = callOf({ tools }, { headers: claudeCodeHeaders(["effort-2025-11-24"]) });
    const body = json(call);
    expect(body["tools"]).toEqual([{ name: "Bash", input_schema: { type: "object" } }, tools[1]]);
    expect(body["anthropic_beta"]).toEqual(["effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14"]);
    expect(toBedrock(call).loss).toEqual(["field:tools.eager_input_streaming"]);
    const off = callOf({ tools: [{ ...tools[0], eager_input_streaming: false }] }, { headers: claudeCodeHeaders(["effort-2025-11-24"]) });
    expect(json(off)["anthropic_beta"]).toEqual(["effort-2025-11-24"]);
  });

  it("names tool examples apart, which are part of another beta at Anthropic", () => {
    const tools = [{ name: "Bash", input_schema: { type: "object" }, input_examples: [{ a: 1 }] }];
    expect(json(callOf({ tools }))).toMatchObject({ tools, anthropic_beta: expect.arrayContaining(["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"]) as unknown });
  });

  it("leaves its tags, even where their beta was forgotten", () => {
    const call = callOf({ tags: ["a"] }, { headers: claudeCodeHeaders(["request-tags-2026-08-21", "effort-2025-11-24"]) });
    expect("tags" in json(call)).toBe(false);
    expect(toBedrock(call).loss).toEqual(["beta:request-tags-2026-08-21", "field:tags"]);
    expect("tags" in json(callOf({ tags: ["a"] }, { headers: claudeCodeHeaders([]) }))).toBe(false);
  });

  it.each(["safeguards", "mcp_servers", "container", "output_format"])("is refused naming %s, which may not be lost in silence", (name) => {
    const betas = { safeguards: "dangerous-tool-use-2027-01-01", mcp_servers: "mcp-client-2025-11-20", container: "skills-2025-10-02", output_format: "structured-outputs-2025-11-13" };
    const beta = betas[name as keyof typeof betas];
    const refusedBetas = new Set(name === "output_format" ? [beta] : []);
    expect(() => toBedrock(callOf({ [name]: [] }, { headers: claudeCodeHeaders([beta]), refusedBetas }))).toThrow(expect.objectContaining({ code: "client_field_invalid", details: { publicText: expect.stringContaining(`${name}:`) as unknown } }));
  });

  it("goes with safeguards and their beta, which a refusal turns into one by name", () => {
    const call = (refused: readonly string[]): ProviderCall => callOf({ safeguards: [{ type: "dangerous_tool_use" }] }, { headers: claudeCodeHeaders(["dangerous-tool-use-2026-09-03", "afk-mode-2026-01-31"]), refusedBetas: new Set(refused) });
    expect(json(call([]))).toMatchObject({ anthropic_beta: ["dangerous-tool-use-2026-09-03"], safeguards: [{ type: "dangerous_tool_use" }] });
    expect(() => toBedrock(call(["dangerous-tool-use-2026-09-03"]))).toThrow(expect.objectContaining({ details: { publicText: expect.stringContaining("safeguards:") as unknown } }));
  });

  it("sends a beta only to the models that know it", () => {
    const sent = (upstreamModel: string): unknown => json(callOf({}, { upstreamModel, headers: claudeCodeHeaders(["thinking-binding-controls-2026-08-01"]) }))["anthropic_beta"];
    expect(sent("eu.anthropic.claude-opus-5")).toEqual(["thinking-binding-controls-2026-08-01"]);
    expect(sent("eu.anthropic.claude-sonnet-4-5-20250929-v1:0")).toBeUndefined();
    expect(sent("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc")).toEqual(["thinking-binding-controls-2026-08-01"]);
  });

  it("keeps every byte of messages and system, whatever is asked for", () => {
    const beta = fc.constantFrom(...betaRows.map((row) => row.beta), "unknown-2026-01-01", "request-tags-2026-08-21");
    const fields = fc.record({ messages: fc.array(fc.jsonValue(), { maxLength: 3 }), system: fc.jsonValue(), context_management: fc.jsonValue(), tags: fc.jsonValue(), tools: fc.array(fc.record({ name: fc.string(), defer_loading: fc.boolean(), eager_input_streaming: fc.boolean() }), { maxLength: 3 }) }, { requiredKeys: ["messages"] });
    fc.assert(
      fc.property(fields, fc.uniqueArray(beta), fc.uniqueArray(beta), (body, betas, refused) => {
        const call = callOf(body, { headers: claudeCodeHeaders(betas), refusedBetas: new Set(refused) });
        const form = toBedrock(call);
        const sent = (JSON.parse(form.body.toString()) as { anthropic_beta?: string[] }).anthropic_beta ?? [];
        expect(textOf(form.body, "messages")).toBe(textOf(call.body, "messages"));
        expect(textOf(form.body, "system")).toBe(textOf(call.body, "system"));
        expect(sent.filter((name) => refused.includes(name) || !betaRows.some((row) => row.beta === name && row.isClientsOnly !== true))).toEqual([]);
        expect(new Set(sent).size).toBe(sent.length);
      }),
      { numRuns: 200 },
    );
  });
});

describe("a request in Bedrock's own form", () => {
  it("goes byte for byte, with its header, when its betas are known", () => {
    const call = nativeCall();
    const form = toBedrock(call);
    expect(form.body).toBe(call.body);
    expect(headerValue(form.headers, "anthropic-beta")).toBe("claude-code-20250219,thinking-token-count-2026-05-13,effort-2025-11-24");
    expect(form.loss).toEqual([]);
  });

  it("loses an unknown beta where it stood, and nothing else", () => {
    const call = nativeCall({ anthropic_beta: ["interleaved-thinking-2025-05-14", "extended-cache-ttl-2025-04-11"] });
    const form = toBedrock(call);
    expect(JSON.parse(form.body.toString())).toEqual({ ...(JSON.parse(call.body.toString()) as object), anthropic_beta: ["interleaved-thinking-2025-05-14"] });
    expect(headerValue(form.headers, "anthropic-beta")).toBe("claude-code-20250219,thinking-token-count-2026-05-13,effort-2025-11-24");
    expect(form.loss).toEqual(["beta:extended-cache-ttl-2025-04-11"]);
    const inHeader = toBedrock(nativeCall({ anthropic_beta: undefined }, { headers: claudeCodeHeaders(["effort-2025-11-24", "skills-2025-10-02"]) }));
    expect([headerValue(inHeader.headers, "anthropic-beta"), inHeader.loss]).toEqual(["effort-2025-11-24", ["beta:skills-2025-10-02"]]);
    expect(inHeader.body.includes("anthropic_beta")).toBe(false);
  });

  it("loses what some models refuse in the body and old versions of Claude Code put there", () => {
    const call = nativeCall({ anthropic_beta: ["claude-code-20250219"] }, { headers: claudeCodeHeaders(["claude-code-20250219"]) });
    const form = toBedrock(call);
    expect(JSON.parse(form.body.toString())).toEqual({ ...(JSON.parse(call.body.toString()) as object), anthropic_beta: undefined });
    expect([form.body.includes("anthropic_beta"), headerValue(form.headers, "anthropic-beta"), form.loss]).toEqual([false, undefined, ["beta:claude-code-20250219"]]);
  });

  it("loses a refused beta with its field", () => {
    const form = toBedrock(nativeCall({}, { refusedBetas: new Set(["tool-search-tool-2025-10-19"]) }));
    expect(form.body.includes("defer_loading")).toBe(false);
    expect(JSON.parse(form.body.toString())).toMatchObject({ anthropic_beta: ["interleaved-thinking-2025-05-14", "thinking-token-count-2026-05-13"] });
  });
});

describe("counting tokens", () => {
  const counted = (call: ProviderCall): { path: string; inner: Record<string, unknown> } => {
    const { path, body } = prepare(call, place);
    const outer = JSON.parse(body.toString()) as { input: { invokeModel: { body: string } } };
    return { path, inner: JSON.parse(Buffer.from(outer.input.invokeModel.body, "base64").toString()) as Record<string, unknown> };
  };
  const count = { operation: "count_tokens", isStreaming: false } as const;

  it("asks for the foundation model with a body that InvokeModel would take", () => {
    const { path, inner } = counted(callOf({ stream: undefined, max_tokens: undefined, context_management: undefined, output_config: undefined, tools: [] }, { ...count, headers: claudeCodeHeaders(["claude-code-20250219", "interleaved-thinking-2025-05-14", "token-counting-2024-11-01"]), upstreamModel: "us.anthropic.claude-haiku-4-5-20251001-v1:0" }));
    expect(path).toBe("/model/anthropic.claude-haiku-4-5-20251001-v1:0/count-tokens");
    expect(inner).toMatchObject({ anthropic_version: "bedrock-2023-05-31", max_tokens: 1 });
    expect(["model", "tools", "anthropic_beta", "stream"].filter((name) => name in inner)).toEqual([]);
  });

  it("allows more tokens than the thinking budget, and keeps a number that was given", () => {
    const thinking = { type: "enabled", budget_tokens: 31_999 };
    expect(counted(callOf({ max_tokens: undefined, thinking }, count)).inner["max_tokens"]).toBe(32_000);
    expect(counted(callOf({ thinking }, count)).inner["max_tokens"]).toBe(128_000);
  });

  it("takes the model out of an ARN, and says so where it is not in there", () => {
    const arn = "arn:aws:bedrock:eu-west-1:123456789012:";
    expect(counted(callOf({}, { ...count, upstreamModel: `${arn}inference-profile/eu.anthropic.claude-opus-5` })).path).toBe("/model/anthropic.claude-opus-5/count-tokens");
    expect(() => prepare(callOf({}, { ...count, upstreamModel: `${arn}application-inference-profile/abc` }), place)).toThrow(expect.objectContaining({ code: "client_feature_unsupported" }));
  });

  it("packs a Bedrock client's inner body as it is", () => {
    const call = nativeCall({}, count);
    const { body } = prepare(call, place);
    expect(body.toString()).toBe(`{"input":{"invokeModel":{"body":"${call.body.toString("base64")}"}}}`);
  });

  it("reads Bedrock's count in Anthropic's words", () => {
    expect(countReply(Buffer.from('{"inputTokens":42}')).toString()).toBe('{"input_tokens":42}');
    for (const wrong of ["{}", "null", '{"inputTokens":-1}', '{"inputTokens":"1"}', "x"]) expect(() => countReply(Buffer.from(wrong))).toThrow();
  });
});

it("no beta stands in two rows", () => {
  const names = betaRows.map(({ beta, models }) => `${beta} ${models?.source}`);
  expect(new Set(names).size).toBe(names.length);
  expect(betasOf(nativeCall()).filter((name) => !betaRows.some(({ beta }) => beta === name))).toEqual([]);
});
