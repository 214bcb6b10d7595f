// Guarantees that the usual mistakes in Claude Code's settings are told apart, and that right ones raise no alarm.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Secret } from "../kernel/secret.ts";
import { claudeEnvironment } from "./claude.ts";
import { baseUrlProblem, cloudSwitches, readClaudeSettings } from "./claude-environment.ts";

const gateway = "http://127.0.0.1:4000";

describe("baseUrlProblem", () => {
  it.each([gateway, "http://localhost:4000", "http://127.0.0.1:4000/anthropic"])("accepts %s", (value) => {
    expect(baseUrlProblem(value, gateway)).toBeUndefined();
  });

  it.each([
    ["http://127.0.0.1:4000/v1", /ends with \/v1,/],
    ["http://127.0.0.1:4000/v1/", /ends with \/v1,/],
    ["http://127.0.0.1:4000/v1/v1", /twice/],
    ["http://127.0.0.1:4000/v1/messages", /ends with \/v1\/messages/],
    ["http://127.0.0.1:4001", /port 4001/],
    ["https://127.0.0.1:4000", /https/],
    ["127.0.0.1:4000", /not an http/],
    ['"http://127.0.0.1:4000"', /quotes/],
    ["http://127.0.0.1:4000?x=1", /query/],
  ])("fails %s", (value, message) => {
    expect(baseUrlProblem(value, gateway)).toMatchObject({ level: "fail", message: expect.stringMatching(message) as unknown, mend: expect.stringContaining(gateway) as unknown });
  });

  it.each([
    ["http://127.0.0.1:4000/", /slash/],
    ["http://127.0.0.1:4000/anthropic/", /slash/],
    ["https://api.anthropic.com", /past the gateway/],
    ["https://gateway.example.com", /leads to gateway\.example\.com/],
  ])("warns of %s", (value, message) => {
    expect(baseUrlProblem(value, gateway)).toMatchObject({ level: "warn", message: expect.stringMatching(message) as unknown });
  });
});

describe("cloudSwitches", () => {
  it("names those that are on, and only those", () => {
    expect(cloudSwitches({ CLAUDE_CODE_USE_BEDROCK: "1", CLAUDE_CODE_USE_VERTEX: "0", CLAUDE_CODE_USE_FOUNDRY: "", OTHER: "1" })).toEqual(["CLAUDE_CODE_USE_BEDROCK"]);
  });
});

describe("claudeEnvironment", () => {
  const shell = { PATH: "/bin", ANTHROPIC_API_KEY: "a", CLAUDE_CODE_USE_VERTEX: "1", TOLLGATE_ADMIN_KEY: "b", TOLLGATE_KEY: "c", NO_PROXY: "corp.example" };

  it("points the client at the gateway and takes out what would win over it, and Tollgate's own keys", () => {
    const { env, removed } = claudeEnvironment(shell, { url: gateway, key: new Secret("sk-dev") });
    expect(env).toEqual({ PATH: "/bin", NO_PROXY: "corp.example,127.0.0.1", ANTHROPIC_BASE_URL: gateway, ANTHROPIC_AUTH_TOKEN: "sk-dev" });
    expect(removed).toEqual(["ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_VERTEX", "TOLLGATE_ADMIN_KEY", "TOLLGATE_KEY"]);
  });

  it("leaves proxy settings alone for a gateway elsewhere", () => {
    const { env } = claudeEnvironment(shell, { url: "https://gateway.example.com", key: new Secret("sk-dev") });
    expect(env.NO_PROXY).toBe("corp.example");
  });
});

describe("readClaudeSettings", () => {
  let root = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "tollgate-settings-"));
    await mkdir(join(root, "home", ".claude"), { recursive: true });
    await mkdir(join(root, "project", ".claude"), { recursive: true });
    await writeFile(join(root, "home", ".claude", "settings.json"), JSON.stringify({ env: { ANTHROPIC_BASE_URL: "http://x" }, apiKeyHelper: "helper.sh" }));
    await writeFile(join(root, "project", ".claude", "settings.json"), "{ not json");
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it("reads the files that exist in rising precedence and marks broken ones", async () => {
    const files = await readClaudeSettings({ cwd: join(root, "project"), homeDir: join(root, "home"), env: {} }, "linux");
    expect(files.slice(0, 2)).toEqual([
      { path: join(root, "home", ".claude", "settings.json"), env: { ANTHROPIC_BASE_URL: "http://x" }, hasApiKeyHelper: true, isBroken: false },
      { path: join(root, "project", ".claude", "settings.json"), env: {}, hasApiKeyHelper: false, isBroken: true },
    ]);
  });
});
