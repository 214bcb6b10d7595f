/**
 * Guarantee: whatever a client sends, the gateway lives and blames nobody else: every answer is well-formed HTTP that holds a typed
 * error, or what the upstream said; never a 5xx. A body that reaches an upstream and is JSON there names no model but those that the
 * key may use, however it is spelled; and there is exactly one closed row for each attempt the upstream saw, and none for the rest.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createConnection, type AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { claudeCodeBody, claudeCodeHeaders } from "../support/claude-code-request.ts";
import { chunkFrame } from "../support/fake-bedrock-frames.ts";
import { adminKey, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { cutUp, damage, damageOften, exchangeRaw, fuzz, type Random } from "./fuzzing.ts";

const allowed = "claude-opus-4-8";
const forbidden = "claude-haiku-4-5";
/** What a place that was asked for `allowed` calls it. */
const allowedPath = /^\/model\/(?:us\.|global\.)?anthropic\.claude-opus-4-8(?:-v1)?\/(?:invoke|invoke-with-response-stream)$/;

const bodyBytesMax = 256 * 1024;

let harness: Harness;
let port = 0;
let key = "";
let seen = 0;
/** While it is set, streams stop in the middle until it resolves. */
let held: Promise<void> | undefined;
const violations: string[] = [];
let closeUpstream: () => void = () => undefined;

const usage = { input_tokens: 25, output_tokens: 7 };
const message = { id: "msg_01", type: "message", role: "assistant", model: allowed, content: [{ type: "text", text: "Hello" }], stop_reason: "end_turn", stop_sequence: null, usage };
const events = [
  { type: "message_start", message: { ...message, content: [], stop_reason: null } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage },
  { type: "message_stop" },
].map((event) => JSON.stringify(event));

/** An upstream that takes everything and looks at what it got. */
async function startUpstream(): Promise<string> {
  // Takes heads larger than any that the gateway lets through, so that every refusal is the gateway's.
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (bytes: Buffer) => void pieces.push(bytes));
    request.on("end", () => answer(request, response, Buffer.concat(pieces)));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  closeUpstream = () => {
    server.close();
    server.closeAllConnections();
  };
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answer(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const url = request.url ?? "";
  const isCount = url.includes("count");
  const isCloud = url.startsWith("/model/");
  if (!isCount) seen += 1;
  for (const name of ["x-api-key", "authorization"]) if (String(request.headers[name]).includes(key)) violations.push(`the developer's key arrived in ${name}`);
  if (isCloud && !isCount && !allowedPath.test(url)) violations.push(`a model that was not asked for: ${url}`);
  let json: unknown;
  try {
    json = JSON.parse(body.toString("utf8"));
  } catch {
    json = undefined;
  }
  if (json === undefined) return sendJson(response, 400, { type: "error", error: { type: "invalid_request_error", message: "The upstream cannot read this." }, request_id: "req_1" });
  const names = modelsIn(body, json);
  if (isCloud ? names.length > 0 : names.length === 0 || names.some((name) => name !== allowed)) violations.push(`models ${JSON.stringify(names)} at ${url} in ${body.toString("utf8").slice(0, 3_000)}`);
  if (isCount) return sendJson(response, 200, { input_tokens: 5, inputTokens: 5 });
  const isStreamed = isCloud ? url.endsWith("stream") : (json as { stream?: unknown }).stream === true;
  if (!isStreamed) return sendJson(response, 200, message);
  response.writeHead(200, { "content-type": isCloud ? "application/vnd.amazon.eventstream" : "text/event-stream" });
  const send = (at: number): void => {
    const event = events[at];
    if (event === undefined) return void response.end();
    if (at === 2 && held !== undefined) return void held.then(() => send(at + 1));
    response.write(isCloud ? chunkFrame(event) : `event: ${(JSON.parse(event) as { type: string }).type}\ndata: ${event}\n\n`);
    setImmediate(send, at + 1);
  };
  send(0);
}

function sendJson(response: ServerResponse, status: number, json: unknown): void {
  response.writeHead(status, { "content-type": "application/json", "request-id": "req_upstream" }).end(JSON.stringify(json));
}

