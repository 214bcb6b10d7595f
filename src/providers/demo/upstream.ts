/**
 * The demo provider's upstream: a loopback listener that answers Messages requests with genuine SSE. It is a simulation and
 * says so in every answer; its token counts are rough and nobody bills them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A running demo upstream. */
export interface DemoUpstream {
  readonly url: string;
  close(): Promise<void>;
}

const bodyBytesMax = 32 * 1024 * 1024;

/** Listens on a free loopback port. */
export async function startDemoUpstream(): Promise<DemoUpstream> {
  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface MessagesBody {
  readonly model?: unknown;
  readonly stream?: unknown;
  readonly max_tokens?: unknown;
  readonly messages?: unknown;
  readonly output_config?: { readonly format?: { readonly type?: unknown } };
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? "").split("?")[0];
  const bytes = await readAll(request);
  let body: MessagesBody;
  try {
    body = JSON.parse(bytes.toString("utf8")) as MessagesBody;
  } catch {
    return sendJson(response, 400, { type: "error", error: { type: "invalid_request_error", message: "The request body is not valid JSON." } });
  }
  const inputTokens = Math.max(1, Math.ceil(bytes.length / 4));
  if (path === "/v1/messages/count_tokens") return sendJson(response, 200, { input_tokens: inputTokens });
  if (path !== "/v1/messages") return sendJson(response, 404, { type: "error", error: { type: "not_found_error", message: "Not found" } });
  if (!Array.isArray(body.messages)) return sendJson(response, 400, { type: "error", error: { type: "invalid_request_error", message: "messages: Field required" } });
  const words = answerTo(body).split(/(?<= )/);
  const message = {
    id: `msg_demo_${inputTokens}`,
    type: "message",
    role: "assistant",
    model: body.model,
    content: [] as unknown[],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: inputTokens, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 }, output_tokens: 1, service_tier: "standard" },
  };
  const usage = { ...message.usage, output_tokens: words.length };
  if (body.stream !== true) return sendJson(response, 200, { ...message, content: [{ type: "text", text: words.join("") }], stop_reason: "end_turn", usage });
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "request-id": "req_demo" });
  const event = (data: { type: string }): void => void response.write(`event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`);
  event({ type: "message_start", message } as { type: string });
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } } as { type: string });
  event({ type: "ping" });
  for (const text of words) event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } } as { type: string });
  event({ type: "content_block_stop", index: 0 } as { type: string });
  event({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage } as { type: string });
  event({ type: "message_stop" });
  response.end();
}

/** A request for structured output gets JSON, so that Claude Code's title call does not stumble. */
function answerTo(body: MessagesBody): string {
  if (body.output_config?.format?.type === "json_schema") return '{"title":"Tollgate demo"}';
  return (
    "This is Tollgate's built-in demo, not a model: no provider credential was found, so this answer is simulated. " +
    `Your request for ${String(body.model)} was authenticated, passed through, metered and written to the ledger. ` +
    "Set ANTHROPIC_API_KEY, or name a provider in tollgate.yaml, and restart to talk to Claude."
  );
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let total = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    total += piece.length;
    if (total > bodyBytesMax) throw new Error("body too large");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "request-id": "req_demo" });
  response.end(JSON.stringify(value));
}
