/**
 * The fake's doorkeeper: refuses what the real API refuses, with its status, type and wording. Order as there: credential,
 * version, body, fields with their betas, history, model, limits.
 */
import { countFields, findExtraInput, plainFields } from "./fake-anthropic-fields.ts";
import { findHistoryProblem } from "./fake-anthropic-history.ts";
import type { HistoryRules } from "./fake-anthropic-history.ts";
import { findDuplicateMember } from "./fake-anthropic-json.ts";
import { isObject } from "./fake-anthropic-types.ts";
import type { FakeAnthropicOptions, JsonObject, Rejection } from "./fake-anthropic-types.ts";

/** Largest body the API takes: 32 MB. @source reference/claude-code.md §4 */
export const bodyBytesMax = 32 * 1024 * 1024;

type Headers = Readonly<Record<string, string>>;

function invalid(message: string): Rejection {
  return { status: 400, errorType: "invalid_request_error", message };
}

function unauthenticated(message: string): Rejection {
  return { status: 401, errorType: "authentication_error", message };
}

/** Values of `anthropic-beta`, trimmed, empty ones left out. */
export function betasOf(headers: Headers): string[] {
  return (headers["anthropic-beta"] ?? "").split(",").map((beta) => beta.trim()).filter((beta) => beta !== "");
}

/**
 * Checks the credential. Two credentials are only in order when the one that is expected is right and the other is right too
 * or not expected at all: a stray wrong one is refused, because that is a client's credential leaking through.
 */
export function findCredentialProblem(headers: Headers, options: FakeAnthropicOptions): Rejection | undefined {
  const key = headers["x-api-key"];
  const bearer = /^Bearer +(.+)$/i.exec(headers["authorization"] ?? "")?.[1];
  if ((key ?? "") === "" && bearer === undefined) return unauthenticated("x-api-key header is required");
  if (options.apiKey === undefined && options.authToken === undefined) return undefined;
  if (key !== undefined && key !== options.apiKey) return unauthenticated("invalid x-api-key");
  if (bearer !== undefined && bearer !== options.authToken) return unauthenticated("Invalid bearer token");
  if (bearer?.startsWith("sk-ant-oat") === true && !betasOf(headers).includes("oauth-2025-04-20")) {
    return unauthenticated("OAuth authentication is currently not supported.");
  }
  return undefined;
}

/** Checks `anthropic-version` and `anthropic-beta`. */
export function findHeaderProblem(headers: Headers, options: FakeAnthropicOptions): Rejection | undefined {
  const version = headers["anthropic-version"];
  if (version === undefined || version === "") return invalid("anthropic-version: header is required");
  if (!/^20\d\d-\d\d-\d\d$/.test(version)) return invalid(`anthropic-version: "${version}" is not a valid version`);
  const refused = betasOf(headers).filter((beta) => options.rejectBetas?.includes(beta) === true);
  if (refused.length === 0) return undefined;
  return invalid(`Unexpected value(s) ${refused.map((beta) => `\`${beta}\``).join(", ")} for the \`anthropic-beta\` header. Please consult our documentation at docs.anthropic.com or try again without the header.`);
}

/** The parsed body, or why it is none. */
export function parseBody(bytes: Buffer): { readonly json: JsonObject } | { readonly rejection: Rejection } {
  if (bytes.length > bodyBytesMax) return { rejection: { status: 413, errorType: "request_too_large", message: "Request exceeds the maximum size" } };
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text) as unknown;
  } catch {
    return { rejection: invalid("The request body is not valid JSON") };
  }
  if (!isObject(json)) return { rejection: invalid("Input should be a valid dictionary or object to extract fields from") };
  const twice = findDuplicateMember(text);
  if (twice !== undefined) return { rejection: invalid(`The request body is not valid JSON: duplicate key ${JSON.stringify(twice)}`) };
  return { json };
}

/** Everything a body is checked against. */
export interface BodyRules {
  readonly options: FakeAnthropicOptions;
  readonly history: HistoryRules;
  readonly isCountTokens: boolean;
}

