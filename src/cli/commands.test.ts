// Guarantees that the commands, run as programs, send the gateway what was asked for with the right key, show its answers
// and refusals in words, and keep secrets out of addresses and messages.
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

const launcher = fileURLToPath(new URL("../../bin/tollgate.js", import.meta.url));
const hash = "ab".repeat(32);
const adminKey = "sk-admin-secret-of-this-test";
const developerKey = "sk-developer-secret-of-this-test";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}
interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let server: Server;
let url = "";
let root = "";
let seen: Seen[] = [];
/** Answers by `METHOD path`, taken before the standing ones. */
let answers: Record<string, { status: number; body: unknown; headers?: Record<string, string> }> = {};

const key = { token: hash, key_name: "sk-...abcd", key_alias: "ci", user_id: "ada", team_id: null, models: ["claude-*"], spend: 1.25, expires: null, blocked: false, metadata: {} };
const standing: Record<string, unknown> = {
  "POST /key/generate": { ...key, key: "sk-new-secret", token_id: hash },
  "POST /key/regenerate": { ...key, key: "sk-rotated-secret", token_id: hash },
  "POST /key/delete": { deleted_keys: [hash] },
  "POST /key/update": key,
  "POST /key/block": { ...key, blocked: true },
  "GET /key/info": { key: hash, info: key },
  "GET /key/list": { keys: [key], total_count: 1, current_page: 1, total_pages: 1 },
  "GET /api/v1/usage": { by: "model", groups: [{ value: "claude-haiku-4-5", label: "claude-haiku-4-5", attempts: 1, input_tokens: 10, output_tokens: 20, cost_usd: "0.00011" }] },
  "GET /health/readiness": { status: "healthy", db: "connected" },
  "GET /v1/me": { user_id: "ada" },
  "GET /v1/models": { data: [{ id: "claude-haiku-4-5" }] },
};

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? undefined : (JSON.parse(text) as unknown);
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "tollgate-cli-"));
  await mkdir(join(root, "data"));
  await writeFile(join(root, "data", "admin-key"), `${adminKey}\n`, { mode: 0o600 });
  await writeFile(join(root, "data", "developer-key"), `${developerKey}\n`, { mode: 0o600 });
  server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const route = `${request.method} ${(request.url ?? "").replace(/\?.*/, "")}`;
      seen.push({ method: request.method ?? "", url: request.url ?? "", authorization: request.headers.authorization, body });
      const answer = answers[route] ?? (route in standing ? { status: 200, body: standing[route] } : { status: 404, body: { error: { message: "nothing here" } } });
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(root, { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
  answers = {};
});

function tollgate(args: readonly string[], env: Record<string, string> = {}, nodeArgs: readonly string[] = []): Promise<Outcome> {
  return new Promise((done) => {
    // Nothing of the tester's own shell gets in, so that a key or address set there changes nothing.
    const child = execFile(process.execPath, [...nodeArgs, launcher, ...args], { cwd: root, env: { HOME: root, PATH: join(root, "bin"), TOLLGATE_URL: url, ...env } }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(child.exitCode), stdout, stderr });
    });
    child.stdin?.end();
  });
}

