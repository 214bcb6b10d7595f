// Guarantee: each error of Bedrock leads to the right next step, a client is told nothing of accounts, ARNs or addresses, and the
// wordings that Claude Code heals by arrive in a form that it still knows.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judge, toldWords } from "./failures.ts";

const arn = "arn:aws:sts::123456789012:assumed-role/gateway/i-0abc";

interface Fixture {
  readonly status: number;
  readonly type?: string;
  readonly body: unknown;
  readonly headers?: readonly string[];
  readonly ownsCredential?: boolean;
}

function judged({ status, type, body, headers = [], ownsCredential = false }: Fixture) {
  return judge({ status, headers: [...(type === undefined ? [] : ["x-amzn-ErrorType", `${type}:http://internal.amazon.com/coral/`]), ...headers], body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), ownsCredential });
}

const validation = (message: string): Fixture => ({ status: 400, type: "ValidationException", body: { message } });

describe("places at fault", () => {
  it.each<[string, Fixture, number, string]>([
    ["throttling", { status: 429, type: "ThrottlingException", body: { message: "Too many requests, please wait before trying again." } }, 429, "rate_limit_error"],
    ["a daily quota", { status: 429, type: "ThrottlingException", body: { message: `Too many tokens per day for account 123456789012` } }, 429, "rate_limit_error"],
    ["a quota", { status: 400, type: "ServiceQuotaExceededException", body: { message: "quota" } }, 429, "rate_limit_error"],
    ["a model that is not ready", { status: 429, type: "ModelNotReadyException", body: { message: "Model is not ready for inference." } }, 529, "overloaded_error"],
    ["no capacity", { status: 503, type: "ServiceUnavailableException", body: { message: "Bedrock is unable to process your request." } }, 529, "overloaded_error"],
    ["a fault inside", { status: 500, type: "InternalServerException", body: { message: "The system encountered an unexpected error during processing." } }, 500, "api_error"],
    ["a model that fails", { status: 424, type: "ModelErrorException", body: { message: "failed", originalStatusCode: 500 } }, 502, "api_error"],
    ["a model that is slow", { status: 408, type: "ModelTimeoutException", body: { message: "timed out" } }, 504, "timeout_error"],
    ["a model that is not there", { status: 404, type: "ResourceNotFoundException", body: { message: `Could not resolve the foundation model ${arn}` } }, 404, "not_found_error"],
    ["an unknown id", validation("The provided model identifier is invalid."), 404, "not_found_error"],
    ["an id that wants a profile", validation("Invocation of model ID anthropic.claude-opus-5 with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."), 404, "not_found_error"],
    ["no access to the model", { status: 403, type: "AccessDeniedException", body: { message: "You don't have access to the model with the specified model ID." } }, 503, "api_error"],
    ["no permission", { status: 403, type: "AccessDeniedException", body: { message: `User: ${arn} is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x because no identity-based policy allows it` } }, 503, "api_error"],
    ["a page of some proxy", { status: 502, body: "<html>" }, 502, "api_error"],
    ["a type in the body", { status: 429, body: { __type: "com.amazon.coral.availability#ThrottlingException", message: "Rate exceeded" } }, 429, "rate_limit_error"],
    ["an overload in Anthropic's words", { status: 529, body: { type: "error", error: { type: "overloaded_error", message: "Overloaded" } } }, 529, "overloaded_error"],
  ])("%s may be tried elsewhere", (_name, fixture, status, type) => {
    const { replyClass, told } = judged(fixture);
    expect([replyClass, told?.status ?? fixture.status, told?.type]).toEqual(["retryable", status, type]);
    expect(told!.message).not.toMatch(/arn:|\d{12}|assumed|anthropic\.claude/);
  });

  it("say how long to wait when they know", () => {
    expect(judged({ status: 429, type: "ThrottlingException", body: {}, headers: ["Retry-After", "7"] }).told).toMatchObject({ retryAfterSeconds: 7 });
  });
});

