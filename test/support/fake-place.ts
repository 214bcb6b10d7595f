/**
 * What the fakes of other places that serve Claude have in common: the listener, the records, the behaviours and the bill of the
 * fake Anthropic upstream, with the place's own envelope around them. A place says what a request means, or why it is refused.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { PromptCache, countInputTokens } from "./fake-anthropic-answer.ts";
import { Bill } from "./fake-anthropic-bill.ts";
import { errorEnvelope, makeId } from "./fake-anthropic-encode.ts";
import { replyHeaders } from "./fake-anthropic-headers.ts";
import { historyRules } from "./fake-anthropic-history.ts";
import { answerMessages, errorTypeOf, sendJson, type MessagesContext } from "./fake-anthropic-messages.ts";
import { Signer } from "./fake-anthropic-signature.ts";
import { findBodyProblem, parseBody } from "./fake-anthropic-validate.ts";
import type { Behaviour, BillLine, FakeAnthropicOptions, JsonObject, RecordedRequest, Rejection } from "./fake-anthropic-types.ts";

/** A behaviour of Anthropic's, or an error in the words of the place's front. Plain JSON, so that it fits into a header. */
export interface PlaceBehaviour extends Behaviour {
  /** Status and body as the place's front would send them, with `headers`. */
  readonly front?: { readonly status: number; readonly body: unknown };
}

/** What a request means once the envelope is off. */
export interface Unwrapped {
  readonly operation: "messages" | "count_tokens";
  /** A Messages body, with the model's name as replies and bills give it. */
  readonly body: JsonObject;
}

/** A refusal of the place's front; `json` is its whole body. */
export interface FrontRefusal {
  readonly status: number;
  readonly json: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One kind of place. */
export interface PlaceRules {
  readonly requestIdPrefix: string;
  /** Options of the fake Anthropic that its validation reads: models, betas, roles. */
  readonly options: FakeAnthropicOptions;
  /** Headers that must not arrive here; each arrival is a violation. */
  readonly forbiddenHeaders: readonly string[];
  /** Checks path, login and envelope. `json` is undefined when the body was no JSON object. */
  unwrap(record: RecordedRequest, json: JsonObject | undefined): Unwrapped | FrontRefusal | Rejection;
  /** Frames answers; absent: they are Anthropic's events. */
  readonly reframe?: NonNullable<MessagesContext["reframe"]>;
  /** How the place tells what the model refuses; absent: in Anthropic's envelope. */
  refusal?(rejection: Rejection): FrontRefusal;
  /** How the place tells a count; absent: as Anthropic does. */
  countJson?(tokens: number): JsonObject;
  /** The headers that the model's checks read betas from; absent: those that arrived. */
  modelHeaders?(record: RecordedRequest): Readonly<Record<string, string>>;
}

/** A running fake of a place. */
export interface FakePlace {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly RecordedRequest[];
  /** Refused by the fake's own checks, in order; a healthy gateway leaves it empty. */
  readonly rejections: readonly { readonly status: number; readonly message: string; readonly url: string }[];
  /** Things that the real place might let pass: forbidden secrets, headers of other hops. */
  readonly violations: readonly string[];
  readonly inFlight: number;
  bill(): readonly BillLine[];
  /** Behaviours for requests of either operation that are in order; stays until replaced. The header `anthropic-test-behaviour` goes first. */
  behave(choose: (request: RecordedRequest, body: JsonObject) => PlaceBehaviour | undefined): void;
  close(): Promise<void>;
}

const hopHeaders = ["proxy-authorization", "x-litellm-api-key", "proxy-connection", "te", "trailer", "upgrade", "keep-alive", "forwarded", "x-forwarded-for", "cookie"];

class Place implements FakePlace {
  readonly requests: RecordedRequest[] = [];
  readonly rejections: { readonly status: number; readonly message: string; readonly url: string }[] = [];
  readonly violations: string[] = [];
  inFlight = 0;
  port = 0;
  url = "";
  readonly #rules: PlaceRules;
  readonly #bill: Bill;
  readonly #signer: Signer;
  readonly #cache = new PromptCache();
  readonly #server: Server;
  readonly #connectionOf = new WeakMap<Socket, number>();
  #connections = 0;
  #choose: (request: RecordedRequest, body: JsonObject) => PlaceBehaviour | undefined = () => undefined;

