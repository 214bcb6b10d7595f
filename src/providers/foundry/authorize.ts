/** Puts the resource's key on a call, or, where the target says so, the caller's own token of Entra ID. */
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { FoundrySettings } from "./config.ts";

/** Without any configured key nothing is added, for a proxy on a trusted network that adds its own. */
export function authorize(request: UpstreamRequest, settings: FoundrySettings, { client }: AuthorizeContext<unknown>): UpstreamRequest {
  if (client !== undefined) return { ...request, headers: [...request.headers, client.header, client.value] };
  if (settings.api_key === undefined) return request;
  return { ...request, headers: [...request.headers, settings.auth_header, settings.api_key.reveal()] };
}
