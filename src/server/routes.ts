/** The rows of K3. A path that is not here does not exist. */
import type { AdminRoute } from "../admin/routes.ts";
import type { Ingress } from "../pipeline/ingress.ts";
import { createBedrockIngress, type BedrockAction } from "./ingress/bedrock.ts";
import { cloudMessagesIngress, messagesIngress } from "./ingress/messages.ts";
import { createVertexIngress } from "./ingress/vertex.ts";
import type { OpenAnswer, RouteRow } from "./route-table.ts";

const adminBodyBytesMax = 1024 * 1024;

/** The whole table: the data plane's fixed rows, then the control plane's. */
export function createRoutes(admin: readonly AdminRoute[]): readonly RouteRow[] {
  return [
    ...["", "/anthropic"].flatMap((prefix) => messagesRows(prefix, messagesIngress)),
    ...["/foundry", "/anthropic-aws", "/mantle"].flatMap((prefix) => messagesRows(prefix, cloudMessagesIngress)),
    ...bedrockRows(),
    ...["/vertex_ai", "/vertex-ai"].flatMap((prefix) => [prefix, `${prefix}/v1`]).map(vertexRow),
    ...openRows(),
    { plane: "metrics", methods: ["GET"], path: "/metrics", errors: "litellm", audit: "none" },
    ...admin.map(adminRow),
  ];
}

/** The Messages API below one prefix. */
function messagesRows(prefix: string, ingress: Ingress): RouteRow[] {
  const errors = prefix === "" ? "litellm" : "anthropic";
  const unsupported = (path: string): RouteRow => ({ plane: "unsupported", methods: anyMethod, path: `${prefix}${path}`, errors: "anthropic", code: "client_feature_unsupported", audit: "none" });
  return [
    { plane: "inference", methods: ["POST"], path: `${prefix}/v1/messages`, open: () => ({ operation: "messages", ingress }), errors: "anthropic", audit: "entry" },
    { plane: "inference", methods: ["POST"], path: `${prefix}/v1/messages/count_tokens`, open: () => ({ operation: "count_tokens", ingress }), errors: "anthropic", audit: "entry" },
    { plane: "models", methods: ["GET"], path: `${prefix}/v1/models`, errors, audit: "none" },
    { plane: "models", methods: ["GET"], path: `${prefix}/v1/models/{id...}`, errors, audit: "none" },
    // With one shared provider credential these would show one team's objects to another, and spend outside admission.
    ...["/v1/messages/batches", "/v1/files", "/v1/skills", "/v1/user_profiles"].flatMap((path) => [unsupported(path), unsupported(`${path}/{rest...}`)]),
  ];
}

/** InvokeModel and its kin (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html, checked 2026-11). */
function bedrockRows(): RouteRow[] {
  const row = (action: BedrockAction): RouteRow => ({
    plane: "inference",
    methods: ["POST"],
    path: `/bedrock/model/{model}/${action}`,
    open: ({ model = "" }) => ({ operation: action === "count-tokens" ? "count_tokens" : "messages", ingress: createBedrockIngress(model, action) }),
    errors: "bedrock",
    audit: "entry",
  });
  return [
    ...(["invoke", "invoke-with-response-stream", "count-tokens"] as const).map(row),
    { plane: "open", methods: ["GET"], path: "/bedrock/inference-profiles", answer: "profiles", errors: "bedrock", audit: "none" },
    { plane: "open", methods: ["GET"], path: "/bedrock/inference-profiles/{id...}", answer: "profile", errors: "bedrock", audit: "none" },
  ];
}

function vertexRow(prefix: string): RouteRow {
  return {
    plane: "inference",
    methods: ["POST"],
    path: `${prefix}/projects/{project}/locations/{location}/publishers/anthropic/models/{call}`,
    open: ({ project = "", location = "", call = "" }) => createVertexIngress({ project, location, call }),
    errors: "anthropic",
    audit: "entry",
  };
}

const anyMethod = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

function openRows(): RouteRow[] {
  const open = (methods: readonly string[], path: string, answer: OpenAnswer): RouteRow => ({ plane: "open", methods, path, answer, errors: "anthropic", audit: "none" });
  return [
    open(["HEAD"], "/", "hello"),
    open(["HEAD", "GET"], "/api/hello", "hello"),
    open(["POST"], "/api/event_logging/batch", "events"),
    open(["GET", "HEAD"], "/health/liveliness", "live"),
    open(["GET", "HEAD"], "/health/liveness", "live"),
    open(["GET", "HEAD"], "/health/readiness", "ready"),
  ];
}

function adminRow(route: AdminRoute): RouteRow {
  return { plane: "admin", methods: [route.method], path: route.path, role: route.role, audit: route.audit, handler: route.handler, errors: "litellm", bodyBytesMax: adminBodyBytesMax };
}
