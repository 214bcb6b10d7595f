// Guarantee: what the log keeps of a provider's error holds no run of the request's text and no credential, and still tells
// an operator which account, action or model it is about.
import fc from "fast-check";
import { expect, it } from "vitest";
import { operatorWords } from "./operator-words.ts";

const words = (said: string, request = ""): string => operatorWords(Buffer.from(said), Buffer.from(request));

it("keeps what names accounts, models and betas", () => {
  for (const said of [
    "User: arn:aws:iam::123456789012:role/Gateway-Role is not authorized to perform: bedrock:InvokeModel",
    "Invocation of model ID anthropic.claude-opus-4-8-20260101-v1:0 with on-demand throughput isn’t supported.",
    "Unexpected value(s) `interleaved-thinking-2025-05-14` for the `anthropic-beta` header",
  ]) {
    expect(words(said, '{"model":"x"}')).toBe(said);
  }
});

it("leaves out what the provider quotes from the request", () => {
  expect(words("messages.0: got Dear doctor, my secret illness is, which is no object", '{"content":"Dear doctor, my secret illness is"}')).toBe("messages.0: got […], which is no object");
  expect(words("one line\n two", "x".repeat(5 * 1024 * 1024))).toBe("");
});

it("leaves out credentials", () => {
  for (const key of ["sk-ant-api03-abcdefgh_ijk-lmn", "ya29.a0AfB_by-x.y", "eyJhbGciOiJSUzI1NiIsInR5c", "AIzaSyA-1234567890_abcdef", "ABSKQmVkcm9ja0FQSUtleS1hYmNk", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"]) {
    expect(words(`invalid key ${key} given`)).toBe("invalid key […] given");
  }
});

it("never repeats a run of the request that is long enough to be read", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c", "d", "e", " ", "f", "g"), minLength: 24, maxLength: 200 });
  fc.assert(
    fc.property(text, text, text, (before, quoted, after) => {
      const kept = words(`${before}${quoted}${after}`, quoted);
      for (let at = 0; at + 23 <= quoted.length; at++) expect(kept.includes(quoted.slice(at, at + 23))).toBe(false);
    }),
  );
});
