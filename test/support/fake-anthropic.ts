/**
 * A strict fake of Anthropic's Messages API over real HTTP/1.1: it refuses what the real one refuses, keeps its own fsynced
 * bill, and breaks in every way a test scripts. It shares no code with src/, so that both cannot be wrong in the same way.
 *
 * Usage: `const fake = await startFakeAnthropic({ apiKey: "sk-ant-test" })`, point the gateway at `fake.url`, then compare
 * `fake.bill()` with the ledger and demand `fake.clientErrors400 === 0`. Per request, in order of precedence, a behaviour comes
 * from the header `anthropic-test-behaviour` (JSON), the queue, the script function, the default. `fake-anthropic-main.ts` runs it as a process.
 */
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { PromptCache, countInputTokens } from "./fake-anthropic-answer.ts";
import { Bill } from "./fake-anthropic-bill.ts";
import { answerMessages, errorTypeOf, sendJson } from "./fake-anthropic-messages.ts";
import type { MessagesContext } from "./fake-anthropic-messages.ts";
import { errorEnvelope, makeId } from "./fake-anthropic-encode.ts";
import { replyHeaders } from "./fake-anthropic-headers.ts";
import { historyRules } from "./fake-anthropic-history.ts";
import { Signer } from "./fake-anthropic-signature.ts";
import { bodyBytesMax, findBodyProblem, findCredentialProblem, findHeaderProblem, parseBody } from "./fake-anthropic-validate.ts";
import type { Behaviour, BillLine, FakeAnthropicOptions, JsonObject, RecordedRequest, Rejection, Script } from "./fake-anthropic-types.ts";

/** A running fake. Counters and lists are live. */
export interface FakeAnthropic {
  readonly url: string;
  readonly port: number;
  /** All bill lines so far, those of an earlier life of the same file included; see `billEntries`. */
  bill(): readonly BillLine[];
  /** Requests in the order they arrived whole, control calls left out. */
  readonly requests: readonly RecordedRequest[];
  /** Replies with status 400 by the fake's own checks. A healthy gateway leaves it at 0. */
  readonly clientErrors400: number;
  /** What the fake refused by its own checks, in order. */
  readonly rejections: readonly (Rejection & { readonly url: string })[];
  /** Things the real API would not notice: forbidden secrets, gateway credentials, hop-by-hop headers, missing content type. */
  readonly violations: readonly string[];
  /** TCP connections accepted. */
  readonly connections: number;
  /** Messages requests whose reply is under way. */
  readonly inFlight: number;
  /** Behaviours for the next Messages requests: a queue is used up in order of arrival, a function stays until replaced. */
  script(behaviours: Script | readonly Behaviour[]): void;
  /** Behaviour when nothing else applies. */
  setDefault(behaviour: Behaviour): void;
  /** Behaviours for `count_tokens` and the model list; only `status`, `message`, `headers`, `page`, `raw` apply. */
  scriptOther(script: Script): void;
  /** Ends every connection and closes the bill. */
  close(): Promise<void>;
}

const maximumHeaderBytes = 256 * 1024;
/** Headers that belong to a hop or to a gateway's own clients and have no business at the provider. */
const forbiddenHeaders = ["proxy-authorization", "x-litellm-api-key", "x-goog-api-key", "api-key", "proxy-connection", "te", "trailer", "upgrade", "keep-alive", "forwarded", "x-forwarded-for", "cookie"];

class Fake implements FakeAnthropic {
  readonly requests: RecordedRequest[] = [];
  readonly rejections: (Rejection & { readonly url: string })[] = [];
  readonly violations: string[] = [];
  clientErrors400 = 0;
  connections = 0;
  inFlight = 0;
  port = 0;
  url = "";
  readonly #options: FakeAnthropicOptions;
  readonly #bill: Bill;
  readonly #signer: Signer;
  readonly #cache = new PromptCache();
  readonly #server: Server;
  readonly #connectionOf = new WeakMap<Socket, number>();
  #queue: Behaviour[] = [];
  #script: Script = () => undefined;
  #otherScript: Script = () => undefined;
  #default: Behaviour = {};