describe("keys", () => {
  it("create sends every flag, with the admin key of the data folder, and prints the secret alone to standard output", async () => {
    const outcome = await tollgate(["keys", "create", "--alias", "ci", "--user", "ada", "--models", "claude-*, gpt", "--model-alias", "fast=claude-haiku", "--duration", "30d", "--max-budget", "12.50", "--soft-budget", "9", "--budget-id", "developers", "--run-budget", "2", "--tags", "a,b", "--metadata", '{"x":1}', "--rpm", "60", "--model-rpm", "claude-haiku=5", "--model-tpm", "a=b=1", "--model-tpm", "c=2"]);
    expect(outcome).toMatchObject({ code: 0, stdout: "sk-new-secret\n" });
    expect(seen).toEqual([
      {
        method: "POST",
        url: "/key/generate",
        authorization: `Bearer ${adminKey}`,
        body: { key_alias: "ci", user_id: "ada", models: ["claude-*", "gpt"], aliases: { fast: "claude-haiku" }, duration: "30d", max_budget: 12.5, soft_budget: 9, budget_id: "developers", run_budget_usd: 2, tags: ["a", "b"], metadata: { x: 1 }, rpm_limit: 60, model_rpm_limit: { "claude-haiku": 5 }, model_tpm_limit: { "a=b": 1, c: 2 } },
      },
    ]);
  });

  it("update takes off what is named none, and nothing that is not", async () => {
    const flags = ["--duration", "--max-budget", "--budget-duration", "--soft-budget", "--budget-id", "--run-budget", "--rpm", "--tpm", "--max-parallel"];
    expect((await tollgate(["keys", "update", "ci", ...flags.flatMap((flag) => [flag, "none"])])).code).toBe(0);
    expect(seen.at(-1)).toMatchObject({ url: "/key/update", body: { key: hash, duration: null, max_budget: null, budget_duration: null, soft_budget: null, budget_id: null, run_budget_usd: null, rpm_limit: null, tpm_limit: null, max_parallel_requests: null } });
    await tollgate(["keys", "update", "ci", "--soft-budget", "0", "--alias", "none"]);
    expect(seen.at(-1)?.body).toEqual({ key: hash, soft_budget: 0, key_alias: "none" });
  });

  it("list prints a table, and with --json what the gateway sent, over all pages", async () => {
    expect((await tollgate(["keys", "list"])).stdout).toMatch(/^abababababab {2}sk-\.\.\.abcd {2}ci +ada +- +claude-\* +1\.2500 {2}never +active$/m);
    answers["GET /key/list"] = { status: 200, body: { keys: [key], total_pages: 2 } };
    const outcome = await tollgate(["keys", "list", "--json"]);
    expect(JSON.parse(outcome.stdout)).toEqual([key, key]);
  });

  it("show hashes a clear key before it asks, so that the key is in no address", async () => {
    const outcome = await tollgate(["keys", "show", "sk-clear-text"]);
    expect(outcome.code).toBe(0);
    expect(seen.map((one) => one.url).join(" ")).not.toMatch(/sk-clear-text/);
    expect(seen.at(-1)?.url).toBe(`/key/info?key=${createHash("sha256").update("sk-clear-text").digest("hex")}`);
  });

  it("show tells the key's own caps and those of its shared budget apart", async () => {
    const shared = { budget_id: "developers", max_budget: 200, soft_budget: 150, budget_duration: "30d", rpm_limit: 120, tpm_limit: null, max_parallel_requests: 4 };
    answers["GET /key/info"] = { status: 200, body: { info: { ...key, soft_budget: 9, max_budget: null, budget_duration: null, run_budget_usd: 2, budget_id: "developers", litellm_budget_table: shared } } };
    const { stdout } = await tollgate(["keys", "show", "sk-clear-text"]);
    expect(stdout.split("\n").map((line) => line.trim().replace(/ {2,}/, ": "))).toEqual(
      expect.arrayContaining(["told at: 9.0000 USD", "budget of a run: 2.0000 USD", "shared budget: developers", "its budget: 200.0000 USD per 30d", "told at: 150.0000 USD per 30d", "requests/minute: 120", "requests at once: 4"]),
    );
    expect(stdout).not.toMatch(/^budget {2}/m);
  });

  it("show tells the caps of further windows and of models", async () => {
    answers["GET /key/info"] = { status: 200, body: { info: { ...key, budget_limits: [{ max_budget: 25, budget_duration: "1d" }], model_max_budget: { "claude-opus-5-5": { max_budget: 100, budget_duration: null } } } } };
    const { stdout } = await tollgate(["keys", "show", "sk-clear-text"]);
    expect(stdout.split("\n").map((line) => line.replace(/ {2,}/, ": "))).toEqual(expect.arrayContaining(["and: 25.0000 USD per 1d", "for claude-opus-5-5: 100.0000 USD"]));
  });

  it("rotate, block and revoke find the key by its alias", async () => {
    expect((await tollgate(["keys", "rotate", "ci", "--overlap", "1h"])).stdout).toBe("sk-rotated-secret\n");
    expect((await tollgate(["keys", "block", "ci"])).stdout).toMatch(/is blocked/);
    expect((await tollgate(["keys", "revoke", "ci"])).stdout).toMatch(/1 key is revoked/);
    expect(seen.filter((one) => one.method === "POST").map((one) => [one.url, one.body])).toEqual([
      ["/key/regenerate", { key: hash, grace_period: "1h" }],
      ["/key/block", { key: hash }],
      ["/key/delete", { keys: [hash] }],
    ]);
  });

  it("revoke touches nothing when one of several names is wrong", async () => {
    const outcome = await tollgate(["keys", "revoke", "ci", "nobody"]);
    expect(outcome.code).toBe(1);
    expect(seen.some((one) => one.method === "POST")).toBe(false);
  });

  it("name the flag that is wrong, with exit code 2 and before any request", async () => {
    for (const [flag, value] of [["--duration", "soon"], ["--max-budget", "lots"], ["--soft-budget", "-1"], ["--budget-id", " "], ["--rpm", "0"], ["--metadata", "[]"], ["--model-alias", "a"], ["--model-rpm", "a=0"], ["--model-tpm", "5"]] as const) {
      const outcome = await tollgate(["keys", "create", flag, value]);
      expect(outcome).toMatchObject({ code: 2, stderr: expect.stringContaining(flag) as unknown });
    }
    expect(seen).toEqual([]);
  }, 20_000);
});

