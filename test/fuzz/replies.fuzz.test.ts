/**
 * Guarantee: whatever an upstream sends, in whatever pieces, the gateway lives; a stream that its client gets is the upstream's
 * own up to an event's border, and ends as the upstream ended it or in exactly one typed error; a stream made of frames is always a
 * legal conversation; a plain reply is the upstream's or a typed error; each attempt is closed once, with whole, sane figures;
 * and nothing is held afterwards.
 */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { chunkFrame, exceptionFrame } from "../support/fake-bedrock-frames.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { createParser } from "../support/sse-oracle.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { readStream, type ReadStream } from "../e2e/cloud-stage.ts";
import { openCall, type OpenReply } from "../e2e/stage.ts";
import { cutUp, damage, damageOften, fuzz, type Random } from "./fuzzing.ts";

/** What the upstream sends in answer to a round's request. */
interface Script {
  readonly pieces: readonly Buffer[];
  /** Closes behind them, properly or not. */
  readonly end: "fin" | "reset" | "keep";
}

/** One round: what goes out, and what of it can be said beforehand. */
interface Plan {
  readonly script: Script;
  /** Body bytes as the gateway's parser of HTTP must see them; undefined where the head was damaged. */
  readonly body: Buffer | undefined;
  readonly kind: "sse" | "plain" | "frames";
  readonly isIntact: boolean;
  /** The upstream itself means something wrong, with checksums that fit. */
  readonly isStrange: boolean;
}

const scripts = new Map<string, Script>();
let harness: Harness;
let key = "";
let requestsSeen = 0;
const open = new Set<Socket>();
const closers: (() => void)[] = [];

