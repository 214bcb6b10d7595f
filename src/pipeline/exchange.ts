/**
 * The results of the stages, each holding the one before it: Exchange → Identified → Received → Planned → Admitted →
 * Committed. A stage takes one and gives the next; nothing reaches back.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dialect, ReplyObserver, RequestFacts } from "../dialects/dialect.ts";
import type { Admission } from "../egress/admission.ts";
import type { UpstreamReply } from "../egress/reply.ts";
import type { Principal } from "../identity/principal.ts";
import type { Hold } from "../ledger/ledger.ts";
import type { Lease } from "../limits/limit.ts";
import type { Cancellation } from "../kernel/cancellation.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { Id } from "../kernel/ids.ts";
import type { CachedCall, ExpectedReads } from "../metering/cache-reads.ts";
import type { ClientCredential, Operation } from "../providers/provider.ts";
import type { Route, RouteTarget } from "../routing/route.ts";
import type { AttemptOpening } from "./books.ts";
import type { CallEstimate } from "./estimates.ts";
import type { Ingress } from "./ingress.ts";
import type { Place, Snapshot } from "./snapshot.ts";

/** A request that was matched to a route, before anything is known about its sender. */
export interface Exchange {
  readonly requestId: Id<"req">;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly dialect: Dialect;
  readonly ingress: Ingress;
  readonly operation: Operation;
  readonly snapshot: Snapshot;
  /** Query string with its `?`, or empty. */
  readonly query: string;
  /** Wall time and monotonic time of the match, milliseconds. */
  readonly startedAtMs: number;
  readonly startedAt: number;
  /** Cancelled when the client has left, or the time is up. */
  readonly ending: Cancellation;
  /** Collected on the way for the log line and the metrics; written by stages, read at the end only. */
  readonly report: Report;
}

/** What the request's log line tells. */
export interface Report {
  keyId: string | undefined;
  model: string | undefined;
  provider: string | undefined;
  targetId: string | undefined;
  isStreaming: boolean;
  attempts: number;
  /** Of all attempts so far; undefined while one of them is not known. */
  tokens: { input: number; cacheRead: number; output: number } | undefined;
  requestBytes: number;
  /** Time spent waiting for the client's body. */
  uploadMs: number;
  responseBytes: number;
  firstEventMs: number | undefined;
  overheadMs: number | undefined;
  costUsd: string | undefined;
  outcome: string | undefined;
  fault: GatewayError | undefined;
}

export interface Identified {
  readonly exchange: Exchange;
  readonly principal: Principal;
  /** Lower-case name of the header that held the key. */
  readonly keyHeader: string;
  readonly notice: string | undefined;
  /** The caller's own provider login, when a header beside the key holds one. */
  readonly clientCredential: ClientCredential | undefined;
}

export interface Received extends Identified {
  /** Emptied at the commit: a stream lives for minutes, and its request may have been megabytes. */
  readonly payload: { bytes: Buffer };
  readonly facts: RequestFacts;
}

/** A target ready to be tried. */
export interface PlannedTarget extends RouteTarget {
  readonly place: Place;
  /** Variant of price that the place's settings decide, or with a client's own login its URL. */
  readonly priceRegion: string | undefined;
}

export interface Planned extends Received {
  readonly route: Route;
  /** In order, at least one. */
  readonly targets: readonly PlannedTarget[];
  /** The first of the plan, whether or not there is room for it: what others may cost is measured by it. */
  readonly preferred: PlannedTarget;
  /** Where another model serves than the one that was asked for. */
  readonly insteadOf?: Replaced;
  /** Where the caller's prompt cache is looked for; undefined where there is only one place for it. */
  readonly warmth?: Warmth | undefined;
}

/** What the client asked for, and why it got another model: a budget without room named it, or every place had failed. */
export interface Replaced {
  readonly model: string;
  readonly reason: "budget" | "fallback";
  /** Models that have been asked for room in its place, this one included. */
  readonly count: number;
}

/** A caller's prompt as affinity knows it. */
export interface Warmth {
  readonly key: string;
  /** From each hit on. */
  readonly ttlMs: number;
}

export interface Admitted extends Planned {
  readonly admission: Admission;
  /** Already durable. */
  readonly first: Opened;
}

/** An attempt's opening with the room kept for it; none where no budget binds. */
export interface Opened {
  readonly opening: AttemptOpening;
  readonly hold: Hold | undefined;
  /** What the room was worked out from. */
  readonly estimate: CallEstimate | undefined;
  /** Its place under the limits of its target; none where there are none. */
  readonly lease: Lease | undefined;
  /** Absent for calls of no session. */
  readonly prompt?: CachedPrompt | undefined;
}

/** An attempt's prompt as the memory of prompt caches knows it. */
export interface CachedPrompt {
  readonly call: CachedCall;
  /** Undefined where nothing is. */
  readonly expected: ExpectedReads | undefined;
  /** The model as the configuration names it, which may be a pattern. */
  readonly configuredModel: string;
}

/** One try, open in the ledger, with what has come of it so far. */
export interface Attempt extends Opened {
  readonly planned: PlannedTarget;
  readonly observer: ReplyObserver;
  readonly outputTokensMax: number | undefined;
  /** Monotonic. */
  readonly dispatchedAt: number;
  /** What was taken out of the request for this place; known once it is built. */
  loss: readonly string[];
}

/** The reply that goes to the client; from here on there is no other. */
export interface Committed extends Admitted {
  readonly attempt: Attempt;
  readonly reply: UpstreamReply;
  /** Monotonic time of the reply's head. */
  readonly headAt: number;
}
