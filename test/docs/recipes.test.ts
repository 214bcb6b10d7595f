/**
 * Guarantee: every recipe of docs/claude-code/ works as written. Its shell lines are run, its configurations are started in front
 * of the strict fakes, and what a client with those settings sends is answered in the client's own form and stands in the ledger.
 * The first configurations of the provider pages are run in the same way.
 */
import { readdirSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createFrameReader } from "../../src/wire/event-stream.ts";
import { until, upstreamKey } from "../support/harness.ts";
import { startBehind, type Behind, type OwnLogins } from "./behind.ts";
import { discoveryOf, modeOf, requestOf, session, settingsOf, type ClientOptions, type ClientRequest, type Errand, type Mode, type Settings } from "./client.ts";
import { guidePages, joined, plain, readPage, root, sectionOf } from "./markdown.ts";

const guide = joined(guidePages());
const googleToken = "ya29.of-a-developer-00000000000000000000";
const claudeLogin = "sk-ant-oat01-of-a-developer-0000000000000";
const bedrockKey = "bedrock-api-key-of-your-own";

let behind: Behind | undefined;
afterEach(async () => {
  await behind?.close();
  const left = [...(behind?.fakes ?? [])];
  behind = undefined;
  for (const [name, fake] of left) expect([name, fake.violations, fake.rejections]).toEqual([name, [], []]);
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** `fetch` does not send `Proxy-Authorization`. */
function send({ url, headers, body }: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(url, { method: body === null ? "GET" : "POST", agent: false, headers: { ...headers, ...(body === null ? {} : { "content-length": Buffer.byteLength(body) }) } });
    call.on("error", reject);
    call.on("response", (reply) => {
      const pieces: Buffer[] = [];
      reply.on("data", (piece: Buffer) => pieces.push(piece));
      reply.on("error", reject);
      reply.on("end", () => resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(pieces) }));
    });
    call.end(body ?? undefined);
  });
}

/** The answer is whole and in the form that the client's mode reads. */
function checkAnswer({ status, headers, body }: Answer, mode: Mode, errand: Errand): void {
  expect(status, body.toString()).toBe(200);
  if (errand === "stream" && mode === "bedrock") {
    expect(headers["content-type"]).toBe("application/vnd.amazon.eventstream");
    const reader = createFrameReader();
    const events = reader.push(body).map(({ payload }) => JSON.parse(Buffer.from((JSON.parse(payload.toString()) as { bytes: string }).bytes, "base64").toString()) as { type: string });
    expect([events[0]?.type, events.at(-1)?.type, reader.isAtBorder()]).toEqual(["message_start", "message_stop", true]);
  } else if (errand === "stream") {
    expect(headers["content-type"]).toContain("text/event-stream");
    expect(body.toString()).toMatch(/^event: message_start\n[^]*event: message_stop\n/);
  } else {
    const json = JSON.parse(body.toString()) as Record<string, unknown>;
    if (errand === "plain") expect(json["type"]).toBe("message");
    else expect(json[mode === "bedrock" ? "inputTokens" : "input_tokens"]).toBeGreaterThan(0);
  }
}

/** The section's shell lines, with a key and an address in place of the page's. */
function settingsFor(heading: string, url: string, key: string): Settings {
  const lines = sectionOf(guide, heading).blocks.find(({ language, text }) => language === "sh" && text.startsWith("export"))!;
  return settingsOf(lines.text.replaceAll("sk-…", key).replaceAll("http://127.0.0.1:4000", url));
}

const recipes = ["Static key", "Anthropic pass-through", "Bedrock", "Vertex", "Vertex with your own Google login", "Bedrock with your own key", "Foundry, Mantle, Claude Platform on AWS", "One address for every cloud", "Model names", "Attribution", "claude.ai login"];
const ownLogins: Readonly<Record<string, OwnLogins & ClientOptions>> = {
  "Vertex with your own Google login": { googleToken, googleProject: "my-own-project" },
  "Bedrock with your own key": { bedrockKey },
  "claude.ai login": { claudeLogin, login: claudeLogin },
};
const configurationsOf = (heading: string): readonly string[] => sectionOf(guide, heading).blocks.filter(({ language }) => language === "yaml").map(({ text }) => text);
const formatOf = (text: string): string => (text.startsWith("model_list") ? "config.yaml" : "tollgate.yaml");

