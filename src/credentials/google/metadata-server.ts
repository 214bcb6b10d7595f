/**
 * The login of a machine in Google's cloud: its metadata server hands out tokens of the service account attached to it. The
 * header `Metadata-Flavor: Google` goes both ways, so that neither side takes a stranger for the other.
 *
 * https://cloud.google.com/compute/docs/metadata/querying-metadata and
 * https://cloud.google.com/compute/docs/access/authenticate-workloads, checked 2026-11.
 */
import { CredentialError, type CredentialRuntime, type LoginReply } from "../runtime.ts";
import { exchange, jsonObject, refusal, tokenOf, type AccessToken, type LoginContext } from "./exchange.ts";

const base = "/computeMetadata/v1";
const what = "Google's metadata server";
/** It stands next door; on a machine outside Google's cloud nobody answers, and nobody should wait long for that. */
const timeoutMs = 3000;

/** False where the environment says that there is none; the names are those of Google's libraries for Python and for Node. */
export function mayAskMetadata({ env }: CredentialRuntime): boolean {
  return env["NO_GCE_CHECK"]?.toLowerCase() !== "true" && env["METADATA_SERVER_DETECTION"]?.trim().toLowerCase() !== "none";
}

/** @throws CredentialError */
export async function tokenFromMetadata({ runtime, scopes }: LoginContext): Promise<AccessToken> {
  const nowMs = runtime.clock.now();
  const query = scopes.length === 0 ? "" : `?scopes=${encodeURIComponent(scopes.join(","))}`;
  const reply = await ask(runtime, `/instance/service-accounts/default/token${query}`);
  if (reply.status !== 200) throw refusal(what, reply);
  return tokenOf(jsonObject(reply.body, what), what, nowMs);
}

/** The project of the machine; undefined when the server does not say. */
export async function projectFromMetadata(runtime: CredentialRuntime): Promise<string | undefined> {
  try {
    const reply = await ask(runtime, "/project/project-id");
    const text = reply.body.toString("utf8").trim();
    return reply.status === 200 && text !== "" ? text : undefined;
  } catch {
    return undefined;
  }
}

async function ask(runtime: CredentialRuntime, path: string): Promise<LoginReply> {
  const reply = await exchange(runtime, what, { origin: originOf(runtime), method: "GET", path: `${base}${path}`, headers: ["metadata-flavor", "Google"], body: null, timeoutMs });
  if (flavorOf(reply) !== "Google") throw new CredentialError(`${what} answered without Metadata-Flavor: Google, so it is something else`, false);
  return reply;
}

function flavorOf({ headers }: LoginReply): string | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2) if (headers[index]!.toLowerCase() === "metadata-flavor") return headers[index + 1];
  return undefined;
}

function originOf({ env }: CredentialRuntime): string {
  const host = env["GCE_METADATA_HOST"] ?? env["GCE_METADATA_IP"] ?? "169.254.169.254";
  const origin = `http://${host}`;
  if (!/^[A-Za-z0-9._:[\]-]+$/.test(host) || !URL.canParse(origin)) throw new CredentialError("GCE_METADATA_HOST is no host name or address", false);
  return new URL(origin).origin;
}