describe("usage", () => {
  it("asks for ISO times and prints a line per group", async () => {
    const outcome = await tollgate(["usage", "--by", "model", "--since", "2026-01-01", "--until", "2026-02-01"]);
    expect(outcome.stdout).toMatch(/^From 2026-01-01 00:00 to 2026-02-01 00:00 \(UTC\)\.$/m);
    expect(outcome.stdout).toMatch(/^claude-haiku-4-5 +1 +10 .* 0\.00011$/m);
    expect(seen[0]?.url).toBe("/api/v1/usage?by=model&since=2026-01-01T00%3A00%3A00.000Z&until=2026-02-01T00%3A00%3A00.000Z");
  });

  it("prints CSV with --csv", async () => {
    expect((await tollgate(["usage", "--by", "model", "--csv"])).stdout.split("\n")[1]).toMatch(/^claude-haiku-4-5,claude-haiku-4-5,1,10,/);
  });
});

describe("config reload", () => {
  it("shows what has changed, what waits for a restart, and with --json what the gateway sent", async () => {
    const body = { changes: [{ subject: "model", name: "m", change: "added", text: "Model m can be asked for." }], needs_restart: ["listen.port"], warnings: [{ file: "/t.yaml", line: 2, column: 1, path: "models", message: "is odd" }] };
    answers["POST /api/v1/config/reload"] = { status: 200, body };
    expect(await tollgate(["config", "reload"])).toMatchObject({ code: 0, stdout: "+ Model m can be asked for.\nneeds a restart  listen.port\nwarning  /t.yaml:2:1: models: is odd\n" });
    expect(seen).toMatchObject([{ method: "POST", url: "/api/v1/config/reload", authorization: `Bearer ${adminKey}` }]);
    expect(JSON.parse((await tollgate(["config", "reload", "--json"])).stdout)).toEqual(body);
    answers["POST /api/v1/config/reload"] = { status: 200, body: { changes: [], needs_restart: [], warnings: [] } };
    expect((await tollgate(["config", "reload"])).stdout).toBe("Read again; nothing has changed.\n");
  });

  it("of a configuration that is not valid shows each fault with its place, and fails as a check of it would", async () => {
    answers["POST /api/v1/config/reload"] = { status: 422, body: { error: { message: "The last good one stays in force." }, errors: [{ file: "/t.yaml", line: 3, column: 5, path: "models", message: "is wrong" }] } };
    const outcome = await tollgate(["config", "reload"]);
    expect(outcome).toMatchObject({ code: 78, stdout: "" });
    expect(outcome.stderr).toMatch(/^\/t\.yaml:3:5.*is wrong\ntollgate: The last good one stays in force\.\n$/);
    answers["POST /api/v1/config/reload"] = { status: 401, body: { error: { message: "no" } } };
    expect((await tollgate(["config", "reload"])).code).toBe(1);
  });
});

