/**
 * What Mantle takes of a Claude request. It gets what came, but for what it is known not to have: a renamed beta, the request tags,
 * and whatever it has refused lately. Header and field go together; `safeguards` is refused by name instead of dropped.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { fieldsWithout } from "../beta-fields.ts";
import { betasOf } from "../envelope.ts";
import type { ProviderCall } from "../provider.ts";

interface Row {
  readonly beta: string;
  readonly source: string;
  readonly checked: string;
}

const renamed: readonly (Row & { readonly to: string })[] = [
  { beta: "advanced-tool-use-2025-11-20", to: "tool-search-tool-2025-10-19", source: "BerriAI/litellm litellm/anthropic_beta_headers_config.json, bedrock_mantle (commit 030dd40)", checked: "2026-11" },
];

/** Betas that leave with their fields; by stem. */
const unknownHere: readonly Row[] = [{ beta: "request-tags-", source: "Claude Code 2.1.330, `claude gateway`, GET /protocol", checked: "2026-11" }];

/** The betas and fields of one request as they go. */
export interface Fitted {
  /** Undefined: as they came, in the place where they stood. */
  readonly betas: readonly string[] | undefined;
  readonly remove: ReadonlySet<string>;
  readonly replace: ReadonlyMap<string, string>;
  readonly loss: readonly string[];
}

/** @throws GatewayError `client_field_invalid` naming `safeguards`, where the place refuses their beta */
export function fit(call: ProviderCall): Fitted {
  const came = betasOf(call);
  const removed: string[] = [];
  const kept = new Set<string>();
  const loss: string[] = [];
  for (const beta of came) {
    const name = renamed.find((row) => row.beta === beta)?.to ?? beta;
    const leaves = unknownHere.some((row) => beta.startsWith(row.beta)) || call.refusedBetas.has(name) || call.refusedBetas.has(beta);
    if (leaves || name !== beta) loss.push(`beta:${beta}`);
    if (leaves) removed.push(...new Set([beta, name]));
    else kept.add(name);
  }
  if (call.members.get("tags") !== undefined) removed.push("request-tags-");
  const fields = fieldsWithout(call, removed, [...kept]);
  if (fields.remove.has("safeguards")) throw new GatewayError("client_field_invalid", { publicText: "safeguards: this field cannot be served by the model's provider here. Send the request without safeguards." });
  return { betas: loss.length === 0 ? undefined : [...kept], remove: fields.remove, replace: fields.replace, loss: [...loss, ...fields.loss] };
}
