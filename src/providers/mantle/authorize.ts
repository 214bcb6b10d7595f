/**
 * Puts a login on a call to Mantle: a Bedrock API key as a bearer token, or a signature (service `bedrock-mantle`); where the target
 * says so, the caller's own key (anthropics/anthropic-sdk-typescript packages/bedrock-sdk/src/mantle-client.ts, checked 2026-11).
 */
import { createAwsPlaceLogin, type AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import type { CredentialRuntime } from "../../credentials/runtime.ts";
import { awsCredentialOptions } from "../aws-settings.ts";
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { MantleSettings } from "./config.ts";
import { destination } from "./endpoint.ts";

export function login(settings: MantleSettings, runtime: CredentialRuntime): AwsPlaceLogin {
  return createAwsPlaceLogin(
    { service: "bedrock-mantle", apiKey: settings.api_key, apiKeyVariable: "AWS_BEARER_TOKEN_BEDROCK", apiKeyHeader: "authorization", credentials: awsCredentialOptions(settings) },
    runtime,
  );
}

/** @throws GatewayError as {@link AwsPlaceLogin.headersFor} */
export async function authorize(request: UpstreamRequest, settings: MantleSettings, { credentials, client, host, nowMs }: AuthorizeContext<AwsPlaceLogin>): Promise<UpstreamRequest> {
  if (client !== undefined) return { ...request, headers: [...request.headers, client.header, client.value] };
  const { method, headers, body } = request;
  const [path = "", query = ""] = `${destination(settings).pathPrefix}${request.path}`.split("?");
  return { ...request, headers: [...headers, ...(await credentials.headersFor({ method, host, path, query, headers, body, nowMs }))] };
}
