/**
 * Ready behaviours for the errors that Claude Code recognises by their words and heals by itself: a gateway must hand each on
 * letter by letter, or the client stops healing.
 */
import type { Behaviour } from "./fake-anthropic-types.ts";

function refused(message: string): Behaviour {
  return { status: 400, message };
}

/**
 * By the class that Anthropic's gateway contract gives each wording.
 *
 * @source reference/claude-code.md §6 and the threads it cites
 */
export const healableErrors = {
  promptTooLong: refused("prompt is too long: 215000 tokens > 200000 maximum"),
  maxTokensContextOverflow: refused("input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input length or `max_tokens` and try again"),
  midConversationSystem: refused('messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'),
  adaptiveThinking: refused("adaptive thinking is not supported on this model"),
  thinkingSignature: refused("messages.1.content.0: Invalid `signature` in `thinking` block"),
  betaHeader: refused("Unexpected value(s) `context-management-2025-06-27` for the `anthropic-beta` header. Please consult our documentation at docs.anthropic.com or try again without the header."),
  contextManagement: refused("context_management: Extra inputs are not permitted"),
  maxTokensLimit: refused("max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5-20251101"),
} as const satisfies Readonly<Record<string, Behaviour>>;
