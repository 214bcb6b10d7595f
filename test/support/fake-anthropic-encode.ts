/**
 * Turns an answer into bytes: genuine server-sent events, or the plain twin with the same usage. The bytes stay in chunks (one
 * per event) that know what has been delivered once they are out, so that faults and bills can be placed on them.
 */
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from "node:zlib";
import { outputCharacters } from "./fake-anthropic-answer.ts";
import type { Answer } from "./fake-anthropic-answer.ts";
import type { Signer } from "./fake-anthropic-signature.ts";
import type { AnswerBlock, Behaviour, Fault, JsonObject } from "./fake-anthropic-types.ts";

/** A piece of a reply's body and what the client holds when it has this piece. */
export interface Chunk {
  readonly bytes: Buffer;
  /** Characters of output delivered up to and with this piece. */
  readonly characters: number;
  readonly isStart: boolean;
  readonly isUsage: boolean;
  /** Kind of event, for placing faults: `text`, `tool` or anything else. */
  readonly kind: "start" | "text" | "tool" | "usage" | "stop" | "other";
}

/** The provider's shape of an id: a prefix and 22 letters or digits. */
export function makeId(prefix: string): string {
  return prefix + randomBytes(24).toString("base64").replace(/[+/=]/g, "A").slice(0, 22);
}

/** One event as bytes. */
export function eventBytes(event: string, data: JsonObject): Buffer {
  return Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** The error envelope of the API. */
export function errorEnvelope(errorType: string, message: string, requestId: string): JsonObject {
  return { type: "error", error: { type: errorType, message }, request_id: requestId };
}

/** Pieces of about `size` characters; a surrogate pair is never parted. */
function piecesOf(text: string, size: number): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + Math.max(1, size));
    if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1]!)) to += 1;
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}

/** Collects chunks and keeps count of what they deliver. */
class ChunkList {
  readonly chunks: Chunk[] = [];
  characters = 0;
  isUsage = false;
  #index = 0;

  add(event: string, data: JsonObject, kind: Chunk["kind"] = "other"): void {
    this.isUsage ||= kind === "usage";
    const bytes = eventBytes(event, { type: event, ...data });
    this.chunks.push({ bytes, characters: this.characters, isStart: true, isUsage: this.isUsage, kind });
  }

