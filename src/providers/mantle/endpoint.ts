/**
 * Address and form of a call to Mantle: the Messages API below `/anthropic` of the region's host
 * (https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html and anthropics/anthropic-sdk-typescript
 * packages/bedrock-sdk/src/mantle-client.ts; tokens: https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html; checked
 * 2026-11).
 */
import { withoutHeader } from "../../wire/headers.ts";
import { reshape } from "../envelope.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import { fit } from "./capabilities.ts";
import type { MantleSettings } from "./config.ts";

const paths = { messages: "/v1/messages", count_tokens: "/v1/messages/count_tokens" } as const;

export function destination({ region, endpoint }: MantleSettings): Destination {
  const url = new URL(endpoint ?? `https://bedrock-mantle.${region}.api.aws/anthropic`);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/** @throws GatewayError from {@link fit} */
export function prepare(call: ProviderCall, settings: MantleSettings): UpstreamRequest {
  const { betas, remove, replace, loss } = fit(call);
  const isSame = betas === undefined && remove.size === 0 && replace.size === 0;
  const { body, headers: shaped } = reshape(call, { to: "messages", version: "2023-06-01", ...(isSame ? {} : { ...(betas === undefined ? {} : { betas }), remove, replace }) });
  let headers = shaped;
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  return { method: "POST", path: `${paths[call.operation]}${call.envelope === "messages" ? call.query : ""}`, headers, body, ...(loss.length === 0 ? {} : { loss }) };
}

/**
 * Mantle's ids are Anthropic's names without a date behind `anthropic.` (table inside Claude Code 2.1.330;
 * https://platform.claude.com/docs/en/build-with-claude/claude-in-amazon-bedrock, checked 2026-11). It has no region prefixes.
 */
export function mantleModelName(claudeName: string): string {
  return claudeName.startsWith("claude-") ? `anthropic.${claudeName.replace(/-20\d{6}$/, "")}` : claudeName;
}
