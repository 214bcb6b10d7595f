/**
 * Guarantee: a call that a budget has no room for is refused before anything is sent, with a sentence that says why; what a call
 * cost counts at once and over restarts; nothing stays held when calls have ended, however they ended.
 */
import { describe, expect, it } from "vitest";
import { messagesBody, startHarness, until } from "../support/harness.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { openCall, startStage, type Reply, type Stage } from "./stage.ts";

interface BudgetRow {
  readonly scope: string;
  readonly spent_usd: string;
  readonly held_usd: string;
  readonly unresolved_usd: string;
  readonly left_usd: string;
}

const budgetsOf = async (stage: Pick<Stage, "harness">): Promise<readonly BudgetRow[]> => (await stage.harness.admin<{ budgets: BudgetRow[] }>("GET", "/api/v1/budgets")).budgets;
const atRest = (stage: Pick<Stage, "harness">): Promise<readonly BudgetRow[]> =>
  until("nothing held", async () => {
    const rows = await budgetsOf(stage);
    return rows.every(({ held_usd }) => held_usd === "0.00") ? rows : undefined;
  });
const error = (reply: Reply): { readonly type: string; readonly message: string } => reply.json<{ error: { type: string; message: string } }>().error;
/** Opus 4.8: 5 dollars a million in, 25 out. */
const dollar = { usage: { input_tokens: 150_000, output_tokens: 10_000 } } as const;

describe("a budget of the file", () => {
  it("refuses once it is used up, and says what, how much and until when", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 1, zone: Europe/Paris, contact: '#llm'}]" });
    expect((await stage.call({ behaviour: dollar })).status).toBe(200);
    const sent = stage.fake.requests.length;
    const refused = await stage.call();
    expect([refused.status, refused.headers["x-should-retry"], error(refused).type]).toEqual([429, "false", "billing_error"]);
    expect(error(refused).message).toMatch(/^This gateway has used its \w+ budget \(\$1 of \$1\), resets 1 \w{3} 00:00 Europe\/Paris\. Ask: #llm\. Ref req_/);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(stage.fake.requests.length).toBe(sent);
    expect(await atRest(stage)).toMatchObject([{ scope: "global", spent_usd: "1.00", left_usd: "0.00" }]);
    await stage.close();
  });

  it("of an organization binds its keys and no others", async () => {
    const stage = await startStage({ config: "budgets: [{scope: 'organization:acme', amount: 1}]" });
    const { key } = await stage.harness.admin<{ key: string }>("POST", "/key/generate", { organization_id: "acme" });
    expect((await stage.call({ headers: { "x-api-key": key }, behaviour: dollar })).status).toBe(200);
    expect(error(await stage.call({ headers: { "x-api-key": key } })).message).toMatch(/^Organization acme has used its/);
    expect((await stage.call()).status).toBe(200);
    await stage.close();
  });

  it("of nothing lets nothing through, and absent ones bind nobody", async () => {
    const stage = await startStage({ config: "budgets: [{scope: 'model:claude-opus-4-8', amount: 0}]" });
    expect(error(await stage.call()).message).toContain("Model claude-opus-4-8 has a");
    expect((await stage.call({ body: messagesBody({ model: "claude-haiku-4-5" }) })).status).toBe(200);
    await stage.close();
  });

  it("lets through as many parallel calls as it has room for in the worst case when it is strict, and no more", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 1, mode: strict}]" });
    const replies = await Promise.all(Array.from({ length: 40 }, () => stage.call({ body: messagesBody({ max_tokens: 4_000 }), behaviour: { usage: { output_tokens: 4_000 }, firstByteDelayMs: 50 } })));
    const served = replies.filter(({ status }) => status === 200).length;
    expect(served).toBeGreaterThan(0);
    expect(served).toBeLessThanOrEqual(10);
    expect(replies.every(({ status }) => status === 200 || status === 429)).toBe(true);
    const [row] = await atRest(stage);
    expect(Number(row!.spent_usd)).toBeLessThanOrEqual(1);
    await stage.close();
  });

  it("counts over a restart, and a call that the process died with at what was held for it", async () => {
    const fake = await startFakeAnthropic({ apiKey: "sk-ant-upstream-canary-000000000000000000" });
    const config = "budgets: [{scope: global, amount: 2}]";
    const first = await startHarness({ upstreamUrl: fake.url, config });
    const key = await first.key();
    const reply = await openCall(first.url, key, { behaviour: dollar });
    await reply.ended;
    const { spent_usd } = (await atRest({ harness: first }))[0]!;
    await first.gateway.close(0);
    const second = await startHarness({ upstreamUrl: fake.url, config, dataDir: first.dataDir });
    expect((await budgetsOf({ harness: second }))[0]).toMatchObject({ spent_usd, held_usd: "0.00" });
    await second.close();
    await first.close().catch(() => undefined);
    await fake.close();
  });
});

