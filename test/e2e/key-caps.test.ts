/**
 * Guarantee: a key's caps for models (`model_max_budget`) refuse that model alone, its caps of several windows (`budget_limits`) bind all at
 * once, and both are there after a restart, with what was spent before.
 */
import { expect, it } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { messagesBody, startHarness, upstreamKey } from "../support/harness.ts";
import { openCall } from "./stage.ts";

const opus = "claude-opus-4-5";
const haiku = "claude-haiku-4-5";
/** $1 at Opus 4.5's prices. */
const dollar = { usage: { input_tokens: 150_000, output_tokens: 10_000 } } as const;

async function call(url: string, key: string, model: string): Promise<{ readonly status: number; readonly message: string }> {
  const reply = await openCall(url, key, { behaviour: dollar, body: messagesBody({ model }) });
  await reply.ended;
  return { status: reply.status, message: reply.status === 200 ? "" : reply.json<{ error: { message: string } }>().error.message };
}

it("refuses the model whose cap is used up and serves the others, also after a restart, until the cap is raised", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const first = await startHarness({ upstreamUrl: fake.url });
  const key = await first.key({ key_alias: "ann", model_max_budget: { [opus]: { budget_limit: "1", time_period: "30d" } } });
  expect((await call(first.url, key, opus)).status).toBe(200);
  const refusal = { status: 429, message: expect.stringMatching(/^This key's model claude-opus-4-5 has used its \w+ budget \(\$1 of \$1\), resets /) as unknown };
  expect(await call(first.url, key, opus)).toEqual(refusal);
  expect((await call(first.url, key, haiku)).status).toBe(200);
  expect((await call(first.url, await first.key({}), opus)).status).toBe(200);
  await first.gateway.close(0);

  const second = await startHarness({ upstreamUrl: fake.url, dataDir: first.dataDir });
  expect(await call(second.url, key, opus)).toEqual(refusal);
  expect((await call(second.url, key, haiku)).status).toBe(200);
  expect((await second.admin<{ info: unknown }>("GET", `/key/info?key=${key}`)).info).toMatchObject({ model_max_budget: { [opus]: { max_budget: 1, budget_duration: "30d" } } });
  await second.admin("POST", "/key/update", { key, model_max_budget: { [opus]: { max_budget: 50, budget_duration: "30d" }, [haiku]: { max_budget: 0 } } });
  expect((await call(second.url, key, opus)).status).toBe(200);
  expect((await call(second.url, key, haiku)).status).toBe(429);
  await second.admin("POST", "/key/update", { key, model_max_budget: {} });
  expect((await call(second.url, key, haiku)).status).toBe(200);
  const { budgets } = await second.admin<{ budgets: unknown[] }>("GET", "/api/v1/budgets");
  expect(budgets).toEqual([]);
  await second.close();
  await first.close().catch(() => undefined);
  await fake.close();
}, 30_000);

it("has them from a shared budget too, each key by itself", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const harness = await startHarness({ upstreamUrl: fake.url });
  await harness.admin("POST", "/budget/new", { budget_id: "gold", model_max_budget: { [opus]: { max_budget: 1, budget_duration: "1d" } } });
  const [ann, bea] = [await harness.key({ budget_id: "gold" }), await harness.key({ budget_id: "gold" })];
  expect((await call(harness.url, ann, opus)).status).toBe(200);
  expect((await call(harness.url, ann, opus)).message).toMatch(/^This key's model claude-opus-4-5 has used its daily budget/);
  expect((await call(harness.url, ann, haiku)).status).toBe(200);
  expect((await call(harness.url, bea, opus)).status).toBe(200);
  await harness.admin("POST", "/budget/update", { budget_id: "gold", model_max_budget: { [opus]: { max_budget: 9, budget_duration: "1d" } } });
  expect((await call(harness.url, ann, opus)).status).toBe(200);
  await harness.close();
  await fake.close();
}, 30_000);

it("holds every one of a key's windows, beside its own cap", async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const harness = await startHarness({ upstreamUrl: fake.url });
  const key = await harness.key({ key_alias: "bea", max_budget: 3, budget_limits: [{ max_budget: 1, budget_duration: "1d" }, { max_budget: 20, budget_duration: "30d" }] });
  expect((await call(harness.url, key, opus)).status).toBe(200);
  expect(await call(harness.url, key, opus)).toEqual({ status: 429, message: expect.stringMatching(/^Key bea has used its daily budget \(\$1 of \$1\)/) as unknown });
  await harness.admin("POST", "/key/update", { key, budget_limits: [{ max_budget: 20, budget_duration: "30d" }] });
  expect([(await call(harness.url, key, opus)).status, (await call(harness.url, key, opus)).status]).toEqual([200, 200]);
  expect(await call(harness.url, key, opus)).toEqual({ status: 429, message: expect.stringMatching(/^Key bea has used its lifetime budget \(\$3 of \$3\)/) as unknown });
  await harness.close();
  await fake.close();
}, 30_000);