/** Reads a request to its end and answers with what its round has planned; the round stands in the body. */
async function startUpstream(): Promise<number> {
  const server = createServer((socket) => {
    let received = "";
    open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => open.delete(socket));
    socket.on("data", (bytes) => {
      received += bytes.toString("latin1");
      const head = received.indexOf("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(received)?.[1]);
      if (head === -1 || received.length < head + 4 + length) return;
      const round = /round-\d+/.exec(received.slice(head))?.[0] ?? "";
      received = "";
      requestsSeen += 1;
      send(socket, scripts.get(round));
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  closers.push(() => void server.close());
  return (server.address() as AddressInfo).port;
}

function send(socket: Socket, script: Script | undefined): void {
  if (script === undefined) return void socket.destroy();
  let at = 0;
  const next = (): void => {
    if (socket.destroyed) return;
    const piece = script.pieces[at];
    at += 1;
    if (piece !== undefined) {
      socket.write(piece);
      return void setImmediate(next);
    }
    if (script.end === "fin") socket.end();
    else if (script.end === "reset") socket.resetAndDestroy();
  };
  next();
}

beforeAll(async () => {
  const url = `http://127.0.0.1:${await startUpstream()}`;
  // Sound replies come from a place of their own: a connection that a damaged one has ended may not be theirs.
  const sound = `http://127.0.0.1:${await startUpstream()}`;
  const bedrock = (at: string): string => `{kind: bedrock, region: us-east-1, endpoint: "${at}", api_key: bedrock-login-0123456789}`;
  harness = await startHarness({
    upstreamUrl: url,
    file: [
      "listen: {port: 0}",
      `admin: {key: "${adminKey}"}`,
      "logging: {level: silent}",
      "timeouts: {first_byte_stream: 2s, first_byte_plain: 2s, idle: 1s}",
      `providers: {anthropic: {kind: anthropic, base_url: "${url}", api_key: "${upstreamKey}"}, bedrock: ${bedrock(url)}, sound-anthropic: {kind: anthropic, base_url: "${sound}", api_key: "${upstreamKey}"}, sound-bedrock: ${bedrock(sound)}}`,
      `models: [${["anthropic", "bedrock", "sound-anthropic", "sound-bedrock"].map((provider) => `{name: ${provider}-claude, provider: ${provider}, model: claude-opus-4-8}`).join(", ")}]`,
    ].join("\n"),
  });
  key = await harness.key();
});

afterAll(async () => {
  await harness.close();
  for (const close of closers) close();
  for (const socket of open) socket.destroy();
});

const usage = { input_tokens: 25, cache_creation_input_tokens: 100, cache_read_input_tokens: 1000, cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 60 }, output_tokens: 3, service_tier: "standard" };
const message = { id: "msg_01", type: "message", role: "assistant", model: "claude-opus-4-8", content: [], stop_reason: null, stop_sequence: null, usage };

/** A conversation with a text, a thought and a tool call, in pieces of any length. */
function eventsFrom(random: Random): string[] {
  const events: object[] = [{ type: "message_start", message }, { type: "ping" }];
  const texts = ["Hello", "“quotes”, é and \u0000", 'a "message_stop" and \n"usage"', "x".repeat(random.below(3_000)), "🙂", ""];
  const blocks = 1 + random.below(3);
  for (let index = 0; index < blocks; index++) {
    const type = random.pick(["text", "thinking", "tool_use"] as const);
    const start = { text: { type, text: "" }, thinking: { type, thinking: "", signature: "" }, tool_use: { type, id: `toolu_${index}`, name: "Bash", input: {} } }[type];
    events.push({ type: "content_block_start", index, content_block: start });
    const deltas = type === "tool_use" ? ['{"command":', '"ls"}'] : Array.from({ length: 1 + random.below(6) }, () => random.pick(texts));
    for (const text of deltas) events.push({ type: "content_block_delta", index, delta: { text: { type: "text_delta", text }, thinking: { type: "thinking_delta", thinking: text }, tool_use: { type: "input_json_delta", partial_json: text } }[type] });
    events.push({ type: "content_block_stop", index });
  }
  events.push({ type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { ...usage, output_tokens: 40 + random.below(500) } }, { type: "message_stop" });
  return events.map((event) => JSON.stringify(event));
}

const asSse = (json: string): string => `event: ${(JSON.parse(json) as { type: string }).type}\ndata: ${json}\n\n`;

/** Usage that no upstream should send. */
function strangeJson(json: string, random: Random): string {
  return json.replace(/"(input_tokens|output_tokens|ephemeral_1h_input_tokens|cache_read_input_tokens)":\d+/g, (whole, name: string) => (random.chance(0.5) ? whole : `"${name}":${random.pick(["-5", "1e400", "1.5", "null", '"7"', "9007199254740993", "99999999999999999999", "-0", "[]", "{}", "true", "1e15"])}`));
}

/** The right frame around the wrong thing, so that checksums do not hide it. */
function strangeFrame(json: string, random: Random): Buffer {
  const wrong: readonly (() => Buffer)[] = [
    () => chunkFrame(damage(Buffer.from(json), random).toString("latin1")),
    () => chunkFrame(json.replace('{"type":"', random.pick(['{"type":"\\q', '{"type":"\\u12', '{"type": "a\n', '{"type":1e,"x":"', '{"type":[', '{"typ\\u0065":"', '{ "type" : "']))),
    () => chunkFrame(strangeJson(json, random)),
    () => chunkFrame(random.pick(["", "{}", "[]", "null", '{"type":null}', '{"type":""}', '"message_stop"', '{"type":"message_stop"', `{"type":"${"x".repeat(100)}"}`, '{"type":"error","error":{"type":"overloaded_error","message":"x"}}'])),
    () => exceptionFrame(random.pick(["throttlingException", "validationException", "", "x y"]), random.pick(["", "Input is too long", "\r\n", "arn:aws:iam::1:role/x"])),
  ];
  return random.pick(wrong)();
}

function planFrom(random: Random): Plan {
  const kind = random.pick(["sse", "frames", "plain"] as const);
  const isIntact = random.chance(0.1);
  const events = eventsFrom(random);
  const isStrange = !isIntact && random.chance(0.5);
  let body: Buffer;
  if (kind === "sse") body = Buffer.from(events.map((json) => asSse(isStrange && random.chance(0.2) ? strangeJson(json, random) : json)).join(""));
  else if (kind === "frames") body = Buffer.concat(events.map((json) => (isStrange && random.chance(0.2) ? strangeFrame(json, random) : chunkFrame(json))));
  else body = Buffer.from(strangeJson(JSON.stringify({ ...message, content: [{ type: "text", text: "Hello" }], stop_reason: "end_turn" }), isStrange ? random : neverStrange));
  if (!isIntact && random.chance(0.85)) body = damageOften(body, random);
  const types = { sse: "text/event-stream; charset=utf-8", frames: "application/vnd.amazon.eventstream", plain: "application/json" };
  const status = isIntact || random.chance(0.95) ? 200 : random.pick([400, 429, 500, 529, 204, 302, 999]);
  const isChunked = random.chance(0.6);
  let head = `HTTP/1.1 ${status} X\r\ncontent-type: ${types[kind]}\r\nrequest-id: req_upstream\r\n${isChunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`}\r\n\r\n`;
  const framed = isChunked ? Buffer.concat([...cutUp(body, random).map((piece) => Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])), Buffer.from("0\r\n\r\n")]) : body;
  const isHeadDamaged = !isIntact && random.chance(0.08);
  if (isHeadDamaged) head = damageOften(Buffer.from(head), random).toString("latin1");
  const isCut = !isIntact && random.chance(0.1);
  const whole = Buffer.concat([Buffer.from(head, "latin1"), framed]);
  const sent = isCut ? whole.subarray(0, random.below(whole.length)) : whole;
  const end = isIntact ? "keep" : random.pick(["fin", "fin", "fin", "reset"] as const);
  return { script: { pieces: cutUp(sent, random), end }, body: isHeadDamaged || isCut || end === "reset" || status !== 200 ? undefined : body, kind, isIntact, isStrange };
}

const neverStrange: Random = { next: () => 0, below: () => 0, pick: (values) => values[0]!, chance: () => true };

/** Anthropic's error, as the gateway or the upstream tells it. */
function isTypedError(value: unknown): boolean {
  const { type, error } = (value ?? {}) as { type?: unknown; error?: { type?: unknown; message?: unknown } };
  return type === "error" && typeof error?.type === "string" && typeof error.message === "string";
}

function checkStream(reply: OpenReply, isComplete: boolean, plan: Plan): void {
  const bytes = reply.bytes();
  expect(isComplete, "a stream must end properly").toBe(true);
  const events = createParser(bytes.toString("utf8"));
  const ends = events.filter(({ data }) => ["message_stop", "error"].includes(typeOf(data)));
  expect(ends.length, "a stream without an end").toBeGreaterThan(0);
  const last = events.at(-1)!;
  if (plan.kind === "frames") return;
  // Pings of the gateway's own come after seconds only, so all but one last error is the upstream's, byte for byte.
  if (plan.body === undefined) return;
  if (bytes.equals(plan.body)) return;
  // What the upstream began behind the last event is left out, and nothing is said about it.
  if (plan.body.subarray(0, bytes.length).equals(bytes)) return;
  expect(ends.length, "an error behind the end").toBe(1);
  expect(isTypedError(JSON.parse(last.data)), "a stream cut short without an error").toBe(true);
  const lastStart = bytes.lastIndexOf("event: error\n");
  expect(plan.body.subarray(0, lastStart).equals(bytes.subarray(0, lastStart)), "bytes that the upstream did not send").toBe(true);
}

function typeOf(data: string): string {
  try {
    return String((JSON.parse(data) as { type?: unknown } | null)?.type);
  } catch {
    return "";
  }
}

/** Frames carry a checksum, so only what the upstream itself meant can be wrong in what the client gets. */
function checkFrames(reply: OpenReply, hasStrangeFrames: boolean): void {
  const grammar = checkStreamGrammar(reply.bytes());
  if (!hasStrangeFrames) expect(grammar.ok ? "ok" : grammar.problem).toBe("ok");
}

async function round(random: Random, seed: number): Promise<void> {
  const name = `round-${seed}`;
  const plan = planFrom(random);
  scripts.set(name, plan.script);
  const place = plan.kind === "frames" || (plan.kind === "plain" && random.chance(0.4)) ? "bedrock" : "anthropic";
  const model = `${plan.isIntact ? "sound-" : ""}${place}-claude`;
  const isFramed = plan.kind !== "plain" && random.chance(0.3);
  const messages = [{ role: "user", content: name }];
  const body = isFramed ? JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 64, messages }) : messagesBody({ model, stream: plan.kind !== "plain", messages });
  const abort = random.chance(0.03) ? AbortSignal.timeout(random.below(20)) : undefined;
  const reply = await openCall(harness.url, key, { body, ...(isFramed ? { path: `/bedrock/model/${model}/invoke-with-response-stream` } : {}), session: sessionOf(seed), headers: { "x-claude-code-agent-id": name }, ...(abort === undefined ? {} : { signal: abort }) }).catch((fault: unknown) => {
    if (abort?.aborted !== true) throw fault;
    return undefined;
  });
  const isComplete = await reply?.ended;
  scripts.delete(name);
  if (reply === undefined || isComplete === undefined || abort?.aborted === true) return;
  const type = reply.headers["content-type"] ?? "";
  if (isFramed) return checkFramedReply(reply, isComplete, plan);
  if (plan.isIntact) expect([reply.status, plan.kind === "frames" || reply.bytes().equals(plan.body!)]).toEqual([200, true]);
  if (reply.status === 200 && type.startsWith("text/event-stream")) {
    checkStream(reply, isComplete, plan);
    if (plan.kind === "frames") checkFrames(reply, plan.isStrange);
  } else if (reply.status === 200) {
    expect(isComplete).toBe(true);
    if (plan.body !== undefined) expect(reply.bytes().equals(plan.body)).toBe(true);
  } else {
    expect(isComplete).toBe(true);
    // An error of the upstream's own passes as it is; everything else is the gateway's, and typed.
    if (plan.script.pieces.length > 0 && plan.body === undefined) return;
    expect(isTypedError(JSON.parse(reply.text())), reply.text().slice(0, 300)).toBe(true);
  }
}

/** What a client that speaks frames gets, read by AWS's own codec. */
function checkFramedReply(reply: OpenReply, isComplete: boolean, plan: Plan): void {
  expect(isComplete).toBe(true);
  if (plan.isIntact) expect(reply.status).toBe(200);
  if (reply.status !== 200) {
    if (plan.body !== undefined) expect(typeof reply.json<{ message: unknown }>().message).toBe("string");
    return;
  }
  const type = reply.headers["content-type"] ?? "";
  // The upstream's head was damaged, into a plain reply or another spelling.
  if (!type.includes("application/vnd.amazon.eventstream")) return expect(plan.body).toBeUndefined();
  const { grammar } = plan.kind === "sse" && !plan.isIntact ? { grammar: undefined } : readStreamOrTell(reply, plan);
  if (plan.isIntact || (plan.kind === "frames" && !plan.isStrange)) expect(grammar?.ok === false ? grammar.problem : "ok").toBe("ok");
}

/** Frames are whole whatever they hold; what they hold is the upstream's to answer for. */
function readStreamOrTell(reply: OpenReply, plan: Plan): Partial<ReadStream> {
  try {
    return readStream("bedrock", reply);
  } catch (fault) {
    if (plan.isStrange) return {};
    throw fault;
  }
}

/** Many rounds share a session, so that their rows come in few calls. */
const sessionOf = (seed: number): string => `fuzz-${Math.floor(seed / 500)}`;

it("any reply at all is passed on, refused or ended, and paid for once", async () => {
  const sessions = new Set<string>();
  const names = new Set<string>();
  const { rounds } = await fuzz({ forMs: 6_000, sideBySide: 8 }, async (random, seed) => {
    sessions.add(sessionOf(seed));
    names.add(`round-${seed}`);
    await round(random, seed);
  });
  expect(rounds).toBeGreaterThan(0);
  const rows = await until("all rows to be closed", async () => {
    const all = await Promise.all([...sessions].map((session) => harness.admin<{ rows: Record<string, unknown>[] }>("GET", `/api/v1/usage?by=key&rows=1000&session=${session}`)));
    const found = all.flatMap((usageOf) => usageOf.rows);
    return found.every((row) => row["closed_at"] !== null) ? found : undefined;
  });
  // One row for each attempt that the upstream saw; a client that left early may have left before.
  expect(new Set(rows.map((row) => row["agent_id"])).size).toBe(rows.length);
  expect(rows.length).toBeGreaterThanOrEqual(requestsSeen);
  expect(rows.length).toBeLessThanOrEqual(names.size);
  for (const row of rows) checkRow(row);
  await checkReleased();
}, 120_000);

function checkRow(row: Record<string, unknown>): void {
  const where = JSON.stringify(row);
  for (const name of ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "response_bytes", "duration_ms"]) {
    expect(Number.isSafeInteger(row[name]) && Number(row[name]) >= 0, `${name} in ${where}`).toBe(true);
  }
  expect(row["cost_usd"], where).toMatch(/^\d+(?:\.\d+)?$/);
  expect(Number(row["cost_usd"]), where).toBeLessThan(10_000_000);
  expect(row["source"], where).toMatch(/^(?:reported|estimated|unresolved|none)$/);
}

async function checkReleased(): Promise<void> {
  await until("everything to be released", async () => {
    const metrics = await (await fetch(`${harness.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
    const value = (series: string): number => Number(new RegExp(`^${series} (\\S+)$`, "m").exec(metrics)?.[1]);
    return value("tollgate_open_streams") === 0 && value("tollgate_requests_in_flight") === 0 && value("tollgate_journal_depth") === 0;
  });
  // Connections that broke are gone; whole ones may wait for more work, a handful at most.
  await until("the upstream's connections to be let go", () => open.size <= 16);
}
