/** K6 outside the pipeline: one place turns a fault into an answer, in Anthropic's or LiteLLM's shape. */
import type { ServerResponse } from "node:http";
import { dialects } from "../dialects/registry.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import { renderBedrockError } from "./ingress/bedrock.ts";
import type { ErrorShape } from "./route-table.ts";

/** LiteLLM's names for the faults its clients look at (BerriAI/litellm proxy, error table as of 1.104). */
const litellmTypes: Partial<Record<string, string>> = {
  client_key_missing: "auth_error",
  client_key_invalid: "token_not_found_in_db",
  client_role_insufficient: "auth_error",
  client_object_missing: "not_found_error",
  client_field_invalid: "bad_request_error",
  client_object_conflict: "bad_request_error",
};

/** Answers with `error` unless the reply has begun; then the connection ends. */
export function writeError(response: ServerResponse, error: GatewayError, shape: ErrorShape, requestId: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const rendered = shape === "bedrock" ? renderBedrockError(error, requestId) : dialects["anthropic-messages"].renderError(error, requestId);
  const body = Buffer.from(shape === "litellm" ? renderLitellm(error) : rendered.body);
  response.writeHead(rendered.status, { ...rendered.headers, "x-tollgate-request-id": requestId, "content-length": body.length });
  response.end(body);
}

/** `code` is the status as a string, as LiteLLM has it. */
function renderLitellm(error: GatewayError): string {
  const { spec, code } = error;
  return JSON.stringify({ error: { message: spec.text, type: litellmTypes[code] ?? spec.type, param: null, code: String(spec.status) } });
}