/** Checks a body whose head was in order. */
export function findBodyProblem(body: JsonObject, headers: Headers, rules: BodyRules): Rejection | undefined {
  const required = rules.isCountTokens ? ["model", "messages"] : ["model", "max_tokens", "messages"];
  const missing = required.find((name) => body[name] === undefined);
  if (missing !== undefined) return invalid(`${missing}: Field required`);
  const extra = findExtraInput(body, betasOf(headers), rules.isCountTokens ? countFields : plainFields);
  if (extra !== undefined) return invalid(`${extra}: Extra inputs are not permitted`);
  if (typeof body["model"] !== "string") return invalid("model: Input should be a valid string");
  const problem = expectationProblem(body, headers) ?? findHistoryProblem(body, rules.history) ?? shapeProblem(body, rules.options);
  if (problem !== undefined) return invalid(problem);
  const isKnown = rules.options.models?.includes(body["model"]) ?? body["model"].startsWith("claude-");
  if (!isKnown) return { status: 404, errorType: "not_found_error", message: `model: ${body["model"]}` };
  return rules.isCountTokens ? undefined : limitProblem(body, body["model"], rules.options);
}

/**
 * A test's own demand, sent along in `anthropic-test-expect` as a comma list of `member` (must be there), `!member` (must not)
 * and `member=array|string|object|number|boolean`: finds fields that were lost or reshaped, which the API would not notice.
 */
function expectationProblem(body: JsonObject, headers: Headers): string | undefined {
  for (const demand of (headers["anthropic-test-expect"] ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    const [, not, name = "", type] = /^(!?)([\w-]+)(?:=(\w+))?$/.exec(demand) ?? [];
    const value = body[name];
    const actual = Array.isArray(value) ? "array" : typeof value;
    if (not === "!" ? value !== undefined : value === undefined) return `${name}: test expected ${demand}`;
    if (type !== undefined && actual !== type) return `${name}: test expected ${type}, found ${actual}`;
  }
  return undefined;
}

function shapeProblem(body: JsonObject, options: FakeAnthropicOptions): string | undefined {
  if (body["stream"] !== undefined && typeof body["stream"] !== "boolean") return "stream: Input should be a valid boolean";
  const metadata = body["metadata"];
  if (metadata !== undefined && metadata !== null) {
    if (!isObject(metadata)) return "metadata: Input should be a valid dictionary or object to extract fields from";
    const stray = Object.keys(metadata).find((name) => name !== "user_id");
    if (stray !== undefined) return `metadata.${stray}: Extra inputs are not permitted`;
  }
  return toolsProblem(body["tools"]) ?? thinkingProblem(body, options);
}

function toolsProblem(tools: unknown): string | undefined {
  if (tools === undefined) return undefined;
  if (!Array.isArray(tools)) return "tools: Input should be a valid list";
  const names = new Set<unknown>();
  for (const [index, tool] of tools.entries()) {
    if (!isObject(tool)) return `tools.${index}: Input should be a valid dictionary or object to extract fields from`;
    const isCustom = tool["type"] === undefined || tool["type"] === "custom";
    if (typeof tool["name"] !== "string" && isCustom) return `tools.${index}.custom.name: Field required`;
    if (isCustom && !isObject(tool["input_schema"])) return `tools.${index}.custom.input_schema: Field required`;
    if (tool["name"] !== undefined && names.has(tool["name"])) return "tools: Tool names must be unique.";
    names.add(tool["name"]);
  }
  return undefined;
}

function thinkingProblem(body: JsonObject, options: FakeAnthropicOptions): string | undefined {
  const thinking = body["thinking"];
  if (thinking === undefined) return undefined;
  const type = isObject(thinking) ? thinking["type"] : undefined;
  if (!isObject(thinking) || typeof type !== "string") return "thinking: Input should be a valid dictionary or object to extract fields from";
  if (type === "adaptive" && options.acceptsAdaptiveThinking === false) return "adaptive thinking is not supported on this model";
  if (type === "disabled") return undefined;
  if (type !== "enabled" && type !== "adaptive") return `thinking: Input tag '${type}' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'`;
  if (body["temperature"] !== undefined && body["temperature"] !== 1) return "`temperature` may only be set to 1 when thinking is enabled.";
  if (type === "adaptive") return undefined;
  const budget = thinking["budget_tokens"];
  if (typeof budget !== "number") return "thinking.enabled.budget_tokens: Field required";
  if (budget < 1024) return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024";
  const most = body["max_tokens"];
  return typeof most === "number" && most <= budget ? "`max_tokens` must be greater than `thinking.budget_tokens`." : undefined;
}

function limitProblem(body: JsonObject, model: string, options: FakeAnthropicOptions): Rejection | undefined {
  const most = body["max_tokens"];
  const limit = options.maxTokensMax ?? 128_000;
  if (typeof most !== "number" || !Number.isInteger(most)) return invalid("max_tokens: Input should be a valid integer");
  if (most < 1) return invalid("max_tokens: Input should be greater than or equal to 1");
  return most > limit ? invalid(`max_tokens: ${most} > ${limit}, which is the maximum allowed number of output tokens for ${model}`) : undefined;
}
