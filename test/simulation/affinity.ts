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
  turnsLeft: number;
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

interface Chosen {
  /** In the order in which they are tried. */
  readonly targets: readonly string[];
  failed(target: string): void;
  served(target: string): void;
}

interface Chooser {
  choose(agent: Agent, atMs: number): Chosen;
}

const targetIds = ["a", "b", "c"] as const;
const kinds: Readonly<Record<string, number>> = { main: 24_000, ...Object.fromEntries(Array.from({ length: subagents }, (_, index) => [`sub-${index}`, 9_000 + index * 500])) };

/** The agents are the same whichever way targets are chosen. */
export function affinityCost(way: Way, { seed, developers, hours, cacheMinutes }: Traffic): Cost {
  const endMs = hours * 60 * minuteMs;
  const caches = new Map(targetIds.map((id) => [id as string, new PromptCache(cacheMinutes * minuteMs)]));
  // A target that fails for a quarter of the time, in the middle of it.
  const isFailing = (target: string, atMs: number): boolean => way !== "single" && target === "b" && atMs >= endMs * 0.4 && atMs < endMs * 0.65;
  const chooser = choosers[way](seed, cacheMinutes * minuteMs);
  const queue: { atMs: number; order: number; run: (atMs: number) => void }[] = [];
  let order = 0;
  const at = (atMs: number, run: (atMs: number) => void): void => {
    const event = { atMs, order: order++, run };
    let index = queue.length;
    while (index > 0 && (queue[index - 1]!.atMs < atMs || (queue[index - 1]!.atMs === atMs && queue[index - 1]!.order < event.order))) index--;
    queue.splice(index, 0, event);
  };
  const total = { calls: 0, failovers: 0, costNanoUsd: 0n, read: 0, input: 0 };

  /** @returns when the reply is whole */
  const call = (agent: Agent, atMs: number): number => {
    const output = Math.max(20, Math.round(agent.random.lognormal(300, 3_000)));
    const chosen = chooser.choose(agent, atMs);
    let nowMs = atMs;
    for (const target of chosen.targets) {
      if (isFailing(target, nowMs)) {
        chosen.failed(target);
        total.failovers += 1;
        nowMs += failureMs;
        continue;
      }
      const { read, written } = caches.get(target)!.call(agent, kinds[agent.kind]!, nowMs);
      chosen.served(target);
      const counts: TokenCounts = { ...zeroCounts, input: 10, cacheRead: read, [cacheMinutes === 60 ? "cacheWrite1h" : "cacheWrite5m"]: written, output };
      total.calls += 1;
      total.read += read;
      total.input += agent.tokens + 10;
      total.costNanoUsd += costOf(counts);
      agent.tokens += output + Math.round(agent.random.lognormal(900, 12_000));
      return nowMs + firstEventMs + output * msPerToken;
    }
    throw new Error("a target is always well");
  };
  const turn = (agent: Agent, atMs: number, done: (atMs: number) => void): void => {
    const endedMs = call(agent, atMs);
    agent.turnsLeft -= 1;
    if (agent.turnsLeft <= 0) return done(endedMs);
    // A tool runs.
    at(endedMs + agent.random.lognormal(4_000, 90_000), (nextMs) => turn(agent, nextMs, done));
  };

  for (let index = 0; index < developers; index++) {
    const random = createRandom(seed * 1_000 + index);
    at(random.int(0, 10 * minuteMs), (startMs) => session(startMs, 0));

    function session(startMs: number, count: number): void {
      if (startMs >= endMs) return;
      const sessionId = `session-${index}-${count}`;
      const own = (id: string, kind: string): Agent => ({ id: `${sessionId} ${id}`, sessionId, keyId: `key-${index}`, kind, tokens: kinds[kind]! + random.int(200, 3_000), turnsLeft: 0, random: createRandom(seed * 1_000_003 + index * 1_009 + count * 101 + id.length * 7 + (id.codePointAt(id.length - 1) ?? 0)) });
      const main = own("main", "main");
      let tasks = random.int(3, 8);
      const task = (atMs: number): void => {
        if (tasks-- <= 0 || atMs >= endMs) return at(atMs + random.int(2, 15) * minuteMs, (nextMs) => session(nextMs, count + 1));
        main.turnsLeft = random.int(4, 20);
        turn(main, atMs, (mainMs) => (random.chance(0.25) ? fanOut(mainMs) : rest(mainMs)));
      };
      const fanOut = (atMs: number): void => {
        let running = subagents;
        let lastMs = atMs;
        for (let number = 0; number < subagents; number++) {
          const agent = { ...own(`sub-${tasks}-${number}`, `sub-${number}`), turnsLeft: random.int(3, 10) };
          turn(agent, atMs, (endedMs) => {
            lastMs = Math.max(lastMs, endedMs);
            if (--running === 0) rest(lastMs);
          });
        }
      };
      // The developer reads, or goes for a coffee that is longer than a cache lives.
      const rest = (atMs: number): void => at(atMs + (random.chance(0.2) ? random.int(5, 25) * minuteMs : random.lognormal(40_000, 280_000)), task);
      task(startMs);
    }
  }
  for (let event = queue.pop(); event !== undefined; event = queue.pop()) if (event.atMs < endMs) event.run(event.atMs);
  return { calls: total.calls, failovers: total.failovers, usd: Number(total.costNanoUsd) / 1e9, cacheReadShare: total.read / total.input };
}

