/** The checks of `doctor` over the network: the gateway, the key, and the providers' addresses. */
import type { EgressConfig } from "../config/gateway-config.ts";
import { CliError } from "./cli-error.ts";
import { errorText, gatewayClient, type GatewayAddress, type GatewayReply } from "./client.ts";
import type { ConfiguredPlace } from "./configuration.ts";
import { fail, ok, skip, warn, type Finding } from "./doctor-finding.ts";
import { listOf, objectOf, textOf } from "./json.ts";
import { probe, type ProbeResult } from "./probe.ts";

/** What the gateway itself told. */
export interface GatewayFindings {
  readonly findings: readonly Finding[];
  readonly isReady: boolean;
  /** Its `date` header. */
  readonly date: string | undefined;
}

/** Readiness, then with a developer key who it is and what it may use. */
export async function checkGateway(address: GatewayAddress): Promise<GatewayFindings> {
  const client = gatewayClient(address);
  let readiness: GatewayReply;
  try {
    readiness = await client.send("GET", "/health/readiness");
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { findings: [fail("gateway", error.message, error.mend)], isReady: false, date: undefined };
  }
  const date = readiness.headers.get("date") ?? undefined;
  if (readiness.status === 404) return { findings: [fail("gateway", `Something answers at ${address.url}, but it is no Tollgate.`, "Name the gateway with --url or TOLLGATE_URL.")], isReady: false, date };
  if (readiness.status !== 200) return { findings: [fail("gateway", `${address.url} is not ready (status ${readiness.status}): ${errorText(readiness)}`, "Look into the gateway's log; most often its ledger cannot be written.")], isReady: false, date };
  const findings = [ok("gateway", `${address.url} is ready.`)];
  if (address.key === undefined) findings.push(skip("key", "No developer key is at hand: neither TOLLGATE_KEY nor one in the data folder."));
  else findings.push(...(await checkKey(address)));
  return { findings, isReady: true, date };
}

async function checkKey(address: GatewayAddress): Promise<readonly Finding[]> {
  const client = gatewayClient(address);
  const me = await client.send("GET", "/v1/me");
  if (me.status === 401 || me.status === 403) return [fail("key", `The key from ${address.keySource} was not accepted: ${errorText(me)}`, "Make one with `tollgate keys create`.")];
  if (me.status !== 200) return [warn("key", `The key from ${address.keySource} could not be checked (status ${me.status}): ${errorText(me)}`, "Look into the gateway's log.")];
  const models = await client.send("GET", "/v1/models");
  const names = listOf(objectOf(models.body).data).map((model) => textOf(objectOf(model).id));
  const key = ok("key", `The key from ${address.keySource} is accepted.`);
  if (models.status !== 200) return [key, warn("models", `The list of models could not be read (status ${models.status}).`, "Look into the gateway's log.")];
  // The client's model discovery keeps such names only: reference of the gateway protocol, section on GET /v1/models.
  const visible = names.filter((name) => /claude|anthropic/i.test(name));
  if (visible.length === 0 && names.length > 0) return [key, warn("models", `None of the ${names.length} models has claude or anthropic in its name, so Claude Code's discovery hides all.`, "Give one such a name or alias.")];
  return [key, names.length === 0 ? warn("models", "The key may use no listed model.", "Check `models` in the configuration, and the key's with `tollgate keys show`.") : ok("models", `${names.length} may be used.`)];
}

/** Whether the admin commands of this machine would be let in. The gateway is ready. */
export async function checkAdminKey(address: GatewayAddress): Promise<Finding> {
  if (address.key === undefined) return skip("admin key", "No admin key is at hand: neither TOLLGATE_ADMIN_KEY nor one in the data folder.");
  const reply = await gatewayClient(address).send("GET", "/key/list?size=1");
  if (reply.status === 200) return ok("admin key", `The admin key from ${address.keySource} is accepted.`);
  if (reply.status === 401 && address.refusedKey !== undefined) return fail("admin key", address.refusedKey.message, address.refusedKey.mend);
  if (reply.status === 403) return fail("admin key", `The key from ${address.keySource} is a developer's.`, "Put the admin key there.");
  return warn("admin key", `The admin key from ${address.keySource} could not be checked (status ${reply.status}): ${errorText(reply)}`, "Look into the gateway's log.");
}

/** A provider's answer, kept for the clock check. */
export interface UpstreamFindings {
  readonly findings: readonly Finding[];
  readonly date: string | undefined;
  readonly dateSource: string;
}

const probeTimeoutMs = 5_000;

/** One probe for each address that the configuration names; places that are simulated have none. */
export async function checkUpstreams(places: readonly ConfiguredPlace[], egress: EgressConfig): Promise<UpstreamFindings> {
  const real = places.filter((place) => !place.isSimulated);
  if (real.length === 0) return { findings: [skip("upstream", "There is no provider but the simulated one.")], date: undefined, dateSource: "" };
  const way = egress.proxy === undefined ? "" : ` (by way of the proxy ${proxyName(egress.proxy.reveal())}, unless NO_PROXY exempts the host)`;
  const results = await Promise.all(
    real.map(async ({ name, origin }) => {
      const { host } = new URL(origin);
      const result = await probe(origin, egress, probeTimeoutMs);
      return { finding: upstreamFinding(name, `${host}${way}`, result), date: result.isReached ? result.date : undefined, host };
    }),
  );
  const dated = results.find((result) => result.date !== undefined);
  return { findings: results.map((result) => result.finding), date: dated?.date, dateSource: dated?.host ?? "" };
}

function upstreamFinding(name: string, where: string, result: ProbeResult): Finding {
  if (result.isReached) return ok("upstream", `${name}: ${where} answers.`);
  return fail("upstream", `${name}: ${where} cannot be reached: ${result.reason}.`, "Check the network, `base_url`, and `egress` or HTTPS_PROXY, NO_PROXY and NODE_EXTRA_CA_CERTS.");
}

/** A proxy's address without the login it may hold. */
function proxyName(text: string): string {
  return URL.canParse(text) ? new URL(text).host : "(not an address)";
}
