/**
 * Address and form of a call to Bedrock's runtime: `/model/{id}/invoke`, `/invoke-with-response-stream`, `/count-tokens`
 * (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html and
 * API_runtime_CountTokens.html, checked 2026-11).
 */
import { domainOf } from "../../credentials/aws/login.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import { withoutHeader } from "../../wire/headers.ts";
import type { Destination, ProviderCall, UpstreamRequest } from "../provider.ts";
import type { BedrockSettings } from "./config.ts";
import { toBedrock } from "./envelope.ts";
import { foundationModel } from "./models.ts";

export function destination({ region, endpoint }: BedrockSettings): Destination {
  const url = new URL(endpoint ?? `https://bedrock-runtime.${region}.${domainOf(region)}`);
  return { origin: url.origin, pathPrefix: url.pathname.replace(/\/+$/, "") };
}

/**
 * @throws GatewayError `client_field_invalid` for a field that cannot be served and may not be dropped; `client_feature_unsupported`
 *   for tokens of an application inference profile, which Bedrock does not count
 */
export function prepare(call: ProviderCall, settings: BedrockSettings): UpstreamRequest {
  const path = pathOf(call);
  const form = toBedrock(call);
  let headers: readonly string[] = withoutHeader(form.headers, "anthropic-dangerous-direct-browser-access");
  for (const [name, value] of Object.entries(settings.headers)) headers = [...withoutHeader(headers, name.toLowerCase()), name, value];
  const body = call.operation === "count_tokens" ? Buffer.from(`{"input":{"invokeModel":{"body":"${form.body.toString("base64")}"}}}`) : form.body;
  return { method: "POST", path, headers, body, ...(form.loss.length === 0 ? {} : { loss: form.loss }) };
}

function pathOf({ operation, upstreamModel, isStreaming }: ProviderCall): string {
  if (operation === "messages") return `/model/${segment(upstreamModel)}/${isStreaming ? "invoke-with-response-stream" : "invoke"}`;
  const model = foundationModel(upstreamModel);
  if (model === undefined) {
    throw new GatewayError("client_feature_unsupported", { publicText: "Tokens cannot be counted for this model: Bedrock counts foundation models, and the configured application inference profile does not name one." });
  }
  return `/model/${segment(model)}/count-tokens`;
}

/** One segment as AWS's clients write it: a colon stays, the slash of an ARN does not, nor anything else that could end the segment. */
function segment(model: string): string {
  return encodeURIComponent(model).replaceAll("%3A", ":");
}

/** `{"inputTokens": n}` in Anthropic's words. */
export function countReply(body: Buffer): Buffer {
  const count = (JSON.parse(body.toString("utf8")) as { inputTokens?: unknown } | null)?.inputTokens;
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 0) throw new Error("CountTokens gave no inputTokens");
  return Buffer.from(`{"input_tokens":${count}}`);
}
