/**
 * Puts a login on a call to Bedrock: a Bedrock API key as a bearer token, or a signature (service `bedrock`); where the target
 * says so, the caller's own Bedrock API key (https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html, checked 2026-11).
 */
import { createAwsPlaceLogin, type AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import type { CredentialRuntime } from "../../credentials/runtime.ts";
import { awsCredentialOptions } from "../aws-settings.ts";
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { BedrockSettings } from "./config.ts";
import { destination } from "./endpoint.ts";

export function login(settings: BedrockSettings, runtime: CredentialRuntime): AwsPlaceLogin {
  return createAwsPlaceLogin(
    { service: "bedrock", apiKey: settings.api_key, apiKeyVariable: "AWS_BEARER_TOKEN_BEDROCK", apiKeyHeader: "authorization", credentials: awsCredentialOptions(settings) },
    runtime,
  );
}

/** @throws GatewayError as {@link AwsPlaceLogin.headersFor} */
export async function authorize(request: UpstreamRequest, settings: BedrockSettings, { credentials, client, host, nowMs }: AuthorizeContext<AwsPlaceLogin>): Promise<UpstreamRequest> {
  if (client !== undefined) return { ...request, headers: [...request.headers, client.header, client.value] };
  const { method, headers, body } = request;
  // The signature covers the path as it stands on the wire, with what an endpoint's address puts in front.
  const path = `${destination(settings).pathPrefix}${request.path}`;
  const added = await credentials.headersFor({ method, host, path, query: "", headers, body, nowMs });
  return { ...request, headers: [...headers, ...added] };
}
