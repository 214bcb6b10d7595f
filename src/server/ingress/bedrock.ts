/**
 * Clients that speak Amazon Bedrock's InvokeModel (Claude Code with `ANTHROPIC_BEDROCK_BASE_URL`, the AWS SDKs): model and
 * stream in the path, streams as binary frames, errors by `x-amzn-errortype`. Facts:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html, checked 2026-11.
 */
import { dialects } from "../../dialects/registry.ts";
import type { RenderedError } from "../../dialects/dialect.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { Framer, Ingress } from "../../pipeline/ingress.ts";
import { encodeFrame, encodeHeaders } from "../../wire/event-stream.ts";
import { dataLines } from "../../wire/sse.ts";

/** What the path asks for. */
export type BedrockAction = "invoke" | "invoke-with-response-stream" | "count-tokens";

/** Serves one request; `model` is decoded: a public name, a Bedrock id or an ARN. */
export function createBedrockIngress(model: string, action: BedrockAction): Ingress {
  const base: Ingress = {
    envelope: "bedrock",
    url: { model, isStreaming: action === "invoke-with-response-stream" },
    clientProject: undefined,
    requestIdHeader: "x-amzn-requestid",
    renderError,
  };
  if (action === "count-tokens") return { ...base, unpackCount, packCount };
  return action === "invoke" ? base : { ...base, framer: createFramer };
}

/** AWS's names of what went wrong, by status; its SDKs decide by them whether to retry. */
const errorTypes: Readonly<Record<number, string>> = {
  400: "ValidationException",
  401: "UnrecognizedClientException",
  403: "AccessDeniedException",
  404: "ResourceNotFoundException",
  408: "ModelTimeoutException",
  413: "ValidationException",
  429: "ThrottlingException",
  503: "ServiceUnavailableException",
  529: "ServiceUnavailableException",
};

/** Anthropic's envelope, which Claude Code reads in this mode too, with the `message` and the header that AWS's SDKs read. */
function renderError(fault: GatewayError, requestId: string): RenderedError {
  const rendered = dialects["anthropic-messages"].renderError(fault, requestId);
  const body = { message: fault.spec.text, ...(JSON.parse(rendered.body) as Record<string, unknown>) };
  return {
    status: rendered.status,
    headers: { ...rendered.headers, "x-amzn-requestid": requestId, "x-amzn-errortype": errorTypes[rendered.status] ?? "InternalServerException" },
    body: JSON.stringify(body),
  };
}

const chunkHeaders = encodeHeaders({ ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" });

function createFramer(): Framer {
  return {
    contentType: "application/vnd.amazon.eventstream",
    events: (events) => Buffer.concat(dataLines(events).map(chunk)),
    ping: chunk(Buffer.from('{"type":"ping"}')),
    error(fault) {
      const type = fault.spec.status === 429 ? "throttlingException" : fault.spec.status === 504 ? "modelTimeoutException" : "modelStreamErrorException";
      const headers = { ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" };
      return encodeFrame(headers, Buffer.from(JSON.stringify({ message: fault.spec.text })));
    },
  };
}

/** One event in Bedrock's `chunk` frame: its JSON in base64. */
function chunk(data: Buffer): Buffer {
  return encodeFrame(chunkHeaders, Buffer.from(`{"bytes":"${data.toString("base64")}"}`));
}

/** `{"input":{"invokeModel":{"body":"<base64 JSON>"}}}`; `converse` input is another format. */
function unpackCount(body: Buffer): Buffer {
  let outer: unknown;
  try {
    outer = JSON.parse(body.toString("utf8"));
  } catch {
    throw new GatewayError("client_body_malformed", { publicText: "The body of a CountTokens request is not JSON." });
  }
  const inner = memberOf(memberOf(memberOf(outer, "input"), "invokeModel"), "body");
  if (typeof inner !== "string") throw new GatewayError("client_field_invalid", { publicText: "input.invokeModel.body: Field required" });
  return Buffer.from(inner, "base64");
}

function packCount(reply: Buffer): Buffer {
  const count = memberOf(JSON.parse(reply.toString("utf8")), "input_tokens");
  return Buffer.from(JSON.stringify({ inputTokens: count }));
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
