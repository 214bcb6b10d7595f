/**
 * Claude on Amazon Bedrock's InvokeModel as a strict fake: the fake Anthropic's checks, behaviours and bill behind AWS's front, which
 * checks login, path and envelope, answers streams in binary frames, and says "invalid beta flag" to what it does not know; and Mantle,
 * the same models behind the Messages API. Shares no code with src/.
 *
 * Facts as cited in src/providers/bedrock/ and src/providers/mantle/. Bedrock forwards no headers of a test's, so behaviours come from
 * `behave`.
 */
import { randomUUID } from "node:crypto";
import { verifyAwsSignature } from "./aws-signature-verifier.ts";
import { faultByte, type Chunk } from "./fake-anthropic-encode.ts";
import { betasOf } from "./fake-anthropic-validate.ts";
import { chunkFrame, exceptionFrame } from "./fake-bedrock-frames.ts";
import { startPlace, type FakePlace, type FrontRefusal, type PlaceBehaviour, type PlaceRules, type Unwrapped } from "./fake-place.ts";
import { isObject, type FakeAnthropicOptions, type Fault, type JsonObject, type RecordedRequest, type Rejection } from "./fake-anthropic-types.ts";

/** AWS keys that exist. */
export interface FakeAwsKey {
  readonly secret: string;
  readonly sessionToken?: string;
  /** Answers as expired. */
  readonly isExpired?: boolean;
}

export interface FakeBedrockOptions extends Omit<FakeAnthropicOptions, "apiKey" | "authToken" | "models"> {
  /** Region that signatures must be for; default `us-east-1`. */
  readonly region?: string;
  /** Accepted Bedrock API key. Without it and without `keys` any login passes. */
  readonly bearer?: string;
  readonly keys?: Readonly<Record<string, FakeAwsKey>>;
  /** Wall time of the server, milliseconds since 1970; default the machine's. */
  readonly now?: () => number;
  /** Prefixes of inference profiles that exist here; default those of `us-east-1`. */
  readonly profiles?: readonly string[];
  /** ARN → foundation model behind it. */
  readonly arns?: Readonly<Record<string, string>>;
  /** Models that CountTokens does not take. */
  readonly uncountable?: RegExp;
  /** What the model refuses comes in Anthropic's envelope, as newer models have it, and not in AWS's. */
  readonly tellsLikeAnthropic?: boolean;
}

/** A behaviour that may end the stream with an exception frame. */
export interface BedrockBehaviour extends PlaceBehaviour {
  readonly exception?: { readonly type: string; readonly message: string; readonly at: Fault["at"] };
  /** Changes the dialect's events, or the parts of a plain reply, before they are framed. */
  readonly events?: (chunks: readonly Chunk[]) => readonly Chunk[];
  /** Changes what is sent. */
  readonly bytes?: (chunks: readonly Chunk[]) => readonly Chunk[];
}

/** A running fake Bedrock. */
export interface FakeBedrock extends Omit<FakePlace, "behave"> {
  behave(choose: (request: RecordedRequest, body: JsonObject) => BedrockBehaviour | undefined): void;
}

/** Betas that the fake's models know in a body. */
export const bedrockBetas: readonly string[] = [
  "interleaved-thinking-2025-05-14", "thinking-token-count-2026-05-13", "effort-2025-11-24", "context-1m-2025-08-07", "context-management-2025-06-27",
  "compact-2026-01-12", "tool-search-tool-2025-10-19", "tool-examples-2025-10-29", "fine-grained-tool-streaming-2025-05-14",
  "mid-conversation-output-config-2026-07-01", "mid-conversation-tool-changes-2026-07-01", "thinking-display-updates-2026-08-18", "dangerous-tool-use-2026-09-03", "computer-use-2025-11-24",
];
/** Betas that the header may hold as well: Claude Code sends it in Bedrock mode. */
const headerOnlyBetas = ["claude-code-20250219"];

const account = "123456789012";

/** An error as AWS's front tells it. */
export function awsError(type: string, status: number, message: string): FrontRefusal & { readonly headers: Readonly<Record<string, string>> } {
  return { status, json: { message }, headers: { "x-amzn-errortype": `${type}:http://internal.amazon.com/coral/com.amazon.bedrock/`, "x-amzn-requestid": randomUUID() } };
}

function invalid(message: string): Rejection {
  return { status: 400, errorType: "invalid_request_error", message };
}

