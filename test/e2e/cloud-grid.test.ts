/**
 * Guarantee: for any client in front of any place, whole turns, faults and departures come out alike: the place gets a proper request of
 * its own form, the client whole frames and errors of its own, the ledger one row for each attempt at the price of the bill.
 */
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../support/harness.ts";
import type { GrammarPass } from "../support/stream-grammar.ts";
import { billedSince, dueNanoUsd, grid, model, nanoUsdOf, readError, readStream, startCloudStage, wholeStream, type Call, type CloudStage, type Envelope, type PlaceName } from "./cloud-stage.ts";
import { newSession, type Reply, type Row } from "./stage.ts";

let stage: CloudStage;
beforeAll(async () => void (stage = await startCloudStage()));
afterAll(() => stage.close());

const readTool = { name: "read", description: "Reads a file.", input_schema: { type: "object", properties: { path: { type: "string" } } } };

/** Where a request of an action must arrive. */
const targets: Readonly<Record<PlaceName, Readonly<Record<Call["action"], string>>>> = {
  anthropic: { stream: "/v1/messages", plain: "/v1/messages", count: "/v1/messages/count_tokens" },
  bedrock: { stream: `/model/us.anthropic.${model}/invoke-with-response-stream`, plain: `/model/us.anthropic.${model}/invoke`, count: `/model/anthropic.${model}/count-tokens` },
  vertex: { stream: `/v1/projects/fake-project/locations/us-east5/publishers/anthropic/models/${model}:streamRawPredict`, plain: `/v1/projects/fake-project/locations/us-east5/publishers/anthropic/models/${model}:rawPredict`, count: "/v1/projects/fake-project/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict" },
  foundry: { stream: "/anthropic/v1/messages", plain: "/anthropic/v1/messages", count: "/anthropic/v1/messages/count_tokens" },
};

