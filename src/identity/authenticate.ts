/**
 * From a request's headers to the one it acts for. A header may hold something that is not ours (a Google token, another
 * vendor's key): it is looked up like any other and simply not found. A refusal does not tell which part was wrong.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { KeyIndex } from "./key-index.ts";
import type { Principal } from "./principal.ts";
import { hashText } from "./virtual-key.ts";

/** What came of the look-up. */
export type Authentication =
  | {
      readonly ok: true;
      readonly principal: Principal;
      /** Lower-case name of the header that held the key. */
      readonly header: string;
      /** Another header held the valid key of somebody else; this one is billed. */
      readonly notice?: "two-keys";
    }
  | { readonly ok: false; readonly code: "client_key_missing" | "client_key_invalid" };

export interface Authenticator {
  /**
   * One hash and one map look-up for each header that may hold a key, valid or not; headers with equal values count once.
   *
   * @param headers as `node:http` gives them, names in lower case
   * @param nowMs wall time, which ends keys and secrets
   */
  authenticate(headers: IncomingHttpHeaders, nowMs: number): Authentication;
}

/** `optional`: with or without `Bearer `; `required`: only with it, since Basic and AWS signatures stand there too. */
type BearerUse = "none" | "optional" | "required";

interface Source {
  readonly header: string;
  readonly bearer: BearerUse;
}

/**
 * LiteLLM's order (its `x-litellm-api-key` supersedes all), then `proxy-authorization`, where Claude Code up to 1.0.33 puts
 * its key as well.
 */
const ordinarySources: readonly Source[] = [
  { header: "x-litellm-api-key", bearer: "optional" },
  { header: "authorization", bearer: "required" },
  { header: "x-api-key", bearer: "none" },
  { header: "api-key", bearer: "none" },
  { header: "x-goog-api-key", bearer: "none" },
  { header: "proxy-authorization", bearer: "required" },
];

const missing: Authentication = { ok: false, code: "client_key_missing" };
const invalid: Authentication = { ok: false, code: "client_key_invalid" };

/** @param options `keyHeader` is read first, with or without `Bearer `; the ordinary order follows */
export function createAuthenticator(options: { readonly index: Pick<KeyIndex, "find">; readonly keyHeader: string | undefined }): Authenticator {
  const { index } = options;
  const sources = sourcesFor(options.keyHeader?.toLowerCase());
  return {
    authenticate(headers, nowMs) {
      let principal: Principal | undefined;
      let header = "";
      let hasCandidate = false;
      let earlier: string | undefined;
      for (const source of sources) {
        const value = headers[source.header];
        if (value === undefined) continue;
        const candidate = keyIn(typeof value === "string" ? value : (value[0] ?? ""), source.bearer);
        // An `apiKeyHelper` sends the same value twice; it is hashed once.
        if (candidate === "" || candidate === earlier) continue;
        hasCandidate = true;
        earlier = candidate;
        const found = index.find(hashText(candidate), nowMs);
        if (found === undefined) continue;
        if (principal !== undefined && found.keyId !== principal.keyId) return { ok: true, principal, header, notice: "two-keys" };
        if (principal === undefined) {
          principal = found;
          header = source.header;
        }
      }
      if (principal !== undefined) return { ok: true, principal, header };
      return hasCandidate ? invalid : missing;
    },
  };
}

function sourcesFor(keyHeader: string | undefined): readonly Source[] {
  if (keyHeader === undefined) return ordinarySources;
  return [{ header: keyHeader, bearer: "optional" }, ...ordinarySources.filter(({ header }) => header !== keyHeader)];
}

const bearer = /^bearer +/i;

/** Empty when the value cannot hold a key. */
function keyIn(value: string, use: BearerUse): string {
  if (use === "none") return value;
  const match = bearer.exec(value);
  if (match === null) return use === "required" ? "" : value;
  return value.slice(match[0].length);
}
