/** What a request says about where its spend belongs. Labels only: none of it grants anything. */
import type { IncomingHttpHeaders } from "node:http";
import type { Principal } from "../identity/principal.ts";
import { attributionLengthMax } from "../kernel/bounds.ts";
import type { AttemptOpening } from "./books.ts";

type Attribution = Pick<AttemptOpening, "project" | "tags" | "endUserId" | "sessionId" | "agentId" | "parentAgentId" | "requestClass">;

const noTags: readonly string[] = [];
const projectPrefix = "project:";

/** Reads Claude Code's and LiteLLM's attribution headers; values are cut to {@link attributionLengthMax} characters. */
export function attributionOf(headers: IncomingHttpHeaders, principal: Principal): Attribution {
  const tags = requestTags(headers["x-litellm-tags"], principal);
  const project = tags.find((tag) => tag.startsWith(projectPrefix));
  return {
    project: project === undefined ? null : project.slice(projectPrefix.length),
    tags: project === undefined ? tags : tags.filter((tag) => !tag.startsWith(projectPrefix)),
    endUserId: text(headers["x-litellm-end-user-id"] ?? headers["x-litellm-customer-id"]),
    sessionId: text(headers["x-claude-code-session-id"] ?? headers["x-litellm-session-id"]),
    agentId: text(headers["x-claude-code-agent-id"]),
    parentAgentId: text(headers["x-claude-code-parent-agent-id"]),
    requestClass: text(headers["x-claude-code-request-class"]),
  };
}

/** Projects that a key may name; undefined where it may name every one. */
export function allowedProjects({ key }: Principal): readonly string[] | undefined {
  const allowed = key?.metadata["allowed_projects"];
  return Array.isArray(allowed) ? allowed.filter((name): name is string => typeof name === "string") : undefined;
}

/** The project that a request names and its key may not spend for. */
export function foreignProject(principal: Principal, { project }: Pick<Attribution, "project">): string | undefined {
  return project === null || allowedProjects(principal)?.includes(project) !== false ? undefined : project;
}

function requestTags(header: string | string[] | undefined, principal: Principal): readonly string[] {
  const own = principal.key?.tags ?? noTags;
  if (header === undefined) return own;
  const sent = String(header)
    .split(",", 32)
    .map((tag) => tag.trim().slice(0, attributionLengthMax))
    .filter((tag) => tag !== "");
  return [...new Set([...own, ...sent])];
}

function text(header: string | string[] | undefined): string | null {
  return header === undefined || header === "" ? null : String(header).slice(0, attributionLengthMax);
}