/** Every model that some reader might find: of each spelling of `model` at the top, of fallbacks, and of advisors anywhere. */
function modelsIn(body: Buffer, json: unknown): unknown[] {
  const names: unknown[] = topLevel(body.toString("utf8")).filter(([name]) => name.toLowerCase() === "model").map(([, value]) => JSON.parse(value) as unknown);
  const members = json as Readonly<Record<string, unknown>>;
  for (const [name, value] of Object.entries(members)) {
    if (["fallback", "fallbacks"].includes(name.toLowerCase())) names.push(...(Array.isArray(value) ? (value as unknown[]) : [value]).filter((entry) => entry !== null).map((entry) => (typeof entry === "string" ? entry : (entry as { model?: unknown }).model)));
  }
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { type, model } = value as { type?: unknown; model?: unknown };
    if (typeof type === "string" && type.startsWith("advisor_")) names.push(model);
    for (const inner of Object.values(value)) walk(inner);
  };
  for (const place of ["tools", "messages", "system"]) walk(members[place]);
  return names;
}

/** Members of a valid object with their values' text, doubled ones too, which `JSON.parse` hides; by a reader that is not the product's. */
function topLevel(text: string): [string, string][] {
  const found: [string, string][] = [];
  let depth = 0;
  let start = 0;
  let name: string | undefined;
  const settle = (end: number): void => {
    if (name !== undefined) found.push([name, text.slice(start, end).trim()]);
    name = undefined;
  };
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') {
      const from = at;
      for (at += 1; text[at] !== '"'; at++) if (text[at] === "\\") at += 1;
      if (depth === 1 && name === undefined) {
        name = JSON.parse(text.slice(from, at + 1)) as string;
        start = text.indexOf(":", at) + 1;
      }
    } else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") {
      depth -= 1;
      if (depth === 0) settle(at);
    } else if (character === "," && depth === 1) settle(at);
  }
  return found;
}

beforeAll(async () => {
  const url = await startUpstream();
  harness = await startHarness({
    upstreamUrl: url,
    file: [
      "listen: {port: 0}",
      `admin: {key: "${adminKey}"}`,
      "logging: {level: silent}",
      "timeouts: {request_body: 400ms}",
      `limits: {body_max: ${bodyBytesMax / 1024}KiB}`,
      `providers: {anthropic: {kind: anthropic, base_url: "${url}", api_key: "${upstreamKey}"}, bedrock: {kind: bedrock, region: us-east-1, endpoint: "${url}", api_key: bedrock-login-0123456789}}`,
      `models: [{name: ${allowed}, provider: anthropic}, {name: ${forbidden}, provider: anthropic}, {name: bedrock-${allowed}, provider: bedrock, model: ${allowed}}, {name: bedrock-${forbidden}, provider: bedrock, model: ${forbidden}}]`,
    ].join("\n"),
  });
  port = Number(new URL(harness.url).port);
  key = await harness.key({ models: [allowed, `bedrock-${allowed}`] });
});

afterAll(async () => {
  await harness.close();
  closeUpstream();
});

