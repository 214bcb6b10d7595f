/**
 * The load of a soak: a steady mix of what clients of a gateway do, at a fixed rate whatever the answers are. It counts what came of each
 * call, so that a soak cannot pass with a gateway that answers nothing.
 */
import { Agent, request, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Behaviour } from "../test/support/fake-anthropic-types.ts";

/** What a call is about. */
export type CallKind = "stream" | "plain" | "large prompt" | "leaves early" | "reads slowly" | "fails over";

interface Call {
  readonly kind: CallKind;
  /** Of twenty calls. */
  readonly share: number;
  readonly isStream: boolean;
  readonly promptBytes: number;
  /** Of whichever provider serves; undefined: its own. */
  readonly behaviour: Behaviour | undefined;
}

/** By this header the first provider knows the calls that it has to refuse. */
export const failoverMark = "x-claude-code-fails-over";

const mix: readonly Call[] = [
  { kind: "stream", share: 7, isStream: true, promptBytes: 4_000, behaviour: { textBytes: 4_000, writeDelayMs: 2 } },
  { kind: "plain", share: 5, isStream: false, promptBytes: 2_000, behaviour: { textBytes: 2_000 } },
  { kind: "large prompt", share: 2, isStream: true, promptBytes: 1_000_000, behaviour: { textBytes: 500 } },
  { kind: "leaves early", share: 2, isStream: true, promptBytes: 4_000, behaviour: { textBytes: 20_000, writeDelayMs: 10 } },
  { kind: "reads slowly", share: 1, isStream: true, promptBytes: 2_000, behaviour: { textBytes: 1_000_000, deltaCharacters: 500 } },
  { kind: "fails over", share: 3, isStream: true, promptBytes: 4_000, behaviour: undefined },
];
const turns: readonly Call[] = mix.flatMap((call) => Array.from({ length: call.share }, () => call));

/** Calls of one session; then another begins, as sessions do. */
const callsPerSession = 40;
const slowReaderMs = 40;

/** A running load. */
export interface Load {
  /** Calls that ended as they should, by kind. */
  readonly done: Map<CallKind, number>;
  /** Sentences about the others, at most twenty. */
  readonly faults: string[];
  faultCount(): number;
  inFlight(): number;
  /** Begins no more calls, and resolves when the running ones have ended. */
  stop(): Promise<void>;
}

/** @param perSecond calls begun each second */
export function startLoad({ url, key, perSecond }: { readonly url: string; readonly key: string; readonly perSecond: number }): Load {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 32 });
  const done = new Map<CallKind, number>();
  const faults: string[] = [];
  const running = new Set<Promise<void>>();
  let faultCount = 0;
  let begun = 0;
  const begin = (): void => {
    const call = turns[(begun * 7) % turns.length]!;
    const session = `soak-${Math.floor(begun / callsPerSession)}`;
    begun += 1;
    const ended = perform(call, { url, key, session, agent })
      .then(
        () => void done.set(call.kind, (done.get(call.kind) ?? 0) + 1),
        (fault: unknown) => {
          faultCount += 1;
          if (faults.length < 20) faults.push(`${call.kind}: ${fault instanceof Error ? fault.message : String(fault)}`);
        },
      )
      .finally(() => running.delete(ended));
    running.add(ended);
  };
  const timer = setInterval(begin, 1_000 / perSecond);
  return {
    done,
    faults,
    faultCount: () => faultCount,
    inFlight: () => running.size,
    async stop() {
      clearInterval(timer);
      await Promise.all(running);
      agent.destroy();
    },
  };
}

interface Place {
  readonly url: string;
  readonly key: string;
  readonly session: string;
  readonly agent: Agent;
}

async function perform({ kind, isStream, promptBytes, behaviour }: Call, { url, key, session, agent }: Place): Promise<void> {
  const body = JSON.stringify({ model: "claude-haiku-4-5", max_tokens: 1_024, stream: isStream, messages: [{ role: "user", content: "Read this. ".repeat(Math.ceil(promptBytes / 11)) }] });
  const headers = {
    "x-api-key": key,
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "x-claude-code-session-id": session,
    ...(behaviour === undefined ? {} : { "anthropic-test-behaviour": JSON.stringify(behaviour) }),
    ...(kind === "fails over" ? { [failoverMark]: "yes" } : {}),
  };
  const reply = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${url}/v1/messages`, { method: "POST", headers, agent }, resolve).on("error", reject).end(body);
  });
  const served = reply.headers["x-litellm-model-id"];
  if (reply.statusCode !== 200 || served !== (kind === "fails over" ? "second" : "first")) {
    reply.destroy();
    throw new Error(`status ${reply.statusCode}, served by ${String(served)}`);
  }
  let tail = "";
  let bytes = 0;
  for await (const piece of reply as AsyncIterable<Buffer>) {
    bytes += piece.length;
    tail = (tail + piece.toString("latin1", Math.max(0, piece.length - 200))).slice(-200);
    if (kind === "leaves early" && bytes > 2_000) return void reply.destroy();
    if (kind === "reads slowly") await sleep(slowReaderMs);
  }
  if (!tail.includes(isStream ? "message_stop" : '"output_tokens"')) throw new Error(`ended after ${bytes} bytes with ${JSON.stringify(tail.slice(-80))}`);
}