describe("a key's own budget", () => {
  it("binds from the next call on, counts what was spent before, and opens when it is raised", async () => {
    const stage = await startStage();
    expect((await stage.call({ behaviour: dollar })).status).toBe(200);
    await stage.harness.admin("POST", "/key/update", { key: stage.key, max_budget: 0.5, budget_duration: "30d" });
    const refused = await stage.call();
    expect([refused.status, error(refused).message]).toEqual([429, expect.stringMatching(/^Key .* has used its \w+ budget \(\$1 of \$0\.50\)/)]);
    await stage.harness.admin("POST", "/key/update", { key: stage.key, max_budget: 50 });
    expect((await stage.call()).status).toBe(200);
    await stage.close();
  });

  it("is the same for a key that was rotated", async () => {
    const stage = await startStage();
    await stage.harness.admin("POST", "/key/update", { key: stage.key, max_budget: 1 });
    expect((await stage.call({ behaviour: dollar })).status).toBe(200);
    const { key } = await stage.harness.admin<{ key: string }>("POST", "/key/regenerate", { key: stage.key });
    expect((await stage.call({ headers: { "x-api-key": key } })).status).toBe(429);
    await stage.close();
  });
});

describe("a running reply", () => {
  const stream = { body: messagesBody({ stream: true, max_tokens: 32_000 }) };

  it("is cut with one typed error when its budget is spent, and what it cost stays within the overrun", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 0.3, on_exhausted: cut}]" });
    const reply = await stage.call({ ...stream, behaviour: { textBytes: 200_000, deltaCharacters: 400, writeDelayMs: 1, usage: { input_tokens: 1_000 } } });
    expect(reply.status).toBe(200);
    expect(reply.text().match(/event: error/g)).toHaveLength(1);
    expect(reply.text()).toContain("billing_error");
    expect(reply.text()).not.toContain("message_stop");
    const [row] = await atRest(stage);
    expect(Number(row!.spent_usd)).toBeGreaterThan(0.1);
    expect(Number(row!.spent_usd)).toBeLessThanOrEqual(0.3);
    expect((await stage.rows(reply.session)).map(({ outcome, source }) => [outcome, source])).toEqual([["cut", "estimated"]]);
    await stage.close();
  });

  it("may end within the overrun where the budget says so", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 0.3}]" });
    const reply = await stage.call({ ...stream, behaviour: { textBytes: 60_000, deltaCharacters: 400, usage: { input_tokens: 1_000 } } });
    expect(reply.text()).toContain("message_stop");
    await atRest(stage);
    await stage.close();
  });

  it("gives back what was held when its client leaves, its upstream fails, or it is refused", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 5}, {scope: 'session:*', amount: 3}]" });
    const left = await stage.open({ ...stream, behaviour: { fault: { at: "first-event", does: "stall" } } });
    await until("first bytes", () => left.bytes().length > 0);
    expect((await budgetsOf(stage)).some(({ held_usd }) => held_usd !== "0.00")).toBe(true);
    left.leave();
    await stage.call({ behaviour: { status: 529 } });
    await stage.call({ behaviour: { page: "html" } });
    await stage.call({ behaviour: { status: 400, message: "no" } });
    await atRest(stage);
    await stage.close();
  });
});