describe.each(grid)("a %s client in front of %s", (envelope, place) => {
  const call = (action: Call["action"], fields: Call["fields"] = {}): Call => ({ envelope, place, action, fields, session: newSession() });

  /** Sends, and holds place and ledger to what a good call leaves. */
  async function good(of: Call): Promise<Reply> {
    const fake = stage.fakes[place];
    const before = { bill: fake.bill().length, requests: fake.requests.length, refused: fake.rejections.length };
    const reply = await stage.send(of);
    expect(reply.status, reply.text()).toBe(200);
    expect(fake.rejections.slice(before.refused)).toEqual([]);
    expect(fake.requests.slice(before.requests).map(({ url }) => url.split("?", 1)[0])).toEqual([targets[place][of.action]]);
    if (of.action === "count") return reply;
    const bills = billedSince(fake, before.bill);
    const rows = await stage.rows(of.session!);
    expect([bills.length, rows.length]).toEqual([1, 1]);
    expect(rows[0]).toMatchObject({ source: "reported", outcome: "completed", provider: place, is_streaming: of.action === "stream", output_tokens: bills[0]!.usage.output_tokens, loss: "" });
    expect(nanoUsdOf(rows[0]!)).toBe(dueNanoUsd(place, bills[0]!));
    expect(reply.headers["x-tollgate-loss"]).toBeUndefined();
    return reply;
  }

  it("says something, streamed and plain", async () => {
    const messages = [{ role: "user", content: "[[say:Größe 測量 \u2028 \"quoted\" \\u0000]]" }];
    const streamed = wholeStream(envelope, await good(call("stream", { messages })));
    const plain = (await good(call("plain", { messages }))).json<{ content: { text: string }[]; model: string }>();
    expect(streamed.text).toBe(plain.content[0]!.text);
    expect(streamed.model).toBe(plain.model);
  });

  it("has its tokens counted, and booked nowhere", async () => {
    const of = call("count", { tools: [readTool] });
    const counted = (await good(of)).json<Record<string, number>>();
    expect(Object.keys(counted)).toEqual([envelope === "bedrock" ? "inputTokens" : "input_tokens"]);
    expect(Object.values(counted)[0]).toBeGreaterThan(10);
    expect((await stage.harness.rows()).some((row) => row["session_id"] === of.session)).toBe(false);
  });

  it.each(["stream", "plain"] as const)("calls a tool and gets its result, after thinking that stays signed (%s)", async (action) => {
    const fields = { tools: [readTool], max_tokens: 4_096, thinking: { type: "enabled", budget_tokens: 2_048 } };
    const ask = { role: "user", content: '[[tool:read {"path":"größe.txt"}]]' };
    const first = await good(call(action, { ...fields, messages: [ask] }));
    const content = action === "stream" ? contentOf(wholeStream(envelope, first)) : first.json<{ content: Record<string, unknown>[] }>().content;
    expect(content.map(({ type }) => type)).toEqual(["thinking", "text", "tool_use"]);
    expect(content[2]).toMatchObject({ name: "read", input: { path: "größe.txt" } });
    const result = { role: "user", content: [{ type: "tool_result", tool_use_id: content[2]!["id"], content: "42 metres" }] };
    // The fake refuses a thinking block whose signature does not fit its text.
    const second = await good(call(action, { ...fields, messages: [ask, { role: "assistant", content }, result] }));
    expect(second.status).toBe(200);
    if (action === "stream") expect(wholeStream(envelope, second).text).toContain("42 metres");
    else expect(second.text()).toContain("42 metres");
  });

  it("gets a compressed reply as it is", async () => {
    const of = call("plain", { messages: [{ role: "user", content: "[[say:Größe]]" }] });
    stage.fakes[place].behave(() => ({ encoding: "gzip", isEncodingNegotiated: true }));
    const reply = await good({ ...of, headers: { "accept-encoding": "gzip" } });
    stage.fakes[place].behave(() => undefined);
    expect(reply.headers["content-encoding"]).toBe("gzip");
    expect((JSON.parse(gunzipSync(reply.bytes()).toString()) as { content: unknown }).content).toEqual([{ type: "text", text: "Größe" }]);
  });

  it("reads from the cache that it wrote, at each price", async () => {
    const system = [{ type: "text", text: `Long instructions of ${envelope}. `.repeat(40), cache_control: { type: "ephemeral", ttl: "1h" } }, { type: "text", text: "More.", cache_control: { type: "ephemeral" } }];
    await good(call("stream", { system }));
    await good(call("plain", { system }));
  });

  it("is told an error before the first event in its own shape: busy, refused, broken off", async () => {
    const busy = await failed(call("stream"), { status: 529, message: "Overloaded" });
    expect(readError(envelope, busy.reply).type).toBe("overloaded_error");
    expect([busy.reply.status, busy.row["outcome"], busy.row["source"], nanoUsdOf(busy.row)]).toEqual([529, "upstream_error", "none", 0n]);
    const refused = await failed(call("plain"), { status: 400, message: "messages.0: the very words that a client heals by" });
    expect(readError(envelope, refused.reply)).toEqual({ type: "invalid_request_error", message: "messages.0: the very words that a client heals by" });
    expect([refused.reply.status, refused.row["source"]]).toEqual([400, "none"]);
    const gone = await failed(call("stream"), { fault: { at: "connect", does: "destroy" } });
    readError(envelope, gone.reply);
    expect(gone.reply.status).toBeGreaterThanOrEqual(500);
    expect(gone.row).toMatchObject({ outcome: "broken", status: 0 });
    const torn = await failed(call("plain"), { fault: { at: "mid-text", does: "destroy" } });
    readError(envelope, torn.reply);
    expect([torn.reply.status, torn.row["outcome"], torn.row["source"]]).toEqual([502, "broken", "estimated"]);
  });

  it("is told an error in place of the first event", async () => {
    const { reply, row } = await failed(call("stream"), { isErrorFirst: true, message: "Overloaded" });
    // Between two ends of frames a chunk is a chunk, whatever it holds.
    if (envelope !== "bedrock" || place !== "bedrock") endsInError(envelope, reply, "Overloaded");
    expect(row).toMatchObject({ outcome: "upstream_error", source: "none" });
  });

  it.each([
    ["an end in the middle", { at: "mid-text", does: "end", isWholeEvents: true }],
    ["a cut inside an event", { at: "mid-text", does: "destroy" }],
    ["a reset before the usage", { at: "before-usage", does: "reset" }],
  ] as const)("gets whole events and one error after %s", async (_, fault) => {
    const { reply, row, bills } = await failed(call("stream"), { text: "word ".repeat(60), fault });
    endsInError(envelope, reply);
    expect(row).toMatchObject({ outcome: "broken", source: "estimated", input_tokens: bills[0]!.usage.input_tokens });
    expect(Number(row["output_tokens"])).toBeLessThanOrEqual(bills[0]!.usage.output_tokens);
    expect(nanoUsdOf(row)).toBeGreaterThan(0n);
  });

  it("gets what came and the place's error after it", async () => {
    const message = "The model stumbled";
    const behaviour = place === "bedrock" ? { exception: { type: "throttlingException", message, at: "mid-text" as const } } : { message, fault: { at: "mid-text", does: "error-event", errorType: "rate_limit_error" } as const };
    const { reply, row } = await failed(call("stream"), { text: "word ".repeat(60), ...behaviour });
    const exception = endsInError(envelope, reply, place === "bedrock" ? undefined : message);
    if (envelope === "bedrock") expect(exception).toBe("throttlingException");
    expect(row).toMatchObject({ outcome: "upstream_error", source: "estimated" });
  });

  it("may leave before anything came: what the place had of it is booked, and nothing else", async () => {
    const fake = stage.fakes[place];
    const before = fake.requests.length;
    fake.behave(() => ({ fault: { at: "connect", does: "stall" } }));
    const of = call("stream");
    const leaving = new AbortController();
    const reply = stage.open({ ...of, signal: leaving.signal }).catch(() => undefined);
    await until("the request at the place", () => fake.requests.length > before);
    leaving.abort();
    await reply;
    const [row, ...more] = await stage.rows(of.session!);
    fake.behave(() => undefined);
    expect(more).toEqual([]);
    expect(row).toMatchObject({ outcome: "client_closed", source: "estimated", provider: place, output_tokens: 0 });
    await until("the place to notice", () => fake.inFlight === 0);
  });

  it("may leave in the middle: the place sees it, and the row is closed at what was due", async () => {
    const fake = stage.fakes[place];
    fake.behave(() => ({ text: "word ".repeat(60), fault: { at: "mid-text", does: "stall", isWholeEvents: true } }));
    const before = fake.bill().length;
    const of = call("stream");
    const open = await stage.open(of);
    await until("a first event", () => open.bytes().length > 0);
    open.leave();
    const [row, ...more] = await stage.rows(of.session!);
    fake.behave(() => undefined);
    expect(more).toEqual([]);
    expect(row).toMatchObject({ outcome: "client_closed", source: "estimated", provider: place, input_tokens: billedSince(fake, before)[0]!.usage.input_tokens });
    await until("the place to notice", () => fake.inFlight === 0);
    expect(fake.requests.at(-1)!.isAborted).toBe(true);
  });

  async function failed(of: Call, behaviour: Parameters<CloudStage["sendAmid"]>[0]): Promise<{ reply: Reply; row: Row; bills: ReturnType<typeof billedSince> }> {
    const before = stage.fakes[place].bill().length;
    const reply = await stage.sendAmid(behaviour, of);
    const rows = await stage.rows(of.session!);
    expect(rows.length).toBe(1);
    expect(rows[0]).toMatchObject({ provider: place });
    return { reply, row: rows[0]!, bills: billedSince(stage.fakes[place], before) };
  }
});

