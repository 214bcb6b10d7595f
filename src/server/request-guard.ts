/**
 * Refuses request shapes that Node's parser accepts but that two parsers on a path could read differently, before
 * authentication and before any upstream byte (reference: RFC 9112 §11, and the BadHost class of CVE-2026-48710).
 */
import type { IncomingMessage } from "node:http";
import { headerCountMax } from "../kernel/bounds.ts";
import { GatewayError } from "../kernel/gateway-error.ts";

/** Headers that must come once at most. */
const singletons = new Set(["host", "authorization", "x-api-key", "content-length", "content-type", "transfer-encoding", "x-litellm-api-key", "api-key", "x-goog-api-key", "proxy-authorization"]);

const hostPattern = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/**
 * @returns the path without its query
 * @throws GatewayError `client_request_malformed`, `client_headers_too_large`
 */
export function guardRequest(request: IncomingMessage): string {
  const { rawHeaders, headers } = request;
  if (rawHeaders.length > headerCountMax * 2) throw new GatewayError("client_headers_too_large");
  checkHeaders(rawHeaders);
  const { host } = headers;
  if (host === undefined || !hostPattern.test(host)) throw malformed("The Host header is not a host.");
  if (headers["transfer-encoding"] !== undefined && (headers["transfer-encoding"].toLowerCase() !== "chunked" || request.httpVersionMinor === 0)) {
    throw malformed("Transfer-Encoding may only be chunked, and not in HTTP/1.0.");
  }
  if ((request.method === "GET" || request.method === "HEAD") && (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0")) {
    throw malformed(`A ${request.method} request has no body.`);
  }
  if (headers.upgrade !== undefined) throw malformed("Protocol upgrades are not offered.");
  if (headers.trailer !== undefined) throw malformed("Trailers are not taken.");
  return pathOf(request.url ?? "");
}

function checkHeaders(rawHeaders: readonly string[]): void {
  let seen: Set<string> | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!singletons.has(name)) continue;
    seen ??= new Set();
    if (seen.has(name)) throw malformed(`The header ${name} came twice.`);
    seen.add(name);
  }
}

/** Refuses rather than repairs: what we match must be what every proxy in front of us saw. */
function pathOf(target: string): string {
  if (!target.startsWith("/")) throw malformed("The request target must be a path.");
  const queryAt = target.indexOf("?");
  const path = queryAt === -1 ? target : target.slice(0, queryAt);
  if (target.includes("#")) throw malformed("The request target has a fragment.");
  if (path.includes("//") || path.includes("\\") || /\/\.\.?(?:\/|$)/.test(path)) throw malformed("The path has empty or dot segments.");
  if (path.includes("%") && /%(?:2e|5c|00|25|0a|0d)/i.test(path)) throw malformed("The path has encoded characters that are not taken here.");
  return path;
}

function malformed(publicText: string): GatewayError {
  return new GatewayError("client_request_malformed", { publicText });
}
