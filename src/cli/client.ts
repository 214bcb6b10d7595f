/**
 * HTTP from the command line to one gateway, and nowhere else: no redirect is followed, because the admin key would
 * travel with it. The only place outside `egress/` that opens connections.
 */
import type { Secret } from "../kernel/secret.ts";
import { CliError, systemCodeOf } from "./cli-error.ts";
import { objectOf, textOf } from "./json.ts";
import { plainText } from "./text.ts";

/** A gateway and the credential for it. */
export interface GatewayAddress {
  /** Root of the gateway, no trailing slash. */
  readonly url: string;
  /** Where `url` came from, for error messages: a flag, a variable, or `the default`. */
  readonly urlSource: string;
  readonly key: Secret | undefined;
  /** Where `key` came from, for error messages. */
  readonly keySource: string;
  /** What a 401 means with this key; absent: only that it was not accepted. */
  readonly refusedKey?: { readonly message: string; readonly mend: string };
  readonly timeoutMs: number;
}

/** A reply of any status. */
export interface GatewayReply {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; the text when it is none. */
  readonly body: unknown;
}

/** Calls to one gateway. */
export interface GatewayClient {
  readonly address: GatewayAddress;
  /**
   * One request, any answer.
   *
   * @throws CliError when there is no answer in time, or the answer is a redirect
   */
  send(method: "GET" | "POST", path: string, body?: unknown): Promise<GatewayReply>;
  /**
   * One request that has to succeed.
   *
   * @returns the parsed body of a 2xx reply
   * @throws CliError with the gateway's own sentence otherwise
   */
  call(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown>;
}

/** Nothing is sent before the first call. */
export function gatewayClient(address: GatewayAddress): GatewayClient {
  const send: GatewayClient["send"] = async (method, path, body) => {
    let status: number;
    let headers: Headers;
    let text: string;
    try {
      const response = await fetch(`${address.url}${path}`, {
        method,
        redirect: "manual",
        signal: AbortSignal.timeout(address.timeoutMs),
        headers: {
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(address.key === undefined ? {} : { authorization: `Bearer ${address.key.reveal()}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      status = response.status;
      headers = response.headers;
      text = await response.text();
    } catch (error) {
      throw noAnswer(address, error);
    }
    if (status >= 300 && status < 400) {
      throw new CliError(`${address.url} answered with a redirect (${status}), which is not followed, because the key would go with it.`, { mend: `Give the gateway's own address instead of ${address.urlSource}.` });
    }
    return { status, headers, body: parseBody(text) };
  };
  return {
    address,
    send,
    async call(method, path, body) {
      const reply = await send(method, path, body);
      if (reply.status >= 200 && reply.status < 300) return reply.body;
      throw refusal(address, reply, path);
    },
  };
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function noAnswer(address: GatewayAddress, error: unknown): CliError {
  const where = `${address.url} (from ${address.urlSource})`;
  if (error instanceof Error && error.name === "TimeoutError") return new CliError(`The gateway at ${where} did not answer within ${address.timeoutMs / 1000} s.`, { mend: "See `tollgate doctor`." });
  const code = systemCodeOf(error);
  const start = "Start it with `tollgate serve`, or name another with --url or TOLLGATE_URL.";
  if (code === "ECONNREFUSED") return new CliError(`No gateway answers at ${where}.`, { mend: start });
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return new CliError(`The host of ${where} cannot be found.`, { mend: "Check its spelling, and the name service." });
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") return new CliError(`${where} does not speak TLS.`, { mend: "Write http:// instead of https://." });
  if (code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code?.startsWith("HPE_") === true) return new CliError(`${where} closed the connection or does not speak plain HTTP.`, { mend: "Where the gateway has TLS, write https:// instead of http://." });
  if (code?.includes("CERT") === true || code?.includes("SELF_SIGNED") === true || code?.includes("ISSUER") === true) return new CliError(`The certificate of ${where} is not trusted (${code}).`, { mend: "Name your own authority's file in NODE_EXTRA_CA_CERTS." });
  return new CliError(`The gateway at ${where} cannot be reached (${code ?? "unknown reason"}).`, { mend: start });
}

function refusal(address: GatewayAddress, reply: GatewayReply, path: string): CliError {
  const route = path.replace(/\?.*$/, "");
  if (reply.status === 401) {
    const { message, mend } = address.refusedKey ?? { message: `The key from ${address.keySource} was not accepted at ${address.url}.`, mend: "" };
    return new CliError(message, { mend });
  }
  if (reply.status === 403) return new CliError(`The key from ${address.keySource} may not do this at ${address.url}: ${errorText(reply)}`, { mend: "Use the admin key." });
  return new CliError(`The gateway refused ${route} with status ${reply.status}: ${errorText(reply)}`);
}

/** The sentence in an error body: Anthropic's and LiteLLM's are both `{error: {message}}`. */
export function errorText(reply: Pick<GatewayReply, "body">): string {
  const body = objectOf(reply.body);
  const text = textOf(objectOf(body.error).message) || textOf(body.error) || textOf(body.detail) || textOf(body.message);
  return text === "" ? "no reason was given" : plainText(text).slice(0, 500);
}
