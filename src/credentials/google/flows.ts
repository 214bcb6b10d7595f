/**
 * How each kind of credential file becomes an access token: a signed assertion, a refresh token, an outside identity's token
 * exchanged at Google's STS, or one of these used to speak for another service account.
 *
 * Protocols: https://developers.google.com/identity/protocols/oauth2/service-account (RFC 7523),
 * https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token (RFC 8693),
 * https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken;
 * googleapis/google-auth-library-nodejs as oracle in the tests. Checked 2026-11.
 */
import { createPrivateKey, sign, type KeyObject } from "node:crypto";
import { CredentialError } from "../runtime.ts";
import { exchange, googleUrl, isObject, loginTimeoutMs, postLogin, refusal, tokenOf, type AccessToken, type LoginContext } from "./exchange.ts";
import type { AuthorizedUserFile, CredentialFile, ExternalAccountFile, ServiceAccountFile, SourceFile, SubjectSource } from "./file.ts";

/** What a token must allow before it can be used to ask for another account's. */
const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform";
const assertionLifetimeSeconds = 3600;
/** An assertion counts as issued this long ago, so that a clock a little ahead of Google's is no fault. */
const clockSkewSeconds = 10;

/** @throws CredentialError */
export async function tokenFromFile(context: LoginContext, file: CredentialFile): Promise<AccessToken> {
  if (file.type !== "impersonated_service_account") return fromSource(context, file);
  const source = await fromSource({ ...context, scopes: [cloudPlatform] }, file.source);
  return impersonate(context, source, { url: file.impersonationUrl, delegates: file.delegates, lifetimeSeconds: 3600 });
}

function fromSource(context: LoginContext, file: SourceFile): Promise<AccessToken> {
  if (file.type === "service_account") return fromServiceAccount(context, file);
  return file.type === "authorized_user" ? fromUser(context, file) : fromExternal(context, file);
}

async function fromServiceAccount(context: LoginContext, file: ServiceAccountFile): Promise<AccessToken> {
  const what = "Google's token endpoint";
  const url = googleUrl(file.tokenUri, "token_uri", context);
  const nowMs = context.runtime.clock.now();
  const body = new Map([
    ["grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
    ["assertion", assertion(file, context.scopes, nowMs)],
  ]);
  return tokenOf(await postLogin(context, { url, body, what }), what, nowMs);
}

/** The JWT that proves the account: RS256 over its claims, for this token endpoint only. */
function assertion(file: ServiceAccountFile, scopes: readonly string[], nowMs: number): string {
  const issuedAt = Math.floor(nowMs / 1000) - clockSkewSeconds;
  const header = { alg: "RS256", typ: "JWT", ...(file.privateKeyId === undefined ? {} : { kid: file.privateKeyId }) };
  const claims = { iss: file.clientEmail, scope: scopes.join(" "), aud: file.tokenUri, iat: issuedAt, exp: issuedAt + assertionLifetimeSeconds };
  const signed = `${base64url(header)}.${base64url(claims)}`;
  return `${signed}.${sign("RSA-SHA256", Buffer.from(signed), keyOf(file)).toString("base64url")}`;
}

/** The reason why a key cannot be read is left out: OpenSSL's words may hold parts of it. */
function keyOf(file: ServiceAccountFile): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(file.privateKey);
  } catch {
    key = undefined;
  }
  if (key?.asymmetricKeyType !== "rsa") throw new CredentialError(`the private_key of ${file.clientEmail} is no RSA key in PEM`, false);
  return key;
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

async function fromUser(context: LoginContext, file: AuthorizedUserFile): Promise<AccessToken> {
  const what = "Google's token endpoint";
  const url = googleUrl(file.tokenUri, "token_uri", context);
  const nowMs = context.runtime.clock.now();
  const body = new Map([
    ["grant_type", "refresh_token"],
    ["client_id", file.clientId],
    ["client_secret", file.clientSecret],
    ["refresh_token", file.refreshToken],
  ]);
  return tokenOf(await postLogin(context, { url, body, what }), what, nowMs);
}