describe("logins", () => {
  const refusals: readonly Fixture[] = [
    { status: 403, type: "UnrecognizedClientException", body: { message: "The security token included in the request is invalid." } },
    { status: 403, type: "ExpiredTokenException", body: { message: "The security token included in the request is expired" } },
    { status: 403, type: "InvalidSignatureException", body: { message: `The request signature we calculated does not match. The Canonical String should have been 'POST x-amz-security-token:SECRET'` } },
    { status: 403, type: "AccessDeniedException", body: { message: "Authentication failed: Please make sure your API Key is valid." } },
    { status: 403, type: "AccessDeniedException", body: { Message: "Bearer Token has expired" } },
    { status: 403, body: { Message: "Missing Authentication Token" } },
    { status: 401, body: "" },
  ];

  it.each(refusals)("of the gateway that are refused are the gateway's matter: $type", (fixture) => {
    expect(judged(fixture)).toEqual({ replyClass: "credential", told: undefined });
  });

  it.each(refusals)("of the client that are refused are told to the client, without AWS's words: $type", (fixture) => {
    const { replyClass, told } = judged({ ...fixture, ownsCredential: true });
    expect([replyClass, told?.type]).toEqual(["deliver", "authentication_error"]);
    expect(told!.message).not.toMatch(/SECRET|Canonical/);
  });

  it("of the client without a permission get a 403", () => {
    expect(judged({ status: 403, type: "AccessDeniedException", body: { message: `User: ${arn} is not authorized` }, ownsCredential: true })).toMatchObject({ replyClass: "deliver", told: { type: "permission_error", message: "Your AWS login lacks the permission for this request at the provider." } });
  });
});

