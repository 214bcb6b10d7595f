/**
 * `count_tokens`: the same stages up to the plan, then straight to the upstream's own endpoint through the dialer's system
 * door. Never guessed, never billed, so it has no entry in the ledger.
 */
import { asGatewayError, GatewayError } from "../kernel/gateway-error.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import { decodeWhole } from "../wire/content-coding.ts";
import { forwardableReplyHeaders, headerValue, withoutHeader } from "../wire/headers.ts";
import { buildRequest, forgoBeta } from "./attempt.ts";
import { choose } from "./choose.ts";
import { inClientsForm } from "./error-form.ts";
import type { Exchange, Planned, PlannedTarget } from "./exchange.ts";
import { isPassingFault } from "./first-content.ts";
import { identify } from "./identify.ts";
import { operatorWords } from "./operator-words.ts";
import { takeTurn, type Turn } from "./limits.ts";
import { plan } from "./plan.ts";
import { receive } from "./receive.ts";
import { refuse } from "./refuse.ts";
import { finish, start } from "./report.ts";
import type { Services } from "./services.ts";
import { collectReply, credentialRejected, told } from "./verdict.ts";

const replyBytesMax = 1024 * 1024;

/** Serves one `count_tokens` request to its end. Never rejects. */
export async function handleCountTokens(services: Services, exchange: Exchange): Promise<void> {
  const watch = start(services, exchange);
  let turn: Turn | undefined;
  try {
    const planned = choose(services, plan(await receive(services, identify(services, exchange))));
    turn = takeTurn(services, planned);
    const { reply, body: counted, loss, sentAt, target } = await countSomewhere(services, planned);
    const { headers: replyHeaders, added, body } = await inClientsForm(exchange.ingress, reply, counted);
    const readyAt = services.clock.monotonic();
    const headers = [...countHeaders({ status: reply.status, headers: replyHeaders }, target, exchange), ...added];
    if (loss.length > 0) headers.push("x-tollgate-loss", loss.join(", "));
    const overheadMs = sentAt - exchange.startedAt - exchange.report.uploadMs + (services.clock.monotonic() - readyAt);
    exchange.report.overheadMs = overheadMs;
    exchange.report.responseBytes = body.length;
    headers.push("x-tollgate-request-id", exchange.requestId, "x-tollgate-overhead-ms", overheadMs.toFixed(2), "x-litellm-call-id", exchange.requestId, "x-litellm-model-id", target.target.id);
    if (planned.notice !== undefined) headers.push("x-tollgate-notice", planned.notice);
    exchange.response.writeHead(reply.status, headers);
    exchange.response.end(body);
  } catch (fault) {
    refuse(services, exchange, asGatewayError(fault));
  } finally {
    turn?.leave();
    finish(services, exchange, watch);
  }
}

/**
 * The first target's answer, or where it fails the next one's. The model's circuits learn nothing of it: a place may count badly and answer well.
 *
 * @throws GatewayError the last one's fault
 */
async function countSomewhere(services: Services, planned: Planned): Promise<Counted> {
  const { exchange, targets } = planned;
  const { retryBudget } = services.routing;
  retryBudget.call();
  const mayGoOn = (index: number): boolean => index + 1 < Math.min(targets.length, exchange.snapshot.config.routing.attemptsMax) && exchange.ending.reason === undefined && retryBudget.take();
  for (let index = 0; ; index++) {
    const target = targets[index]!;
    exchange.report.provider = target.place.name;
    exchange.report.targetId = target.target.id;
    try {
      const count = await countAt(services, planned, target);
      const { status } = count.reply;
      if (status < 400 || target.place.provider.classify(status, target.target.credential === "client") !== "retryable" || !mayGoOn(index)) return count;
    } catch (cause) {
      const fault = asGatewayError(cause);
      if (!isPassingFault(fault) || !mayGoOn(index)) throw fault;
    }
  }
}

/** @throws GatewayError when there is no reply, or none that may be passed on as it is */
async function countAt(services: Services, planned: Planned, target: PlannedTarget): Promise<Counted> {
  const count = await askFor(services, planned, target);
  const { refused } = count;
  if (refused === undefined) return count;
  if (!forgoBeta(services, planned, { plannedTarget: target, refusedBeta: refused.beta, loss: count.loss })) throw refused.fault;
  const without = await askFor(services, planned, target);
  if (without.refused !== undefined) throw without.refused.fault;
  return without;
}

