/**
 * From a parsed HTTP request to the row that serves it. The only place where planes part; auth runs here for every plane
 * but inference, whose pipeline does it as its first stage.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Principal } from "../identity/principal.ts";
import { Cancellation } from "../kernel/cancellation.ts";
import { asGatewayError, GatewayError, isGatewayError } from "../kernel/gateway-error.ts";
import { newId, type Id } from "../kernel/ids.ts";
import { handleCountTokens } from "../pipeline/count-tokens.ts";
import type { Exchange } from "../pipeline/exchange.ts";
import { handle } from "../pipeline/handle.ts";
import { readBody } from "../pipeline/receive.ts";
import type { Services } from "../pipeline/services.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";
import { dialects } from "../dialects/registry.ts";
import { sourceAddress } from "./client-address.ts";
import { writeError } from "./error-writer.ts";
import { inferenceProfile, inferenceProfiles } from "./ingress/bedrock-profiles.ts";
import { listModels, showModel, wantsAnthropic } from "./models.ts";
import { guardRequest } from "./request-guard.ts";
import type { ErrorShape, OpenAnswer, RouteMatch, Router } from "./route-table.ts";
import { shapeOfPath, unknownPath } from "./unknown-path.ts";

/** Whether the gateway takes calls, and whether its store can be written; it may take them without. */
export interface Readiness {
  readonly isReady: boolean;
  readonly hasStore: boolean;
}

export interface DispatchOptions {
  readonly services: Services;
  readonly router: Router;
  /** The snapshot in force; read once per request. */
  readonly snapshot: () => Snapshot;
  readonly readiness: () => Promise<Readiness>;
  readonly isDraining: () => boolean;
  /** The configuration's files cannot be used, and an earlier state of them is in force; that is no reason to take no calls. */
  readonly isConfigStale: () => boolean;
}

/** The listener of the HTTP server. Never throws. */
export function createDispatch(options: DispatchOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const { services } = options;
  return (request, response) => {
    const requestId = newId("req", services.clock.now());
    const shape = guessShape(request);
    try {
      const path = guardRequest(request);
      const found = options.router.match(request.method ?? "", path);
      if (found === "none") throw unknownPath(path);
      if ("methods" in found) {
        response.setHeader("allow", found.methods.join(", "));
        throw new GatewayError("client_method_unsupported");
      }
      serve(options, { request, response, requestId, path, match: found });
    } catch (fault) {
      refuse(options, response, asGatewayError(fault), shape, requestId);
    }
  };
}

interface Matched {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: Id<"req">;
  readonly path: string;
  readonly match: RouteMatch;
}

function serve(options: DispatchOptions, matched: Matched): void {
  const { row } = matched.match;
  switch (row.plane) {
    case "inference": {
      const opened = row.open(matched.match.params);
      const exchange = createExchange(options, matched, opened);
      if (options.isDraining()) return refuseEarly(options, exchange, new GatewayError("gateway_draining"));
      void (opened.operation === "messages" ? handle(options.services, exchange) : handleCountTokens(options.services, exchange));
      return;
    }
    case "unsupported":
      throw new GatewayError(row.code);
    case "open":
    case "models":
    case "metrics":
    case "admin":
      void answer(options, matched).catch((fault: unknown) => refuse(options, matched.response, asGatewayError(fault), shapeFor(matched), matched.requestId));
  }
}

async function answer(options: DispatchOptions, matched: Matched): Promise<void> {
  const { match, response } = matched;
  const { row } = match;
  if (row.plane === "open") return answerOpen(options, response, row.answer, match.params);
  if (row.plane === "models") {
    const principal = authenticate(options, matched);
    const id = match.params["id"];
    response.setHeader("request-id", matched.requestId);
    return sendJson(matched, 200, id === undefined ? listModels(matched.request, options.snapshot(), principal) : showModel(matched.request, options.snapshot(), principal, id));
  }
  if (row.plane === "metrics") {
    requireAdmin(authenticate(options, matched));
    const { contentType, text } = await options.services.metrics.render();
    return send(matched.response, 200, contentType, text);
  }
  if (row.plane !== "admin") throw new GatewayError("gateway_internal", { internal: `no answer for plane ${row.plane}` });
  const principal = authenticate(options, matched);
  if (row.role === "admin") requireAdmin(principal);
  refuseForeignOrigin(matched.request);
  const reply = await row.handler({
    principal,
    params: match.params,
    query: new URL(matched.request.url ?? "/", "http://localhost").searchParams,
    body: await readJson(options, matched, row.bodyBytesMax),
    nowMs: options.services.clock.now(),
    sourceAddress: sourceAddress(matched.request, options.snapshot().config.listen.trustedProxies),
  });
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (typeof reply.body === "string") send(response, reply.status, "text/plain; charset=utf-8", reply.body);
  else sendJson(matched, reply.status, reply.body);
}

