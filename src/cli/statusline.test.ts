// Guarantee: the status line shows what is left, asks the gateway once a minute at most, and is silent where it knows nothing.
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { launcher } from "../../test/support/gateway-process.ts";
import type { Clock } from "../kernel/clock.ts";
import { run } from "./program.ts";
import type { CliContext } from "./context.ts";
import { gatewayRoot, renderStatus, runStatusline } from "./statusline.ts";

const plain = { style: (_style: string, text: string) => text };
const budget = { scope: "team_user:payments/ann", amount_usd: "300", spent_usd: "12.4", held_usd: "0.1", left_usd: "287.5", resets_at: "2026-12-01T00:00:00.000Z" };

let home = "";
let server: Server;
let url = "";
let seen: string[] = [];
let me: unknown = { spend_usd: "12.40", budgets: [budget] };
let nowMs = 1_000_000;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "tollgate-status-"));
  seen = [];
  me = { spend_usd: "12.40", budgets: [budget] };
  server = createServer((request, response) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    response.end(JSON.stringify(me));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(home, { recursive: true, force: true });
});

function contextOf(printed: string[], env: Record<string, string> = {}, input = '{"session_id":"s 1"}'): CliContext {
  const clock = { now: () => nowMs, after: (ms: number, action: () => void) => { const timer = setTimeout(action, ms); return { cancel: () => clearTimeout(timer) }; } } as unknown as Clock;
  return {
    env: { ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "sk-mine", ...env }, cwd: home, homeDir: home, clock,
    output: { print: (text) => void printed.push(text), note: (text) => void printed.push(`note: ${text}`), style: (_style, text) => text },
    input: () => Readable.from([input]),
  };
}

async function line(env: Record<string, string> = {}, input?: string): Promise<string> {
  const printed: string[] = [];
  expect(await run(["statusline"], contextOf(printed, env, input))).toBe(0);
  return printed.join("\n");
}

describe("the line", () => {
  it("tells what is spent, left and when it begins anew, of the budget that is nearest to its end", () => {
    expect(renderStatus({ budgets: [{ ...budget, scope: "global", amount_usd: "1000000" }, budget] }, plain)).toBe("$12.40 of $300.00 for you · $287.50 left · resets 2026-12-01");
    expect(renderStatus({ budgets: [{ ...budget, scope: "team:payments", spent_usd: "225" }] }, plain)).toContain("for team payments · $287.50 left · resets 2026-12-01 · ⚠ 75 % used");
    expect(renderStatus({ budgets: [{ ...budget, amount_usd: "0", resets_at: null }] }, plain)).toContain("⚠ 100 % used");
    expect(renderStatus({ budgets: [], spend_usd: "1.5" }, plain)).toBe("$1.50 spent");
    expect(renderStatus({}, plain)).toBe("");
  });

  it("warns in yellow from 75 per cent and in red from 95", () => {
    const styled = { style: (style: string, text: string) => `<${style}>${text}` };
    expect(renderStatus({ budgets: [{ ...budget, spent_usd: "284" }] }, styled)).toContain("<yellow>⚠ 94 %");
    expect(renderStatus({ budgets: [{ ...budget, spent_usd: "285" }] }, styled)).toContain("<red>⚠ 95 %");
  });
});

it("asks as the developer, for the session that the client names, once a minute", async () => {
  expect(await line()).toMatch(/^\$12\.40 of \$300\.00 for you/);
  nowMs += 59_000;
  me = { budgets: [{ ...budget, left_usd: "1" }] };
  expect(await line()).toContain("$287.50 left");
  expect(seen).toEqual(["/v1/me?session=s%201 Bearer sk-mine"]);
  nowMs += 1_001;
  expect(await line()).toContain("$1.00 left");
  expect(seen.length).toBe(2);
  const files = await readdir(join(home, ".cache", "tollgate"));
  expect(files.length).toBe(1);
  expect(files[0]).not.toContain("sk-mine");
  expect((await stat(join(home, ".cache", "tollgate", files[0]!))).mode & 0o777).toBe(0o600);
});

it("goes on with what it knows while no gateway answers, and is silent where it knows nothing", async () => {
  await line();
  server.closeAllConnections();
  server.close();
  nowMs += 120_000;
  expect(await line()).toContain("$287.50 left");
  expect(await line({ ANTHROPIC_BASE_URL: "http://127.0.0.1:1" })).toBe("");
  expect(await line({ ANTHROPIC_AUTH_TOKEN: "" })).toBe("");
  expect(await line({ ANTHROPIC_BASE_URL: "" })).toBe("");
});

it("takes whatever the client writes", async () => {
  expect(await line({}, "no JSON")).toContain("$287.50 left");
  expect(seen).toEqual(["/v1/me Bearer sk-mine"]);
});

it("finds the gateway behind every address that a client is given", () => {
  const root = (url: string, name = "ANTHROPIC_BASE_URL"): string | undefined => gatewayRoot({ [name]: url });
  expect([root("https://g"), root("https://g/anthropic"), root("https://g/x/v1/"), root("https://g/vertex_ai/v1", "ANTHROPIC_VERTEX_BASE_URL"), root("https://g/bedrock", "ANTHROPIC_BEDROCK_BASE_URL"), root("nonsense")]).toEqual(["https://g", "https://g", "https://g/x", "https://g", "https://g", undefined]);
});

it("colours its warning although it writes to a pipe, unless nobody wants colours", async () => {
  me = { budgets: [{ ...budget, spent_usd: "299" }] };
  expect(await line()).toContain("\u001b[31m⚠ 99 % used\u001b[39m");
  expect(await line({ NO_COLOR: "1" })).toMatch(/ · ⚠ 99 % used$/);
});

describe("by itself", () => {
  it("knows its one flag, and leaves everything else to the whole program", async () => {
    const file = join(home, "key");
    await writeFile(file, "sk-of-a-file\n", { mode: 0o600 });
    const printed: string[] = [];
    for (const args of [["--help"], ["--key-file"], ["--key-file="], ["--key-file", ""], ["--key-file", file, "more"], ["--json"], [file]]) expect(await runStatusline(args, contextOf(printed))).toBe(false);
    expect(printed).toEqual([]);
    for (const args of [[], ["--key-file", file], [`--key-file=${file}`]]) expect(await runStatusline(args, contextOf(printed))).toBe(true);
    expect(printed.length).toBe(3);
    expect(seen.map((each) => each.split(" ").at(-1))).toEqual(["sk-mine", "sk-of-a-file"]);
  });

  it("is started without the other commands, which would take longer to load than it takes to run", async () => {
    const tellLoads = 'import { registerHooks } from "node:module"; registerHooks({ load(url, context, next) { process.stderr.write(`${url}\\n`); return next(url, context); } });';
    const started = promisify(execFile)(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(tellLoads)}`, launcher, "statusline"], { env: { HOME: home, ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: "sk-mine", NO_COLOR: "1" } });
    started.child.stdin?.end('{"session_id":"s 1"}');
    const { stdout, stderr } = await started;
    expect(stdout).toMatch(/^\$12\.40 of \$300\.00 for you/);
    expect(stderr).toContain("/src/cli/statusline.ts");
    expect(stderr).not.toMatch(/commander|node_modules|cli\/(?:program|serve|keys|reconcile)\.ts|src\/main\.ts/);
  });
});
