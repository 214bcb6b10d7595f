/**
 * Every model that a request names beside `model`, for rights: server-side fallbacks, and advisor tools, which may stand in
 * `tools` and, since the betas for inline tools, inside messages too. The places are those that Claude Code's own guard walks
 * (client 2.1.330, read from its binary 2026-11).
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { isProblem, scanElements, scanMembers, type JsonMember, type JsonMembers } from "../../wire/json-members.ts";

/** A tool that runs a model of its own. */
const advisorPrefix = "advisor_";

/** A member can be called `model` only if the bytes hold that name literally or hold an escape of a letter. */
const modelName = Buffer.from('"model"');
const letterEscape = /\\u00[4-7]/;

/**
 * @returns names in the order of the body, repeated ones included
 * @throws GatewayError `client_field_invalid` when a fallback or an advisor leaves its model to the server, or names it twice
 */
export function namedModels(body: Buffer, members: JsonMembers): readonly string[] {
  const names: string[] = [];
  for (const place of ["fallback", "fallbacks"]) collectFallbacks(valueOf(body, members.get(place)), place, names);
  for (const place of ["tools", "messages", "system"]) {
    const member = members.get(place);
    if (member === undefined || !mayNameModel(body, member)) continue;
    const before = names.length;
    collectAdvisors(valueOf(body, member), place, names);
    if (names.length > before) refuseRepeatedNames(body, place, [member.valueStart, member.valueEnd]);
  }
  return names;
}

function mayNameModel(body: Buffer, member: JsonMember): boolean {
  const span = body.subarray(member.valueStart, member.valueEnd);
  return span.includes(modelName) || span.includes(advisorPrefix) || letterEscape.test(span.toString("latin1"));
}

function valueOf(body: Buffer, member: JsonMember | undefined): unknown {
  if (member === undefined) return undefined;
  try {
    return JSON.parse(body.toString("utf8", member.valueStart, member.valueEnd)) as unknown;
  } catch {
    throw new GatewayError("client_body_malformed", { publicText: `Cannot read the request: ${member.name} is not valid JSON.` });
  }
}

function collectFallbacks(value: unknown, path: string, names: string[]): void {
  if (value === undefined || value === null) return;
  for (const [index, entry] of (Array.isArray(value) ? (value as unknown[]) : [value]).entries()) {
    const name = typeof entry === "string" ? entry : isObject(entry) ? entry["model"] : undefined;
    // "default" leaves the choice to the provider, so nobody could say whether it is within the key's rights.
    if (typeof name !== "string" || name === "default") throw new GatewayError("client_field_invalid", { publicText: `${path}${Array.isArray(value) ? `[${index}]` : ""}: name the model to fall back to; this key may use some models only.` });
    names.push(name);
  }
}

function collectAdvisors(value: unknown, path: string, names: string[]): void {
  if (Array.isArray(value)) {
    for (const entry of value as unknown[]) collectAdvisors(entry, path, names);
    return;
  }
  if (!isObject(value)) return;
  const { type, model } = value;
  if (typeof type === "string" && type.startsWith(advisorPrefix)) {
    if (typeof model !== "string") throw new GatewayError("client_field_invalid", { publicText: `${path}: an advisor tool must name its model; this key may use some models only.` });
    names.push(model);
  }
  for (const inner of Object.values(value)) collectAdvisors(inner, path, names);
}

/** Of a name that stands twice in one object, two parsers may each believe another one; so where an advisor is, none may. */
function refuseRepeatedNames(body: Buffer, path: string, [start, end]: readonly [number, number]): void {
  const isArray = body[start] === 0x5b;
  if (!isArray && body[start] !== 0x7b) return;
  const found = isArray ? scanElements(body, start, end) : scanMembers(body, start, end);
  if (isProblem(found)) throw new GatewayError("client_body_malformed", { publicText: `Cannot read the request: an object inside ${path} ${found.reason} (byte ${found.offset}).` });
  const spans = "list" in found ? found.list.map(({ valueStart, valueEnd }) => [valueStart, valueEnd] as const) : found;
  for (const span of spans) refuseRepeatedNames(body, path, span);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
