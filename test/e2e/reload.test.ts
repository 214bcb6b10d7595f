/**
 * Guarantee: a changed configuration comes into force whole, without a restart and without a lost request; what runs goes on under the
 * one it began with; one that is not valid changes nothing and says where it is wrong; a provider's key can be rotated.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { createProcessSite, killLeftovers } from "../support/gateway-process.ts";
import { adminKey, configText, messagesBody, post, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { openCall, type OpenReply } from "./stage.ts";

const streamed = messagesBody({ stream: true });
/** About 1.5 s of stream. */
const slow = { text: "word ".repeat(60), deltaCharacters: 5, writeDelayMs: 25 } as const;

interface Site {
  readonly fake: FakeAnthropic;
  readonly harness: Harness;
  readonly key: string;
  write(options?: { readonly models?: string; readonly config?: string; readonly upstreamKey?: string; readonly file?: string }): void;
  reload(): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>;
  call(fields?: Record<string, unknown>): Promise<Response>;
}

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  await killLeftovers();
});

async function startSite(config = "", options: { models?: string; file?: (url: string) => string; env?: Record<string, string> } = {}): Promise<Site> {
  const fake = await startFakeAnthropic({});
  closers.push(() => fake.close());
  const upstreamUrl = fake.url;
  const harness = await startHarness({ upstreamUrl, config, ...(options.models === undefined ? {} : { models: options.models }), ...(options.file === undefined ? {} : { file: options.file(upstreamUrl) }), ...(options.env === undefined ? {} : { env: options.env }) });
  closers.push(() => harness.close());
  const key = await harness.key();
  return {
    fake,
    harness,
    key,
    write({ upstreamKey: other, file, ...rest } = {}) {
      const text = file ?? configText({ upstreamUrl, config, ...rest });
      writeFileSync(harness.configPath, other === undefined ? text : text.replace(upstreamKey, other));
    },
    async reload() {
      const reply = await fetch(`${harness.url}/api/v1/config/reload`, { method: "POST", headers: { authorization: `Bearer ${adminKey}` } });
      return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
    },
    call: (fields = {}) => post(harness.url, key, messagesBody(fields)),
  };
}

const texts = ({ body }: { readonly body: Record<string, unknown> }): readonly string[] => (body["changes"] as { text: string }[]).map(({ text }) => text);
const keyOf = (fake: FakeAnthropic): unknown => fake.requests.at(-1)?.headers["x-api-key"];

async function metric(harness: Harness, name: string): Promise<number> {
  const reply = await fetch(`${harness.url}/metrics`, { headers: { authorization: `Bearer ${adminKey}` } });
  return Number(new RegExp(`^${name.replaceAll(/[{}]/g, "\\$&")} (\\S+)$`, "m").exec(await reply.text())?.[1]);
}

