/**
 * Guarantee: a Messages request reaches the upstream byte for byte but for the model's name, its reply reaches the client with
 * status, words and the headers the client acts on, and what concerns the operator's account stays behind.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { healableErrors } from "../support/fake-anthropic-wordings.ts";
import { messagesBody, upstreamKey } from "../support/harness.ts";
import { newSession, startRecorder, startStage, type ErrorBody, type Recorder, type Stage } from "./stage.ts";

const models = `models:
  - {name: "claude-*", provider: anthropic}
  - {name: team-model, provider: anthropic, model: claude-opus-4-8, id: team-target}
  - {name: claude-with-header, provider: anthropic, model: claude-opus-4-8, headers: {anthropic-beta: files-api-2025-04-14}}`;

let stage: Stage;
let recorder: Recorder;

beforeAll(async () => {
  stage = await startStage({
    models,
    through: async (port) => {
      recorder = await startRecorder(port);
      return recorder.url;
    },
  });
});

afterAll(async () => {
  await stage.close();
  recorder.close();
});

/** A small generator with a seed, so that fast-check can repeat a case. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** JSON text as no printer writes it: odd white space, escapes where none are needed. */
function printOddly(value: unknown, random: () => number): string {
  const space = (): string => (random() < 0.7 ? "" : [" ", "\n", "\t ", "\r\n"][Math.floor(random() * 4)]!);
  const printText = (text: string): string => {
    let printed = "";
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      const isPair = code >= 0xd800 && code <= 0xdbff && (text.codePointAt(at) ?? 0) > 0xffff;
      if (random() < 0.15) printed += `\\u${code.toString(16).padStart(4, "0")[random() < 0.5 ? "toUpperCase" : "toLowerCase"]()}`;
      else if (isPair) printed += text.slice(at, ++at + 1);
      else printed += JSON.stringify(text[at]).slice(1, -1);
    }
    return `"${printed}"`;
  };
  if (typeof value === "string") return printText(value);
  if (Array.isArray(value)) return `[${space()}${value.map((item) => printOddly(item, random) + space()).join(`,${space()}`)}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([name, item]) => `${printText(name)}${space()}:${space()}${printOddly(item, random)}`);
    return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
  }
  return JSON.stringify(value);
}

const body = fc
  .record({
    text: fc.string({ unit: "grapheme", maxLength: 200 }),
    unknown: fc.dictionary(fc.string({ unit: "grapheme", maxLength: 8 }).map((name) => `x_${name}`), fc.jsonValue({ maxDepth: 4 }), { maxKeys: 4 }),
    isModelLast: fc.boolean(),
    seed: fc.integer(),
  })
  .map(({ text, unknown, isModelLast, seed }) => {
    const random = randomFrom(seed);
    const rest = { system: [{ type: "text", text, cache_control: { type: "ephemeral" } }], max_tokens: 8, messages: [{ role: "user", content: text === "" ? "-" : text }], ...unknown };
    return (model: string) => printOddly(isModelLast ? { ...rest, model } : { model, ...rest }, random);
  });

describe("a request", () => {
  it("arrives with exactly the bytes that were sent", async () => {
    await fc.assert(
      fc.asyncProperty(body, async (print) => {
        const sent = Buffer.from(print("claude-opus-4-8"));
        const reply = await stage.call({ body: sent, headers: { "anthropic-beta": "context-management-2025-06-27" } });
        expect(stage.received(reply.session).body.equals(sent)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("has its model name replaced by the target's, and no other byte", async () => {
    await fc.assert(
      fc.asyncProperty(body, async (print) => {
        const sent = print("team-model");
        const reply = await stage.call({ body: sent });
        const arrived = stage.received(reply.session).body.toString();
        const at = arrived.indexOf('"claude-opus-4-8"');
        expect(sent.startsWith(arrived.slice(0, at))).toBe(true);
        expect(sent.endsWith(arrived.slice(at + '"claude-opus-4-8"'.length))).toBe(true);
        expect(JSON.parse(arrived)).toEqual({ ...(JSON.parse(sent) as object), model: "claude-opus-4-8" });
      }),
      { numRuns: 40 },
    );
  });

  it("that comes in chunks arrives whole", async () => {
    const sent = messagesBody({ messages: [{ role: "user", content: "x".repeat(300_000) }] });
    const reply = await stage.call({ body: sent, headers: { "content-length": null, "transfer-encoding": "chunked" } });
    expect(reply.status).toBe(200);
    expect(stage.received(reply.session).body.toString()).toBe(sent);
  });

  it("keeps Anthropic's, Claude Code's and the SDK's headers, repeated and odd ones too, and drops all others", async () => {
    const reply = await stage.call({
      headers: {
        "anthropic-beta": ["context-management-2025-06-27", "interleaved-thinking-2025-05-14"],
        "anthropic-dangerous-direct-browser-access": "true",
        "anthropic-some-future-header": "caf\xe9 1",
        "x-claude-code-agent-id": "agent-7",
        "x-claude-code-request-class": "main",
        "x-stainless-retry-count": "3",
        "x-app": "cli",
        "user-agent": "claude-cli/2.1.330 (external, cli)",
        accept: "application/json",
        "x-forwarded-for": "10.0.0.1",
        cookie: "a=b",
        "x-internal": "1",
        te: "trailers",
        "keep-alive": "timeout=5",
        connection: "keep-alive, anthropic-hop",
        "anthropic-hop": "1",
      },
    });
    expect(reply.status).toBe(200);
    const { headers } = stage.received(reply.session);
    expect(headers).toMatchObject({
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "context-management-2025-06-27, interleaved-thinking-2025-05-14",
      "anthropic-dangerous-direct-browser-access": "true",
      "anthropic-some-future-header": "caf\xe9 1",
      "x-claude-code-agent-id": "agent-7",
      "x-claude-code-request-class": "main",
      "x-stainless-retry-count": "3",
      "x-app": "cli",
      "user-agent": "claude-cli/2.1.330 (external, cli)",
      "content-type": "application/json",
      "x-api-key": upstreamKey,
    });
    for (const name of ["x-internal", "cookie", "x-forwarded-for", "te", "keep-alive", "anthropic-hop", "authorization"]) expect(headers).not.toHaveProperty(name);
    const host = headers["host"];
    expect(host).toBe(new URL(recorder.url).host);
  });

  it.each(["/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages?beta=true&x=%20a&b[]=1"])("keeps its query string: %s", async (path) => {
    const reply = await stage.call({ path });
    expect(reply.status).toBe(200);
    expect(stage.received(reply.session).url).toBe(path.replace("/anthropic", ""));
  });

  it("gets a target's own header in place of the client's", async () => {
    const reply = await stage.call({ body: messagesBody({ model: "claude-with-header" }), headers: { "anthropic-beta": "context-management-2025-06-27" } });
    expect(reply.status).toBe(200);
    expect(stage.received(reply.session).headers["anthropic-beta"]).toBe("files-api-2025-04-14");
  });

  it("has its session, agent and tags in the ledger row", async () => {
    const reply = await stage.call({ headers: { "x-claude-code-agent-id": "a1", "x-claude-code-parent-agent-id": "a0", "x-litellm-tags": "project:apollo, ci" } });
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ session_id: reply.session, agent_id: "a1", parent_agent_id: "a0", project: "apollo", tags: ["ci"], requested_model: "claude-opus-4-8", status: 200, outcome: "completed", source: "reported", is_streaming: false });
  });
});

describe("a reply", () => {
  it("comes unchanged, with the gateway's own headers beside it and the account's held back", async () => {
    const reply = await stage.call();
    expect(reply.status).toBe(200);
    expect(reply.bytes().equals(recorder.reply(reply.session))).toBe(true);
    expect(reply.headers["content-type"]).toBe("application/json");
    expect(reply.headers["request-id"]).toMatch(/^req_01/);
    expect(reply.headers["x-tollgate-request-id"]).toMatch(/^req_/);
    expect(reply.headers["x-litellm-call-id"]).toBe(reply.headers["x-tollgate-request-id"]);
    expect(reply.headers["x-litellm-model-id"]).toBeTruthy();
    expect(Number(reply.headers["x-tollgate-overhead-ms"])).toBeGreaterThan(0);
    const [row] = await stage.rows(reply.session);
    expect(Number(reply.headers["x-litellm-response-cost"])).toBe(Number(row?.["cost_usd"]));
    expect(Number(row?.["cost_usd"])).toBeGreaterThan(0);
    expect(row).toMatchObject({ upstream_request_id: reply.headers["request-id"], request_id: reply.headers["x-tollgate-request-id"] });
    for (const name of Object.keys(reply.headers)) expect(name).not.toMatch(/^(?:anthropic-ratelimit-|anthropic-organization-id|set-cookie|cf-|via|server|strict-transport)/);
  });

  it("names the target it came from", async () => {
    const reply = await stage.call({ body: messagesBody({ model: "team-model" }) });
    expect(reply.headers["x-litellm-model-id"]).toBe("team-target");
  });

  it("of several megabytes comes whole and is metered", async () => {
    const reply = await stage.call({ behaviour: { textBytes: 3_000_000 } });
    expect(reply.isComplete).toBe(true);
    expect(reply.bytes().equals(recorder.reply(reply.session))).toBe(true);
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ source: "reported", output_tokens: 750_000 });
  });

  it.each(["gzip", "br", "zstd", "deflate"] as const)("compressed with %s passes as it is and is metered like its plain twin", async (encoding) => {
    const sent = messagesBody({ messages: [{ role: "user", content: `metered alike ${encoding}` }] });
    const plain = await stage.call({ body: sent });
    const coded = await stage.call({ body: sent, headers: { "accept-encoding": encoding }, behaviour: { encoding, isEncodingNegotiated: true } });
    expect(coded.headers["content-encoding"]).toBe(encoding);
    expect(coded.bytes().equals(recorder.reply(coded.session))).toBe(true);
    expect(Number(coded.headers["content-length"])).toBe(coded.bytes().length);
    const [[plainRow], [codedRow]] = await Promise.all([stage.rows(plain.session), stage.rows(coded.session)]);
    for (const name of ["cost_usd", "input_tokens", "output_tokens", "source"]) expect(codedRow?.[name]).toEqual(plainRow?.[name]);
    expect(coded.headers["x-litellm-response-cost"]).toBe(plain.headers["x-litellm-response-cost"]);
  });

  it("costs the same as a stream with the same usage", async () => {
    const usage = { input_tokens: 1_000, output_tokens: 321, cache_read_input_tokens: 5_000, cache_creation_input_tokens: 300, cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 } };
    const plain = await stage.call({ behaviour: { usage } });
    const streamed = await stage.call({ body: messagesBody({ stream: true }), behaviour: { usage } });
    const [[plainRow], [streamRow]] = await Promise.all([stage.rows(plain.session), stage.rows(streamed.session)]);
    expect(plainRow).toMatchObject({ input_tokens: 1_000, output_tokens: 321, cache_read_tokens: 5_000, cache_write_5m_tokens: 100, cache_write_1h_tokens: 200, source: "reported" });
    for (const name of ["cost_usd", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "source", "price_row"]) expect(streamRow?.[name]).toEqual(plainRow?.[name]);
  });

  it("with iterations is billed for each at its own model, streamed or not", async () => {
    const iterations = [
      { type: "message", input_tokens: 1_000, output_tokens: 10 },
      { type: "advisor_message", model: "claude-haiku-4-5", input_tokens: 2_000, output_tokens: 20 },
    ];
    const usage = { input_tokens: 1_000, output_tokens: 10, iterations };
    const plain = await stage.call({ behaviour: { usage } });
    const streamed = await stage.call({ body: messagesBody({ stream: true }), behaviour: { usage } });
    const [[plainRow], [streamRow]] = await Promise.all([stage.rows(plain.session), stage.rows(streamed.session)]);
    expect(plainRow).toMatchObject({ input_tokens: 3_000, output_tokens: 30, source: "reported" });
    expect(String(plainRow?.["price_row"]).split(",")).toHaveLength(2);
    expect(streamRow?.["cost_usd"]).toBe(plainRow?.["cost_usd"]);
  });

  it.each([true, false])("without any usage is estimated, not free (stream: %s)", async (stream) => {
    const reply = await stage.call({ body: messagesBody({ stream }), behaviour: { usage: null } });
    expect(reply.isComplete).toBe(true);
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ source: "estimated", outcome: "completed" });
    expect(Number(row?.["cost_usd"])).toBeGreaterThan(0);
  });
});

describe("an upstream's error", () => {
  it.each([400, 402, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])("with status %i comes unchanged and costs nothing", async (status) => {
    const reply = await stage.call({ behaviour: { status, message: `words of ${status} – ünchanged`, headers: { "retry-after": "7", "x-should-retry": "true" } } });
    expect(reply.status).toBe(status);
    expect(reply.bytes().equals(recorder.reply(reply.session))).toBe(true);
    expect(reply.json<ErrorBody>().error.message).toBe(`words of ${status} – ünchanged`);
    expect(reply.headers).toMatchObject({ "retry-after": "7", "x-should-retry": "true", "content-type": "application/json" });
    expect(reply.headers["request-id"]).toMatch(/^req_01/);
    for (const name of Object.keys(reply.headers)) expect(name).not.toMatch(/^(?:anthropic-ratelimit-|set-cookie)/);
    const [row] = await stage.rows(reply.session);
    expect(row).toMatchObject({ status, outcome: "upstream_error", source: "none", cost_usd: "0.00", output_tokens: 0 });
  });

  it.each(Object.entries(healableErrors))("that the client heals by its words keeps them: %s", async (_name, behaviour) => {
    for (const stream of [false, true]) {
      const reply = await stage.call({ body: messagesBody({ stream }), behaviour });
      expect(reply.status).toBe(400);
      expect(reply.bytes().equals(recorder.reply(reply.session))).toBe(true);
      expect(reply.json<ErrorBody>().error.message).toBe(behaviour.message);
    }
  });

  it("of a stream's first event passes as it is and is not billed", async () => {
    const session = newSession();
    const reply = await stage.call({ session, body: messagesBody({ stream: true }), behaviour: { isErrorFirst: true } });
    expect(reply.bytes().equals(recorder.reply(session))).toBe(true);
    const [row] = await stage.rows(session);
    expect(row).toMatchObject({ outcome: "upstream_error", source: "none", cost_usd: "0.00" });
  });
});

describe("count_tokens", () => {
  it.each(["", "/anthropic"])("below '%s' is the upstream's own answer, unbilled", async (prefix) => {
    const sent = JSON.stringify({ model: "team-model", messages: [{ role: "user", content: "Hello" }] });
    const reply = await stage.call({ path: `${prefix}/v1/messages/count_tokens?beta=true`, body: sent });
    expect(reply.status).toBe(200);
    expect(reply.json<{ input_tokens: number }>().input_tokens).toBeGreaterThan(0);
    expect(stage.received(reply.session).url).toBe("/v1/messages/count_tokens?beta=true");
    expect(stage.received(reply.session).json?.["model"]).toBe("claude-opus-4-8");
    expect(await stage.rowsNow(reply.session)).toEqual([]);
  });

  it("hands on the upstream's refusals and its faults as errors", async () => {
    const sent = JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "Hello" }] });
    const path = "/v1/messages/count_tokens";
    for (const [behaviour, status] of [[{ status: 429, message: "slow down" }, 429], [{ status: 401 }, 503], [{ status: 302, headers: { location: "http://127.0.0.1:1/" } }, 502], [{ raw: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n" }, 502]] as const) {
      stage.fake.scriptOther(() => behaviour);
      const reply = await stage.call({ path, body: sent });
      expect(reply.status, JSON.stringify(behaviour)).toBe(status);
      expect(reply.json<ErrorBody>().type).toBe("error");
    }
    stage.fake.scriptOther(() => undefined);
  });
});
