/**
 * What a place that serves models is to the gateway: address, credential, envelope, framing, failure wording. Plain
 * objects of functions; no clock, no socket, no randomness but what is passed in. A provider never looks inside
 * `messages` or `system`.
 */
import type { z } from "zod";
import type { CredentialRuntime } from "../credentials/runtime.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { JsonMembers } from "../wire/json-members.ts";

/** Operations a client can ask of a dialect. */
export type Operation = "messages" | "count_tokens";

/** A place a request may go to: fixed by configuration, pinned by the dialer. */
export interface Destination {
  /** `https://host[:port]`, nothing after it. */
  readonly origin: string;
  /** Path in front of the provider's own paths, without a slash at the end; mostly empty. */
  readonly pathPrefix: string;
}

/**
 * Where a request's decisive parts stand in its body. `messages`: all in the body (Anthropic's API). `bedrock`: model and
 * `stream` in the URL, `anthropic_version` and `anthropic_beta` in the body. `vertex`: model in the URL, `anthropic_version` in
 * the body, betas in the header, `stream` in both.
 */
export type Envelope = "messages" | "bedrock" | "vertex";

/** One attempt, before it has a form. */
export interface ProviderCall {
  readonly operation: Operation;
  readonly upstreamModel: string;
  readonly isStreaming: boolean;
  /** The form of `body`, and of the reply that the client waits for. */
  readonly envelope: Envelope;
  /**
   * The client's bytes. For `count_tokens` of a Bedrock client it is the inner body, unpacked.
   */
  readonly body: Buffer;
  readonly members: JsonMembers;
  /** The client's query string with its `?`, or empty. */
  readonly query: string;
  /** Forwardable client headers, flat: name, value, name, value … Credentials and hop-by-hop ones are gone. */
  readonly headers: readonly string[];
  /** Betas this place refused lately for this model; each goes with the fields that depend on it. */
  readonly refusedBetas: ReadonlySet<string>;
  /** Project and location of a Vertex client's URL, for targets that use the client's own login; else undefined. */
  readonly clientProject: ClientProject | undefined;
}

/** What a Vertex client's URL names. Checked: letters, digits, `-`, `.`, `:`. */
export interface ClientProject {
  readonly project: string;
  readonly location: string;
}

/** One attempt as it goes out. */
export interface UpstreamRequest {
  readonly method: "POST" | "GET";
  readonly path: string;
  /** Flat list, as above. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** Instead of the destination's, for a place with an address per location. Must match {@link Provider.isOwnOrigin}. */
  readonly origin?: string;
  /** What was taken out or renamed for this place: `beta:context-management-2025-06-27`, `field:context_management`, … */
  readonly loss?: readonly string[];
}

/** The caller's own provider login, for targets with `credential: client`. */
export interface ClientCredential {
  readonly header: string;
  readonly value: string;
}

/** How a reply counts. `deliver` goes to the client as it is; `credential` means our own login was refused; `retryable` may be tried elsewhere. */
export type ReplyClass = "deliver" | "credential" | "retryable";

/** What an error reply of a cloud means, read with its body. */
export interface ReplyVerdict {
  readonly replyClass: ReplyClass;
  /**
   * What the client is told in place of the reply's own words, which may name accounts and addresses: Anthropic's error type
   * and one sentence; `status` and `retryAfterSeconds` only where they differ from the reply's, `shouldRetry` where a client would try in vain. Undefined: the reply goes as it is.
   */
  readonly told: { readonly type: string; readonly message: string; readonly status?: number; readonly retryAfterSeconds?: number; readonly shouldRetry?: false } | undefined;
  /** A beta that this place refuses here: one more try without it may succeed. */
  readonly refusedBeta?: string;
}

/**
 * Turns a framed stream into the dialect's own events. One per reply.
 */
