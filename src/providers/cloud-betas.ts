/**
 * Betas that clients set up for a cloud call by the cloud's name, in the names of Anthropic's own API. Such a client may be served by
 * Anthropic, Foundry or Claude Platform on AWS, which know no other names than Anthropic's.
 */
import { betasOf } from "./envelope.ts";
import type { ProviderCall } from "./provider.ts";

/**
 * By the cloud's name. Both are parts of what Anthropic has one name for: the tables of
 * https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool (Claude API and Foundry; Vertex AI and Bedrock) and
 * of https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use, checked 2026-11.
 */
const anthropicNames: ReadonlyMap<string, string> = new Map([
  ["tool-search-tool-2025-10-19", "advanced-tool-use-2025-11-20"],
  ["tool-examples-2025-10-29", "advanced-tool-use-2025-11-20"],
]);

/** The betas of one call in Anthropic's names. */
export interface NamedBetas {
  readonly betas: readonly string[];
  /** Those that came under another name. */
  readonly loss: readonly string[];
}

/** A request in Anthropic's own form keeps what it has: its client knows these names. */
export function inAnthropicNames(call: ProviderCall): NamedBetas {
  const came = betasOf(call);
  if (call.envelope === "messages") return { betas: came, loss: [] };
  const renamed = came.filter((beta) => anthropicNames.has(beta));
  return { betas: [...new Set(came.map((beta) => anthropicNames.get(beta) ?? beta))], loss: renamed.map((beta) => `beta:${beta}`) };
}
