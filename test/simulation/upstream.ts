/**
 * A provider of the simulated world. It stands behind the gateway's dialer, fails in every way a network and a provider can, and
 * keeps a bill of its own, which shares nothing with the gateway's prices and counts.
 */
import { isMinted } from "../../src/egress/admission.ts";
import { DialError, type Dialer, type OutboundRequest } from "../../src/egress/dialer.ts";
import type { Flight } from "../../src/egress/http1/pool.ts";
import { createReply, type UpstreamReply } from "../../src/egress/reply.ts";
import type { Cancelled } from "../../src/kernel/cancellation.ts";
import { billedNanoUsd } from "../support/bill-prices.ts";
import type { WireUsage } from "../support/fake-anthropic-types.ts";
import { deltaFrame, endFrames, errorBody, plainBody, startFrame } from "./messages-wire.ts";
import type { Random } from "./random.ts";
import type { SimulatedTime } from "./time.ts";

/** What the provider charges for one call, known at its end. */
export interface BillEntry {
  /** `anthropic-test-id` of the request: one per call of a client. */
  readonly marker: string;
  readonly provider: string;
  readonly model: string;
  usage: WireUsage;
  /** The closing usage was handed over whole. */
  isDelivered: boolean;
}

export function costOf({ model, usage }: BillEntry): bigint {
  return billedNanoUsd(model, usage);
}

/** How often what goes wrong; probabilities. */
export interface Weather {
  readonly unreachable: number;
  /** The connection breaks after the request and before a reply. */
  readonly broken: number;
  readonly refused: number;
  /** The head comes after the gateway's patience. */
  readonly slow: number;
  /** A stream or a body ends before its time, somehow. */
  readonly cut: number;
  /** A 200 that is no answer. */
  readonly page: number;
  /** The prompt cache has been emptied. */
  readonly cold: number;
  /** From this time of the world on, every cache is empty at every call. */
  readonly coldFromMs: number;
}

/** One call as the provider reads it. */
interface Call {
  readonly marker: string;
  readonly model: string;
  readonly provider: string;
  readonly isStreaming: boolean;
  readonly outputTokensMax: number;
  readonly inputTokens: number;
  readonly sessionId: string;
}

/** What the answer will be: set by the world for each call. */
export interface Answer {
  /** Tokens that show as text. */
  readonly visibleTokens: number;
  /** Tokens that are billed and not shown. */
  readonly hiddenTokens: number;
  /** Bytes of the request behind one token of input. */
  readonly bytesPerToken: number;
  /** Of a prompt that is in the cache. */
  readonly cachedShare: number;
  readonly charactersPerToken: number;
  readonly tokensPerDelta: number;
  readonly msPerDelta: number;
  readonly headMs: number;
}

export interface UpstreamOptions {
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly weather: Weather;
  /** Of a request that arrived. */
  readonly answer: (marker: string) => Answer;
  /** Origin to name. */
  readonly providers: ReadonlyMap<string, string>;
}

/** The far side of one world; it outlives the gateway's processes. */
export interface Upstream {
  /** @param isAlive of the process that dials */
  dialerFor(isAlive: () => boolean): Dialer;
  /** Dies with a process: its connections break. */
  dropAll(): void;
  readonly bill: readonly BillEntry[];
  /** Calls under way. */
  inFlight(): number;
}

const cacheMs = 300_000;

