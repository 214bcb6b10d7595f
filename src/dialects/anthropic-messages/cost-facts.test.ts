// Guarantee: what a request says about its price is found however it is spelled, and where its input is not bounded by its bytes that is said.
import { describe, expect, it } from "vitest";
import type { CostFacts } from "../dialect.ts";
import { inspect } from "./inspect.ts";

const facts = (members: Record<string, unknown>): CostFacts => factsOf(JSON.stringify({ model: "claude-opus-5-5", max_tokens: 10, messages: [{ role: "user", content: "hi" }], ...members }));
const factsOf = (text: string): CostFacts => inspect(Buffer.from(text)).costFacts(Buffer.from(text));
const image = (bytes: number): unknown => ({ type: "image", source: { type: "base64", media_type: "image/png", data: "A".repeat(bytes) } });
const content = (...blocks: readonly unknown[]): Record<string, unknown> => ({ messages: [{ role: "user", content: blocks }] });

describe("a plain text request", () => {
  it("has nothing special, and all its bytes are text", () => {
    const body = JSON.stringify({ model: "m", max_tokens: 10, messages: [{ role: "user", content: 'about "image" and web_search_20250305' }], tools: [{ name: "Read", input_schema: { type: "object" } }] });
    expect(factsOf(body)).toMatchObject({ speed: undefined, inferenceGeo: undefined, serviceTier: undefined, hasOneHourCache: false, serverTools: {}, hasFurtherRuns: false, textBytes: body.length, imageTokens: 0 });
    expect(factsOf(body).unseenInputTokensMax()).toBe(0);
  });

  it("tells the variant and the cache lifetime it asks for", () => {
    expect(facts({ speed: "fast", inference_geo: "us", service_tier: "auto", system: [{ type: "text", text: "x", cache_control: { type: "ephemeral", ttl: "1h" } }] })).toMatchObject({ speed: "fast", inferenceGeo: "us", serviceTier: "auto", hasOneHourCache: true });
  });
});

describe("tools that the provider runs", () => {
  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ["bounded", { type: "web_search_20250305", name: "web_search", max_uses: 3 }, { web_search_requests: 3 }],
    ["without a bound", { type: "web_search_20260209", name: "web_search" }, { web_search_requests: "unbounded" }],
    ["with a bound that is none", { type: "web_fetch_20250910", name: "web_fetch", max_uses: -1 }, { web_fetch_requests: "unbounded" }],
    ["that nothing bounds", { type: "code_execution_20250825", name: "code_execution", max_uses: 1 }, { code_execution_20250825: "unbounded" }],
    ["run by the client", { type: "bash_20250124", name: "bash" }, {}],
  ])("%s", (_name, tool, serverTools) => expect(facts({ tools: [{ name: "own", input_schema: {} }, tool] }).serverTools).toEqual(serverTools));

  it("are found behind escapes, and in any number", () => {
    expect(factsOf('{"model":"m","messages":[],"tools":[{"type":"web\\u005fsearch\\u005f20250305","max_uses":2},{"type":"web_search_20250305","max_uses":1}]}').serverTools).toEqual({ web_search_requests: 3 });
    expect(facts({ mcp_servers: [{ type: "url", url: "https://a", name: "a" }] }).serverTools).toEqual({ mcp: "unbounded" });
    expect(facts({ mcp_servers: [], tools: null }).serverTools).toEqual({});
  });

  it("read what nobody has seen, once more with each use", () => {
    expect(facts({ tools: [{ type: "web_search_20250305", max_uses: 2 }] }).unseenInputTokensMax()).toBeGreaterThanOrEqual(2_000_000);
    expect(facts({ tools: [{ type: "bash_20250124", name: "bash" }] }).unseenInputTokensMax()).toBe(2_500);
  });
});

describe("further runs", () => {
  it.each<[string, Record<string, unknown>]>([
    ["an advisor", { tools: [{ type: "advisor_20260301", model: "claude-opus-5-5" }] }],
    ["a fallback", { fallback: { model: "claude-haiku-5-5" } }],
    ["fallbacks", { fallbacks: ["claude-haiku-5-5"] }],
    ["compaction", { context_management: { edits: [{ type: "compact_20260112" }] } }],
  ])("%s", (_name, members) => expect(facts(members).hasFurtherRuns).toBe(true));

  it("are not what is set to nothing", () => expect(facts({ fallback: null, context_management: { edits: [{ type: "clear_tool_uses_20250919" }] } }).hasFurtherRuns).toBe(false));
});

describe("images and documents", () => {
  it("an image in the body counts as one, not by its bytes", () => {
    const found = facts(content({ type: "text", text: "look" }, image(400_000)));
    expect(found.textBytes).toBeLessThan(300);
    expect(found.imageTokens).toBe(1_600);
    expect(found.unseenInputTokensMax()).toBe(8_000);
  });

  it.each<[string, unknown, number]>([
    ["an image by address", { type: "image", source: { type: "url", url: "https://a/b.png" } }, 1_000_000],
    ["a PDF", { type: "document", source: { type: "base64", media_type: "application/pdf", data: "AAAA" } }, 1_000_000],
    ["an uploaded file", { type: "container_upload", file_id: "file_1" }, 1_000_000],
    ["images within a tool's result", { type: "tool_result", tool_use_id: "t", content: [image(10), image(10)] }, 16_000],
  ])("%s may be more than its bytes", (_name, block, atLeast) => expect(facts(content(block)).unseenInputTokensMax()).toBeGreaterThanOrEqual(atLeast));

  it("are not what a tool was called with", () => {
    expect(facts(content({ type: "tool_use", id: "t", name: "WebFetch", input: { url: "https://a", file_id: "x" } })).unseenInputTokensMax()).toBe(0);
  });

  it("are found behind escapes", () => {
    expect(factsOf('{"model":"m","messages":[{"role":"user","content":[{"ty\\u0070e":"im\\u0061ge","source":{}}]}]}').unseenInputTokensMax()).toBe(8_000);
  });
});
