/**
 * What the gateway must know of a Messages request, from its top-level members only. Nothing is parsed but the
 * few members that decide.
 */
import { modelNameLengthMax } from "../../kernel/bounds.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import { isProblem, scanMembers, type JsonMember, type JsonMembers, type JsonMembersProblem } from "../../wire/json-members.ts";
import type { RequestFacts } from "../dialect.ts";
import { readCostFacts } from "./cost-facts.ts";
import { namedModels } from "./named-models.ts";
import { attributionPrefix, readPromptShape } from "./prompt-shape.ts";

/** Members the gateway decides by. Another spelling of them is refused: some parsers fold case, and would read another request than we do. */
const decisive = ["model", "stream", "max_tokens", "fallback", "fallbacks", "tools"];

/**
 * @throws GatewayError `client_body_malformed` when the body is not one unambiguous object,
 *   `client_field_invalid` when a member that decides has the wrong type
 */
export function inspect(body: Buffer, named?: { readonly model: string | undefined; readonly isStreaming: boolean }): RequestFacts {
  const members = readMembers(body, "the body");
  for (const { name } of members.list) {
    const folded = name.toLowerCase();
    if (folded !== name && decisive.includes(folded)) throw invalid(`${JSON.stringify(name)} is not a member; it is written ${folded}`);
  }
  const model = named?.model ?? readModel(body, members.get("model"), "model");
  if (model === "" || model.length > modelNameLengthMax) throw invalid(`model: String should have 1 to ${modelNameLengthMax} characters`);
  return {
    model,
    furtherModels: (bytes) => namedModels(bytes, members),
    isStreaming: named?.isStreaming ?? readStream(body, members.get("stream")),
    outputTokensMax: readPositiveInteger(body, members.get("max_tokens")),
    members,
    promptPrefix: (bytes) => readPromptPrefix(bytes, members),
    promptShape: (bytes) => readPromptShape(bytes, members),
    costFacts: (bytes) => readCostFacts(bytes, members),
  };
}

/** The tools and the system prompt, without Claude Code's line about itself, which differs from call to call and is stripped by Anthropic. */
function readPromptPrefix(body: Buffer, members: JsonMembers): Buffer | undefined {
  const bytesOf = (name: string): Buffer | undefined => {
    const member = members.get(name);
    return member === undefined ? undefined : body.subarray(member.valueStart, member.valueEnd);
  };
  const system = bytesOf("system");
  const parts = [bytesOf("tools"), system === undefined ? undefined : withoutAttribution(system)].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : Buffer.concat(parts);
}

function withoutAttribution(system: Buffer): Buffer {
  if (!system.includes(attributionPrefix)) return system;
  try {
    const blocks: unknown = JSON.parse(system.toString("utf8"));
    if (!Array.isArray(blocks)) return system;
    const isAttribution = (block: unknown): boolean => typeof block === "object" && block !== null && "text" in block && typeof block.text === "string" && block.text.startsWith(attributionPrefix);
    return Buffer.from(JSON.stringify(blocks.filter((block, index) => index > 0 || !isAttribution(block))));
  } catch {
    // The upstream will say what is wrong with it.
    return system;
  }
}

function readMembers(body: Buffer, what: string, start = 0, end = body.length): JsonMembers {
  const result = scanMembers(body, start, end);
  if (isProblem(result)) throw malformed(what, result);
  return result;
}

function malformed(what: string, problem: JsonMembersProblem): GatewayError {
  return new GatewayError("client_body_malformed", { publicText: `Cannot read the request: ${what} ${problem.reason} (byte ${problem.offset}).` });
}

function invalid(sentence: string): GatewayError {
  return new GatewayError("client_field_invalid", { publicText: sentence });
}

function readModel(body: Buffer, member: JsonMember | undefined, path: string): string {
  if (member === undefined) throw invalid(`${path}: Field required`);
  if (body[member.valueStart] !== 0x22) throw invalid(`${path}: Input should be a valid string`);
  const model = decodeString(body, member, path);
  if (model === "" || model.length > modelNameLengthMax) throw invalid(`${path}: String should have 1 to ${modelNameLengthMax} characters`);
  return model;
}

const mustParse = /[\\\u0000-\u001f]/;

function decodeString(body: Buffer, member: JsonMember, path: string): string {
  const text = body.toString("utf8", member.valueStart, member.valueEnd);
  // JSON allows no control character in a string; what another parser makes of one is anybody's guess.
  if (!mustParse.test(text)) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    throw invalid(`${path}: Input should be a valid string`);
  }
}

function readStream(body: Buffer, member: JsonMember | undefined): boolean {
  if (member === undefined) return false;
  const text = body.toString("latin1", member.valueStart, Math.min(member.valueEnd, member.valueStart + 6));
  if (text === "true") return true;
  if (text === "false" || text === "null") return false;
  throw invalid("stream: Input should be a valid boolean");
}

function readPositiveInteger(body: Buffer, member: JsonMember | undefined): number | undefined {
  if (member === undefined || member.valueEnd - member.valueStart > 15) return undefined;
  const value = Number(body.toString("latin1", member.valueStart, member.valueEnd));
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
