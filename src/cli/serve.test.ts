// Guarantees the newcomer's minute: `serve` in an empty folder prints lines that work when they are pasted, the request
// is in the ledger, the commands find their key by themselves, and a signal ends the gateway in good order.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const launcher = fileURLToPath(new URL("../../bin/tollgate.js", import.meta.url));

let root = "";
const running = new Set<ChildProcess>();

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tollgate-serve-"));
});
afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

interface Serving {
  readonly child: ChildProcess;
  /** Resolves with the match once standard output has it. */
  waitFor(pattern: RegExp): Promise<RegExpMatchArray>;
  readonly exit: Promise<number | null>;
  stdout(): string;
  stderr(): string;
}

const environment = (): Record<string, string> => ({ HOME: root, PATH: process.env.PATH ?? "" });

function serve(args: readonly string[]): Serving {
  const child = spawn(process.execPath, [launcher, "serve", ...args], { cwd: root, env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let stdout = "";
  let stderr = "";
  let look = (): void => {};
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    look();
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const exit = new Promise<number | null>((done) => {
    child.on("close", (code) => {
      running.delete(child);
      done(code);
    });
  });
  const waitFor = (pattern: RegExp): Promise<RegExpMatchArray> =>
    new Promise((resolve, reject) => {
      look = () => {
        const match = pattern.exec(stdout);
        if (match !== null) resolve(match);
      };
      look();
      void exit.then((code) => reject(new Error(`serve ended with ${code} before it printed ${String(pattern)}: ${stderr}`)));
    });
  return { child, waitFor, exit, stdout: () => stdout, stderr: () => stderr };
}

function run(file: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile(file, args, { cwd: root, env: environment() }, (error, stdout, stderr) => done({ code: error === null ? 0 : Number(child.exitCode ?? 1), stdout, stderr }));
  });
}

const tollgate = (...args: string[]): ReturnType<typeof run> => run(process.execPath, [launcher, ...args]);

