/**
 * Address and form of a call to Claude in Microsoft Foundry: the Messages API at `/anthropic/v1/messages` of the resource, the
 * deployment's name for `model`. Foundry gets what came, but for betas that it has refused lately, which go with their fields.
 *
 * https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry and anthropics/anthropic-sdk-typescript
 * packages/foundry-sdk/src/client.ts, checked 2026-11.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { withoutHeader } from "../../wire/headers.ts";
import { fieldsWithout } from "../beta-fields.ts";
import { inAnthropicNames } from "../cloud-betas.ts";
import { reshape } from "../envelope.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import type { FoundrySettings } from "./config.ts";

const paths = { messages: "/v1/messages", count_tokens: "/v1/messages/count_tokens" } as const;
const version = "2023-06-01";

export function destination({ resource, base_url: baseUrl }: FoundrySettings): Destination {
  const url = new URL(baseUrl ?? `https://${resource}.services.ai.azure.com/anthropic`);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/** @throws GatewayError `client_field_invalid` naming `safeguards`, where the place refuses their beta */
export function prepare(call: ProviderCall, settings: FoundrySettings): UpstreamRequest {
  const named = inAnthropicNames(call);
  const removed = named.betas.filter((beta) => call.refusedBetas.has(beta));
  const kept = named.betas.filter((beta) => !call.refusedBetas.has(beta));
  const isAsSent = removed.length + named.loss.length === 0;
  const fields = fieldsWithout(call, removed, kept);
  if (fields.remove.has("safeguards")) throw new GatewayError("client_field_invalid", { publicText: "safeguards: this field cannot be served by the model's provider here. Send the request without safeguards." });
  const { body, headers: shaped } = reshape(call, isAsSent ? { to: "messages", version } : { to: "messages", version, betas: kept, remove: fields.remove, replace: fields.replace });
  let headers = shaped;
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  const loss = [...named.loss, ...removed.map((beta) => `beta:${beta}`), ...fields.loss];
  return { method: "POST", path: `${paths[call.operation]}${call.envelope === "messages" ? call.query : ""}`, headers, body, ...(loss.length === 0 ? {} : { loss }) };
}
