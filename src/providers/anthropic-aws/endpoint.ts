/**
 * Address and form of a call to Claude Platform on AWS: the Messages API with Anthropic's own model names, and the workspace in a
 * header (https://platform.claude.com/docs/en/build-with-claude/claude-platform-on-aws and anthropics/anthropic-sdk-typescript
 * packages/aws-sdk/src/client.ts, checked 2026-11). Anthropic serves it, so it gets what came, but for betas that it has refused
 * lately, which go with their fields.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { withoutHeader } from "../../wire/headers.ts";
import { fieldsWithout } from "../beta-fields.ts";
import { inAnthropicNames } from "../cloud-betas.ts";
import { reshape } from "../envelope.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import type { AnthropicAwsSettings } from "./config.ts";

const paths = { messages: "/v1/messages", count_tokens: "/v1/messages/count_tokens" } as const;
const version = "2023-06-01";

export function destination({ region, endpoint }: AnthropicAwsSettings): Destination {
  const url = new URL(endpoint ?? `https://aws-external-anthropic.${region}.api.aws`);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/** @throws GatewayError `client_field_invalid` naming `safeguards`, where the place refuses their beta */
export function prepare(call: ProviderCall, settings: AnthropicAwsSettings): UpstreamRequest {
  const named = inAnthropicNames(call);
  const removed = named.betas.filter((beta) => call.refusedBetas.has(beta));
  const betas = named.betas.filter((beta) => !call.refusedBetas.has(beta));
  const isAsSent = removed.length + named.loss.length === 0;
  const { remove, replace, loss: fields } = fieldsWithout(call, removed, betas);
  if (remove.has("safeguards")) throw new GatewayError("client_field_invalid", { publicText: "safeguards: this field cannot be served by the model's provider here. Send the request without safeguards." });
  const { body, headers: shaped } = reshape(call, isAsSent ? { to: "messages", version } : { to: "messages", version, betas, remove, replace });
  let headers: readonly string[] = shaped;
  if (settings.workspace_id !== undefined) headers = [...withoutHeader(headers, "anthropic-workspace-id"), "anthropic-workspace-id", settings.workspace_id];
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  const loss = [...named.loss, ...removed.map((beta) => `beta:${beta}`), ...fields];
  return { method: "POST", path: `${paths[call.operation]}${call.envelope === "messages" ? call.query : ""}`, headers, body, ...(loss.length === 0 ? {} : { loss }) };
}