  constructor(options: FakeAnthropicOptions, bill: Bill) {
    this.#options = options;
    this.#bill = bill;
    this.#signer = new Signer(options.signingKey ?? "fake-anthropic-signing-key");
    this.#server = createServer({ maxHeaderSize: maximumHeaderBytes, keepAliveTimeout: 60_000, requestTimeout: 0, noDelay: true }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        this.violations.push(`the fake failed: ${String(error)}`);
        response.destroy();
      });
    });
    this.#server.on("connection", (socket) => {
      this.connections += 1;
      this.#connectionOf.set(socket, this.connections);
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port ?? 0, "127.0.0.1", resolve);
    });
    this.port = (this.#server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  bill(): readonly BillLine[] {
    return this.#bill.lines;
  }

  script(behaviours: Script | readonly Behaviour[]): void {
    if (typeof behaviours === "function") this.#script = behaviours;
    else this.#queue = [...behaviours];
  }

  setDefault(behaviour: Behaviour): void {
    this.#default = behaviour;
  }

  scriptOther(script: Script): void {
    this.#otherScript = script;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    while (this.inFlight > 0) await new Promise((resolve) => void setImmediate(resolve));
    await this.#bill.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    if (body === undefined) return;
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    if (path.startsWith("/__fake/")) return this.#control(path, { request, response, body });
    const parsed = parseBody(body);
    const record = this.#record(request, response, { body, json: "json" in parsed ? parsed.json : undefined });
    if (request.method === "HEAD" && path === "/") return void response.writeHead(200).end();
    const isModels = request.method === "GET" && /^\/v1\/models(?:\/[^/]+)?$/.test(path);
    const isMessages = request.method === "POST" && path === "/v1/messages";
    const isCount = request.method === "POST" && path === "/v1/messages/count_tokens";
    const requestId = makeId("req_01");
    if (!isModels && !isMessages && !isCount) {
      return this.#refuse({ status: 404, errorType: "not_found_error", message: "Not Found" }, { record, response, requestId });
    }
    const headProblem = findCredentialProblem(record.headers, this.#options) ?? findHeaderProblem(record.headers, this.#options);
    if (headProblem !== undefined) return this.#refuse(headProblem, { record, response, requestId });
    if (isModels) return this.#models(path, { record, response, requestId });
    if ("rejection" in parsed) return this.#refuse(parsed.rejection, { record, response, requestId });
    const problem = findBodyProblem(parsed.json, record.headers, { options: this.#options, history: historyRules(this.#options, this.#signer), isCountTokens: isCount });
    if (problem !== undefined) return this.#refuse(problem, { record, response, requestId });
    if (isCount) return this.#answerOther({ input_tokens: countInputTokens(parsed.json) }, { record, response, requestId });
    const context: MessagesContext = { record, response, requestId, body: parsed.json, bill: this.#bill, signer: this.#signer, cache: this.#cache };
    this.inFlight += 1;
    try {
      await answerMessages(context, this.#chooseBehaviour(record, parsed.json));
    } finally {
      this.inFlight -= 1;
    }
  }

  #chooseBehaviour(record: RecordedRequest, body: JsonObject): Behaviour {
    const header = record.headers["anthropic-test-behaviour"];
    if (header !== undefined) return JSON.parse(header) as Behaviour;
    return this.#queue.shift() ?? this.#script(record, body) ?? this.#default;
  }

  #record(request: IncomingMessage, response: ServerResponse, { body, json }: { body: Buffer; json: JsonObject | undefined }): RecordedRequest {
    const headers: Record<string, string> = {};
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      const name = request.rawHeaders[index]!.toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${request.rawHeaders[index + 1]}` : request.rawHeaders[index + 1]!;
    }
    const isKept = this.#options.isRecordingBodies !== false;
    const record: RecordedRequest = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers,
      rawHeaders: request.rawHeaders,
      body: isKept ? body : Buffer.alloc(0),
      json: isKept ? json : undefined,
      atMs: Date.now(),
      connection: this.#connectionOf.get(request.socket) ?? 0,
      status: 0,
      isAborted: false,
      isFinished: false,
    };
    response.once("close", () => {
      record.isFinished = response.writableFinished;
      record.isAborted = !response.writableFinished;
      if (response.headersSent) record.status = response.statusCode;
    });
    this.requests.push(record);
    if (this.requests.length > (this.#options.requestsMax ?? 5000)) this.requests.shift();
    this.#findViolations(record, body);
    return record;
  }

  #findViolations({ headers, method, url }: RecordedRequest, body: Buffer): void {
    for (const name of forbiddenHeaders) if (name in headers) this.violations.push(`${url}: header ${name} arrived`);
    if (method === "POST" && !/^application\/json\b/i.test(headers["content-type"] ?? "")) this.violations.push(`${url}: content-type is ${headers["content-type"]}`);
    for (const secret of this.#options.forbiddenSecrets ?? []) {
      const place = Object.keys(headers).find((name) => headers[name]?.includes(secret) === true);
      if (place !== undefined) this.violations.push(`${url}: a forbidden secret arrived in ${place}`);
      if (body.includes(secret)) this.violations.push(`${url}: a forbidden secret arrived in the body`);
      if (url.includes(secret)) this.violations.push(`a forbidden secret arrived in the target`);
    }
  }

  #refuse(rejection: Rejection, reply: { record: RecordedRequest; response: ServerResponse; requestId: string }): void {
    this.rejections.push({ ...rejection, url: reply.record.url });
    if (rejection.status === 400) this.clientErrors400 += 1;
    sendJson(reply.response, rejection.status, { headers: replyHeaders(reply.requestId, "application/json"), json: errorEnvelope(rejection.errorType, rejection.message, reply.requestId) });
  }

  #models(path: string, reply: { record: RecordedRequest; response: ServerResponse; requestId: string }): void {
    const ids = this.#options.models ?? ["claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5-5"];
    const all = ids.map((id) => ({ type: "model", id, display_name: id, created_at: "2026-01-01T00:00:00Z" }));
    const wanted = path.slice("/v1/models/".length);
    if (wanted === "") return this.#answerOther({ data: all, has_more: false, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null }, reply);
    const one = all.find(({ id }) => id === decodeURIComponent(wanted));
    if (one === undefined) return this.#refuse({ status: 404, errorType: "not_found_error", message: `model: ${wanted}` }, reply);
    this.#answerOther(one, reply);
  }

  #answerOther(json: JsonObject, { record, response, requestId }: { record: RecordedRequest; response: ServerResponse; requestId: string }): void {
    const scripted = this.#otherScript(record, record.json ?? {}) ?? {};
    if (scripted.raw !== undefined) return void response.socket?.end(Buffer.from(scripted.raw, "latin1"));
    const status = scripted.status ?? 200;
    const headers = { ...replyHeaders(requestId, "application/json"), ...scripted.headers };
    sendJson(response, status, { headers, json: status < 400 ? json : errorEnvelope(scripted.errorType ?? errorTypeOf(status), scripted.message ?? "Scripted error", requestId) });
  }

  /** Remote control for a fake in another process: `GET state`, `POST default`, `POST queue`. */
  #control(path: string, { request, response, body }: { request: IncomingMessage; response: ServerResponse; body: Buffer }): void {
    if (request.method === "POST" && path === "/__fake/default") this.#default = JSON.parse(body.toString()) as Behaviour;
    else if (request.method === "POST" && path === "/__fake/queue") this.#queue = JSON.parse(body.toString()) as Behaviour[];
    const { clientErrors400, rejections, violations, connections, inFlight } = this;
    sendJson(response, 200, { headers: { "content-type": "application/json" }, json: { clientErrors400, rejections, violations, connections, inFlight, requests: this.requests.length } });
  }
}

/** The whole body; undefined when the peer left before its end. Beyond the API's limit the rest is read and dropped. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of request) {
      if (length <= bodyBytesMax) pieces.push(piece as Buffer);
      length += (piece as Buffer).length;
    }
  } catch {
    return undefined;
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

/**
 * Starts the fake on 127.0.0.1 (`options.port`, default any free one).
 *
 * @throws the listener's or the bill file's error
 */
export async function startFakeAnthropic(options: FakeAnthropicOptions = {}): Promise<FakeAnthropic> {
  const fake = new Fake(options, await Bill.open(options.billPath));
  return fake.listen();
}
