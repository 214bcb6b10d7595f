// Guarantee: the ledger reads like LiteLLM's spend logs, cache tokens included, and never gives more than was asked for.
import { describe, expect, it } from "vitest";
import { createControlPlane, faultOf, type ControlPlane } from "../../../test/support/control-plane.ts";
import { ledgerRow } from "../../../test/support/memory-usage-store.ts";
import { nanoUsd } from "../../kernel/money.ts";

type Body = Record<string, unknown>;

async function logs(plane: ControlPlane, query: string): Promise<Body[]> {
  return (await plane.call(`GET /spend/logs${query}`)).body as Body[];
}

describe("GET /spend/logs", () => {
  it("gives each attempt as a row of LiteLLM's table", async () => {
    const plane = await createControlPlane();
    const { record } = await plane.create({ alias: "ada-laptop" });
    plane.rows.push(ledgerRow({ keyId: record.id, tags: ["x"], serverToolUses: { web_search_requests: 2 } }));
    const [row] = await logs(plane, "");
    expect(row).toMatchObject({
      request_id: "req_1",
      litellm_call_id: "req_1",
      call_type: "anthropic_messages",
      api_key: record.tokenHash,
      spend: 1,
      total_tokens: 15,
      prompt_tokens: 10,
      completion_tokens: 5,
      startTime: "2026-01-01T12:00:00.000Z",
      endTime: "2026-01-01T12:00:02.000Z",
      completionStartTime: "2026-01-01T12:00:00.500Z",
      request_duration_ms: 2_000,
      model: "claude-opus-4-8",
      model_group: "claude-opus-4-8",
      custom_llm_provider: "anthropic",
      user: "ada",
      team_id: "engines",
      session_id: "session-1",
      request_tags: ["x"],
      status: "success",
    });
    expect(row!["metadata"]).toMatchObject({
      user_api_key_alias: "ada-laptop",
      usage_object: {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        cache_read_input_tokens: 2,
        cache_creation_input_tokens: 7,
        prompt_tokens_details: { cached_tokens: 2, cache_creation_token_details: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 4 } },
        server_tool_use: { web_search_requests: 2 },
      },
      tollgate: { attempt_id: "att_1", source: "reported" },
    });
  });

  it("says failure for every other outcome, and null for what has not happened", async () => {
    const plane = await createControlPlane();
    plane.rows.push(ledgerRow({ outcome: "client_closed" }), ledgerRow({ outcome: "unresolved", state: "unresolved", closedAtMs: null, firstEventMs: null, servedModel: "", userId: null }));
    expect(await logs(plane, "")).toMatchObject([{ status: "failure", endTime: null, completionStartTime: null, user: "", model: "claude-opus-4-8" }, { status: "failure" }]);
  });

  it("filters by request, user, and key in whatever form; an unknown key has no rows", async () => {
    const plane = await createControlPlane();
    const { key, record } = await plane.create();
    plane.rows.push(ledgerRow({ requestId: "req_a", keyId: record.id }), ledgerRow({ requestId: "req_b", keyId: "key_revoked", userId: "bea" }));
    const found = async (query: string): Promise<unknown[]> => (await logs(plane, query)).map((row) => row["request_id"]);
    expect(await found("")).toEqual(["req_b", "req_a"]);
    for (const reference of [key, record.tokenHash, record.id]) expect(await found(`?api_key=${reference}`)).toEqual(["req_a"]);
    expect(await found("?api_key=key_revoked")).toEqual(["req_b"]);
    expect(await found("?api_key=sk-unknown")).toEqual([]);
    expect(await found("?user_id=bea&request_id=")).toEqual(["req_b"]);
    expect(await found("?request_id=req_a")).toEqual(["req_a"]);
    expect(await found("?request_id=req_a&user_id=bea")).toEqual([]);
  });

  it("sums by day between two dates, both included, with a line for each day", async () => {
    const plane = await createControlPlane();
    const { record } = await plane.create();
    const day = (date: number, members: Parameters<typeof ledgerRow>[0] = {}): void => void plane.rows.push(ledgerRow({ openedAtMs: Date.UTC(2026, 0, date, 23, 59), keyId: record.id, ...members }));
    day(1);
    day(2, { costNanoUsd: nanoUsd(500_000_000n), userId: "bea", servedModel: "claude-haiku-4-5" });
    day(2);
    day(4, { keyId: "key_revoked" });
    day(5);
    expect(await logs(plane, "?start_date=2026-01-02&end_date=2026-01-04")).toEqual([
      { startTime: "2026-01-02", spend: 1.5, users: { ada: 1, bea: 0.5 }, models: { "claude-opus-4-8": 1, "claude-haiku-4-5": 0.5 }, [record.tokenHash]: 1.5 },
      { startTime: "2026-01-03", spend: 0, users: {}, models: {} },
      { startTime: "2026-01-04", spend: 1, users: { ada: 1 }, models: { "claude-opus-4-8": 1 }, key_revoked: 1 },
    ]);
    expect(await logs(plane, "?start_date=2026-01-02&end_date=2026-01-04&summarize=false")).toHaveLength(3);
    expect(await logs(plane, "?start_date=2026-01-04")).toHaveLength(2);
  });

  it("stops at a thousand rows and says so", async () => {
    const plane = await createControlPlane();
    for (let index = 0; index < 1_001; index++) plane.rows.push(ledgerRow({ requestId: `req_${index}` }));
    const reply = await plane.call("GET /spend/logs");
    expect([(reply.body as Body[]).length, (reply.body as Body[])[0]!["request_id"], reply.headers]).toEqual([1_000, "req_1000", { "x-tollgate-truncated": "true" }]);
    plane.rows.pop();
    expect((await plane.call("GET /spend/logs")).headers).toBeUndefined();
  });

  it.each(["start_date=soon", "start_date=2026-01-02&end_date=2026-01-01", "start_date=2024-01-01&end_date=2026-01-01", "summarize=maybe", "page=2"])("refuses ?%s", async (query) => {
    const fault = await faultOf((await createControlPlane()).call(`GET /spend/logs?${query}`));
    expect([fault.code, fault.spec.status]).toEqual(["client_field_invalid", 400]);
  });
});
