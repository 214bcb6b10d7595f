/**
 * Developers with Claude Code before three targets of one model, each with a prompt cache of its own, of which one fails for a while:
 * what each way of choosing a target costs. The same developers, turns and pauses for each; the seeds repeat.
 */
import { createHash } from "node:crypto";
import { defaultRouting, plainTarget, type TargetConfig } from "../../src/config/gateway-config.ts";
import { manualClock } from "../../src/kernel/clock.ts";
import { zeroCounts, type TokenCounts } from "../../src/kernel/usage.ts";
import { loadPriceBook } from "../../src/metering/price-book.ts";
import { priceUsage } from "../../src/metering/pricing.ts";
import { rank } from "../../src/pipeline/choose.ts";
import type { PlannedTarget } from "../../src/pipeline/exchange.ts";
import { affinityKey } from "../../src/routing/affinity-key.ts";
import { circuitKey, createRoutingState } from "../../src/routing/state.ts";
import { createRandom, type Random } from "./random.ts";

/** `random`: each call by itself. `sticky`: by the session's id, whatever has happened. `tollgate`: by the code that serves. `single`: one target that never fails. */
export type Way = "random" | "sticky" | "tollgate" | "single";

export interface Traffic {
  readonly seed: number;
  readonly developers: number;
  readonly hours: number;
  /** Life of a prompt cache from its last hit on. */
  readonly cacheMinutes: 5 | 60;
}

export interface Cost {
  readonly calls: number;
  readonly failovers: number;
  readonly usd: number;
  /** Of all input tokens, 0 to 1. */
  readonly cacheReadShare: number;
}

const model = "claude-opus-5-5";
const minuteMs = 60_000;
const subagents = 8;
const firstEventMs = 2_000;
const msPerToken = 15;
const failureMs = 300;
const book = loadPriceBook();

/** A conversation of its own, with its tools and system prompt. */
interface Agent {
  readonly id: string;
  readonly sessionId: string;
  readonly keyId: string;
  /** Agents of one kind have the same tools and system prompt. */
  readonly kind: string;
  /** Tokens of its prompt now. */
  tokens: number;
  readonly random: Random;
}

/** One prompt cache: what begins alike is read, as far as it has been written and is not forgotten. */
class PromptCache {
  readonly #entries = new Map<string, { tokens: number; readableAtMs: number; untilMs: number }>();
  readonly #lifeMs: number;

  constructor(lifeMs: number) {
    this.#lifeMs = lifeMs;
  }

  /** @returns tokens read and written */
  call({ id, kind, tokens }: Agent, prefixTokens: number, atMs: number): { readonly read: number; readonly written: number } {
    const read = Math.max(this.#readable(id, atMs), this.#readable(kind, atMs));
    this.#write(kind, prefixTokens, atMs);
    this.#write(id, tokens, atMs);
    return { read, written: tokens - read };
  }

  #readable(name: string, atMs: number): number {
    const entry = this.#entries.get(name);
    return entry === undefined || entry.untilMs <= atMs || entry.readableAtMs > atMs ? 0 : entry.tokens;
  }

  /** Written while it is answered; others can read it from the first event on. */
  #write(name: string, tokens: number, atMs: number): void {
    const entry = this.#entries.get(name);
    const isAlive = entry !== undefined && entry.untilMs > atMs;
    this.#entries.set(name, { tokens, readableAtMs: isAlive ? entry.readableAtMs : atMs + firstEventMs, untilMs: atMs + this.#lifeMs });
  }
}

/** One call's way. Each is told when it happens, so that calls beside it know no sooner. */
interface Chosen {
  /** In the order in which they are tried. */
  readonly targets: readonly string[];
  tried(target: string): void;
  failed(target: string): void;
  /** Its first event has come. */
  served(target: string): void;
}

interface Chooser {
  /** Before anything else happens at this time. */
  reach(atMs: number): void;
  choose(agent: Agent): Chosen;
}

/** What happens, in the order of its time. */
class Agenda {
  readonly #events: { atMs: number; run: (atMs: number) => void }[] = [];

