/**
 * What Vertex AI takes of a Claude request. It gets what came, but for what it is known not to have: a renamed beta, the request
 * tags, and whatever it has refused lately. Header and field go together; a field that must not be lost silently is refused
 * by name instead.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { betasOf } from "../envelope.ts";
import { fieldsWithout } from "../beta-fields.ts";
import type { ProviderCall } from "../provider.ts";

interface Row {
  readonly beta: string;
  readonly source: string;
  readonly checked: string;
}

/** Betas that have another name here. */
const renamed: readonly (Row & { readonly to: string })[] = [
  { beta: "advanced-tool-use-2025-11-20", to: "tool-search-tool-2025-10-19", source: "BerriAI/litellm litellm/anthropic_beta_headers_config.json, vertex_ai", checked: "2026-11" },
];

/** Part of `advanced-tool-use` under a name of its own here; asked for where a tool holds the field, since not each model has it. */
const toolExamples: Row & { readonly field: string } = {
  beta: "tool-examples-2025-10-29", field: "input_examples", source: "https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use", checked: "2026-11",
};

/** Betas that are not known here, and leave with their fields; by stem. */
const unknownHere: readonly Row[] = [{ beta: "request-tags-", source: "Claude Code 2.1.330, `claude gateway`, GET /protocol", checked: "2026-11" }];

/**
 * Betas that `count_tokens` refuses although the messages' method takes them; by stem. Left to the upstream's refusal they would
 * be remembered for both.
 */
const unknownToCount: readonly Row[] = [{ beta: "web-search-", source: "https://github.com/anthropics/claude-code/issues/12429", checked: "2026-11" }];

/** Fields whose loss would change what the client is protected from: no reply without them. */
const neverDropped: readonly string[] = ["safeguards"];

/** The betas and fields of one request as they go. */
export interface Fitted {
  /** Undefined: as they came, in the place where they stood. */
  readonly betas: readonly string[] | undefined;
  readonly remove: ReadonlySet<string>;
  readonly replace: ReadonlyMap<string, string>;
  readonly loss: readonly string[];
}

/** @throws GatewayError `client_field_invalid` naming a field that cannot be served and may not be dropped */
export function fit(call: ProviderCall): Fitted {
  const came = betasOf(call);
  const unknown = call.operation === "count_tokens" ? [...unknownHere, ...unknownToCount] : unknownHere;
  const removed: string[] = [];
  const kept = new Set<string>();
  const loss: string[] = [];
  for (const beta of came) {
    const name = renamed.find((row) => row.beta === beta)?.to ?? beta;
    if (unknown.some((row) => beta.startsWith(row.beta)) || call.refusedBetas.has(name) || call.refusedBetas.has(beta)) {
      removed.push(...new Set([beta, name]));
      loss.push(`beta:${beta}`);
    } else {
      kept.add(name);
      if (name !== beta) loss.push(`beta:${beta}`);
    }
    if (name !== beta && mayHold(call, toolExamples.field)) {
      if (call.refusedBetas.has(toolExamples.beta)) removed.push(toolExamples.beta);
      else kept.add(toolExamples.beta);
    }
  }
  // Tags are no request of a model's; they leave even where their beta was forgotten.
  if (!removed.some((beta) => beta.startsWith("request-tags-")) && call.members.get("tags") !== undefined) removed.push("request-tags-");
  const fields = fieldsWithout(call, removed, [...kept]);
  for (const name of neverDropped) {
    if (fields.remove.has(name)) throw new GatewayError("client_field_invalid", { publicText: `${name}: this field cannot be served by the model's provider here. Send the request without ${name}.` });
  }
  const isSame = kept.size === came.length && came.every((beta) => kept.has(beta));
  return { betas: isSame ? undefined : [...kept], remove: fields.remove, replace: fields.replace, loss: [...loss, ...fields.loss] };
}

/** By the bytes: a word in a description costs a beta too many, which is quiet. */
function mayHold(call: ProviderCall, field: string): boolean {
  const tools = call.members.get("tools");
  if (tools === undefined) return false;
  return call.body.subarray(tools.valueStart, tools.valueEnd).includes(`"${field}"`);
}
