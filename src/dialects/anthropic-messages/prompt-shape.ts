/** By what a later call is known to begin with the prompt of an earlier one: in a few microseconds, however long it is, and without keeping any of it. */
import { crc32 } from "node:zlib";
import type { JsonMember, JsonMembers } from "../../wire/json-members.ts";
import type { PromptShape } from "../dialect.ts";

/** With it begins the text of Claude Code's first system block, which tells about the client. */
export const attributionPrefix = "x-anthropic-billing-header:";

/**
 * With a change of one of these a provider may find nothing in its cache, or none of the messages.
 *
 * @source https://platform.claude.com/docs/en/build-with-claude/prompt-caching; `output_config` and `cache_control`: own choice
 */
const marked = ["tools", "system", "tool_choice", "thinking", "speed", "output_config", "cache_control"];
/** Edits by which the provider itself takes parts out of the messages. */
const edits = ["clear_tool_uses", "compact"];
/** Of a longer member its beginning and its end are looked at, so much of each, and its length. */
const sampleBytes = 4_096;
/** The attribution stands in the first block. */
const attributionBytesMax = 512;
const quote = 0x22;
const lengthsMax = 2 ** 20;

/** Undefined where the messages may be shortened on the way to the model. */
export function readPromptShape(body: Buffer, members: JsonMembers): PromptShape | undefined {
  const messages = members.get("messages");
  const context = members.get("context_management");
  if (messages === undefined || (context !== undefined && mentionsEdit(body.subarray(context.valueStart, context.valueEnd)))) return undefined;
  let crc = 0;
  let lengths = 0;
  for (const name of marked) {
    const member = members.get(name);
    if (member === undefined) continue;
    const start = name === "system" ? afterAttribution(body, member) : member.valueStart;
    crc = sampled(body, start, member.valueEnd, crc);
    lengths = (lengths * 31 + member.valueEnd - start) % lengthsMax;
  }
  return { mark: lengths * 2 ** 32 + crc, messagesBytes: messages.valueEnd - messages.valueStart };
}

function mentionsEdit(context: Buffer): boolean {
  return edits.some((edit) => context.includes(edit));
}

function sampled(body: Buffer, start: number, end: number, crc: number): number {
  if (end - start <= 2 * sampleBytes) return crc32(body.subarray(start, end), crc);
  return crc32(body.subarray(end - sampleBytes, end), crc32(body.subarray(start, start + sampleBytes), crc));
}

/** Claude Code's line about itself differs from call to call in old versions: whether that costs the cache is what is to be found out. */
function afterAttribution(body: Buffer, { valueStart, valueEnd }: JsonMember): number {
  const at = body.subarray(valueStart, Math.min(valueEnd, valueStart + attributionBytesMax)).indexOf(attributionPrefix);
  const end = at === -1 ? -1 : body.indexOf(quote, valueStart + at);
  return end === -1 || end >= valueEnd ? valueStart : end;
}
