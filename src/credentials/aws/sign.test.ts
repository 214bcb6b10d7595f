// Guarantee: requests are signed as AWS's published test suite says, and as a server finds them that builds the canonical request
// from the bytes on the wire: model ids with a raw colon, ARNs with an escaped slash, queries, temporary keys.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { verifyAwsSignature, type SignatureRules } from "../../../test/support/aws-signature-verifier.ts";
import { Secret } from "../../kernel/secret.ts";
import { signatureHeaders, signRequest, type SignableRequest } from "./sign.ts";
import type { AwsCredentials } from "./types.ts";

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const suiteKeys: AwsCredentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: new Secret(secret), expiresAtMs: undefined };
const suiteNowMs = Date.UTC(2015, 7, 30, 12, 36);
const suiteToken = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** What differs from `GET / HTTP/1.1` with `host` and `x-amz-date`, and the signature. */
interface Vector {
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly token?: string;
  readonly signature: string;
}

/**
 * Signatures of AWS's `aws-sig-v4-test-suite` (key AKIDEXAMPLE, us-east-1, service `service`, 2015-08-30T12:36:00Z), as kept in
 * smithy-lang/smithy-typescript packages/signature-v4/src/suite.fixture.ts; the suite is described at
 * https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html. Checked 2026-11.
 */
