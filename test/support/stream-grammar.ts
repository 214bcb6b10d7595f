/**
 * An independent judge of Anthropic message streams: reads bytes by its own code and says whether they are a whole, legal
 * conversation of events, and what they amount to. Tests hold every stream a gateway emits against it.
 */

/** One event as sent. */
export interface GrammarEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A legal stream: `outcome` tells whether it ended in `message_stop` or in one `error` event. */
export interface GrammarPass {
  readonly ok: true;
  readonly outcome: "stop" | "error";
  readonly events: readonly GrammarEvent[];
  /** All text deltas, in order. */
  readonly text: string;
  readonly thinking: string;
  /** Tools that were called in finished blocks, with their parsed input. */
  readonly toolUses: readonly { readonly id: string; readonly name: string; readonly input: unknown }[];
  /** Members of `message_start.message.usage`, each replaced by the last non-null one of `message_delta.usage`. */
  readonly usage: Readonly<Record<string, unknown>>;
  readonly model: string | undefined;
  readonly stopReason: string | undefined;
  /** `error` member of the final `error` event. */
  readonly error: { readonly type: string; readonly message: string } | undefined;
  readonly pings: number;
}

/** An illegal stream and the first thing that is wrong with it. */
export interface GrammarFailure {
  readonly ok: false;
  readonly problem: string;
  /** Events read before the problem. */
  readonly events: readonly GrammarEvent[];
}

class Illegal extends Error {}

function demand(isTrue: boolean, problem: string): asserts isTrue {
  if (!isTrue) throw new Illegal(problem);
}

type Members = Record<string, unknown>;

function membersOf(value: unknown, where: string): Members {
  demand(typeof value === "object" && value !== null && !Array.isArray(value), `${where} is no object`);
  return value as Members;
}

/** Splits the bytes into blocks of lines; a tail without its blank line is a problem, not an event. */
function* blocksOf(bytes: Buffer): Generator<string[]> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Illegal("bytes are not UTF-8");
  }
  let lines: string[] = [];
  let from = 0;
  while (from < text.length) {
    const feed = text.indexOf("\n", from);
    demand(feed !== -1, `the stream ends inside a line: ${JSON.stringify(text.slice(from, from + 80))}`);
    const line = text.slice(from, text[feed - 1] === "\r" && feed > from ? feed - 1 : feed);
    from = feed + 1;
    if (line !== "") lines.push(line);
    else if (lines.length > 0) {
      yield lines;
      lines = [];
    }
  }
  demand(lines.length === 0, "the stream ends inside an event");
}