export function createUpstream(options: UpstreamOptions): Upstream {
  const { time, random, weather, providers } = options;
  const bill: BillEntry[] = [];
  const flights = new Set<Wire>();
  const caches = new Map<string, { tokens: number; atMs: number }>();

  const arrive = (outbound: OutboundRequest, wire: Wire): void => {
    if (!wire.isOpen) return;
    const call = readCall(outbound, options, providers.get(outbound.origin) ?? outbound.origin);
    const answer = options.answer(call.marker);
    const cut = random.chance(weather.cut);
    const refused = random.chance(weather.refused);
    const isPage = random.chance(weather.page);
    if (random.chance(weather.broken)) {
      // Whether the provider had read it is anybody's guess.
      if (random.chance(0.5)) bill.push(entryFor(call, inputOf(call, 0)));
      return wire.break("reset before the head");
    }
    const status = random.pick([429, 500, 529, 529, 400]);
    const isSlow = random.chance(weather.slow);
    const begin = (): void => {
      if (!wire.isOpen) return;
      if (refused) whole(wire, status, "application/json", errorBody(status));
      else if (isPage) whole(wire, 200, "text/html", Buffer.from("<html>a proxy</html>"));
      else (call.isStreaming ? stream : plain)(call, answer, { wire, isCut: cut });
    };
    time.after(isSlow ? outbound.timeouts.firstByteMs * 2 : answer.headMs, begin);
    time.after(outbound.timeouts.firstByteMs, () => {
      if (!wire.isOpen || wire.hasHead) return;
      // It had the request all the same.
      if (!refused && !isPage && random.chance(0.5)) bill.push(entryFor(call, inputOf(call, 0)));
      wire.slow();
    });
  };

  /** Caches are warm only in the session that wrote them, and only for a while. */
  const inputOf = ({ marker, sessionId, model, inputTokens }: Call, outputTokens: number): WireUsage => {
    const known = caches.get(`${sessionId} ${model}`);
    const isWarm = known !== undefined && time.now() - known.atMs < cacheMs && !random.chance(weather.cold) && time.elapsedMs < weather.coldFromMs;
    const read = isWarm ? Math.floor(Math.min(known.tokens, inputTokens) * options.answer(marker).cachedShare) : 0;
    caches.set(`${sessionId} ${model}`, { tokens: inputTokens, atMs: time.now() });
    const written = inputTokens - read;
    return { input_tokens: 0, cache_read_input_tokens: read, cache_creation_input_tokens: written, cache_creation: { ephemeral_5m_input_tokens: written, ephemeral_1h_input_tokens: 0 }, output_tokens: outputTokens, service_tier: "standard" };
  };

  const stream = (call: Call, answer: Answer, { wire, isCut }: Way): void => {
    const entry = entryFor(call, inputOf(call, 1));
    bill.push(entry);
    const { visible, hidden } = outputOf(call, answer);
    const tokensTotal = visible + hidden;
    const deltas = Math.ceil(visible / answer.tokensPerDelta);
    const cutAt = isCut ? random.int(-1, deltas + 1) : Infinity;
    wire.head(200, "text/event-stream");
    // A head without anything behind it has cost nothing yet in the bill of some, and its input in that of others.
    if (cutAt === -1) return cutShort(wire, random);
    wire.body(startFrame(call.model, entry.usage));
    let index = 0;
    let shown = 0;
    const step = (): void => {
      if (!wire.isOpen) return;
      if (index >= cutAt) return cutShort(wire, random);
      if (index++ < deltas) {
        const tokens = Math.min(answer.tokensPerDelta, visible - shown);
        shown += tokens;
        entry.usage = { ...entry.usage, output_tokens: Math.max(1, shown + Math.floor((hidden * shown) / visible)) };
        wire.body(deltaFrame("abcd".repeat(Math.ceil((tokens * answer.charactersPerToken) / 4)).slice(0, Math.floor(tokens * answer.charactersPerToken))));
        return void time.after(answer.msPerDelta, step);
      }
      entry.usage = { ...entry.usage, output_tokens: tokensTotal };
      wire.body(endFrames(entry.usage));
      entry.isDelivered = true;
      // After the last event a connection may end in any way.
      if (random.chance(0.05)) wire.break("reset after the end");
      else wire.end();
    };
    time.after(answer.msPerDelta, step);
  };

  const plain = (call: Call, answer: Answer, { wire, isCut }: Way): void => {
    const { visible, hidden } = outputOf(call, answer);
    const entry = entryFor(call, inputOf(call, visible + hidden));
    bill.push(entry);
    const body = plainBody(call.model, entry.usage, "x".repeat(Math.min(2_000, Math.ceil(visible * answer.charactersPerToken))));
    wire.head(200, "application/json");
    if (isCut) {
      wire.body(body.subarray(0, random.int(0, body.length - 1)));
      return void time.after(random.next() * 50, () => wire.break("reset in the body"));
    }
    wire.body(body);
    time.after(random.next() * 50, () => {
      entry.isDelivered = wire.isOpen;
      wire.end();
    });
  };

  const send = (outbound: OutboundRequest, cancelled: Cancelled, isAlive: () => boolean): Promise<UpstreamReply> => {
    const { promise, resolve, reject } = Promise.withResolvers<UpstreamReply>();
    const dialError = (code: DialError["code"], wasSent: boolean, detail: string): void => reject(new DialError(code, wasSent, detail));
    const reply = createReply(cancelled, resolve, (fault) => {
      if (fault.kind === "aborted") dialError(fault.reason.code, fault.wasSent, "");
      else dialError(fault.kind === "slow" ? "upstream_slow" : "upstream_unreachable", fault.wasSent, fault.detail);
    });
    if (cancelled.reason !== undefined) dialError(cancelled.reason.code, false, "");
    else {
      const wire = new Wire(reply.sink, flights, isAlive);
      reply.attach(wire);
      time.after(random.next() * 3, () => {
        if (!wire.isOpen) return;
        if (random.chance(weather.unreachable)) return wire.unconnected();
        reply.sink.sent();
        reply.sink.flushed();
        time.after(random.next() * 20, () => arrive(outbound, wire));
      });
    }
    return promise;
  };

  return {
    bill,
    inFlight: () => flights.size,
    dropAll() {
      for (const wire of flights) wire.destroy();
    },
    dialerFor: (isAlive) => ({
      infer(admission, outbound, cancelled) {
        if (!isMinted(admission)) throw new Error("dial without admission");
        // A process that has died in this very moment sends nothing more.
        return isAlive() ? send(outbound, cancelled, isAlive) : new Promise(() => {});
      },
      system: () => Promise.reject(new Error("no errands here")),
      login: () => Promise.reject(new Error("no logins here")),
      close: () => Promise.resolve(),
    }),
  };
}

