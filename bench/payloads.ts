/**
 * The bytes of the benchmark: request bodies shaped like a coding agent's, and the mock upstream's replies in the
 * Anthropic Messages format. All are built once and are the same in every run.
 */
import { encodeFrame, encodeHeaders } from "../src/wire/event-stream.ts";

/** The model's name tells the mock which reply to give; the gateway forwards it unchanged. */
export const modelByReply = {
  plain: "claude-haiku-4-5",
  burst: "claude-sonnet-4-5",
  paced: "claude-opus-4-5",
  bedrock: "claude-bedrock-sonnet",
} as const;

/** Which reply a request asks the mock for. */
export type ReplyKind = keyof typeof modelByReply;

/** Events of a burst between the first and the last ones; with them the reply has about 25 KB. */
const burstDeltas = 195;

/** Headers as a coding agent sends them, apart from the credential and the host. */
export const clientHeaders: Readonly<Record<string, string>> = {
  accept: "application/json",
  "content-type": "application/json",
  "user-agent": "claude-cli/2.1.330 (external, cli)",
  "anthropic-version": "2023-06-01",
  "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
  "anthropic-dangerous-direct-browser-access": "true",
  "x-app": "cli",
  "x-claude-code-session-id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
};

/**
 * A Messages request of exactly `sizeBytes`: the model first, a growing conversation with tool calls, tool results and
 * non-ASCII text, `stream` last.
 *
 * @param sizeBytes at least 400
 */
export function requestBody(reply: ReplyKind, sizeBytes: number): Buffer {
  const head = `{"model":"${modelByReply[reply]}","max_tokens":1024,"system":[{"type":"text","text":"You are a careful engineer."}],"messages":[`;
  const tail = `],"stream":${reply !== "plain"}}`;
  let turns = "";
  for (let turn = 0; Buffer.byteLength(head + turns + tail) < sizeBytes - 2_200; turn += 1) turns += toolTurn(turn);
  const lastStart = `{"role":"user","content":"`;
  const lastEnd = `"}`;
  const missing = sizeBytes - Buffer.byteLength(head + turns + lastStart + lastEnd + tail);
  return Buffer.from(head + turns + lastStart + "Summarise. ".repeat(300).slice(0, missing) + lastEnd + tail);
}

/** One tool call with its result, about 1.6 KB, with quotes, line ends and non-ASCII text as source files have them. */
function toolTurn(turn: number): string {
  const line = `${turn}: const größe = measure("naïve – ${turn * 7919}"); // 測量\n`;
  const call = { type: "tool_use", id: `toolu_bench${turn}`, name: "Read", input: { file_path: `/src/part-${turn}.ts`, limit: 40 } };
  const result = { type: "tool_result", tool_use_id: `toolu_bench${turn}`, content: [{ type: "text", text: line.repeat(20) }] };
  return `${JSON.stringify({ role: "assistant", content: [call] })},${JSON.stringify({ role: "user", content: [result] })},`;
}

const usage = { input_tokens: 25, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1, service_tier: "standard" };

/** Reply headers as the provider sends them, as far as they cost a proxy something. */
const replyHeaders = [
  "date: Mon, 01 Jan 2024 00:00:00 GMT",
  "anthropic-ratelimit-requests-limit: 4000",
  "anthropic-ratelimit-requests-remaining: 3999",
  "anthropic-ratelimit-requests-reset: 2024-01-01T00:00:00Z",
  "request-id: req_011CBenchBenchBenchBench",
  "strict-transport-security: max-age=31536000; includeSubDomains; preload",
  "anthropic-organization-id: 00000000-0000-4000-8000-000000000000",
  "server: mock",
];

function message(model: string): Record<string, unknown> {
  return { id: "msg_01Bench", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null, usage };
}

function event(data: { readonly type: string; readonly [member: string]: unknown }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

function delta(text: string): string {
  return event({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } });
}

function opening(model: string): string[] {
  const block = { type: "text", text: "" };
  return [event({ type: "message_start", message: message(model) }), event({ type: "content_block_start", index: 0, content_block: block })];
}

function closing(outputTokens: number): string[] {
  const end = { stop_reason: "end_turn", stop_sequence: null };
  return [
    event({ type: "content_block_stop", index: 0 }),
    event({ type: "message_delta", delta: end, usage: { output_tokens: outputTokens } }),
    event({ type: "message_stop" }),
  ];
}

function responseHead(fields: readonly string[]): string {
  return `HTTP/1.1 200 OK\r\n${[...fields, ...replyHeaders].join("\r\n")}\r\n\r\n`;
}

const streamHead = responseHead(["content-type: text/event-stream; charset=utf-8", "cache-control: no-cache", "transfer-encoding: chunked"]);

/** The body of a plain reply, without its head. */
export const plainBody: string = JSON.stringify({
  ...message(modelByReply.plain),
  content: [{ type: "text", text: "The tests pass. I changed two files and left the rest alone." }],
  stop_reason: "end_turn",
  usage: { ...usage, output_tokens: 17 },
});

/** The events of a burst, without head and chunk framing. */
export const burstEvents: readonly string[] = [
  ...opening(modelByReply.burst),
  ...Array.from({ length: burstDeltas }, (_, index) => delta(` word${index}`)),
  ...closing(burstDeltas),
];

const frameHeaders = encodeHeaders({ ":event-type": "chunk", ":content-type": "application/json", ":message-type": "event" });

/** One event in AWS's framing, as Bedrock sends it. */
function frame(text: string): Buffer {
  const data = /^data: (.*)$/m.exec(text)?.[1] ?? "";
  const bytes = encodeFrame(frameHeaders, Buffer.from(JSON.stringify({ bytes: Buffer.from(data).toString("base64") })));
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

const framedHead = responseHead(["content-type: application/vnd.amazon.eventstream", "transfer-encoding: chunked"]);

/** Whole replies and parts of replies as they go on the wire, one HTTP chunk per event. */
export const wireReplies = {
  plain: Buffer.from(responseHead(["content-type: application/json", `content-length: ${Buffer.byteLength(plainBody)}`]) + plainBody),
  burst: Buffer.from(streamHead + burstEvents.map(chunk).join("") + "0\r\n\r\n"),
  bedrock: Buffer.concat([Buffer.from(framedHead), ...burstEvents.map(frame), Buffer.from("0\r\n\r\n")]),
  pacedStart: Buffer.from(streamHead + opening(modelByReply.paced).map(chunk).join("")),
  pacedEvent: Buffer.from(chunk(delta(" a paced word"))),
  pacedEnd: Buffer.from(`${closing(100).map(chunk).join("")}0\r\n\r\n`),
} as const;
