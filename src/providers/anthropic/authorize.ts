/** Puts a credential on a call: the operator's, or, where the target says so, the caller's own login. */
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { AnthropicSettings } from "./config.ts";

/** Without any configured credential nothing is added, for upstreams on a trusted network that need none. */
export function authorize(request: UpstreamRequest, settings: AnthropicSettings, { client }: AuthorizeContext<unknown>): UpstreamRequest {
  if (client !== undefined) return withHeader(request, client.header, client.value);
  if (settings.auth_token !== undefined) return withHeader(request, "authorization", `Bearer ${settings.auth_token.reveal()}`);
  if (settings.api_key !== undefined) return withHeader(request, "x-api-key", settings.api_key.reveal());
  return request;
}

function withHeader(request: UpstreamRequest, name: string, value: string): UpstreamRequest {
  return { ...request, headers: [...request.headers, name, value] };
}
