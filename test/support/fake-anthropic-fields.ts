/**
 * Which request fields the fake knows and which beta each experimental one needs: the pairs that a gateway tears when it
 * filters headers or bodies. Names are matched by their stem, because the dates at their ends change by client release.
 */
import { isObject } from "./fake-anthropic-types.ts";
import type { JsonObject } from "./fake-anthropic-types.ts";

/** Top-level members of `POST /v1/messages` that need no beta. */
export const plainFields: ReadonlySet<string> = new Set([
  "model", "messages", "max_tokens", "system", "tools", "tool_choice", "metadata", "stop_sequences", "stream", "temperature",
  "top_p", "top_k", "thinking", "service_tier", "output_config", "cache_control", "inference_geo",
]);

/** Top-level members of `POST /v1/messages/count_tokens` that need no beta. */
export const countFields: ReadonlySet<string> = new Set(["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"]);

/**
 * Experimental top-level members and the stems of the betas that admit them, any one of which is enough.
 *
 * @source reference/claude-code.md §4 and reference/claude-gateway-protocol.md (2026-11-23); Anthropic's pages on fallbacks,
 * MCP connector, fast mode, code execution
 */
export const betaFields: Readonly<Record<string, readonly string[]>> = {
  context_management: ["context-management-", "compact-"],
  safeguards: ["dangerous-tool-use-"],
  tags: ["request-tags-"],
  fallbacks: ["server-side-fallback-"],
  mcp_servers: ["mcp-client-"],
  speed: ["fast-mode-"],
  output_format: ["structured-outputs-"],
  container: ["code-execution-", "skills-"],
};

/** A nested member together with the stems that admit it; `wording` is how the provider spells its path. */
interface NestedPair {
  readonly isPresent: (body: JsonObject) => string | undefined;
  readonly stems: readonly string[];
}

function member(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

/** First tool that has the member, as the provider spells its path (`tools.3.custom.defer_loading`). */
function toolWith(body: JsonObject, name: string): string | undefined {
  if (!Array.isArray(body["tools"])) return undefined;
  const index = body["tools"].findIndex((tool) => member(tool, name) !== undefined);
  if (index === -1) return undefined;
  const type = member(body["tools"][index], "type");
  return `tools.${index}.${typeof type === "string" ? type : "custom"}.${name}`;
}

function messageEffort(body: JsonObject): string | undefined {
  if (!Array.isArray(body["messages"])) return undefined;
  const index = body["messages"].findIndex((message) => member(message, "output_config") !== undefined);
  return index === -1 ? undefined : `messages.${index}.output_config`;
}

const toolSearch = ["advanced-tool-use-", "tool-search-tool-"];

const nestedPairs: readonly NestedPair[] = [
  { isPresent: (body) => (member(body["output_config"], "effort") === undefined ? undefined : "output_config.effort"), stems: ["effort-"] },
  { isPresent: (body) => (member(body["output_config"], "format") === undefined ? undefined : "output_config.format"), stems: ["structured-outputs-"] },
  { isPresent: messageEffort, stems: ["per-turn-control-", "effort-"] },
  { isPresent: (body) => (member(body["thinking"], "display") === "updates" ? "thinking.adaptive.display" : undefined), stems: ["thinking-display-updates-"] },
  { isPresent: (body) => toolWith(body, "defer_loading"), stems: toolSearch },
  { isPresent: (body) => toolWith(body, "input_examples"), stems: [...toolSearch, "tool-examples-"] },
];

/**
 * First member whose beta is missing or that nobody knows, in the provider's spelling; undefined when all is in order.
 *
 * @param betas values of the `anthropic-beta` header, one each
 * @param known members that need no beta on this endpoint
 */
export function findExtraInput(body: JsonObject, betas: readonly string[], known: ReadonlySet<string>): string | undefined {
  const isAdmitted = (stems: readonly string[]): boolean => stems.some((stem) => betas.some((beta) => beta.startsWith(stem)));
  for (const name of Object.keys(body)) {
    if (!known.has(name) && !isAdmitted(betaFields[name] ?? [])) return name;
  }
  for (const { isPresent, stems } of nestedPairs) {
    const path = isPresent(body);
    if (path !== undefined && !isAdmitted(stems)) return path;
  }
  return undefined;
}