  at(atMs: number, run: (atMs: number) => void): void {
    let index = this.#events.length;
    while (index > 0 && this.#events[index - 1]!.atMs <= atMs) index--;
    this.#events.splice(index, 0, { atMs, run });
  }

  runUntil(endMs: number, reach: (atMs: number) => void): void {
    for (let event = this.#events.pop(); event !== undefined && event.atMs < endMs; event = this.#events.pop()) {
      reach(event.atMs);
      event.run(event.atMs);
    }
  }
}

const targetIds = ["a", "b", "c"] as const;
/** Tokens of tools and system prompt. */
const kinds: Readonly<Record<string, number>> = { main: 24_000, ...Object.fromEntries(Array.from({ length: subagents }, (_, index) => [`sub-${index}`, 9_000 + index * 500])) };

/** The agents are the same whichever way targets are chosen. */
export function affinityCost(way: Way, { seed, developers, hours, cacheMinutes }: Traffic): Cost {
  const endMs = hours * 60 * minuteMs;
  const agenda = new Agenda();
  const caches = new Map<string, PromptCache>(targetIds.map((id) => [id, new PromptCache(cacheMinutes * minuteMs)]));
  // A target that fails for a quarter of the time, in the middle of it.
  const isFailing = (target: string, atMs: number): boolean => way !== "single" && target === "b" && atMs >= endMs * 0.4 && atMs < endMs * 0.65;
  const chooser = choosers[way](seed, cacheMinutes * minuteMs);
  const total = { calls: 0, failovers: 0, costNanoUsd: 0n, read: 0, input: 0 };

  const send = (agent: Agent, { chosen, number }: { chosen: Chosen; number: number }, atMs: number, done: Done): void => {
    const target = chosen.targets[number];
    if (target === undefined) throw new Error("a target is always well");
    chosen.tried(target);
    if (isFailing(target, atMs)) {
      total.failovers += 1;
      return agenda.at(atMs + failureMs, (failedMs) => {
        chosen.failed(target);
        send(agent, { chosen, number: number + 1 }, failedMs, done);
      });
    }
    const output = Math.max(20, Math.round(agent.random.lognormal(300, 3_000)));
    const { read, written } = caches.get(target)!.call(agent, kinds[agent.kind]!, atMs);
    total.calls += 1;
    total.read += read;
    total.input += agent.tokens + 10;
    total.costNanoUsd += costOf({ ...zeroCounts, input: 10, cacheRead: read, [cacheMinutes === 60 ? "cacheWrite1h" : "cacheWrite5m"]: written, output });
    agent.tokens += output + Math.round(agent.random.lognormal(900, 12_000));
    agenda.at(atMs + firstEventMs, () => chosen.served(target));
    agenda.at(atMs + firstEventMs + output * msPerToken, done);
  };
  const work = (agent: Agent, turns: number, atMs: number, done: Done): void =>
    send(agent, { chosen: chooser.choose(agent), number: 0 }, atMs, (endedMs) => {
      if (turns <= 1) return done(endedMs);
      // A tool runs.
      agenda.at(endedMs + agent.random.lognormal(4_000, 90_000), (nextMs) => work(agent, turns - 1, nextMs, done));
    });

  for (let index = 0; index < developers; index++) develop({ agenda, work, random: createRandom(seed * 1_000 + index), keyId: `key-${index}` });
  agenda.runUntil(endMs, (atMs) => chooser.reach(atMs));
  return { calls: total.calls, failovers: total.failovers, usd: Number(total.costNanoUsd) / 1e9, cacheReadShare: total.read / total.input };
}

type Done = (atMs: number) => void;

interface Developer {
  readonly agenda: Agenda;
  /** So many calls of an agent, one after the other. */
  readonly work: (agent: Agent, turns: number, atMs: number, done: Done) => void;
  readonly random: Random;
  readonly keyId: string;
}

/** One session after the other: the main agent works, sends subagents out at times, and the developer rests. */
function develop({ agenda, work, random, keyId }: Developer): void {
  let agents = 0;
  const own = (sessionId: string, kind: string): Agent => ({ id: `${keyId} ${agents++}`, sessionId, keyId, kind, tokens: kinds[kind]! + random.int(200, 3_000), random: createRandom(random.int(0, 2 ** 32 - 1)) });
  const session = (startMs: number, count: number): void => {
    const sessionId = `${keyId} session-${count}`;
    const main = own(sessionId, "main");
    let tasks = random.int(3, 8);
    const task: Done = (atMs) => {
      if (tasks-- <= 0) return agenda.at(atMs + random.int(2, 15) * minuteMs, (nextMs) => session(nextMs, count + 1));
      work(main, random.int(4, 20), atMs, (endedMs) => (random.chance(0.25) ? sendOut(endedMs) : rest(endedMs)));
    };
    const sendOut: Done = (atMs) => {
      let running = subagents;
      for (let number = 0; number < subagents; number++) work(own(sessionId, `sub-${number}`), random.int(3, 10), atMs, (endedMs) => (--running === 0 ? rest(endedMs) : undefined));
    };
    // The developer reads, or goes for a coffee that is longer than a cache lives.
    const rest: Done = (atMs) => agenda.at(atMs + (random.chance(0.2) ? random.int(5, 25) * minuteMs : random.lognormal(40_000, 280_000)), task);
    task(startMs);
  };
  agenda.at(random.int(0, 10 * minuteMs), (startMs) => session(startMs, 0));
}

function costOf(counts: TokenCounts): bigint {
  const usage = { source: "reported" as const, parts: [{ counts, model: undefined }], serverToolUses: {}, usageJson: undefined };
  return priceUsage({ usage: usage as never, provider: "anthropic", upstreamModel: model, priceModel: undefined, override: undefined, book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() } }).costNanoUsd;
}

