/** Address and form of a call to an Anthropic-format upstream. The body stays the client's, but for the model's name. */
import { spliceMembers } from "../../wire/json-splice.ts";
import { headerValue, withoutHeader } from "../../wire/headers.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import type { AnthropicSettings } from "./config.ts";

const paths = { messages: "/v1/messages", count_tokens: "/v1/messages/count_tokens" } as const;

export function destination(settings: AnthropicSettings): Destination {
  const url = new URL(settings.base_url);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/** Same envelope on both sides: the query and the forwardable headers go along, `model` is replaced only if it differs. */
export function prepare(call: ProviderCall, settings: AnthropicSettings): UpstreamRequest {
  const model = call.members.get("model");
  const sent = model === undefined ? '""' : call.body.toString("utf8", model.valueStart, model.valueEnd);
  // Compared decoded: a name that is only spelled with escapes is the right one, and its bytes stay.
  const isRight = JSON.parse(sent) === call.upstreamModel;
  const body = isRight ? call.body : spliceMembers(call.body, call.members, { replace: new Map([["model", JSON.stringify(call.upstreamModel)]]) });
  let headers = [...call.headers];
  if (headerValue(headers, "anthropic-version") === undefined) headers.push("anthropic-version", "2023-06-01");
  if (headerValue(headers, "content-type") === undefined) headers.push("content-type", "application/json");
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  return { method: "POST", path: `${paths[call.operation]}${call.query}`, headers, body };
}
