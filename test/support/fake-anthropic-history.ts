/**
 * Checks of `system` and `messages`: roles, block types, tool pairs, cache marks, and the signatures that the fake itself gave
 * out. These are what a gateway breaks when it rewrites a conversation.
 */
import type { Signer } from "./fake-anthropic-signature.ts";
import { isObject } from "./fake-anthropic-types.ts";
import type { FakeAnthropicOptions, JsonObject } from "./fake-anthropic-types.ts";

/** Block types of user and assistant messages. */
const blockTypes: ReadonlySet<string> = new Set([
  "text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result", "tool_reference",
  "server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
  "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
  "advisor_tool_result", "mcp_tool_use", "mcp_tool_result", "container_upload", "compaction", "fallback",
]);
/** What a `system` message may hold besides text when mid-conversation tool changes are on. */
const systemBlockTypes: ReadonlySet<string> = new Set(["text", "tool_addition", "tool_removal", "tool_reference"]);
const cacheMarksMax = 4;

/** What the history checks need to know about the fake. */
export interface HistoryRules {
  readonly signer: Signer;
  readonly acceptsSystemRole: boolean;
  readonly expectSystemArray: boolean;
}

/** The rules of a started fake. */
export function historyRules(options: FakeAnthropicOptions, signer: Signer): HistoryRules {
  return { signer, acceptsSystemRole: options.acceptsSystemRole ?? true, expectSystemArray: options.expectSystemArray ?? false };
}

/** First problem of `system` and `messages`, in the provider's wording; undefined when they are in order. */
export function findHistoryProblem(body: JsonObject, rules: HistoryRules): string | undefined {
  return systemProblem(body["system"], rules) ?? messagesProblem(body["messages"], rules) ?? cacheProblem(body);
}

function systemProblem(system: unknown, rules: HistoryRules): string | undefined {
  if (system === undefined) return undefined;
  if (typeof system === "string") return rules.expectSystemArray ? "system: Input should be a valid list" : undefined;
  if (!Array.isArray(system)) return "system: Input should be a valid list";
  for (const [index, block] of system.entries()) {
    if (!isObject(block) || block["type"] !== "text") return `system.${index}.type: Input should be 'text'`;
    if (typeof block["text"] !== "string") return `system.${index}.text: Field required`;
    if (block["text"] === "") return "system: text content blocks must be non-empty";
  }
  return undefined;
}

interface Turn {
  readonly role: "user" | "assistant";
  readonly index: number;
  readonly blocks: JsonObject[];
}

function messagesProblem(messages: unknown, rules: HistoryRules): string | undefined {
  if (!Array.isArray(messages)) return "messages: Input should be a valid list";
  if (messages.length === 0) return "messages: at least one message is required";
  const turns: Turn[] = [];
  for (const [index, message] of messages.entries()) {
    if (!isObject(message)) return `messages.${index}: Input should be a valid dictionary or object to extract fields from`;
    const problem = messageProblem(message, index, { isLast: index === messages.length - 1, rules });
    if (problem !== undefined) return problem;
    const { role, content } = message;
    if (role !== "user" && role !== "assistant") continue;
    const blocks = typeof content === "string" ? [{ type: "text", text: content }] : (content as JsonObject[]);
    const previous = turns.at(-1);
    if (previous?.role === role) previous.blocks.push(...blocks);
    else turns.push({ role, index, blocks: [...blocks] });
  }
  if (turns.length === 0) return "messages: at least one message is required";
  return toolPairProblem(turns);
}

function messageProblem(message: JsonObject, index: number, { isLast, rules }: { isLast: boolean; rules: HistoryRules }): string | undefined {
  const { role, content } = message;
  if (role === undefined) return `messages.${index}.role: Field required`;
  if (role === "system" && !rules.acceptsSystemRole) {
    return 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.';
  }
  if (role !== "user" && role !== "assistant" && role !== "system") return `messages: Unexpected role ${JSON.stringify(role)}. Allowed roles are "user" or "assistant"`;
  for (const name of Object.keys(message)) {
    if (!["role", "content", "output_config"].includes(name)) return `messages.${index}.${name}: Extra inputs are not permitted`;
  }
  if (content === undefined) return `messages.${index}.content: Field required`;
  const isEmptyAllowed = isLast && role === "assistant";
  if (typeof content === "string") return content === "" && !isEmptyAllowed ? `messages.${index}: ${role} messages must have non-empty content` : undefined;
  if (!Array.isArray(content)) return `messages.${index}.content: Input should be a valid list`;
  if (content.length === 0 && !isEmptyAllowed) return `messages.${index}: ${role} messages must have non-empty content`;
  for (const [position, block] of content.entries()) {
    const problem = blockProblem(block, role, rules);
    if (problem !== undefined) return problem.startsWith("messages:") ? problem : `messages.${index}.content.${position}${problem}`;
  }
  return undefined;
}

