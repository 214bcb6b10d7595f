/**
 * Guarantee: what the pages show is true. Every `yaml` block is a whole configuration that loads without an error or a remark; tables
 * of model names say what the code does; every setting of a provider is on its page; links lead somewhere; the helper
 * script works in a shell; the first start's transcript is what it prints.
 */
import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { addKeyFields, keyFields } from "../../src/cli/key-fields.ts";
import { rateLimits } from "../../src/config/rate-limits.ts";
import { limitText } from "../../src/limits/limit-text.ts";
import { loadConfig, type LoadResult } from "../../src/config/load.ts";
import { betaRows } from "../../src/providers/bedrock/capabilities.ts";
import { providers } from "../../src/providers/registry.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { killLeftovers, launcher, startGatewayProcess } from "../support/gateway-process.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { environmentFor } from "./behind.ts";
import { blocksOf, guidePages, joined, plain, readPage, root, sectionOf, type Page } from "./markdown.ts";

const kinds = Object.keys(providers).filter((kind) => kind !== "demo");
const providerPages = readdirSync(join(root, "docs", "providers")).map((name) => readPage(`docs/providers/${name}`));
const guideParts = guidePages();
const guide = joined(guideParts);
const readme = readPage("README.md");
const limits = readPage("docs/limits.md");
const budgets = readPage("docs/budgets.md");
const reconcilePage = readPage("docs/reconcile.md");
const usagePage = readPage("docs/usage.md");
const resilience = readPage("docs/resilience.md");
const routingPage = readPage("docs/routing.md");
const pages: readonly Page[] = [...providerPages, ...guideParts, limits, budgets, reconcilePage, usagePage, resilience, routingPage, readme];
const folder = mkdtempSync(join(tmpdir(), "tollgate-docs-"));

afterEach(killLeftovers);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(text: string): LoadResult {
  return loadConfig({
    path: "tollgate.yaml",
    env: environmentFor(text),
    readFile: (path) => (path.endsWith("tollgate.yaml") ? text : upstreamKey),
    providerSchemas: new Map(Object.entries(providers).map(([kind, provider]) => [kind, provider.settings])),
    accept: [],
    allowInsecureDevKey: false,
  });
}

const configurations = pages.flatMap((page) => blocksOf(page, "yaml").map((block) => [`${page.path}:${block.line}`, block.text] as const));

describe("configurations", () => {
  it.each(configurations)("%s loads without an error or a remark", (_where, text) => {
    const result = load(text);
    expect(result.ok ? result.config.warnings : result.errors).toEqual([]);
    for (const { verdict } of result.keys) expect(verdict).toBe("supported");
  });

  it("are shown for each kind of provider, natively and, where LiteLLM has the place, in its words", () => {
    expect(providerPages.map(({ path }) => path).toSorted()).toEqual(kinds.map((kind) => `docs/providers/${kind}.md`).toSorted());
    for (const page of providerPages) {
      const kind = kindOf(page);
      const files = blocksOf(page, "yaml").map(({ text }) => parse(text) as { model_list?: unknown; providers?: Record<string, { kind: string }> });
      expect(files.some((file) => Object.values(file.providers ?? {}).every((place) => place.kind === kind) && file.providers !== undefined), page.path).toBe(true);
      expect(files.some((file) => file.model_list !== undefined), page.path).toBe(["anthropic", "bedrock", "vertex", "foundry"].includes(kind));
    }
  });

  it("that LiteLLM files have no words for are said to be so, and it is so", () => {
    expect(guide.text.match(/A LiteLLM\s+file has no words for this target in this build/g)).toHaveLength(2);
    const block = sectionOf(guide, "Static key").blocks.find(({ text }) => text.startsWith("model_list"))!;
    const result = load(block.text.replace("general_settings:", "general_settings:\n  forward_llm_provider_auth_headers: true"));
    expect(result.ok && result.config.warnings.map(({ path }) => path)).toEqual(["general_settings.forward_llm_provider_auth_headers"]);
    expect(result.ok && result.config.models.every(({ targets }) => targets.every(({ credential }) => credential === "provider"))).toBe(true);
  });
});

function kindOf({ path }: Page): string {
  return path.slice(path.lastIndexOf("/") + 1, -".md".length);
}

