/** K6 on the data plane: a fault becomes the client's answer, in its dialect, or the one event that ends its stream. */
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { Exchange } from "./exchange.ts";
import type { Services } from "./services.ts";

/** Answers if nothing was sent yet; otherwise the stage that had begun to answer has ended the reply already. Never throws. */
export function refuse(services: Services, exchange: Exchange, fault: GatewayError): void {
  const { response, report, requestId } = exchange;
  report.fault = fault;
  if (fault.spec.blame !== "upstream" && fault.code !== "client_closed") services.refusals.count(fault.code, report.keyId);
  if (response.headersSent || response.destroyed) {
    if (!response.writableEnded) response.destroy();
    return;
  }
  const rendered = exchange.ingress.renderError(fault, requestId);
  const body = Buffer.from(rendered.body);
  response.writeHead(rendered.status, { ...rendered.headers, "x-tollgate-request-id": requestId, "content-length": body.length });
  response.end(body);
}
