/** Faults of time, and of the connection between gateway and upstream. */
import type { Fault as ScriptedFault } from "../support/fake-anthropic-types.ts";
import { answerBlocks } from "./answer.ts";
import type { ConnectionFaults } from "../support/fault-proxy.ts";
import { isAfterContent, modes, streamModes, type Expectation, type Fault, type Phase, type Where } from "./axes.ts";

/** Phases that the fakes know by these names. */
const scripted: readonly Phase[] = ["connect", "headers", "first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage", "end"];

/** What a break means by its place. With the last byte of a reply that told its end there is nothing left to break. */
function brokenAt(where: Where): Expectation {
  if (where.phase === "end") return "any";
  if (isAfterContent(where)) return "late";
  return where.phase === "connect" || where.phase === "headers" ? "elsewhere" : "late";
}

function upstream(name: string, does: ScriptedFault["does"], more: Partial<Fault> & { readonly ms?: number; readonly isWholeEvents?: boolean } = {}): Fault {
  const { ms, isWholeEvents, ...rest } = more;
  return {
    name,
    group: "network",
    phases: scripted,
    modes,
    play: ({ phase }) => ({ behaviour: { fault: { at: phase as ScriptedFault["at"], does, ...(ms === undefined ? {} : { ms }), ...(isWholeEvents === undefined ? {} : { isWholeEvents }) } } }),
    expect: brokenAt,
    ...rest,
  };
}

function proxied(name: string, network: ConnectionFaults, expect: Expectation, phase: Phase = "connect"): Fault {
  return { name, group: "network", phases: [phase], modes, play: () => ({ network }), expect };
}

/** A beginning that falls silent is held for so long and then shown, as a slow start would be. */
function stalledAt(where: Where): Expectation {
  return where.phase === "first-event" ? "late" : brokenAt(where);
}

export const timeFaults: readonly Fault[] = [
  upstream("falls silent for ever", "stall", { group: "time", expect: stalledAt }),
  upstream("pauses", "pause", { group: "time", ms: 25, expect: "answer" }),
  { name: "first byte comes late", group: "time", phases: ["connect"], modes, play: () => ({ behaviour: { firstByteDelayMs: 80 } }), expect: "answer" },
  { name: "first byte never comes", group: "time", phases: ["connect"], modes, play: () => ({ behaviour: { firstByteDelayMs: 60_000 } }), expect: "elsewhere" },
  { name: "writes event by event", group: "time", phases: ["mid-text"], modes: streamModes, play: () => ({ behaviour: { writeDelayMs: 3 } }), expect: "answer" },
  { name: "never ends", group: "time", phases: ["mid-text"], modes: streamModes, play: () => ({ behaviour: { blocks: answerBlocks(100_000), deltaCharacters: 100, writeDelayMs: 20 } }), expect: "late" },
];

const sizes: readonly (readonly number[])[] = [[1, 300, 2], [7, 2_000], [4096, 1]];

export const networkFaults: readonly Fault[] = [
  upstream("closes", "destroy"),
  upstream("resets", "reset"),
  upstream("ends as if that were all", "end", { modes: streamModes }),
  upstream("ends between events as if that were all", "end", { modes: streamModes, isWholeEvents: true, phases: ["mid-text", "mid-tool-json"] }),
  { name: "nobody listens", group: "network", phases: ["connect"], modes, play: () => ({}), expect: "elsewhere", place: "closed" },
  { name: "speaks no TLS", group: "network", phases: ["connect"], modes, play: () => ({}), expect: "elsewhere", place: "speaks-no-tls" },
  proxied("is reset when it is accepted", { accept: "refuse" }, "elsewhere"),
  proxied("is swallowed", { accept: "blackhole" }, "elsewhere"),
  proxied("connects late", { connectDelayMs: 60 }, "answer"),
  proxied("is cut before the request is through", { toTarget: { cutAtByte: 200 } }, "elsewhere"),
  proxied("is reset before the request is through", { toTarget: { resetAtByte: 200 } }, "elsewhere"),
  proxied("stalls before the request is through", { toTarget: { stallAtByte: 200 } }, "elsewhere"),
  ...(["cutAtByte", "resetAtByte", "stallAtByte"] as const).flatMap((does) => [
    proxied(`${does} 0 of the reply`, { toClient: { [does]: 0 } }, "elsewhere"),
    proxied(`${does} 60 of the reply`, { toClient: { [does]: 60 } }, "elsewhere", "headers"),
    proxied(`${does} 1400 of the reply`, { toClient: { [does]: 1_400 } }, "any", "mid-text"),
  ]),
  ...sizes.map((splitBytes) => proxied(`comes in pieces of ${splitBytes.join(", ")}`, { toClient: { splitBytes }, toTarget: { splitBytes: [11, 400] } }, "answer", "mid-text")),
  proxied("comes slowly", { toClient: { bytesPerSecond: 200_000 } }, "answer", "mid-text"),
  { name: "a waiting connection was reset", group: "network", phases: ["idle"], modes, play: () => ({ isStale: true }), expect: (where) => (where.phase === "idle" ? "any" : "elsewhere") },
];
