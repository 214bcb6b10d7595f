/** Address and form of a call to an Anthropic-format upstream. The body stays the client's, but for the model's name. */
import { withoutHeader } from "../../wire/headers.ts";
import { inAnthropicNames } from "../cloud-betas.ts";
import { reshape } from "../envelope.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import type { AnthropicSettings } from "./config.ts";

const paths = { messages: "/v1/messages", count_tokens: "/v1/messages/count_tokens" } as const;

export function destination(settings: AnthropicSettings): Destination {
  const url = new URL(settings.base_url);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/**
 * Of the same envelope the query, the forwardable headers and the body go along, and `model` is replaced only if it differs. Of a
 * cloud's envelope betas go under the names that they have here.
 */
export function prepare(call: ProviderCall, settings: AnthropicSettings): UpstreamRequest {
  const named = call.envelope === "messages" ? undefined : inAnthropicNames(call);
  const { body, headers: shaped } = reshape(call, { to: "messages", version: "2023-06-01", ...(named === undefined ? {} : { betas: named.betas }) });
  let headers = shaped;
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  const path = `${paths[call.operation]}${call.envelope === "messages" ? call.query : ""}`;
  return { method: "POST", path, headers, body, ...(named === undefined || named.loss.length === 0 ? {} : { loss: named.loss }) };
}