async function fromExternal(context: LoginContext, file: ExternalAccountFile): Promise<AccessToken> {
  const what = "Google's token exchange";
  const url = googleUrl(file.tokenUrl, "token_url", context);
  const subjectToken = await subjectTokenOf(context, file.source);
  const scopes = file.impersonationUrl === undefined ? context.scopes : [cloudPlatform];
  const body = new Map([
    ["grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"],
    ["audience", file.audience],
    ["scope", scopes.join(" ")],
    ["requested_token_type", "urn:ietf:params:oauth:token-type:access_token"],
    ["subject_token", subjectToken],
    ["subject_token_type", file.subjectTokenType],
  ]);
  const headers: string[] = [];
  if (file.clientId !== undefined) headers.push("authorization", `Basic ${Buffer.from(`${file.clientId}:${file.clientSecret ?? ""}`).toString("base64")}`);
  else if (file.workforceUserProject !== undefined) body.set("options", JSON.stringify({ userProject: file.workforceUserProject }));
  const nowMs = context.runtime.clock.now();
  const exchanged = tokenOf(await postLogin(context, { url, headers, body, what }), what, nowMs);
  if (file.impersonationUrl === undefined) return exchanged;
  return impersonate(context, exchanged, { url: file.impersonationUrl, delegates: [], lifetimeSeconds: file.impersonationLifetimeSeconds });
}

/** Read anew at each login: what puts it there replaces it before it ends. */
async function subjectTokenOf(context: LoginContext, { place, fieldName }: SubjectSource): Promise<string> {
  const text = "file" in place ? await subjectFile(context, place.file) : await subjectReply(context, place);
  let token: unknown = text.trim();
  if (fieldName !== undefined) {
    try {
      const json: unknown = JSON.parse(text);
      token = isObject(json) ? json[fieldName] : undefined;
    } catch {
      token = undefined;
    }
  }
  if (typeof token !== "string" || token === "") throw new CredentialError("the credential_source gave no subject token", true);
  return token;
}

async function subjectFile({ runtime }: LoginContext, path: string): Promise<string> {
  try {
    return await runtime.readFile(path);
  } catch (fault) {
    throw new CredentialError(`the subject token file ${path} cannot be read: ${codeOf(fault)}`, true);
  }
}

async function subjectReply({ runtime }: LoginContext, { url: text, headers }: { readonly url: string; readonly headers: readonly string[] }): Promise<string> {
  const what = "the credential_source's URL";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !mayAsk(url)) throw new CredentialError(`${what} must be https, or http to this machine or its metadata service`, false);
  const reply = await exchange(runtime, what, { origin: url.origin, method: "GET", path: `${url.pathname}${url.search}`, headers, body: null, timeoutMs: loginTimeoutMs });
  if (reply.status !== 200) throw refusal(what, { ...reply, body: Buffer.alloc(0) });
  return reply.body.toString("utf8");
}

/** Plain HTTP never leaves the machine: other clouds' metadata services stand on link-local addresses. */
function mayAsk(url: URL): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|169\.254\.\d+\.\d+|metadata\.google\.internal)$/.test(url.hostname));
}

interface Impersonation {
  readonly url: string;
  readonly delegates: readonly string[];
  readonly lifetimeSeconds: number;
}

/** `generateAccessToken` of the account that the URL names. */
async function impersonate(context: LoginContext, source: AccessToken, { url: text, delegates, lifetimeSeconds }: Impersonation): Promise<AccessToken> {
  const what = "Google's generateAccessToken";
  const url = googleUrl(text, "service_account_impersonation_url", context);
  if (!/\/serviceAccounts\/[^/:]+:generateAccessToken$/.test(url.pathname)) throw new CredentialError("service_account_impersonation_url names no service account", false);
  const body = { scope: context.scopes, lifetime: `${lifetimeSeconds}s`, ...(delegates.length === 0 ? {} : { delegates }) };
  const reply = await postLogin(context, { url, headers: ["authorization", `Bearer ${source.accessToken}`], body, what });
  const { accessToken, expireTime } = reply;
  const expiresAtMs = typeof expireTime === "string" ? Date.parse(expireTime) : Number.NaN;
  if (typeof accessToken !== "string" || accessToken === "" || Number.isNaN(expiresAtMs)) throw new CredentialError(`${what} answered without accessToken or expireTime`, true);
  return { accessToken, expiresAtMs };
}

/** `ENOENT` and the like. */
export function codeOf(fault: unknown): string {
  if (typeof fault === "object" && fault !== null && "code" in fault && typeof fault.code === "string") return fault.code;
  return fault instanceof Error ? fault.message : String(fault);
}