describe("failures", () => {
  it("say where no gateway answers and what to do, without a stack trace", async () => {
    const outcome = await tollgate(["keys", "list", "--url", "http://127.0.0.1:1"]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/127\.0\.0\.1:1 \(from --url\)[^]*tollgate serve/);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
  });

  it("name the source of a refused key, never the key", async () => {
    answers["GET /key/list"] = { status: 401, body: { error: { message: "no" } } };
    const outcome = await tollgate(["keys", "list"], { TOLLGATE_ADMIN_KEY: "sk-wrong-admin" });
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("TOLLGATE_ADMIN_KEY") as unknown });
    expect(outcome.stderr).not.toMatch(/sk-wrong-admin/);
  });

  it("tell of a stale admin-key file what may have made it so, and the mend", async () => {
    answers["GET /key/list"] = { status: 401, body: { error: { message: "no" } } };
    const outcome = await tollgate(["keys", "list"]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toBe(
      `tollgate: The admin key in ${join(root, "data", "admin-key")} is not the one that the gateway at ${url} takes: its configuration names another, or it runs on another data folder.\n` +
        "  Set TOLLGATE_ADMIN_KEY to the key that the configuration names (`admin.key`, `general_settings.master_key`); if it names none, point --data-dir at the gateway's data folder.\n",
    );
    expect(outcome.stderr).not.toContain(adminKey);
  });

  it("show the gateway's own sentence, as JSON with --json", async () => {
    answers["POST /key/generate"] = { status: 409, body: { error: { message: "That alias is taken." } } };
    const outcome = await tollgate(["keys", "create", "--alias", "ci", "--json"]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(JSON.parse(outcome.stderr)).toEqual({ error: { message: "The gateway refused /key/generate with status 409: That alias is taken." } });
  });

  it("follow no redirect with the key", async () => {
    answers["GET /key/list"] = { status: 307, body: {}, headers: { location: `${url}/elsewhere` } };
    expect((await tollgate(["keys", "list"])).stderr).toMatch(/redirect/);
    expect(seen).toHaveLength(1);
  });

  it("tell where an admin key could come from when there is none", async () => {
    expect((await tollgate(["keys", "list", "--data-dir", "nowhere"])).stderr).toMatch(/TOLLGATE_ADMIN_KEY is not set/);
  });
});

describe("a wrong command line", () => {
  it.each([
    [["frob"], "unknown command 'frob'"],
    [["usage", "--frob"], "unknown option '--frob'"],
    [["usage", "--by", "frob"], "argument 'frob' is invalid"],
    [["serve", "--port", "x"], "'--port <number>' argument 'x' is invalid"],
    [["keys", "show"], "missing required argument 'key'"],
    [["config", "chek"], "Did you mean check?"],
  ])("%j is named with exit code 2, as text and as JSON", async (args, words) => {
    const text = await tollgate(args);
    expect(text).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(words) as unknown });
    expect(text.stderr).not.toMatch(/\n\s+at /);
    const outcome = await tollgate([...args, "--json"]);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect((JSON.parse(outcome.stderr) as { error: { message: string } }).error.message).toContain(words);
  });
});

describe("doctor", () => {
  const adminFinding = async (env: Record<string, string> = {}): Promise<{ level: string; message: string; mend: string } | undefined> => {
    const outcome = await tollgate(["doctor", "--json"], env);
    return (JSON.parse(outcome.stdout) as { findings: { check: string; level: string; message: string; mend: string }[] }).findings.find(({ check }) => check === "admin key");
  };

  it("tries the admin key, and names the mend of a stale one", async () => {
    expect(await adminFinding()).toMatchObject({ level: "ok" });
    expect(seen.find((one) => one.url === "/key/list?size=1")?.authorization).toBe(`Bearer ${adminKey}`);
    answers["GET /key/list"] = { status: 401, body: { error: { message: "no" } } };
    const stale = await adminFinding();
    expect(stale).toMatchObject({ level: "fail", message: expect.stringContaining(join(root, "data", "admin-key")) as unknown, mend: expect.stringContaining("`admin.key`") as unknown });
    expect(await adminFinding({ TOLLGATE_ADMIN_KEY: "sk-wrong-admin" })).toMatchObject({ level: "fail", message: expect.stringMatching(/^TOLLGATE_ADMIN_KEY is not/) as unknown });
  }, 20_000);
});

