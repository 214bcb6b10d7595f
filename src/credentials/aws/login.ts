/**
 * What every step of an AWS login shares: its surroundings, requests whose failures become words for the operator, and checks of
 * what came back. Replies are never quoted whole: AWS's own complaint about a signature repeats the session token.
 */
import { Secret } from "../../kernel/secret.ts";
import { CredentialError, type CredentialRuntime, type LoginReply, type LoginRequest } from "../runtime.ts";
import type { LoginFiles } from "./files.ts";
import type { SsoMemory } from "./sso.ts";
import type { AwsCredentialOptions, AwsCredentials } from "./types.ts";

/** The surroundings of one login. */
export interface AwsLogin {
  readonly options: AwsCredentialOptions;
  readonly runtime: CredentialRuntime;
  /** Files as this login sees them; what it reads is watched afterwards. */
  readonly files: LoginFiles;
  /** Outlives the login. */
  readonly ssoMemory: SsoMemory;
}

/** Credentials with the role they are of, where the login knows it. */
export interface Found {
  readonly credentials: AwsCredentials;
  readonly roleArn?: string;
}

/** An environment variable; empty counts as absent, as in AWS's clients. */
export function envOf(login: AwsLogin, name: string): string | undefined {
  const value = login.runtime.env[name]?.trim();
  return value === "" ? undefined : value;
}

/** @throws CredentialError, transient, when no whole reply came. `what` begins the sentence: `STS at sts.eu-west-1.amazonaws.com`. */
export async function ask(login: AwsLogin, request: LoginRequest, what: string): Promise<LoginReply> {
  try {
    return await login.runtime.request(request);
  } catch (error) {
    throw new CredentialError(`${what} did not answer${codeOf(error)}`, true);
  }
}

/** ` (ECONNREFUSED)`, or nothing: an error's code is safe to tell, its message may not be. */
export function codeOf(error: unknown): string {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? ` (${code})` : "";
}

/** For a reply that is no success: later tries may do better after a 5xx, a 429 and a 408. */
export function isTransientStatus(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

/** The first sentence of a service's complaint, at most 200 characters of it and of one line. */
export function firstSentence(text: string): string {
  return (/^[^\n\r]*?(?=\.(?:\s|$)|[\n\r]|$)/.exec(text.trim())?.[0] ?? "").slice(0, 200);
}

/** @throws CredentialError when the text is no JSON object; nothing of the text is told */
export function parseObject(text: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CredentialError(`${what} is not JSON`, false);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new CredentialError(`${what} is not a JSON object`, false);
  return Object.fromEntries(Object.entries(value));
}

/** A member that must be there and a text. */
export function textOf(object: Readonly<Record<string, unknown>>, name: string, what: string): string {
  const value = object[name];
  if (typeof value !== "string" || value === "") throw new CredentialError(`${what} has no ${name}`, false);
  return value;
}

/** What a service says about its refusal, for the end of a sentence; members as different services name them. */
export function complaintOf(reply: LoginReply): string {
  try {
    const object = parseObject(reply.body.toString("utf8"), "");
    const words = ["Code", "code", "error", "__type", "Message", "message", "error_description"].flatMap((name) => (typeof object[name] === "string" && object[name] !== "" ? [firstSentence(object[name])] : []));
    return words.length === 0 ? "" : `: ${words.join(": ")}`;
  } catch {
    return "";
  }
}

/**
 * Milliseconds since the epoch of a moment that lies ahead.
 *
 * @param moment RFC 3339 text, or milliseconds
 * @throws CredentialError when it is no moment, or has passed
 */
export function futureOf(login: AwsLogin, moment: unknown, what: string): number {
  const ms = typeof moment === "number" ? moment : typeof moment === "string" ? Date.parse(moment) : Number.NaN;
  if (!Number.isFinite(ms)) throw new CredentialError(`${what} has an expiry that cannot be read`, false);
  if (ms <= login.runtime.clock.now()) throw new CredentialError(`${what} has expired, at ${new Date(ms).toISOString()}`, false);
  return ms;
}

/** Credentials from the JSON that the metadata services and programs give: `AccessKeyId`, `SecretAccessKey`, `Token`, `Expiration`, `AccountId`. */
export function credentialsOf(login: AwsLogin, object: Readonly<Record<string, unknown>>, what: string, names: { readonly token: string; readonly isTokenNeeded: boolean }): AwsCredentials {
  const token = object[names.token];
  const hasToken = typeof token === "string" && token !== "";
  if (!hasToken && names.isTokenNeeded) throw new CredentialError(`${what} has no ${names.token}`, false);
  const accountId = object["AccountId"];
  const expiration = object["Expiration"];
  if (expiration === undefined && names.isTokenNeeded) throw new CredentialError(`${what} has no Expiration`, false);
  return {
    accessKeyId: textOf(object, "AccessKeyId", what),
    secretAccessKey: new Secret(textOf(object, "SecretAccessKey", what)),
    ...(hasToken ? { sessionToken: new Secret(token) } : {}),
    expiresAtMs: expiration === undefined || expiration === null ? undefined : futureOf(login, expiration, what),
    ...(typeof accountId === "string" && accountId !== "" ? { accountId } : {}),
  };
}

/** Domain of a region's services, by what the region's name begins with (aws/aws-sdk-js-v3 `partitions.json`, checked 2026-11). */
const suffixes: readonly (readonly [RegExp, string])[] = [
  [/^cn-/, "amazonaws.com.cn"],
  [/^eusc-/, "amazonaws.eu"],
  [/^us-isob-/, "sc2s.sgov.gov"],
  [/^us-isof-/, "csp.hci.ic.gov"],
  [/^us-iso-/, "c2s.ic.gov"],
  [/^eu-isoe-/, "cloud.adc-e.uk"],
];

/**
 * Origin of a service in a region: `https://sts.eu-west-1.amazonaws.com`.
 *
 * @throws CredentialError for a region that is none: it becomes part of a host name
 */
export function originOf(service: string, region: string): string {
  if (!/^[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}$/.test(region)) throw new CredentialError(`${JSON.stringify(region)} is not the name of an AWS region`, false);
  return `https://${service}.${region}.${domainOf(region)}`;
}

/** Domain that a region's services stand below: `amazonaws.com` nearly everywhere. */
export function domainOf(region: string): string {
  return suffixes.find(([start]) => start.test(region))?.[1] ?? "amazonaws.com";
}