describe("provider pages", () => {
  it.each(providerPages.map((page) => [kindOf(page), page] as const))("%s: every setting is on the page", (kind, page) => {
    const schema = z.toJSONSchema(providers[kind]!.settings, { io: "input", unrepresentable: "any" });
    const names = Object.keys(schema.properties ?? {});
    expect(names.length).toBeGreaterThan(2);
    for (const name of names) expect(page.text, name).toMatch(new RegExp(`\\b${name}\\b`));
  });

  const named = providerPages.flatMap((page) => page.sections.flatMap(({ heading, tables }) => (heading !== "Model names" ? [] : tables.map((table) => [kindOf(page), page, table] as const))));
  it.each(named)("%s: the table of model names is what the code does", (kind, page, [head = [], ...rows]) => {
    const provider = providers[kind]!;
    const first = parse(blocksOf(page, "yaml")[0]!.text) as { providers: Record<string, Record<string, unknown>> };
    const { kind: _kind, ...written } = Object.values(first.providers)[0]!;
    expect(rows.length).toBeGreaterThan(0);
    for (const [asked = "", ...there] of rows) {
      for (const [index, expected] of there.entries()) {
        // A column may be of another region than the page's first example.
        const region = /\b[a-z]{2}(?:-gov)?-[a-z]+-\d\b/.exec(head[index + 1] ?? "")?.[0];
        const settings = provider.settings.parse({ ...written, ...(region === undefined ? {} : { region }) });
        expect(provider.modelName?.(plain(asked), settings) ?? plain(asked), `${asked} ${region ?? ""}`).toBe(plain(expected));
      }
    }
  });

  it("bedrock: the betas that go are those of the code", () => {
    const page = providerPages.find((candidate) => kindOf(candidate) === "bedrock")!;
    const shown = page.sections.flatMap(({ tables }) => tables).find(([head]) => head?.[0] === "Beta");
    const rows = (shown ?? []).slice(1).map(([beta = "", sentAs = ""]) => [plain(beta), plain(sentAs)]);
    expect(rows).toEqual(betaRows.map(({ beta, sendAs }) => [beta, sendAs ?? "the same"]));
  });
});

describe("limits", () => {
  it("the table has every member of a rule, the sentence is the one a call reads, and the command takes the flags", () => {
    const names = Object.keys(z.toJSONSchema(rateLimits, { io: "input", unrepresentable: "any" }).properties ?? {});
    expect(names).toEqual(["count_cache_reads", "rules"]);
    const members = limits.sections.flatMap(({ tables }) => tables).find(([head]) => head?.[0] === "Member")!.slice(1).flatMap(([cell = ""]) => cell.split(", ").map(plain));
    const told = load(`rate_limits: {rules: [{scope: global}]}`);
    const known = told.ok ? "" : told.errors.map(({ message }) => message).find((message) => message.startsWith("limits nothing"))!;
    expect(members.toSorted()).toEqual(known.slice(known.indexOf("one of ") + "one of ".length).split(", ").toSorted());
    const sentence = limitText([{ limit: { scope: "key:k", kind: "requestsPerMinute", max: 120 }, retryAfterMs: 400 }], () => "Key ci");
    expect(limits.text).toContain(`> ${sentence}`);
    const [command] = blocksOf(limits, "sh");
    const words = command!.text.trim().split(" ");
    expect(words.slice(0, 3)).toEqual(["tollgate", "keys", "create"]);
    expect(keyFields(addKeyFields(new Command()).parse(words.slice(3), { from: "user" }).opts())).toEqual({ key_alias: "ci", rpm_limit: 60, tpm_limit: 200_000, max_parallel_requests: 4, model_rpm_limit: { "claude-opus-5-5": 10 } });
  });
});

it.each(pages.map((page) => [page.path, page] as const))("%s: links within the repository lead somewhere", (_path, page) => {
  const links = [...page.text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!).filter((link) => !/^https?:/.test(link));
  for (const link of links) {
    const [file = "", anchor] = link.split("#");
    const path = file === "" ? page.path : join(dirname(page.path), file);
    expect(existsSync(join(root, path)), link).toBe(true);
    if (anchor !== undefined) expect(readPage(path).sections.map((section) => section.anchor), link).toContain(anchor);
  }
});

function run(file: string, env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => execFile(file, { env: { PATH: process.env["PATH"] ?? "", ...env } }, (error, stdout) => (error === null ? resolve(stdout) : reject(error))));
}

const scripts = [readme, ...guideParts].flatMap((page) => blocksOf(page, "sh").filter(({ text }) => text.startsWith("#!")).map(({ text }) => [page.path, text] as const));

