/**
 * Carries out one valid Messages request: picks between error, page and answer, writes the bill first, sends, and notes in the
 * bill what was not delivered.
 */
import type { ServerResponse } from "node:http";
import { planAnswer, tokensOf } from "./fake-anthropic-answer.ts";
import type { Answer, PromptCache } from "./fake-anthropic-answer.ts";
import type { Bill } from "./fake-anthropic-bill.ts";
import { compress, encodePlain, encodeStream, errorEnvelope, eventBytes, makeId } from "./fake-anthropic-encode.ts";
import type { Chunk } from "./fake-anthropic-encode.ts";
import { replyHeaders } from "./fake-anthropic-headers.ts";
import { send } from "./fake-anthropic-send.ts";
import type { Sent } from "./fake-anthropic-send.ts";
import type { Signer } from "./fake-anthropic-signature.ts";
import { isObject } from "./fake-anthropic-types.ts";
import type { Behaviour, BilledLine, JsonObject, RecordedRequest } from "./fake-anthropic-types.ts";

/** One request with everything its answer needs. */
export interface MessagesContext {
  readonly record: RecordedRequest;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly body: JsonObject;
  readonly bill: Bill;
  readonly signer: Signer;
  readonly cache: PromptCache;
  /** Puts an answer into the framing of another place; absent: Anthropic's own. */
  readonly reframe?: (reply: { readonly chunks: readonly Chunk[]; readonly isStreaming: boolean; readonly behaviour: Behaviour }) => { readonly chunks: Chunk[]; readonly headers: Readonly<Record<string, string>> };
}

const errorTypes: Readonly<Record<number, string>> = {
  400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
  413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
};

/** The API's error type for a status. */
export function errorTypeOf(status: number): string {
  return errorTypes[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
}

/** Sends a JSON document with an honest length. */
export function sendJson(response: ServerResponse, status: number, { headers, json }: { headers: Readonly<Record<string, string>>; json: JsonObject }): void {
  const bytes = Buffer.from(JSON.stringify(json));
  response.writeHead(status, { ...headers, "content-length": String(bytes.length) }).end(bytes);
}

/** Answers as the behaviour says; resolves when the reply has left or its socket has closed. */
export async function answerMessages(context: MessagesContext, behaviour: Behaviour): Promise<void> {
  const { response, requestId, body } = context;
  if (behaviour.isBilled === true && (behaviour.status !== undefined || behaviour.page !== undefined || behaviour.raw !== undefined)) {
    const { model, usage } = planAnswer(body, behaviour, context.cache);
    await writeBill(context, { model, usage });
  }
  if (behaviour.raw !== undefined) return void response.socket?.end(Buffer.from(behaviour.raw, "latin1"));
  if (behaviour.firstByteDelayMs !== undefined && (behaviour.status !== undefined || behaviour.page !== undefined)) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, behaviour.firstByteDelayMs);
      response.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (response.destroyed) return;
  }
  if (behaviour.status !== undefined) {
    const headers = { ...replyHeaders(requestId, "application/json"), ...behaviour.headers };
    return sendJson(response, behaviour.status, { headers, json: errorEnvelope(behaviour.errorType ?? errorTypeOf(behaviour.status), behaviour.message ?? `Scripted error ${behaviour.status}`, requestId) });
  }
  if (behaviour.page !== undefined) return sendPage(context, behaviour, behaviour.page);
  await sendAnswer(context, behaviour);
}

function sendPage({ response, requestId }: MessagesContext, behaviour: Behaviour, page: NonNullable<Behaviour["page"]>): void {
  const html = { contentType: "text/html; charset=utf-8", text: "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>" };
  const { contentType, text } = page === "html" ? html : page === "empty" ? { contentType: "application/json", text: "" } : page;
  response.writeHead(200, { ...replyHeaders(requestId, contentType), "content-length": String(Buffer.byteLength(text)), ...behaviour.headers }).end(text);
}

