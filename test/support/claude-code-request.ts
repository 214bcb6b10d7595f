/**
 * A Messages request of Claude Code 2.1.330 as recorded: its headers, its top-level fields in their order, and the shapes that
 * gateways break. Texts are shortened, secrets invented.
 */
import { isProblem, scanMembers } from "../../src/wire/json-members.ts";
import type { ProviderCall } from "../../src/providers/provider.ts";

/** `anthropic-beta` of a print-mode session. */
export const claudeCodeBetas = [
  "claude-code-20250219", "interleaved-thinking-2025-05-14", "context-management-2025-06-27", "per-turn-control-2026-07-01",
  "mid-conversation-tool-changes-2026-07-01", "thinking-token-count-2026-05-13", "advanced-tool-use-2025-11-20", "effort-2025-11-24",
] as const;

const conversation = {
  messages: [
    { role: "user", content: [{ type: "text", text: "<system-reminder>é \\u0000 \"quoted\"</system-reminder>" }, { type: "text", text: "List the files" }] },
    { role: "system", content: "Deferred tools are available.", output_config: { effort: "high" } },
  ],
  system: [
    { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=sdk-cli;" },
    { type: "text", text: "You are Claude Code.", cache_control: { type: "ephemeral" } },
  ],
  tools: [
    { name: "Bash", description: "Runs a command", input_schema: { type: "object", properties: { timeout: { type: "number", maximum: 6.0e5 } } } },
    { name: "WebFetch", description: "Fetches a page", input_schema: { type: "object", properties: {} }, defer_loading: true },
  ],
  metadata: { user_id: '{"device_id":"d","account_uuid":"","session_id":"5a0f0e0e-0000-4000-8000-000000000001"}' },
  max_tokens: 128_000,
  thinking: { type: "adaptive", display: "omitted" },
};

/** The body, with the members of a release's order; `fields` replaces or adds members, undefined takes one out. */
export function claudeCodeBody(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    model: "claude-opus-5-5",
    ...conversation,
    context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
    output_config: { effort: "medium" },
    stream: true,
    ...fields,
  };
}

/** The headers that cross the gateway. */
export function claudeCodeHeaders(betas: readonly string[] = claudeCodeBetas): string[] {
  return [
    "Accept", "application/json", "Content-Type", "application/json", "User-Agent", "claude-cli/2.1.330 (external, sdk-cli)",
    "anthropic-version", "2023-06-01", ...(betas.length === 0 ? [] : ["anthropic-beta", betas.join(",")]),
    "x-app", "cli", "anthropic-dangerous-direct-browser-access", "true", "X-Claude-Code-Session-Id", "5a0f0e0e-0000-4000-8000-000000000001",
    "X-Stainless-Retry-Count", "0",
  ];
}

/** The call that a provider is asked to prepare. */
export function claudeCodeCall(fields: Readonly<Record<string, unknown>> = {}, call: Partial<ProviderCall> = {}): ProviderCall {
  const body = Buffer.from(JSON.stringify(claudeCodeBody(fields)));
  const members = scanMembers(body);
  if (isProblem(members)) throw new Error(members.reason);
  return {
    operation: "messages", upstreamModel: "claude-opus-5-5", isStreaming: true, envelope: "messages", body, members,
    query: "?beta=true", headers: claudeCodeHeaders(), refusedBetas: new Set(), clientProject: undefined, ...call,
  };
}
