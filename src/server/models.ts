/** `GET /v1/models`: what the caller may use, in the list format of whoever asks. */
import type { IncomingMessage } from "node:http";
import type { Principal } from "../identity/principal.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { accessibleModels, mayUseName } from "../pipeline/plan.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";

const createdAt = "2025-01-01T00:00:00Z";
const createdSeconds = Date.parse(createdAt) / 1000;

/** Anthropic's own clients say so by `anthropic-version` or their user agent; everybody else gets OpenAI's list, as LiteLLM gives. */
export function wantsAnthropic(request: IncomingMessage): boolean {
  const agent = request.headers["user-agent"] ?? "";
  return request.headers["anthropic-version"] !== undefined || agent.startsWith("claude-code/") || agent.startsWith("claude-cli/");
}

/** The list as JSON-able value, never paged: `limit` is a wish, and everything fits. */
export function listModels(request: IncomingMessage, snapshot: Snapshot, principal: Principal): unknown {
  const names = accessibleModels(snapshot, principal);
  if (!wantsAnthropic(request)) return { object: "list", data: names.map(openAiModel) };
  return { data: names.map(anthropicModel), has_more: false, first_id: names[0] ?? null, last_id: names.at(-1) ?? null };
}

/** @throws GatewayError `client_model_unavailable`, the same for unknown and forbidden */
export function showModel(request: IncomingMessage, snapshot: Snapshot, principal: Principal, id: string): unknown {
  if (!mayUseName(snapshot, principal, id)) throw new GatewayError("client_model_unavailable");
  return wantsAnthropic(request) ? anthropicModel(id) : openAiModel(id);
}

function anthropicModel(id: string): unknown {
  return { type: "model", id, display_name: displayName(id), created_at: createdAt };
}

function openAiModel(id: string): unknown {
  return { id, object: "model", created: createdSeconds, owned_by: "tollgate" };
}

/** `claude-opus-5-5` → `Claude Opus 5.5`; other names as they are. */
function displayName(id: string): string {
  const match = /^claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-(\d{8}))?$/.exec(id);
  if (match === null) return id;
  const [, family = "", major, minor, date] = match;
  return `Claude ${family[0]!.toUpperCase()}${family.slice(1)} ${major}${minor === undefined ? "" : `.${minor}`}${date === undefined ? "" : ` (${date})`}`;
}
