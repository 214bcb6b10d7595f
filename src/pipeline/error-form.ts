/** Error replies that keep the upstream's words, put into the shape that the client reads errors in. */
import type { UpstreamReply } from "../egress/reply.ts";
import { errorReplyBytesMax } from "../kernel/bounds.ts";
import { decodeWhole } from "../wire/content-coding.ts";
import { headerValue, withoutHeader } from "../wire/headers.ts";
import type { Ingress } from "./ingress.ts";

/** A reply's body with the headers that fit it. */
export interface FormedReply {
  /** Of the upstream; flat list. */
  readonly headers: readonly string[];
  /** The client's form has these beside them. */
  readonly added: readonly string[];
  readonly body: Buffer;
}

/** Anything but an error that this client wants in another form stays as it is. */
export async function inClientsForm(ingress: Ingress, reply: Pick<UpstreamReply, "status" | "headers">, body: Buffer): Promise<FormedReply> {
  const asItIs = { headers: reply.headers, added: [], body };
  if (reply.status < 400 || ingress.formError === undefined) return asItIs;
  const decoded = await decodeWhole(headerValue(reply.headers, "content-encoding"), body, errorReplyBytesMax);
  const formed = decoded === undefined ? undefined : ingress.formError(reply.status, decoded);
  if (formed === undefined) return asItIs;
  return { headers: withoutHeader(withoutHeader(reply.headers, "content-length"), "content-encoding"), added: [...formed.headers, "content-length", String(formed.body.length)], body: formed.body };
}
