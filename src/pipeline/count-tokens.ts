/**
 * `count_tokens`: the same stages up to the plan, then straight to the upstream's own endpoint through the dialer's system
 * door. Never guessed, never billed, so it has no entry in the ledger.
 */
import { asGatewayError, GatewayError } from "../kernel/gateway-error.ts";
import { forwardableReplyHeaders, headerValue } from "../wire/headers.ts";
import { buildRequest } from "./attempt.ts";
import type { Exchange } from "./exchange.ts";
import { identify } from "./identify.ts";
import { plan } from "./plan.ts";
import { receive } from "./receive.ts";
import { refuse } from "./refuse.ts";
import { finish, start } from "./report.ts";
import type { Services } from "./services.ts";

const replyBytesMax = 1024 * 1024;

/** Serves one `count_tokens` request to its end. Never rejects. */
export async function handleCountTokens(services: Services, exchange: Exchange): Promise<void> {
  const watch = start(services, exchange);
  try {
    const planned = plan(await receive(services, identify(services, exchange)));
    const target = planned.targets[0]!;
    exchange.report.provider = target.place.name;
    exchange.report.targetId = target.target.id;
    exchange.report.attempts = 1;
    const outbound = await buildRequest(planned, target);
    const sentAt = services.clock.monotonic();
    const reply = await services.dialer.system("count_tokens", outbound, exchange.abort.signal);
    const headAt = services.clock.monotonic();
    const ownsCredential = target.target.credential === "client";
    if (target.place.provider.classify(reply.status, ownsCredential) === "credential") {
      reply.abort();
      throw new GatewayError("gateway_credential_rejected", { internal: `${target.place.name} answered ${reply.status}` });
    }
    if (reply.status === 200 && headerValue(reply.headers, "content-type")?.startsWith("application/json") !== true) {
      reply.abort();
      throw new GatewayError("upstream_reply_invalid", { internal: "count_tokens answered without JSON" });
    }
    if (reply.status >= 300 && reply.status < 400) {
      reply.abort();
      throw new GatewayError("upstream_reply_invalid", { internal: `redirect with status ${reply.status}` });
    }
    const body = await collect(reply);
    if (reply.status === 200 && body.length === 0) throw new GatewayError("upstream_reply_invalid", { internal: "count_tokens answered with nothing" });
    const headers = forwardableReplyHeaders(reply.headers, ownsCredential);
    if (headerValue(headers, "request-id") === undefined) headers.push("request-id", exchange.requestId);
    const overheadMs = sentAt - exchange.startedAt + (services.clock.monotonic() - headAt);
    exchange.report.overheadMs = overheadMs;
    exchange.report.responseBytes = body.length;
    headers.push("x-tollgate-request-id", exchange.requestId, "x-tollgate-overhead-ms", overheadMs.toFixed(2));
    if (planned.notice !== undefined) headers.push("x-tollgate-notice", planned.notice);
    exchange.response.writeHead(reply.status, headers);
    exchange.response.end(body);
  } catch (fault) {
    refuse(services, exchange, asGatewayError(fault));
  } finally {
    finish(services, exchange, watch);
  }
}

function collect(reply: Awaited<ReturnType<Services["dialer"]["system"]>>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytesRead = 0;
  return new Promise((resolve, reject) => {
    reply.consume({
      data(bytes) {
        bytesRead += bytes.length;
        if (bytesRead > replyBytesMax) {
          reply.abort();
          return reject(new GatewayError("upstream_reply_invalid", { internal: "count_tokens reply too large" }));
        }
        pieces.push(bytes);
      },
      end: () => resolve(Buffer.concat(pieces)),
      fail: reject,
    });
  });
}
