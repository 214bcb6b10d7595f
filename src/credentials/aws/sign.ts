/**
 * AWS Signature Version 4 over one request, by `@smithy/signature-v4`, which is loaded at the first signature, so that gateways
 * without AWS pay nothing for it. Here and nowhere else an AWS secret is revealed.
 */
import { createHash, createHmac, hash, type Hash, type Hmac } from "node:crypto";
import type { AwsCredentials } from "./types.ts";

/** A request as it will go out. */
export interface SignableRequest {
  readonly method: string;
  /** As in the `host` header: with the port where it is not the scheme's own. */
  readonly host: string;
  /**
   * Exactly as on the wire, without the query. The canonical path is this, encoded once more, as every service but S3 wants it:
   * the `:` of a Bedrock model id goes raw and is signed as `%3A`, the `%2F` inside an ARN is signed as `%252F`.
   */
  readonly path: string;
  /** As on the wire, with or without its `?`; empty for none. */
  readonly query: string;
  /** Flat list. Of these `content-type` and whatever begins with `x-amz` is signed; the rest may change on the way. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly region: string;
  /** The service's name in signatures: `bedrock`, `sts`, … */
  readonly service: string;
  readonly credentials: AwsCredentials;
  /** Wall time, milliseconds since the epoch. */
  readonly nowMs: number;
}

/**
 * Signs a request.
 *
 * @returns headers to add, flat: `x-amz-date`, `x-amz-content-sha256`, `x-amz-security-token` for temporary keys, `authorization`.
 *   `host` is signed and must go out as given.
 * @source https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, checked 2026-11. The body's
 *   hash goes along as AWS's and Anthropic's own JavaScript clients send it.
 */
export async function signRequest(request: SignableRequest): Promise<readonly string[]> {
  const headers: Record<string, string> = { host: request.host };
  for (let index = 0; index + 1 < request.headers.length; index += 2) {
    const name = request.headers[index]!.toLowerCase();
    if (name !== "content-type" && !name.startsWith("x-amz")) continue;
    const value = request.headers[index + 1]!;
    headers[name] = headers[name] === undefined ? value : `${headers[name]},${value}`;
  }
  const payloadHash = hash("sha256", request.body, "hex");
  headers["x-amz-content-sha256"] = payloadHash;
  const added = await signatureHeaders(request, headers, payloadHash);
  return ["x-amz-content-sha256", payloadHash, ...added];
}

/**
 * The signature over exactly the given headers, so that the published test vectors can be put to it.
 *
 * @param headers lower-case name → value; all of them are signed but those that signatures always leave out
 * @returns `x-amz-date`, `x-amz-security-token` for temporary keys, `authorization`, flat
 */
export async function signatureHeaders(request: Omit<SignableRequest, "headers" | "body">, headers: Readonly<Record<string, string>>, payloadHash: string): Promise<readonly string[]> {
  const { SignatureV4 } = await import("@smithy/signature-v4");
  const { credentials, host } = request;
  const signer = new SignatureV4({
    service: request.service,
    region: request.region,
    sha256: NodeSha256,
    uriEscapePath: true,
    applyChecksum: false,
    credentials: {
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey.reveal(),
      ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken.reveal() }),
    },
  });
  const signed = await signer.sign(
    // Only the hash of the body is signed, and it is known: the signer takes it from this header, whether the header goes out or not.
    { method: request.method, protocol: "https:", hostname: host, path: request.path, query: parseQuery(request.query), headers: { ...headers, [hashHeader]: payloadHash } },
    { signingDate: new Date(request.nowMs), ...(headers[hashHeader] === undefined ? { unsignableHeaders: new Set([hashHeader]) } : {}) },
  );
  return ["x-amz-date", "x-amz-security-token", "authorization"].flatMap((name) => (signed.headers[name] === undefined ? [] : [name, signed.headers[name]]));
}

const hashHeader = "x-amz-content-sha256";

/** Decoded names and values, as the signer wants them; `+` is a plus sign, as in signatures. */
function parseQuery(query: string): Record<string, string | string[]> {
  const parsed = new Map<string, string[]>();
  for (const pair of query.replace(/^\?/, "").split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decodeURIComponent(equals === -1 ? pair : pair.slice(0, equals));
    parsed.set(name, [...(parsed.get(name) ?? []), equals === -1 ? "" : decodeURIComponent(pair.slice(equals + 1))]);
  }
  return Object.fromEntries(parsed);
}

/** The hash and the keyed hash that the signer asks for, by node:crypto. */
class NodeSha256 {
  readonly #hash: Hash | Hmac;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", typeof secret === "string" ? secret : ArrayBuffer.isView(secret) ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength) : new Uint8Array(secret));
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error("a hash is used once");
  }
}
