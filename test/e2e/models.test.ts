/**
 * Guarantee: a key reaches the models it may use and no other, by whatever member a request names them; what it may use is
 * listed in the format of whoever asks; every other path answers as the table says.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKey, messagesBody } from "../support/harness.ts";
import { startStage, type ErrorBody, type Stage } from "./stage.ts";

const models = `models:
  - {name: claude-opus-4-8, provider: anthropic}
  - {name: claude-sonnet-4-5, provider: anthropic, aliases: [sonnet], access_groups: [cheap]}
  - {name: claude-haiku-4-5, provider: anthropic, access_groups: [cheap]}`;

const claudeCode = { "user-agent": "claude-cli/2.1.330 (external, cli)" };

let stage: Stage;
/** May use the group `cheap` only. */
let cheap: string;

beforeAll(async () => {
  stage = await startStage({ models });
  cheap = await stage.harness.key({ models: ["cheap"], aliases: { fast: "claude-haiku-4-5" } });
  stage.forbid(cheap);
});

afterAll(() => stage.close());

describe("a model that is unknown or forbidden", () => {
  it.each(["claude-opus-4-8", "claude-opus-9-9"])("is a 404 with the same words: %s", async (model) => {
    const reply = await stage.call({ body: messagesBody({ model }), headers: { "x-api-key": cheap } });
    expect(reply.status).toBe(404);
    const { error } = reply.json<ErrorBody>();
    expect(error.type).toBe("not_found_error");
    expect(error.message.replaceAll(model, "MODEL").replace(/ Near to it:[^.]*\./, "")).toBe('The model "MODEL" is not available to this key. Ask your gateway\'s operator, or choose another with /model.');
    expect(error.message).not.toMatch(/Near to it:.*opus/);
    expect(reply.headers).not.toHaveProperty("x-should-retry");
    expect(await stage.rowsNow(reply.session)).toEqual([]);
  });

  it.each(["claude-opus-4-8", "claude-opus-9-9"])("is said to Claude Code in the one form it shows at once: %s", async (model) => {
    const reply = await stage.call({ body: messagesBody({ model, stream: true }), headers: { ...claudeCode, "x-api-key": cheap } });
    expect(reply.status).toBe(400);
    expect(reply.headers["x-should-retry"]).toBe("false");
    expect(reply.json<ErrorBody>().error).toMatchObject({ type: "policy_blocked", message: expect.stringContaining("is not available to this key") as string });
  });

  it("comes with the near names the caller may use", async () => {
    const reply = await stage.call({ body: messagesBody({ model: "claude-haiku-4-6" }), headers: { ...claudeCode, "x-api-key": cheap } });
    expect(reply.json<ErrorBody>().error.message).toContain("Near to it: claude-haiku-4-5");
  });

  it.each([
    ["a tool", { tools: [{ type: "advisor_20260301", name: "advisor", model: "claude-opus-4-8" }] }],
    ["a tool, in escapes", { tools: [{ type: "advisor_20260301", name: "advisor", MODEL: "claude-opus-4-8" }] }],
    ["a fallback by name", { fallbacks: ["claude-opus-4-8"] }],
    ["a fallback by object", { fallbacks: [{ model: "claude-haiku-4-5" }, { model: "claude-opus-4-8" }] }],
  ])("is found in %s", async (what, fields) => {
    const body = messagesBody({ model: "claude-haiku-4-5", ...fields }).replace('"MODEL"', '"\\u006dodel"');
    const before = stage.fake.requests.length;
    const reply = await stage.call({ body, headers: { "x-api-key": cheap, "anthropic-beta": "server-side-fallback-2026-01-01" } });
    expect(reply.status, what).toBe(404);
    expect(reply.json<ErrorBody>().error.message).toContain("claude-opus-4-8");
    expect(stage.fake.requests.length).toBe(before);
  });

  it("is refused for count_tokens too", async () => {
    const reply = await stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [] }), headers: { "x-api-key": cheap } });
    expect(reply.status).toBe(404);
  });
});

describe("a model that is allowed", () => {
  it.each([
    ["claude-haiku-4-5", "claude-haiku-4-5"],
    ["sonnet", "claude-sonnet-4-5"],
    ["fast", "claude-haiku-4-5"],
  ])("is reached as %s", async (model, upstream) => {
    const reply = await stage.call({ body: messagesBody({ model }), headers: { "x-api-key": cheap } });
    const arrived = stage.fake.requests.at(-1);
    expect([reply.status, arrived?.json?.["model"]]).toEqual([200, upstream]);
  });

  it("passes with further models that are allowed", async () => {
    const reply = await stage.call({ body: messagesBody({ model: "claude-haiku-4-5", fallbacks: [{ model: "claude-sonnet-4-5" }] }), headers: { "x-api-key": cheap, "anthropic-beta": "server-side-fallback-2026-01-01" } });
    expect(reply.status).toBe(200);
  });
});

