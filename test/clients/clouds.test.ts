/**
 * Guarantee: a developer whose Claude Code is set up for a cloud can point it at the gateway: Bedrock's frames, Vertex's paths and
 * Foundry's key work with the real client, tools included, whatever serves the models, and the provider is sent nothing that it
 * refuses (the client heals itself silently, so an answer alone would prove nothing).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newest } from "./clients.ts";
import { scene, type Scene } from "./stage.ts";
import { working } from "./turns.ts";

const model = "claude-opus-5-5";

/** Each cloud's settings of the gateway page, for a gateway at `url`. */
const modes: readonly (readonly [string, (url: string, key: string) => Record<string, string>])[] = [
  ["Bedrock", (url, key) => ({ CLAUDE_CODE_USE_BEDROCK: "1", CLAUDE_CODE_SKIP_BEDROCK_AUTH: "1", ANTHROPIC_BEDROCK_BASE_URL: `${url}/bedrock`, AWS_REGION: "us-east-1", ANTHROPIC_AUTH_TOKEN: key })],
  ["Vertex", (url, key) => ({ CLAUDE_CODE_USE_VERTEX: "1", CLAUDE_CODE_SKIP_VERTEX_AUTH: "1", ANTHROPIC_VERTEX_BASE_URL: `${url}/vertex_ai/v1`, ANTHROPIC_VERTEX_PROJECT_ID: "developers-project", CLOUD_ML_REGION: "us-east5", ANTHROPIC_AUTH_TOKEN: key })],
  ["Foundry", (url, key) => ({ CLAUDE_CODE_USE_FOUNDRY: "1", ANTHROPIC_FOUNDRY_BASE_URL: `${url}/foundry`, ANTHROPIC_FOUNDRY_API_KEY: key })],
];

describe.each(modes)("Claude Code in %s mode", (mode, settings) => {
  const env = async (stage: Scene): Promise<Record<string, string>> => ({ ...settings(stage.tee.url, await stage.key()), ANTHROPIC_BASE_URL: "", ANTHROPIC_MODEL: mode === "Bedrock" ? `us.anthropic.${model}` : model });

  it("gets an answer", async () => {
    await scene({}, async (stage) => {
      stage.expect({ isReshaped: true });
      stage.fake.setDefault({ text: `hello from ${mode}` });
      const run = await stage.run(newest, { prompt: "Say it.", env: await env(stage) });
      expect(run.stdout, run.output).toContain(`hello from ${mode}`);
      expect(run.exitCode).toBe(0);
      expect(stage.received().every(({ json }) => json?.["model"] === model)).toBe(true);
    });
  });

  it("runs a tool for real and brings its result back", async () => {
    await scene({}, async (stage) => {
      stage.expect({ isReshaped: true });
      stage.fake.script(working({ command: "echo made-$((40+2)) > made.txt; cat made.txt", calls: 1, text: "the file is there", isThinking: true }));
      const run = await stage.run(newest, { prompt: "Make the file.", args: ["--allowedTools", "Bash"], env: await env(stage) });
      expect(run.stdout, run.output).toContain("the file is there");
      expect(readFileSync(join(run.workFolder, "made.txt"), "utf8")).toBe("made-42\n");
    });
  });
});