  constructor(rules: PlaceRules, bill: Bill) {
    this.#rules = rules;
    this.#bill = bill;
    this.#signer = new Signer(rules.options.signingKey ?? "fake-anthropic-signing-key");
    this.#server = createServer({ maxHeaderSize: 256 * 1024, keepAliveTimeout: 60_000, requestTimeout: 0, noDelay: true }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        this.violations.push(`the fake failed: ${String(error)}`);
        response.destroy();
      });
    });
    this.#server.on("connection", (socket) => this.#connectionOf.set(socket, (this.#connections += 1)));
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#rules.options.port ?? 0, "127.0.0.1", resolve);
    });
    this.port = (this.#server.address() as AddressInfo).port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  bill(): readonly BillLine[] {
    return this.#bill.lines;
  }

  behave(choose: (request: RecordedRequest, body: JsonObject) => PlaceBehaviour | undefined): void {
    this.#choose = choose;
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
    const parsed = parseBody(body);
    const json = "json" in parsed ? parsed.json : undefined;
    const record = this.#record(request, response, { body, json });
    const requestId = makeId(this.#rules.requestIdPrefix);
    const unwrapped = this.#rules.unwrap(record, json);
    if ("json" in unwrapped) return this.#refuseAtFront(unwrapped, { record, response, requestId });
    if ("status" in unwrapped) return this.#refuse(unwrapped, { record, response, requestId });
    if ("rejection" in parsed) return this.#refuse(parsed.rejection, { record, response, requestId });
    const { operation, body: inner } = unwrapped;
    const { options } = this.#rules;
    const problem = findBodyProblem(inner, this.#rules.modelHeaders?.(record) ?? record.headers, { options, history: historyRules(options, this.#signer), isCountTokens: operation === "count_tokens" });
    if (problem !== undefined) return this.#refuse(problem, { record, response, requestId });
    const header = record.headers["anthropic-test-behaviour"];
    const behaviour = header === undefined ? (this.#choose(record, inner) ?? {}) : (JSON.parse(header) as PlaceBehaviour);
    this.inFlight += 1;
    try {
      if (behaviour.front !== undefined) return this.#sendFront(behaviour.front.status, behaviour.front.body, { response, requestId, headers: behaviour.headers ?? {} });
      if (operation === "count_tokens") return this.#count(inner, behaviour, { response, requestId });
      const { reframe } = this.#rules;
      await answerMessages({ record, response, requestId, body: inner, bill: this.#bill, signer: this.#signer, cache: this.#cache, ...(reframe === undefined ? {} : { reframe }) }, behaviour);
    } finally {
      this.inFlight -= 1;
    }
  }

  #count(body: JsonObject, behaviour: PlaceBehaviour, { response, requestId }: { response: ServerResponse; requestId: string }): void {
    const status = behaviour.status ?? 200;
    const json = status < 400 ? (this.#rules.countJson?.(countInputTokens(body)) ?? { input_tokens: countInputTokens(body) }) : errorEnvelope(behaviour.errorType ?? errorTypeOf(status), behaviour.message ?? `Scripted error ${status}`, requestId);
    sendJson(response, status, { headers: { ...replyHeaders(requestId, "application/json"), ...behaviour.headers }, json });
  }

  #refuse(rejection: Rejection, { record, response, requestId }: { record: RecordedRequest; response: ServerResponse; requestId: string }): void {
    const front = this.#rules.refusal?.(rejection);
    this.rejections.push({ status: rejection.status, message: rejection.message, url: record.url });
    if (front !== undefined) return this.#sendFront(front.status, front.json, { response, requestId, headers: front.headers ?? {} });
    sendJson(response, rejection.status, { headers: replyHeaders(requestId, "application/json"), json: errorEnvelope(rejection.errorType, rejection.message, requestId) });
  }

  #refuseAtFront({ status, json, headers = {} }: FrontRefusal, { record, response, requestId }: { record: RecordedRequest; response: ServerResponse; requestId: string }): void {
    this.rejections.push({ status, message: JSON.stringify(json), url: record.url });
    this.#sendFront(status, json, { response, requestId, headers });
  }

  /** The front has no request id of the model's. */
  #sendFront(status: number, body: unknown, { response, headers }: { response: ServerResponse; requestId: string; headers: Readonly<Record<string, string>> }): void {
    const bytes = Buffer.from(JSON.stringify(body));
    response.writeHead(status, { "content-type": "application/json; charset=UTF-8", "content-length": String(bytes.length), date: new Date().toUTCString(), ...headers }).end(bytes);
  }

  #record(request: IncomingMessage, response: ServerResponse, { body, json }: { body: Buffer; json: JsonObject | undefined }): RecordedRequest {
    const headers: Record<string, string> = {};
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      const name = request.rawHeaders[index]!.toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${request.rawHeaders[index + 1]}` : request.rawHeaders[index + 1]!;
    }
    const record: RecordedRequest = {
      method: request.method ?? "", url: request.url ?? "", headers, rawHeaders: request.rawHeaders, body, json, atMs: Date.now(),
      connection: this.#connectionOf.get(request.socket) ?? 0, status: 0, isAborted: false, isFinished: false,
    };
    response.once("close", () => {
      record.isFinished = response.writableFinished;
      record.isAborted = !response.writableFinished;
      if (response.headersSent) record.status = response.statusCode;
    });
    this.requests.push(record);
    if (this.requests.length > (this.#rules.options.requestsMax ?? 5000)) this.requests.shift();
    this.#findViolations(record, body);
    return record;
  }

  #findViolations({ headers, url }: RecordedRequest, body: Buffer): void {
    for (const name of [...hopHeaders, ...this.#rules.forbiddenHeaders]) if (name in headers) this.violations.push(`${url}: header ${name} arrived`);
    if (!/^application\/json\b/i.test(headers["content-type"] ?? "")) this.violations.push(`${url}: content-type is ${headers["content-type"]}`);
    for (const secret of this.#rules.options.forbiddenSecrets ?? []) {
      const place = Object.keys(headers).find((name) => headers[name]?.includes(secret) === true);
      if (place !== undefined) this.violations.push(`${url}: a forbidden secret arrived in ${place}`);
      if (body.includes(secret) || url.includes(secret)) this.violations.push(`${url}: a forbidden secret arrived in the body or the target`);
    }
  }
}

/** The whole body; undefined when the peer left before its end. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of request) pieces.push(piece as Buffer);
  } catch {
    return undefined;
  }
  return Buffer.concat(pieces);
}

/**
 * Starts a fake on 127.0.0.1 (`options.port`, default any free one).
 *
 * @throws the listener's or the bill file's error
 */
export async function startPlace(rules: PlaceRules): Promise<FakePlace> {
  return new Place(rules, await Bill.open(rules.options.billPath)).listen();
}

/** The wording for betas that a place refuses; undefined when there are none. */
export function betaRejection(refused: readonly string[]): Rejection | undefined {
  if (refused.length === 0) return undefined;
  return { status: 400, errorType: "invalid_request_error", message: `Unexpected value(s) ${refused.map((beta) => `\`${beta}\``).join(", ")} for the \`anthropic-beta\` header. Please consult our documentation at docs.anthropic.com or try again without the header.` };
}