describe("serve", () => {
  it("works from an empty folder: the printed lines, the ledger, the commands, the stop", async () => {
    const first = serve(["--port", "0"]);
    const [pasted] = await first.waitFor(/^ +export ANTHROPIC_BASE_URL=[^]*?-d '[^]*?'$/m);
    const url = /ANTHROPIC_BASE_URL=(\S+)/.exec(pasted)![1]!;
    const script = pasted.replaceAll(/^Then .*$/gm, "");
    const reply = await run("sh", ["-ec", script]);
    expect(reply.stdout, reply.stderr).toMatch(/^event: message_start[^]*event: message_stop/m);

    // The entry is closed in a group commit after the last byte; it is looked for until it is there.
    let usage = await tollgate("usage", "--by", "model", "--csv", "--url", url);
    for (let tries = 0; tries < 50 && usage.code === 0 && usage.stdout.trim().split("\n").length < 2; tries++) usage = await tollgate("usage", "--by", "model", "--csv", "--url", url);
    expect(usage.stdout, usage.stderr).toMatch(/^claude-haiku-4-5,[^,]*,1,\d/m);

    const made = await tollgate("keys", "create", "--alias", "second", "--url", url);
    expect(made.stdout, made.stderr).toMatch(/^sk-\S{20,}\n$/);
    const listed = await tollgate("keys", "list", "--url", url);
    expect(listed.stdout).toMatch(/second/);

    expect((await stat(join(root, "data", "admin-key"))).mode & 0o777).toBe(0o600);
    first.child.kill("SIGTERM");
    expect(await first.exit, first.stderr()).toBe(0);

    const second = serve(["--port", "0", "--json"]);
    const [line] = await second.waitFor(/^\{.*"admin_key_file".*\}$/m);
    expect(JSON.parse(line)).toEqual({ url: expect.stringMatching(/^http:/) as unknown, admin_key_file: join(root, "data", "admin-key"), developer_key_file: join(root, "data", "developer-key") });
    second.child.kill("SIGINT");
    expect(await second.exit).toBe(0);
  }, 60_000);

  it("says in one sentence which address is taken and what to do, without a stack", async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    const { port } = other.address() as AddressInfo;
    const outcome = await tollgate("serve", "--port", String(port));
    await new Promise((done) => other.close(done));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr.trim().split("\n").at(-1)).toBe(`tollgate: Another program listens on 127.0.0.1:${port} already: stop it, or choose another port with --port.`);
    expect(outcome.stderr).not.toMatch(/\n\s+at |sk-/);
    expect(outcome.stdout).toBe("");
  }, 20_000);

  it("says which address is none of this machine", async () => {
    await writeFile(join(root, "tollgate.yaml"), "listen: {host: 192.0.2.1, public: true}\nproviders: {demo: {kind: demo}}\nmodels: [{name: claude-*, provider: demo}]\n");
    const outcome = await tollgate("serve", "--port", "4999");
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("tollgate: Nothing can listen on 192.0.2.1:4999, because 192.0.2.1 is no address of this machine: give another with --host or `listen.host`.") as unknown });
  }, 20_000);

  it("names the gateway that has the data folder already, and what to do", async () => {
    const first = serve(["--port", "0"]);
    await first.waitFor(/tollgate keys create/);
    const outcome = await tollgate("serve", "--port", "0");
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe(`tollgate: The gateway did not start: another Tollgate (pid ${first.child.pid}) uses ${join(root, "data")}.\n  Stop that one, or give this one its own folder with --data-dir (and its own --port).\n`);
    first.child.kill("SIGTERM");
    expect(await first.exit).toBe(0);
  }, 20_000);

  it("shows at the next start the keys of one that found its port taken, and later where they are", async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
    expect(await tollgate("serve", "--port", String((other.address() as AddressInfo).port))).toMatchObject({ code: 1, stdout: "" });
    await new Promise((done) => other.close(done));
    const second = serve(["--port", "0"]);
    await second.waitFor(/Admin key, shown this once[^]*export ANTHROPIC_AUTH_TOKEN=sk-[^]*tollgate keys create/);
    second.child.kill("SIGTERM");
    expect(await second.exit, second.stderr()).toBe(0);
    const third = serve(["--port", "0"]);
    await third.waitFor(/^The first developer key is in .*developer-key; `tollgate keys create --alias NAME` makes more\.$/m);
    expect(third.stdout()).not.toMatch(/sk-/);
    third.child.kill("SIGTERM");
    expect(await third.exit).toBe(0);
  }, 30_000);

  it("names a data folder that is a file", async () => {
    await writeFile(join(root, "data"), "");
    const outcome = await tollgate("serve", "--port", "0");
    expect(outcome).toMatchObject({ code: 1, stderr: `tollgate: The gateway did not start: the data folder ${join(root, "data")} is a file, or lies below one; choose another with --data-dir.\n` });
  }, 20_000);

  it("refuses a slip in --accept-unenforced", async () => {
    await writeFile(join(root, "config.yaml"), "model_list:\n  - model_name: claude-x\n    litellm_params: {model: anthropic/claude-x, api_key: k, mock_response: hi}\n");
    const outcome = await tollgate("serve", "--port", "0", "--config", "config.yaml", "--accept-unenforced", "mock_reponse");
    expect(outcome.code).toBe(78);
    expect(outcome.stderr).toMatch(/^--accept-unenforced: `mock_reponse` is no restriction of this file; did you mean `mock_response`\? It restricts by: mock_response$/m);
    expect(outcome.stderr).toMatch(/config\.yaml:3:\d+: /);
  }, 20_000);

  it("ends with 78 and names file, line and column of every fault", async () => {
    await writeFile(join(root, "tollgate.yaml"), "providers:\n  anthropic:\n    kind: nowhere\nmodel: []\n");
    const outcome = await tollgate("serve", "--port", "0");
    expect(outcome.code).toBe(78);
    expect(outcome.stderr).toMatch(/tollgate\.yaml:3:\d+: /);
    expect(outcome.stderr).toMatch(/tollgate\.yaml:4:\d+: /);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
  }, 20_000);
});

