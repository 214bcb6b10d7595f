/**
 * Guarantee: keys that name one of LiteLLM's budgets each have its cap and its limits by themselves, from the next call on when it is
 * changed, and after a restart; a soft budget is told of and refuses nothing.
 */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { launcher } from "../support/gateway-process.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { openCall, startStage } from "./stage.ts";

const dollar = { usage: { input_tokens: 150_000, output_tokens: 10_000 } } as const;

async function call(url: string, key: string, options: Parameters<typeof openCall>[2] = {}): Promise<{ readonly status: number; readonly message: string }> {
  const reply = await openCall(url, key, options);
  await reply.ended;
  return { status: reply.status, message: reply.status === 200 ? "" : reply.json<{ error: { message: string } }>().error.message };
}

it("binds each key by itself, follows a change at once, and is there after a restart", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const first = await startHarness({ upstreamUrl: fake.url });
  await first.admin("POST", "/budget/new", { budget_id: "gold", max_budget: 1, budget_duration: "30d" });
  const ann = await first.key({ budget_id: "gold", key_alias: "ann" });
  const bea = await first.key({ budget_id: "gold", max_budget: 50 });
  expect((await call(first.url, ann, { behaviour: dollar })).status).toBe(200);
  expect((await call(first.url, bea, { behaviour: dollar })).status).toBe(200);
  expect(await call(first.url, ann)).toEqual({ status: 429, message: expect.stringMatching(/^Key ann has used its \w+ budget \(\$1 of \$1\), resets 1 \w{3} 00:00 UTC\./) });
  expect((await call(first.url, bea)).status).toBe(200);
  const { info } = await first.admin<{ info: Record<string, unknown> }>("GET", `/key/info?key=${ann}`);
  expect(info).toMatchObject({ spend: 1, max_budget: null, budget_reset_at: expect.stringMatching(/-01T00:00:00\.000Z$/), litellm_budget_table: { budget_id: "gold", max_budget: 1 } });

  await first.admin("POST", "/budget/update", { budget_id: "gold", max_budget: 5, rpm_limit: 2 });
  expect([(await call(first.url, ann)).status, (await call(first.url, ann)).status]).toEqual([200, 200]);
  expect((await call(first.url, ann)).message).toMatch(/request/);
  await first.admin("POST", "/budget/update", { budget_id: "gold", max_budget: 0.5, rpm_limit: null });
  await first.gateway.close(0);

  const second = await startHarness({ upstreamUrl: fake.url, dataDir: first.dataDir });
  expect((await call(second.url, ann)).message).toMatch(/of \$0\.50\)/);
  expect((await call(second.url, bea)).status).toBe(200);
  const deleted = await fetch(`${second.url}/budget/delete`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: JSON.stringify({ id: "gold" }) });
  expect([deleted.status, await deleted.text()]).toEqual([409, expect.stringContaining("in use by 2 keys")]);
  await second.admin("POST", "/key/update", { key: ann, budget_id: null });
  expect((await call(second.url, ann)).status).toBe(200);
  await second.admin("POST", "/key/update", { key: bea, budget_id: null });
  expect(await second.admin("POST", "/budget/delete", { id: "gold" })).toMatchObject({ budget_id: "gold" });
  await second.close();
  await first.close().catch(() => undefined);
  await fake.close();
}, 30_000);

it("is given to keys, taken off them and shown by the command line", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const gateway = await startHarness({ upstreamUrl: fake.url });
  const tollgate = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [launcher, "keys", ...args], { cwd: gateway.dataDir, env: { PATH: process.env["PATH"] ?? "", TOLLGATE_URL: gateway.url, TOLLGATE_ADMIN_KEY: adminKey } })).stdout;
  const info = async (): Promise<Record<string, unknown>> => ((JSON.parse(await tollgate("show", "ann", "--json")) as { info: Record<string, unknown> }).info);
  await gateway.admin("POST", "/budget/new", { budget_id: "gold", max_budget: 1, budget_duration: "30d" });
  const ann = (await tollgate("create", "--alias", "ann", "--budget-id", "gold", "--soft-budget", "0.75")).trim();
  expect(await info()).toMatchObject({ budget_id: "gold", soft_budget: 0.75, max_budget: null });
  expect(await tollgate("show", "ann")).toMatch(/^told at +0\.7500 USD\nshared budget +gold\n {2}its budget +1\.0000 USD per 30d$/m);
  expect((await call(gateway.url, ann, { behaviour: dollar })).status).toBe(200);
  expect((await call(gateway.url, ann)).status).toBe(429);
  await tollgate("update", "ann", "--budget-id", "none", "--soft-budget", "none");
  expect(await info()).toMatchObject({ budget_id: null, soft_budget: null });
  expect((await call(gateway.url, ann)).status).toBe(200);
  await expect(tollgate("update", "ann", "--budget-id", "silver")).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("budget_id: there is no such budget.") as unknown });
  await gateway.close();
  await fake.close();
}, 30_000);

it("tells of a key's soft budget once, goes on serving, and shows it to operators only", async () => {
  const messages: Record<string, unknown>[] = [];
  const hook = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (bytes: Buffer) => void pieces.push(bytes)).on("end", () => {
      messages.push(JSON.parse(Buffer.concat(pieces).toString("utf8")) as Record<string, unknown>);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => void hook.listen(0, "127.0.0.1", resolve));
  const stage = await startStage({ config: `webhook: {url: 'http://127.0.0.1:${(hook.address() as AddressInfo).port}/hook', secret: whsec-3f9c01ab77d2e846}` });
  const { harness } = stage;
  const key = await harness.key({ soft_budget: 1.5 });
  const behaviour = dollar;
  for (let time = 0; time < 3; time++) expect((await call(harness.url, key, { behaviour })).status).toBe(200);
  await until("the warning", () => messages.length > 0);
  expect(messages).toEqual([expect.objectContaining({ threshold_percent: 100, amount_usd: "1.50", budget_id: expect.stringMatching(/^soft budget of key key_/) })]);
  expect((await call(harness.url, key, { body: messagesBody({ model: "claude-unpriced-9" }) })).message).not.toMatch(/budget/);
  const me = (await (await fetch(`${harness.url}/v1/me`, { headers: { "x-api-key": key } })).json()) as { budgets: unknown[] };
  expect(me.budgets).toEqual([]);
  const { budgets } = await harness.admin<{ budgets: Record<string, unknown>[] }>("GET", "/api/v1/budgets");
  expect(budgets.map(({ mode, amount_usd }) => [mode, amount_usd])).toEqual([["advisory", "1.50"]]);
  await stage.close();
  hook.closeAllConnections();
  hook.close();
}, 30_000);