describe("the list of models", () => {
  const list = (headers: Record<string, string | null>, path = "/v1/models") => stage.call({ method: "GET", path, body: null, headers: { "x-api-key": null, "anthropic-version": null, ...headers } });

  it.each([
    ["anthropic-version and x-api-key", { "anthropic-version": "2023-06-01" }, "/v1/models", "x-api-key"],
    ["Claude Code's discovery with a bearer", { "user-agent": "claude-code/2.1.330" }, "/v1/models?limit=1000", "authorization"],
    ["the /anthropic prefix", { "anthropic-version": "2023-06-01" }, "/anthropic/v1/models", "x-api-key"],
  ])("is Anthropic's for %s", async (_who, headers, path, keyHeader) => {
    const reply = await list({ ...headers, [keyHeader]: keyHeader === "authorization" ? `Bearer ${cheap}` : cheap }, path);
    expect(reply.status).toBe(200);
    const { data, ...rest } = reply.json<{ data: { id: string; type: string; display_name: string; created_at: string }[] }>();
    expect(data.map(({ id }) => id).toSorted()).toEqual(["claude-haiku-4-5", "claude-sonnet-4-5", "sonnet"]);
    expect(data[0]).toMatchObject({ type: "model", display_name: expect.any(String) as string, created_at: expect.stringMatching(/Z$/) as string });
    expect(rest).toMatchObject({ has_more: false, first_id: data[0]?.id, last_id: data.at(-1)?.id });
  });

  it("is OpenAI's for everybody else", async () => {
    const reply = await list({ authorization: `Bearer ${cheap}`, "user-agent": "curl/8" });
    expect(reply.status).toBe(200);
    const value = reply.json<{ object: string; data: { id: string; object: string }[] }>();
    expect(value.object).toBe("list");
    expect(value.data.map(({ id, object }) => `${object} ${id}`).toSorted()).toEqual(["model claude-haiku-4-5", "model claude-sonnet-4-5", "model sonnet"]);
  });

  it("shows one model, and of others not whether they exist", async () => {
    const headers = { "x-api-key": cheap, "anthropic-version": "2023-06-01" };
    expect((await list(headers, "/v1/models/claude-haiku-4-5")).json()).toMatchObject({ id: "claude-haiku-4-5", display_name: "Claude Haiku 4.5" });
    const forbidden = await list(headers, "/v1/models/claude-opus-4-8");
    const unknown = await list(headers, "/v1/models/claude-nothing");
    expect([forbidden.status, unknown.status]).toEqual([404, 404]);
    expect(forbidden.text().replaceAll(/req_\w+/g, "")).toBe(unknown.text().replaceAll(/req_\w+/g, ""));
  });

  it("needs a key", async () => {
    const reply = await list({});
    expect(reply.status).toBe(401);
    expect(reply.headers["x-should-retry"]).toBe("false");
  });
});

describe("other paths", () => {
  it.each(["/v1/messages/batches", "/anthropic/v1/messages/batches/b1/results", "/v1/files", "/anthropic/v1/files/f1/content", "/anthropic/v1/skills", "/v1/skills/s1"])("not offered yet: %s", async (path) => {
    for (const method of ["GET", "POST"]) {
      const reply = await stage.call({ method, path, body: method === "POST" ? "{}" : null });
      expect(reply.status).toBe(501);
      expect(reply.headers["x-should-retry"]).toBe("false");
      expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "not_supported" } });
    }
  });

  it.each([
    ["HEAD", "/"],
    ["HEAD", "/api/hello"],
    ["GET", "/api/hello"],
    ["POST", "/api/event_logging/batch"],
    ["GET", "/health/liveliness"],
    ["GET", "/health/liveness"],
    ["GET", "/health/readiness"],
  ])("open to all: %s %s", async (method, path) => {
    const reply = await stage.call({ method, path, body: method === "POST" ? '{"events":[]}' : null, headers: { "x-api-key": null, "anthropic-version": null } });
    expect(reply.status).toBe(200);
    if (path === "/health/readiness") expect(reply.json()).toMatchObject({ status: "healthy", db: "connected" });
    if (path.startsWith("/health/live")) expect(reply.text()).toBe('"I\'m alive!"');
  });

  it("that do not exist are a 404 in the caller's shape", async () => {
    const anthropic = await stage.call({ method: "GET", path: "/v1/nothing", body: null });
    expect([anthropic.status, anthropic.json<ErrorBody>().type, anthropic.json<ErrorBody>().error.type]).toEqual([404, "error", "not_found_error"]);
    const other = await stage.call({ method: "POST", path: "/chat/nothing", body: "{}", headers: { "anthropic-version": null } });
    expect(other.status).toBe(404);
    expect(other.json<{ error: { code: string; param: null } }>().error).toMatchObject({ code: "404", param: null });
  });

  it.each(["/v1/v1/messages?beta=true", "/anthropic/v1/v1/messages"])("with a doubled /v1 are told so: %s", async (path) => {
    const reply = await stage.call({ path });
    expect(reply.status).toBe(404);
    expect(reply.json<ErrorBody>().error.message).toContain("/v1 twice");
  });

  it("that take another method say 405", async () => {
    expect((await stage.call({ method: "GET", path: "/v1/messages", body: null })).status).toBe(405);
  });

  it("to the metrics need the admin key", async () => {
    const get = (key: string | null) => stage.call({ method: "GET", path: "/metrics", body: null, headers: { "x-api-key": key } });
    expect((await get(null)).status).toBe(401);
    expect((await get(cheap)).status).toBe(403);
    const reply = await get(adminKey);
    expect(reply.status).toBe(200);
    expect(reply.text()).toContain("# HELP");
  });
});
