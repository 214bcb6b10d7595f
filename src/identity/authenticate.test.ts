// Guarantee: the key is found in whichever header a client puts it, the first valid one is billed, foreign tokens do no
// harm, and good and bad keys go the same way.
import type { IncomingHttpHeaders } from "node:http";
import { describe, expect, it } from "vitest";
import { createAuthenticator } from "./authenticate.ts";
import type { Principal } from "./principal.ts";
import { hashText } from "./virtual-key.ts";

const tokenKey = "sk-token-of-ada";
const apiKey = "sk-key-of-bea";
const helperKey = "sk-helper-of-cyd";

function principal(keyId: string): Principal {
  return { role: "developer", keyId, key: undefined, userId: null, teamId: null, organizationId: null, mayInfer: true };
}

function setUp(keyHeader?: string): { authenticate: (headers: IncomingHttpHeaders) => unknown; lookups: string[] } {
  const known = new Map([tokenKey, apiKey, helperKey].map((key) => [hashText(key), principal(key)]));
  known.set(hashText("sk-token-of-ada-rotated"), principal(tokenKey));
  const lookups: string[] = [];
  const find = (hash: string): Principal | undefined => {
    lookups.push(hash);
    return known.get(hash);
  };
  const authenticator = createAuthenticator({ index: { find }, keyHeader });
  return {
    lookups,
    authenticate(headers) {
      const result = authenticator.authenticate(headers, 0);
      return result.ok ? { billed: result.principal.keyId, header: result.header, ...(result.notice === undefined ? {} : { notice: result.notice }) } : result.code;
    },
  };
}

describe("the ways Claude Code sends a key", () => {
  const cases: readonly [string, IncomingHttpHeaders, unknown][] = [
    ["ANTHROPIC_AUTH_TOKEN only", { authorization: `Bearer ${tokenKey}` }, { billed: tokenKey, header: "authorization" }],
    ["ANTHROPIC_API_KEY only", { "x-api-key": apiKey }, { billed: apiKey, header: "x-api-key" }],
    ["both, with different values", { authorization: `Bearer ${tokenKey}`, "x-api-key": apiKey }, { billed: tokenKey, header: "authorization", notice: "two-keys" }],
    ["both, the token being another vendor's", { authorization: "Bearer ya29.of-google", "x-api-key": apiKey }, { billed: apiKey, header: "x-api-key" }],
    ["apiKeyHelper", { authorization: `Bearer ${helperKey}`, "x-api-key": helperKey }, { billed: helperKey, header: "authorization" }],
    ["apiKeyHelper in model discovery", { "x-api-key": helperKey }, { billed: helperKey, header: "x-api-key" }],
    ["apiKeyHelper and ANTHROPIC_API_KEY", { authorization: `Bearer ${helperKey}`, "x-api-key": apiKey }, { billed: helperKey, header: "authorization", notice: "two-keys" }],
    ["ANTHROPIC_AUTH_TOKEN and apiKeyHelper", { authorization: `Bearer ${tokenKey}`, "x-api-key": helperKey }, { billed: tokenKey, header: "authorization", notice: "two-keys" }],
    ["0.2.126 to 1.0.33, static key", { authorization: `Bearer ${tokenKey}`, "proxy-authorization": `Bearer ${tokenKey}` }, { billed: tokenKey, header: "authorization" }],
    ["0.2.126 on Vertex", { authorization: "Bearer ya29.of-google", "proxy-authorization": `Bearer ${tokenKey}` }, { billed: tokenKey, header: "proxy-authorization" }],
    ["a claude.ai login and a custom header", { authorization: "Bearer sk-ant-oat01-login", "x-litellm-api-key": `Bearer ${tokenKey}` }, { billed: tokenKey, header: "x-litellm-api-key" }],
  ];

  it.each(cases)("%s", (_, headers, expected) => {
    expect(setUp().authenticate(headers)).toEqual(expected);
  });
});

describe("authenticate", () => {
  it("reads every header of the list, in this order", () => {
    const order: readonly [string, string][] = [
      ["x-litellm-api-key", apiKey],
      ["authorization", `Bearer ${apiKey}`],
      ["x-api-key", apiKey],
      ["api-key", apiKey],
      ["x-goog-api-key", apiKey],
      ["proxy-authorization", `Bearer ${apiKey}`],
    ];
    for (let first = 0; first < order.length; first++) {
      expect(setUp().authenticate(Object.fromEntries(order.slice(first).reverse()))).toEqual({ billed: apiKey, header: order[first]![0] });
    }
  });

  it("takes the scheme in any case, and x-litellm-api-key with or without it", () => {
    for (const headers of [{ authorization: `bearer ${apiKey}` }, { authorization: `BEARER  ${apiKey}` }, { "x-litellm-api-key": apiKey }, { "x-litellm-api-key": `Bearer ${apiKey}` }]) {
      expect(setUp().authenticate(headers)).toMatchObject({ billed: apiKey });
    }
  });

  it("reads a configured header first, bare or as a bearer, and the ordinary order after it", () => {
    const { authenticate } = setUp("X-Team-Key");
    expect(authenticate({ "x-team-key": tokenKey, "x-litellm-api-key": apiKey })).toEqual({ billed: tokenKey, header: "x-team-key", notice: "two-keys" });
    expect(authenticate({ "x-team-key": `Bearer ${tokenKey}` })).toEqual({ billed: tokenKey, header: "x-team-key" });
    expect(authenticate({ "x-team-key": "stale", "x-api-key": apiKey })).toEqual({ billed: apiKey, header: "x-api-key" });
    expect(setUp("proxy-authorization").authenticate({ "proxy-authorization": `Bearer ${tokenKey}`, "x-api-key": apiKey })).toMatchObject({ billed: tokenKey, notice: "two-keys" });
  });

  it("gives no notice for two secrets of one key", () => {
    expect(setUp().authenticate({ authorization: `Bearer ${tokenKey}`, "x-api-key": "sk-token-of-ada-rotated" })).toEqual({ billed: tokenKey, header: "authorization" });
  });

  it("calls a key missing when no header can hold one", () => {
    for (const headers of [{}, { authorization: "Basic dXNlcjpwYXNz" }, { authorization: "AWS4-HMAC-SHA256 Credential=x" }, { authorization: "Bearer" }, { "x-api-key": "" }]) {
      expect(setUp().authenticate(headers)).toBe("client_key_missing");
    }
  });

  it("calls a key invalid when those that came are not known, a hash of one included", () => {
    for (const headers of [{ "x-api-key": "sk-unknown" }, { authorization: "Bearer ya29.of-google", "x-api-key": "AIza" }, { "x-api-key": hashText(apiKey) }, { "x-api-key": `${apiKey}, ${apiKey}` }]) {
      expect(setUp().authenticate(headers)).toBe("client_key_invalid");
    }
  });

  it("takes one look-up a header for a good key and a bad one alike, by the hash of the whole value", () => {
    const good = setUp();
    good.authenticate({ "x-api-key": apiKey });
    const bad = setUp();
    bad.authenticate({ "x-api-key": `${apiKey}x` });
    expect([good.lookups, bad.lookups]).toEqual([[hashText(apiKey)], [hashText(`${apiKey}x`)]]);
  });
});