const modelNames = ["model", "Model", "MODEL", "mod\\u0065l", "\\u006dodel", "m\\u006Fdel", "mo\\u0064el", "ｍodel", "model ", "model\\u0000", "model\\/"];
const values = ["1e999", "-1", "0", "123456789012345678901234567890", "1.5", "-0", "null", "true", '""', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', "[]", "{}", '[{"type":"text","text":"x"}]', '"x"', '{"type":"enabled","budget_tokens":1e400}', "1E+2", "01", "+1", ".5", "NaN", "'x'", "/**/1"];
const memberNames = ["stream", "max_tokens", "fallback", "fallbacks", "tools", "system", "messages", "thinking", "anthropic_beta", "anthropic_version", "metadata", "output_config", "speed", "__proto__", "constructor", "toString", "context_management", "mcp_servers", "container", "temperature"];

/** A body that means something else than it seems to, or nothing. */
function strangeBody(json: string, random: Random): string {
  const put = (member: string): string => {
    const inner = json.slice(1, -1);
    // Between two members of the top: before the first, behind the last, or in front of a known one.
    const at = random.pick([0, inner.length, inner.indexOf('"system"'), inner.indexOf('"max_tokens"'), inner.indexOf('"stream"')].filter((place) => place >= 0));
    return `{${inner.slice(0, at)}${at === inner.length ? `,${member}` : `${member},`}${inner.slice(at)}}`;
  };
  const name = forbidden;
  const deep = 1 + random.below(300);
  const tricks: readonly (() => string)[] = [
    () => put(`"${random.pick(modelNames)}":"${random.pick([name, allowed])}"`),
    () => put(`"${random.pick(modelNames)}":"${random.pick([name, allowed])}"`),
    () => json.replace('"model"', `"${random.pick(modelNames)}"`),
    () => json.replace(/"model":"[^"]*"/, `"model":${random.pick([`"${name}"`, '"claude-op\\u0075s-4-8"', `"${allowed}\\u0000"`, `"${allowed} "`, `"${allowed}[1m]"`, '"\\ud800"', `["${allowed}"]`, ...values])}`),
    () => put(`"${random.pick(memberNames)}":${random.pick(values)}`),
    () => put(`"${random.pick(["fallback", "fallbacks", "Fallbacks", "f\\u0061llbacks"])}":${random.pick([`[{"model":"${name}"}]`, `["${name}"]`, `{"model":"${name}"}`, `[{"model":"${allowed}","model":"${name}"}]`, `[{"mod\\u0065l":"${name}"}]`, `[{"Model":"${name}","model":"${allowed}"}]`, '"default"', `"${name}"`, "null", "[null]", "[[]]"])}`),
    () => json.replace('"tools":[', `"tools":[{${random.pick([`"type":"advisor_20260301","name":"a","model":"${name}"`, `"t\\u0079pe":"advisor_20260301","model":"${name}"`, `"type":"\\u0061dvisor_20260301","mod\\u0065l":"${name}"`, '"type":"advisor_20260301"', `"model":"${allowed}","type":"advisor_20260301","model":"${name}"`])}},`),
    () => put(`"x":${"[".repeat(deep)}${"]".repeat(deep)}`),
    () => put(`"x":${'{"a":'.repeat(deep)}1${"}".repeat(deep)}`),
    () => put(Array.from({ length: random.pick([10, 255, 256, 300]) }, (_, index) => `"m${index}":1`).join(",")),
    () => `${random.pick(["\ufeff", " \n\t", "\0", "\x0b", "//\n"])}${json}`,
    () => `${json}${random.pick(["\0", " ", "}", json, ",", "\ufeff", "\n\n"])}`,
    () => json.replaceAll('":', `"${random.pick([" ", "\n", "\t", "\0", "\u00a0", "\u2028"])}:`),
    () => random.pick(["", "{}", "[]", "null", '"x"', "1", "{", '{"model"', '{"model":', `{"model":"${allowed}"`, "x".repeat(300_000), `{"model":"${allowed}","x":"${"y".repeat(270_000)}"}`]),
    () => json.replace(/"stream":true/, `"stream":${random.pick(["false", '"true"', "1", "TRUE", "truex", "null"])}`),
  ];
  return random.pick(tricks)();
}

/** What is sent, and whether it was left as it is. */
interface Sent {
  readonly pieces: readonly Buffer[];
  readonly isIntact: boolean;
  /** Something may come behind it that is no request, for which the connection may be ended at any point of the answer. */
  readonly mayBeFollowed: boolean;
}

const strangeHeaders = [
  "Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Encoding: gzip", "Expect: 100-continue", "Expect: x", "Connection: x-api-key, content-length", "Upgrade: h2c", "Trailer: x", "TE: trailers", "X-Api-Key: sk-other",
  "Authorization: Bearer sk-other", "x-litellm-api-key: sk-other", "anthropic-beta: \x80\xff", "anthropic-beta: ,,,", `anthropic-beta: ${"b,".repeat(5_000)}`, "anthropic-version: \t", "Accept-Encoding: x", "__proto__: 1", "x-litellm-tags: ,a,,", `x-claude-code-session-id: ${"s".repeat(5_000)}`, "user-agent: claude-cli/x\x01", "cookie: a=b", "Host: other", "x-a\x00: b",
];
const targets = ["/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages", "/v1/messages/count_tokens?beta=true", `/bedrock/model/bedrock-${allowed}/invoke`, `/bedrock/model/bedrock-${allowed}/invoke-with-response-stream`, `/bedrock/model/${allowed}/invoke`];
const strangeTargets = ["/v1/messages/", "/v1/messages%2f", "/v1/messages?x=\\u0000", "/v1/messages?%00", "/v1/messages?\xff", "/v1/messages#a", "//v1/messages", "/v1/./messages", `/bedrock/model/bedrock-${forbidden}/invoke`, "/bedrock/model/%2e%2e/invoke", "/bedrock/model/a%2Fb/invoke", "/bedrock/model//invoke", `/bedrock/model/${"m".repeat(3_000)}/invoke`, "/bedrock/model/%E0%A4%A/invoke", "/vertex_ai/v1/projects/p/locations/l/publishers/anthropic/models/x:rawPredict", "/key/generate", "/v1/me/token", "/metrics"];

function requestFrom(random: Random): Sent {
  const isIntact = random.chance(0.1);
  const isStrange = (chance: number): boolean => !isIntact && random.chance(chance);
  const target = isStrange(0.06) ? random.pick(strangeTargets) : random.pick(targets);
  const isCloud = target.startsWith("/bedrock");
  const fields = isCloud ? { model: undefined, stream: undefined, anthropic_version: "bedrock-2023-05-31", context_management: undefined, output_config: undefined } : { model: random.chance(0.7) ? allowed : `bedrock-${allowed}` };
  let text = JSON.stringify(claudeCodeBody(target.includes("count") ? { ...fields, stream: undefined, metadata: undefined, max_tokens: undefined } : fields));
  while (isStrange(0.5)) text = strangeBody(text, random);
  let body: Buffer = Buffer.from(text);
  if (isStrange(0.4)) body = damageOften(body, random);
  const isChunked = random.chance(0.2);
  const length = isStrange(0.05) ? random.pick(["", "-1", "+5", "1e3", "0x5", " ", String(body.length + 1), String(Math.max(0, body.length - 1)), "99999999999999999999", `${body.length},${body.length}`]) : String(body.length);
  const lines = [
    `${isStrange(0.02) ? random.pick(["GET", "PUT", "post", "OPTIONS", "DELETE"]) : "POST"} ${target} HTTP/${isStrange(0.02) ? random.pick(["1.0", "2.0", "1.2", "9"]) : "1.1"}`,
    "Host: localhost",
    ...pairs(claudeCodeHeaders(isCloud ? [] : undefined)),
    `x-api-key: ${key}`,
    isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`,
  ];
  while (isStrange(0.15)) lines.splice(1 + random.below(lines.length), 0, random.pick(strangeHeaders));
  // Behind a request on a connection that stays open may come anything, while its answer is under way.
  const isFollowed = isStrange(0.08);
  let head: Buffer = Buffer.from(`${lines.join("\r\n")}\r\n${isFollowed ? "" : "Connection: close\r\n"}\r\n`, "latin1");
  const isHeadDamaged = isStrange(0.1);
  if (isHeadDamaged) head = damage(head, random);
  const framed = isChunked ? Buffer.concat([...cutUp(body, random).filter(({ length: size }) => size > 0).map((piece) => Buffer.concat([Buffer.from(`${piece.length.toString(16)}${isStrange(0.01) ? ";x=y" : ""}\r\n`), piece, Buffer.from("\r\n")])), Buffer.from("0\r\n\r\n")]) : body;
  const whole = Buffer.concat([head, framed, Buffer.from(isFollowed ? random.pick(["garbage\r\n\r\n", "\0", "GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n", "GET /nowhere HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\r\n\r\nPOST /v1/messages"]) : "")]);
  const sent = isStrange(0.03) ? whole.subarray(0, random.below(whole.length)) : whole;
  return { pieces: cutUp(sent, random), isIntact, mayBeFollowed: isFollowed || isHeadDamaged || length !== String(body.length) };
}

function pairs(headers: readonly string[]): string[] {
  return headers.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${headers[index + 1]}`] : []));
}