describe("a reload by the API", () => {
  it("tells what has changed, and the next call sees it", async () => {
    const site = await startSite("", { models: 'models: [{name: "claude-opus-*", provider: anthropic}]' });
    expect((await site.call({ model: "claude-haiku-4-5" })).status).toBe(404);
    site.write({ models: 'models: [{name: "claude-opus-*", provider: anthropic}, {name: claude-haiku-4-5, provider: anthropic}]', config: "timeouts: {drain: 1m}" });
    const reloaded = await site.reload();
    expect(reloaded.status).toBe(200);
    expect(texts(reloaded)).toEqual(["Model claude-haiku-4-5 can be asked for, by every key that may use it; it is served by anthropic.", "timeouts.drain is 1m instead of 10m."]);
    expect((await site.call({ model: "claude-haiku-4-5" })).status).toBe(200);
    expect(site.harness.gateway.config.timeouts.drainMs).toBe(60_000);
    expect((await site.reload()).body).toMatchObject({ changes: [], needs_restart: [] });
  });

  it("is for admins only", async () => {
    const { harness, key } = await startSite();
    const reply = await fetch(`${harness.url}/api/v1/config/reload`, { method: "POST", headers: { authorization: `Bearer ${key}` } });
    expect(reply.status).toBe(403);
  });

  it("of a file that is not valid changes nothing, names each fault with its place, and shows until it is mended", async () => {
    const site = await startSite();
    const { harness } = site;
    writeFileSync(harness.configPath, 'listen: {port: 0}\nmodels:\n  - {name: "claude-*", provider: nobody}\ntimeouts: {drian: 5s}\n');
    const { status, body } = await site.reload();
    expect(status).toBe(422);
    expect(body).toMatchObject({
      error: { message: expect.stringContaining("last good one") as string },
      errors: [
        { file: harness.configPath, line: 3, column: expect.any(Number) as number, path: "models[0].provider" },
        { line: 4, path: "timeouts.drian", message: expect.stringContaining("drain") as string },
      ],
    });
    expect((await site.call()).status).toBe(200);
    expect(await metric(harness, "tollgate_config_reload_failed")).toBe(1);
    const readiness = await fetch(`${harness.url}/health/readiness`);
    expect([readiness.status, await readiness.json()]).toMatchObject([200, { config: "reload_failed" }]);
    site.write();
    expect((await site.reload()).status).toBe(200);
    expect(await metric(harness, "tollgate_config_reload_failed")).toBe(0);
    expect(await metric(harness, 'tollgate_config_reloads_total{result="failed"}')).toBe(1);
    expect(await (await fetch(`${harness.url}/health/readiness`)).json()).toMatchObject({ config: "loaded" });
  });

  it("takes neither an empty file nor a missing one", async () => {
    const site = await startSite();
    site.write({ file: "\n" });
    expect((await site.reload()).body).toMatchObject({ errors: [{ message: "the file is empty" }] });
    rmSync(site.harness.configPath);
    expect((await site.reload()).body).toMatchObject({ errors: [{ message: "the file cannot be read (ENOENT)" }] });
    expect((await site.call()).status).toBe(200);
  });

  it("names what needs a restart, and applies the rest", async () => {
    const site = await startSite();
    const file = configText({ upstreamUrl: site.fake.url, config: "limits: {body_max: 1MiB}" }).replace("port: 0", "port: 1");
    site.write({ file: `${file}\nstore: {sync: full}` });
    const reloaded = await site.reload();
    expect(reloaded.body["needs_restart"]).toEqual(["listen.port", "store"]);
    expect(texts(reloaded)).toEqual(["limits.body_max is 1048576 instead of 33554432."]);
    expect(await metric(site.harness, "tollgate_config_needs_restart")).toBe(2);
    expect((await site.call()).status).toBe(200);
  });

  it("is in the audit, with who did it", async () => {
    const site = await startSite();
    site.write({ config: "limits: {body_max: 1MiB}" });
    await site.reload();
    await site.harness.gateway.close(0);
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(join(site.harness.dataDir, "tollgate.db"), { readOnly: true });
    expect(database.prepare("SELECT actor, object FROM audit WHERE action = 'config.reload'").all()).toMatchObject([{ actor: "admin", object: site.harness.configPath }]);
    database.close();
  });
});