async function sendAnswer(context: MessagesContext, behaviour: Behaviour): Promise<void> {
  const { response, requestId, body, record, signer } = context;
  const isStreaming = body["stream"] === true;
  const answer = planAnswer(body, behaviour, context.cache);
  const isErrorFirst = behaviour.isErrorFirst === true && isStreaming;
  const isBilled = behaviour.isBilled ?? !isErrorFirst;
  const usage = behaviour.isBilled === true ? answer.usage : answer.billedUsage;
  const billId = isBilled && usage !== undefined ? await writeBill(context, { model: answer.model, usage }) : undefined;
  let chunks: Chunk[] = isErrorFirst ? [errorChunk(behaviour, requestId)] : isStreaming ? encodeStream(answer, { signer, behaviour }) : encodePlain(answer, { signer, behaviour });
  const framed = context.reframe?.({ chunks, isStreaming, behaviour });
  if (framed !== undefined) chunks = framed.chunks;
  const encoding = encodingOf(behaviour, record);
  if (encoding !== undefined) chunks = await compress(chunks, encoding);
  const headers = {
    ...(framed?.headers ?? replyHeaders(requestId, isStreaming ? "text/event-stream; charset=utf-8" : "application/json")),
    ...(encoding === undefined ? {} : { "content-encoding": encoding }),
    ...behaviour.headers,
  };
  if (response.destroyed) return noteFinal(context, billId, { outcome: "client_left", last: undefined });
  const sent = await send({ response, requestId, headers, chunks, behaviour, isStreaming });
  await noteFinal(context, billId, sent);
}

function errorChunk(behaviour: Behaviour, requestId: string): Chunk {
  const bytes = eventBytes("error", errorEnvelope(behaviour.errorType ?? "overloaded_error", behaviour.message ?? "Overloaded", requestId));
  return { bytes, characters: 0, isStart: false, isUsage: false, kind: "other" };
}

function encodingOf(behaviour: Behaviour, record: RecordedRequest): Behaviour["encoding"] {
  if (behaviour.encoding === undefined || behaviour.isEncodingNegotiated !== true) return behaviour.encoding;
  const offered = (record.headers["accept-encoding"] ?? "").split(",").map((part) => part.split(";", 1)[0]!.trim());
  return offered.includes(behaviour.encoding) ? behaviour.encoding : undefined;
}

/** On disk before the first reply byte: what a provider would charge for work it has begun. */
async function writeBill({ record, body, bill, requestId }: MessagesContext, { model, usage }: Pick<Answer, "model" | "usage">): Promise<string> {
  const billId = makeId("bill_");
  const correlation: Record<string, string> = {};
  for (const [name, value] of Object.entries(record.headers)) {
    if (/^(?:anthropic-test-|x-test-|x-claude-code-)/.test(name) && name !== "anthropic-test-behaviour") correlation[name] = value;
  }
  const userId = isObject(body["metadata"]) ? body["metadata"]["user_id"] : undefined;
  if (typeof userId === "string") correlation["user_id"] = userId;
  const line: BilledLine = {
    type: "billed",
    billId,
    requestId,
    model,
    isStreaming: body["stream"] === true,
    sessionId: record.headers["x-claude-code-session-id"] ?? null,
    testId: record.headers["anthropic-test-id"] ?? record.headers["x-test-id"] ?? null,
    correlation,
    usage,
    atMs: Date.now(),
  };
  await bill.append(line);
  return billId;
}

async function noteFinal({ bill }: MessagesContext, billId: string | undefined, { outcome, last }: Sent): Promise<void> {
  if (billId === undefined || outcome === "whole") return;
  await bill.append({
    type: "final",
    billId,
    outcome,
    outputTokensSent: last === undefined ? 0 : tokensOf(last.characters),
    isStartSent: last?.isStart ?? false,
    isUsageSent: last?.isUsage ?? false,
    atMs: Date.now(),
  });
}
