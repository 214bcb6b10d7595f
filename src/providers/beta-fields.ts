/**
 * Which fields of a request belong to which beta. A field without its beta is a 400 and a beta without its field is quiet, so
 * where a place refuses a beta both go together. Names are matched by their stem, since their dates change by release. The bytes
 * of `messages` and `system` are never touched, even where a beta has fields there.
 */
import { isProblem, scanElements, scanMembers, type JsonMember, type JsonMembers } from "../wire/json-members.ts";
import { spliceMembers } from "../wire/json-splice.ts";
import type { ProviderCall } from "./provider.ts";

/** A member inside a top-level object; with `value`, only where it is this string. */
interface InnerField {
  readonly inside: string;
  readonly name: string;
  readonly value?: string;
}

/** One row: what goes when a beta goes. */
export interface BetaFields {
  /** Beginning of the beta's name, up to its date. */
  readonly stem: string;
  readonly fields?: readonly string[];
  readonly innerFields?: readonly InnerField[];
  /** Members of each tool. */
  readonly toolFields?: readonly string[];
  /** Whole tools, by the beginning of their `type`: server tools that exist only under the beta. */
  readonly toolTypes?: readonly string[];
  readonly source: string;
  /** When the source was read. */
  readonly checked: string;
}

/** Names in `src/resources/beta/beta.ts` (`AnthropicBeta`), fields beside it in `messages/messages.ts`. */
const sdk = "anthropics/anthropic-sdk-typescript src/resources/beta, 2026-08-19";
const protocol = "Claude Code 2.1.330, `claude gateway`, GET /protocol";
const toolExamples = "https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use";
const litellm = "BerriAI/litellm litellm/anthropic_beta_headers_config.json";

/**
 * Betas that are not here have no field that may be touched: they go alone (`claude-code-`, `interleaved-thinking-`,
 * `context-1m-`, `web-search-`, which Vertex is known to refuse for `count_tokens` while it serves the tool:
 * https://github.com/anthropics/claude-code/issues/12429; `per-turn-control-`, `prompt-caching-scope-` and
 * `mid-conversation-tool-changes-`, whose fields lie in `messages` and `system`).
 */
export const betaFields: readonly BetaFields[] = [
  { stem: "context-management-", fields: ["context_management"], source: sdk, checked: "2026-11" },
  { stem: "compact-", fields: ["context_management"], source: `${litellm} (name); ${sdk} (field)`, checked: "2026-11" },
  { stem: "request-tags-", fields: ["tags"], source: protocol, checked: "2026-11" },
  { stem: "dangerous-tool-use-", fields: ["safeguards"], source: protocol, checked: "2026-11" },
  { stem: "server-side-fallback-", fields: ["fallbacks"], source: sdk, checked: "2026-11" },
  { stem: "fast-mode-", fields: ["speed"], source: sdk, checked: "2026-11" },
  { stem: "mcp-client-", fields: ["mcp_servers"], toolTypes: ["mcp_toolset"], source: sdk, checked: "2026-11" },
  { stem: "skills-", fields: ["container"], source: sdk, checked: "2026-11" },
  { stem: "code-execution-", fields: ["container"], toolTypes: ["code_execution_"], source: sdk, checked: "2026-11" },
  { stem: "effort-", innerFields: [{ inside: "output_config", name: "effort" }], source: `${litellm} (name); ${sdk} (field)`, checked: "2026-11" },
  {
    stem: "structured-outputs-",
    fields: ["output_format"],
    innerFields: [{ inside: "output_config", name: "format" }],
    toolFields: ["strict"],
    source: sdk,
    checked: "2026-11",
  },
  { stem: "thinking-display-updates-", innerFields: [{ inside: "thinking", name: "display", value: "updates" }], source: `${litellm} (name); Claude Code 2.1.330 (field)`, checked: "2026-11" },
  {
    stem: "advanced-tool-use-",
    toolFields: ["defer_loading", "input_examples", "allowed_callers"],
    toolTypes: ["tool_search_tool_"],
    source: `${toolExamples}; ${sdk} (fields)`,
    checked: "2026-11",
  },
  { stem: "tool-search-tool-", toolFields: ["defer_loading"], toolTypes: ["tool_search_tool_"], source: `${litellm} (name); ${sdk} (field)`, checked: "2026-11" },
  { stem: "tool-examples-", toolFields: ["input_examples"], source: toolExamples, checked: "2026-11" },
  { stem: "fine-grained-tool-streaming-", toolFields: ["eager_input_streaming"], source: `${litellm} (name); ${sdk} (field)`, checked: "2026-11" },
];

/** Splices for `reshape`, and what they take out: `field:context_management`, `field:tools.defer_loading`. */
export interface FieldRemoval {
  readonly remove: ReadonlySet<string>;
  readonly replace: ReadonlyMap<string, string>;
  readonly loss: readonly string[];
}

