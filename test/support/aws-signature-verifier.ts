/**
 * A server's side of AWS Signature Version 4, written from the documented algorithm and sharing no code with the product or its
 * signing library: builds the canonical request from what arrived on the wire and compares signatures
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, checked 2026-11).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** A request as a server sees it. */
export interface ReceivedRequest {
  readonly method: string;
  /** Raw request target: path and query as they came. */
  readonly target: string;
  /** Flat list, names as they came, `host` among them. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** What the server knows and expects. */
export interface SignatureRules {
  readonly region: string;
  readonly service: string;
  readonly nowMs: number;
  /** The secret of a key, and the token that must come with it; undefined for keys that do not exist. */
  keyOf(accessKeyId: string): { readonly secret: string; readonly sessionToken?: string } | undefined;
}

/** Undefined, or AWS's error code with a sentence. */
export type SignatureFault = { readonly code: string; readonly message: string } | undefined;

const clockSkewMsMax = 5 * 60_000;

export function verifyAwsSignature(request: ReceivedRequest, rules: SignatureRules): SignatureFault {
  const headers = new Map<string, string[]>();
  for (let index = 0; index + 1 < request.headers.length; index += 2) {
    const name = request.headers[index]!.toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), request.headers[index + 1]!]);
  }
  const authorization = headers.get("authorization");
  if (authorization === undefined) return fault("MissingAuthenticationToken", "Request is missing Authentication Token");
  if (authorization.length !== 1) return fault("IncompleteSignature", "more than one Authorization header");
  const match = /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$/.exec(authorization[0]!);
  if (match === null) return fault("IncompleteSignature", "the Authorization header is not of the documented form");
  const [, accessKeyId = "", day = "", region, service, signedList = "", signature = ""] = match;

  const key = rules.keyOf(accessKeyId);
  if (key === undefined) return fault("InvalidClientTokenId", "The security token included in the request is invalid.");
  if (region !== rules.region || service !== rules.service) return fault("SignatureDoesNotMatch", `Credential should be scoped to ${rules.service} in ${rules.region}, not ${service} in ${region}.`);
  if (headers.get("x-amz-security-token")?.join() !== key.sessionToken) return fault("InvalidClientTokenId", "The security token included in the request is invalid.");

  const date = headers.get("x-amz-date")?.[0] ?? "";
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date)?.slice(1).map(Number);
  if (parts === undefined || !date.startsWith(day)) return fault("IncompleteSignature", "x-amz-date is missing, malformed, or of another day than the scope");
  const [year = 0, month = 1, dayOfMonth = 1, hour = 0, minute = 0, second = 0] = parts;
  if (Math.abs(Date.UTC(year, month - 1, dayOfMonth, hour, minute, second) - rules.nowMs) > clockSkewMsMax) return fault("SignatureDoesNotMatch", "Signature expired or not yet current.");

  const signedNames = signedList.split(";");
  if (signedNames.join() !== [...new Set(signedNames)].sort().join()) return fault("IncompleteSignature", "SignedHeaders are not sorted and unique");
  const mustBeSigned = [...headers.keys()].filter((name) => name === "host" || name === "content-type" || (name.startsWith("x-amz-") && name !== "x-amzn-trace-id"));
  if (!mustBeSigned.includes("host")) return fault("SignatureDoesNotMatch", "no host header");
  for (const name of mustBeSigned) if (!signedNames.includes(name)) return fault("SignatureDoesNotMatch", `'${name}' must be a 'SignedHeader' in the AWS Authorization.`);
  for (const name of signedNames) if (!headers.has(name)) return fault("SignatureDoesNotMatch", `'${name}' is signed but did not arrive`);

  const bodyHash = sha256(request.body);
  const claimedHash = headers.get("x-amz-content-sha256")?.[0];
  if (claimedHash !== undefined && claimedHash !== bodyHash) return fault("XAmzContentSHA256Mismatch", "the body is not the one that was signed");

  const canonicalHeaders = signedNames.map((name) => `${name}:${headers.get(name)!.map((value) => value.trim().replace(/ +/g, " ")).join(",")}\n`).join("");
  const canonical = [request.method, canonicalPath(request.target), canonicalQuery(request.target), canonicalHeaders, signedList, bodyHash].join("\n");
  const scope = `${day}/${rules.region}/${rules.service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, sha256(Buffer.from(canonical))].join("\n");
  let signingKey: Buffer = Buffer.from(`AWS4${key.secret}`);
  for (const part of [day, rules.region, rules.service, "aws4_request"]) signingKey = createHmac("sha256", signingKey).update(part).digest();
  const wanted = createHmac("sha256", signingKey).update(toSign).digest();
  if (timingSafeEqual(wanted, Buffer.from(signature, "hex"))) return undefined;
  // As AWS does it, and the reason why such messages must not be logged whole.
  return fault("SignatureDoesNotMatch", `The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been '${canonical}'`);
}

function fault(code: string, message: string): SignatureFault {
  return { code, message };
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Every byte but A-Z a-z 0-9 - . _ ~ as %XX. */
function encode(bytes: Buffer): string {
  let out = "";
  for (const byte of bytes) out += /[A-Za-z0-9\-._~]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return out;
}

/** For every service but S3: dot segments and doubled slashes removed, then each segment of the raw path encoded once more. */
function canonicalPath(target: string): string {
  const path = target.split("?")[0]!;
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(encode(Buffer.from(segment)));
  }
  return `/${kept.join("/")}${kept.length > 0 && path.endsWith("/") ? "/" : ""}`;
}

/** Names and values decoded, encoded strictly, sorted by name and then value. */
function canonicalQuery(target: string): string {
  const question = target.indexOf("?");
  if (question === -1 || question === target.length - 1) return "";
  const pairs = target.slice(question + 1).split("&").map((pair): [string, string] => {
    const [name = "", ...rest] = pair.split("=");
    return [encode(Buffer.from(decodeURIComponent(name))), encode(Buffer.from(decodeURIComponent(rest.join("="))))];
  });
  pairs.sort(([a, x], [b, y]) => (a === b ? (x < y ? -1 : 1) : a < b ? -1 : 1));
  return pairs.map(([name, value]) => `${name}=${value}`).join("&");
}