/** Bearer or signature, as the service checks it; undefined when it is in order. */
function findLoginProblem(record: RecordedRequest, service: string, options: FakeBedrockOptions): FrontRefusal | undefined {
  const authorization = record.headers["authorization"];
  if (authorization === undefined) return awsError("MissingAuthenticationTokenException", 403, "Missing Authentication Token");
  if (options.bearer === undefined && options.keys === undefined) return undefined;
  if (!authorization.startsWith("AWS4-")) {
    if (options.bearer !== undefined && authorization === `Bearer ${options.bearer}`) return undefined;
    return awsError("AccessDeniedException", 403, "Authentication failed: Please make sure your API Key is valid.");
  }
  const fault = verifyAwsSignature(
    { method: record.method, target: record.url, headers: record.rawHeaders, body: record.body },
    { region: options.region ?? "us-east-1", service, nowMs: options.now?.() ?? Date.now(), keyOf: (id) => options.keys?.[id] },
  );
  const id = /Credential=([^/]+)\//.exec(authorization)?.[1] ?? "";
  if (fault?.code === "InvalidClientTokenId") return awsError("UnrecognizedClientException", 403, "The security token included in the request is invalid.");
  if (fault !== undefined) return awsError("InvalidSignatureException", 403, fault.message);
  if (options.keys?.[id]?.isExpired === true) return awsError("ExpiredTokenException", 403, "The security token included in the request is expired");
  return undefined;
}

const pathPattern = /^\/model\/([^/?]+)\/(invoke|invoke-with-response-stream|count-tokens)$/;
const foundation = /^anthropic\.claude-[a-z0-9-]+(?:-v\d)?(?::\d)?$/;

/** Claude's own name of the model in a path, or why there is none. */
function modelOf(raw: string, isCount: boolean, options: FakeBedrockOptions): string | FrontRefusal {
  const unknown = awsError("ValidationException", 400, "The provided model identifier is invalid.");
  // As AWS's clients write it: a colon as it is, the slash of an ARN escaped.
  if (!/^(?:[A-Za-z0-9\-._~:]|%2F)+$/.test(raw)) return unknown;
  const id = decodeURIComponent(raw);
  if (id.startsWith("arn:")) {
    const behind = options.arns?.[id];
    if (behind === undefined) return awsError("ResourceNotFoundException", 404, `Could not find resource ${id} of account ${account}`);
    return isCount ? unknown : claudeName(behind);
  }
  const [, prefix, bare = ""] = /^(?:([a-z-]+)\.)?(anthropic\..+)$/.exec(id) ?? [];
  if (!foundation.test(bare)) return unknown;
  if (isCount) {
    if (prefix !== undefined) return unknown;
    if (options.uncountable?.test(bare) === true) return awsError("ValidationException", 400, "The provided model doesn't support counting tokens.");
    return claudeName(bare);
  }
  if (prefix === undefined) return awsError("ValidationException", 400, `Invocation of model ID ${bare} with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.`);
  return (options.profiles ?? ["us", "global"]).includes(prefix) ? claudeName(bare) : unknown;
}

function claudeName(id: string): string {
  return id.replace(/^anthropic\./, "").replace(/-v\d(?::\d)?$/, "");
}

function unwrap(record: RecordedRequest, json: JsonObject | undefined, options: FakeBedrockOptions): Unwrapped | FrontRefusal | Rejection {
  const match = record.method === "POST" ? pathPattern.exec(record.url) : null;
  if (match === null) return awsError("UnknownOperationException", 404, "");
  const login = findLoginProblem(record, "bedrock", options);
  if (login !== undefined) return login;
  const [, raw = "", action = ""] = match;
  const isCount = action === "count-tokens";
  const model = modelOf(raw, isCount, options);
  if (typeof model !== "string") return model;
  const body = isCount ? countBody(json) : json;
  if (body === undefined) return invalid(isCount ? "input.invokeModel.body: not the base64 of a JSON object" : "The request body is not valid JSON");
  return envelope(record, body, { model, isCount, isStream: action === "invoke-with-response-stream" });
}

/** `{"input":{"invokeModel":{"body":"<base64>"}}}` and nothing beside it. */
function countBody(json: JsonObject | undefined): JsonObject | undefined {
  const input = json?.["input"];
  const invoke = isObject(input) ? input["invokeModel"] : undefined;
  const text = isObject(invoke) ? invoke["body"] : undefined;
  if (typeof text !== "string" || JSON.stringify(json) !== JSON.stringify({ input: { invokeModel: { body: text } } })) return undefined;
  if (Buffer.from(text, "base64").toString("base64") !== text) return undefined;
  try {
    const inner = JSON.parse(Buffer.from(text, "base64").toString()) as unknown;
    return isObject(inner) ? inner : undefined;
  } catch {
    return undefined;
  }
}

