/**
 * Decides what the fake answers and what that costs: a deterministic reply to the request, with usage that follows from its
 * size and cache marks. Nothing here knows how the answer is sent.
 */
import { createHash } from "node:crypto";
import { cacheMarks } from "./fake-anthropic-history.ts";
import { isObject } from "./fake-anthropic-types.ts";
import type { AnswerBlock, Behaviour, Decline, IterationUsage, JsonObject, WireUsage } from "./fake-anthropic-types.ts";

/** An answer ready to be encoded. */
export interface Answer {
  readonly model: string;
  readonly blocks: readonly AnswerBlock[];
  readonly stopReason: string;
  /** As in the reply. Tokens of refusals that are not billed stand in it too. */
  readonly usage: WireUsage;
  /** What is billed; undefined when nothing is. */
  readonly billedUsage: WireUsage | undefined;
  /** The model that `message_start` names, where another one takes over after it. */
  readonly startModel?: string;
  /** Why the reply is a refusal, in the wire's form. */
  readonly stopDetails?: JsonObject;
  /** Thinking text is kept back from the client (`display: omitted`), as Claude Code asks for. */
  readonly isThinkingOmitted: boolean;
}

const charactersPerToken = 4;

/** Tokens of some characters: a quarter, rounded up. The fake's own rule; it only has to be the same everywhere. */
export function tokensOf(characters: number): number {
  return Math.ceil(characters / charactersPerToken);
}

/** Characters that count as output: text, thinking, the tool's name and input. */
export function outputCharacters(block: AnswerBlock): number {
  switch (block.type) {
    case "text":
      return block.text.length;
    case "thinking":
      return block.thinking.length;
    case "redacted_thinking":
      return 40;
    case "tool_use":
      return block.name.length + JSON.stringify(block.input).length;
    case "fallback":
    default:
      return 0;
  }
}

/** Tokens of the prompt: system, tools and messages as JSON. Also the answer of `count_tokens`. */
export function countInputTokens(body: JsonObject): number {
  return tokensOf(JSON.stringify([body["system"], body["tools"], body["messages"]]).length);
}

/** Remembers which prompts it has seen, so that the second one with the same tools and system reads from the cache. */
export class PromptCache {
  readonly #seen = new Set<string>();

