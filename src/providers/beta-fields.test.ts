// Guarantee: a beta that goes takes its own fields with it and nothing else; every byte of what stays is the client's, and the
// bytes of `messages` and `system` are never touched.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { claudeCodeCall } from "../../test/support/claude-code-request.ts";
import { spliceMembers } from "../wire/json-splice.ts";
import { isProblem, scanMembers } from "../wire/json-members.ts";
import { betaFields, fieldsWithout } from "./beta-fields.ts";
import type { ProviderCall } from "./provider.ts";

function applied(call: ProviderCall, removed: readonly string[], kept: readonly string[] = []): { readonly body: Record<string, unknown>; readonly loss: readonly string[] } {
  const { remove, replace, loss } = fieldsWithout(call, removed, kept);
  return { body: JSON.parse(spliceMembers(call.body, call.members, { remove, replace }).toString()) as Record<string, unknown>, loss };
}

describe("fields of betas", () => {
  it.each<[string, Record<string, unknown>, Record<string, unknown>, string[]]>([
    ["context-management-2025-06-27", { context_management: { edits: [] } }, { context_management: undefined }, ["field:context_management"]],
    ["compact-2026-01-12", { context_management: { edits: [{ type: "compact_20260112" }] } }, { context_management: undefined }, ["field:context_management"]],
    ["request-tags-2026-08-21", { tags: { team: "a" } }, { tags: undefined }, ["field:tags"]],
    ["effort-2025-11-24", { output_config: { effort: "high", format: { type: "json_schema" } } }, { output_config: { format: { type: "json_schema" } } }, ["field:output_config.effort"]],
    ["effort-2025-11-24", { output_config: { effort: "high" } }, { output_config: undefined }, ["field:output_config.effort"]],
    ["thinking-display-updates-2026-08-18", { thinking: { type: "adaptive", display: "updates" } }, { thinking: { type: "adaptive" } }, ["field:thinking.display"]],
    ["thinking-display-updates-2026-08-18", { thinking: { type: "adaptive", display: "omitted" } }, { thinking: { type: "adaptive", display: "omitted" } }, []],
    ["structured-outputs-2025-12-15", { output_config: { format: {} }, tools: [{ name: "a", strict: true }] }, { output_config: undefined, tools: [{ name: "a" }] }, ["field:output_config.format", "field:tools.strict"]],
    ["fine-grained-tool-streaming-2025-05-14", { tools: [{ name: "a", eager_input_streaming: true }] }, { tools: [{ name: "a" }] }, ["field:tools.eager_input_streaming"]],
    ["mcp-client-2025-11-20", { mcp_servers: [], tools: [{ type: "mcp_toolset" }] }, { mcp_servers: undefined, tools: undefined }, ["field:mcp_servers", "field:tools.mcp_toolset"]],
    [
      "tool-search-tool-2025-10-19",
      { tools: [{ type: "tool_search_tool_regex_20251119", name: "t" }, { name: "a", defer_loading: true, input_examples: [{}] }] },
      { tools: [{ name: "a", input_examples: [{}] }] },
      ["field:tools.tool_search_tool_regex_20251119", "field:tools.defer_loading"],
    ],
    ["claude-code-20250219", {}, {}, []],
    ["per-turn-control-2026-07-01", {}, {}, []],
  ])("%s takes its fields with it", (beta, fields, expected, loss) => {
    const call = claudeCodeCall(fields);
    const result = applied(call, [beta]);
    expect(result.loss).toEqual(loss);
    expect(result.body).toEqual({ ...(JSON.parse(call.body.toString()) as object), ...expected });
  });

  it("a field that another beta admits as well stays", () => {
    const call = claudeCodeCall();
    expect(applied(call, ["compact-2026-01-12"], ["context-management-2025-06-27"]).loss).toEqual([]);
    expect(applied(call, ["advanced-tool-use-2025-11-20"], ["tool-search-tool-2025-10-19"]).loss).toEqual([]);
  });

  it("tools that stay keep their bytes, numbers and spaces included", () => {
    const text = '{"tools": [ {"name":"a", "n":1.0, "defer_loading":true, "big":12345678901234567890} ,{"name" : "b"}]}';
    const body = Buffer.from(text);
    const members = scanMembers(body);
    if (isProblem(members)) throw new Error(members.reason);
    const { replace } = fieldsWithout(claudeCodeCall({}, { body, members }), ["tool-search-tool-2025-10-19"], []);
    expect(replace.get("tools")).toBe('[{"name":"a", "n":1.0, "big":12345678901234567890},{"name" : "b"}]');
  });

  it("messages and system are no row's fields", () => {
    const names = betaFields.flatMap(({ fields = [], innerFields = [] }) => [...fields, ...innerFields.map(({ inside }) => inside)]);
    expect(names.filter((name) => name === "messages" || name === "system")).toEqual([]);
  });

  it("every row says where it is from and when that was read", () => {
    expect(betaFields.filter(({ source, checked }) => source === "" || !/^20\d\d-\d\d$/.test(checked))).toEqual([]);
  });

  it("leaves what has another shape for the upstream to refuse", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom("tools", "output_config", "thinking", "context_management"), fc.jsonValue()), fc.subarray(betaFields.map(({ stem }) => `${stem}2026-01-01`)), (fields, removed) => {
        const call = claudeCodeCall(fields);
        const { body } = applied(call, removed);
        const before = JSON.parse(call.body.toString()) as Record<string, unknown>;
        expect([body["messages"], body["system"]]).toEqual([before["messages"], before["system"]]);
      }),
      { numRuns: 200 },
    );
  });
});