describe("what a developer sees", () => {
  it("is every budget that its calls fall under, with those of a session it names, and nothing of others", async () => {
    const stage = await startStage({ config: "budgets: [{scope: global, amount: 100}, {scope: 'team:payments', amount: 50, zone: Europe/Paris}, {scope: 'team:other', amount: 5}, {scope: 'team:payments', per: member, amount: 10}, {scope: 'session:*', amount: 3, window: lifetime}, {scope: 'model:*', amount: 9}]" });
    const { key } = await stage.harness.admin<{ key: string }>("POST", "/key/generate", { team_id: "payments", user_id: "ann", max_budget: 20, budget_duration: "1mo" });
    expect((await stage.call({ headers: { "x-api-key": key }, session: "s1", behaviour: dollar })).status).toBe(200);
    await atRest(stage);
    const me = (query: string): Promise<{ budgets: readonly Record<string, unknown>[] }> => fetch(`${stage.url}/v1/me${query}`, { headers: { "x-api-key": key } }).then((reply) => reply.json() as never);
    const spent = { spent_usd: "1.00", held_usd: "0.00" };
    const found = (await me("")).budgets;
    expect(found.map(({ scope, amount_usd, spent_usd, held_usd }) => ({ scope, amount_usd, spent_usd, held_usd }))).toEqual([
      { scope: "global", amount_usd: "100.00", ...spent }, { scope: "team:payments", amount_usd: "50.00", ...spent },
      { scope: "team_user:payments/ann", amount_usd: "10.00", ...spent }, { scope: expect.stringMatching(/^key:/) as string, amount_usd: "20.00", ...spent },
    ]);
    expect(found.every(({ resets_at }) => Date.parse(String(resets_at)) > Date.now())).toBe(true);
    expect((await me("?session=s1")).budgets.at(-1)).toMatchObject({ scope: "session:s1", left_usd: "2.00", resets_at: null });
    await stage.close();
  });

  it("is the same in LiteLLM's words: spend of the window, and when it begins anew", async () => {
    const stage = await startStage({});
    const { key } = await stage.harness.admin<{ key: string }>("POST", "/key/generate", { max_budget: 20, budget_duration: "30d" });
    await stage.call({ headers: { "x-api-key": key }, behaviour: dollar });
    const info = await until("nothing held", async () => {
      const { info: found } = (await (await fetch(`${stage.url}/key/info`, { headers: { authorization: `Bearer ${key}` } })).json()) as { info: Record<string, unknown> };
      return found["x_tollgate_held"] === 0 && found["spend"] !== 0 ? found : undefined;
    });
    expect(info).toMatchObject({ spend: 1, max_budget: 20, x_tollgate_left: 19, x_tollgate_lifetime_spend: 1 });
    expect(Date.parse(String(info["budget_reset_at"]))).toBeGreaterThan(Date.now());
    await stage.close();
  });
});

it("a key spends for the projects that it may name, and is told which these are", async () => {
  const stage = await startStage({});
  const { key } = await stage.harness.admin<{ key: string }>("POST", "/key/generate", { allowed_projects: ["checkout", "search"] });
  const call = (tags: string | null, agent = "sdk"): Promise<Reply> => stage.call({ headers: { "x-api-key": key, "x-litellm-tags": tags, "user-agent": agent } });
  const served = await call("project:checkout,other");
  expect(served.status).toBe(200);
  expect((await stage.rows(served.session))[0]).toMatchObject({ project: "checkout", tags: ["other"] });
  expect((await call(null)).status).toBe(200);
  const sent = stage.fake.requests.length;
  const refused = await call("project:payroll");
  expect([refused.status, error(refused)]).toEqual([403, { type: "permission_error", message: expect.stringMatching(/^This key may not spend for the project "payroll"; its projects are checkout, search\./) as string }]);
  expect([(await call("project:payroll", "claude-cli/2.1.330")).status, stage.fake.requests.length]).toEqual([400, sent]);
  await stage.harness.admin("POST", "/key/update", { key, allowed_projects: null });
  expect((await call("project:payroll")).status).toBe(200);
  await stage.close();
});
