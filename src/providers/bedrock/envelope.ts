/**
 * The body that Bedrock's InvokeModel takes: no `model`, no `stream`, betas in `anthropic_beta`, and of them only those it is known
 * to know. A beta that stays behind takes its fields along. `messages` and `system` are never touched.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { withoutHeader } from "../../wire/headers.ts";
import { fieldsWithout } from "../beta-fields.ts";
import { betasOf, reshape, type Reshaped } from "../envelope.ts";
import type { ProviderCall } from "../provider.ts";
import { eagerInput, fieldStaysWithout, neverDropped, rowFor, toolExamples } from "./capabilities.ts";

const version = "bedrock-2023-05-31";

/** A request in Bedrock's form, and what was taken from it. */
export interface BedrockForm extends Reshaped {
  readonly loss: readonly string[];
}

/**
 * @throws GatewayError `client_field_invalid` naming a field that cannot be served and may not be dropped
 */
export function toBedrock(call: ProviderCall): BedrockForm {
  const came = betasOf(call);
  const isNative = call.envelope === "bedrock";
  const { kept, removed, loss } = choose(call, came, isNative);
  const count = countEdits(call);
  // A request in Bedrock's own form goes as it came, unless it asks for what is not known here.
  if (isNative && loss.length === 0) {
    return { ...reshape(call, { to: "bedrock", version, ...count }), loss };
  }
  const hasEager = hasToolField(call, eagerInput.field);
  if (hasEager) removed.push(eagerInput.beta);
  if (kept.has("tool-search-tool-2025-10-19") && came.includes("advanced-tool-use-2025-11-20") && !call.refusedBetas.has(toolExamples.beta) && hasToolField(call, toolExamples.field)) kept.add(toolExamples.beta);
  if (call.members.get("tags") !== undefined) removed.push("request-tags-");
  const admitted = [...kept].filter((beta) => beta !== eagerInput.beta);
  const fields = fieldsWithout(call, removed, [...admitted, ...came.filter((beta) => fieldStaysWithout.some((stem) => beta.startsWith(stem)) && !call.refusedBetas.has(beta))]);
  for (const name of neverDropped) {
    if (fields.remove.has(name)) throw new GatewayError("client_field_invalid", { publicText: `${name}: this field cannot be served by the model's provider here. Send the request without ${name}.` });
  }
  if (hasEager && call.isStreaming && isEager(call) && !call.refusedBetas.has(eagerInput.beta)) kept.add(eagerInput.beta);
  const edits = { remove: new Set([...fields.remove, ...(count.remove ?? [])]), replace: fields.replace, ...(count.add === undefined ? {} : { add: count.add }) };
  const shaped = isNative ? native(call, kept, edits) : reshape(call, { to: "bedrock", version, betas: [...kept].filter((beta) => rowFor(beta, call.upstreamModel)?.isClientsOnly !== true), ...edits });
  return { ...shaped, loss: [...loss, ...fields.loss] };
}

interface Choice {
  /** As they go, in order. */
  readonly kept: Set<string>;
  /** Names whose fields must go. */
  readonly removed: string[];
  readonly loss: string[];
}

function choose(call: ProviderCall, came: readonly string[], isNative: boolean): Choice {
  const kept = new Set<string>();
  const removed: string[] = [];
  const loss: string[] = [];
  const isCounting = call.operation === "count_tokens" && !isNative;
  const inBody = isNative ? betasOf({ ...call, headers: [] }) : [];
  for (const beta of came) {
    const row = rowFor(beta, call.upstreamModel);
    const name = row?.sendAs ?? beta;
    const mayGo = row !== undefined && (isNative || row.isClientsOnly !== true) && !(row.isHeaderOnly === true && inBody.includes(beta)) && (!isCounting || row.isCounted === true);
    if (mayGo && !call.refusedBetas.has(beta) && !call.refusedBetas.has(name)) {
      kept.add(name);
      if (name !== beta) loss.push(`beta:${beta}`);
      continue;
    }
    loss.push(`beta:${beta}`);
    if (call.refusedBetas.has(beta) || !fieldStaysWithout.some((stem) => beta.startsWith(stem))) removed.push(...new Set([beta, name]));
  }
  return { kept, removed, loss };
}