const vectors: Readonly<Record<string, Vector>> = {
  "get-vanilla": { signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
  "get-header-key-duplicate": { headers: { "my-header1": "value2,value2,value1" }, signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
  "get-header-value-order": { headers: { "my-header1": "value4,value1,value3,value2" }, signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
  "get-header-value-trim": { headers: { "my-header1": "value1", "my-header2": '"a   b   c"' }, signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
  "get-unreserved": { path: `/${unreserved}`, signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
  "get-utf8": { path: "/ሴ", signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
  "get-vanilla-empty-query-key": { query: "?Param1=value1", signature: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
  "get-vanilla-query-order-key-case": { query: "?Param2=value2&Param1=value1", signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
  "get-vanilla-query-unreserved": { query: `?${unreserved}=${unreserved}`, signature: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
  "get-vanilla-utf8-query": { query: "?%E1%88%B4=bar", signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
  "post-vanilla": { method: "POST", signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
  "post-header-value-case": { method: "POST", headers: { "my-header1": "VALUE1" }, signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
  "post-sts-header-before": { method: "POST", token: suiteToken, signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
  "post-vanilla-query": { method: "POST", query: "?Param1=value1", signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
  "post-vanilla-query-nonunreserved": {
    method: "POST",
    query: `?${encodeURIComponent("@#$%^")}=&${encodeURIComponent("+")}=${encodeURIComponent('/,?><`";:\\|][{}')}`,
    signature: "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e",
  },
  "post-x-www-form-urlencoded": { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body: "Param1=value1", signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
  "post-x-www-form-urlencoded-parameters": { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded; charset=utf8" }, body: "Param1=value1", signature: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe" },
};

const rules = (change: Partial<SignatureRules> = {}): SignatureRules => ({ region: "us-east-1", service: "service", nowMs: suiteNowMs, keyOf: (id) => (id === "AKIDEXAMPLE" ? { secret } : undefined), ...change });

describe("the published test suite", () => {
  it.each(Object.entries(vectors))("%s", async (_, { method = "GET", path = "/", query = "", headers = {}, body = "", token, signature }) => {
    const host = "example.amazonaws.com";
    const credentials = { ...suiteKeys, ...(token === undefined ? {} : { sessionToken: new Secret(token) }) };
    const added = await signatureHeaders({ method, host, path, query, region: "us-east-1", service: "service", credentials, nowMs: suiteNowMs }, { host, ...headers }, createHash("sha256").update(body).digest("hex"));
    expect(added.slice(0, 2)).toEqual(["x-amz-date", "20150830T123600Z"]);
    expect(added.at(-1)).toContain("Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=");
    expect(added.at(-1)).toMatch(new RegExp(`, Signature=${signature}$`));
    // The verifier of our own fakes agrees with AWS, too.
    const received = { method, target: path + query, headers: ["Host", host, ...Object.entries(headers).flat(), ...added], body: Buffer.from(body) };
    expect(verifyAwsSignature(received, rules({ keyOf: () => (token === undefined ? { secret } : { secret, sessionToken: token }) }))).toBeUndefined();
  });
});

const bedrock: SignableRequest = {
  method: "POST",
  host: "bedrock-runtime.us-east-1.amazonaws.com",
  path: "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
  query: "",
  headers: ["Content-Type", "application/json", "Accept", "*/*", "X-Amzn-Bedrock-Service-Tier", "priority"],
  body: Buffer.from('{"anthropic_version":"bedrock-2023-05-31"}'),
  region: "us-east-1",
  service: "bedrock",
  credentials: suiteKeys,
  nowMs: suiteNowMs,
};

async function sent(request: SignableRequest, change: { target?: string; headers?: readonly string[]; body?: Buffer } = {}) {
  const added = await signRequest(request);
  return { method: request.method, target: change.target ?? request.path + request.query, headers: ["host", request.host, ...(change.headers ?? request.headers), ...added], body: change.body ?? request.body };
}
const bedrockRules = rules({ service: "bedrock" });

describe("signRequest", () => {
  it.each([
    ["a model id with its colon raw", bedrock.path],
    ["an ARN with its slash escaped", "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc123/invoke-with-response-stream"],
    ["a model id that is escaped all over", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/count-tokens"],
  ])("is found right by a server for %s", async (_, path) => {
    expect(verifyAwsSignature(await sent({ ...bedrock, path }), bedrockRules)).toBeUndefined();
  });

  it("signs what must be signed, and nothing that may change on the way", async () => {
    const added = await signRequest(bedrock);
    expect(added.filter((_, index) => index % 2 === 0)).toEqual(["x-amz-content-sha256", "x-amz-date", "authorization"]);
    expect(added.at(-1)).toContain("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amzn-bedrock-service-tier, ");
    expect(verifyAwsSignature(await sent(bedrock, { headers: [...bedrock.headers, "accept-encoding", "gzip"] }), bedrockRules)).toBeUndefined();
  });

  it("does not hold for another path, body, signed header, region, service, key or hour", async () => {
    const code = async (change: Parameters<typeof sent>[1], ruleChange: Partial<SignatureRules> = {}) => verifyAwsSignature(await sent(bedrock, change), { ...bedrockRules, ...ruleChange })?.code;
    expect(await code({ target: bedrock.path.replace(":0", "%3A0") })).toBe("SignatureDoesNotMatch");
    expect(await code({ target: `${bedrock.path}?a=b` })).toBe("SignatureDoesNotMatch");
    expect(await code({ body: Buffer.from("{}") })).toBe("XAmzContentSHA256Mismatch");
    expect(await code({ headers: ["Content-Type", "text/plain", "X-Amzn-Bedrock-Service-Tier", "priority"] })).toBe("SignatureDoesNotMatch");
    expect(await code({ headers: [...bedrock.headers, "x-amz-more", "1"] })).toBe("SignatureDoesNotMatch");
    expect(await code({}, { region: "eu-west-1" })).toBe("SignatureDoesNotMatch");
    expect(await code({}, { service: "bedrock-mantle" })).toBe("SignatureDoesNotMatch");
    expect(await code({}, { keyOf: () => ({ secret: "another" }) })).toBe("SignatureDoesNotMatch");
    expect(await code({}, { keyOf: () => undefined })).toBe("InvalidClientTokenId");
    expect(await code({}, { nowMs: suiteNowMs + 3_600_000 })).toBe("SignatureDoesNotMatch");
  });

  it("sends and signs the token of temporary keys", async () => {
    const credentials = { ...suiteKeys, sessionToken: new Secret("token/+=") };
    const keyOf = () => ({ secret, sessionToken: "token/+=" });
    expect(verifyAwsSignature(await sent({ ...bedrock, credentials }), { ...bedrockRules, keyOf })).toBeUndefined();
    expect(verifyAwsSignature(await sent(bedrock), { ...bedrockRules, keyOf })?.code).toBe("InvalidClientTokenId");
  });

  it("is found right for any path of URL characters, any query, any body", async () => {
    const segment = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(..."abzAZ09-._~:@!$&'()*+,;=".split(""), "%2F", "%3A", "%20", "%E2%82%AC") }).filter((text) => text !== "." && text !== "..");
    const word = fc.string({ maxLength: 8, unit: fc.constantFrom(..."abZ9-._~:@/!*'() +&=%€".split("")) }).map((text) => encodeURIComponent(text));
    await fc.assert(
      fc.asyncProperty(fc.array(segment, { maxLength: 5 }), fc.boolean(), fc.array(fc.tuple(word, word), { maxLength: 4 }), fc.uint8Array({ maxLength: 50 }), async (segments, hasSlash, pairs, body) => {
        const path = `/${segments.join("/")}${hasSlash && segments.length > 0 ? "/" : ""}`;
        const query = pairs.length === 0 ? "" : `?${pairs.filter(([name]) => name !== "").map(([name, value]) => `${name}=${value}`).join("&")}`;
        expect(verifyAwsSignature(await sent({ ...bedrock, path, query, body: Buffer.from(body) }), bedrockRules)).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});
