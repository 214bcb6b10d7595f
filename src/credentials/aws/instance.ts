/**
 * Credentials of the role of an EC2 instance, from its metadata service, version 2 only: a token first, then the role. Version 1,
 * which AWS's JavaScript client still falls back to, answers whoever can make the machine send a GET, so it is not spoken
 * (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html and
 * smithy-lang/smithy-typescript, packages/credential-provider-imds, checked 2026-11).
 */
import { CredentialError } from "../runtime.ts";
import { ask, credentialsOf, envOf, isTransientStatus, parseObject, type AwsLogin } from "./login.ts";
import type { AwsCredentials } from "./types.ts";

/** Short, because the service is one hop away or not there at all; a machine elsewhere must not wait for it long. */
const timeoutMs = 1_000;
const rolePath = "/latest/meta-data/iam/security-credentials/";

/** What the metadata service gave, or why it gave nothing. */
export type FromInstance = { readonly kind: "found"; readonly credentials: AwsCredentials } | { readonly kind: "off" | "absent"; readonly why: string };

/**
 * @returns `off` when the environment forbids it, `absent` when nothing answers or no role is attached
 * @throws CredentialError when the service is there and fails
 */
export async function fromInstance(login: AwsLogin): Promise<FromInstance> {
  if (envOf(login, "AWS_EC2_METADATA_DISABLED")?.toLowerCase() === "true") return { kind: "off", why: "switched off by AWS_EC2_METADATA_DISABLED" };
  const origin = originOfService(login);
  const what = `the instance metadata service at ${new URL(origin).host}`;
  let token: string;
  try {
    token = await tokenOf(login, origin, what);
  } catch (error) {
    if (error instanceof Absent) return { kind: "absent", why: error.message };
    throw error;
  }
  const get = (path: string) => ask(login, { origin, method: "GET", path, headers: ["x-aws-ec2-metadata-token", token], body: null, timeoutMs }, what);
  const roles = await get(rolePath);
  if (roles.status === 404) return { kind: "absent", why: `${what} says that the instance has no role` };
  if (roles.status !== 200) throw new CredentialError(`${what} answered ${roles.status} when asked for the instance's role`, isTransientStatus(roles.status));
  const role = roles.body.toString("utf8").trim().split(/\r?\n/)[0] ?? "";
  if (!/^[\w+=,.@-]{1,128}$/.test(role)) throw new CredentialError(`${what} gave no usable name of the instance's role`, false);
  const reply = await get(`${rolePath}${role}`);
  if (reply.status !== 200) throw new CredentialError(`${what} answered ${reply.status} when asked for the credentials of ${role}`, isTransientStatus(reply.status));
  const said = `the reply of ${what}`;
  const object = parseObject(reply.body.toString("utf8"), said);
  const code = object["Code"];
  if (typeof code === "string" && code !== "Success") throw new CredentialError(`${what} has no credentials for ${role}: ${code.slice(0, 80)}`, true);
  return { kind: "found", credentials: credentialsOf(login, object, said, { token: "Token", isTokenNeeded: true }) };
}

class Absent extends Error {}

async function tokenOf(login: AwsLogin, origin: string, what: string): Promise<string> {
  let reply;
  try {
    reply = await ask(login, { origin, method: "PUT", path: "/latest/api/token", headers: ["x-aws-ec2-metadata-token-ttl-seconds", "21600"], body: null, timeoutMs }, what);
  } catch (error) {
    throw new Absent(`${error instanceof Error ? error.message : what}; in a container on EC2 the instance's hop limit for metadata must be 2`);
  }
  const token = reply.body.toString("latin1").trim();
  if (reply.status === 200 && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new CredentialError(`${what} answered ${reply.status} when asked for a token of its version 2; version 1 is not used`, isTransientStatus(reply.status));
}

function originOfService(login: AwsLogin): string {
  const named = envOf(login, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (named === undefined) return envOf(login, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")?.toLowerCase() === "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  let url: URL;
  try {
    url = new URL(named);
  } catch {
    throw new CredentialError("AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL", false);
  }
  if (!/^https?:$/.test(url.protocol) || url.pathname !== "/" || url.search !== "") throw new CredentialError("AWS_EC2_METADATA_SERVICE_ENDPOINT must be an origin: scheme, host and port only", false);
  return url.origin;
}