/** Whether some tool has the member. Its name in quotes may also stand in a description: then a splice finds nothing to take. */
function hasToolField(call: ProviderCall, field: string): boolean {
  const tools = call.members.get("tools");
  if (tools === undefined) return false;
  return call.body.subarray(tools.valueStart, tools.valueEnd).includes(`"${field}"`);
}

/** Whether a tool asks for it; a `false` asks for nothing. */
function isEager(call: ProviderCall): boolean {
  const tools = call.members.get("tools")!;
  return new RegExp(`"${eagerInput.field}"\\s*:\\s*true`).test(call.body.toString("latin1", tools.valueStart, tools.valueEnd));
}

/** Splices that make a body countable: InvokeModel's checks hold there as well. */
interface CountEdits {
  readonly add?: ReadonlyMap<string, string>;
  readonly remove?: ReadonlySet<string>;
}

/**
 * `max_tokens` is required, and must be above a thinking budget; an empty `tools` is refused (Claude Code 2.1.330, `claude gateway`,
 * GET /protocol, checked 2026-11).
 */
function countEdits(call: ProviderCall): CountEdits {
  if (call.operation !== "count_tokens") return {};
  const tools = call.members.get("tools");
  const isEmpty = tools !== undefined && /^\[\s*\]$/.test(call.body.toString("latin1", tools.valueStart, Math.min(tools.valueEnd, tools.valueStart + 64)));
  return { add: new Map([["max_tokens", String((thinkingBudget(call) ?? 0) + 1)]]), ...(isEmpty ? { remove: new Set(["tools"]) } : {}) };
}

function thinkingBudget(call: ProviderCall): number | undefined {
  const member = call.members.get("thinking");
  if (member === undefined) return undefined;
  try {
    const budget = (JSON.parse(call.body.toString("utf8", member.valueStart, member.valueEnd)) as { budget_tokens?: unknown } | null)?.budget_tokens;
    return typeof budget === "number" && Number.isSafeInteger(budget) && budget > 0 ? budget : undefined;
  } catch {
    return undefined;
  }
}

/** A request of Bedrock's own form, whose betas stay in header or body, wherever each stood. */
function native(call: ProviderCall, kept: ReadonlySet<string>, edits: CountEdits & { readonly replace: ReadonlyMap<string, string> }): Reshaped {
  const asSent = (betas: readonly string[]): string[] => betas.map((beta) => rowFor(beta, call.upstreamModel)?.sendAs ?? beta).filter((beta) => kept.has(beta));
  const inBody = betasOf({ ...call, headers: [] });
  const inHeader = asSent(betasOf(call).filter((beta) => !inBody.includes(beta)));
  const body = [...new Set([...asSent(inBody), ...[...kept].filter((beta) => !inHeader.includes(beta))])];
  const replace = new Map(edits.replace);
  const remove = new Set(edits.remove);
  const hasMember = call.members.get("anthropic_beta") !== undefined;
  if (hasMember && body.length > 0) replace.set("anthropic_beta", JSON.stringify(body));
  else if (hasMember) remove.add("anthropic_beta");
  const add = new Map([...(edits.add ?? []), ...(hasMember || body.length === 0 ? [] : [["anthropic_beta", JSON.stringify(body)] as const])]);
  let headers: readonly string[] = withoutHeader(call.headers, "anthropic-beta");
  if (inHeader.length > 0) headers = [...headers, "anthropic-beta", inHeader.join(",")];
  return reshape({ ...call, headers }, { to: "bedrock", version, add, replace, remove });
}
