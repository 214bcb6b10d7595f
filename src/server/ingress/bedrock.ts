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
    hasCloudNames: true,
    url: { model, isStreaming: action === "invoke-with-response-stream" },
    clientProject: undefined,
    requestIdHeader: "x-amzn-requestid",
    renderError: renderBedrockError,
    formError,
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

function errorType(status: number): string {
  return errorTypes[status] ?? "InternalServerException";
}

/** Anthropic's envelope, which Claude Code reads in this mode too, with the `message` and the header that AWS's SDKs read. */
export function renderBedrockError(fault: GatewayError, requestId: string): RenderedError {
  const rendered = dialects["anthropic-messages"].renderError(fault, requestId);
  const body = { message: fault.spec.text, ...(JSON.parse(rendered.body) as Record<string, unknown>) };
  return {
    status: rendered.status,
    headers: { ...rendered.headers, "x-amzn-requestid": requestId, "x-amzn-errortype": errorType(rendered.status) },
    body: JSON.stringify(body),
  };
}

/** The same of an upstream's error in Anthropic's envelope. */
function formError(status: number, reply: Buffer): { readonly headers: readonly string[]; readonly body: Buffer } | undefined {
  const json = jsonOf(reply);
  const message = memberOf(memberOf(json, "error"), "message");
  if (typeof message !== "string") return undefined;
  return { headers: ["x-amzn-errortype", errorType(status)], body: Buffer.from(JSON.stringify({ message, ...(json as object) })) };
}

const chunkHeaders = encodeHeaders({ ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" });

function createFramer(): Framer {
  return {
    contentType: "application/vnd.amazon.eventstream",
    events: (events) => Buffer.concat(dataLines(events).map((data) => exceptionOf(data) ?? chunk(data))),
    ping: chunk(Buffer.from('{"type":"ping"}')),
    error(fault) {
      const { status, type, text } = fault.spec;
      return exception(status === 504 ? "modelTimeoutException" : (exceptionTypes[type] ?? streamError), text);
    },
  };
}

const streamError = "modelStreamErrorException";
/** The exceptions that a stream may end with, by Anthropic's error types. */
const exceptionTypes: Readonly<Record<string, string>> = {
  invalid_request_error: "validationException",
  overloaded_error: "serviceUnavailableException",
  rate_limit_error: "throttlingException",
  timeout_error: "modelTimeoutException",
};

function exception(type: string, message: string): Buffer {
  return encodeFrame({ ":exception-type": type, ":content-type": "application/json", ":message-type": "exception" }, Buffer.from(JSON.stringify({ message })));
}

const errorWord = Buffer.from('"error"');

/** An `error` event as the exception that clients of frames act on; in a chunk it would mean nothing to them. Undefined for other events. */
function exceptionOf(data: Buffer): Buffer | undefined {
  const json = data.includes(errorWord) ? jsonOf(data) : undefined;
  if (memberOf(json, "type") !== "error") return undefined;
  const error = memberOf(json, "error");
  const message = memberOf(error, "message");
  return exception(exceptionTypes[String(memberOf(error, "type"))] ?? streamError, typeof message === "string" ? message : "");
}

/** One event in Bedrock's `chunk` frame: its JSON in base64. */
function chunk(data: Buffer): Buffer {
  return encodeFrame(chunkHeaders, Buffer.from(`{"bytes":"${data.toString("base64")}"}`));
}

/** `{"input":{"invokeModel":{"body":"<base64 JSON>"}}}`; `converse` input is another format. */
function unpackCount(body: Buffer): Buffer {
  const outer = jsonOf(body);
  if (outer === undefined) throw new GatewayError("client_body_malformed", { publicText: "The body of a CountTokens request is not JSON." });
  const inner = memberOf(memberOf(memberOf(outer, "input"), "invokeModel"), "body");
  if (typeof inner !== "string") throw new GatewayError("client_field_invalid", { publicText: "input.invokeModel.body: Field required" });
  return Buffer.from(inner, "base64");
}

function packCount(reply: Buffer): Buffer {
  const count = memberOf(JSON.parse(reply.toString("utf8")), "input_tokens");
  return Buffer.from(JSON.stringify({ inputTokens: count }));
}

/** Undefined for what is no JSON. */
function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