function costOf(counts: TokenCounts): bigint {
  const usage = { source: "reported" as const, parts: [{ counts, model: undefined }], serverToolUses: {}, usageJson: undefined };
  return priceUsage({ usage: usage as never, provider: "anthropic", upstreamModel: model, priceModel: undefined, override: undefined, book, prices: { multiplierPpm: 1_000_000n, overrides: new Map() } }).costNanoUsd;
}

const forgetful = { failed: () => {}, served: () => {} };

const choosers: Readonly<Record<Way, (seed: number, cacheMs: number) => Chooser>> = {
  single: () => ({ choose: () => ({ targets: ["a"], ...forgetful }) }),
  random(seed) {
    const random = createRandom(seed + 17);
    return { choose: () => ({ targets: [...targetIds].map((id) => ({ id, key: random.next() })).toSorted((a, b) => a.key - b.key).map(({ id }) => id), ...forgetful }) };
  },
  sticky: () => ({
    choose({ sessionId }) {
      const first = createHash("sha256").update(sessionId).digest()[0]! % targetIds.length;
      return { targets: [...targetIds.slice(first), ...targetIds.slice(0, first)], ...forgetful };
    },
  }),
  tollgate(seed, cacheMs) {
    const clock = manualClock();
    let clockMs = 0;
    const random = createRandom(seed + 17);
    const routing = createRoutingState(clock, defaultRouting, () => random.next());
    const { circuit } = defaultRouting;
    const planned = targetIds.map((id): PlannedTarget => ({ target: { ...plainTarget, id, provider: id, model, credential: "provider", priceModel: undefined, price: undefined, headers: new Map(), timeouts: {} } satisfies TargetConfig, upstreamModel: model, place: undefined as never, priceRegion: undefined }));
    return {
      choose({ keyId, sessionId }, atMs) {
        clock.advance(Math.max(0, atMs - clockMs));
        clockMs = Math.max(clockMs, atMs);
        const key = affinityKey({ keyId, sessionId, model, hasOwnLogin: false, promptPrefix: () => undefined })!;
        const ranked = rank({ routing }, { targets: planned, strategy: "weighted", circuit, warmTargetId: routing.affinity.find(key)?.targetId });
        const circuitOf = (id: string): string => circuitKey(ranked.find(({ target }) => target.target.id === id)!.target);
        const [first] = ranked;
        if (first !== undefined) {
          routing.health.mayTry(circuitOf(first.target.target.id), circuit);
          routing.affinity.claim(key, first.target.target.id, cacheMs);
        }
        return {
          targets: ranked.map(({ target }) => target.target.id),
          failed(id) {
            routing.health.dispatched(circuitOf(id));
            routing.health.failure(circuitOf(id), "overloaded", circuit);
            routing.affinity.release(key, id);
          },
          served(id) {
            routing.health.success(circuitOf(id), circuit);
            routing.affinity.confirm(key, id, cacheMs);
          },
        };
      },
    };
  },
};
