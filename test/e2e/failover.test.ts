/**
 * Guarantee: a fault of a place leads to the next target, a fault of the request does not; each try has its own row, the second
 * is built from the client's bytes again, and after the first byte there is no other target.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { adminKey, messagesBody, upstreamKey } from "../support/harness.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { startStage, type ErrorBody, type Stage } from "./stage.ts";

const secondKey = "sk-ant-second-canary-0000000000000000";

let stage: Stage;
let second: FakeAnthropic;

beforeAll(async () => {
  second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  stage = await startStage({
    // Which targets are well is another test's question.
    config: "timeouts: {first_byte_stream: 300ms}\nrouting: {circuit: {enabled: false}}",
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:
  - name: claude-two-places
    targets:
      - {provider: anthropic, model: claude-opus-4-8, id: first-place}
      - {provider: second, model: claude-opus-4-7, id: second-place}`,
  });
  stage.forbid(secondKey);
});

afterAll(async () => {
  await stage.close();
  await second.close();
  expect(second.violations).toEqual([]);
});

const body = messagesBody({ model: "claude-two-places", stream: true });

describe("the second target", () => {
  it.each([
    ["a rate limit", { status: 429 }, { outcome: "upstream_error", source: "none", status: 429 }],
    ["an overload", { status: 529 }, { outcome: "upstream_error", source: "none", status: 529 }],
    ["a refused credential", { status: 401 }, { outcome: "upstream_error", source: "none", status: 401 }],
    ["a page", { page: "html" }, { outcome: "upstream_error", source: "estimated", status: 200 }],
    ["a broken connection", { fault: { at: "connect", does: "reset" } }, { outcome: "broken", source: "unresolved", status: 0 }],
    ["silence", { fault: { at: "connect", does: "stall" } }, { outcome: "timed_out", source: "estimated", status: 0 }],
  ] satisfies readonly [string, Behaviour, Record<string, unknown>][])("serves after %s of the first", async (_what, behaviour, first) => {
    stage.fake.setDefault(behaviour);
    const reply = await stage.call({ body });
    stage.fake.setDefault({});
    expect(reply.status).toBe(200);
    expect(reply.headers["x-litellm-model-id"]).toBe("second-place");
    const rows = await stage.rows(reply.session, 2);
    expect(rows).toHaveLength(2);
    const byOrdinal = rows.toSorted((a, b) => Number(a["ordinal"]) - Number(b["ordinal"]));
    expect(byOrdinal[0]).toMatchObject({ ...first, target_id: "first-place", ordinal: 1, upstream_model: "claude-opus-4-8" });
    expect(byOrdinal[1]).toMatchObject({ outcome: "completed", source: "reported", target_id: "second-place", ordinal: 2, upstream_model: "claude-opus-4-7" });
    expect(byOrdinal[0]?.["request_id"]).toBe(byOrdinal[1]?.["request_id"]);
    expect(second.requests.at(-1)?.body.toString()).toBe(body.replace("claude-two-places", "claude-opus-4-7"));
    expect(second.requests.at(-1)?.headers["x-api-key"]).toBe(secondKey);
  });

  it("does not hear of a fault of the request", async () => {
    const before = second.requests.length;
    const reply = await stage.call({ body, behaviour: { status: 400, message: "messages: wrong" } });
    expect(reply.status).toBe(400);
    expect(reply.json<ErrorBody>().error.message).toBe("messages: wrong");
    expect(second.requests.length).toBe(before);
  });

  it("does not take over a stream that has begun", async () => {
    const before = second.requests.length;
    stage.fake.script([{ fault: { at: "before-usage", does: "destroy" } }]);
    const reply = await stage.call({ body });
    expect(reply.text()).toContain("event: error");
    expect(second.requests.length).toBe(before);
  });

  it("gives the last word when both fail", async () => {
    stage.fake.setDefault({ status: 529 });
    second.setDefault({ status: 503, message: "words of the second" });
    const reply = await stage.call({ body });
    stage.fake.setDefault({});
    second.setDefault({});
    expect(reply.status).toBe(503);
    expect(reply.json<ErrorBody>().error.message).toBe("words of the second");
    expect(await stage.rows(reply.session, 2)).toHaveLength(2);
  });
});