  /** True from the second call with the same model, tools and system on. Bounded to 10,000 prompts. */
  isHit(body: JsonObject): boolean {
    const digest = createHash("sha256").update(JSON.stringify([body["model"], body["tools"], body["system"]])).digest("base64");
    if (this.#seen.has(digest)) return true;
    if (this.#seen.size >= 10_000) this.#seen.clear();
    this.#seen.add(digest);
    return false;
  }
}

/** The answer to a valid request. */
export function planAnswer(body: JsonObject, behaviour: Behaviour, cache: PromptCache): Answer {
  if (behaviour.refusal !== undefined || behaviour.declinedHops !== undefined) return planDeclined(body, behaviour, cache);
  const blocks = blocksOf(body, behaviour);
  const model = behaviour.replyModel ?? String(body["model"]);
  const hasToolUse = blocks.some(({ type }) => type === "tool_use");
  const output = tokensOf(blocks.reduce((sum, block) => sum + outputCharacters(block), 0)) || 1;
  const usage = { ...usageOf(body, output, cache), ...behaviour.usage };
  return {
    model,
    blocks,
    stopReason: behaviour.stopReason ?? (hasToolUse ? "tool_use" : "end_turn"),
    usage,
    billedUsage: usage,
    isThinkingOmitted: isObject(body["thinking"]) && body["thinking"]["display"] === "omitted",
  };
}

/**
 * Billed once it has said something; before that only in these categories.
 * @source https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, "How refusals are billed"
 */
function isDeclineBilled({ category, text }: Decline): boolean {
  return (text ?? "") !== "" || category === "bio" || category === "frontier_llm" || category === "reasoning_extraction";
}

/**
 * An answer in which models decline: the last one (`refusal`), or those before it (`declinedHops`), each with its entry in
 * `iterations` as the provider keeps them. The bill holds the entries that are charged.
 */
function planDeclined(body: JsonObject, behaviour: Behaviour, cache: PromptCache): Answer {
  const { refusal, declinedHops = [] } = behaviour;
  const model = behaviour.replyModel ?? String(body["model"]);
  const said = (decline: Decline): AnswerBlock[] => (decline.text === undefined ? [] : [{ type: "text", text: decline.text }]);
  const models = [...declinedHops.map((hop) => hop.model), model];
  const before = declinedHops.flatMap((hop, index): AnswerBlock[] => [...said(hop), { type: "fallback", from: hop.model, to: models[index + 1]!, category: hop.category }]);
  const last = refusal === undefined ? blocksOf(body, behaviour) : said(refusal);
  const output = tokensOf(last.reduce((sum, block) => sum + outputCharacters(block), 0));
  const own = { ...usageOf(body, output, cache), ...behaviour.usage };
  const { input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cache_creation } = own;
  const entries = declinedHops.map((hop): IterationUsage => ({ type: "message", model: hop.model, input_tokens: hop.inputTokens, output_tokens: tokensOf((hop.text ?? "").length), cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }));
  const final: IterationUsage = { type: "fallback_message", model, input_tokens, output_tokens, cache_creation_input_tokens, cache_read_input_tokens, cache_creation };
  const isLastBilled = refusal === undefined || isDeclineBilled(refusal);
  const billed = [...entries.filter((_, index) => isDeclineBilled(declinedHops[index]!)), ...(isLastBilled ? [final] : [])];
  const isChain = declinedHops.length > 0;
  const usage = isChain ? { ...own, iterations: [...entries, final] } : own;
  const speaking = declinedHops.findIndex(({ text }) => text !== undefined);
  return {
    model,
    ...(isChain ? { startModel: models[speaking === -1 ? models.length - 1 : speaking]! } : {}),
    blocks: [...before, ...last],
    stopReason: refusal === undefined ? "end_turn" : "refusal",
    ...(refusal === undefined ? {} : { stopDetails: { type: "refusal", category: refusal.category, explanation: refusal.category === null ? null : "The fake declines." } }),
    usage,
    billedUsage: billed.length === 0 ? undefined : isChain ? { ...usage, iterations: billed } : usage,
    isThinkingOmitted: isObject(body["thinking"]) && body["thinking"]["display"] === "omitted",
  };
}

/** Sixty per cent of a prompt with cache marks is its prefix, split between the lifetimes asked for. */
function usageOf(body: JsonObject, output: number, cache: PromptCache): WireUsage {
  const total = countInputTokens(body);
  const marks = cacheMarks(body);
  const prefix = marks.length > 0 ? Math.floor(total * 0.6) : 0;
  const isRead = prefix > 0 && cache.isHit(body);
  const written = isRead ? 0 : prefix;
  const hasLong = marks.some((mark) => mark["ttl"] === "1h");
  const hasShort = marks.some((mark) => mark["ttl"] !== "1h");
  const long = hasLong ? (hasShort ? Math.floor(written / 2) : written) : 0;
  return {
    input_tokens: total - prefix,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: isRead ? prefix : 0,
    cache_creation: { ephemeral_5m_input_tokens: written - long, ephemeral_1h_input_tokens: long },
    output_tokens: output,
    service_tier: "standard",
    inference_geo: "not_available",
  };
}

function blocksOf(body: JsonObject, behaviour: Behaviour): readonly AnswerBlock[] {
  if (behaviour.blocks !== undefined) return behaviour.blocks;
  if (behaviour.textBytes !== undefined) return [{ type: "text", text: sentenceOf(behaviour.textBytes) }];
  const said = behaviour.text === undefined ? derive(body) : [{ type: "text" as const, text: behaviour.text }];
  const thinking = isObject(body["thinking"]) ? body["thinking"]["type"] : "disabled";
  return thinking === "disabled" ? said : [{ type: "thinking", thinking: "The fake considers the request and picks its answer." }, ...said];
}

function sentenceOf(bytes: number): string {
  return "The quick brown fox jumps over the lazy dog. ".repeat(Math.ceil(bytes / 45)).slice(0, bytes);
}

/** Content of the last user turn: its text, and the text of tool results if it has any. */
function lastTurn(body: JsonObject): { readonly text: string; readonly toolResult: string | undefined } {
  const messages = Array.isArray(body["messages"]) ? body["messages"] : [];
  const last = messages.filter(isObject).findLast((message) => message["role"] === "user");
  const content = last?.["content"];
  if (typeof content === "string") return { text: content, toolResult: undefined };
  const blocks = Array.isArray(content) ? content.filter(isObject) : [];
  const results = blocks.filter((block) => block["type"] === "tool_result");
  return { text: textOf(blocks), toolResult: results.length === 0 ? undefined : results.map((block) => textOf(block["content"])).join("\n") };
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.filter(isObject).map((block) => (typeof block["text"] === "string" ? block["text"] : "")).join("\n");
}

/**
 * In this order: JSON for a requested schema; the echo of a tool result; the call that `[[tool:NAME {json}]]` asks for when the
 * tool was offered; the words of `[[say:…]]`; an echo of the prompt's first words.
 */
function derive(body: JsonObject): AnswerBlock[] {
  const format = isObject(body["output_config"]) ? body["output_config"]["format"] : undefined;
  if (isObject(format) && format["type"] === "json_schema") return [{ type: "text", text: JSON.stringify(instanceOf(format["schema"])) }];
  const { text, toolResult } = lastTurn(body);
  if (toolResult !== undefined) return [{ type: "text", text: `The tool answered: ${toolResult}` }];
  const [, name, json] = /\[\[tool:([\w.-]+)\s*(\{.*?\})?\]\]/s.exec(text) ?? [];
  if (name !== undefined && hasTool(body, name)) {
    return [{ type: "text", text: `Calling ${name}.` }, { type: "tool_use", name, input: inputOf(json) }];
  }
  const said = /\[\[say:(.*?)\]\]/s.exec(text)?.[1];
  return [{ type: "text", text: said ?? `This is the fake provider. It heard: ${text.trim().slice(0, 60)}` }];
}

function hasTool(body: JsonObject, name: string): boolean {
  return Array.isArray(body["tools"]) && body["tools"].some((tool) => isObject(tool) && tool["name"] === name);
}

function inputOf(json: string | undefined): JsonObject {
  try {
    const input = JSON.parse(json ?? "{}") as unknown;
    return isObject(input) ? input : {};
  } catch {
    return { unreadable: json };
  }
}

/** A small value that fits a JSON schema: first choice of each enum and alternative, each property filled. */
export function instanceOf(schema: unknown): unknown {
  if (!isObject(schema)) return null;
  if (schema["const"] !== undefined) return schema["const"];
  if (Array.isArray(schema["enum"])) return schema["enum"][0];
  const choices = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(choices)) return instanceOf(choices[0]);
  const type = Array.isArray(schema["type"]) ? (schema["type"][0] as unknown) : schema["type"];
  if (type === "object" || isObject(schema["properties"])) {
    const properties = isObject(schema["properties"]) ? schema["properties"] : {};
    return Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, instanceOf(part)]));
  }
  if (type === "array") return [instanceOf(schema["items"])];
  if (type === "integer" || type === "number") return typeof schema["minimum"] === "number" ? schema["minimum"] : 1;
  if (type === "boolean") return true;
  return type === "null" ? null : "Fake answer";
}