/** One try, with its reply read whole. */
interface Counted {
  readonly target: PlannedTarget;
  readonly reply: UpstreamReply;
  readonly body: Buffer;
  readonly loss: readonly string[];
  /** Monotonic. */
  readonly sentAt: number;
  /** The place may count without this beta. */
  readonly refused: RefusedBeta | undefined;
}

interface RefusedBeta {
  readonly beta: string;
  /** What the client is told where there is no other try. */
  readonly fault: GatewayError;
}

/** @throws GatewayError when there is no reply, or none that may be passed on as it is */
async function askFor(services: Services, planned: Planned, target: PlannedTarget): Promise<Counted> {
  const { exchange } = planned;
  exchange.report.attempts += 1;
  const { outbound, loss } = await buildRequest(services, planned, target);
  const sentAt = services.clock.monotonic();
  const reply = await services.dialer.system("count_tokens", outbound, exchange.ending);
  const read = await readCount(reply, target, planned);
  return { target, reply, loss, sentAt, ...(Buffer.isBuffer(read) ? { body: read, refused: undefined } : { body: Buffer.alloc(0), refused: read }) };
}

/** @throws GatewayError when the reply may not be passed on as it is */
async function readCount(reply: UpstreamReply, planned: PlannedTarget, { exchange, payload }: Planned): Promise<Buffer | RefusedBeta> {
  const { place, target } = planned;
  const { provider } = place;
  const ownsCredential = target.credential === "client";
  const giveUp = (fault: GatewayError): GatewayError => {
    reply.abort();
    return fault;
  };
  if (reply.status >= 400 && provider.judge === undefined && provider.classify(reply.status, ownsCredential) === "credential") throw giveUp(credentialRejected(planned, reply.status, ""));
  if (reply.status === 200 && headerValue(reply.headers, "content-type")?.toLowerCase().startsWith("application/json") !== true) throw giveUp(invalidReply("count_tokens answered without JSON"));
  if (reply.status >= 300 && reply.status < 400) throw giveUp(invalidReply(`redirect with status ${reply.status}`));
  const body = await collectReply(reply, replyBytesMax);
  if (reply.status >= 400 && provider.judge !== undefined) {
    const decoded = (await decodeWhole(headerValue(reply.headers, "content-encoding"), body, replyBytesMax)) ?? body;
    const verdict = provider.judge({ status: reply.status, headers: reply.headers, body: decoded, ownsCredential });
    if (verdict.replyClass === "credential") throw credentialRejected(planned, reply.status, "");
    if (verdict.refusedBeta !== undefined) return { beta: verdict.refusedBeta, fault: told(verdict, reply, operatorWords(decoded, payload.bytes)) };
    if (verdict.told !== undefined) throw told(verdict, reply, operatorWords(decoded, payload.bytes));
  }
  if (reply.status !== 200) return body;
  if (body.length === 0) throw invalidReply("count_tokens answered with nothing");
  return reshaped(reply, planned, exchange) ? await reshapeCount(reply, planned, exchange, body) : body;
}

/** Whether the count is written differently at the two ends. */
function reshaped(reply: Pick<UpstreamReply, "status">, { place }: PlannedTarget, { ingress }: Exchange): boolean {
  return reply.status === 200 && (place.provider.countReply !== undefined || ingress.packCount !== undefined);
}

async function reshapeCount(reply: UpstreamReply, { place }: PlannedTarget, { ingress }: Exchange, body: Buffer): Promise<Buffer> {
  const decoded = await decodeWhole(headerValue(reply.headers, "content-encoding"), body, replyBytesMax);
  if (decoded === undefined) throw invalidReply("count_tokens answered in an unknown coding");
  try {
    const counted = place.provider.countReply?.(decoded) ?? decoded;
    return ingress.packCount?.(counted) ?? counted;
  } catch {
    // The parser's own message would quote the reply.
    throw invalidReply("count_tokens answered unreadably");
  }
}

/** A count that was rewritten has another length, and no coding. */
function countHeaders(reply: Pick<UpstreamReply, "status" | "headers">, planned: PlannedTarget, exchange: Exchange): string[] {
  let headers = forwardableReplyHeaders(reply.headers, planned.target.credential === "client");
  if (reshaped(reply, planned, exchange)) headers = withoutHeader(withoutHeader(headers, "content-length"), "content-encoding");
  if (headerValue(headers, exchange.ingress.requestIdHeader) === undefined) headers.push(exchange.ingress.requestIdHeader, exchange.requestId);
  return headers;
}

function invalidReply(internal: string): GatewayError {
  return new GatewayError("upstream_reply_invalid", { internal });
}
