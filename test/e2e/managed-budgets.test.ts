/**
 * Guarantee: a budget that is set while the gateway runs binds from the next call on and counts what was spent before; it is there after a
 * restart, until it is removed; and every change is in the audit log.
 */
import { expect, it } from "vitest";
import { adminKey, messagesBody, startHarness } from "../support/harness.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { openCall, startStage, type Reply, type Stage } from "./stage.ts";

const dollar = { usage: { input_tokens: 150_000, output_tokens: 10_000 } } as const;
const messageOf = (reply: Reply): string => reply.json<{ error: { message: string } }>().error.message;
const post = async (stage: Pick<Stage, "harness">, path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> => {
  const reply = await fetch(`${stage.harness.url}${path}`, { method: "POST", headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" }, body: JSON.stringify(body) });
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
};

it("binds at once with what was spent before, is raised, and frees when it is removed", async () => {
  const stage = await startStage({});
  expect((await stage.call({ behaviour: dollar })).status).toBe(200);
  const set = await post(stage, "/api/v1/budgets", { scope: "model:claude-opus-4-8", amount: 0.5, zone: "Europe/Paris", contact: "#llm" });
  expect(set).toMatchObject({ status: 200, body: { id: "model:claude-opus-4-8 pool month/Europe/Paris", scope: "model:claude-opus-4-8", amount: 0.5 } });
  expect(messageOf(await stage.call())).toMatch(/^Model claude-opus-4-8 has used its \w+ budget \(\$1 of \$0\.50\), resets 1 \w{3} 00:00 Europe\/Paris\./);
  expect((await stage.call({ body: messagesBody({ model: "claude-haiku-4-5" }) })).status).toBe(200);
  expect((await post(stage, "/api/v1/budgets", { scope: "model:claude-opus-4-8", amount: "50", zone: "Europe/Paris" })).status).toBe(200);
  expect((await stage.call()).status).toBe(200);
  await post(stage, "/api/v1/budgets", { scope: "model:claude-opus-4-8", amount: 0, zone: "Europe/Paris" });
  expect((await stage.call()).status).toBe(429);
  expect(await post(stage, "/api/v1/budgets/delete", { id: set.body["id"] })).toMatchObject({ status: 200, body: { deleted: set.body["id"] } });
  expect((await stage.call()).status).toBe(200);
  await stage.close();
});

it("is there after a restart, beside those of the file and of keys", async () => {
  const fake = await startFakeAnthropic({ apiKey: "sk-ant-upstream-canary-000000000000000000" });
  const config = "budgets: [{scope: global, amount: 100}]";
  const first = await startHarness({ upstreamUrl: fake.url, config });
  const key = await first.key();
  await post({ harness: first }, "/api/v1/budgets", { scope: "model:claude-opus-4-8", amount: 1, window: "lifetime" });
  await (await openCall(first.url, key, { behaviour: dollar })).ended;
  await first.gateway.close(0);
  const second = await startHarness({ upstreamUrl: fake.url, config, dataDir: first.dataDir });
  const reply = await openCall(second.url, key, {});
  await reply.ended;
  expect([reply.status, reply.json<{ error: { message: string } }>().error.message]).toEqual([429, expect.stringMatching(/^Model claude-opus-4-8 has used its lifetime budget \(\$1 of \$1\)/)]);
  const { budgets } = await second.admin<{ budgets: readonly { scope: string; spent_usd: string }[] }>("GET", "/api/v1/budgets");
  expect(budgets.map(({ scope, spent_usd }) => [scope, spent_usd])).toEqual([["model:claude-opus-4-8", "1.00"], ["global", "1.00"]]);
  await second.close();
  await first.close().catch(() => undefined);
  await fake.close();
});

it.each<[string, unknown, number, RegExp]>([
  ["an unknown field", { scope: "global", amount: 1, amunt: 2 }, 400, /amunt: there is no such field/],
  ["a scope that is none", { scope: "temas:x", amount: 1 }, 400, /scope: must be `global` or begin with/],
  ["no amount", { scope: "team:x" }, 400, /amount:/],
  ["a window that is none", { scope: "team:x", amount: 1, window: "fortnight" }, 400, /window:/],
  ["each one of a kind", { scope: "team:*", amount: 1 }, 400, /configuration file/],
  ["members", { scope: "team:x", per: "member", amount: 1 }, 400, /configuration file/],
  ["a key", { scope: "key:key_1", amount: 1 }, 400, /max_budget/],
  ["a scope of the file", { scope: "team:filed", amount: 1 }, 409, /configuration file \S+tollgate\.yaml has a budget for this scope/],
  ["a model that nothing serves", { scope: "team:x", amount: 1, downgrade: "gpt-6" }, 400, /downgrade: nothing serves `gpt-6`/],
])("refuses %s, in words", async (_what, body, status, words) => {
  const stage = await startStage({ config: "budgets: [{scope: 'team:filed', amount: 10}]" });
  const reply = await post(stage, "/api/v1/budgets", body);
  expect([reply.status, JSON.stringify(reply.body)]).toEqual([status, expect.stringMatching(words)]);
  expect((await stage.harness.admin<{ budgets: unknown[] }>("GET", "/api/v1/budgets/definitions")).budgets).toEqual([]);
  await stage.close();
});

it("rests where the configuration has come to have a budget for its scope, and counts again when that is gone", async () => {
  const fake = await startFakeAnthropic({ apiKey: "sk-ant-upstream-canary-000000000000000000" });
  const scope = "model:claude-opus-4-8";
  const first = await startHarness({ upstreamUrl: fake.url });
  const key = await first.key();
  await first.admin("POST", "/api/v1/budgets", { scope, amount: 0 });
  await first.gateway.close(0);
  const statusUnder = async (config: string): Promise<number> => {
    const harness = await startHarness({ upstreamUrl: fake.url, config, dataDir: first.dataDir });
    const reply = await openCall(harness.url, key, {});
    await reply.ended;
    const { budgets } = await harness.admin<{ budgets: unknown[] }>("GET", "/api/v1/budgets/definitions");
    expect(budgets).toHaveLength(1);
    await harness.gateway.close(0);
    return reply.status;
  };
  expect(await statusUnder(`budgets: [{scope: '${scope}', amount: 100}]`)).toBe(200);
  expect(await statusUnder("")).toBe(429);
  await first.close().catch(() => undefined);
  await fake.close();
});