export interface Unframer {
  /**
   * @param bytes any cut of the stream; valid during the call only
   * @returns whole events of the dialect so far, possibly none; memory of its own
   */
  push(bytes: Buffer): Buffer;
  /**
   * Set once a frame told a fault, or with `upstream_stream_broken` once the bytes were no frames; the events before it have
   * been returned by then, and nothing follows it.
   */
  fault(): GatewayError | undefined;
  /** Bytes of the stream so far that are whole frames without a fault: where both ends frame alike, these may go on as they are. */
  wholeBytes(): number;
  /** True between frames: the stream may end here. */
  isAtBorder(): boolean;
}

/** What a login needs beside the request. */
export interface AuthorizeContext<Credentials> {
  /** Made once per place by {@link Provider.login}. */
  readonly credentials: Credentials;
  /** Given exactly when the target says `credential: client`. */
  readonly client: ClientCredential | undefined;
  /** Host that the request goes to, with its port where it is not the scheme's own; signatures cover it. */
  readonly host: string;
  /** Wall time, milliseconds since the epoch. */
  readonly nowMs: number;
}

export interface Provider<Settings = unknown, Credentials = unknown> {
  readonly id: string;
  /** Checks and shapes what an operator writes for this place. */
  readonly settings: z.ZodType<Settings>;
  /** Dialects this place speaks for a model, best first. */
  dialects(upstreamModel: string): readonly string[];
  destination(settings: Settings): Destination;
  /** Other origins that `UpstreamRequest.origin` may name; absent: none. */
  isOwnOrigin?(origin: string, settings: Settings): boolean;
  /** The credential of a place, kept for as long as the configuration; absent: the settings are all there is. */
  login?(settings: Settings, runtime: CredentialRuntime): Credentials;
  /**
   * The upstream's name of a Claude model that a client names as Anthropic does (`claude-sonnet-4-5-20250929`), where the
   * operator gave no other. Absent: the same.
   */
  modelName?(claudeName: string, settings: Settings): string;
  /**
   * Variant of price that this place's settings decide: `regional` where they name a region and not the global endpoint.
   *
   * @param clientProject given where the client's own login is used: then its location counts, where the address has one
   */
  priceRegion?(settings: Settings, clientProject?: ClientProject): string | undefined;
  /** @throws GatewayError `client_field_invalid` for a field that cannot be served here and may not be dropped */
  prepare(call: ProviderCall, settings: Settings): UpstreamRequest;
  /** Adds the credential; always last, since signatures cover the final bytes. */
  authorize(request: UpstreamRequest, settings: Settings, context: AuthorizeContext<Credentials>): Promise<UpstreamRequest> | UpstreamRequest;
  /**
   * Headers that choose a part of the account (a workspace, a user profile) may come from clients although the login is the
   * gateway's. Otherwise who owns the login chooses.
   */
  readonly takesAccountHeaders?: true;
  /**
   * Whether a bearer that came beside the Tollgate key is a login of this place, for targets with `credential: client`; absent:
   * there is none. Anything else in that header stays here.
   *
   * @param value the whole `Authorization` value
   * @param betas the client's betas, header and body
   */
  isClientLogin?(value: string, betas: string): boolean;
  /** After an upstream refused our own login with it: lets the next request log in again. */
  refused?(credentials: Credentials): void;
  /** By status alone where that suffices; a 401 on the client's own login is the client's. */
  classify(status: number, ownsCredential: boolean): ReplyClass;
  /**
   * For places whose error replies may hold what a client must not see: judged with the body (at most 64 KiB of it, decoded).
   * Absent: {@link Provider.classify} suffices, and replies go as they are.
   */
  judge?(reply: { readonly status: number; readonly headers: readonly string[]; readonly body: Buffer; readonly ownsCredential: boolean }): ReplyVerdict;
  /** Streams of this place are framed; absent: they are the dialect's own events. */
  unframe?(): Unframer;
  /** Turns this place's `count_tokens` reply into `{"input_tokens": n}`; absent: it is that already. */
  countReply?(body: Buffer): Buffer;
}
