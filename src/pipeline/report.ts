/** First and last act of a request outside its stages: watching it, and telling log and metrics how it went. */
import { GatewayError } from "../kernel/gateway-error.ts";
import type { Exchange } from "./exchange.ts";
import type { Services } from "./services.ts";
import type { Watched } from "./stream-watch.ts";

const watches = new WeakMap<Exchange, Watched>();

/** Counts the request as in work, ends it when its client leaves or its time is up. */
export function start(services: Services, exchange: Exchange): Watched {
  services.load.inFlight += 1;
  services.load.total += 1;
  exchange.response.once("close", () => {
    if (!exchange.response.writableFinished) exchange.ending.cancel(new GatewayError("client_closed"));
  });
  const watched = services.watch.add(exchange.snapshot.config.timeouts.totalMs, (fault) => exchange.ending.cancel(fault));
  watches.set(exchange, watched);
  return watched;
}

/** The watch of a running request. */
export function watchOf(exchange: Exchange): Watched | undefined {
  return watches.get(exchange);
}

/** One log line, one count. */
export function finish(services: Services, exchange: Exchange, watched: Watched): void {
  watched.stop();
  services.load.inFlight -= 1;
  const { report, response } = exchange;
  if (report.keyId !== undefined) leaveKey(services.load.byKey, report.keyId);
  const durationMs = services.clock.monotonic() - exchange.startedAt;
  const status = report.fault?.code === "client_closed" ? 499 : response.statusCode;
  services.metrics.requestFinished({
    operation: exchange.operation,
    status,
    blame: report.fault?.spec.blame ?? (status >= 400 ? "upstream" : "none"),
    firstEventMs: report.firstEventMs,
    overheadMs: report.overheadMs,
    durationMs,
  });
  if (report.fault?.code === "gateway_internal") services.log.error({ requestId: exchange.requestId, internal: report.fault.details.internal }, "request failed inside the gateway");
  services.log.request({
    requestId: exchange.requestId,
    operation: exchange.operation,
    status,
    outcome: report.outcome,
    code: report.fault?.code,
    internal: report.fault?.details.internal,
    keyId: report.keyId,
    model: report.model,
    provider: report.provider,
    targetId: report.targetId,
    isStreaming: report.isStreaming,
    attempts: report.attempts,
    requestBytes: report.requestBytes,
    responseBytes: report.responseBytes,
    costUsd: report.costUsd,
    firstEventMs: rounded(report.firstEventMs),
    overheadMs: rounded(report.overheadMs),
    durationMs: rounded(durationMs),
  });
}

function leaveKey(byKey: Map<string, number>, keyId: string): void {
  const left = (byKey.get(keyId) ?? 1) - 1;
  if (left === 0) byKey.delete(keyId);
  else byKey.set(keyId, left);
}

function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value * 100) / 100;
}
