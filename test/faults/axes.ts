/** The axes of the fault matrix, and what a fault says of itself. A cell is one value of each axis. */
import type { ConnectionFaults } from "../support/fault-proxy.ts";
import type { FaultyBehaviour } from "./faulty-places.ts";

/** Where in a reply it happens: before its head, in place of it, behind its beginning, inside of its parts, at its end, and on a connection that waits for the next call. */
export const phases = ["connect", "headers", "first-event", "mid-text", "mid-tool-json", "before-usage", "after-usage", "end", "idle"] as const;
export type Phase = (typeof phases)[number];

/**
 * What the caller asked for and how the upstream frames it. `stream`, `plain`: Anthropic's own, byte for byte; `reframed`: Bedrock's binary frames
 * for a caller of the Messages API; `cloud-plain`: the same without a stream; `framed`: Anthropic's events for a caller that speaks Bedrock's.
 */
export const modes = ["stream", "plain", "reframed", "cloud-plain", "framed"] as const;
export type Mode = (typeof modes)[number];

/** `leaves-at-once`: when the call has reached an upstream; `leaves-midway`: with the first bytes of a reply; `half-closes`: ends its own side once it has asked. */
export const clients = ["stays", "leaves-at-once", "leaves-midway", "slow", "half-closes"] as const;
export type Client = (typeof clients)[number];

/** The model's other target: there is none, it is well, or it fails too. */
export const otherPlaces = ["none", "healthy", "failing"] as const;
export type OtherPlace = (typeof otherPlaces)[number];

/** Coordinates of a cell; `fault` is a fault's name. */
export interface Cell {
  readonly fault: string;
  readonly phase: Phase;
  readonly mode: Mode;
  readonly client: Client;
  readonly other: OtherPlace;
}

export interface Where {
  readonly phase: Phase;
  readonly mode: Mode;
}

/** How the upstream plays a fault. */
export interface Play {
  readonly behaviour?: FaultyBehaviour;
  /** Of the connection between gateway and upstream. */
  readonly network?: ConnectionFaults;
  /** Waiting connections are reset just before the call. */
  readonly isStale?: true;
}

/**
 * What a caller who stays may see.
 * `answer`: the whole answer, as if nothing had happened. `elsewhere`: nothing of this target; another serves, or an error reply.
 * `relay`: the upstream's refusal with its own status, at once, and no other target hears of it.
 * `late`: the reply had begun; one error ends it. A plain reply has not begun before it is whole.
 * `broken`: as `late`, or as `elsewhere` where the break was read together with what came before it.
 * `any`: an answer, or one of the errors above. `verbatim`: also what the upstream made of it, byte for byte, since it is no gateway's to mend.
 */
export type Expectation = "answer" | "elsewhere" | "relay" | "late" | "broken" | "any" | "verbatim";

export interface Fault {
  readonly name: string;
  readonly group: "status" | "time" | "network" | "bytes" | "events" | "frames" | "encodings";
  /** Where it can happen at all. */
  readonly phases: readonly Phase[];
  /** In which replies it can happen at all. */
  readonly modes: readonly Mode[];
  play(where: Where): Play;
  readonly expect: Expectation | ((where: Where) => Expectation);
  /** Another provider than the lane's usual one; such a place is never well. */
  readonly place?: "closed" | "speaks-no-tls";
  /** Status that `relay` means. */
  readonly status?: number;
  /** A quota that says when it opens: the target is left alone afterwards. */
  readonly isParking?: true;
  /** Usage as reported is not what is billed. */
  readonly hasOddUsage?: true;
}

export const streamModes: readonly Mode[] = ["stream", "reframed", "framed"];
export const plainModes: readonly Mode[] = ["plain", "cloud-plain"];

export function isStreamMode(mode: Mode): boolean {
  return streamModes.includes(mode);
}

/** Modes whose upstream is Bedrock. */
export function isCloudMode(mode: Mode): boolean {
  return mode === "reframed" || mode === "cloud-plain";
}

/** Whether a reply's first content has gone out by then. A plain reply's parts are all inside one document. */
export function isAfterContent({ phase, mode }: Where): boolean {
  return isStreamMode(mode) && ["mid-text", "mid-tool-json", "before-usage", "after-usage", "end"].includes(phase);
}

/** Why a cell cannot be; undefined: it can. */
export function whyImpossible({ phase, mode, client }: Omit<Cell, "other" | "fault">, fault: Fault): string | undefined {
  if (!fault.phases.includes(phase)) return "the fault cannot happen in this phase";
  if (!fault.modes.includes(mode)) return "the fault cannot happen in this form of reply";
  if (client === "leaves-midway" && !isStreamMode(mode)) return "a plain reply comes whole or not at all: there is no midway";
  return undefined;
}
