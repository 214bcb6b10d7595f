// Guarantee: the fake provider refuses what the real one refuses (so that a request it accepts arrived undamaged) and answers
// with genuine streams whose plain twins cost the same.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic } from "./fake-anthropic.ts";
import type { FakeAnthropic } from "./fake-anthropic.ts";
import { findDuplicateMember } from "./fake-anthropic-json.ts";
import type { BilledLine, Decline, FakeAnthropicOptions, JsonObject } from "./fake-anthropic-types.ts";
import { checkStreamGrammar } from "./stream-grammar.ts";

const key = "sk-ant-api03-test";
let fake: FakeAnthropic;
beforeAll(async () => {
  fake = await startFakeAnthropic({ apiKey: key, authToken: "sk-ant-oat01-test", forbiddenSecrets: ["sk-developer"] });
});
afterAll(() => fake.close());

const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key };
const minimal: JsonObject = { model: "claude-opus-5-5", max_tokens: 100, messages: [{ role: "user", content: "Hello there" }] };

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  readonly json: () => { error: { type: string; message: string }; content: JsonObject[]; usage: JsonObject; [name: string]: unknown };
}

async function post(body: JsonObject | string, extra: Record<string, string | undefined> = {}, to: { url: string; path?: string } = fake): Promise<Reply> {
  const all = Object.entries({ ...headers, ...extra }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const reply = await fetch(`${to.url}${("path" in to ? to.path : undefined) ?? "/v1/messages?beta=true"}`, { method: "POST", headers: all, body: typeof body === "string" ? body : JSON.stringify(body) });
  const bytes = Buffer.from(await reply.arrayBuffer());
  return { status: reply.status, headers: reply.headers, bytes, json: () => JSON.parse(bytes.toString()) as ReturnType<Reply["json"]> };
}

async function refusal(body: JsonObject | string, extra: Record<string, string | undefined> = {}): Promise<string> {
  const reply = await post(body, extra);
  return reply.status === 200 ? "accepted" : `${reply.status} ${reply.json().error.type}: ${reply.json().error.message}`;
}

/** Runs against a fake with other options. */
async function withFake<Result>(options: FakeAnthropicOptions, run: (other: FakeAnthropic) => Promise<Result>): Promise<Result> {
  const other = await startFakeAnthropic(options);
  try {
    return await run(other);
  } finally {
    await other.close();
  }
}

const betas2330 =
  "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,effort-2025-11-24";
/** The shape of a request of Claude Code 2.1.330. */
const claudeCode: JsonObject = {
  model: "claude-opus-5-5",
  max_tokens: 128_000,
  stream: true,
  system: [{ type: "text", text: "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=sdk-cli;" }, { type: "text", text: "You are", cache_control: { type: "ephemeral", ttl: "1h" } }],
  tools: [{ name: "Bash", description: "Runs", input_schema: { type: "object" } }, { name: "Late", input_schema: { type: "object" }, defer_loading: true }],
  messages: [{ role: "user", content: [{ type: "text", text: "Hi [[tool:Bash {\"command\":\"echo 1\"}]]" }] }, { role: "system", content: "Reminder", output_config: { effort: "high" } }],
  metadata: { user_id: '{"device_id":"d","account_uuid":"","session_id":"s"}' },
  thinking: { type: "adaptive", display: "omitted" },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
  output_config: { effort: "high" },
};

describe("credentials and headers", () => {
  it.each<[string, Record<string, string | undefined>, string]>([
    ["no credential", { "x-api-key": undefined }, "401 authentication_error: x-api-key header is required"],
    ["a wrong key", { "x-api-key": "sk-no" }, "401 authentication_error: invalid x-api-key"],
    ["a wrong bearer", { "x-api-key": undefined, authorization: "Bearer sk-no" }, "401 authentication_error: Invalid bearer token"],
    ["a right key beside a client's stray bearer", { authorization: "Bearer sk-developer" }, "401 authentication_error: Invalid bearer token"],
    ["an OAuth token without its beta", { "x-api-key": undefined, authorization: "Bearer sk-ant-oat01-test" }, "401 authentication_error: OAuth authentication is currently not supported."],
    ["an OAuth token with its beta", { "x-api-key": undefined, authorization: "Bearer sk-ant-oat01-test", "anthropic-beta": "oauth-2025-04-20" }, "accepted"],
    ["no version", { "anthropic-version": undefined }, "400 invalid_request_error: anthropic-version: header is required"],
    ["an unknown version", { "anthropic-version": "2019" }, '400 invalid_request_error: anthropic-version: "2019" is not a valid version'],
  ])("%s", async (_name, extra, expected) => {
    expect(await refusal(minimal, extra)).toBe(expected);
  });

  it("a beta on the list is refused in the wording that the client heals by", async () => {
    await withFake({ rejectBetas: ["effort-2025-11-24"] }, async (other) => {
      const reply = await post(minimal, { "anthropic-beta": "claude-code-20250219, effort-2025-11-24" }, other);
      expect(reply.json().error.message).toMatch(/^Unexpected value\(s\) `effort-2025-11-24` for the `anthropic-beta` header\./);
    });
  });

  it("secrets and hop headers that arrive are violations", async () => {
    const before = fake.violations.length;
    await post({ ...minimal, messages: [{ role: "user", content: "sk-developer" }] }, { "x-litellm-api-key": "sk-developer" });
    expect(fake.violations.slice(before)).toEqual([
      "/v1/messages?beta=true: header x-litellm-api-key arrived",
      "/v1/messages?beta=true: a forbidden secret arrived in x-litellm-api-key",
      "/v1/messages?beta=true: a forbidden secret arrived in the body",
    ]);
  });
});

const call = { role: "assistant", content: [{ type: "tool_use", id: "toolu_1", name: "Bash", input: {} }] };
const result = { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_1", content: "forty-two" }] };
const ask = { role: "user", content: "Hi" };
const messages = (...list: unknown[]): JsonObject => ({ ...minimal, messages: list });

describe("bodies", () => {
  it.each<[string, JsonObject | string, string]>([
    ["no JSON", "{", "The request body is not valid JSON"],
    ["an array", "[]", "Input should be a valid dictionary or object to extract fields from"],
    ["a repeated member", '{"model":"claude-a","model":"claude-b"}', 'The request body is not valid JSON: duplicate key "model"'],
    ["no model", { max_tokens: 1, messages: [ask] }, "model: Field required"],
    ["no max_tokens", { model: "claude-a", messages: [ask] }, "max_tokens: Field required"],
    ["no messages", { model: "claude-a", max_tokens: 1 }, "messages: Field required"],
    ["too many max_tokens", { ...minimal, max_tokens: 128_001 }, "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens for claude-opus-5-5"],
    ["an unknown field", { ...minimal, surprise: 1 }, "surprise: Extra inputs are not permitted"],
    ["context_management without its beta", { ...minimal, context_management: {} }, "context_management: Extra inputs are not permitted"],
    ["effort without its beta", { ...minimal, output_config: { effort: "low" } }, "output_config.effort: Extra inputs are not permitted"],
    ["format without its beta", { ...minimal, output_config: { format: {} } }, "output_config.format: Extra inputs are not permitted"],
    ["safeguards without their beta", { ...minimal, safeguards: [] }, "safeguards: Extra inputs are not permitted"],
    ["a deferred tool without its beta", { ...minimal, tools: [{ name: "A", input_schema: {}, defer_loading: true }] }, "tools.0.custom.defer_loading: Extra inputs are not permitted"],
    ["no messages in the list", messages(), "messages: at least one message is required"],
    ["an unknown role", messages({ role: "tool", content: "x" }), 'messages: Unexpected role "tool". Allowed roles are "user" or "assistant"'],
    ["empty content", messages({ role: "user", content: [] }), "messages.0: user messages must have non-empty content"],
    ["an empty text", messages({ role: "user", content: [{ type: "text", text: "" }] }), "messages: text content blocks must be non-empty"],
    ["a call without its result", messages(ask, call, ask), "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each `tool_use` block must have a corresponding `tool_result` block in the next message."],
    ["a result without its call", messages(result), "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."],
    ["a foreign signature", messages(ask, { role: "assistant", content: [{ type: "text", text: "a" }, { type: "thinking", thinking: "x", signature: "c2ln" }] }, ask), "messages.1.content.1: Invalid `signature` in `thinking` block"],
    ["five cache marks", messages({ role: "user", content: Array.from({ length: 5 }, () => ({ type: "text", text: "a", cache_control: { type: "ephemeral" } })) }), "A maximum of 4 blocks with cache_control may be provided. Found 5."],
    ["a thinking budget above max_tokens", { ...minimal, thinking: { type: "enabled", budget_tokens: 2000 } }, "`max_tokens` must be greater than `thinking.budget_tokens`."],
    ["stray metadata", { ...minimal, metadata: { tags: [] } }, "metadata.tags: Extra inputs are not permitted"],
  ])("%s is a 400", async (_name, body, expected) => {
    const before = fake.clientErrors400;
    expect(await refusal(body)).toBe(`400 invalid_request_error: ${expected}`);
    expect(fake.clientErrors400).toBe(before + 1);
    expect(fake.rejections.at(-1)?.message).toBe(expected);
  });

  it("an unknown model is 404, and the list can be set", async () => {
    expect(await refusal({ ...minimal, model: "gpt-9" })).toBe("404 not_found_error: model: gpt-9");
    await withFake({ models: ["team/my-model"] }, async (other) => {
      expect((await post({ ...minimal, model: "team/my-model" }, {}, other)).status).toBe(200);
      expect((await post(minimal, {}, other)).status).toBe(404);
    });
  });

  it("repeated members are found at any depth, after unescaping, and only there", () => {
    expect(findDuplicateMember('{"a":{"b":1,"\\u0062":2}}')).toBe("b");
    expect(findDuplicateMember('[{"a":1},{"a":2}]')).toBeUndefined();
    expect(findDuplicateMember('{"a":"b","b":["a","a"],"c":"\\\\","d":"\\"a\\":"}')).toBeUndefined();
  });

  it("a field torn off or a system flattened is found when the test declares what it sent", async () => {
    expect(await refusal({ ...minimal, system: "flat" }, { "anthropic-test-expect": "system=array" })).toContain("system: test expected array, found string");
    expect(await refusal(minimal, { "anthropic-test-expect": "context_management" })).toContain("context_management: test expected context_management");
    await withFake({ expectSystemArray: true }, async (other) => {
      expect((await post({ ...minimal, system: "flat" }, {}, other)).json().error.message).toBe("system: Input should be a valid list");
    });
  });

  it("role system and adaptive thinking can be switched off, in the wordings that the client heals by", async () => {
    await withFake({ acceptsSystemRole: false, acceptsAdaptiveThinking: false }, async (other) => {
      expect((await post(messages(ask, { role: "system", content: "x" }), {}, other)).json().error.message).toContain('Unexpected role "system"');
      expect((await post({ ...minimal, thinking: { type: "adaptive" } }, {}, other)).json().error.message).toContain("adaptive thinking is not supported");
    });
  });

  it("the shape of Claude Code 2.1.330 passes, as does that of old ones", async () => {
    expect((await post(claudeCode, { "anthropic-beta": betas2330 })).status).toBe(200);
    const interactive = { ...claudeCode, safeguards: [{ type: "dangerous_tool_use", classifier_context: {} }], thinking: { type: "adaptive", display: "updates" } };
    expect((await post(interactive, { "anthropic-beta": `${betas2330},dangerous-tool-use-2026-09-03,thinking-display-updates-2026-08-18,afk-mode-2026-01-31` })).status).toBe(200);
    const old = { ...minimal, stream: true, temperature: 1, system: [{ type: "text", text: "You are" }], metadata: { user_id: "user_x_account__session_y" } };
    expect((await post(old, { "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14" })).status).toBe(200);
    expect((await post(old)).status).toBe(200);
  });
});

describe("answers", () => {
  it("a stream is grammatical and its plain twin costs the same", async () => {
    const body = { ...minimal, system: [{ type: "text", text: "long ".repeat(50), cache_control: { type: "ephemeral" } }] };
    await post(body);
    const stream = checkStreamGrammar((await post({ ...body, stream: true })).bytes);
    const plain = (await post(body)).json();
    expect(stream.ok && stream.text).toBe("This is the fake provider. It heard: Hello there");
    expect(plain.content).toEqual([{ type: "text", text: "This is the fake provider. It heard: Hello there" }]);
    expect(stream.ok && stream.usage).toEqual(plain.usage);
    const lines = fake.bill().slice(-2) as BilledLine[];
    expect(lines.map(({ usage }) => usage)).toEqual([plain.usage, plain.usage]);
    expect(plain.usage["cache_read_input_tokens"]).toBeGreaterThan(0);
  });

  it.each<[Decline, number | undefined]>([
    [{ category: "cyber" }, undefined],
    [{ category: null }, undefined],
    [{ category: "bio" }, 0],
    [{ category: "cyber", text: "Well, " }, 2],
  ])("a refusal %j is in the documented form, and its bill follows the documented rule", async (refusal, billedOutput) => {
    const behaviour = { "anthropic-test-behaviour": JSON.stringify({ refusal }) };
    const before = fake.bill().length;
    const plain = (await post(minimal, behaviour)).json();
    const stream = checkStreamGrammar((await post({ ...minimal, stream: true }, behaviour)).bytes);
    if (!stream.ok) throw new Error(stream.problem);
    expect(plain).toMatchObject({ content: refusal.text === undefined ? [] : [{ text: refusal.text }], stop_reason: "refusal", stop_details: { type: "refusal", category: refusal.category } });
    expect(stream.events.find(({ data }) => data["type"] === "message_delta")?.data["delta"]).toMatchObject({ stop_reason: "refusal", stop_details: plain["stop_details"] });
    expect(stream.usage).toEqual(plain.usage);
    const lines = fake.bill().slice(before) as BilledLine[];
    expect(lines.map(({ usage }) => usage.output_tokens)).toEqual(billedOutput === undefined ? [] : [billedOutput, billedOutput]);
  });

  it("hops of a fallback stand in `iterations` and before the answer; the bill has those that are charged", async () => {
    const declinedHops = [{ model: "claude-fable-5", category: "cyber", inputTokens: 50 }, { model: "claude-opus-5", category: "cyber", text: "Half an", inputTokens: 60 }];
    const behaviour = { "anthropic-test-behaviour": JSON.stringify({ declinedHops, replyModel: "claude-opus-4-8", text: "Answer" }) };
    const plain = (await post(minimal, behaviour)).json();
    const stream = checkStreamGrammar((await post({ ...minimal, stream: true }, behaviour)).bytes);
    if (!stream.ok) throw new Error(stream.problem);
    expect([stream.text, stream.model, plain["model"]]).toEqual(["Half anAnswer", "claude-opus-5", "claude-opus-4-8"]);
    expect(plain.content.map(({ type }) => type)).toEqual(["fallback", "fallback", "text"]);
    const entries = (usage: JsonObject = {}): unknown => (usage["iterations"] as JsonObject[]).map(({ type, model, output_tokens }) => [type, model, output_tokens]);
    const all = [["message", "claude-fable-5", 0], ["message", "claude-opus-5", 2], ["fallback_message", "claude-opus-4-8", 2]];
    expect([entries(plain.usage), entries(stream.usage)]).toEqual([all, all]);
    expect(entries((fake.bill().at(-1) as BilledLine).usage as unknown as JsonObject)).toEqual(all.slice(1));
  });

  it("cache writes follow the lifetime asked for", async () => {
    const system = (ttl: string): unknown => [{ type: "text", text: `${ttl} `.repeat(90), cache_control: { type: "ephemeral", ttl } }];
    const long = (await post({ ...minimal, system: system("1h") })).json().usage;
    const short = (await post({ ...minimal, system: system("5m") })).json().usage;
    expect(long["cache_creation"]).toEqual({ ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: long["cache_creation_input_tokens"] });
    expect(short["cache_creation"]).toEqual({ ephemeral_5m_input_tokens: short["cache_creation_input_tokens"], ephemeral_1h_input_tokens: 0 });
  });

  it("a marker asks for a tool that was offered; its thinking comes back signed, and the next turn echoes the result", async () => {
    const first = checkStreamGrammar((await post({ ...claudeCode, thinking: { type: "adaptive" } }, { "anthropic-beta": betas2330 })).bytes);
    if (!first.ok) throw new Error(first.problem);
    expect(first.stopReason).toBe("tool_use");
    expect(first.toolUses).toMatchObject([{ name: "Bash", input: { command: "echo 1" } }]);
    const signature = first.events.map(({ data }) => (data["delta"] as JsonObject | undefined)?.["signature"]).find((value) => value !== undefined);
    const history = (thinking: string): JsonObject =>
      messages(ask, { role: "assistant", content: [{ type: "thinking", thinking, signature }, { type: "tool_use", id: first.toolUses[0]!.id, name: "Bash", input: {} }] }, { role: "user", content: [{ type: "tool_result", tool_use_id: first.toolUses[0]!.id, content: [{ type: "text", text: "forty-two" }] }] });
    expect((await post(history(first.thinking))).json().content).toEqual([{ type: "text", text: "The tool answered: forty-two" }]);
    expect(await refusal(history(`${first.thinking}.`))).toBe("400 invalid_request_error: messages.1.content.0: Invalid `signature` in `thinking` block");
  });

  it("omitted thinking is signed as the empty text it shows", async () => {
    const reply = (await post({ ...minimal, thinking: { type: "adaptive", display: "omitted" } })).json();
    expect(reply.content[0]).toMatchObject({ type: "thinking", thinking: "" });
    expect((await post(messages(ask, { role: "assistant", content: reply.content }, ask))).status).toBe(200);
  });

  it("a schema gets JSON that fits", async () => {
    const schema = { type: "object", properties: { title: { type: "string" }, kind: { enum: ["a", "b"] }, list: { type: "array", items: { type: "integer" } } }, required: ["title"] };
    const reply = await post({ ...minimal, output_config: { format: { type: "json_schema", schema } } }, { "anthropic-beta": "structured-outputs-2025-12-15" });
    expect(JSON.parse(String(reply.json().content[0]?.["text"]))).toEqual({ title: "Fake answer", kind: "a", list: [1] });
  });

  it("replies carry what a gateway must keep and what it must hold back", async () => {
    const reply = await post(minimal);
    expect(reply.headers.get("request-id")).toMatch(/^req_01\w{22}$/);
    for (const name of ["anthropic-ratelimit-requests-limit", "anthropic-organization-id", "set-cookie", "cf-ray"]) expect(reply.headers.has(name)).toBe(true);
  });

  it("count_tokens, the model list and HEAD / answer without a bill; the rest is 404", async () => {
    const before = fake.bill().length;
    const { max_tokens: _, ...countable } = minimal;
    expect((await post(countable, { "anthropic-beta": "token-counting-2024-11-01" }, { url: fake.url, path: "/v1/messages/count_tokens?beta=true" })).json()).toEqual({ input_tokens: expect.any(Number) });
    expect((await post(minimal, {}, { url: fake.url, path: "/v1/messages/count_tokens" })).json().error.message).toBe("max_tokens: Extra inputs are not permitted");
    const list = (await (await fetch(`${fake.url}/v1/models?limit=1000`, { headers })).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toContain("claude-opus-5-5");
    expect((await fetch(`${fake.url}/v1/models`)).status).toBe(401);
    expect((await fetch(fake.url, { method: "HEAD" })).status).toBe(200);
    expect((await post(minimal, {}, { url: fake.url, path: "/v1/complete" })).json().error.type).toBe("not_found_error");
    expect(fake.bill().length).toBe(before);
  });
});
