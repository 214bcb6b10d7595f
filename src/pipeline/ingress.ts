/**
 * The client's side of a request as the pipeline sees it: which envelope its body came in, what its URL said, and how replies
 * and refusals are framed for it. Implemented in `server/ingress/`, one file per envelope.
 */
import type { RenderedError } from "../dialects/dialect.ts";
import type { GatewayError } from "../kernel/gateway-error.ts";
import type { ClientProject, Envelope } from "../providers/provider.ts";

/** What a URL tells of the request, where the body does not. */
export interface UrlFacts {
  /** Undefined where the body names it after all (`count_tokens` of Vertex). */
  readonly model: string | undefined;
  readonly isStreaming: boolean;
}

/** Puts the dialect's events into the client's own framing. One per reply. */
export interface Framer {
  readonly contentType: string;
  /** @param events whole events of the dialect */
  events(events: Buffer): Buffer;
  readonly ping: Buffer;
  /** The one frame that ends a stream which cannot go on. */
  error(fault: GatewayError, requestId: string): Buffer;
}

export interface Ingress {
  readonly envelope: Envelope;
  /** Its clients may name models as their cloud does; rights follow what that is here. */
  readonly hasCloudNames: boolean;
  readonly url: UrlFacts | undefined;
  /** Of a Vertex client's URL; used only for targets with the client's own login. */
  readonly clientProject: ClientProject | undefined;
  /** Header in which this client looks for the request's id. */
  readonly requestIdHeader: "request-id" | "x-amzn-requestid";
  renderError(fault: GatewayError, requestId: string): RenderedError;
  /**
   * An upstream's error reply, which keeps its words, in this client's shape; absent, and undefined for a body of another kind: it
   * is that already.
   *
   * @returns headers that go beside the reply's own, flat
   */
  formError?(status: number, body: Buffer): { readonly headers: readonly string[]; readonly body: Buffer } | undefined;
  /** Streams go in another framing than the dialect's; absent: they do not. */
  framer?(): Framer;
  /**
   * The Messages-like body inside a `count_tokens` request; absent: it is the body itself.
   *
   * @throws GatewayError `client_body_malformed`, `client_field_invalid`
   */
  unpackCount?(body: Buffer): Buffer;
  /** `{"input_tokens": n}` as this client reads it; absent: as it is. */
  packCount?(reply: Buffer): Buffer;
}
