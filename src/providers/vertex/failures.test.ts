// Guarantee: the client heals by the model's own words where there are any; Google's words, which name projects and accounts, stay
// inside; each class of failure leads to the try that can help, and the waiting time survives.
import { describe, expect, it } from "vitest";
import { googleError } from "../../../test/support/fake-vertex.ts";
import { healableErrors } from "../../../test/support/fake-anthropic-wordings.ts";
import type { ReplyVerdict } from "../provider.ts";
import { vertex } from "./index.ts";

const project = "projects/secret-project-77/locations/us-east5";

function verdict(status: number, body: unknown, { headers = [], ownsCredential = false }: { headers?: string[]; ownsCredential?: boolean } = {}): ReplyVerdict {
  return vertex.judge!({ status, headers, body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), ownsCredential });
}

const anthropic = (type: string, message: string): object => ({ type: "error", error: { type, message }, request_id: "req_vrtx_1" });

describe("words of the model", () => {
  it.each(Object.entries(healableErrors).filter(([name]) => name !== "betaHeader"))("%s passes as it is", (_name, { status = 0, message = "" }) => {
    expect(verdict(status, anthropic("invalid_request_error", message))).toEqual({ replyClass: "deliver", told: undefined });
  });

  it("413 Prompt is too long passes as it is", () => {
    expect(verdict(413, anthropic("invalid_request_error", "Prompt is too long"))).toEqual({ replyClass: "deliver", told: undefined });
  });

  it("a beta that is refused is named, with its words for the case that leaving it out does not help", () => {
    const { message = "" } = healableErrors.betaHeader;
    expect(verdict(400, anthropic("invalid_request_error", message))).toEqual({ replyClass: "deliver", told: { type: "invalid_request_error", message }, refusedBeta: "context-management-2025-06-27" });
  });
});

describe("words of Google's front", () => {
  const expired = googleError(401, "UNAUTHENTICATED", `Invalid token of robot@${project}`, [{ reason: "ACCESS_TOKEN_EXPIRED", metadata: { email: "robot@x" } }]);
  const denied = googleError(403, "PERMISSION_DENIED", `Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/${project}'`, [{ reason: "IAM_PERMISSION_DENIED" }]);
  const quota = googleError(429, "RESOURCE_EXHAUSTED", "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: anthropic-claude-opus-4-8.");

  it.each<[string, number, unknown, string, string, number | undefined]>([
    ["an expired token", 401, expired, "credential", "authentication_error", undefined],
    ["a missing permission", 403, denied, "credential", "permission_error", undefined],
    ["a used-up quota", 429, quota, "retryable", "rate_limit_error", undefined],
    ["a used-up quota on a stream", 429, [quota], "retryable", "rate_limit_error", undefined],
    ["an unknown model", 404, googleError(404, "NOT_FOUND", `Publisher Model \`${project}/publishers/anthropic/models/x\` was not found or your project does not have access to it.`), "retryable", "not_found_error", undefined],
    ["a model that is not enabled", 400, [googleError(400, "FAILED_PRECONDITION", `Project \`77\` is not allowed to use Publisher Model \`${project}/publishers/anthropic/models/x\``)], "retryable", "not_found_error", 404],
    ["an argument", 400, googleError(400, "INVALID_ARGUMENT", `Invalid resource name: ${project}`), "deliver", "invalid_request_error", undefined],
    ["a body too large", 400, googleError(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 31457280 bytes."), "deliver", "request_too_large", 413],
    ["an unavailable service", 503, googleError(503, "UNAVAILABLE", "The service is currently unavailable."), "retryable", "overloaded_error", undefined],
    ["a fault", 500, googleError(500, "INTERNAL", `Internal error at ${project}`), "retryable", "api_error", undefined],
    ["a deadline", 504, googleError(504, "DEADLINE_EXCEEDED", "x"), "retryable", "timeout_error", undefined],
    ["an overload in Anthropic's words", 529, anthropic("overloaded_error", `org ${project}`), "retryable", "overloaded_error", undefined],
    ["a limit in Anthropic's words", 429, anthropic("rate_limit_error", `organization ${project}`), "retryable", "rate_limit_error", undefined],
    ["a page", 502, `<html>${project}</html>`, "retryable", "api_error", undefined],
    ["nothing", 400, "", "deliver", "invalid_request_error", undefined],
  ])("%s is told in plain words", (_name, status, body, replyClass, type, toldStatus) => {
    const result = verdict(status, body);
    expect([result.replyClass, result.told?.type, result.told?.status]).toEqual([replyClass, type, toldStatus]);
    expect(result.told?.message).not.toMatch(/secret-project|robot@|projects\/|`77`|googleapis/);
  });

  it("a refusal of the client's own login is the client's to see, with Google's reason code", () => {
    const result = verdict(401, expired, { ownsCredential: true });
    expect([result.replyClass, result.told?.message]).toEqual(["deliver", "Vertex AI refused your Google login (ACCESS_TOKEN_EXPIRED)."]);
    expect(verdict(403, denied, { ownsCredential: true }).replyClass).toBe("deliver");
  });

  it("keeps the waiting time: of the header, else of the details", () => {
    expect(verdict(429, quota, { headers: ["Retry-After", "7"] }).told?.retryAfterSeconds).toBe(7);
    const delayed = googleError(429, "RESOURCE_EXHAUSTED", "x", [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "12.5s" }]);
    expect(verdict(429, delayed).told?.retryAfterSeconds).toBe(13);
    expect(verdict(429, delayed, { headers: ["retry-after", "3"] }).told?.retryAfterSeconds).toBe(3);
    expect(verdict(429, quota).told).not.toHaveProperty("retryAfterSeconds");
  });

  it("a prompt that is too long is told with the token by which clients compact", () => {
    expect(verdict(400, googleError(400, "INVALID_ARGUMENT", "Prompt is too long")).told?.message).toContain("capability_rejected: prompt_too_long");
  });

  it("classifies by status alone as it does with a body", () => {
    for (const status of [400, 401, 403, 404, 408, 413, 429, 500, 503, 529]) expect(vertex.classify(status, false)).toBe(verdict(status, "").replyClass);
  });
});