const nothing: FieldRemoval = { remove: new Set(), replace: new Map(), loss: [] };

/**
 * @param removed betas that do not go
 * @param kept betas that do; a field that one of them admits as well stays
 */
export function fieldsWithout(call: ProviderCall, removed: readonly string[], kept: readonly string[]): FieldRemoval {
  const rows = rowsOf(removed);
  if (rows.length === 0) return nothing;
  const admitted = rowsOf(kept);
  const remove = new Set<string>();
  const replace = new Map<string, string>();
  const loss = new Set<string>();
  for (const name of rows.flatMap(({ fields = [] }) => fields)) {
    if (call.members.get(name) === undefined || admitted.some(({ fields }) => fields?.includes(name) === true)) continue;
    remove.add(name);
    loss.add(`field:${name}`);
  }
  const inner = rows.flatMap(({ innerFields = [] }) => innerFields).filter((field) => !admitted.some(({ innerFields }) => innerFields?.some((other) => other.inside === field.inside && other.name === field.name)));
  for (const inside of new Set(inner.map((field) => field.inside))) {
    if (remove.has(inside)) continue;
    const edited = withoutInner(call, inside, inner.filter((field) => field.inside === inside), loss);
    if (edited === "") remove.add(inside);
    else if (edited !== undefined) replace.set(inside, edited);
  }
  const toolFields = rows.flatMap((row) => row.toolFields ?? []).filter((name) => !admitted.some((row) => row.toolFields?.includes(name) === true));
  const toolTypes = rows.flatMap((row) => row.toolTypes ?? []).filter((type) => !admitted.some((row) => row.toolTypes?.includes(type) === true));
  const tools = toolFields.length + toolTypes.length === 0 ? undefined : withoutToolParts(call, { fields: new Set(toolFields), types: toolTypes }, loss);
  if (tools === "") remove.add("tools");
  else if (tools !== undefined) replace.set("tools", tools);
  return { remove, replace, loss: [...loss] };
}

function rowsOf(betas: readonly string[]): readonly BetaFields[] {
  return betaFields.filter(({ stem }) => betas.some((beta) => beta.startsWith(stem)));
}

/** @returns the object without the fields, empty text when nothing is left of it, undefined when it has none of them */
function withoutInner(call: ProviderCall, inside: string, fields: readonly InnerField[], loss: Set<string>): string | undefined {
  const outer = call.members.get(inside);
  const part = outer === undefined ? undefined : objectAt(call.body, outer.valueStart, outer.valueEnd);
  if (part === undefined) return undefined;
  const { bytes, members } = part;
  const doomed = fields.filter(({ name, value }) => {
    const member = members.get(name);
    return member !== undefined && (value === undefined || stringAt(bytes, member) === value);
  });
  if (doomed.length === 0) return undefined;
  for (const { name } of doomed) loss.add(`field:${inside}.${name}`);
  if (doomed.length === members.list.length) return "";
  return spliceMembers(bytes, members, { remove: new Set(doomed.map(({ name }) => name)) }).toString("utf8");
}

/** As {@link withoutInner}, for the elements of `tools`; a tool that stays keeps its bytes but for the fields that go. */
function withoutToolParts(call: ProviderCall, doomed: { readonly fields: ReadonlySet<string>; readonly types: readonly string[] }, loss: Set<string>): string | undefined {
  const tools = call.members.get("tools");
  if (tools === undefined) return undefined;
  const spans = scanElements(call.body, tools.valueStart, tools.valueEnd);
  if (isProblem(spans)) return undefined;
  const kept: string[] = [];
  let hasChanged = false;
  for (const [start, end] of spans) {
    const tool = objectAt(call.body, start, end);
    const typeMember = tool?.members.get("type");
    const type = tool === undefined || typeMember === undefined ? undefined : stringAt(tool.bytes, typeMember);
    if (type !== undefined && doomed.types.some((stem) => type.startsWith(stem))) {
      loss.add(`field:tools.${type}`);
      hasChanged = true;
      continue;
    }
    const names = tool?.members.list.map(({ name }) => name).filter((name) => doomed.fields.has(name)) ?? [];
    for (const name of names) loss.add(`field:tools.${name}`);
    hasChanged ||= names.length > 0;
    kept.push(tool === undefined || names.length === 0 ? call.body.toString("utf8", start, end) : spliceMembers(tool.bytes, tool.members, { remove: doomed.fields }).toString("utf8"));
  }
  if (!hasChanged) return undefined;
  return kept.length === 0 ? "" : `[${kept.join(",")}]`;
}

function objectAt(body: Buffer, start: number, end: number): { readonly bytes: Buffer; readonly members: JsonMembers } | undefined {
  const bytes = body.subarray(start, end);
  const members = scanMembers(bytes);
  return isProblem(members) ? undefined : { bytes, members };
}

function stringAt(bytes: Buffer, { valueStart, valueEnd }: JsonMember): string | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8", valueStart, valueEnd));
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
