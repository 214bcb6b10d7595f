/**
 * One question to a provider's address, for `doctor`: does anything answer there from this machine. It goes through the
 * gateway's own dialer, so that proxy, authorities and address rules are the ones that requests would meet. No
 * credential is sent, no redirect followed.
 */
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import type { EgressConfig } from "../config/gateway-config.ts";
import { createDialer } from "../egress/dialer.ts";
import { Cancellation } from "../kernel/cancellation.ts";
import { asGatewayError, GatewayError } from "../kernel/gateway-error.ts";
import { messageOf } from "./cli-error.ts";

/** What came back. Any HTTP status counts as an answer. */
export type ProbeResult =
  | { readonly isReached: true; readonly status: number; readonly date: string | undefined }
  | { readonly isReached: false; readonly reason: string };

/**
 * `HEAD /` of an address.
 *
 * @param origin `https://host[:port]`
 * @param timeoutMs for everything
 */
export async function probe(origin: string, egress: EgressConfig, timeoutMs: number): Promise<ProbeResult> {
  let certificates: string[] | undefined;
  try {
    if (egress.caFile !== undefined) certificates = [...getCACertificates("default"), readFileSync(egress.caFile, "utf8")];
  } catch (error) {
    return { isReached: false, reason: `egress.ca_file cannot be read: ${messageOf(error)}` };
  }
  const dialer = createDialer({ isConfigured: (asked) => asked === origin, connectMs: timeoutMs, proxy: egress.proxy, noProxy: egress.noProxy, certificates });
  const ending = new Cancellation();
  const timer = setTimeout(() => ending.cancel(new GatewayError("upstream_slow")), timeoutMs);
  try {
    const timeouts = { firstByteMs: timeoutMs, idleMs: timeoutMs };
    const reply = await dialer.system("probe", { origin, method: "HEAD", path: "/", headers: ["accept", "*/*"], body: null, timeouts }, ending);
    reply.abort();
    const index = reply.headers.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === "date");
    return { isReached: true, status: reply.status, date: index < 0 ? undefined : reply.headers[index + 1] };
  } catch (error) {
    const fault = asGatewayError(error);
    const isLate = fault.code === "upstream_slow" || fault.code === "client_closed";
    return { isReached: false, reason: isLate ? `no answer within ${timeoutMs / 1000} s` : (fault.details.internal ?? fault.code) };
  } finally {
    clearTimeout(timer);
    await dialer.close();
  }
}
