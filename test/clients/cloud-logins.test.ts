/**
 * Guarantee: developers may pay a cloud with their own login. The real Claude Code, which fetches Google tokens by Google's own
 * library or holds a Bedrock API key, sends that login and a Tollgate key side by side; the login reaches the cloud and only the
 * cloud, for the project and location that the developer set, and the Tollgate key reaches nobody.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newest, versions, type ClaudeCode } from "./clients.ts";
import { clientsBedrockKey, cloudScene, type CloudScene } from "./cloud-stage.ts";
import { working } from "./turns.ts";

const [, middle, oldest] = versions as readonly [ClaudeCode, ClaudeCode, ClaudeCode];
const model = "claude-opus-4-8";
const work = { command: "echo made-$((40+2)) > made.txt; cat made.txt", calls: 1, text: "the file is there", isThinking: true };

/** How a developer's machine comes by a Google token; each asks the fake Google, none the gateway. */
const googleLogins: readonly (readonly [string, (stage: CloudScene) => Record<string, string>])[] = [
  ["a file of workload identity", (stage) => ({ GOOGLE_APPLICATION_CREDENTIALS: workloadIdentityFile(stage), GOOGLE_CLOUD_PROJECT: "developers-project" })],
  ["the metadata server", metadataServer],
];

function metadataServer(stage: CloudScene): Record<string, string> {
  return { GCE_METADATA_HOST: stage.google.url.replace("http://", ""), METADATA_SERVER_DETECTION: "assume-present" };
}

/**
 * Google's library, as the old versions bundle it, takes the token's address from such a file; that of key files and of user logins
 * is fixed in it. Without `GOOGLE_CLOUD_PROJECT` it asks another host for the project behind the audience.
 */
function workloadIdentityFile(stage: CloudScene): string {
  const [subject, file] = [join(stage.folder, "subject-token"), join(stage.folder, "google.json")];
  writeFileSync(subject, [...stage.google.subjectTokens][0]!);
  const { audience, url } = stage.google;
  writeFileSync(file, JSON.stringify({ type: "external_account", audience, subject_token_type: "urn:ietf:params:oauth:token-type:jwt", token_url: `${url}/v1/token`, credential_source: { file: subject } }));
  return file;
}

/** Where the Tollgate key goes beside the Google token. */
type KeyPlace = readonly [string, (key: string) => Record<string, string>];
const inToken: KeyPlace = ["proxy-authorization", (key) => ({ ANTHROPIC_AUTH_TOKEN: key })];
const inCustomHeader: KeyPlace = ["x-litellm-api-key", (key) => ({ ANTHROPIC_CUSTOM_HEADERS: `x-litellm-api-key: ${key}` })];
const combinations = [[oldest, inToken], [middle, inToken], [oldest, inCustomHeader], [middle, inCustomHeader], [newest, inCustomHeader]] as const;
const grid = combinations.flatMap(([client, [header, keyEnv]]) => googleLogins.map(([login, loginEnv]) => ({ client, version: client.version, header, keyEnv, login, loginEnv })));