describe.each(recipes)("%s", (heading) => {
  const own = ownLogins[heading] ?? {};
  it.each(configurationsOf(heading).map((text) => [formatOf(text), text] as const))("works with its %s", async (_format, text) => {
    behind = await startBehind(text, own);
    const key = await behind.key({ key_alias: "ada", user_id: "ada" });
    // Where the attribution section has no key of its own in custom headers, it has the token.
    const settings = settingsFor(heading, behind.harness.url, key);
    const mode = modeOf(settings);
    for (const errand of ["stream", "plain", "count"] as const) checkAnswer(await send(requestOf(settings, errand, own)), mode, errand);
    const rows = await behind.rows(2);
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toMatchObject({ state: "closed", outcome: "completed", source: "reported", status: 200, user_id: "ada", session_id: session, is_unpriced: false });
    const [first] = behind.fakes.keys();
    const provider = text.startsWith("model_list") ? String(rows[0]!["provider"]) : first;
    expect(rows.map((row) => row["provider"])).toEqual([provider, provider]);
    expect(Number(rows[0]!["cost_usd"])).toBeGreaterThan(0);
    expect(behind.fakes.get(first!)!.requests).toHaveLength(3);
  });
});

it("every section with settings for a client is run", () => {
  const shown = guide.sections.filter(({ blocks }) => blocks.some(({ language }) => language === "yaml")).map(({ heading }) => heading);
  expect(shown.toSorted()).toEqual([...recipes, "Helper"].toSorted());
});

const pageBlocks = readdirSync(join(root, "docs", "providers")).flatMap((name) => {
  const blocks = readPage(`docs/providers/${name}`).sections.flatMap((section) => section.blocks.filter(({ language }) => language === "yaml"));
  const isLiteLlm = (text: string): boolean => text.startsWith("model_list");
  return [blocks.find(({ text }) => !isLiteLlm(text)), blocks.find(({ text }) => isLiteLlm(text))].flatMap((block) => (block === undefined ? [] : [[name, formatOf(block.text), block.text] as const]));
});

it.each(pageBlocks)("docs/providers/%s: the first %s serves a Messages client", async (_name, _format, text) => {
  behind = await startBehind(text);
  const settings = { ANTHROPIC_BASE_URL: behind.harness.url, ANTHROPIC_AUTH_TOKEN: await behind.key() };
  for (const errand of ["stream", "plain", "count"] as const) checkAnswer(await send(requestOf(settings, errand)), "messages", errand);
  for (const row of await behind.rows(2)) expect(row).toMatchObject({ outcome: "completed", source: "reported", is_unpriced: false });
});

describe("Helper", () => {
  it("is given to the client by settings that name the script and the address", async () => {
    const section = sectionOf(guide, "Helper");
    const shown = JSON.parse(section.blocks.find(({ language }) => language === "json")!.text) as { apiKeyHelper: string; env: Record<string, string> };
    expect(shown.apiKeyHelper).toBe("/path/to/token.sh");
    for (const text of configurationsOf("Helper")) {
      behind = await startBehind(text);
      const key = await behind.key({ user_id: "ada" });
      const { token } = (await (await fetch(`${behind.harness.url}/v1/me/token`, { method: "POST", headers: { authorization: `Bearer ${key}` } })).json()) as { token: string };
      const answer = await send(requestOf({ ANTHROPIC_BASE_URL: shown.env["ANTHROPIC_BASE_URL"]!.replace("http://127.0.0.1:4000", behind.harness.url) }, "stream", { helper: token }));
      checkAnswer(answer, "messages", "stream");
      expect(answer.headers).not.toHaveProperty("x-tollgate-notice");
      expect((await behind.rows(1))[0]).toMatchObject({ user_id: "ada", source: "reported" });
      await behind.close();
    }
  });
});

it("Static key: an API key works as well, and a base URL with /v1 is told so", async () => {
  behind = await startBehind(configurationsOf("Static key")[0]!);
  const key = await behind.key();
  checkAnswer(await send(requestOf({ ANTHROPIC_BASE_URL: behind.harness.url, ANTHROPIC_API_KEY: key }, "plain")), "messages", "plain");
  const doubled = await send(requestOf({ ANTHROPIC_BASE_URL: `${behind.harness.url}/v1`, ANTHROPIC_API_KEY: key }, "plain"));
  expect([doubled.status, doubled.body.toString().includes("/v1 twice")]).toEqual([404, true]);
});

