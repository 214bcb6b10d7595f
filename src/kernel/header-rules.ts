/** What an operator may write as a header of requests to an upstream. */

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Headers that frame a message or name its receiver: set by the connection, never by an operator. */
const framingHeaders = new Set(["connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);

/** What is wrong with a header's name; undefined when nothing is. */
export function headerNameFault(name: string): string | undefined {
  if (!headerName.test(name)) return "must be the name of an HTTP header";
  return framingHeaders.has(name.toLowerCase()) ? "is set by the connection itself and cannot be chosen" : undefined;
}

/** Visible characters, spaces and tabs, on one line. */
export function isHeaderValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
