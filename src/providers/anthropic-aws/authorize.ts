/**
 * Puts the gateway's login on a call to Claude Platform on AWS: a workspace key in `x-api-key`, or a signature (service
 * `aws-external-anthropic`). A caller's own could only be a key in `x-api-key`, where Tollgate's own key stands, or a signature over
 * another request (anthropics/anthropic-sdk-typescript packages/aws-sdk/src/client.ts, checked 2026-11).
 */
import { createAwsPlaceLogin, type AwsPlaceLogin } from "../../credentials/aws/place-login.ts";
import type { CredentialRuntime } from "../../credentials/runtime.ts";
import { awsCredentialOptions } from "../aws-settings.ts";
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import type { AnthropicAwsSettings } from "./config.ts";
import { destination } from "./endpoint.ts";

export function login(settings: AnthropicAwsSettings, runtime: CredentialRuntime): AwsPlaceLogin {
  return createAwsPlaceLogin(
    { service: "aws-external-anthropic", apiKey: settings.api_key, apiKeyVariable: "ANTHROPIC_AWS_API_KEY", apiKeyHeader: "x-api-key", credentials: awsCredentialOptions(settings) },
    runtime,
  );
}

/** @throws GatewayError as {@link AwsPlaceLogin.headersFor} */
export async function authorize(request: UpstreamRequest, settings: AnthropicAwsSettings, { credentials, host, nowMs }: AuthorizeContext<AwsPlaceLogin>): Promise<UpstreamRequest> {
  const { method, headers, body } = request;
  const [path = "", query = ""] = `${destination(settings).pathPrefix}${request.path}`.split("?");
  return { ...request, headers: [...headers, ...(await credentials.headersFor({ method, host, path, query, headers, body, nowMs }))] };
}
