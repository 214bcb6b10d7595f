/** Stage 2: the body, up to its bound, and the facts in it. */
import type { IncomingMessage } from "node:http";
import type { Cancelled } from "../kernel/cancellation.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { releaseMemory } from "../kernel/memory.ts";
import type { Identified, Received } from "./exchange.ts";
import type { Services } from "./services.ts";

/**
 * @throws GatewayError `gateway_overloaded` before anything is read, since bodies are what fills the memory;
 *   `client_body_too_large`, `client_body_slow`, `client_body_incomplete`, `client_body_malformed`, `client_field_invalid`
 */
export async function receive(services: Services, identified: Identified): Promise<Received> {
  const { exchange } = identified;
  const { config } = exchange.snapshot;
  refuseBeyondLoad(services, identified);
  const encoding = exchange.request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity") {
    throw new GatewayError("client_body_malformed", { publicText: "Compressed request bodies are not read here; send the body without content-encoding." });
  }
  const timer = services.clock.after(config.timeouts.requestBodyMs, () => exchange.ending.cancel(new GatewayError("client_body_slow")));
  try {
    const { ingress } = exchange;
    const readFrom = services.clock.monotonic();
    const sent = await readBody(exchange.request, config.limits.bodyBytesMax, exchange.ending);
    exchange.report.uploadMs = services.clock.monotonic() - readFrom;
    const body = ingress.unpackCount?.(sent) ?? sent;
    const facts = exchange.dialect.inspect(body, ingress.url);
    const { report } = exchange;
    report.requestBytes = sent.length;
    report.model = facts.model;
    report.isStreaming = facts.isStreaming;
    return { ...identified, payload: { bytes: body }, facts };
  } finally {
    timer.cancel();
  }
}

/** One key's share is looked at as well, so that what floods the gateway is told so, and not those beside it. */
function refuseBeyondLoad({ load }: Services, { exchange, principal }: Identified): void {
  const { inFlightMax, inFlightPerKeyMax } = exchange.snapshot.config.limits;
  if (inFlightPerKeyMax !== undefined && (load.byKey.get(principal.keyId) ?? 0) > inFlightPerKeyMax) {
    throw new GatewayError("gateway_overloaded", { publicText: `This key has ${inFlightPerKeyMax} requests in work, which is as many as one key may have here.` });
  }
  if (load.inFlight > inFlightMax) throw new GatewayError("gateway_overloaded");
}

/**
 * Reads a body into one buffer: allocated once where its length was announced, since joining pieces of a large body costs
 * as much as scanning it.
 *
 * @param bytesMax refused above it, before reading when the length was announced
 */
export function readBody(request: IncomingMessage, bytesMax: number, ending: Cancelled): Promise<Buffer> {
  const announced = request.headers["content-length"];
  const length = announced === undefined ? undefined : Number(announced);
  if (length !== undefined && length > bytesMax) return Promise.reject(tooLarge(bytesMax));
  return new Promise((resolve, reject) => {
    let whole: Buffer | undefined;
    let received = 0;
    const pieces: Buffer[] = [];
    const settle = (outcome: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onBroken).off("close", onBroken);
      ending.remove(onEnding);
      outcome();
    };
    const onData = (bytes: Buffer): void => {
      const size = bytes.length;
      if (received + size > bytesMax) return settle(() => reject(tooLarge(bytesMax)));
      // A body that came in one piece is used as it is.
      if (received === 0 && bytes.length === length) whole = bytes;
      else if (length !== undefined) {
        whole ??= Buffer.allocUnsafeSlow(length);
        bytes.copy(whole, received);
        releaseMemory(bytes);
      } else pieces.push(bytes);
      received += size;
    };
    const onEnd = (): void => {
      if (length !== undefined && received !== length) return settle(() => reject(new GatewayError("client_body_incomplete")));
      // Nobody in front of us may have read them as part of the head, so nobody here does.
      if (request.rawTrailers.length > 0) return settle(() => reject(new GatewayError("client_request_malformed", { publicText: "Trailers are not taken." })));
      settle(() => resolve(whole ?? Buffer.concat(pieces, received)));
    };
    const onBroken = (): void => settle(() => reject(new GatewayError("client_closed")));
    const onEnding = (): void => settle(() => reject(ending.reason ?? new GatewayError("client_closed")));
    if (ending.reason !== undefined) return onEnding();
    ending.add(onEnding);
    request.on("data", onData).on("end", onEnd).on("error", onBroken).on("close", onBroken);
  });
}

function tooLarge(bytesMax: number): GatewayError {
  return new GatewayError("client_body_too_large", { publicText: `The request body is larger than the ${Math.floor(bytesMax / 1024 / 1024)} MiB this gateway accepts.` });
}
