/**
 * What Claude Code sends for the settings a page shows: address, key headers, envelope. Facts as measured on the real clients:
 * test/clients/README.md, and for the cloud modes Claude Code 2.1.330, recorded 2026-11.
 */
import { execFileSync } from "node:child_process";
import { claudeCodeBetas, claudeCodeBody } from "../support/claude-code-request.ts";

/** Environment variables and settings of a client, by name. */
export type Settings = Readonly<Record<string, string>>;

/** The versions whose key headers differ. */
export type Version = "0.2.126" | "1.0.33" | "1.0.40" | "2.1.330";

export interface ClientOptions {
  readonly version?: Version;
  /** What an `apiKeyHelper` printed. */
  readonly helper?: string;
  /** Google's token, where the client logs in to Vertex itself. */
  readonly googleToken?: string;
  /** The claude.ai login of somebody signed in. */
  readonly login?: string;
}

/** One request as it stands on the wire. */
export interface ClientRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** The forms that a client speaks. */
export type Mode = "messages" | "bedrock" | "vertex" | "foundry";

/** What a client asks in turn: a stream, a plain reply, a count, the list of models. */
export type Errand = "stream" | "plain" | "count";

export const session = "5a0f0e0e-0000-4000-8000-0000000000d0";

/** Runs a page's `export` lines in a shell; nothing else of the environment gets in. */
export function settingsOf(script: string): Settings {
  const text = execFileSync("/bin/sh", ["-c", `${script}\nenv -0`], { env: { PATH: process.env["PATH"] }, encoding: "utf8" });
  const pairs = text.split("\0").filter((pair) => pair !== "").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)] as const);
  return Object.fromEntries(pairs.filter(([name]) => !["PATH", "PWD", "OLDPWD", "SHLVL", "_"].includes(name)));
}

export function modeOf(settings: Settings): Mode {
  if (settings["CLAUDE_CODE_USE_BEDROCK"] === "1") return "bedrock";
  if (settings["CLAUDE_CODE_USE_VERTEX"] === "1") return "vertex";
  return settings["CLAUDE_CODE_USE_FOUNDRY"] === "1" ? "foundry" : "messages";
}

/** @throws when the settings lack what the mode needs */
export function requestOf(settings: Settings, errand: Errand, options: ClientOptions = {}): ClientRequest {
  const mode = modeOf(settings);
  const { path, body, betas } = mode === "bedrock" ? bedrock(errand) : mode === "vertex" ? vertex(settings, errand) : messages(settings, errand);
  const isNew = (options.version ?? "2.1.330") === "2.1.330";
  const headers: Record<string, string> = {
    accept: "application/json",
    "content-type": "application/json",
    "user-agent": `claude-cli/${options.version ?? "2.1.330"} (external, sdk-cli)`,
    "x-app": "cli",
    "anthropic-version": "2023-06-01",
    ...(isNew ? { "x-claude-code-session-id": session, "anthropic-beta": betas.join(",") } : {}),
    ...(settings["CLAUDE_CODE_GATEWAY_HINT_HEADERS"] === "1" ? { "x-claude-code-request-class": "main" } : {}),
    ...keyHeaders(settings, mode, options),
    ...customHeaders(settings),
  };
  if (options.login !== undefined) headers["anthropic-beta"] = [headers["anthropic-beta"], "oauth-2025-04-20"].filter(Boolean).join(",");
  return { url: `${needed(settings, baseUrlNames[mode])}${path}`, headers, body: JSON.stringify(body) };
}

/** `GET /v1/models` of the model discovery: one key header only. */
export function discoveryOf(settings: Settings): ClientRequest {
  return { url: `${needed(settings, "ANTHROPIC_BASE_URL")}/v1/models?limit=1000`, headers: { "user-agent": "claude-code/2.1.330", authorization: `Bearer ${needed(settings, "ANTHROPIC_AUTH_TOKEN")}` }, body: null };
}

const baseUrlNames = { messages: "ANTHROPIC_BASE_URL", bedrock: "ANTHROPIC_BEDROCK_BASE_URL", vertex: "ANTHROPIC_VERTEX_BASE_URL", foundry: "ANTHROPIC_FOUNDRY_BASE_URL" } as const;

function needed(settings: Settings, name: string): string {
  const value = settings[name];
  if (value === undefined) throw new Error(`the settings lack ${name}`);
  return value;
}