describe("help", () => {
  it("is there for every command, and so is --json", async () => {
    for (const command of [["serve"], ["init"], ["config", "check"], ["keys", "create"], ["keys", "list"], ["keys", "show"], ["keys", "rotate"], ["keys", "revoke"], ["usage"], ["claude"], ["doctor"]]) {
      const outcome = await tollgate([...command, "--help"]);
      expect(outcome).toMatchObject({ code: 0, stdout: expect.stringContaining("--json") as unknown });
    }
  }, 20_000);
});

describe("an old Node", () => {
  it("gets one line that names the mend, and exit code 1", async () => {
    const pretend = 'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})';
    const outcome = await tollgate(["--help"], {}, ["--import", pretend]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^tollgate needs Node 24 or newer, and this is Node 20\.20\.2: .*npm ci.*\n$/);
  });
});

describe("claude", () => {
  /** A stand-in that tells what it was given, and ends with a code of its own. */
  const script = `#!${process.execPath}
if (process.argv[2] === "--version") { console.log("2.1.330 (Claude Code)"); process.exit(0); }
if (process.argv[2] === "wait") {
  process.on("SIGTERM", () => { console.log("told to end"); process.exit(9); });
  setInterval(() => {}, 1000);
  console.log("ready");
} else {
const { ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY, TOLLGATE_KEY, CLAUDE_CODE_USE_BEDROCK } = process.env;
console.log(JSON.stringify({ args: process.argv.slice(2), ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY, TOLLGATE_KEY, CLAUDE_CODE_USE_BEDROCK }));
process.exit(7);
}
`;
  beforeAll(async () => {
    await mkdir(join(root, "bin"));
    await writeFile(join(root, "bin", "claude"), script);
    await chmod(join(root, "bin", "claude"), 0o755);
  });

  it("gets the gateway's address and the stored key, its arguments untouched, and its exit code passes", async () => {
    const outcome = await tollgate(["claude", "-p", "hi", "--json", "--url", "x"], { ANTHROPIC_API_KEY: "other", CLAUDE_CODE_USE_BEDROCK: "1" });
    expect(outcome.code).toBe(7);
    expect(JSON.parse(outcome.stdout)).toEqual({ args: ["-p", "hi", "--json", "--url", "x"], ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: developerKey });
  });

  it("is not started with a key that the gateway refuses", async () => {
    answers["GET /v1/me"] = { status: 401, body: { error: { message: "unknown key" } } };
    const outcome = await tollgate(["claude", "-p", "hi"], { TOLLGATE_KEY: "sk-refused" });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/TOLLGATE_KEY was not accepted/);
    expect(outcome.stderr).not.toMatch(/sk-refused/);
  });

  it("is told of a signal, and its own exit code passes", async () => {
    const child = spawn(process.execPath, [launcher, "claude", "wait"], { cwd: root, env: { HOME: root, PATH: join(root, "bin"), TOLLGATE_URL: url }, stdio: ["ignore", "pipe", "inherit"] });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout === "ready\n") child.kill("SIGTERM");
    });
    const code = await new Promise((done) => child.on("close", done));
    expect([code, stdout]).toEqual([9, "ready\ntold to end\n"]);
  });

  it("with --json is not started, and no key is shown", async () => {
    const outcome = await tollgate(["claude", "--json", "-p", "hi"]);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ args: ["-p", "hi"], sets: { ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "[secret]" } });
  });

  it("is warned of where a settings file leads it elsewhere", async () => {
    await mkdir(join(root, ".claude"), { recursive: true });
    await writeFile(join(root, ".claude", "settings.json"), JSON.stringify({ env: { ANTHROPIC_BASE_URL: `${url}/v1` } }));
    const outcome = await tollgate(["claude", "-p", "hi"]);
    await rm(join(root, ".claude"), { recursive: true });
    expect(outcome.stderr).toMatch(/settings\.json sets ANTHROPIC_BASE_URL/);
  });
});