/** A problem begins with the rest of its path (`.text: …` or `: …`). */
function blockProblem(block: unknown, role: string, rules: HistoryRules): string | undefined {
  if (!isObject(block)) return ": Input should be a valid dictionary or object to extract fields from";
  const type = block["type"];
  const allowed = role === "system" ? systemBlockTypes : blockTypes;
  if (typeof type !== "string") return ".type: Field required";
  if (!allowed.has(type)) return `: Input tag '${type}' found using 'type' does not match any of the expected tags: ${[...allowed].map((name) => `'${name}'`).join(", ")}`;
  if (type === "text") {
    if (typeof block["text"] !== "string") return ".text.text: Field required";
    return block["text"] === "" ? "messages: text content blocks must be non-empty" : undefined;
  }
  if (type === "thinking") return thinkingProblem(block, rules.signer);
  if (type === "redacted_thinking") {
    return typeof block["data"] === "string" && rules.signer.isValid("redacted", block["data"]) ? undefined : ": Invalid `data` in `redacted_thinking` block";
  }
  if (type === "tool_use") {
    for (const name of ["id", "name", "input"]) if (block[name] === undefined) return `.tool_use.${name}: Field required`;
    return isObject(block["input"]) ? undefined : ".tool_use.input: Input should be a valid dictionary";
  }
  if (type === "tool_result" && typeof block["tool_use_id"] !== "string") return ".tool_result.tool_use_id: Field required";
  return undefined;
}

function thinkingProblem(block: JsonObject, signer: Signer): string | undefined {
  const { thinking, signature } = block;
  if (typeof thinking !== "string") return ".thinking.thinking: Field required";
  if (typeof signature !== "string") return ".thinking.signature: Field required";
  if (block["cache_control"] !== undefined) return ".thinking.cache_control: Extra inputs are not permitted";
  return signer.isValid(thinking, signature) ? undefined : ": Invalid `signature` in `thinking` block";
}

function idsOf(blocks: readonly JsonObject[], type: string, name: string): string[] {
  return blocks.filter((block) => block["type"] === type).map((block) => String(block[name]));
}

/** Each call needs its result in the next turn, each result its call in the one before. */
function toolPairProblem(turns: readonly Turn[]): string | undefined {
  for (const [position, turn] of turns.entries()) {
    const next = turns[position + 1];
    const calls = idsOf(turn.blocks, "tool_use", "id");
    const answered = next === undefined ? [] : idsOf(next.blocks, "tool_result", "tool_use_id");
    const missing = calls.filter((id) => !answered.includes(id));
    if (missing.length > 0 && next !== undefined) {
      return `messages.${turn.index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(", ")}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`;
    }
    const known = position === 0 ? [] : idsOf(turns[position - 1]!.blocks, "tool_use", "id");
    const stray = idsOf(turn.blocks, "tool_result", "tool_use_id").find((id) => !known.includes(id));
    if (stray !== undefined) {
      return `messages.${turn.index}.content.0: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`;
    }
  }
  return undefined;
}

/** All `cache_control` marks of tools, system and messages, one level of nesting deep. */
export function cacheMarks(body: JsonObject): JsonObject[] {
  const marks: JsonObject[] = [];
  const collect = (blocks: unknown): void => {
    if (!Array.isArray(blocks)) return;
    for (const block of blocks) {
      if (isObject(block) && isObject(block["cache_control"])) marks.push(block["cache_control"]);
      if (isObject(block) && block["type"] === "tool_result") collect(block["content"]);
    }
  };
  collect(body["tools"]);
  collect(body["system"]);
  if (Array.isArray(body["messages"])) for (const message of body["messages"]) if (isObject(message)) collect(message["content"]);
  return marks;
}

function cacheProblem(body: JsonObject): string | undefined {
  const marks = cacheMarks(body);
  if (marks.length > cacheMarksMax) return `A maximum of ${cacheMarksMax} blocks with cache_control may be provided. Found ${marks.length}.`;
  for (const mark of marks) {
    if (mark["type"] !== "ephemeral") return "cache_control.type: Input should be 'ephemeral'";
    const ttl = mark["ttl"];
    if (ttl !== undefined && ttl !== "5m" && ttl !== "1h") return "cache_control.ephemeral.ttl: Input should be '5m' or '1h'";
  }
  return undefined;
}