interface ParsedReply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** All answers of a connection; throws for what no client could read. */
function parseReplies(bytes: Buffer): ParsedReply[] {
  const replies: ParsedReply[] = [];
  for (let at = 0; at < bytes.length; ) {
    const headEnd = bytes.indexOf("\r\n\r\n", at);
    if (headEnd === -1) throw new Error(`no head: ${bytes.toString("latin1", at, at + 300)}`);
    const [line = "", ...fields] = bytes.toString("latin1", at, headEnd).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no status line: ${line.slice(0, 300)}`);
    at = headEnd + 4;
    if (status < 200) continue;
    const headers = new Map(fields.map((field) => [field.slice(0, field.indexOf(":")).toLowerCase(), field.slice(field.indexOf(":") + 1).trim()]));
    const pieces: Buffer[] = [];
    if (headers.get("transfer-encoding") === "chunked") {
      for (let size = -1; size !== 0; ) {
        const lineEnd = bytes.indexOf("\r\n", at);
        const text = bytes.toString("latin1", at, lineEnd);
        if (lineEnd === -1 || !/^[0-9a-f]+$/i.test(text)) throw new Error(`no chunk: ${bytes.toString("latin1", at, at + 300)}`);
        size = Number.parseInt(text, 16);
        pieces.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
        at = lineEnd + 2 + size + 2;
        if (at > bytes.length) throw new Error("a body is cut off");
      }
    } else {
      const length = headers.has("content-length") ? Number(headers.get("content-length")) : bytes.length - at;
      if (at + length > bytes.length) throw new Error("a body is shorter than its length");
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    replies.push({ status, headers, body: Buffer.concat(pieces) });
  }
  return replies;
}

function isCutOff(bytes: Buffer): boolean {
  try {
    return parseReplies(bytes).length === 0;
  } catch {
    expect(bytes.toString("latin1").match(/HTTP\/1\.1 /g)).toHaveLength(1);
    return true;
  }
}

/** Anthropic's error, Bedrock's, or LiteLLM's on the paths that are its own. */
function isTypedError(body: Buffer): boolean {
  const { error, message: words } = JSON.parse(body.toString("utf8")) as { error?: { type?: unknown; message?: unknown }; message?: unknown };
  return (typeof error?.type === "string" && typeof error.message === "string") || typeof words === "string";
}

async function round(random: Random): Promise<void> {
  const { pieces, isIntact, mayBeFollowed } = requestFrom(random);
  const { received, hasGivenUp, wasReset } = await exchangeRaw(port, pieces, 1_500);
  // Then what there is is the beginning of one answer.
  if (mayBeFollowed && isCutOff(received)) return;
  const replies = parseReplies(received);
  if (isIntact) expect(replies.map(({ status, body }) => [status, status === 200 ? "" : body.toString()])).toEqual([[200, ""]]);
  const sentBytes = pieces.reduce((sum, { length }) => sum + length, 0);
  if (!hasGivenUp && !(wasReset && sentBytes > bodyBytesMax)) expect(replies.length, "no answer at all").toBeGreaterThan(0);
  for (const { status, body } of replies) {
    const text = body.toString("utf8");
    // Paths that the gateway does not offer are told as such, and that is no failure of its own.
    if (status !== 501) expect([status < 500, text.slice(0, 300)]).toEqual([true, expect.anything()]);
    if (status >= 400) expect(isTypedError(body), text.slice(0, 300)).toBe(true);
    expect(text.includes(upstreamKey), "the provider's key").toBe(false);
  }
  expect(violations).toEqual([]);
}

it("any request at all is refused or served, with the key's rights, and paid for once", async () => {
  const { rounds } = await fuzz({ forMs: 6_000, sideBySide: 12 }, (random) => round(random));
  expect(rounds).toBeGreaterThan(0);
  await until("everything to be released", async () => {
    const metrics = await (await fetch(`${harness.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } })).text();
    return ["tollgate_open_streams", "tollgate_requests_in_flight", "tollgate_journal_depth"].every((series) => metrics.includes(`\n${series} 0\n`));
  });
  const database = new DatabaseSync(join(harness.dataDir, "tollgate.db"), { readOnly: true });
  const rows = database.prepare("SELECT closed_at_ms, outcome, cost_nano_usd FROM attempts").all();
  database.close();
  expect(rows.filter((row) => row["closed_at_ms"] === null || Number(row["cost_nano_usd"]) < 0)).toEqual([]);
  // Only a client that left may have done so between the opening of its row and the dispatch.
  expect(rows.length).toBeGreaterThanOrEqual(seen);
  expect(rows.filter((row) => row["outcome"] !== "client_closed").length).toBeLessThanOrEqual(seen);
}, 120_000);

it.each(["garbage\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nx\0: y\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"])("what comes behind a request never gets into its answer: %j", async (behind) => {
  const release = Promise.withResolvers<void>();
  held = release.promise;
  const body = Buffer.from(JSON.stringify(claudeCodeBody({ model: allowed })));
  const socket = createConnection({ port, host: "127.0.0.1", noDelay: true });
  let text = "";
  socket.on("data", (bytes: Buffer) => void (text += bytes.toString("latin1")));
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(Buffer.concat([Buffer.from(`POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\ncontent-length: ${body.length}\r\n\r\n`), body]));
  await until("the answer to begin", () => text.includes("content_block_start"));
  socket.write(behind);
  // Nothing says when the gateway has read it, but that it closes the connection, or goes on with the answer.
  await Promise.race([closed, until("a while", () => false, 300).catch(() => undefined)]);
  release.resolve();
  held = undefined;
  await Promise.race([closed, until("the end of the answer", () => text.endsWith("0\r\n\r\n")).catch(() => undefined)]);
  socket.destroy();
  expect(text.match(/HTTP\/1\.1 /g), text).toHaveLength(1);
});
