/**
 * What a request says about its price beside its length and `max_tokens`. Asked for only where money is held for it: the short way for
 * every such call, the long one, which reads every block, only where an upper bound is wanted.
 */
import type { ServerToolUsesMax } from "../../kernel/usage.ts";
import type { JsonMember, JsonMembers } from "../../wire/json-members.ts";
import { walkObjects } from "../../wire/json-walk.ts";
import type { CostFacts } from "../dialect.ts";

/**
 * Most tokens of one image: 3.75 megapixels at 750 pixels a token are 5,000, and newer models may take more.
 *
 * @source https://platform.claude.com/docs/en/build-with-claude/vision, checked 2026-11-23
 */
const imageTokensMax = 8_000;
/** What an image comes to where its size is not known: the older models' bound, 1,568 pixels on the long edge. */
const imageTokensUsual = 1_600;
/** The largest window that any Claude has; nothing reads more at once. */
const contextTokensMax = 1_000_000;
/** The description that the provider puts into the prompt for a tool of its own, at most; computer use, the longest documented, has 735 and 499 more. */
const ownToolTokensMax = 2_500;

/** Tools of the provider's own carry a date in their type, MCP's none. */
const ownToolMarks = ["_20", "mcp_toolset"];
/** The member under which the reply counts uses of a tool that the provider runs. */
const countedTools: readonly (readonly [prefix: string, member: string])[] = [
  ["web_search_", "web_search_requests"],
  ["web_fetch_", "web_fetch_requests"],
];
/** Run by the provider, as often as the model likes. */
const uncountedTools = /^(?:code_execution_|tool_search_tool_|mcp_toolset)/;
const advisorPrefix = "advisor_";
/** Blocks, and sources of blocks, whose tokens are not bounded by their bytes. */
const documentBlocks: ReadonlySet<string> = new Set(["document", "container_upload", "file", "url"]);
const typeMember: ReadonlySet<string> = new Set(["type"]);
const oneHour = '1h"';
const base64Mark = 'base64"';
const dataName = Buffer.from('"data"');
const quote = 0x22;

export function readCostFacts(body: Buffer, members: JsonMembers): CostFacts {
  const tools = ownTools(body, members.get("tools"));
  const images = inlineImages(body);
  const hasMcp = hasEntries(body, members.get("mcp_servers"));
  return {
    speed: shortText(body, members.get("speed")),
    inferenceGeo: shortText(body, members.get("inference_geo")),
    serviceTier: shortText(body, members.get("service_tier")),
    hasOneHourCache: body.includes(oneHour),
    serverTools: hasMcp ? { ...tools.uses, mcp: "unbounded" } : tools.uses,
    hasFurtherRuns: tools.hasAdvisor || isGiven(body, members.get("fallback")) || isGiven(body, members.get("fallbacks")) || mentions(body, members.get("context_management"), "compact"),
    textBytes: body.length - images.bytes,
    imageTokens: images.count * imageTokensUsual,
    unseenInputTokensMax: () => unseenInput(body, members, tools),
  };
}

interface OwnTools {
  readonly uses: Readonly<Record<string, ServerToolUsesMax>>;
  readonly count: number;
  readonly hasAdvisor: boolean;
}

const noTools: OwnTools = { uses: {}, count: 0, hasAdvisor: false };

/** Tools of clients are most of a body; they are read only when some mark of the provider's own stands among them. */
function ownTools(body: Buffer, member: JsonMember | undefined): OwnTools {
  if (member === undefined) return noTools;
  const span = body.subarray(member.valueStart, member.valueEnd);
  if (!ownToolMarks.some((mark) => span.includes(mark)) && !span.includes("\\u00")) return noTools;
  const uses: Record<string, ServerToolUsesMax> = {};
  let count = 0;
  let hasAdvisor = false;
  for (const { type, maxUses } of typedTools(span)) {
    const counted = countedTools.find(([prefix]) => type.startsWith(prefix))?.[1];
    if (type === "custom") continue;
    count++;
    hasAdvisor ||= type.startsWith(advisorPrefix);
    if (counted !== undefined) uses[counted] = sum(uses[counted] ?? 0, maxUses ?? "unbounded");
    else if (uncountedTools.test(type)) uses[type] = "unbounded";
  }
  return { uses, count, hasAdvisor };
}