describe("over a reload", () => {
  it("streams that run end whole, by the prices they began with, and the provider's key is another for the next call", async () => {
    const site = await startSite();
    const running: OpenReply[] = [];
    for (let index = 0; index < 5; index++) running.push(await openCall(site.harness.url, site.key, { body: streamed, behaviour: slow }));
    for (const reply of running) await until("the first event", () => reply.text().includes("message_start"));
    site.write({ file: "models: [" });
    expect((await site.reload()).status).toBe(422);
    const rotated = "sk-ant-upstream-rotated-00000000000000000";
    site.write({ upstreamKey: rotated, config: "prices: {multiplier: 100}" });
    const reloaded = await site.reload();
    expect(texts(reloaded)).toEqual(["Provider anthropic has another api_key: calls for claude-* use it.", "Every cost is multiplied by 100 instead of 1."]);
    expect(JSON.stringify(reloaded.body)).not.toContain("sk-ant");
    expect((await site.call()).status).toBe(200);
    expect(keyOf(site.fake)).toBe(rotated);
    for (const reply of running) {
      expect(await reply.ended).toBe(true);
      expect(checkStreamGrammar(reply.bytes())).toMatchObject({ ok: true, outcome: "stop", text: slow.text });
    }
    const rows = await until("the rows", async () => {
      const found = await site.harness.rows();
      return found.length === 6 && found.every((row) => row["closed_at"] !== null) ? found : undefined;
    });
    expect(rows.every((row) => row["outcome"] === "completed")).toBe(true);
    const costs = rows.map((row) => Number(row["cost_usd"])).toSorted((a, b) => b - a);
    expect(costs[0]! / costs[1]!).toBeGreaterThan(5);
    expect(new Set(costs.slice(1)).size).toBe(1);
  });

  it("calls that come without a pause are all answered, while the configuration changes under them again and again, some not valid, some huge", async () => {
    const site = await startSite();
    let isOver = false;
    const statuses = new Map<number, number>();
    const caller = async (): Promise<void> => {
      while (!isOver) {
        const reply = await site.call();
        await reply.arrayBuffer();
        statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      }
    };
    const callers = Array.from({ length: 6 }, caller);
    const reloads: number[] = [];
    const count = Number(process.env["TOLLGATE_RELOADS"] ?? "60");
    for (let index = 0; index < count; index++) {
      if (index % 50 === 49) site.write({ file: `# ${"x".repeat(5_000_000)}` });
      else if (index % 10 === 8) site.write({ file: "models: {" });
      else site.write({ upstreamKey: `sk-ant-upstream-rotated-${index}`, config: `budgets: [{id: b, scope: "key:*", amount: ${1_000 + index}}]\nrate_limits: {rules: [{scope: "key:*", requests_per_minute: ${1_000_000 + index}}]}` });
      reloads.push((await site.reload()).status);
    }
    isOver = true;
    await Promise.all(callers);
    expect(reloads).toEqual(reloads.map((_status, index) => (index % 50 === 49 || index % 10 === 8 ? 422 : 200)));
    expect([...statuses.keys()]).toEqual([200]);
    const calls = statuses.get(200)!;
    const { budgets } = await until("nothing is held", async () => {
      const found = await site.harness.admin<{ budgets: Record<string, string>[] }>("GET", "/api/v1/budgets");
      return found.budgets.every((budget) => Number(budget["held_usd"]) === 0) ? found : undefined;
    });
    const rows = await site.harness.admin<{ groups: Record<string, unknown>[] }>("GET", "/api/v1/usage?by=key");
    expect(calls).toBeGreaterThan(20);
    expect(Number(budgets[0]!["spent_usd"])).toBeCloseTo(Number(rows.groups[0]!["cost_usd"]), 6);
    if (count > 60) process.stdout.write(`reload: ${count} reloads under ${calls} calls, none of which failed\n`);
  }, 600_000);

  it("the keys that admins and developers use change with the file at once", async () => {
    const site = await startSite();
    const other = "sk-test-admin-other-0123456789abcdefghijkl";
    writeFileSync(site.harness.configPath, `${configText({ upstreamUrl: site.fake.url }).replace(adminKey, other)}\nkey_header: x-corporate-key\n`);
    expect((await site.reload()).status).toBe(200);
    const list = (key: string): Promise<number> => fetch(`${site.harness.url}/key/list`, { headers: { authorization: `Bearer ${key}` } }).then(({ status }) => status);
    expect([await list(adminKey), await list(other)]).toEqual([401, 200]);
    const reply = await fetch(`${site.harness.url}/v1/models`, { headers: { "x-corporate-key": site.key } });
    expect(reply.status).toBe(200);
  });
});

describe("a budget that comes with a reload", () => {
  it("counts what was spent before in its window, and binds who runs", async () => {
    const site = await startSite();
    expect((await site.call()).status).toBe(200);
    const stream = await openCall(site.harness.url, site.key, { body: streamed, behaviour: slow });
    await until("the first event", () => stream.text().includes("message_start"));
    site.write({ config: 'budgets: [{id: all, scope: global, amount: "0.0001"}]' });
    expect((await site.reload()).status).toBe(200);
    expect((await site.call()).status).toBe(429);
    expect(await stream.ended).toBe(true);
    const budget = await until("all is spent", async () => {
      const { budgets } = await site.harness.admin<{ budgets: Record<string, string>[] }>("GET", "/api/v1/budgets");
      const rows = await site.harness.rows();
      return rows.every((row) => row["closed_at"] !== null) && budgets[0]!["held_usd"] !== undefined && Number(budgets[0]!["held_usd"]) === 0 ? { ...budgets[0], rows: rows.length } : undefined;
    });
    const { groups } = await site.harness.admin<{ groups: Record<string, unknown>[] }>("GET", "/api/v1/usage?by=key");
    expect(Number(budget["spent_usd" as never])).toBeCloseTo(Number(groups[0]!["cost_usd"]), 6);
    site.write();
    expect((await site.reload()).status).toBe(200);
    expect((await site.call()).status).toBe(200);
  });
});