describe.each(grid)("Claude Code $version with its own Google token from $login, the Tollgate key in $header,", ({ client, header, keyEnv, loginEnv }) => {
  it("works with tools; the token reaches Vertex, the key nobody", async () => {
    await cloudScene({ place: "vertex", isClientPaid: true }, async (stage) => {
      stage.expect({ isUntouched: true });
      stage.fake.behave(working(work));
      const key = await stage.key();
      const run = await stage.run(client, {
        prompt: "Make the file.",
        args: ["--allowedTools", "Bash"],
        env: { ...vertexEnv(stage), ...loginEnv(stage), ...keyEnv(key) },
      });
      expect(run.stdout, run.output).toBe(`${work.text}\n`);
      expect(readFileSync(join(run.workFolder, "made.txt"), "utf8")).toBe("made-42\n");
      const tokens = new Set(stage.google.issued.map(({ token }) => `Bearer ${token}`));
      for (const { headers } of stage.sent()) {
        expect(headers[header]?.endsWith(key)).toBe(true);
        expect(tokens).toContain(headers["authorization"]);
      }
      // The place's address says the developer's own project and location, and what it got is the developer's own token.
      for (const { url, headers } of stage.fake.requests) {
        expect(url).toMatch(/^\/v1\/projects\/developers-project\/locations\/europe-west1\//);
        expect(tokens).toContain(headers["authorization"]);
      }
      expect(stage.google.calls.filter((call) => JSON.stringify(call).includes(key))).toEqual([]);
      expect(stage.google.refusals).toEqual([]);
    });
  });
});

function vertexEnv(stage: CloudScene): Record<string, string> {
  return {
    CLAUDE_CODE_USE_VERTEX: "1",
    ANTHROPIC_VERTEX_BASE_URL: `${stage.tee.url}/vertex_ai/v1`,
    ANTHROPIC_VERTEX_PROJECT_ID: "developers-project",
    CLOUD_ML_REGION: "europe-west1",
    ANTHROPIC_MODEL: model,
    // In old versions the region of a small 3.5 model is another variable's.
    ANTHROPIC_SMALL_FAST_MODEL: "claude-haiku-4-5",
  };
}

describe("a Google token of the developer's", () => {
  it.each([oldest, middle])("goes beside a key of a helper's in version $version", async (client) => {
    await cloudScene({ place: "vertex", isClientPaid: true }, async (stage) => {
      stage.expect({ isUntouched: true });
      stage.fake.behave(() => ({ text: "helped" }));
      const key = await stage.key();
      const run = await stage.run(client, { prompt: "Say it.", env: { ...vertexEnv(stage), ...metadataServer(stage) }, settings: { apiKeyHelper: `echo ${key}` } });
      expect(run.stdout, run.output).toBe("helped\n");
      expect(stage.sent().every(({ headers }) => headers["proxy-authorization"] === `Bearer ${key}`)).toBe(true);
    });
  });

  it("goes beside a key in a header of the team's own", async () => {
    await cloudScene({ place: "vertex", isClientPaid: true, config: ["key_header: X-Team-Key"] }, async (stage) => {
      stage.expect({ isUntouched: true });
      stage.fake.behave(() => ({ text: "known by X-Team-Key" }));
      const run = await stage.run(newest, { prompt: "Say it.", env: { ...vertexEnv(stage), ...metadataServer(stage), ANTHROPIC_CUSTOM_HEADERS: `X-Team-Key: ${await stage.key()}` } });
      expect(run.stdout, run.output).toBe("known by X-Team-Key\n");
      expect(stage.fake.requests.some(({ headers }) => "x-team-key" in headers)).toBe(false);
    });
  });

  it(`is not enough where ${newest.version} does not send the key that ANTHROPIC_AUTH_TOKEN holds`, async () => {
    await cloudScene({ place: "vertex", isClientPaid: true }, async (stage) => {
      const key = await stage.key();
      const run = await stage.run(newest, { prompt: "Say it.", env: { ...vertexEnv(stage), ...metadataServer(stage), ANTHROPIC_AUTH_TOKEN: key } });
      expect([run.exitCode, run.output]).toEqual([1, expect.stringContaining('ANTHROPIC_CUSTOM_HEADERS="x-litellm-api-key: YOUR_KEY"')]);
      expect(stage.sent().filter(({ headers }) => JSON.stringify(headers).includes(key))).toEqual([]);
      expect(stage.fake.requests).toEqual([]);
      stage.expect({ heldBack: stage.sent().length });
    });
  });
});

describe(`Claude Code ${newest.version} with its own Bedrock API key, the Tollgate key in a custom header,`, () => {
  it("works with tools; the Bedrock key reaches Bedrock, the Tollgate key nobody", async () => {
    await cloudScene({ place: "bedrock", isClientPaid: true }, async (stage) => {
      stage.expect({ isUntouched: true });
      stage.fake.behave(working(work));
      const key = await stage.key();
      const run = await stage.run(newest, {
        prompt: "Make the file.",
        args: ["--allowedTools", "Bash"],
        env: {
          CLAUDE_CODE_USE_BEDROCK: "1",
          ANTHROPIC_BEDROCK_BASE_URL: `${stage.tee.url}/bedrock`,
          AWS_BEARER_TOKEN_BEDROCK: clientsBedrockKey,
          AWS_REGION: "us-east-1",
          ANTHROPIC_MODEL: `us.anthropic.${model}`,
          ANTHROPIC_CUSTOM_HEADERS: `x-litellm-api-key: ${key}`,
        },
      });
      expect(run.stdout, run.output).toBe(`${work.text}\n`);
      expect(stage.sent().every(({ headers }) => headers["x-litellm-api-key"] === key)).toBe(true);
      expect(new Set(stage.fake.requests.map(({ headers }) => headers["authorization"]))).toEqual(new Set([`Bearer ${clientsBedrockKey}`]));
    });
  });
});

describe(`Claude Code ${newest.version} in Bedrock mode that signs with AWS keys`, () => {
  it("is told what to set, since a signature names nobody here", async () => {
    await cloudScene({ place: "bedrock" }, async (stage) => {
      const run = await stage.run(newest, {
        prompt: "Say it.",
        env: { CLAUDE_CODE_USE_BEDROCK: "1", ANTHROPIC_BEDROCK_BASE_URL: `${stage.tee.url}/bedrock`, AWS_ACCESS_KEY_ID: "AKIDOFADEVELOPER", AWS_SECRET_ACCESS_KEY: "secret-of-a-developer", AWS_REGION: "us-east-1", ANTHROPIC_MODEL: `us.anthropic.${model}` },
      });
      expect(run.exitCode).toBe(1);
      expect(run.output).toContain("CLAUDE_CODE_SKIP_BEDROCK_AUTH=1");
      expect(stage.fake.requests).toEqual([]);
      stage.expect({ heldBack: stage.sent().length });
    });
  });
});