/** @returns the exception's type, for frames */
function endsInError(envelope: Envelope, reply: Reply, words?: string): string | undefined {
  const { grammar, exception } = readStream(envelope, reply);
  if (!grammar.ok) throw new Error(grammar.problem);
  expect([reply.isComplete, grammar.outcome]).toEqual([true, "error"]);
  if (words !== undefined) expect(grammar.error?.message).toBe(words);
  // A client of frames acts on exceptions, and on nothing else.
  expect(exception !== undefined).toBe(envelope === "bedrock");
  return exception?.type;
}

/** The assistant's turn as a client sends it back. */
function contentOf({ events }: GrammarPass): Record<string, unknown>[] {
  const blocks: (Record<string, unknown> & Partial<Record<"text" | "thinking" | "signature", string>>)[] = [];
  let json = "";
  for (const { event, data } of events) {
    if (event === "content_block_start") {
      blocks.push({ ...(data["content_block"] as object) });
      json = "";
    }
    const block = blocks.at(-1)!;
    const delta = data["delta"] as Record<string, string>;
    if (event === "content_block_delta") {
      if (delta["type"] === "input_json_delta") json += delta["partial_json"];
      else for (const name of ["text", "thinking", "signature"] as const) if (delta[name] !== undefined) block[name] = `${block[name] ?? ""}${delta[name]}`;
    }
    if (event === "content_block_stop" && block["type"] === "tool_use") block["input"] = JSON.parse(json || "{}");
  }
  return blocks;
}
