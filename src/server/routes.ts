/** The rows of K3. A path that is not here does not exist. */
import type { AdminRoute } from "../admin/routes.ts";
import type { RouteRow } from "./route-table.ts";

const adminBodyBytesMax = 1024 * 1024;

/** The whole table: the data plane's fixed rows, then the control plane's. */
export function createRoutes(admin: readonly AdminRoute[]): readonly RouteRow[] {
  return [...["", "/anthropic"].flatMap(messagesRows), ...openRows(), { plane: "metrics", methods: ["GET"], path: "/metrics", errors: "litellm", audit: "none" }, ...admin.map(adminRow)];
}

/** The Messages API below one prefix. */
function messagesRows(prefix: string): RouteRow[] {
  const errors = prefix === "" ? "litellm" : "anthropic";
  const unsupported = (path: string): RouteRow => ({ plane: "unsupported", methods: anyMethod, path: `${prefix}${path}`, errors: "anthropic", code: "client_feature_unsupported", audit: "none" });
  return [
    { plane: "inference", methods: ["POST"], path: `${prefix}/v1/messages`, operation: "messages", errors: "anthropic", audit: "entry" },
    { plane: "inference", methods: ["POST"], path: `${prefix}/v1/messages/count_tokens`, operation: "count_tokens", errors: "anthropic", audit: "entry" },
    { plane: "models", methods: ["GET"], path: `${prefix}/v1/models`, errors, audit: "none" },
    { plane: "models", methods: ["GET"], path: `${prefix}/v1/models/{id...}`, errors, audit: "none" },
    // With one shared provider credential these would show one team's objects to another, and spend outside admission.
    ...["/v1/messages/batches", "/v1/files", "/v1/skills"].flatMap((path) => [unsupported(path), unsupported(`${path}/{rest...}`)]),
  ];
}

const anyMethod = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

function openRows(): RouteRow[] {
  const open = (methods: readonly string[], path: string, answer: "hello" | "events" | "live" | "ready"): RouteRow => ({ plane: "open", methods, path, answer, errors: "anthropic", audit: "none" });
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