describe("config and init", () => {
  it("init writes a file that config check finds valid, and never over one that is there", async () => {
    expect(await tollgate("init")).toMatchObject({ code: 0 });
    const check = await tollgate("config", "check");
    expect(check.code, check.stdout + check.stderr).toBe(0);
    expect(await tollgate("init")).toMatchObject({ code: 1, stderr: expect.stringContaining("--force") as unknown });
    expect(await tollgate("init", "--force")).toMatchObject({ code: 0 });
  }, 20_000);

  it("config check shows all faults of a file, and with --json as data", async () => {
    await writeFile(join(root, "bad.yaml"), "providers:\n  anthropic:\n    kind: nowhere\nmodel: []\n");
    const outcome = await tollgate("config", "check", "bad.yaml", "--json");
    expect(outcome.code).toBe(78);
    const report = JSON.parse(outcome.stdout) as { ok: boolean; errors: { line: number; column: number }[] };
    expect(report.ok).toBe(false);
    expect(report.errors.map((error) => error.line)).toEqual(expect.arrayContaining([3, 4]));
    expect(report.errors.every((error) => error.column > 0)).toBe(true);
  }, 20_000);

  it("config diff tells what changes for whom, and with --json as data; of a file that is not valid its faults", async () => {
    const text = "providers: {a: {kind: anthropic, api_key: sk-ant-not-a-real-one}}\nmodels: [{name: \"claude-*\", provider: a}]\n";
    await writeFile(join(root, "old.yaml"), text);
    await writeFile(join(root, "new.yaml"), `${text.replace("real-one", "real-two")}limits: {in_flight_max: 5}\n`);
    await writeFile(join(root, "broken.yaml"), "models: 5\n");
    expect(await tollgate("config", "diff", "old.yaml", "new.yaml")).toMatchObject({ code: 0, stdout: "~ Provider a has another api_key: calls for claude-* use it.\n~ limits.in_flight_max is 5 instead of 10000.\n" });
    expect(JSON.parse((await tollgate("config", "diff", "old.yaml", "new.yaml", "--json")).stdout)).toMatchObject({ changes: [{ subject: "provider", change: "changed" }, { subject: "setting", name: "limits.in_flight_max" }] });
    expect((await tollgate("config", "diff", "old.yaml", "old.yaml")).stdout).toBe("Nothing changes.\n");
    expect(await tollgate("config", "diff", "old.yaml", "broken.yaml")).toMatchObject({ code: 78, stderr: expect.stringMatching(/broken\.yaml:1:\d+/) as unknown });
  }, 30_000);

  it("config check prints what becomes of each key of a LiteLLM file", async () => {
    await writeFile(join(root, "config.yaml"), "model_list:\n  - model_name: claude-sonnet\n    litellm_params:\n      model: anthropic/claude-sonnet-4-5\n      api_key: sk-ant-not-a-real-one\nlitellm_settings:\n  drop_params: true\n");
    const outcome = await tollgate("config", "check", "config.yaml");
    expect(outcome.stdout, outcome.stderr).toMatch(/drop_params/);
    expect(outcome.stdout).not.toMatch(/not-a-real-one/);
  }, 20_000);
});

describe("doctor", () => {
  it("names what is wrong with its mend, and fails", async () => {
    const outcome = await tollgate("doctor", "--url", "http://127.0.0.1:1", "--json");
    expect(outcome.code, outcome.stderr).toBe(1);
    const report = JSON.parse(outcome.stdout) as { ok: boolean; findings: { check: string; level: string; mend: string }[] };
    expect(report.ok).toBe(false);
    expect(report.findings.find((finding) => finding.check === "gateway")).toMatchObject({ level: "fail", mend: expect.stringContaining("tollgate serve") as unknown });
  }, 20_000);

  it("finds all well where a gateway runs", async () => {
    const gateway = serve(["--port", "0", "--json"]);
    const [line] = await gateway.waitFor(/^\{.*"admin_key_file".*\}$/m);
    const { url } = JSON.parse(line) as { url: string };
    const outcome = await tollgate("doctor", "--url", url);
    gateway.child.kill("SIGTERM");
    expect(outcome.stdout, outcome.stderr).toMatch(/^ok +gateway /m);
    expect(outcome.stdout).toMatch(/^ok +key /m);
    expect(await gateway.exit).toBe(0);
  }, 30_000);
});
