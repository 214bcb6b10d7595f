/**
 * Guarantee: where Claude runs is the operator's matter alone. The real Claude Code, old and new, works through the gateway in
 * front of every cloud, tools included, with nothing set but the gateway's address; and a client that is set up for a cloud works
 * in front of that cloud, its bytes untouched. Only what docs/providers names is taken out of a request.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RecordedRequest } from "../support/fake-anthropic-types.ts";
import { newest, versions, type Run } from "./clients.ts";
import { clouds, cloudScene, type CloudName, type CloudScene } from "./cloud-stage.ts";
import { working } from "./turns.ts";

const model = "claude-opus-4-8";
const youngModel = "claude-opus-5-5";
const work = { command: "echo made-$((40+2)) > made.txt; cat made.txt", calls: 1, text: "the file is there", isThinking: true };

/** Gives the work to a client, and checks that it was done. */
async function doWork(stage: CloudScene, env: Readonly<Record<string, string>>, client = newest): Promise<Run> {
  stage.fake.behave(working(work));
  const run = await stage.run(client, { prompt: "Make the file.", args: ["--allowedTools", "Bash"], env });
  expect(run.stdout, run.output).toBe(`${work.text}\n`);
  expect(readFileSync(join(run.workFolder, "made.txt"), "utf8")).toBe("made-42\n");
  return run;
}

async function messagesEnv(stage: CloudScene, name: string): Promise<Record<string, string>> {
  return { ANTHROPIC_BASE_URL: stage.tee.url, ANTHROPIC_AUTH_TOKEN: await stage.key(), ANTHROPIC_MODEL: name };
}

function betasIn(headers: Readonly<Record<string, string>>): readonly string[] {
  return headers["anthropic-beta"]?.split(",") ?? [];
}

function betasAt({ headers, json }: RecordedRequest): readonly string[] {
  const inBody = json?.["anthropic_beta"];
  return [...betasIn(headers), ...(Array.isArray(inBody) ? inBody.map(String) : [])];
}