describe("an included file of a LiteLLM configuration", () => {
  it("is noticed when it changes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-include-"));
    closers.push(() => rmSync(folder, { recursive: true }));
    const entry = (model: string, url: string): string => `model_list: [{model_name: ${model}, litellm_params: {model: "anthropic/${model}", api_key: sk-ant-x, api_base: "${url}"}}]\n`;
    const included = join(folder, "models.yaml");
    const site = await startSite("", {
      file(url) {
        writeFileSync(included, entry("claude-opus-4-8", url));
        return `include: ["${included}"]\ngeneral_settings: {master_key: ${adminKey}}\ntollgate: {listen: {port: 0}, logging: {level: silent}}\n`;
      },
    });
    expect((await site.call()).status).toBe(200);
    writeFileSync(included, entry("claude-haiku-4-5", site.fake.url));
    await until("the other model", () => site.harness.gateway.config.models[0]?.name === "claude-haiku-4-5");
    expect((await site.call()).status).toBe(404);
    expect((await site.call({ model: "claude-haiku-4-5" })).status).toBe(200);
  });
});

describe("a changed file", () => {
  const file = (url: string): string => configText({ upstreamUrl: url }).replace(`"${upstreamKey}"`, '"${file:upstream-key}"');

  it("is noticed, whether it was written in place or put there by a rename", async () => {
    const site = await startSite();
    site.write({ config: "limits: {body_max: 1MiB}" });
    await until("the change", () => site.harness.gateway.config.limits.bodyBytesMax === 1_048_576);
    const beside = `${site.harness.configPath}.new`;
    writeFileSync(beside, configText({ upstreamUrl: site.fake.url, config: "limits: {body_max: 2MiB}" }));
    renameSync(beside, site.harness.configPath);
    await until("the change", () => site.harness.gateway.config.limits.bodyBytesMax === 2_097_152);
  });

  it("of a secret is noticed as well, as Kubernetes swaps it", async () => {
    const fake = await startFakeAnthropic({});
    closers.push(() => fake.close());
    const site = createProcessSite(fake.url);
    closers.push(() => site.remove());
    const put = (version: string, secret: string): void => {
      const folder = join(site.folder, version);
      mkdirSync(folder);
      writeFileSync(join(folder, "upstream-key"), secret);
      symlinkSync(version, join(site.folder, "..data_tmp"));
      renameSync(join(site.folder, "..data_tmp"), join(site.folder, "..data"));
    };
    put("..one", "sk-ant-upstream-one-0000000000000000000000\n");
    symlinkSync("..data/upstream-key", join(site.folder, "upstream-key"));
    writeFileSync(join(site.folder, "tollgate.yaml"), file(fake.url));
    const gateway = site.start();
    const url = await gateway.ready;
    const { key } = (await (await fetch(`${url}/key/generate`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: "{}" })).json()) as { key: string };
    const keyUsed = async (): Promise<unknown> => {
      await (await post(url, key, messagesBody())).arrayBuffer();
      return keyOf(fake);
    };
    expect(await keyUsed()).toBe("sk-ant-upstream-one-0000000000000000000000");
    put("..two", "sk-ant-upstream-two-0000000000000000000000\n");
    await until("the new key", async () => (await keyUsed()) === "sk-ant-upstream-two-0000000000000000000000");
    gateway.signal("SIGTERM");
    expect(await gateway.exit).toBe(0);
  });

  it("is read at a SIGHUP, which does not end the process; faults are told in one line", async () => {
    const fake = await startFakeAnthropic({});
    closers.push(() => fake.close());
    const site = createProcessSite(fake.url);
    closers.push(() => site.remove());
    const path = join(site.folder, "tollgate.yaml");
    writeFileSync(path, configText({ upstreamUrl: fake.url }).replace("level: silent", "level: info"));
    const gateway = site.start();
    await gateway.ready;
    process.kill(gateway.pid, "SIGHUP");
    await until("the line", () => gateway.stdout().includes("nothing has changed"));
    writeFileSync(path, "models: [{name: m, provider: x}]\n");
    process.kill(gateway.pid, "SIGHUP");
    const line = await until("the fault", () => gateway.stdout().split("\n").find((each) => each.includes("cannot be used")));
    expect(JSON.parse(line)).toMatchObject({ level: "error", faults: expect.stringMatching(/tollgate\.yaml:1:\d+: models\[0\]\.provider: /) as string });
    gateway.signal("SIGTERM");
    expect(await gateway.exit).toBe(0);
  });
});
