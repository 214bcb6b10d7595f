/**
 * Temporary keys from AWS's token service: a role assumed with other keys, or with an identity token. The query protocol: a form
 * goes out, XML comes back, of which the few elements needed are read strictly
 * (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and API_AssumeRoleWithWebIdentity.html, checked
 * 2026-11). Always at the region's own endpoint; the global one is used only where an operator names it.
 */
import { Secret } from "../../kernel/secret.ts";
import { CredentialError } from "../runtime.ts";
import { ask, firstSentence, futureOf, isTransientStatus, originOf, type AwsLogin } from "./login.ts";
import { signRequest } from "./sign.ts";
import type { AwsCredentials } from "./types.ts";

const timeoutMs = 10_000;
/** One hour: STS's own default, and the longest it gives to a role assumed by a role. */
const durationSecondsDefault = 3_600;
const sessionNameDefault = "tollgate";

/** Which role, and how. */
export interface RoleRequest {
  readonly roleArn: string;
  readonly sessionName: string | undefined;
  readonly externalId?: string | undefined;
  /** 900 to 43 200; the role's own limit holds besides. */
  readonly durationSeconds?: number | undefined;
}

/** `AssumeRole`, signed with `source`. */
export async function assumeRole(login: AwsLogin, source: AwsCredentials, role: RoleRequest): Promise<AwsCredentials> {
  const form = formOf("AssumeRole", role);
  if (role.externalId !== undefined) form.set("ExternalId", role.externalId);
  const { origin, region } = endpoint(login);
  const body = Buffer.from(form.toString());
  const added = await signRequest({
    method: "POST",
    host: new URL(origin).host,
    path: "/",
    query: "",
    headers: formHeaders,
    body,
    region,
    service: "sts",
    credentials: source,
    nowMs: login.runtime.clock.now(),
  });
  return exchange(login, { origin, headers: [...formHeaders, ...added], body, action: "AssumeRole", roleArn: role.roleArn });
}

/** `AssumeRoleWithWebIdentity`, not signed: the token in the file is the proof. It is read at each login, since it is replaced while it lives. */
export async function assumeRoleWithWebIdentity(login: AwsLogin, tokenFile: string, role: RoleRequest): Promise<AwsCredentials> {
  const token = (await login.files.read(tokenFile))?.text.trim();
  if (token === undefined) throw new CredentialError(`the web identity token file ${tokenFile} is not there`, true);
  if (token === "") throw new CredentialError(`the web identity token file ${tokenFile} is empty`, true);
  const form = formOf("AssumeRoleWithWebIdentity", role);
  form.set("WebIdentityToken", token);
  const { origin } = endpoint(login);
  return exchange(login, { origin, headers: formHeaders, body: Buffer.from(form.toString()), action: "AssumeRoleWithWebIdentity", roleArn: role.roleArn });
}

const formHeaders: readonly string[] = ["content-type", "application/x-www-form-urlencoded; charset=utf-8", "accept", "text/xml"];

function formOf(action: string, { roleArn, sessionName = sessionNameDefault, durationSeconds = durationSecondsDefault }: RoleRequest): URLSearchParams {
  if (!/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/.test(roleArn)) throw new CredentialError(`${JSON.stringify(roleArn)} is not the ARN of an IAM role`, false);
  if (!/^[\w+=,.@-]{2,64}$/.test(sessionName)) throw new CredentialError(`the role session name ${JSON.stringify(sessionName)} is not 2 to 64 of letters, digits and _+=,.@-`, false);
  return new URLSearchParams([
    ["Action", action],
    ["Version", "2011-06-15"],
    ["RoleArn", roleArn],
    ["RoleSessionName", sessionName],
    ["DurationSeconds", String(durationSeconds)],
  ]);
}

/** Where to ask, and the region to sign for: the one that the endpoint's name tells, since a VPC endpoint may be elsewhere. */
function endpoint(login: AwsLogin): { readonly origin: string; readonly region: string } {
  const { region, stsEndpoint } = login.options;
  if (stsEndpoint === undefined) return { origin: originOf("sts", region), region };
  let url: URL;
  try {
    url = new URL(stsEndpoint);
  } catch {
    throw new CredentialError(`the STS endpoint ${JSON.stringify(stsEndpoint)} is not a URL`, false);
  }
  if (url.pathname !== "/" || url.search !== "" || url.username !== "") throw new CredentialError("the STS endpoint must be an origin: scheme, host and port only", false);
  if (url.hostname === "sts.amazonaws.com") return { origin: url.origin, region: "us-east-1" };
  return { origin: url.origin, region: /(?:^|\.)sts(?:-fips)?\.([a-z]{2,5}(?:-[a-z]+)+-\d{1,2})\./.exec(url.hostname)?.[1] ?? region };
}

/** Codes of STS that pass by themselves, beside 5xx. */
const transientCodes = new Set(["Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError", "InternalFailure", "ServiceUnavailable"]);

interface Exchange {
  readonly origin: string;
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly action: string;
  readonly roleArn: string;
}

async function exchange(login: AwsLogin, { origin, headers, body, action, roleArn }: Exchange): Promise<AwsCredentials> {
  const what = `STS at ${new URL(origin).host}`;
  const reply = await ask(login, { origin, method: "POST", path: "/", headers, body, timeoutMs }, what);
  const xml = reply.body.toString("utf8");
  if (reply.status !== 200) {
    const code = /<Code>([\w.]{1,80})<\/Code>/.exec(xml)?.[1] ?? `status ${reply.status}`;
    const message = firstSentence(unescapeXml(/<Message>([^<]*)<\/Message>/.exec(xml)?.[1] ?? ""));
    throw new CredentialError(`${what} refused ${action} of ${roleArn}: ${code}${message === "" ? "" : `: ${message}`}`, isTransientStatus(reply.status) || transientCodes.has(code));
  }
  const said = `the reply of ${what}`;
  const result = onlyElement(xml, `${action}Result`, said);
  const keys = onlyElement(result, "Credentials", said);
  const accountId = /<Arn>arn:[\w-]+:sts::(\d{12}):/.exec(result)?.[1];
  return {
    accessKeyId: onlyText(keys, "AccessKeyId", said),
    secretAccessKey: new Secret(onlyText(keys, "SecretAccessKey", said)),
    sessionToken: new Secret(onlyText(keys, "SessionToken", said)),
    expiresAtMs: futureOf(login, onlyText(keys, "Expiration", said), said),
    ...(accountId === undefined ? {} : { accountId }),
  };
}

/** The inside of an element that must be there once. */
function onlyElement(xml: string, name: string, said: string): string {
  const parts = xml.split(new RegExp(`<${name}(?:\\s[^<>]*)?>`));
  const inside = parts[1]?.split(`</${name}>`);
  if (parts.length !== 2 || inside?.length !== 2) throw new CredentialError(`${said} does not have one ${name}`, false);
  return inside[0]!;
}

/** The same for an element that holds nothing but text, and some. */
function onlyText(xml: string, name: string, said: string): string {
  const text = onlyElement(xml, name, said).trim();
  if (text === "" || text.includes("<")) throw new CredentialError(`${said} has a ${name} that is not text`, false);
  return unescapeXml(text);
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(lt|gt|quot|apos|amp));/g, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return entities[name] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
