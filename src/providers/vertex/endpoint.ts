/**
 * Address and form of a call to Claude on Vertex AI: project, location and model in the path, `anthropic_version` in the body, no
 * `model` (but for `count_tokens`), betas in the header.
 *
 * https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude, hosts and paths as in
 * anthropics/anthropic-sdk-typescript packages/vertex-sdk/src/client.ts, checked 2026-11.
 */
import { GatewayError } from "../../kernel/gateway-error.ts";
import { withoutHeader } from "../../wire/headers.ts";
import { reshape } from "../envelope.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import { fit } from "./capabilities.ts";
import { locationPattern, projectPattern, type VertexSettings } from "./config.ts";

const version = "vertex-2023-10-16";
/** Anthropic's own service has a use for these, Google has none. */
const anthropicOnlyHeaders = ["anthropic-dangerous-direct-browser-access", "anthropic-workspace-id"];
/** Stands in the path until the credentials have told their project; no project id may hold a brace. */
export const openProject = "{project}";

/** Global, multi-region (data stay in that part of the world) and regional hosts. */
function originFor(location: string): string {
  if (location === "global") return "https://aiplatform.googleapis.com";
  if (location === "us" || location === "eu") return `https://aiplatform.${location}.rep.googleapis.com`;
  return `https://${location}-aiplatform.googleapis.com`;
}

export function destination(settings: VertexSettings): Destination {
  if (settings.base_url === undefined) return { origin: originFor(settings.location), pathPrefix: "" };
  const url = new URL(settings.base_url);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/** Google's hosts for any location, since a client's own login names its location itself; none where the operator gave an address. */
export function isOwnOrigin(origin: string, settings: VertexSettings): boolean {
  if (settings.base_url !== undefined || !URL.canParse(origin)) return false;
  const { hostname } = new URL(origin);
  const region = /^([a-z0-9-]+)-aiplatform\.googleapis\.com$/.exec(hostname)?.[1];
  const multiRegion = /^aiplatform\.(us|eu)\.rep\.googleapis\.com$/.exec(hostname)?.[1];
  const location = hostname === "aiplatform.googleapis.com" ? "global" : (multiRegion ?? region);
  return location !== undefined && locationPattern.test(location) && originFor(location) === origin;
}

/** @throws GatewayError `client_field_invalid` for a project or location of a client's URL that is none, and from {@link fit} */
export function prepare(call: ProviderCall, settings: VertexSettings): UpstreamRequest {
  const { project, location, origin } = placeOf(call, settings);
  const { betas, remove, replace, loss } = fit(call);
  const { body, headers: shaped } = reshape(call, { to: "vertex", version, ...(betas === undefined ? {} : { betas }), remove, replace });
  let headers = shaped;
  for (const name of anthropicOnlyHeaders) headers = withoutHeader(headers, name);
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  return {
    method: "POST",
    path: `/v1/projects/${project}/locations/${location}/publishers/anthropic/models/${methodOf(call)}`,
    headers,
    body,
    ...(origin === undefined ? {} : { origin }),
    ...(loss.length === 0 ? {} : { loss }),
  };
}

function placeOf({ clientProject }: ProviderCall, settings: VertexSettings): { readonly project: string; readonly location: string; readonly origin: string | undefined } {
  if (clientProject === undefined) return { project: settings.project ?? openProject, location: settings.location, origin: undefined };
  const { project, location } = clientProject;
  if (!projectPattern.test(project) || !locationPattern.test(location)) throw new GatewayError("client_field_invalid", { publicText: "The path holds a project or location that cannot be one." });
  return { project, location, origin: settings.base_url === undefined ? originFor(location) : undefined };
}

/** `@` is Google's own separator and stays; anything else that could end the segment does not. */
function methodOf({ operation, upstreamModel, isStreaming }: ProviderCall): string {
  if (operation === "count_tokens") return "count-tokens:rawPredict";
  return `${encodeURIComponent(upstreamModel).replaceAll("%40", "@")}:${isStreaming ? "streamRawPredict" : "rawPredict"}`;
}
