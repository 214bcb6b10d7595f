/** What the benchmark can measure, by name, with sizes and rates. A case says what is sent, not who receives it. */
import type { ReplyKind } from "./payloads.ts";

/** Requests as fast as the answers come, on a fixed number of connections: gives CPU per request. */
export interface ClosedLoopCase {
  readonly kind: "closed-loop";
  readonly name: string;
  readonly label: string;
  readonly reply: ReplyKind;
  readonly bodyBytes: number;
  readonly connections: number;
  /** Another case of the gateway's own that this one is compared with, instead of with HAProxy. */
  readonly against?: string;
}

/** Requests at a fixed, low rate: gives latency without queueing. */
export interface FixedRateCase {
  readonly kind: "fixed-rate";
  readonly name: string;
  readonly label: string;
  readonly reply: ReplyKind;
  readonly bodyBytes: number;
  readonly perSecond: number;
}

/** Streams that run at the same time and carry one event per 100 ms each: gives memory per stream and CPU per event. */
export interface StreamsCase {
  readonly kind: "streams";
  readonly name: string;
  readonly label: string;
  readonly count: number;
  readonly bodyBytes: number;
}

/** All closed-loop cases, in the order in which they run. */
export const closedLoopCases: readonly ClosedLoopCase[] = [
  { kind: "closed-loop", name: "json-1k", label: "1 KB JSON", reply: "plain", bodyBytes: 1_000, connections: 50 },
  { kind: "closed-loop", name: "sse-burst", label: "SSE burst, 200 events", reply: "burst", bodyBytes: 1_000, connections: 50 },
  { kind: "closed-loop", name: "bedrock-burst", label: "the same from Bedrock", reply: "bedrock", bodyBytes: 1_000, connections: 50, against: "sse-burst" },
  { kind: "closed-loop", name: "json-100k", label: "100 KB JSON", reply: "plain", bodyBytes: 100_000, connections: 32 },
  { kind: "closed-loop", name: "json-1m", label: "1 MB JSON", reply: "plain", bodyBytes: 1_000_000, connections: 8 },
];

/** All fixed-rate cases. The rates keep every contender mostly idle. */
export const fixedRateCases: readonly FixedRateCase[] = [
  { kind: "fixed-rate", name: "latency-1k", label: "1 KB JSON", reply: "plain", bodyBytes: 1_000, perSecond: 250 },
  { kind: "fixed-rate", name: "latency-sse", label: "SSE burst, 200 events", reply: "burst", bodyBytes: 1_000, perSecond: 100 },
  { kind: "fixed-rate", name: "latency-100k", label: "100 KB JSON", reply: "plain", bodyBytes: 100_000, perSecond: 100 },
];

/** All cases of paced streams, smaller first: memory only grows within one process. */
export const streamsCases: readonly StreamsCase[] = [
  { kind: "streams", name: "streams-500", label: "500 streams", count: 500, bodyBytes: 1_000 },
  { kind: "streams", name: "streams-2000", label: "2,000 streams", count: 2_000, bodyBytes: 1_000 },
];

/** Every case name, for help texts and for checking `--only`. */
export const caseNames: readonly string[] = [...closedLoopCases, ...fixedRateCases, ...streamsCases].map((each) => each.name);
