/** What the environment says about proxies, and which hosts mean this machine only. */
import { Secret } from "../kernel/secret.ts";

/** True when only this machine can reach an address. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** An egress proxy, or why the text is none. The text may hold a password and is never repeated. */
export type ProxyReading = { readonly proxy: Secret } | { readonly fault: string };

/** Reads `http://[user:password@]host:port`; a missing scheme means `http://`, as curl has it. */
export function readProxy(text: string): ProxyReading {
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const fault = { fault: "must be the address of a proxy such as `http://proxy.example:3128`" };
  if (!URL.canParse(address)) return fault;
  const { protocol, hostname, username, password } = new URL(address);
  if (!isDecodable(`${username}:${password}`)) return { fault: "has a `%` in its user or password that begins no code such as `%40`; a plain one is written `%25`" };
  return (protocol === "http:" || protocol === "https:") && hostname !== "" ? { proxy: new Secret(address) } : fault;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Hosts that a proxy named by the environment never gets: it could not reach them. */
const ownHosts = ["localhost", "127.0.0.1", "::1"];

/** Name and value of the first of the usual variables that is set; lower case first, as curl reads them. */
function firstSet(env: Readonly<Record<string, string | undefined>>, names: readonly string[]): { name: string; value: string } | undefined {
  for (const name of names) {
    const value = env[name];
    if (value !== undefined && value !== "") return { name, value };
  }
  return undefined;
}

/** `HTTPS_PROXY` and `NO_PROXY`, either case. */
export function proxyFromEnvironment(env: Readonly<Record<string, string | undefined>>): { readonly variable: string; readonly reading: ProxyReading; readonly noProxy: readonly string[] } | undefined {
  const found = firstSet(env, ["https_proxy", "HTTPS_PROXY"]);
  return found === undefined ? undefined : { variable: found.name, reading: readProxy(found.value), noProxy: [...new Set([...noProxyFromEnvironment(env), ...ownHosts])] };
}

/** Entries of `NO_PROXY`. */
export function noProxyFromEnvironment(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const found = firstSet(env, ["no_proxy", "NO_PROXY"]);
  return found === undefined ? [] : found.value.split(/[\s,]+/).filter((entry) => entry !== "");
}
