/**
 * What the log says when no connection came about: beside the fault, what the operator can do about it. It never holds a
 * login, and no client sees it.
 */

/** Codes of OpenSSL for a chain that ends at nobody who is trusted. */
const untrusted = new Set(["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT"]);

/**
 * @param code of the fault, as Node.js and OpenSSL name it; undefined when there is none
 * @returns the end of a sentence; empty where there is nothing to advise
 */
export function adviceFor(peer: "proxy" | "upstream", code: string | undefined): string {
  if (code !== undefined && untrusted.has(code)) return "; where its authority is a private one, name that authority's certificate in egress.ca_file or NODE_EXTRA_CA_CERTS";
  if (code === "EFORBIDDENADDRESS") return "; the name leads to this machine or to a link-local service, which only an address that the configuration itself writes may do";
  return peer === "proxy" ? "; check egress.proxy or HTTPS_PROXY" : "";
}

/**
 * @param target `host:port` that the proxy was asked for
 * @param hasLogin whether a login was sent
 */
export function proxyRefusal(status: number, target: string, hasLogin: boolean): string {
  const answered = `the proxy answered ${status}`;
  if (status === 407) return `${answered}: ${hasLogin ? "it does not take the login that egress.proxy or HTTPS_PROXY has" : "it wants a login; write egress.proxy or HTTPS_PROXY as http://user:password@host:port"}`;
  if (status === 401 || status === 403) return `${answered}: it does not let this gateway reach ${target}; have it allowed there, or name the host in egress.no_proxy or NO_PROXY`;
  if (status >= 500) return `${answered}: it cannot reach ${target} itself; look into the proxy's own log, or name the host in egress.no_proxy or NO_PROXY`;
  return `${answered} to CONNECT ${target}; check that egress.proxy or HTTPS_PROXY is an HTTP proxy that tunnels`;
}