/** Headers fill separately: a bearer and an API key may be of two people. */
function keyHeaders(settings: Settings, mode: Mode, { version = "2.1.330", helper, googleToken, login }: ClientOptions): Record<string, string> {
  const token = settings["ANTHROPIC_AUTH_TOKEN"];
  const proxyKey = version === "0.2.126" || version === "1.0.33" ? (token ?? helper) : undefined;
  const proxy: Record<string, string> = proxyKey === undefined ? {} : { "proxy-authorization": `Bearer ${proxyKey}` };
  if (mode === "bedrock") {
    const bearer = settings["AWS_BEARER_TOKEN_BEDROCK"] ?? (settings["CLAUDE_CODE_SKIP_BEDROCK_AUTH"] === "1" ? token : undefined);
    return { authorization: bearer === undefined ? "AWS4-HMAC-SHA256 Credential=AKIADOCS/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00" : `Bearer ${bearer}`, ...proxy };
  }
  if (mode === "vertex") return { authorization: `Bearer ${settings["CLAUDE_CODE_SKIP_VERTEX_AUTH"] === "1" ? needed(settings, "ANTHROPIC_AUTH_TOKEN") : googleToken}`, ...proxy };
  if (mode === "foundry") return { "x-api-key": needed(settings, "ANTHROPIC_FOUNDRY_API_KEY") };
  const bearer = token ?? helper ?? login;
  const apiKey = settings["ANTHROPIC_API_KEY"] ?? helper;
  return { ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }), ...(apiKey === undefined ? {} : { "x-api-key": apiKey }), ...proxy };
}

function customHeaders(settings: Settings): Record<string, string> {
  const lines = (settings["ANTHROPIC_CUSTOM_HEADERS"] ?? "").split("\n").filter((line) => line.includes(":"));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
}

interface Form {
  readonly path: string;
  readonly body: unknown;
  readonly betas: readonly string[];
}

const small = { max_tokens: 64, messages: [{ role: "user", content: "Hello" }] };
const counted = { messages: small.messages };

function messages(settings: Settings, errand: Errand): Form {
  const model = settings["ANTHROPIC_MODEL"] ?? "claude-opus-5-5";
  const smallModel = settings["ANTHROPIC_DEFAULT_HAIKU_MODEL"] ?? model;
  if (errand === "count") return { path: "/v1/messages/count_tokens?beta=true", body: { model, ...counted }, betas: ["token-counting-2024-11-01"] };
  return { path: "/v1/messages?beta=true", body: errand === "stream" ? claudeCodeBody({ model }) : { model: smallModel, ...small }, betas: errand === "stream" ? claudeCodeBetas : ["claude-code-20250219"] };
}

/** What Claude Code's body has in the cloud modes: no context management, no effort on single messages. */
function cloudBody(fields: Readonly<Record<string, unknown>>): unknown {
  return claudeCodeBody({ model: undefined, context_management: undefined, messages: small.messages, ...fields });
}

function bedrock(errand: Errand): Form {
  const version = { anthropic_version: "bedrock-2023-05-31" };
  const betas = ["claude-code-20250219", "thinking-token-count-2026-05-13", "effort-2025-11-24"];
  const inBody = ["interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "thinking-token-count-2026-05-13"];
  if (errand === "stream") return { path: "/model/us.anthropic.claude-opus-5-5/invoke-with-response-stream", body: cloudBody({ ...version, anthropic_beta: inBody, stream: undefined }), betas };
  const dated = "anthropic.claude-sonnet-4-5-20250929-v1:0";
  if (errand === "plain") return { path: `/model/us.${dated}/invoke`, body: { ...version, ...small }, betas: [] };
  return { path: `/model/${dated}/count-tokens`, body: { input: { invokeModel: { body: Buffer.from(JSON.stringify({ ...version, ...small })).toString("base64") } } }, betas: [] };
}

function vertex(settings: Settings, errand: Errand): Form {
  const models = `/projects/${needed(settings, "ANTHROPIC_VERTEX_PROJECT_ID")}/locations/${needed(settings, "CLOUD_ML_REGION")}/publishers/anthropic/models`;
  const version = { anthropic_version: "vertex-2023-10-16" };
  const betas = ["claude-code-20250219", "interleaved-thinking-2025-05-14", "thinking-token-count-2026-05-13", "effort-2025-11-24", "web-search-2025-03-05", "tool-search-tool-2025-10-19"];
  if (errand === "stream") return { path: `${models}/claude-opus-5-5:streamRawPredict`, body: cloudBody({ ...version, stream: true }), betas };
  if (errand === "plain") return { path: `${models}/claude-sonnet-4-5@20250929:rawPredict`, body: { ...version, ...small }, betas: [] };
  return { path: `${models}/count-tokens:rawPredict`, body: { model: "claude-sonnet-4-5@20250929", ...version, ...counted }, betas };
}