it("Bedrock: a bearer token of Bedrock's works as well, a signature is told what to set, profiles need no key", async () => {
  behind = await startBehind(configurationsOf("Bedrock")[0]!);
  const { url } = behind.harness;
  const settings = settingsFor("Bedrock", url, await behind.key());
  const { CLAUDE_CODE_SKIP_BEDROCK_AUTH: _skip, ANTHROPIC_AUTH_TOKEN: token, ...unskipped } = settings;
  checkAnswer(await send(requestOf({ ...unskipped, AWS_BEARER_TOKEN_BEDROCK: token! }, "stream")), "bedrock", "stream");
  const signed = await send(requestOf(unskipped, "plain"));
  expect([signed.status, signed.body.toString().includes("CLAUDE_CODE_SKIP_BEDROCK_AUTH=1")]).toEqual([401, true]);
  expect((await send({ url: `${url}/bedrock/inference-profiles?type=SYSTEM_DEFINED`, headers: {}, body: null })).status).toBe(200);
});

it("Vertex: every spelling of the address works, and the gateway's project and location take the place of the client's", async () => {
  behind = await startBehind(configurationsOf("Vertex")[0]!);
  const settings = settingsFor("Vertex", behind.harness.url, await behind.key());
  for (const prefix of ["/vertex_ai", "/vertex-ai", "/vertex-ai/v1"]) {
    const base = settings["ANTHROPIC_VERTEX_BASE_URL"]!.replace("/vertex_ai/v1", prefix);
    checkAnswer(await send(requestOf({ ...settings, ANTHROPIC_VERTEX_BASE_URL: base }, "stream")), "vertex", "stream");
  }
  for (const { url } of behind.fakes.get("vertex")!.requests) expect(url).toMatch(/^\/v1\/projects\/my-project\/locations\/global\//);
});

describe("Vertex with your own Google login", () => {
  const versions = [
    ["0.2.126", "ANTHROPIC_AUTH_TOKEN"], ["0.2.126", "helper"], ["1.0.33", "ANTHROPIC_AUTH_TOKEN"], ["1.0.33", "helper"], ["1.0.40", "ANTHROPIC_CUSTOM_HEADERS"], ["2.1.330", "ANTHROPIC_CUSTOM_HEADERS"],
  ] as const;

  it.each(versions)("%s sends the key by %s; the token goes to the client's own project and location, the key nowhere", async (version, how) => {
    behind = await startBehind(configurationsOf("Vertex with your own Google login")[0]!, { googleToken, googleProject: "my-own-project" });
    const key = await behind.key({ user_id: "ada" });
    const { ANTHROPIC_CUSTOM_HEADERS: custom, ...rest } = settingsFor("Vertex with your own Google login", behind.harness.url, key);
    const settings = how === "ANTHROPIC_CUSTOM_HEADERS" ? { ...rest, [how]: custom! } : how === "helper" ? rest : { ...rest, [how]: key };
    checkAnswer(await send(requestOf(settings, "plain", { version, googleToken, ...(how === "helper" ? { helper: key } : {}) })), "vertex", "plain");
    const [arrived] = behind.fakes.get("vertex")!.requests;
    expect(arrived?.headers["authorization"]).toBe(`Bearer ${googleToken}`);
    expect(arrived?.url).toMatch(/^\/v1\/projects\/my-own-project\/locations\/europe-west1\//);
    expect((await behind.rows(1))[0]).toMatchObject({ user_id: "ada", source: "reported", price_row: "vertex/claude-sonnet-4-5?regional" });
  });

  it("without a token in a newer client is a 401 that is not tried again", async () => {
    behind = await startBehind(configurationsOf("Vertex with your own Google login")[0]!, { googleToken });
    const settings = { ...settingsFor("Vertex with your own Google login", behind.harness.url, await behind.key()), ANTHROPIC_CUSTOM_HEADERS: "" };
    const answer = await send(requestOf(settings, "plain", { googleToken }));
    expect([answer.status, answer.headers["x-should-retry"]]).toEqual([401, "false"]);
  });
});

it.each(["/mantle", "/anthropic-aws"])("Foundry, Mantle, Claude Platform on AWS: %s answers the Messages API with a key in a custom header", async (prefix) => {
  behind = await startBehind(configurationsOf("Static key")[0]!);
  const settings = { ANTHROPIC_BASE_URL: `${behind.harness.url}${prefix}`, ANTHROPIC_CUSTOM_HEADERS: `x-litellm-api-key: ${await behind.key()}` };
  expect(sectionOf(guide, "Foundry, Mantle, Claude Platform on AWS") !== undefined && guide.text.includes(`http://127.0.0.1:4000${prefix}\``)).toBe(true);
  for (const errand of ["stream", "plain", "count"] as const) checkAnswer(await send(requestOf(settings, errand)), "messages", errand);
});

it("One address for every cloud: a place that is full leads to the next, with a row for each attempt", async () => {
  behind = await startBehind(configurationsOf("One address for every cloud")[0]!);
  behind.fakes.get("vertex")!.behave!(() => ({ front: { status: 429, body: { error: { code: 429, status: "RESOURCE_EXHAUSTED", message: "Quota exceeded for my-project" } } } }));
  const settings = settingsFor("One address for every cloud", behind.harness.url, await behind.key());
  checkAnswer(await send(requestOf(settings, "stream")), "messages", "stream");
  const rows = await behind.rows(2);
  expect(rows.map((row) => [row["ordinal"], row["provider"], row["status"], row["source"]])).toEqual([[2, "bedrock", 200, "reported"], [1, "vertex", 429, "none"]]);
});

it("Model names: what the client asks for, aliases and discovery", async () => {
  for (const text of configurationsOf("Model names")) {
    behind = await startBehind(text);
    const settings = settingsFor("Model names", behind.harness.url, await behind.key());
    for (const [name, upstream] of [["claude-team", "claude-sonnet-5-5"], ["claude-team-default", "claude-sonnet-5-5"], ["claude-team[1m]", "claude-sonnet-5-5"]] as const) {
      checkAnswer(await send(requestOf({ ...settings, ANTHROPIC_MODEL: name }, "stream")), "messages", "stream");
      expect(behind.fakes.get("anthropic")!.requests.at(-1)!.json?.["model"]).toBe(upstream);
    }
    checkAnswer(await send(requestOf(settings, "plain")), "messages", "plain");
    expect(behind.fakes.get("anthropic")!.requests.at(-1)!.json?.["model"]).toBe("claude-haiku-5-5");
    const { data } = JSON.parse((await send(discoveryOf(settings))).body.toString()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(["claude-team", "claude-team-default", "claude-team-small", "claude-opus-5-5"]));
    const narrow = await behind.key({ models: ["claude-team"] });
    const refused = await send(requestOf({ ...settings, ANTHROPIC_AUTH_TOKEN: narrow, ANTHROPIC_MODEL: "claude-tean" }, "stream"));
    expect([refused.status, refused.headers["x-should-retry"], /Near to it: .*\bclaude-team\b/.test(refused.body.toString())]).toEqual([400, "false", true]);
    await behind.close();
  }
});

describe("Two credentials at once", () => {
  const [head = [], ...rows] = sectionOf(guide, "Two credentials at once").tables[0]!;
  const words: Readonly<Record<string, string>> = { token: "ANTHROPIC_AUTH_TOKEN", "API key": "ANTHROPIC_API_KEY" };

  it.each(rows)("%s", async (has, bearer, apiKey, billed) => {
    expect(head).toEqual(["Settings", "`Authorization`", "`x-api-key`", "Who is billed"]);
    behind = await startBehind(configurationsOf("Static key")[0]!);
    const keys: Record<string, string> = {};
    for (const whose of ["token", "API key", "helper"]) if (has!.includes(whose)) keys[whose] = await behind.key({ user_id: whose });
    const settings = Object.fromEntries(Object.entries(keys).flatMap(([whose, key]) => (words[whose] === undefined ? [] : [[words[whose], key]])));
    const request = requestOf({ ANTHROPIC_BASE_URL: behind.harness.url, ...settings }, "plain", keys["helper"] === undefined ? {} : { helper: keys["helper"] });
    expect(request.headers["authorization"]).toBe(`Bearer ${keys[bearer!]}`);
    if (apiKey !== "not measured") expect(request.headers["x-api-key"]).toBe(keys[apiKey!]);
    const answer = await send(request);
    checkAnswer(answer, "messages", "plain");
    expect(answer.headers["x-tollgate-notice"]).toBe("two-keys");
    expect((await behind.rows(1))[0]!["user_id"]).toBe(plain(billed!));
  });

  it("are read in the page's order, and what is no key of ours is passed over", async () => {
    behind = await startBehind(`${configurationsOf("Static key")[0]!}key_header: X-Team-Key\n`);
    const order = [...guide.text.matchAll(/in this order: ([^.]+)\./g)][0]![1]!.split(/,\s+/).map(plain).map((name) => (name === "key_header" ? "x-team-key" : name.toLowerCase()));
    expect(order).toHaveLength(7);
    const keys = await Promise.all(order.map(async (name) => [name, await behind!.key({ user_id: name })] as const));
    for (const [index, name] of order.entries()) {
      const headers = Object.fromEntries(keys.map(([at, key], place) => [at, `${/authorization/.test(at) ? "Bearer " : ""}${place < index ? "sk-of-another-house-000000000" : key}`]));
      const { url, body } = requestOf({ ANTHROPIC_BASE_URL: behind.harness.url }, "plain");
      expect((await send({ url, body, headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", ...headers } })).status).toBe(200);
      expect((await behind.rows(index + 1))[0]!["user_id"]).toBe(name);
    }
  });
});

it("Attribution: labels of the request stand in the ledger, and stay here where the file says so", async () => {
  for (const text of configurationsOf("Attribution")) {
    behind = await startBehind(text);
    const settings = settingsFor("Attribution", behind.harness.url, await behind.key({ tags: ["team-red"] }));
    const request = requestOf(settings, "stream");
    await send({ ...request, headers: { ...request.headers, "x-claude-code-agent-id": "agent-2", "x-claude-code-parent-agent-id": "agent-1" } });
    expect((await behind.rows(1))[0]).toMatchObject({ project: "apollo", tags: ["team-red", "nightly"], session_id: session, agent_id: "agent-2", parent_agent_id: "agent-1", request_class: "main" });
    const [arrived] = [...behind.fakes.values()][0]!.requests;
    expect(Object.keys(arrived!.headers).filter((name) => name.startsWith("x-claude-code-") || name.startsWith("x-litellm"))).toEqual([]);
    await behind.close();
  }
});

describe("claude.ai login", () => {
  it("goes to its target, and to sign in is asked of who did not", async () => {
    behind = await startBehind(configurationsOf("claude.ai login")[0]!, { claudeLogin });
    const settings = settingsFor("claude.ai login", behind.harness.url, await behind.key());
    checkAnswer(await send(requestOf(settings, "stream", { login: claudeLogin })), "messages", "stream");
    expect(behind.fakes.get("claude-ai")!.requests[0]!.headers).toMatchObject({ authorization: `Bearer ${claudeLogin}` });
    const without = await send(requestOf(settings, "stream"));
    expect([without.status, without.headers["x-should-retry"]]).toEqual([401, "false"]);
  });

  it("may have a second target behind it, for who sends none", async () => {
    const both = parse(configurationsOf("claude.ai login")[0]!) as { providers: Record<string, unknown>; models: unknown };
    const text = JSON.stringify({ ...both, providers: { ...both.providers, anthropic: { kind: "anthropic", api_key: upstreamKey } }, models: [{ name: "claude-*", targets: [{ provider: "claude-ai", credential: "client" }, { provider: "anthropic" }] }] });
    behind = await startBehind(text, { claudeLogin });
    const settings = settingsFor("claude.ai login", behind.harness.url, await behind.key());
    checkAnswer(await send(requestOf(settings, "stream")), "messages", "stream");
    checkAnswer(await send(requestOf(settings, "stream", { login: claudeLogin })), "messages", "stream");
    const rows = await until("both rows", () => behind!.rows(2));
    expect(rows.map((row) => row["provider"])).toEqual(["claude-ai", "anthropic"]);
  });
});
