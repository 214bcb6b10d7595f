/**
 * One request to a Google login service and what its answer means. Every flow goes through here, so that a token reaches only
 * hosts that may see it, and so that what failed is told without the secrets that were sent.
 */
import { CredentialError, type CredentialRuntime, type LoginReply } from "../runtime.ts";

/** Times out a login, milliseconds. */
export const loginTimeoutMs = 10_000;

/** A token as the flows hand it around; wrapped into a Secret before it leaves this folder. */
export interface AccessToken {
  readonly accessToken: string;
  /** Wall time, milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** What every flow needs. */
export interface LoginContext {
  readonly runtime: CredentialRuntime;
  readonly scopes: readonly string[];
  /** Origins besides Google's own that may receive secrets; for tests, which have no Google. */
  readonly trustedOrigins: readonly string[];
}

/**
 * Checks an address out of a credential file. A file that names a stranger would send an identity's secrets there, which is
 * Google's own warning about such files (https://cloud.google.com/docs/authentication/external/externally-sourced-credentials,
 * checked 2026-11).
 *
 * @throws CredentialError unless it is HTTPS on a Google API host, or one of the trusted origins
 */
export function googleUrl(text: string, what: string, { trustedOrigins }: LoginContext): URL {
  if (!URL.canParse(text)) throw new CredentialError(`${what} of the Google credentials is no URL`, false);
  const url = new URL(text);
  const isGoogle = url.protocol === "https:" && url.port === "" && (url.hostname.endsWith(".googleapis.com") || url.hostname === "accounts.google.com");
  if ((!isGoogle && !trustedOrigins.includes(url.origin)) || url.username !== "" || url.password !== "") {
    throw new CredentialError(`${what} of the Google credentials leads to ${url.host}, which is no Google API host`, false);
  }
  return url;
}

/** A request before it is sent; a body that is a map goes as a form, any other as JSON. */
export interface Sending {
  readonly url: URL;
  readonly headers?: readonly string[];
  readonly body: ReadonlyMap<string, string> | object;
  /** For messages: `the token endpoint`. */
  readonly what: string;
}

/**
 * @returns the JSON object of a 200
 * @throws CredentialError transient for faults of the way, 408, 429 and 5xx
 */
export async function postLogin({ runtime }: LoginContext, { url, headers = [], body, what }: Sending): Promise<Readonly<Record<string, unknown>>> {
  const isForm = body instanceof Map;
  const text = isForm ? new URLSearchParams([...(body as ReadonlyMap<string, string>)]).toString() : JSON.stringify(body);
  const contentType = isForm ? "application/x-www-form-urlencoded" : "application/json";
  const reply = await exchange(runtime, what, {
    origin: url.origin,
    method: "POST",
    path: `${url.pathname}${url.search}`,
    headers: ["content-type", contentType, "accept", "application/json", ...headers],
    body: Buffer.from(text),
    timeoutMs: loginTimeoutMs,
  });
  if (reply.status !== 200) throw refusal(what, reply);
  return jsonObject(reply.body, what);
}

/** @throws CredentialError transient, when no whole reply came */
export async function exchange(runtime: CredentialRuntime, what: string, request: Parameters<CredentialRuntime["request"]>[0]): Promise<LoginReply> {
  try {
    return await runtime.request(request);
  } catch (fault) {
    throw new CredentialError(`${what} did not answer: ${fault instanceof Error ? fault.message : String(fault)}`, true);
  }
}

/** An OAuth error (RFC 6749 §5.2) or Google's own, in one line. The request's secrets are not in it. */
export function refusal(what: string, { status, body }: LoginReply): CredentialError {
  const { error, error_description: description } = parsed(body);
  const inner: Readonly<Record<string, unknown>> = isObject(error) ? error : {};
  const words = [error, description, inner["status"], inner["message"]].filter((word): word is string => typeof word === "string").join(": ");
  const isTransient = status === 408 || status === 429 || status >= 500;
  return new CredentialError(`${what} answered ${status}${words === "" ? "" : ` ${words.replace(/\s+/g, " ").slice(0, 300)}`}`, isTransient);
}

/** @throws CredentialError transient, since a page instead of JSON comes from something on the way */
export function jsonObject(body: Buffer, what: string): Readonly<Record<string, unknown>> {
  const value = parsed(body);
  if (Object.keys(value).length === 0) throw new CredentialError(`${what} answered with something that is no JSON object`, true);
  return value;
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * `access_token` and `expires_in` of an OAuth reply.
 *
 * @throws CredentialError when one of them is missing: a token whose end nobody knows cannot be renewed in time
 */
export function tokenOf(reply: Readonly<Record<string, unknown>>, what: string, nowMs: number): AccessToken {
  const { access_token: accessToken, expires_in: expiresInSeconds } = reply;
  const seconds = typeof expiresInSeconds === "string" ? Number(expiresInSeconds) : expiresInSeconds;
  if (typeof accessToken !== "string" || accessToken === "" || typeof seconds !== "number" || !(seconds > 0)) {
    throw new CredentialError(`${what} answered without access_token or expires_in`, true);
  }
  return { accessToken, expiresAtMs: nowMs + seconds * 1000 };
}
