/**
 * Claude on Vertex AI as a strict fake: the fake Anthropic's checks, behaviours and bill behind Google's envelope. Path, project,
 * location and bearer are checked by Google's front, which answers in Google's words (on streams in an array); the rest in
 * Anthropic's. Shares no code with src/.
 *
 * Facts as cited in src/providers/vertex/.
 */
import { betaRejection, startPlace, type FakePlace, type FrontRefusal, type Unwrapped } from "./fake-place.ts";
import { betasOf } from "./fake-anthropic-validate.ts";
import type { FakeAnthropicOptions, JsonObject, RecordedRequest, Rejection } from "./fake-anthropic-types.ts";

export interface FakeVertexOptions extends Omit<FakeAnthropicOptions, "apiKey" | "authToken" | "models"> {
  /** Default `fake-project`. */
  readonly project?: string;
  /** Default `global`, `us`, `eu`, `us-east5` and `europe-west1`. */
  readonly locations?: readonly string[];
  /** Whether a bearer token is good; default: every one that is not empty. */
  readonly isTokenGood?: (token: string) => boolean;
  /** Vertex ids of models that are enabled; default: every `claude-…` whose date, if any, stands behind an `@`. */
  readonly models?: readonly string[];
}

/** A name with a date but without `@` is Anthropic's, and unknown here. */
const vertexId = /^claude-[a-z0-9-]+?(?:@20\d{6})?$/;
/** Betas that this place does not know, by stem. */
const unknownBetas = ["request-tags-", "advanced-tool-use-"];
const pathPattern = /^\/v1\/projects\/([^/]+)\/locations\/([^/]+)\/publishers\/anthropic\/models\/([^/:]+):(rawPredict|streamRawPredict)$/;

/** Google's error envelope. */
export function googleError(code: number, status: string, message: string, details?: readonly object[]): JsonObject {
  return { error: { code, message, status, ...(details === undefined ? {} : { details }) } };
}

function invalid(message: string): Rejection {
  return { status: 400, errorType: "invalid_request_error", message };
}

function unwrap(record: RecordedRequest, json: JsonObject | undefined, options: FakeVertexOptions): Unwrapped | FrontRefusal | Rejection {
  const [path, query = ""] = record.url.split("?", 2);
  const match = record.method === "POST" ? pathPattern.exec(path ?? "") : null;
  const isStream = match?.[4] === "streamRawPredict";
  const front = (code: number, status: string, message: string, details?: readonly object[]): FrontRefusal => {
    const error = googleError(code, status, message, details);
    return { status: code, json: isStream ? [error] : error };
  };
  if (match === null || (query !== "" && query !== "alt=sse")) return front(404, "NOT_FOUND", `The requested URL ${record.url} was not found on this server.`);
  const [, project = "", location = "", model = ""] = match;
  const bearer = /^Bearer ([^\s]+)$/.exec(record.headers["authorization"] ?? "")?.[1];
  if (bearer === undefined || options.isTokenGood?.(bearer) === false) {
    return front(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", [
      { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "ACCESS_TOKEN_TYPE_UNSUPPORTED", domain: "googleapis.com" },
    ]);
  }
  if (project !== (options.project ?? "fake-project")) return front(403, "PERMISSION_DENIED", `Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/${project}/locations/${location}' (or it may not exist).`);
  if (!(options.locations ?? ["global", "us", "eu", "us-east5", "europe-west1"]).includes(location)) return front(400, "INVALID_ARGUMENT", `Unsupported region for Vertex AI: ${location}`);
  const isCount = model === "count-tokens";
  const named = isCount ? json?.["model"] : model;
  const isEnabled = typeof named === "string" && (options.models?.includes(named) ?? (vertexId.test(named) && !/-20\d{6}$/.test(named)));
  if (!isEnabled) return front(404, "NOT_FOUND", `Publisher Model \`projects/${project}/locations/${location}/publishers/anthropic/models/${String(named)}\` was not found or your project does not have access to it.`);
  return json === undefined ? invalid("The request body is not valid JSON") : envelope(record, json, { model: named, isStream, isCount });
}

function envelope(record: RecordedRequest, json: JsonObject, { model, isStream, isCount }: { readonly model: string; readonly isStream: boolean; readonly isCount: boolean }): Unwrapped | Rejection {
  const { anthropic_version: version, anthropic_beta: bodyBetas, model: _model, ...rest } = json;
  if (!isCount && _model !== undefined) return invalid("model: Extra inputs are not permitted");
  if (version !== "vertex-2023-10-16" && version !== "2026-10-21") return invalid(version === undefined ? "anthropic_version: Field required" : "anthropic_version: Input should be 'vertex-2023-10-16'");
  if (bodyBetas !== undefined) return invalid("anthropic_beta: Extra inputs are not permitted");
  if (!isCount && (rest["stream"] === true) !== isStream) return invalid("stream: must fit the method of the URL");
  const rejection = betaRejection(betasOf(record.headers).filter((beta) => unknownBetas.some((stem) => beta.startsWith(stem))));
  // Replies name the model as Anthropic does.
  return rejection ?? { operation: isCount ? "count_tokens" : "messages", body: { ...rest, model: model.replace("@", "-") } };
}

/** Starts the fake on 127.0.0.1; `url` is the `base_url` of a place. */
export async function startFakeVertex(options: FakeVertexOptions = {}): Promise<FakePlace> {
  const { project: _project, locations: _locations, isTokenGood: _isTokenGood, models: _models, ...rest } = options;
  return startPlace({
    requestIdPrefix: "req_vrtx_011",
    options: rest,
    forbiddenHeaders: ["x-api-key", "api-key", "anthropic-version", "anthropic-workspace-id", "anthropic-dangerous-direct-browser-access"],
    unwrap(record, json) {
      const result = unwrap(record, json, options);
      if (!("operation" in result)) return result;
      return betaRejection(betasOf(record.headers).filter((beta) => options.rejectBetas?.includes(beta) === true)) ?? result;
    },
  });
}