interface Named {
  readonly model: string;
  readonly isCount: boolean;
  readonly isStream: boolean;
}

function envelope(record: RecordedRequest, json: JsonObject, { model, isCount, isStream }: Named): Unwrapped | Rejection {
  const { anthropic_version: version, anthropic_beta: betas = [], ...rest } = json;
  if (version !== "bedrock-2023-05-31" && version !== "2026-10-21") return invalid(version === undefined ? "anthropic_version: Field required" : "anthropic_version: Invalid API version");
  for (const name of ["model", "stream"]) if (rest[name] !== undefined) return invalid(`${name}: Extra inputs are not permitted`);
  if (!Array.isArray(betas) || betas.some((beta) => typeof beta !== "string")) return invalid("anthropic_beta: Input should be a valid list");
  if (betas.some((beta) => !bedrockBetas.includes(String(beta)))) return invalid("invalid beta flag");
  if (betasOf(record.headers).some((beta) => !bedrockBetas.includes(beta) && !headerOnlyBetas.includes(beta))) return invalid("invalid beta flag");
  const tools = Array.isArray(rest["tools"]) ? rest["tools"] : [];
  if (isCount && rest["tools"] !== undefined && tools.length === 0) return invalid("tools: List should have at least 1 item");
  const eager = tools.findIndex((tool) => isObject(tool) && tool["eager_input_streaming"] !== undefined);
  if (eager !== -1) return invalid(`tools.${eager}.custom.eager_input_streaming: Extra inputs are not permitted`);
  const messages = Array.isArray(rest["messages"]) ? rest["messages"] : [];
  const turned = messages.findIndex((message) => isObject(message) && message["output_config"] !== undefined);
  if (turned !== -1 && !betas.includes("mid-conversation-output-config-2026-07-01")) return invalid(`messages.${turned}.output_config: Extra inputs are not permitted`);
  const most = rest["max_tokens"];
  if (typeof most !== "number") return invalid("max_tokens: Field required");
  if (!isCount) return { operation: "messages", body: { ...rest, model, ...(isStream ? { stream: true } : {}) } };
  const budget = isObject(rest["thinking"]) ? rest["thinking"]["budget_tokens"] : undefined;
  if (typeof budget === "number" && most <= budget) return invalid("`max_tokens` must be greater than `thinking.budget_tokens`.");
  const { max_tokens: _most, metadata: _metadata, ...counted } = rest;
  return { operation: "count_tokens", body: { ...counted, model } };
}

/** Every event in a frame of its own; metrics in the last one; what a behaviour wants as an exception frame at its place. */
const reframe: NonNullable<PlaceRules["reframe"]> = (reply) => {
  const { events, bytes } = reply.behaviour as BedrockBehaviour;
  const framed = framedAs({ ...reply, chunks: events?.(reply.chunks) ?? reply.chunks });
  return bytes === undefined ? framed : { ...framed, chunks: [...bytes(framed.chunks)] };
};

const framedAs: NonNullable<PlaceRules["reframe"]> = ({ chunks, isStreaming, behaviour }) => {
  const headers = { "x-amzn-requestid": randomUUID(), "content-type": isStreaming ? "application/vnd.amazon.eventstream" : "application/json", "x-amzn-bedrock-content-type": "application/json" };
  if (!isStreaming) return { chunks: [...chunks], headers };
  const { exception } = behaviour as BedrockBehaviour;
  const framed = chunks.flatMap((chunk): Chunk[] => {
    const json = /^event: (\w+)\ndata: (.*)\n\n$/s.exec(chunk.bytes.toString("utf8"));
    // Bedrock sends no pings.
    if (json === null || json[1] === "ping") return [];
    const text = json[1] === "message_stop" ? json[2]!.replace(/\}$/, `,"amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":1,"invocationLatency":10,"firstByteLatency":5}}`) : json[2]!;
    return [{ ...chunk, bytes: chunkFrame(text) }];
  });
  if (exception === undefined) return { chunks: framed, headers };
  const border = faultByte(framed, { at: exception.at, does: "end", isWholeEvents: true });
  let end = 0;
  const before = framed.filter(({ bytes }) => (end += bytes.length) <= border);
  const last = before.at(-1);
  const fault: Chunk = { bytes: exceptionFrame(exception.type, exception.message), characters: last?.characters ?? 0, isStart: last?.isStart ?? false, isUsage: last?.isUsage ?? false, kind: "other" };
  return { chunks: [...before, fault], headers };
};

