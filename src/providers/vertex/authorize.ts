/** Puts a Google login on a call: the gateway's own access token, or, where the target says so, the caller's. */
import { CredentialError, type CredentialRuntime, type CredentialSource } from "../../credentials/runtime.ts";
import { createGoogleCredentials, type GoogleToken } from "../../credentials/google/index.ts";
import { GatewayError } from "../../kernel/gateway-error.ts";
import type { AuthorizeContext, UpstreamRequest } from "../provider.ts";
import { projectPattern, type VertexSettings } from "./config.ts";
import { openProject } from "./endpoint.ts";

const scopes = ["https://www.googleapis.com/auth/cloud-platform"];
/** The gateway's own login at one place. */
export interface VertexCredentials {
  readonly source: CredentialSource<GoogleToken>;
  /** Forgets the token that went out last. */
  refused(): void;
  /** Notes which token goes out. */
  used(token: GoogleToken): void;
}

export function login(settings: VertexSettings, runtime: CredentialRuntime): VertexCredentials {
  const source = createGoogleCredentials({ credentials: settings.credentials?.reveal(), scopes, quotaProject: settings.quota_project }, runtime);
  let last: GoogleToken | undefined;
  return {
    source,
    used: (token) => void (last = token),
    refused() {
      if (last !== undefined) source.refused(last);
    },
  };
}

/**
 * @throws GatewayError `gateway_credential_rejected` when there is no login or nobody says which project, `upstream_unreachable`
 *   when a login cannot be had just now
 */
export async function authorize(request: UpstreamRequest, settings: VertexSettings, { credentials, client }: AuthorizeContext<VertexCredentials>): Promise<UpstreamRequest> {
  if (client !== undefined) return { ...withProject(request, undefined), headers: [...request.headers, client.header, client.value] };
  const token = await tokenOf(credentials);
  const headers = [...request.headers, "authorization", `Bearer ${token.token.reveal()}`];
  const hasOwn = request.headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === "x-goog-user-project");
  if (token.quotaProject !== undefined && !hasOwn) headers.push("x-goog-user-project", token.quotaProject);
  return { ...withProject(request, token.projectId), headers };
}

async function tokenOf(credentials: VertexCredentials): Promise<GoogleToken> {
  try {
    const token = await credentials.source.get();
    credentials.used(token);
    return token;
  } catch (fault) {
    if (!(fault instanceof CredentialError)) throw fault;
    throw new GatewayError(fault.isTransient ? "upstream_unreachable" : "gateway_credential_rejected", { internal: fault.message, cause: fault });
  }
}

function withProject(request: UpstreamRequest, project: string | undefined): UpstreamRequest {
  if (!request.path.includes(openProject)) return request;
  if (project === undefined || !projectPattern.test(project)) {
    throw new GatewayError("gateway_credential_rejected", { internal: "neither the settings (project) nor the Google credentials say which project to use" });
  }
  return { ...request, path: request.path.replace(openProject, project) };
}