const forgetful = { tried: () => {}, failed: () => {}, served: () => {} };

const choosers: Readonly<Record<Way, (seed: number, cacheMs: number) => Chooser>> = {
  single: () => ({ reach: () => {}, choose: () => ({ targets: ["a"], ...forgetful }) }),
  random(seed) {
    const random = createRandom(seed + 17);
    return { reach: () => {}, choose: () => ({ targets: targetIds.map((id) => ({ id, key: random.next() })).toSorted((a, b) => a.key - b.key).map(({ id }) => id), ...forgetful }) };
  },
  sticky: () => ({
    reach: () => {},
    choose({ sessionId }) {
      const first = createHash("sha256").update(sessionId).digest()[0]! % targetIds.length;
      return { targets: [...targetIds.slice(first), ...targetIds.slice(0, first)], ...forgetful };
    },
  }),
  tollgate,
};

/** The state and the choice of the code that serves, told of each try as `failover` tells it. */
function tollgate(seed: number, cacheMs: number): Chooser {
  const clock = manualClock();
  const random = createRandom(seed + 17);
  const routing = createRoutingState(clock, defaultRouting, () => random.next());
  const { health, affinity } = routing;
  const { circuit } = defaultRouting;
  const planned = targetIds.map((id): PlannedTarget => ({ target: { ...plainTarget, id, provider: id, model, credential: "provider", priceModel: undefined, price: undefined, headers: new Map(), timeouts: {} } satisfies TargetConfig, upstreamModel: model, place: undefined as never, priceRegion: undefined }));
  const circuitOf = (id: string): string => circuitKey(planned.find(({ target }) => target.id === id)!);
  return {
    reach: (atMs) => clock.advance(atMs - clock.monotonic()),
    choose({ keyId, sessionId }) {
      const key = affinityKey({ keyId, sessionId, model, hasOwnLogin: false, promptPrefix: () => undefined })!;
      const targets = rank({ routing }, { targets: planned, strategy: "weighted", circuit, warmTargetId: affinity.find(key)?.targetId }).map(({ target }) => target.target.id);
      health.mayTry(circuitOf(targets[0]!), circuit);
      return {
        targets,
        tried(id) {
          affinity.claim(key, id, cacheMs);
          health.dispatched(circuitOf(id));
        },
        failed(id) {
          health.failure(circuitOf(id), "overloaded", circuit);
          affinity.release(key, id);
        },
        served(id) {
          health.success(circuitOf(id), circuit);
          affinity.confirm(key, id, cacheMs);
        },
      };
    },
  };
}
