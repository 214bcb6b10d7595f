/**
 * Every model that a request names beside `model`, for rights: server-side fallbacks, and advisor tools, which may stand in
 * `tools` and, since the betas for inline tools, inside messages too. The places are those that Claude Code's own guard walks
 * (client 2.1.330, read from its binary 2026-11).
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { JsonMember, JsonMembers } from "../../wire/json-members.ts";
import { walkObjects, type FoundMember } from "../../wire/json-walk.ts";

/** A tool that runs a model of its own. */
const advisorPrefix = "advisor_";
const decisive: ReadonlySet<string> = new Set(["type", "model"]);

/** An advisor is there only if the bytes hold its prefix literally or hold an escape of a letter or of `_`. */
const characterEscape = /\\u00[4-7]/;

/**
 * @returns names in the order of the body, repeated ones included
 * @throws GatewayError `client_field_invalid` when a fallback or an advisor leaves its model to the server, or names it twice
 */
export function namedModels(body: Buffer, members: JsonMembers): readonly string[] {
  const names: string[] = [];
  for (const place of ["fallback", "fallbacks"]) {
    const member = members.get(place);
    if (member !== undefined) collectFallbacks(body, member, names);
  }
  for (const place of ["tools", "messages", "system"]) {
    const member = members.get(place);
    if (member === undefined || !mayHoldAdvisor(body, member)) continue;
    walkObjects(body, [member.valueStart, member.valueEnd], decisive, (found) => {
      const model = advisorModel(found, place);
      if (model !== undefined) names.push(model);
    });
  }
  return names;
}

function mayHoldAdvisor(body: Buffer, member: JsonMember): boolean {
  const span = body.subarray(member.valueStart, member.valueEnd);
  return span.includes(advisorPrefix) || (span.includes("\\u00") && characterEscape.test(span.toString("latin1")));
}

/** Of a name that stands twice in one object, or in another case, two parsers may each believe another one; so it may not. */
function advisorModel(found: readonly FoundMember[], place: string): string | undefined {
  const types = found.filter(({ name }) => name.toLowerCase() === "type");
  if (!types.some(({ text }) => text?.startsWith(advisorPrefix) === true)) return undefined;
  const models = found.filter(({ name }) => name.toLowerCase() === "model");
  const [model] = models;
  if (types.length > 1 || models.length > 1) throw invalid(`${place}: an advisor tool has \`type\` or \`model\` twice`);
  if (types[0]?.name !== "type" || model?.name !== "model" || model.text === undefined) throw invalid(`${place}: an advisor tool must name its model; this key may use some models only.`);
  return model.text;
}

function collectFallbacks(body: Buffer, member: JsonMember, names: string[]): void {
  const value = valueOf(body, member);
  if (value === null) return;
  walkObjects(body, [member.valueStart, member.valueEnd], new Set(["model"]), (found) => {
    if (found.length > 1 || found[0]?.name !== "model") throw invalid(`${member.name}: a fallback has \`model\` twice, or in another spelling`);
  });
  for (const [index, entry] of (Array.isArray(value) ? (value as unknown[]) : [value]).entries()) {
    const name = typeof entry === "string" ? entry : isObject(entry) ? entry["model"] : undefined;
    // "default" leaves the choice to the provider, so nobody could say whether it is within the key's rights.
    if (typeof name !== "string" || name === "default") throw invalid(`${member.name}${Array.isArray(value) ? `[${index}]` : ""}: name the model to fall back to; this key may use some models only.`);
    names.push(name);
  }
}

function valueOf(body: Buffer, member: JsonMember): unknown {
  try {
    return JSON.parse(body.toString("utf8", member.valueStart, member.valueEnd)) as unknown;
  } catch {
    throw new GatewayError("client_body_malformed", { publicText: `Cannot read the request: ${member.name} is not valid JSON.` });
  }
}

function invalid(publicText: string): GatewayError {
  return new GatewayError("client_field_invalid", { publicText });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