describe("requests at fault", () => {
  it.each([
    ["Input is too long for requested model.", "Input is too long for requested model. (capability_rejected: prompt_too_long)"],
    ["Input is too long.", "Input is too long."],
    ["The model returned the following errors: Input is too long.", "Input is too long."],
    ["prompt is too long: 215000 tokens > 200000 maximum", "prompt is too long: 215000 tokens > 200000 maximum (capability_rejected: prompt_too_long)"],
    ["The model returned the following errors: input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input length", "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000 (capability_rejected: max_tokens_context_overflow)"],
    ['messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an input message role.', 'role "system" is not supported on this model (capability_rejected: mid_conv_system)'],
    ["adaptive thinking is not supported on this model", "adaptive thinking is not supported on this model (capability_rejected: thinking_type:adaptive)"],
    ['"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"', "thinking.type: enabled is not supported on this model (capability_rejected: thinking_type:enabled)"],
    ["messages.1.content.0: Invalid `signature` in `thinking` block", "messages.1.content.0: Invalid `signature` in `thinking` block (capability_rejected: thinking_signature)"],
    ["output_config.format: Extra inputs are not permitted", "output_config.format: Extra inputs are not permitted (capability_rejected: structured_outputs_unsupported)"],
    ["messages.1.output_config: Extra inputs are not permitted", "messages.1.output_config: Extra inputs are not permitted (capability_rejected: effort_unsupported)"],
    ["This model does not support the effort parameter.", "This model does not support the effort parameter (capability_rejected: effort_unsupported)"],
    ["messages.3.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes", "messages.3.content.1.image: Could not process image (capability_rejected: image_block)"],
    ["messages.0.content.2.document: The PDF specified was not valid.", "messages.0.content.2.document: Could not process PDF (capability_rejected: document_block)"],
    ["too much media: 101 images > 100", "Too much media (capability_rejected: media_budget)"],
    ["tools.0.cache_control: Extra inputs are not permitted", "cache_control: Extra inputs are not permitted (capability_rejected: cache_control_field)"],
    ["Unexpected value(s) `afk-mode-2026-01-31` for the `anthropic-beta` header.", "Unexpected value(s) `afk-mode-2026-01-31` for the `anthropic-beta` header. (capability_rejected: beta_header:afk-mode-2026-01-31)"],
    ["The model returned the following errors: invalid beta flag", "invalid beta flag"],
    ["max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5-20251101", "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5-20251101"],
    ["tools.3.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", "tools.3.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"],
    [`Operation not allowed for ${arn}`, "The model provider refused the request as invalid."],
    [`messages: ${arn} is wrong`, "The model provider refused the request as invalid."],
    ["messages: see https://console.aws.amazon.com/x", "The model provider refused the request as invalid."],
    ["tools: account 123456789012 has no quota", "The model provider refused the request as invalid."],
  ])("%s", (message, told) => {
    expect(judged(validation(message))).toMatchObject({ replyClass: "deliver", told: { type: "invalid_request_error", message: told } });
  });

  it("never tell an account, an ARN or an address, whatever the words around it", () => {
    const secret = fc.constantFrom("arn:aws:iam::1:role/x", "123456789012", "https://x.example", "10.1.2.3", "ip-10-0-0-1.ec2.internal", "me@example.com");
    const prefix = fc.constantFrom("messages.1.content.0: Invalid `signature` in `thinking` block ", "max_tokens: ", "prompt is too long: 1 tokens > 2 maximum ", "Unexpected value(s) `", "input length and `max_tokens` exceed context limit: 1 + 2 > 3, ", "tools.0.custom.x: ", "");
    fc.assert(
      fc.property(prefix, secret, fc.string({ maxLength: 30 }), (before, hidden, after) => {
        expect(toldWords(`${before}${hidden}${after}`)).not.toContain(hidden);
      }),
      { numRuns: 300 },
    );
  });

  it.each([400, 413])("in Anthropic's own envelope keep their words: %i", (status) => {
    expect(judged({ status, body: { type: "error", error: { type: "invalid_request_error", message: "prompt is too long: 3 tokens > 2 maximum" } } })).toEqual({ replyClass: "deliver", told: undefined });
  });

  it("that are too large are told so", () => {
    expect(judged({ status: 413, body: { message: "Request Entity Too Large" } })).toMatchObject({ replyClass: "deliver", told: { type: "request_too_large" } });
  });

  it("about tokens that are not counted say what a client estimates by", () => {
    expect(judged(validation("The provided model doesn't support counting tokens."))).toMatchObject({ replyClass: "deliver", told: { type: "not_supported", status: 501 } });
  });

  it.each([
    ["Unexpected value(s) `context-1m-2025-08-07` for the `anthropic-beta` header.", "context-1m-2025-08-07"],
    ["context_management: Extra inputs are not permitted", "context-management-2025-06-27"],
    ["The model returned the following errors: tools.11.custom.defer_loading: Extra inputs are not permitted", "tool-search-tool-2025-10-19"],
    ["output_config.effort: Extra inputs are not permitted", "effort-2025-11-24"],
    ["The long context beta is not yet available for this subscription.", "context-1m-2025-08-07"],
    ["invalid beta flag: skills-2025-10-02", "skills-2025-10-02"],
  ])("about one beta ask for a try without it: %s", (message, beta) => {
    expect(judged(validation(message)).refusedBeta).toBe(beta);
    const told = judged({ status: 400, body: { type: "error", error: { type: "invalid_request_error", message } } });
    // The words are told when the second try fails as well.
    expect(told).toEqual({ replyClass: "deliver", told: { type: "invalid_request_error", message }, refusedBeta: beta });
  });

  it.each(["invalid beta flag", "Unexpected value(s) `a-2025-01-01`, `b-2025-01-01` for the `anthropic-beta` header.", "messages.0.output_config: Extra inputs are not permitted", "max_tokens: Field required"])("about several betas, or none, do not: %s", (message) => {
    expect(judged(validation(message)).refusedBeta).toBeUndefined();
  });
});
