/**
 * Clients that speak Vertex AI's `rawPredict` (Claude Code with `ANTHROPIC_VERTEX_BASE_URL`): project, location and model in
 * the path, streams and errors as Anthropic's. Facts:
 * https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude, checked 2026-11.
 */
import { dialects } from "../../dialects/registry.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { Operation } from "../../providers/provider.ts";
import type { Ingress } from "../../pipeline/ingress.ts";

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const modelPattern = /^(.+):(rawPredict|streamRawPredict)$/;

/** What a path names, decoded. */
export interface VertexPath {
  readonly project: string;
  readonly location: string;
  /** `model:rawPredict`, `model:streamRawPredict` or `count-tokens:rawPredict`. */
  readonly call: string;
}

/** @throws GatewayError `client_path_unknown` for another method, or a project or location that is none */
export function createVertexIngress({ project, location, call }: VertexPath): { readonly ingress: Ingress; readonly operation: Operation } {
  const match = modelPattern.exec(call);
  if (match === null) throw new GatewayError("client_path_unknown", { publicText: "Of Vertex AI this gateway offers rawPredict and streamRawPredict of Claude models, and count-tokens:rawPredict." });
  if (!namePattern.test(project) || !namePattern.test(location)) throw new GatewayError("client_path_unknown", { publicText: "The path holds a project or location that cannot be one." });
  const [, model = "", method] = match;
  const isCount = model === "count-tokens";
  if (isCount && method !== "rawPredict") throw new GatewayError("client_path_unknown");
  return {
    operation: isCount ? "count_tokens" : "messages",
    ingress: {
      envelope: "vertex",
      hasCloudNames: true,
      url: { model: isCount ? undefined : model, isStreaming: method === "streamRawPredict" },
      clientProject: { project, location },
      requestIdHeader: "request-id",
      renderError: (fault, requestId) => dialects["anthropic-messages"].renderError(fault, requestId),
    },
  };
}
