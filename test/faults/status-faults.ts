/** Replies that are no answers: refusals with every status, redirects, pages, nothing. */
import { isCloudMode, modes, type Expectation, type Fault, type Mode } from "./axes.ts";
import type { FaultyBehaviour } from "./faulty-places.ts";

/** Words of a cloud that no caller may read. */
export const canaryWords = "account 123456789012 arn:aws:iam::123456789012:role/canary-role https://10.9.8.7/canary";

const awsNames: Readonly<Record<number, string>> = { 401: "UnrecognizedClientException", 403: "AccessDeniedException", 404: "ResourceNotFoundException", 408: "ModelTimeoutException", 429: "ThrottlingException", 503: "ServiceUnavailableException" };

interface StatusOptions {
  readonly name?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly message?: string;
  readonly errorType?: string;
  readonly isParking?: true;
}

function refusal(status: number, { headers = {}, message, errorType }: StatusOptions, mode: Mode): FaultyBehaviour {
  if (!isCloudMode(mode)) return { status, headers, ...(message === undefined ? {} : { message }), ...(errorType === undefined ? {} : { errorType }) };
  const name = awsNames[status] ?? (status < 500 ? "ValidationException" : "InternalServerException");
  return { front: { status, body: { message: message ?? `Scripted error ${status}: ${canaryWords}` } }, headers: { ...headers, "x-amzn-errortype": `${name}:http://internal.amazon.com/` } };
}

function status(code: number, expect: Expectation, options: StatusOptions = {}): Fault {
  return {
    name: options.name ?? `status ${code}`,
    group: "status",
    phases: ["connect"],
    modes,
    play: ({ mode }) => ({ behaviour: refusal(code, options, mode) }),
    expect,
    status: code,
    ...(options.isParking === undefined ? {} : { isParking: options.isParking }),
  };
}

function raw(name: string, text: string, expect: Expectation, only: readonly Mode[] = modes): Fault {
  return { name, group: "status", phases: ["connect"], modes: only, play: () => ({ behaviour: { raw: text } }), expect };
}

function page(name: string, contentType: string, text: string): Fault {
  return { name, group: "status", phases: ["connect"], modes, play: () => ({ behaviour: { page: { contentType, text } } }), expect: "elsewhere" };
}

const json = JSON.stringify({ type: "error", error: { type: "api_error", message: "Words that break off" } });
const inTwoHours = (): string => new Date(Date.now() + 7_200_000).toUTCString();

export const statusFaults: readonly Fault[] = [
  ...[400, 409, 413, 422].map((code) => status(code, "relay")),
  ...[401, 403, 404, 408, 429, 500, 502, 503, 504, 520, 529].map((code) => status(code, "elsewhere")),
  status(402, "relay", { errorType: "billing_error" }),
  status(429, "elsewhere", { name: "status 429 with retry-after", headers: { "retry-after": "7" }, isParking: true }),
  status(429, "elsewhere", { name: "status 429 with a date", headers: { "retry-after": inTwoHours() }, isParking: true }),
  status(429, "elsewhere", { name: "status 429 with a retry-after that is none", headers: { "retry-after": "soon" } }),
  status(429, "elsewhere", { name: "status 429 of a spending cap", message: "You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC." }),
  status(529, "elsewhere", { name: "status 529 with retry-after 0", headers: { "retry-after": "0", "x-should-retry": "true" } }),
  raw("status 304", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n", "elsewhere"),
  raw("status 204", "HTTP/1.1 204 No Content\r\n\r\n", "elsewhere"),
  raw("status 307 to another host", "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/v1/messages\r\ncontent-length: 0\r\n\r\n", "elsewhere"),
  raw("status 101", "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", "elsewhere"),
  raw("status 999", "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", "elsewhere"),
  raw("status 500 that breaks off", `HTTP/1.1 500 Error\r\ncontent-type: application/json\r\ncontent-length: ${json.length + 40}\r\n\r\n${json}`, "elsewhere"),
  raw("status 400 that breaks off", `HTTP/1.1 400 Error\r\ncontent-type: application/json\r\ncontent-length: ${json.length + 40}\r\n\r\n${json}`, "any"),
  raw("status 400 without words", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "relay"),
  raw("status 500 as a page", "HTTP/1.1 500 Error\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>", "elsewhere"),
  raw("status 503 of 1 MiB", `HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: ${1024 * 1024}\r\n\r\n${" ".repeat(1024 * 1024)}`, "elsewhere"),
  page("200 as a page", "text/html; charset=utf-8", "<!DOCTYPE html><title>Just a moment...</title>"),
  page("200 as plain text", "text/plain", "OK"),
  page("200 with nothing in it", "application/json", ""),
  page("200 as an empty stream", "text/event-stream", ""),
  raw("200 without a type", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "elsewhere"),
].map((fault) => (fault.name === "status 400 without words" ? { ...fault, status: 400 } : fault));