/** Beta → what it is called at Bedrock, for a Messages client; read out of the table that users read. */
function bedrockTable(isYoung: boolean): ReadonlyMap<string, string> {
  const page = readFileSync(join(import.meta.dirname, "..", "..", "docs", "providers", "bedrock.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([\w-]+)` \| (?:the same|`([\w-]+)`) \| ([^|]+) \|$/gm)];
  expect(rows.length).toBeGreaterThan(15);
  return new Map(rows.filter(([, , , models = ""]) => models === "all" || models.startsWith("all; also") || (isYoung && models === "generation 5")).map(([, beta = "", renamed = beta]) => [beta, renamed]));
}

/** What docs/providers say that a place gets of a Messages client's betas. */
function documentedBetas(place: CloudName, sent: readonly string[], isYoung: boolean): readonly string[] {
  if (place === "foundry" || place === "anthropic-aws") return sent;
  if (place !== "bedrock") return sent.filter((beta) => !beta.startsWith("request-tags-")).map((beta) => (beta === "advanced-tool-use-2025-11-20" ? "tool-search-tool-2025-10-19" : beta));
  const table = bedrockTable(isYoung);
  return sent.flatMap((beta) => table.get(beta) ?? []);
}

/** Requests arrive with the documented betas and all other members, and the ledger names what was taken. */
async function expectDocumentedLoss(stage: CloudScene, isYoung: boolean): Promise<void> {
  const [sent, received] = [stage.sent().at(-1)!, stage.fake.requests.at(-1)!];
  const [before, after] = [betasIn(sent.headers), betasAt(received)];
  expect(before.length).toBeGreaterThan(3);
  expect([...after].sort()).toEqual([...new Set(documentedBetas(stage.place, before, isYoung))].sort());
  const taken = before.filter((beta) => !after.includes(beta)).map((beta) => `beta:${beta}`);
  expect((await stage.rows())[0]?.loss.split(", ").filter((part) => part !== "")).toEqual(taken);
  const inUrl = stage.place === "bedrock" ? ["model", "stream"] : stage.place === "vertex" ? ["model"] : [];
  const members = Object.keys(JSON.parse(sent.body.toString()) as object).filter((name) => !inUrl.includes(name));
  expect(Object.keys(received.json ?? {}).filter((name) => !["anthropic_beta", "anthropic_version"].includes(name)).sort()).toEqual(members.sort());
}

describe.each(clouds)("Claude Code that speaks Messages, in front of %s,", (place) => {
  it("works with tools and signed thinking, and loses no more than is documented", async () => {
    await cloudScene({ place }, async (stage) => {
      await doWork(stage, await messagesEnv(stage, model));
      expect(stage.sent()).toHaveLength(2);
      await expectDocumentedLoss(stage, false);
    });
  });

  it("works with a model of generation 5, which knows more betas", async () => {
    await cloudScene({ place }, async (stage) => {
      stage.fake.behave(() => ({ text: "young and there" }));
      const run = await stage.run(newest, { prompt: "Say it.", env: await messagesEnv(stage, youngModel) });
      expect(run.stdout, run.output).toBe("young and there\n");
      await expectDocumentedLoss(stage, true);
    });
  });

  it.each(versions.slice(1))("works in version $version", async (client) => {
    await cloudScene({ place }, async (stage) => {
      // The small model of these versions, Claude 3.5 Haiku, never was in Foundry.
      await doWork(stage, { ...(await messagesEnv(stage, model)), ANTHROPIC_SMALL_FAST_MODEL: "claude-haiku-4-5" }, client);
    });
  });
});

describe.each(["bedrock", "mantle", "anthropic-aws"] as const)("in front of %s with AWS keys of the gateway's", (place) => {
  it("Claude Code works, and every request is signed", async () => {
    await cloudScene({ place, isSigned: true }, async (stage) => {
      await doWork(stage, await messagesEnv(stage, model));
      expect(stage.fake.requests.every(({ headers }) => headers["authorization"]?.startsWith("AWS4-HMAC-SHA256 ") === true)).toBe(true);
    });
  });
});

/** A client's settings for its cloud. */
interface Mode {
  readonly place: CloudName;
  readonly login: string;
  /** Small requests that the client makes on its own when it has a cloud's key: which models are there? */
  readonly questions?: number;
  readonly env: (url: string, key: string) => Record<string, string>;
}

const region = { AWS_REGION: "us-east-1" };
const bedrock = (url: string): Record<string, string> => ({ CLAUDE_CODE_USE_BEDROCK: "1", ANTHROPIC_BEDROCK_BASE_URL: `${url}/bedrock`, ANTHROPIC_MODEL: `us.anthropic.${model}`, ...region });
const vertex = (url: string): Record<string, string> => ({ CLAUDE_CODE_USE_VERTEX: "1", ANTHROPIC_VERTEX_BASE_URL: `${url}/vertex_ai/v1`, ANTHROPIC_VERTEX_PROJECT_ID: "developers-project", CLOUD_ML_REGION: "europe-west1", ANTHROPIC_MODEL: model });
const foundry = (url: string): Record<string, string> => ({ CLAUDE_CODE_USE_FOUNDRY: "1", ANTHROPIC_FOUNDRY_BASE_URL: `${url}/foundry`, ANTHROPIC_MODEL: model });
const mantle = (url: string): Record<string, string> => ({ CLAUDE_CODE_USE_MANTLE: "1", ANTHROPIC_BEDROCK_MANTLE_BASE_URL: `${url}/mantle`, ANTHROPIC_MODEL: model, ...region });
const platform = (url: string): Record<string, string> => ({ CLAUDE_CODE_USE_ANTHROPIC_AWS: "1", ANTHROPIC_AWS_BASE_URL: `${url}/anthropic-aws`, ANTHROPIC_AWS_WORKSPACE_ID: "wrkspc_developer", ANTHROPIC_MODEL: model, ...region });

const modes: readonly Mode[] = [
  { place: "bedrock", login: "skipped auth and a token", env: (url, key) => ({ ...bedrock(url), CLAUDE_CODE_SKIP_BEDROCK_AUTH: "1", ANTHROPIC_AUTH_TOKEN: key }) },
  { place: "bedrock", login: "the key as AWS_BEARER_TOKEN_BEDROCK", questions: 2, env: (url, key) => ({ ...bedrock(url), AWS_BEARER_TOKEN_BEDROCK: key }) },
  { place: "vertex", login: "skipped auth and a token", env: (url, key) => ({ ...vertex(url), CLAUDE_CODE_SKIP_VERTEX_AUTH: "1", ANTHROPIC_AUTH_TOKEN: key }) },
  { place: "foundry", login: "an API key", env: (url, key) => ({ ...foundry(url), ANTHROPIC_FOUNDRY_API_KEY: key }) },
  { place: "foundry", login: "skipped auth and a token", env: (url, key) => ({ ...foundry(url), CLAUDE_CODE_SKIP_FOUNDRY_AUTH: "1", ANTHROPIC_AUTH_TOKEN: key }) },
  { place: "mantle", login: "skipped auth and a token", env: (url, key) => ({ ...mantle(url), CLAUDE_CODE_SKIP_MANTLE_AUTH: "1", ANTHROPIC_AUTH_TOKEN: key }) },
  { place: "mantle", login: "skipped auth and a custom header", env: (url, key) => ({ ...mantle(url), CLAUDE_CODE_SKIP_MANTLE_AUTH: "1", ANTHROPIC_CUSTOM_HEADERS: `x-litellm-api-key: ${key}` }) },
  { place: "mantle", login: "the key as AWS_BEARER_TOKEN_BEDROCK", questions: 1, env: (url, key) => ({ ...mantle(url), AWS_BEARER_TOKEN_BEDROCK: key }) },
  { place: "anthropic-aws", login: "an API key", env: (url, key) => ({ ...platform(url), ANTHROPIC_AWS_API_KEY: key }) },
  { place: "anthropic-aws", login: "skipped auth and a token", env: (url, key) => ({ ...platform(url), CLAUDE_CODE_SKIP_ANTHROPIC_AWS_AUTH: "1", ANTHROPIC_AUTH_TOKEN: key }) },
];

describe.each(modes)("Claude Code set up for $place with $login", ({ place, questions = 0, env }) => {
  it("works in front of it with tools and signed thinking, its bytes untouched", async () => {
    await cloudScene({ place }, async (stage) => {
      stage.expect({ isUntouched: true });
      await doWork(stage, env(stage.tee.url, await stage.key()));
      expect(stage.sent()).toHaveLength(2 + questions);
      expect((await stage.rows()).map(({ loss }) => loss)).toEqual(stage.sent().map(() => ""));
    });
  });
});

const oldModes = [
  // They put this beta in the body, where some models refuse it.
  { place: "bedrock", loss: "beta:claude-code-20250219", env: (url: string) => ({ ...bedrock(url), CLAUDE_CODE_SKIP_BEDROCK_AUTH: "1", ANTHROPIC_SMALL_FAST_MODEL: "us.anthropic.claude-haiku-4-5-20251001-v1:0" }) },
  { place: "vertex", loss: "", env: (url: string) => ({ ...vertex(url), CLAUDE_CODE_SKIP_VERTEX_AUTH: "1", ANTHROPIC_SMALL_FAST_MODEL: "claude-haiku-4-5@20251001" }) },
] as const;

describe.each(oldModes)("an old Claude Code set up for $place with skipped auth and a token", ({ place, loss, env }) => {
  it.each(versions.slice(1))("works in front of it with tools and signed thinking in version $version", async (client) => {
    await cloudScene({ place }, async (stage) => {
      stage.expect({ isUntouched: loss === "" });
      await doWork(stage, { ...env(stage.tee.url), ANTHROPIC_AUTH_TOKEN: await stage.key() }, client);
      expect(new Set((await stage.rows()).map((row) => row.loss))).toContain(loss);
    });
  });
});