interface Way {
  readonly wire: Wire;
  readonly isCut: boolean;
}

function entryFor({ marker, provider, model }: Call, usage: WireUsage): BillEntry {
  return { marker, provider, model, usage, isDelivered: false };
}

/** `max_tokens` holds for what is shown and what is not, together. */
function outputOf({ outputTokensMax }: Call, { visibleTokens, hiddenTokens }: Answer): { readonly visible: number; readonly hidden: number } {
  const hidden = Math.min(hiddenTokens, outputTokensMax - 1);
  return { hidden, visible: Math.max(1, Math.min(visibleTokens, outputTokensMax - hidden)) };
}

function whole(wire: Wire, status: number, type: string, body: Buffer): void {
  wire.head(status, type);
  wire.body(body);
  wire.end();
}

/** All the ways in which a reply stops that nobody ended. */
function cutShort(wire: Wire, random: Random): void {
  const way = random.int(0, 2);
  if (way === 0) wire.break("reset");
  else if (way === 1) wire.end();
  else wire.idle();
}

function readCall({ body, headers }: OutboundRequest, { answer }: UpstreamOptions, provider: string): Call {
  const header = (name: string): string => headers[headers.findIndex((each, index) => index % 2 === 0 && each.toLowerCase() === name) + 1] ?? "";
  const marker = header("anthropic-test-id");
  const bytes = body ?? Buffer.alloc(0);
  const request = JSON.parse(bytes.toString("latin1")) as { model: string; stream?: boolean; max_tokens: number; metadata: { user_id: string } };
  return {
    marker,
    provider,
    model: request.model,
    isStreaming: request.stream === true,
    outputTokensMax: request.max_tokens,
    inputTokens: Math.max(1, Math.floor(bytes.length / answer(marker).bytesPerToken)),
    sessionId: request.metadata.user_id,
  };
}

type Sink = ReturnType<typeof createReply>["sink"];

/** One connection as the gateway's reply sees it. Deaf and dumb once either side is gone. */
class Wire implements Flight {
  readonly #sink: Sink;
  readonly #all: Set<Wire>;
  readonly #isAlive: () => boolean;
  #isPaused = false;
  #waiting: (() => void)[] = [];
  isOpen = true;
  hasHead = false;

  constructor(sink: Sink, all: Set<Wire>, isAlive: () => boolean) {
    this.#sink = sink;
    this.#all = all;
    this.#isAlive = isAlive;
    all.add(this);
  }

  pause(): void {
    this.#isPaused = true;
  }
  resume(): void {
    this.#isPaused = false;
    while (!this.#isPaused && this.#waiting.length > 0) this.#waiting.shift()!();
  }
  destroy(): void {
    this.isOpen = false;
    this.#waiting = [];
    this.#all.delete(this);
  }
  head(status: number, type: string): void {
    this.hasHead = true;
    this.#tell(() => this.#sink.head(status, ["content-type", type, "request-id", "req_simulated"]));
  }
  body(bytes: Buffer): void {
    this.#tell(() => this.#sink.body(bytes));
  }
  end(): void {
    this.#tell(() => this.#over(() => this.#sink.end()));
  }
  break(detail: string): void {
    this.#tell(() => this.#over(() => this.#sink.fault("broken", detail)));
  }
  slow(): void {
    this.#over(() => this.#sink.fault("first-byte-timeout", "no head"));
  }
  idle(): void {
    this.#tell(() => this.#over(() => this.#sink.fault("idle-timeout", "silence")));
  }
  unconnected(): void {
    this.#over(() => this.#sink.unconnected("refused", "refused"));
  }

  #tell(act: () => void): void {
    if (!this.isOpen || !this.#isAlive()) return;
    if (this.#isPaused) this.#waiting.push(act);
    else act();
  }
  #over(act: () => void): void {
    if (!this.isOpen || !this.#isAlive()) return;
    this.isOpen = false;
    this.#all.delete(this);
    act();
  }
}