function typedTools(span: Buffer): readonly { readonly type: string; readonly maxUses: number | undefined }[] {
  try {
    const tools = JSON.parse(span.toString("utf8")) as unknown;
    if (!Array.isArray(tools)) return [];
    return (tools as { type?: unknown; max_uses?: unknown }[]).flatMap((tool) => {
      if (typeof tool?.type !== "string") return [];
      return [{ type: tool.type, maxUses: typeof tool.max_uses === "number" && Number.isSafeInteger(tool.max_uses) && tool.max_uses >= 0 ? tool.max_uses : undefined }];
    });
  } catch {
    // The upstream will refuse it, and bill nothing.
    return [];
  }
}

function sum(a: ServerToolUsesMax, b: ServerToolUsesMax): ServerToolUsesMax {
  return a === "unbounded" || b === "unbounded" ? "unbounded" : a + b;
}

/** Images that stand in the body as base64, whose bytes say nothing about their tokens. Others are taken for text, which is more. */
function inlineImages(body: Buffer): { readonly count: number; readonly bytes: number } {
  let count = 0;
  let bytes = 0;
  for (let at = body.indexOf(base64Mark); at !== -1; at = body.indexOf(base64Mark, at + base64Mark.length)) {
    const near = body.subarray(at, at + 200);
    if (!near.includes('"image/')) continue;
    const data = near.indexOf(dataName);
    const start = data === -1 ? -1 : body.indexOf(quote, at + data + dataName.length);
    const end = start === -1 ? -1 : body.indexOf(quote, start + 1);
    if (end === -1) continue;
    count++;
    bytes += end - start - 1;
    at = end;
  }
  return { count, bytes };
}

/** Whatever way a block is spelled, it is found: each object of the prompt is looked at. */
function unseenInput(body: Buffer, members: JsonMembers, tools: OwnTools): number {
  let images = 0;
  let documents = 0;
  for (const place of ["messages", "system"]) {
    const member = members.get(place);
    if (member === undefined) continue;
    walkObjects(body, [member.valueStart, member.valueEnd], typeMember, (found) => {
      for (const { text } of found) {
        if (text === "image") images++;
        else if (text === undefined || documentBlocks.has(text)) documents++;
      }
    });
  }
  const read = Math.min(contextTokensMax, images * imageTokensMax + (documents > 0 ? contextTokensMax : 0) + tools.count * ownToolTokensMax);
  // A tool of the provider's own brings back what nobody has seen, and the prompt is read again with it.
  const rounds = Object.values(tools.uses).reduce((total: number, uses) => total + (uses === "unbounded" ? 0 : uses), 0);
  return read + rounds * contextTokensMax;
}

function shortText(body: Buffer, member: JsonMember | undefined): string | undefined {
  if (member === undefined || body[member.valueStart] !== quote || member.valueEnd - member.valueStart > 64) return undefined;
  return body.toString("latin1", member.valueStart + 1, member.valueEnd - 1);
}

function isGiven(body: Buffer, member: JsonMember | undefined): boolean {
  return member !== undefined && body.toString("latin1", member.valueStart, Math.min(member.valueEnd, member.valueStart + 4)) !== "null";
}

function hasEntries(body: Buffer, member: JsonMember | undefined): boolean {
  return isGiven(body, member) && /[^[\]\s]/.test(body.toString("latin1", member!.valueStart, Math.min(member!.valueEnd, member!.valueStart + 64)));
}

function mentions(body: Buffer, member: JsonMember | undefined, word: string): boolean {
  if (member === undefined) return false;
  const span = body.subarray(member.valueStart, member.valueEnd);
  return span.includes(word) || span.includes("\\u00");
}
