/**
 * Upstreams that break in ways which no honest encoder can: the fakes of Anthropic and Bedrock with a hand in what they encode, before
 * and after framing. Checks and bill are the fakes' own.
 */
import { startFakeBedrock, type BedrockBehaviour } from "../support/fake-bedrock.ts";
import { startPlace, type FakePlace } from "../support/fake-place.ts";
import { replyHeaders } from "../support/fake-anthropic-headers.ts";
import type { JsonObject, RecordedRequest } from "../support/fake-anthropic-types.ts";

/** Not JSON where it changes events or bytes: it stays in this process. */
export type FaultyBehaviour = BedrockBehaviour;

export interface FaultyPlace extends Omit<FakePlace, "behave"> {
  behave(choose: (request: RecordedRequest, body: JsonObject) => FaultyBehaviour | undefined): void;
}

const apiKeyProblem = { status: 401, errorType: "authentication_error", message: "invalid x-api-key" };

/** Anthropic's Messages API. */
export async function startFaultyAnthropic(options: { readonly apiKey: string; readonly forbiddenSecrets: readonly string[] }): Promise<FaultyPlace> {
  return startPlace({
    requestIdPrefix: "req_011",
    options,
    forbiddenHeaders: ["x-goog-api-key", "api-key"],
    unwrap(record, json) {
      if (record.method !== "POST" || record.url.split("?", 1)[0] !== "/v1/messages") return { status: 404, errorType: "not_found_error", message: "Not Found" };
      if (record.headers["x-api-key"] !== options.apiKey) return apiKeyProblem;
      return { operation: "messages", body: json ?? {} };
    },
    reframe({ chunks, isStreaming, behaviour }) {
      const { events, bytes } = behaviour as FaultyBehaviour;
      const changed = events?.(chunks) ?? chunks;
      return { chunks: [...(bytes?.(changed) ?? changed)], headers: replyHeaders("req_011CfaultyAnthropic0000", isStreaming ? "text/event-stream; charset=utf-8" : "application/json") };
    },
  });
}

/** Bedrock's InvokeModel. */
export async function startFaultyBedrock(options: { readonly bearer: string; readonly forbiddenSecrets: readonly string[] }): Promise<FaultyPlace> {
  return startFakeBedrock(options);
}
