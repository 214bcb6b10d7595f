/**
 * Guarantee: the tables "Errors as clients see them" of the clouds' pages are what the code makes of such replies: which lead to the next
 * target, and the status that a client sees otherwise. A row without a reply here fails, so that none is added unseen.
 */
import { describe, expect, it } from "vitest";
import { providers } from "../../src/providers/registry.ts";
import { readPage, sectionOf } from "./markdown.ts";

interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: readonly string[];
  readonly ownsCredential?: boolean;
}

const anthropic = (status: number, message = "max_tokens: Field required"): Reply => ({ status, body: { type: "error", error: { type: "invalid_request_error", message } } });
const aws = (status: number, type: string, message: string, ownsCredential = false): Reply => ({ status, headers: ["x-amzn-errortype", type], body: { message }, ownsCredential });
const google = (code: number, message: string, more: object = {}, ownsCredential = false): Reply => ({ status: code, body: { error: { code, message, ...more } }, ownsCredential });
const azure = (status: number, code: string, message = "of resource my-resource"): Reply => ({ status, body: { error: { code, message } } });

/** By page, then by the first cell of a row; null: no reply, but something else that other tests show. */
const replies: Readonly<Record<string, Readonly<Record<string, readonly Reply[] | null>>>> = {
  bedrock: {
    "400 or 413 in Anthropic's shape": [anthropic(400), anthropic(413)],
    "400 whose words Claude Code heals by": [aws(400, "ValidationException", "prompt is too long: 210000 tokens > 200000 maximum"), aws(400, "ValidationException", "messages.1.content.0: Invalid `signature` in `thinking` block")],
    "`Input is too long.`": [aws(400, "ValidationException", "Input is too long.")],
    "400 about a field, without names or addresses in it": [aws(400, "ValidationException", "max_tokens: 128000 > 64000, which is the maximum")],
    "400: no such model id, no on-demand throughput": [aws(400, "ValidationException", "The provided model identifier is invalid."), aws(400, "ValidationException", "Invocation of model ID x with on-demand throughput isn’t supported.")],
    "400: tokens of this model are not counted": [aws(400, "ValidationException", "The provided model doesn't support counting tokens.")],
    "other 400": [aws(400, "ValidationException", "the account 123456789012 is odd")],
    "a refused login, 401": [aws(403, "UnrecognizedClientException", "The security token included in the request is invalid."), aws(403, "ExpiredTokenException", "expired"), aws(401, "", "no")],
    "403: no permission, no access to the model": [aws(403, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:InvokeModel")],
    "throttling, used-up quota": [aws(429, "ThrottlingException", "Too many requests"), aws(400, "ServiceQuotaExceededException", "quota")],
    "model not ready, no capacity": [aws(429, "ModelNotReadyException", "not ready"), aws(503, "ServiceUnavailableException", "no capacity")],
    "404, 408, 424, other 5xx, model errors and timeouts": [aws(404, "ResourceNotFoundException", "arn:…"), aws(408, "ModelTimeoutException", "slow"), aws(424, "ModelErrorException", "bad"), aws(500, "InternalServerException", "x"), aws(408, "", "slow")],
    "an exception frame in a stream": null,
  },
  vertex: {
    "400 or 413 in Anthropic's shape": [anthropic(400), anthropic(413)],
    "400 in Google's shape: prompt too long": [google(400, "The prompt is too long: 1 tokens > 0 maximum", { status: "INVALID_ARGUMENT" })],
    "400: payload too large": [google(400, "Request payload size exceeds the limit: 10485760 bytes.", { status: "INVALID_ARGUMENT" })],
    "400 `FAILED_PRECONDITION`, or about a publisher model": [google(400, "Project 1 is not allowed", { status: "FAILED_PRECONDITION" }), google(400, "Publisher Model x is not servable", { status: "INVALID_ARGUMENT" })],
    "other 400": [google(400, "Unsupported region", { status: "INVALID_ARGUMENT" })],
    "401, 403 on the gateway's login": [google(401, "no"), google(403, "no")],
    "401, 403 on the caller's own login": [google(401, "no", {}, true), google(403, "no", {}, true)],
    "404, 408, 429, 5xx": [google(404, "no"), google(408, "slow"), google(429, "Quota"), google(500, "x"), google(503, "x"), google(529, "x")],
    "no login to be had": null,
  },
  foundry: {
    "400 or 413 in Anthropic's shape": [anthropic(400), anthropic(413)],
    "400 `content_filter`": [azure(400, "content_filter")],
    "other 400": [azure(400, "BadRequest")],
    "401, 403": [azure(401, "PermissionDenied"), { status: 403, body: { statusCode: 403, message: "no" } }],
    "`DeploymentNotFound` and other 404": [azure(404, "DeploymentNotFound"), azure(404, "api_not_supported")],
    "`invalid_model_endpoint_authentication`, a passing fault between Azure and the model": [azure(401, "invalid_model_endpoint_authentication")],
    "408, 429, 5xx": [azure(408, "x"), azure(429, "x"), azure(500, "x"), azure(503, "x")],
  },
};

describe.each(Object.keys(replies))("%s", (kind) => {
  const [, ...rows] = sectionOf(readPage(`docs/providers/${kind}.md`), "Errors as clients see them").tables[0]!;

  it("shows no row that is not tried here", () => {
    expect(rows.map(([label]) => label)).toEqual(Object.keys(replies[kind]!));
  });

  it.each(rows.map(([label = "", told = ""]) => [label, told] as const))("%s", (label, told) => {
    for (const { status, body, headers = [], ownsCredential = false } of replies[kind]![label] ?? []) {
      const verdict = providers[kind]!.judge!({ status, headers, body: Buffer.from(JSON.stringify(body)), ownsCredential });
      const seen = verdict.replyClass === "credential" ? 503 : (verdict.told?.status ?? status);
      expect(verdict.replyClass !== "deliver", `${status} leads on`).toBe(told.startsWith("the next target"));
      const known = [...told.split(";").slice(0, 2).join(";").matchAll(/\b[45]\d\d\b/g)].map((match) => Number(match[0]));
      if (known.length > 0) expect(known).toContain(seen);
      else expect([told.includes("the same status"), seen]).toEqual([true, status]);
      const quoted = /"([^"]+)"$|^400 `([^`]+)`$/.exec(told);
      if (quoted !== null) expect(verdict.told?.message).toContain(quoted[1] ?? quoted[2]);
      if (told.includes("capability_rejected")) expect(verdict.told?.message).toContain("capability_rejected: ");
      // Words that name accounts, projects or resources stay here.
      expect(verdict.told?.message ?? "").not.toMatch(/arn:|\d{12}|my-resource|Project 1/);
    }
  });
});
