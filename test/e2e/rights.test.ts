/**
 * Guarantee: rights hold for every model that a request names, however it is named: neither an alias, nor the operator's own
 * mapping, nor a name that stands twice is a way around them; and what is listed can be used.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { messagesBody } from "../support/harness.ts";
import { startStage, type Reply, type Stage } from "./stage.ts";

let stage: Stage;
let mapped: Stage;
beforeAll(async () => {
  stage = await startStage();
  mapped = await startStage({
    models: "models: [{name: claude-opus-4-8, provider: anthropic, model: claude-haiku-4-5, aliases: [opus]}, {name: claude-haiku-4-5, provider: anthropic}, {name: claude-sonnet-4-6, provider: anthropic}]",
  });
});
afterAll(async () => {
  await stage.close();
  await mapped.close();
});

async function ask(on: Stage, fields: Record<string, unknown>, body: string): Promise<Reply> {
  return on.call({ body, headers: { "x-api-key": await on.harness.key(fields) } });
}

const haikuOnly = { models: ["claude-haiku-4-5"] };
const body = (rest: string): string => `{"model":"claude-haiku-4-5","max_tokens":8,"messages":[{"role":"user","content":"x"}],${rest}}`;

describe("a key for one model", () => {
  it.each([
    ["a fallback", '"fallbacks":[{"model":"claude-opus-4-8"}]'],
    ["an advisor", '"tools":[{"type":"advisor_20260301","name":"advisor","model":"claude-opus-4-8"}]'],
    ["a fallback whose model stands twice", '"fallbacks":[{"model":"claude-opus-4-8","model":"claude-haiku-4-5"}]'],
    ["a tool whose type stands twice", '"tools":[{"type":"advisor_20260301","type":"custom","model":"claude-opus-4-8"}]'],
    ["an advisor with the model in another spelling", '"tools":[{"type":"advisor_20260301","model":"claude-haiku-4-5","Model":"claude-opus-4-8"}]'],
    ["an advisor behind escapes", '"tools":[{"ty\\u0070e":"advis\\u006fr_20260301","m\\u006fdel":"claude-opus-4-8"}]'],
  ])("gives no other by %s", async (_how, rest) => {
    const reply = await ask(stage, haikuOnly, body(rest));
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(stage.fake.requests.some(({ headers }) => headers["x-claude-code-session-id"] === reply.session)).toBe(false);
  });

  it("gives no other by an alias of its own", async () => {
    const reply = await ask(stage, { ...haikuOnly, aliases: { "claude-opus-4-8": "claude-haiku-4-5" } }, body('"fallbacks":[{"model":"claude-opus-4-8"}]'));
    expect(reply.status).toBe(404);
  });

  it("takes large tools beside an advisor it may use", async () => {
    const properties = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`p${index}`, { type: "string" }]));
    const tools = [{ name: "big", description: "d", input_schema: { type: "object", properties } }, { type: "advisor_20260301", name: "advisor", model: "claude-haiku-4-5" }];
    const reply = await ask(stage, haikuOnly, body(`"tools":${JSON.stringify(tools)}`));
    expect(stage.fake.requests.some(({ headers }) => headers["x-claude-code-session-id"] === reply.session)).toBe(true);
  });
});

describe("the operator's own mapping", () => {
  it("does not lend a model's name to an advisor, which the upstream would take literally", async () => {
    const tools = '"tools":[{"type":"advisor_20260301","name":"advisor","model":"claude-opus-4-8"}]';
    for (const fields of [{ models: ["claude-opus-4-8", "claude-haiku-4-5"] }, {}]) expect((await ask(mapped, fields, body(tools))).status).toBe(404);
  });

  it("gives an alias to who may use the model, and the model's entry to who may use the alias", async () => {
    const listed = async (fields: Record<string, unknown>): Promise<readonly string[]> => {
      const key = await mapped.harness.key(fields);
      const list = await mapped.call({ method: "GET", path: "/v1/models", body: null, headers: { "x-api-key": key } });
      const ids = list.json<{ data: { id: string }[] }>().data.map(({ id }) => id);
      for (const id of ids) expect((await mapped.call({ body: messagesBody({ model: id }), headers: { "x-api-key": key } })).status).toBe(200);
      return ids;
    };
    expect(await listed({ models: ["claude-opus-4-8"] })).toEqual(["claude-opus-4-8", "opus"]);
    expect(await listed({ models: ["opus"] })).toEqual(["opus"]);
  });
});

it("a context suffix is taken off before patterns are tried, and reaches no upstream", async () => {
  const reply = await stage.call({ body: messagesBody({ model: "claude-opus-4-8[1m]" }), headers: { "x-api-key": await stage.harness.key({ models: ["claude-opus-4-8"] }) } });
  expect(reply.status).toBe(200);
  expect(JSON.parse(stage.received(reply.session).body.toString())).toMatchObject({ model: "claude-opus-4-8" });
});

it("a model can be asked for by its id in a path, encoded or not, listed or not", async () => {
  for (const [path, status] of [["claude-opus-9-9", 200], ["team%2Fclaude-x", 404], ["claude-opus-4-8", 200]] as const) {
    expect((await stage.call({ method: "GET", path: `/v1/models/${path}`, body: null })).status).toBe(status);
  }
  const own = await startStage({ models: 'models: [{name: "team/claude-x", provider: anthropic, model: claude-opus-4-8}]' });
  expect((await own.call({ method: "GET", path: "/v1/models/team%2Fclaude-x", body: null })).status).toBe(200);
  await own.close();
});

it("refusals of the model list come in the shape the caller asks for", async () => {
  const shapes = await Promise.all([{ "anthropic-version": "2023-06-01" }, { "user-agent": "claude-code/2.1.330" }, { "anthropic-version": null }].map((headers) => stage.call({ method: "GET", path: "/v1/models", body: null, headers: { ...headers, "x-api-key": null } })));
  expect(shapes.map((reply) => [reply.status, reply.json<{ type?: string }>().type])).toEqual([[401, "error"], [401, "error"], [401, undefined]]);
});