it.each(scripts)("%s: the helper script prints a token that stands for its key", async (path, script) => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const harness = await startHarness({ upstreamUrl: fake.url });
  const file = join(folder, `${path.replaceAll("/", "-")}.sh`);
  writeFileSync(file, script);
  chmodSync(file, 0o755);
  const key = await harness.key({ key_alias: "ada" });
  const token = (await run(file, { TOLLGATE_KEY: key, ANTHROPIC_BASE_URL: harness.url })).trim();
  expect(token).not.toBe(key);
  // As Claude Code sends what a helper printed.
  const reply = await fetch(`${harness.url}/v1/messages`, { method: "POST", headers: { authorization: `Bearer ${token}`, "x-api-key": token, "anthropic-version": "2023-06-01", "content-type": "application/json" }, body: messagesBody() });
  expect(reply.status).toBe(200);
  const me = (await (await fetch(`${harness.url}/v1/me`, { headers: { authorization: `Bearer ${token}` } })).json()) as { key_alias: string };
  expect(me.key_alias).toBe("ada");
  await expect(run(file, { TOLLGATE_KEY: "sk-unknown-0000000000000000000000", ANTHROPIC_BASE_URL: harness.url })).resolves.toBe("");
  await harness.close();
  await fake.close();
});

it("docs/budgets.md: the commands set what they say, while the gateway runs", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const harness = await startHarness({ upstreamUrl: fake.url });
  const env = { TOLLGATE_URL: harness.url, TOLLGATE_ADMIN_KEY: adminKey, HOME: folder };
  const runBlock = (heading: string): Promise<string> => {
    const file = join(folder, `${heading.replaceAll(" ", "-")}.sh`);
    const [block] = sectionOf(budgets, heading).blocks.filter(({ language }) => language === "sh");
    writeFileSync(file, `#!/bin/sh\nset -e\ntollgate() { ${process.execPath} ${launcher} "$@"; }\n${block!.text}\n`);
    chmodSync(file, 0o755);
    return run(file, env);
  };
  const printed = await runBlock("While the gateway runs");
  expect(printed).toContain("is in force: $4000.0000 for team:payments");
  expect(printed).toContain('Budget "team:payments pool month/Europe/Paris" is gone.');
  expect(await runBlock("One budget for many keys")).toMatch(/"budget_id":"developers"[\s\S]*\}sk-\S+\s*$/);
  expect(await harness.admin("GET", "/budget/list")).toMatchObject([{ budget_id: "developers", max_budget: 200, soft_budget: 150, rpm_limit: 120 }]);
  const { budgets: rows } = await harness.admin<{ budgets: { mode: string; amount_usd: string }[] }>("GET", "/api/v1/budgets");
  expect(rows.map(({ mode, amount_usd }) => `${mode} ${amount_usd}`).toSorted()).toEqual(["advisory 150.00", "incremental 200.00"]);
  await harness.close();
  await fake.close();
}, 30_000);

it("README: the first start prints what the transcript shows, and its request costs what the table says", async () => {
  expect(readme.text.trimEnd().split("\n").length).toBeLessThanOrEqual(150);
  const [first, second] = blocksOf(readme, "console").map(({ text }) => text.split("\n").slice(1).filter((line) => line !== "" && line !== "…"));
  const gateway = startGatewayProcess({ cwd: folder, env: { HOME: folder } });
  const url = await gateway.ready;
  const printed = await until("the end of the text", () => (gateway.stdout().includes("tollgate keys create") ? gateway.stdout() : undefined));
  const asShown = printed.replaceAll(url, "http://127.0.0.1:4000").replace(/sk-[\w-]{20,}/g, "sk-…").split("\n");
  expect(first!.length).toBeGreaterThan(4);
  expect(asShown).toEqual(expect.arrayContaining(first!));
  const lines = printed.split("\n").filter((line) => /^ +(?:export|curl|-H|-d)/.test(line)).join("\n");
  const file = join(folder, "as-printed.sh");
  writeFileSync(file, `#!/bin/sh\n${lines}\n`);
  chmodSync(file, 0o755);
  expect(await run(file, {})).toContain("message_stop");
  const usage = join(folder, "usage.sh");
  writeFileSync(usage, `#!/bin/sh\ncd ${folder} && exec ${process.execPath} ${launcher} usage --by model\n`);
  chmodSync(usage, 0o755);
  const table = await until("the row", async () => ((await run(usage, { TOLLGATE_URL: url, HOME: folder })).includes("claude-haiku") ? await run(usage, { TOLLGATE_URL: url, HOME: folder }) : undefined));
  const undated = (line: string): string => line.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d/g, "DATE");
  expect(table.trimEnd().split("\n").map(undated)).toEqual(second!.map(undated));
  gateway.signal("SIGTERM");
  expect(await gateway.exit).toBe(0);
});

it("README: the table of addresses is that of the guide", () => {
  const [, ...rows] = sectionOf(readme, "Clouds").tables[0]!;
  expect(rows.length).toBeGreaterThan(4);
  for (const [names = "", addresses = ""] of rows) {
    for (const name of names.match(/[A-Z_]{8,}/g) ?? []) expect(guide.text).toContain(name);
    for (const address of addresses.match(/http:[^`]+/g) ?? []) expect(guide.text).toContain(address);
  }
  expect(sectionOf(readme, "Clouds").tables).toHaveLength(1);
});
