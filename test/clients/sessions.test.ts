/**
 * Guarantee: what a developer does with Claude Code works through the gateway as it does without: a plain question, tools that
 * truly run, a provider that stops streaming, models of any name, the list of models to choose from. In every case the bytes
 * arrive as they were sent and the ledger says what the provider bills.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newest, versions } from "./clients.ts";
import { scene } from "./stage.ts";
import { isMainTurn, once, working } from "./turns.ts";

describe.each(versions)("Claude Code $version", (client) => {
  it("runs a tool for real and brings its result back", async () => {
    await scene({}, async (stage) => {
      stage.fake.script(working({ command: "echo made-$((40+2)) > made.txt; cat made.txt", calls: 1, text: "the file is there", isThinking: client === newest }));
      const run = await stage.run(client, { prompt: "Make the file.", args: ["--allowedTools", "Bash"], env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "the file is there\n" });
      expect(readFileSync(join(run.workFolder, "made.txt"), "utf8")).toBe("made-42\n");
      const last = stage.received().findLast(({ json }) => json !== undefined && isMainTurn(json));
      expect(last?.body.includes("made-42")).toBe(true);
    });
  });

  it("falls back to a plain request when the provider does not stream", async () => {
    await scene({}, async (stage) => {
      stage.fake.script((_request, body) => (body["stream"] === true ? { status: 404, message: "Not found" } : { text: "plain answer" }));
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "plain answer\n" });
      expect(stage.received().map(({ json }) => json?.["stream"] === true)).toEqual([true, false]);
    });
  });

  it("asks again when a provider's stream breaks before it says anything", async () => {
    await scene({}, async (stage) => {
      stage.fake.script(once({ fault: { at: "connect", does: "reset" } }, "second try"));
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key() } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "second try\n" });
      stage.expect({ cutAnswers: 1 });
    });
  });

  it("uses a model of the team's own choice", async () => {
    await scene({}, async (stage) => {
      stage.fake.setDefault({ text: "custom model" });
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key(), ANTHROPIC_MODEL: "claude-team-choice" } });
      expect(run).toMatchObject({ exitCode: 0 });
      expect(run.stdout).toContain("custom model\n");
      expect(stage.received().map(({ json }) => json?.["model"])).toEqual(["claude-team-choice"]);
    });
  });

  it("uses an alias that the gateway maps to another model, and only the model's name changes", async () => {
    await scene({ models: ["{name: team/large, provider: anthropic, model: claude-opus-5-5}", '{name: "claude-*", provider: anthropic}'] }, async (stage) => {
      stage.fake.setDefault({ text: "alias works" });
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key(), ANTHROPIC_MODEL: "team/large" } });
      expect(run.stdout).toContain("alias works\n");
      expect(stage.received().map(({ json }) => json?.["model"])).toEqual(["claude-opus-5-5"]);
      stage.expect({ rewrite: (body) => body.replace('"model":"team/large"', '"model":"claude-opus-5-5"') });
    });
  });
});

describe(`Claude Code ${newest.version}`, () => {
  it("uses the models of ANTHROPIC_DEFAULT_*_MODEL for the names opus, sonnet and haiku", async () => {
    await scene({}, async (stage) => {
      const key = await stage.key();
      for (const name of ["opus", "sonnet", "haiku"]) {
        const variable = `ANTHROPIC_DEFAULT_${name.toUpperCase()}_MODEL`;
        const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: key, ANTHROPIC_MODEL: name, [variable]: `claude-team-${name}` } });
        expect(run.exitCode).toBe(0);
      }
      expect(stage.received().map(({ json }) => json?.["model"])).toEqual(["claude-team-opus", "claude-team-sonnet", "claude-team-haiku"]);
    });
  });

  it("sends the [1m] suffix as a beta, which passes", async () => {
    await scene({}, async (stage) => {
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: await stage.key(), ANTHROPIC_MODEL: "claude-sonnet-4-6[1m]" } });
      expect(run.exitCode).toBe(0);
      const [request] = stage.received();
      expect(request?.json?.["model"]).toBe("claude-sonnet-4-6");
      expect(request?.headers["anthropic-beta"]).toContain("context-1m-2025-08-07");
    });
  });

  it("learns from the gateway which models the key may use", async () => {
    await scene({ models: ["{name: claude-opus-5-5, provider: anthropic}", "{name: claude-haiku-5-5, provider: anthropic}", "{name: claude-secret-9, provider: anthropic}"] }, async (stage) => {
      const key = await stage.key({ models: ["claude-opus-5-5", "claude-haiku-5-5"] });
      const run = await stage.run(newest, {
        prompt: "Say it.",
        isTrafficAllowed: true,
        env: { ANTHROPIC_AUTH_TOKEN: key, CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY: "1" },
      });
      expect(run.exitCode).toBe(0);
      expect(stage.tee.requests().map(({ method, target }) => `${method} ${target}`)).toContain("GET /v1/models?limit=1000");
      const models = JSON.parse(readFileSync(find(run.home, "gateway-models.json"), "utf8")) as { models: { id: string }[] };
      expect(models.models.map(({ id }) => id).sort()).toEqual(["claude-haiku-5-5", "claude-opus-5-5"]);
    });
  });

  it("shows at once the gateway's sentence about a model that the key may not use", async () => {
    await scene({}, async (stage) => {
      const key = await stage.key({ models: ["claude-haiku-5-5"] });
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: key, ANTHROPIC_MODEL: "claude-opus-5-5", CLAUDE_CODE_MAX_RETRIES: "10" } });
      expect(run.exitCode).toBe(1);
      expect(run.output).toMatch(/API Error: 400 .*claude-opus-5-5/);
      expect(run.output).toContain("claude-haiku-5-5");
      expect(run.durationMs).toBeLessThan(10_000);
      expect(stage.sent()).toHaveLength(1);
      stage.expect({ heldBack: 1 });
    });
  });
});

/** Path of a file somewhere below a folder. */
function find(folder: string, name: string): string {
  const entry = readdirSync(folder, { recursive: true, withFileTypes: true }).find((one) => one.name === name);
  expect(entry, `${name} below ${folder}`).toBeDefined();
  return join(entry!.parentPath, entry!.name);
}
