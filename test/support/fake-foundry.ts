/**
 * Claude in Microsoft Foundry as a strict fake: the fake Anthropic's checks, behaviours and bill behind Azure's front, which checks
 * path, key and deployment and answers in Azure's two envelopes. Shares no code with src/.
 *
 * Facts as cited in src/providers/foundry/.
 */
import { betaRejection, startPlace, type FakePlace, type FrontRefusal, type Unwrapped } from "./fake-place.ts";
import { betasOf } from "./fake-anthropic-validate.ts";
import type { FakeAnthropicOptions, JsonObject, RecordedRequest, Rejection } from "./fake-anthropic-types.ts";

export interface FakeFoundryOptions extends Omit<FakeAnthropicOptions, "authToken" | "models"> {
  /** Deployment → Claude model behind it; default: every name that begins with `claude-` and has no date, for itself. */
  readonly deployments?: Readonly<Record<string, string>>;
  /** The deployments run on Azure's own machines, where server tools, MCP and structured outputs are refused. */
  readonly isHostedOnAzure?: boolean;
}

/** Azure's error envelope. */
export function azureError(code: string, message: string): JsonObject {
  return { error: { code, message } };
}

function unwrap(record: RecordedRequest, json: JsonObject | undefined, options: FakeFoundryOptions): Unwrapped | FrontRefusal | Rejection {
  const path = record.url.split("?", 1)[0];
  const isCount = path === "/anthropic/v1/messages/count_tokens";
  if (record.method !== "POST" || (path !== "/anthropic/v1/messages" && !isCount)) return { status: 404, json: azureError("api_not_supported", "Requested API is currently not supported") };
  const keys = [record.headers["x-api-key"], record.headers["api-key"]].filter((key) => key !== undefined);
  const isKeyGood = keys.length === 1 && keys[0] !== "" && (options.apiKey === undefined || keys[0] === options.apiKey);
  if (!isKeyGood || "authorization" in record.headers) {
    return { status: 401, json: { statusCode: 401, message: "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com or https://ai.azure.com), or have expired." } };
  }
  const deployment = json?.["model"];
  if (typeof deployment === "string") {
    const model = options.deployments === undefined ? (/^claude-.*(?<!-20\d{6})$/.test(deployment) ? deployment : undefined) : options.deployments[deployment];
    if (model === undefined) return { status: 404, json: azureError("DeploymentNotFound", "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.") };
    return checked(record, { ...json, model }, { isCount, options });
  }
  return json === undefined ? { status: 400, errorType: "invalid_request_error", message: "The request body is not valid JSON" } : checked(record, json, { isCount, options });
}

function checked(record: RecordedRequest, json: JsonObject, { isCount, options }: { readonly isCount: boolean; readonly options: FakeFoundryOptions }): Unwrapped | Rejection {
  const invalid = (message: string): Rejection => ({ status: 400, errorType: "invalid_request_error", message });
  if (!["2023-06-01", "2026-10-21"].includes(record.headers["anthropic-version"] ?? "")) return invalid("anthropic-version: header is required");
  for (const name of ["anthropic_version", "anthropic_beta"]) if (json[name] !== undefined) return invalid(`${name}: Extra inputs are not permitted`);
  if (options.isHostedOnAzure === true && json["mcp_servers"] !== undefined) return invalid("mcp_servers: not supported for this deployment");
  const betas = betasOf(record.headers);
  const rejection = betaRejection(betas.filter((beta) => options.rejectBetas?.includes(beta) === true || (options.isHostedOnAzure === true && beta.startsWith("mcp-client-"))));
  return rejection ?? { operation: isCount ? "count_tokens" : "messages", body: json };
}

/** Starts the fake on 127.0.0.1; `url` + `/anthropic` is the `base_url` of a place. */
export async function startFakeFoundry(options: FakeFoundryOptions = {}): Promise<FakePlace> {
  const { deployments: _deployments, isHostedOnAzure: _isHostedOnAzure, ...rest } = options;
  return startPlace({
    requestIdPrefix: "req_011",
    options: rest,
    forbiddenHeaders: ["x-goog-api-key", "x-goog-user-project"],
    unwrap: (record, json) => unwrap(record, json, options),
  });
}