  delta(delta: JsonObject, kind: Chunk["kind"], characters: number): void {
    this.characters += characters;
    this.add("content_block_delta", { index: this.#index, delta }, kind);
  }

  block(start: JsonObject, deltas: () => void): void {
    this.add("content_block_start", { index: this.#index, content_block: start });
    deltas();
    this.add("content_block_stop", { index: this.#index });
    this.#index += 1;
  }
}

interface EncodeOptions {
  readonly signer: Signer;
  readonly behaviour: Behaviour;
}

function addBlock(list: ChunkList, block: AnswerBlock, { signer, behaviour, answer }: EncodeOptions & { answer: Answer }): void {
  const size = behaviour.deltaCharacters ?? 24;
  if (block.type === "text") {
    list.block({ type: "text", text: "" }, () => {
      for (const text of piecesOf(block.text, size)) list.delta({ type: "text_delta", text }, "text", text.length);
    });
  } else if (block.type === "thinking") {
    const shown = answer.isThinkingOmitted ? "" : block.thinking;
    list.block({ type: "thinking", thinking: "", signature: "" }, () => {
      for (const thinking of piecesOf(shown, size)) list.delta({ type: "thinking_delta", thinking }, "other", thinking.length);
      list.delta({ type: "signature_delta", signature: signer.sign(shown) }, "other", block.thinking.length - shown.length);
    });
  } else if (block.type === "redacted_thinking") {
    list.characters += outputCharacters(block);
    list.block({ type: "redacted_thinking", data: signer.sign("redacted") }, () => undefined);
  } else if (block.type === "fallback") {
    list.block(plainFallback(block), () => undefined);
  } else {
    list.characters += block.name.length;
    list.block({ type: "tool_use", id: block.id ?? makeId("toolu_01"), name: block.name, input: {} }, () => {
      list.delta({ type: "input_json_delta", partial_json: "" }, "other", 0);
      for (const json of piecesOf(JSON.stringify(block.input), 12)) list.delta({ type: "input_json_delta", partial_json: json }, "tool", json.length);
    });
  }
}

/** The answer as events. */
export function encodeStream(answer: Answer, { signer, behaviour }: EncodeOptions): Chunk[] {
  const list = new ChunkList();
  const { iterations, server_tool_use: serverToolUse, ...startUsage } = answer.usage;
  const hasUsage = behaviour.usage !== null;
  const message = { id: makeId("msg_01"), type: "message", role: "assistant", model: answer.startModel ?? answer.model, content: [], stop_reason: null, stop_sequence: null };
  list.add("message_start", { message: hasUsage ? { ...message, usage: { ...startUsage, output_tokens: Math.min(1, startUsage.output_tokens) } } : message }, "start");
  const ping = (): void => {
    for (let count = 0; count < (behaviour.pings ?? 1); count++) list.add("ping", {});
  };
  ping();
  answer.blocks.forEach((block, index) => {
    addBlock(list, block, { signer, behaviour, answer });
    if (behaviour.pings !== undefined && index < answer.blocks.length - 1) ping();
  });
  const { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens } = answer.usage;
  const usage = {
    input_tokens, cache_creation_input_tokens, cache_read_input_tokens, output_tokens,
    ...(serverToolUse === undefined ? {} : { server_tool_use: serverToolUse }),
    ...(iterations === undefined ? {} : { iterations }),
    ...behaviour.deltaUsage,
  };
  list.add("message_delta", { delta: { stop_reason: answer.stopReason, ...stopDetailsOf(answer), stop_sequence: null }, ...(hasUsage ? { usage } : {}) }, "usage");
  if (behaviour.isWithoutStop !== true) list.add("message_stop", {}, "stop");
  return list.chunks;
}

function stopDetailsOf({ stopDetails }: Answer): JsonObject {
  return stopDetails === undefined ? {} : { stop_details: stopDetails };
}

function plainFallback({ from, to, category }: Extract<AnswerBlock, { type: "fallback" }>): JsonObject {
  return { type: "fallback", from: { model: from }, to: { model: to }, trigger: { type: "refusal", category } };
}

function plainBlock(block: AnswerBlock, signer: Signer, isThinkingOmitted: boolean): JsonObject {
  switch (block.type) {
    case "text":
      return { type: "text", text: block.text };
    case "thinking": {
      const shown = isThinkingOmitted ? "" : block.thinking;
      return { type: "thinking", thinking: shown, signature: signer.sign(shown) };
    }
    case "redacted_thinking":
      return { type: "redacted_thinking", data: signer.sign("redacted") };
    case "fallback":
      return plainFallback(block);
    case "tool_use":
      return { type: "tool_use", id: block.id ?? makeId("toolu_01"), name: block.name, input: block.input };
    default:
      return {};
  }
}

/** The answer as one JSON document, parted before its usage and before its last byte. */
export function encodePlain(answer: Answer, { signer, behaviour }: EncodeOptions): Chunk[] {
  // What a model said before another took over is left out of plain replies.
  const lastHandover = answer.blocks.findLastIndex(({ type }) => type === "fallback");
  const content = answer.blocks.filter(({ type }, index) => index > lastHandover || type === "fallback").map((block) => plainBlock(block, signer, answer.isThinkingOmitted));
  const message = { id: makeId("msg_01"), type: "message", role: "assistant", model: answer.model, content, stop_reason: answer.stopReason, ...stopDetailsOf(answer), stop_sequence: null };
  const head = JSON.stringify(message).slice(0, -1);
  const usage = behaviour.usage === null ? "" : `,"usage":${JSON.stringify(answer.usage)}`;
  const characters = answer.blocks.reduce((sum, block) => sum + outputCharacters(block), 0);
  const chunk = (text: string, kind: Chunk["kind"], isUsage: boolean): Chunk => ({ bytes: Buffer.from(text), characters, isStart: isUsage, isUsage, kind });
  return [chunk(head, "text", false), chunk(usage, "usage", true), chunk("}", "stop", true)];
}

/** Chunk and place inside it that a phase means; `connect` and `headers` are byte 0. */
function chunkOf(chunks: readonly Chunk[], phase: Exclude<Fault["at"], object>): { readonly index: number; readonly isInside: boolean } {
  const middleOf = (kind: Chunk["kind"]): number => {
    const indexes = chunks.flatMap((chunk, index) => (chunk.kind === kind ? [index] : []));
    return indexes[Math.floor(indexes.length / 2)] ?? Math.floor(chunks.length / 2);
  };
  const usage = chunks.findIndex(({ kind }) => kind === "usage");
  switch (phase) {
    case "connect":
    case "headers":
      return { index: 0, isInside: false };
    case "first-event":
      return chunks[0]?.kind === "start" ? { index: 1, isInside: false } : { index: 0, isInside: true };
    case "mid-text":
      return { index: middleOf("text"), isInside: true };
    case "mid-tool-json":
      return { index: middleOf("tool"), isInside: true };
    case "before-usage":
      return { index: usage, isInside: false };
    case "after-usage":
      return { index: usage + 1, isInside: false };
    case "end":
      return { index: chunks.length, isInside: false };
    default:
      throw new Error(`unknown phase ${String(phase)}`);
  }
}

/** Body bytes that go out before the fault happens. */
export function faultByte(chunks: readonly Chunk[], fault: Fault): number {
  const isWhole = fault.isWholeEvents === true || fault.does === "error-event";
  if (typeof fault.at === "object") {
    const total = chunks.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const wanted = Math.min(fault.at.byte, total);
    if (!isWhole) return wanted;
    let border = 0;
    for (const { bytes } of chunks) if (border + bytes.length <= wanted) border += bytes.length; else break;
    return border;
  }
  const { index, isInside } = chunkOf(chunks, fault.at);
  const before = chunks.slice(0, index).reduce((sum, { bytes }) => sum + bytes.length, 0);
  return before + (isInside && !isWhole ? Math.floor((chunks[index]?.bytes.length ?? 0) / 2) : 0);
}

/** Compresses the chunks as one document, flushed after each, so that each still ends at a border. */
export async function compress(chunks: readonly Chunk[], encoding: NonNullable<Behaviour["encoding"]>): Promise<Chunk[]> {
  const make = { gzip: createGzip, br: createBrotliCompress, deflate: createDeflate, zstd: createZstdCompress }[encoding];
  const stream = make();
  const flushKind = { gzip: constants.Z_SYNC_FLUSH, br: constants.BROTLI_OPERATION_FLUSH, deflate: constants.Z_SYNC_FLUSH, zstd: constants.ZSTD_e_flush }[encoding];
  let collected: Buffer[] = [];
  stream.on("data", (bytes: Buffer) => collected.push(bytes));
  const flush = promisify((kind: number, done: () => void) => stream.flush(kind, done));
  const compressed: Chunk[] = [];
  for (const chunk of chunks) {
    stream.write(chunk.bytes);
    await flush(flushKind);
    compressed.push({ ...chunk, bytes: Buffer.concat(collected) });
    collected = [];
  }
  await new Promise<void>((resolve) => {
    stream.on("end", resolve);
    stream.end();
  });
  const last = compressed.at(-1);
  if (last !== undefined) compressed[compressed.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, ...collected]) };
  return compressed;
}
