/**
 * Guarantee: no setting that the configuration accepts, and nothing a client sends, can make a head that breaks its framing or
 * ends the process: such settings are refused with their place.
 */
import { describe, expect, it } from "vitest";
import { impliedProvider } from "../../src/config/providers.ts";
import { startHarness } from "../support/harness.ts";
import { startStage } from "./stage.ts";

const models = "models: [{name: claude-*, provider: a}]";
const file = (provider: string): string => `admin: {key: sk-test-admin-0123456789abcdefghijklmnop}\nlisten: {port: 0}\nlogging: {level: silent}\nproviders:\n  a: {kind: anthropic, base_url: "http://127.0.0.1:9", ${provider}}\n${models}\n`;

async function faultOf(provider: string, env: Record<string, string> = {}): Promise<string> {
  try {
    const harness = await startHarness({ upstreamUrl: "", file: file(provider), env });
    await harness.close();
    return "";
  } catch (fault) {
    return JSON.stringify((fault as { notices?: unknown }).notices ?? String(fault));
  }
}

describe("settings", () => {
  it.each([
    ['headers: {"x-note": "5 €"}', "one line of characters"],
    ['headers: {Content-Length: "3"}', "set by the connection itself"],
    ['headers: {"x y": "3"}', "name of an HTTP header"],
    ['api_key: "sk-ant-a\\u0007b"', "one word of visible characters"],
    ["api_key: \"  \"", "must not be empty"],
  ])("%s is refused with its place", async (provider, words) => {
    const fault = await faultOf(provider);
    expect(fault).toContain(words);
    expect(fault).toMatch(/"line":5/);
    expect(fault).not.toContain("sk-ant-a");
  });

  it("a secret with a line end around it, as files and variables have, is taken without it", async () => {
    expect(await faultOf("api_key: \"${KEY}\"", { KEY: "sk-ant-x\r\n" })).toBe("");
  });
});

describe("a client", () => {
  it("gets a 400 for a model name with a raw control character, and the gateway lives on", async () => {
    const stage = await startStage();
    const odd = await stage.call({ body: '{"model":"claude-a\nb","max_tokens":1,"messages":[]}' });
    expect(odd.status).toBe(400);
    expect((await stage.call()).status).toBe(200);
    await stage.close();
  });

  it("sees only its own login go to a target of its own, and no other bearer", async () => {
    const stage = await startStage({ models: "models: [{name: claude-opus-4-8, targets: [{provider: anthropic, credential: client}]}]" });
    const other = await stage.call({ headers: { authorization: "Bearer ya29.some-google-token" } });
    expect([other.status, other.json<{ error: { type: string } }>().error.type]).toEqual([401, "authentication_error"]);
    expect(stage.fake.requests.length).toBe(0);
    await stage.close();
  });
});

describe("the first start's environment", () => {
  it.each([
    [{ ANTHROPIC_API_KEY: "k" }, "anthropic"],
    [{ ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: "https://api.anthropic.com" }, "anthropic"],
    [{ ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: "http://127.0.0.1:4000" }, "demo"],
    [{ ANTHROPIC_AUTH_TOKEN: "t", ANTHROPIC_BASE_URL: "https://gateway.corp.invalid" }, "demo"],
  ])("%j gives %s: a secret for another address goes to nobody else", (env, name) => {
    const implied = impliedProvider(env);
    expect(implied.name).toBe(name);
    expect(implied.remark === undefined).toBe(name === "anthropic");
  });
});