/** Undefined for a block of comments only. */
function eventOf(lines: readonly string[]): GrammarEvent | undefined {
  let event: string | undefined;
  const data: string[] = [];
  for (const line of lines) {
    if (line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    demand(field === "event" || field === "data", `unknown field ${field}`);
    if (field === "data") data.push(value);
    else {
      demand(event === undefined, "an event names its type twice");
      event = value;
    }
  }
  if (event === undefined && data.length === 0) return undefined;
  demand(event !== undefined, "an event has no type line");
  demand(data.length > 0, `${event} has no data`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(data.join("\n"));
  } catch {
    throw new Illegal(`data of ${event} is no JSON`);
  }
  const members = membersOf(parsed, `data of ${event}`);
  demand(members["type"] === event, `event ${event} holds data of type ${String(members["type"])}`);
  return { event, data: members };
}

/** Which deltas a block of this type may receive. */
const deltasOf: Readonly<Record<string, readonly string[]>> = {
  text: ["text_delta", "citations_delta"],
  thinking: ["thinking_delta", "signature_delta"],
  tool_use: ["input_json_delta"],
  server_tool_use: ["input_json_delta"],
  mcp_tool_use: ["input_json_delta"],
  compaction: ["compaction_delta"],
};

/** Walks through the events and keeps what they amount to. */
class Conversation {
  readonly events: GrammarEvent[] = [];
  readonly toolUses: { id: string; name: string; input: unknown }[] = [];
  text = "";
  thinking = "";
  usage: Members = {};
  model: string | undefined;
  stopReason: string | undefined;
  error: { type: string; message: string } | undefined;
  pings = 0;
  /** Index and type of the open block, with the JSON it has received. */
  #block: { index: number; type: string; json: string; start: Members; isSigned: boolean } | undefined;
  #nextIndex = 0;
  #state: "before" | "open" | "closing" | "ended" = "before";

  take(event: GrammarEvent): void {
    demand(this.#state !== "ended", `${event.event} after the end of the stream`);
    this.events.push(event);
    const { data } = event;
    if (event.event === "ping") this.pings += 1;
    else if (event.event === "error") this.#takeError(data);
    else if (event.event === "message_start") this.#takeStart(data);
    else {
      demand(this.#state !== "before", `${event.event} before message_start`);
      if (event.event === "content_block_start") this.#openBlock(data);
      else if (event.event === "content_block_delta") this.#takeDelta(data);
      else if (event.event === "content_block_stop") this.#closeBlock(data);
      else if (event.event === "message_delta") this.#takeMessageDelta(data);
      else if (event.event === "message_stop") this.#takeStop();
      else throw new Illegal(`unknown event ${event.event}`);
    }
  }

  outcome(): "stop" | "error" {
    demand(this.events.length > 0, "the stream is empty");
    demand(this.#state === "ended", "the stream ends without message_stop or error");
    return this.error === undefined ? "stop" : "error";
  }

  #takeError(data: Members): void {
    const { type, message } = membersOf(data["error"], "error");
    demand(typeof type === "string" && typeof message === "string", "error has no type or message");
    this.error = { type, message };
    this.#state = "ended";
  }

  #takeStart(data: Members): void {
    demand(this.#state === "before", "second message_start");
    this.#state = "open";
    const message = membersOf(data["message"], "message_start.message");
    demand(message["type"] === "message" && message["role"] === "assistant", "message_start holds no assistant message");
    demand(typeof message["id"] === "string" && typeof message["model"] === "string", "message_start has no id or model");
    demand(Array.isArray(message["content"]), "message_start has no content array");
    this.model = message["model"];
    if (message["usage"] !== undefined) this.#mergeUsage(message["usage"]);
  }

  #openBlock(data: Members): void {
    demand(this.#state === "open", "content_block_start after message_delta");
    demand(this.#block === undefined, `block ${String(data["index"])} opens inside block ${this.#block?.index}`);
    demand(data["index"] === this.#nextIndex, `block index is ${String(data["index"])}, expected ${this.#nextIndex}`);
    const start = membersOf(data["content_block"], "content_block");
    demand(typeof start["type"] === "string", "content_block has no type");
    this.#block = { index: this.#nextIndex, type: start["type"], json: "", start, isSigned: false };
    this.#nextIndex += 1;
    if (typeof start["text"] === "string") this.text += start["text"];
    if (typeof start["thinking"] === "string") this.thinking += start["thinking"];
  }

  #takeDelta(data: Members): void {
    const block = this.#block;
    demand(block !== undefined, "content_block_delta without an open block");
    demand(data["index"] === block.index, `delta for block ${String(data["index"])}, open is ${block.index}`);
    const delta = membersOf(data["delta"], "delta");
    const type = String(delta["type"]);
    demand(deltasOf[block.type]?.includes(type) === true, `${type} in a block of type ${block.type}`);
    if (type === "citations_delta" || type === "compaction_delta") return;
    const value = delta[{ text_delta: "text", thinking_delta: "thinking", signature_delta: "signature", input_json_delta: "partial_json" }[type] ?? ""];
    demand(typeof value === "string", `${type} has no value`);
    demand(!block.isSigned, "a delta after the signature");
    if (type === "text_delta") this.text += value;
    else if (type === "thinking_delta") this.thinking += value;
    else if (type === "input_json_delta") block.json += value;
    else block.isSigned = true;
  }

  #closeBlock(data: Members): void {
    const block = this.#block;
    demand(block !== undefined, "content_block_stop without an open block");
    demand(data["index"] === block.index, `stop of block ${String(data["index"])}, open is ${block.index}`);
    this.#block = undefined;
    if (block.type === "tool_use") {
      const { id, name } = block.start;
      demand(typeof id === "string" && typeof name === "string", "tool_use has no id or name");
      this.toolUses.push({ id, name, input: toolInput(block.json, block.start["input"]) });
    }
  }

  #takeMessageDelta(data: Members): void {
    demand(this.#block === undefined, "message_delta inside an open block");
    this.#state = "closing";
    const { stop_reason: reason } = membersOf(data["delta"], "message_delta.delta");
    if (typeof reason === "string") this.stopReason = reason;
    if (data["usage"] !== undefined && data["usage"] !== null) this.#mergeUsage(data["usage"]);
  }

  #takeStop(): void {
    demand(this.#block === undefined, "message_stop inside an open block");
    demand(this.#state === "closing", "message_stop without message_delta");
    this.#state = "ended";
  }

  #mergeUsage(usage: unknown): void {
    for (const [name, value] of Object.entries(membersOf(usage, "usage"))) {
      if (value !== null || !(name in this.usage)) this.usage[name] = value;
    }
  }
}

function toolInput(json: string, start: unknown): unknown {
  if (json === "") return start ?? {};
  try {
    return JSON.parse(json) as unknown;
  } catch {
    throw new Illegal("input of a finished tool_use is no JSON");
  }
}

/**
 * Judges the whole body of a streamed reply (decompressed, without HTTP framing).
 *
 * Legal is: first event besides pings is `message_start` or `error`; at most one `message_start`; blocks open with the next
 * index, one at a time, and get only deltas of their type; `message_delta` with no block open; the end is `message_stop` or
 * exactly one `error`, nothing behind it; whole events only. Comments and pings may stand between events.
 *
 * @source Anthropic Messages streaming format, reference/claude-code.md §4
 */
export function checkStreamGrammar(bytes: Buffer): GrammarPass | GrammarFailure {
  const conversation = new Conversation();
  try {
    for (const lines of blocksOf(bytes)) {
      const event = eventOf(lines);
      if (event !== undefined) conversation.take(event);
    }
    const outcome = conversation.outcome();
    const { events, text, thinking, toolUses, usage, model, stopReason, error, pings } = conversation;
    return { ok: true, outcome, events, text, thinking, toolUses, usage, model, stopReason, error, pings };
  } catch (error) {
    if (error instanceof Illegal) return { ok: false, problem: error.message, events: conversation.events };
    throw error;
  }
}