async function answerOpen(options: DispatchOptions, response: ServerResponse, kind: OpenAnswer, params: RouteMatch["params"]): Promise<void> {
  if (kind === "hello") return send(response, 200, "text/plain; charset=utf-8", "");
  if (kind === "profiles") return send(response, 200, "application/json", inferenceProfiles());
  if (kind === "profile") {
    const profile = inferenceProfile(params["id"] ?? "");
    if (profile === undefined) throw new GatewayError("client_object_missing");
    return send(response, 200, "application/json", profile);
  }
  if (kind === "events") return send(response, 200, "application/json", '{"status":"ok"}');
  if (kind === "live") return send(response, 200, "application/json", '"I\'m alive!"');
  const { isReady, hasStore } = options.isDraining() ? { isReady: false, hasStore: false } : await options.readiness();
  send(response, isReady ? 200 : 503, "application/json", JSON.stringify({ status: isReady ? "healthy" : "unhealthy", db: hasStore ? "connected" : "Not connected", cache: null, config: options.isConfigStale() ? "reload_failed" : "loaded" }));
}

function authenticate(options: DispatchOptions, { request }: Matched): Principal {
  const result = options.services.authenticator.authenticate(request.headers, options.services.clock.now());
  if (!result.ok) throw new GatewayError(result.code);
  return result.principal;
}

function requireAdmin(principal: Principal): void {
  if (principal.role !== "admin") throw new GatewayError("client_role_insufficient");
}

/** A page in somebody's browser must not act on a loopback gateway; browsers name themselves by these headers. */
function refuseForeignOrigin(request: IncomingMessage): void {
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") throw new GatewayError("client_origin_forbidden");
  const origin = request.headers.origin;
  if (origin !== undefined && origin !== `http://${request.headers.host}` && origin !== `https://${request.headers.host}`) throw new GatewayError("client_origin_forbidden");
}

async function readJson(options: DispatchOptions, { request }: Matched, bodyBytesMax: number): Promise<unknown> {
  if (request.method === "GET" || request.method === "HEAD") return undefined;
  const ending = new Cancellation();
  const timer = options.services.clock.after(10_000, () => ending.cancel(new GatewayError("client_body_slow")));
  try {
    const bytes = await readBody(request, bodyBytesMax, ending);
    return bytes.length === 0 ? undefined : JSON.parse(bytes.toString("utf8"));
  } catch (fault) {
    if (isGatewayError(fault)) throw fault;
    throw new GatewayError("client_body_malformed", { publicText: "The request body is not JSON." });
  } finally {
    timer.cancel();
  }
}

function createExchange(options: DispatchOptions, { request, response, requestId }: Matched, { operation, ingress }: Pick<Exchange, "operation" | "ingress">): Exchange {
  const url = request.url ?? "";
  const queryAt = url.indexOf("?");
  return {
    requestId,
    request,
    response,
    dialect: dialects["anthropic-messages"],
    ingress,
    operation,
    snapshot: options.snapshot(),
    query: queryAt === -1 ? "" : url.slice(queryAt),
    startedAtMs: options.services.clock.now(),
    startedAt: options.services.clock.monotonic(),
    ending: new Cancellation(),
    report: {
      keyId: undefined,
      model: undefined,
      provider: undefined,
      targetId: undefined,
      isStreaming: false,
      attempts: 0,
      tokens: { input: 0, cacheRead: 0, output: 0 },
      requestBytes: 0,
      uploadMs: 0,
      responseBytes: 0,
      firstEventMs: undefined,
      overheadMs: undefined,
      costUsd: undefined,
      outcome: undefined,
      fault: undefined,
    },
  };
}

/** A list of models is given in the shape its caller wants, and so are its refusals. */
function shapeFor({ match: { row }, request }: Matched): ErrorShape {
  return row.plane === "models" && wantsAnthropic(request) ? "anthropic" : row.errors;
}

/** Before a row is known, the path's prefix and the caller's own habits tell its error shape. */
function guessShape(request: IncomingMessage): ErrorShape {
  return shapeOfPath(request.url ?? "") ?? (wantsAnthropic(request) ? "anthropic" : "litellm");
}

function refuse(options: DispatchOptions, response: ServerResponse, fault: GatewayError, shape: ErrorShape, requestId: string): void {
  if (fault.code === "gateway_internal") options.services.log.error({ requestId, internal: fault.details.internal }, "request failed inside the gateway");
  if (fault.spec.blame === "client") options.services.refusals.count(fault.code, undefined);
  writeError(response, fault, shape, requestId);
}

function sendJson({ response, requestId }: Matched, status: number, value: unknown): void {
  response.setHeader("x-tollgate-request-id", requestId);
  send(response, status, "application/json", JSON.stringify(value));
}

/** A refusal before the pipeline, in the client's own form. */
function refuseEarly({ services }: DispatchOptions, { response, requestId, ingress, operation, startedAt }: Exchange, fault: GatewayError): void {
  const { status, blame } = fault.spec;
  services.metrics.requestFinished({ operation, status, blame, firstEventMs: undefined, overheadMs: undefined, durationMs: services.clock.monotonic() - startedAt });
  const rendered = ingress.renderError(fault, requestId);
  const body = Buffer.from(rendered.body);
  response.writeHead(rendered.status, { ...rendered.headers, "x-tollgate-request-id": requestId, "content-length": body.length });
  response.end(body);
}

function send(response: ServerResponse, status: number, contentType: string, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(status, { "content-type": contentType, "content-length": body.length, "cache-control": "no-store", "x-content-type-options": "nosniff" });
  response.end(body);
}
