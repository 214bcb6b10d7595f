/**
 * What a place that serves models is to the gateway: address, credential, envelope, framing, failure wording. Plain
 * objects of functions; no clock, no socket, no randomness but what is passed in. A provider never looks inside
 * `messages` or `system`.
 */
import type { z } from "zod";
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

/** One attempt, before it has a form. */
export interface ProviderCall {
  readonly operation: Operation;
  readonly upstreamModel: string;
  readonly isStreaming: boolean;
  /** The client's bytes. */
  readonly body: Buffer;
  readonly members: JsonMembers;
  /** The client's query string with its `?`, or empty. */
  readonly query: string;
  /** Forwardable client headers, flat: name, value, name, value … Credentials and hop-by-hop ones are gone. */
  readonly headers: readonly string[];
}

/** One attempt as it goes out. */
export interface UpstreamRequest {
  readonly method: "POST" | "GET";
  readonly path: string;
  /** Flat list, as above. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** The caller's own provider login, for targets with `credential: client`. */
export interface ClientCredential {
  readonly header: string;
  readonly value: string;
}

/** How a reply counts. `deliver` goes to the client as it is; `credential` means our own login was refused; `retryable` may be tried elsewhere. */
export type ReplyClass = "deliver" | "credential" | "retryable";

export interface Provider<Settings = unknown> {
  readonly id: string;
  /** Checks and shapes what an operator writes for this place. */
  readonly settings: z.ZodType<Settings>;
  /** Dialects this place speaks for a model, best first. */
  dialects(upstreamModel: string): readonly string[];
  destination(settings: Settings): Destination;
  prepare(call: ProviderCall, settings: Settings): UpstreamRequest;
  /** Adds the credential; always last. `client` is given exactly when the target says `credential: client`. */
  authorize(request: UpstreamRequest, settings: Settings, client: ClientCredential | undefined): Promise<UpstreamRequest> | UpstreamRequest;
  /** By status alone where that suffices; a 401 on the client's own login is the client's. */
  classify(status: number, ownsCredential: boolean): ReplyClass;
}