/** Starts the fake on 127.0.0.1; `url` is the `endpoint` of a place. */
export async function startFakeBedrock(options: FakeBedrockOptions = {}): Promise<FakeBedrock> {
  return startPlace({
    requestIdPrefix: "msg_bdrk_",
    options,
    forbiddenHeaders: ["x-api-key", "api-key", "x-goog-api-key", "anthropic-dangerous-direct-browser-access"],
    unwrap: (record, json) => unwrap(record, json, options),
    reframe,
    countJson: (tokens) => ({ inputTokens: tokens }),
    // Structured outputs need no beta here.
    modelHeaders: (record) => ({ ...record.headers, "anthropic-beta": [...betasOf(record.headers), ...bodyBetas(record), "structured-outputs-on-bedrock"].join(",") }),
    ...(options.tellsLikeAnthropic === true ? {} : { refusal: ({ status, message }: Rejection) => awsError("ValidationException", status === 413 ? 413 : 400, message) }),
  }) as Promise<FakeBedrock>;
}

function bodyBetas({ json }: RecordedRequest): readonly string[] {
  const body = json?.["input"] === undefined ? json : countBody(json);
  const betas = body?.["anthropic_beta"];
  return Array.isArray(betas) ? betas.filter((beta): beta is string => typeof beta === "string") : [];
}

/** How the places with AWS's login and the Messages API differ. */
interface AwsMessagesKind {
  readonly service: "bedrock-mantle" | "aws-external-anthropic";
  readonly prefix: string;
  readonly models: RegExp;
}

function messagesPlace(options: FakeBedrockOptions & { readonly workspaceId?: string; readonly workspaceKey?: string }, kind: AwsMessagesKind): Promise<FakePlace> {
  return startPlace({
    requestIdPrefix: "req_011",
    options,
    forbiddenHeaders: kind.service === "bedrock-mantle" ? ["x-goog-api-key", "api-key"] : ["x-goog-api-key"],
    unwrap(record, json) {
      const path = record.url.split("?", 1)[0];
      const isCount = path === `${kind.prefix}/v1/messages/count_tokens`;
      if (record.method !== "POST" || (path !== `${kind.prefix}/v1/messages` && !isCount)) return awsError("UnknownOperationException", 404, "");
      const hasKey = options.workspaceKey !== undefined && record.headers["x-api-key"] === options.workspaceKey && !("authorization" in record.headers);
      const login = hasKey ? undefined : findLoginProblem(record, kind.service, options);
      if (login !== undefined) return login;
      if (kind.service === "aws-external-anthropic" && record.headers["anthropic-workspace-id"] !== (options.workspaceId ?? record.headers["anthropic-workspace-id"] ?? "-")) return { status: 403, errorType: "permission_error", message: "workspace not found" };
      if (!["2023-06-01", "2026-10-21"].includes(record.headers["anthropic-version"] ?? "")) return invalid("anthropic-version: header is required");
      for (const name of ["anthropic_version", "anthropic_beta", ...(kind.service === "bedrock-mantle" ? ["tags"] : [])]) if (json?.[name] !== undefined) return invalid(`${name}: Extra inputs are not permitted`);
      const model = json?.["model"];
      if (typeof model === "string" && !kind.models.test(model)) return { status: 404, errorType: "not_found_error", message: `model: ${model}` };
      const refused = betasOf(record.headers).filter((beta) => options.rejectBetas?.includes(beta) === true);
      if (refused.length > 0) return invalid(`Unexpected value(s) ${refused.map((beta) => `\`${beta}\``).join(", ")} for the \`anthropic-beta\` header. Please consult our documentation at docs.anthropic.com or try again without the header.`);
      return { operation: isCount ? "count_tokens" : "messages", body: typeof model === "string" ? { ...json, model: claudeName(model) } : { ...json } };
    },
  });
}

/** Starts a fake Mantle; `url` + `/anthropic` is the `endpoint` of a place. */
export async function startFakeMantle(options: FakeBedrockOptions = {}): Promise<FakePlace> {
  return messagesPlace(options, { service: "bedrock-mantle", prefix: "/anthropic", models: /^anthropic\.claude-.*(?<!-20\d{6})$/ });
}

/** Starts a fake Claude Platform on AWS; `url` is the `endpoint` of a place. */
export async function startFakeAnthropicAws(options: FakeBedrockOptions & { readonly workspaceId?: string; readonly workspaceKey?: string } = {}): Promise<FakePlace> {
  return messagesPlace(options, { service: "aws-external-anthropic", prefix: "", models: /^claude-/ });
}
