/**
 * Credentials of an IAM Identity Center login: the access token that `aws sso login` left in its cache is exchanged for the keys of
 * a role. Where the cache holds a refresh token, an access token near its end is renewed; the renewed one is kept in memory only,
 * since the cache belongs to AWS's tools (aws/aws-sdk-js-v3, packages/token-providers and packages/credential-provider-sso;
 * https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/API_GetRoleCredentials.html and
 * https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_CreateToken.html, checked 2026-11).
 */
import { createHash } from "node:crypto";
import { Secret } from "../../kernel/secret.ts";
import { CredentialError } from "../runtime.ts";
import { ask, complaintOf, futureOf, isTransientStatus, originOf, parseObject, textOf, type AwsLogin } from "./login.ts";
import type { AwsCredentials } from "./types.ts";

/** What a profile says of its login. */
export interface SsoSettings {
  readonly startUrl: string;
  readonly region: string;
  readonly accountId: string;
  readonly roleName: string;
  /** The session's name; undefined for a profile of the older form, whose cache goes by the start URL. */
  readonly session: string | undefined;
}

/** A cached login: JSON of the cache file. */
interface SsoToken {
  readonly accessToken: string;
  readonly expiresAtMs: number;
  readonly refresh: { readonly clientId: string; readonly clientSecret: string; readonly refreshToken: string } | undefined;
}

/** Tokens that were renewed here, by cache file; each holds until that file changes. */
export type SsoMemory = Map<string, { readonly fileModifiedAtMs: number | undefined; readonly token: SsoToken }>;

const timeoutMs = 10_000;
/** A token is renewed this long before its end, as AWS's clients do it. */
const renewAheadMs = 5 * 60_000;

export async function fromSso(login: AwsLogin, sso: SsoSettings, profile: string): Promise<AwsCredentials> {
  const hint = `: run "aws sso login --profile ${profile}"`;
  const token = await tokenOf(login, sso, hint);
  const origin = originOf("portal.sso", sso.region);
  const what = `IAM Identity Center at ${new URL(origin).host}`;
  const query = new URLSearchParams([["role_name", sso.roleName], ["account_id", sso.accountId]]);
  const reply = await ask(login, { origin, method: "GET", path: `/federation/credentials?${query.toString()}`, headers: ["x-amz-sso_bearer_token", token.accessToken, "accept", "application/json"], body: null, timeoutMs }, what);
  if (reply.status === 401) throw new CredentialError(`${what} does not take the login any more${hint}`, false);
  if (reply.status !== 200) throw new CredentialError(`${what} answered ${reply.status} for the role ${sso.roleName} of account ${sso.accountId}${complaintOf(reply)}`, isTransientStatus(reply.status));
  const said = `the reply of ${what}`;
  const keys = parseObject(JSON.stringify(parseObject(reply.body.toString("utf8"), said)["roleCredentials"] ?? null), `roleCredentials in ${said}`);
  return {
    accessKeyId: textOf(keys, "accessKeyId", said),
    secretAccessKey: new Secret(textOf(keys, "secretAccessKey", said)),
    sessionToken: new Secret(textOf(keys, "sessionToken", said)),
    expiresAtMs: futureOf(login, keys["expiration"], said),
    accountId: sso.accountId,
  };
}

async function tokenOf(login: AwsLogin, sso: SsoSettings, hint: string): Promise<SsoToken> {
  const path = `~/.aws/sso/cache/${createHash("sha1").update(sso.session ?? sso.startUrl).digest("hex")}.json`;
  const file = await login.files.read(path);
  if (file === undefined) throw new CredentialError(`there is no login to IAM Identity Center in ${path}${hint}`, false);
  const renewed = login.ssoMemory.get(path);
  const token = renewed !== undefined && renewed.fileModifiedAtMs === file.modifiedAtMs ? renewed.token : parseToken(login, file.text, path);
  const now = login.runtime.clock.now();
  if (token.expiresAtMs - now > renewAheadMs) return token;
  let renewalFault: unknown;
  if (token.refresh !== undefined && sso.session !== undefined) {
    try {
      const fresh = await renew(login, token.refresh, sso.region);
      login.ssoMemory.set(path, { fileModifiedAtMs: file.modifiedAtMs, token: fresh });
      return fresh;
    } catch (fault) {
      renewalFault = fault;
    }
  }
  if (token.expiresAtMs > now) return token;
  if (renewalFault instanceof CredentialError) throw new CredentialError(`${renewalFault.message}${renewalFault.isTransient ? "" : hint}`, renewalFault.isTransient);
  throw new CredentialError(`the login to IAM Identity Center in ${path} has expired${hint}`, false);
}

function parseToken(login: AwsLogin, text: string, path: string): SsoToken {
  const object = parseObject(text, `the SSO cache file ${path}`);
  const expiresAtMs = Date.parse(textOf(object, "expiresAt", path));
  if (!Number.isFinite(expiresAtMs)) throw new CredentialError(`${path} has an expiresAt that cannot be read`, false);
  const { clientId, clientSecret, refreshToken, registrationExpiresAt } = object;
  // Past its end a registration renews nothing.
  const isRegistered = typeof registrationExpiresAt !== "string" || !(Date.parse(registrationExpiresAt) <= login.runtime.clock.now());
  const mayRenew = isRegistered && typeof clientId === "string" && typeof clientSecret === "string" && typeof refreshToken === "string";
  return { accessToken: textOf(object, "accessToken", path), expiresAtMs, refresh: mayRenew ? { clientId, clientSecret, refreshToken } : undefined };
}

async function renew(login: AwsLogin, refresh: NonNullable<SsoToken["refresh"]>, region: string): Promise<SsoToken> {
  const origin = originOf("oidc", region);
  const what = `IAM Identity Center's sign-in at ${new URL(origin).host}`;
  const body = Buffer.from(JSON.stringify({ ...refresh, grantType: "refresh_token" }));
  const reply = await ask(login, { origin, method: "POST", path: "/token", headers: ["content-type", "application/json", "accept", "application/json"], body, timeoutMs }, what);
  if (reply.status !== 200) throw new CredentialError(`${what} did not renew the login: ${reply.status}${complaintOf(reply)}`, isTransientStatus(reply.status));
  const said = `the reply of ${what}`;
  const object = parseObject(reply.body.toString("utf8"), said);
  const { expiresIn, refreshToken } = object;
  if (typeof expiresIn !== "number" || !(expiresIn > 0)) throw new CredentialError(`${said} has no expiresIn`, false);
  return {
    accessToken: textOf(object, "accessToken", said),
    expiresAtMs: login.runtime.clock.now() + expiresIn * 1_000,
    refresh: typeof refreshToken === "string" && refreshToken !== "" ? { ...refresh, refreshToken } : refresh,
  };
}
