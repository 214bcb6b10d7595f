/**
 * Credentials that ECS tasks and EKS pods are given by an agent beside them
 * (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html; host rules as in aws/aws-sdk-js-v3,
 * packages/credential-provider-http, `checkUrl`; checked 2026-11).
 */
import { CredentialError } from "../runtime.ts";
import { ask, complaintOf, credentialsOf, envOf, isTransientStatus, parseObject, type AwsLogin } from "./login.ts";
import type { AwsCredentials } from "./types.ts";

const timeoutMs = 5_000;
const taskAgentOrigin = "http://169.254.170.2";
/** Over plain HTTP only these: ECS's agent, EKS's agent, and the own machine. */
const plainHosts = /^(?:169\.254\.170\.2|169\.254\.170\.23|\[fd00:ec2::23\]|localhost|\[::1\]|127\.\d+\.\d+\.\d+)$/;

/** @returns undefined when the environment names no agent */
export async function fromContainer(login: AwsLogin): Promise<AwsCredentials | undefined> {
  const url = agentUrl(login);
  if (url === undefined) return undefined;
  const what = `the container credentials agent at ${url.host}`;
  const token = await authorization(login);
  const headers = ["accept", "application/json", ...(token === undefined ? [] : ["authorization", token])];
  const reply = await ask(login, { origin: url.origin, method: "GET", path: url.pathname + url.search, headers, body: null, timeoutMs }, what);
  if (reply.status !== 200) throw new CredentialError(`${what} answered ${reply.status}${complaintOf(reply)}`, isTransientStatus(reply.status));
  const said = `the reply of ${what}`;
  return credentialsOf(login, parseObject(reply.body.toString("utf8"), said), said, { token: "Token", isTokenNeeded: true });
}

/** The relative variable goes before the full one, as the guide says. */
function agentUrl(login: AwsLogin): URL | undefined {
  const relative = envOf(login, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const full = envOf(login, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (relative !== undefined) {
    if (!/^\/(?!\/)[^\s\\]*$/.test(relative)) throw new CredentialError("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a path that begins with one slash", false);
    return new URL(relative, taskAgentOrigin);
  }
  if (full === undefined) return undefined;
  let url: URL;
  try {
    url = new URL(full);
  } catch {
    throw new CredentialError("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL", false);
  }
  const isAllowed = url.protocol === "https:" || (url.protocol === "http:" && plainHosts.test(url.hostname));
  if (!isAllowed) throw new CredentialError(`AWS_CONTAINER_CREDENTIALS_FULL_URI names ${url.host}: over plain HTTP only loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23] are allowed`, false);
  if (url.username !== "" || url.password !== "") throw new CredentialError("AWS_CONTAINER_CREDENTIALS_FULL_URI must not hold a user name or password", false);
  return url;
}

/** The file goes before the variable, and is read at each login since it is replaced while the pod lives. */
async function authorization(login: AwsLogin): Promise<string | undefined> {
  const path = envOf(login, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  let token = envOf(login, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (path !== undefined) {
    token = (await login.files.read(path))?.text.trim();
    if (token === undefined || token === "") throw new CredentialError(`the container authorization token file ${path} is not there or empty`, true);
  }
  if (token !== undefined && /[^\x21-\x7e\x20]/.test(token)) throw new CredentialError("the container authorization token holds characters that no header may hold", false);
  return token;
}
