/** Why the gateway cannot listen, in one sentence with the address and what to do about it; the system's own words tell neither. */
import { CliError, messageOf } from "./cli-error.ts";

/** Said by the gateway when it is the metrics' own listener that failed. */
const metricsPrefix = "metrics: ";

/**
 * @param error as the start of the gateway threw it; the system's message (`listen EADDRINUSE: address already in use 127.0.0.1:4000`,
 * `getaddrinfo ENOTFOUND nowhere`) stands in it or in what it wraps
 * @returns undefined when something else than listening failed
 */
export function listenFailure(error: unknown): CliError | undefined {
  const text = messageOf(error);
  const match = /\blisten (E[A-Z]+)\b.*?\s(\S+):(\d+)$/.exec(text);
  const [portSetting, hostSetting] = text.startsWith(metricsPrefix) ? ["`metrics.port`", "`metrics.host`"] : ["--port", "--host or `listen.host`"];
  if (match === null) {
    const host = /\bgetaddrinfo E[A-Z_]+ (\S+)/.exec(text)?.[1];
    return host === undefined ? undefined : new CliError(`The address to listen on, ${host}, cannot be found: give one of this machine with ${hostSetting}.`);
  }
  const [, code = "", host = "", port] = match;
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return new CliError(`Another program listens on ${address} already: stop it, or choose another port with ${portSetting}.`);
    case "EACCES":
      return new CliError(`This user may not listen on ${address}: choose a port above 1023 with ${portSetting}.`);
    case "EADDRNOTAVAIL":
      return new CliError(`Nothing can listen on ${address}, because ${host} is no address of this machine: give another with ${hostSetting}.`);
    default:
      return new CliError(`The gateway cannot listen on ${address} (${code}): try another port with ${portSetting}, or another address with ${hostSetting}.`);
  }
}
