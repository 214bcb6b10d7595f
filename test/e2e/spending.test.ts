/**
 * Guarantee: money counts where the configuration says, and nowhere else: a budget without room serves the model it names instead;
 * further targets keep within their price; what callers never saw, and what their own logins pay, is told apart; runs have caps of their
 * own; and what is charged is the provider's bill with the team's margin. A restart changes none of it.
 */
import { describe, expect, it } from "vitest";
import { billedNanoUsd } from "../support/bill-prices.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { billEntries } from "../support/fake-anthropic-bill.ts";
import type { Behaviour } from "../support/fake-anthropic-types.ts";
import { adminKey, messagesBody, startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { openCall, startStage, type CallOptions, type ErrorBody, type Reply, type Row, type Stage } from "./stage.ts";

interface BudgetRow {
  readonly scope: string;
  readonly spent_usd: string;
  readonly held_usd: string;
}

/** Opus 4.8: 5 dollars a million in, 25 out. */
const dollar: Behaviour = { usage: { input_tokens: 150_000, output_tokens: 10_000 } };
const opus = "claude-opus-4-8";
const haiku = "claude-haiku-4-5";

const message = (reply: Reply): string => reply.json<ErrorBody>().error.message;
/** Spent by scope, once nothing is held. */
const spentOf = (harness: Pick<Harness, "admin">): Promise<Readonly<Record<string, string>>> =>
  until("nothing held", async () => {
    const { budgets } = await harness.admin<{ budgets: BudgetRow[] }>("GET", "/api/v1/budgets");
    return budgets.every(({ held_usd }) => held_usd === "0.00") ? Object.fromEntries(budgets.map(({ scope, spent_usd }) => [scope, spent_usd])) : undefined;
  });
const totalOf = async (harness: Pick<Harness, "admin">): Promise<Row> => (await harness.admin<{ total: Row }>("GET", "/api/v1/usage?by=key")).total;

describe("a budget that names another model", () => {
  const config = `budgets: [{scope: "model:${opus}", amount: 1, downgrade: ${haiku}, window: lifetime}, {scope: "model:${haiku}", amount: 0.01, downgrade: claude-sonnet-4-5, window: lifetime}]`;

  it("serves that model once it has no room, tells so, and books what was asked and what served", async () => {
    const stage = await startStage({ config });
    expect((await stage.call({ behaviour: dollar })).headers).not.toHaveProperty("x-tollgate-downgraded-from");
    for (const path of ["/v1/messages", "/v1/messages?beta=true"]) {
      const reply = await stage.call({ path });
      expect([reply.status, reply.headers["x-tollgate-downgraded-from"], reply.json<{ model: string }>().model]).toEqual([200, opus, haiku]);
      expect(JSON.parse(stage.received(reply.session).body.toString())).toMatchObject({ model: haiku });
      expect(await stage.rows(reply.session)).toMatchObject([{ requested_model: opus, model: haiku, upstream_model: haiku, served_model: haiku }]);
    }
    const streamed = await stage.call({ body: messagesBody({ stream: true }) });
    expect([streamed.status, streamed.headers["x-tollgate-downgraded-from"]]).toEqual([200, opus]);
    expect(streamed.text()).toContain("message_stop");
    await stage.close();
  });

  it("is told to a cloud's own client in the same way", async () => {
    const stage = await startStage({ config });
    await stage.call({ behaviour: dollar });
    const reply = await stage.call({ path: "/bedrock/model/us.anthropic.claude-opus-4-8/invoke", body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 64, messages: [{ role: "user", content: "Hello" }] }) });
    expect([reply.status, reply.headers["x-tollgate-downgraded-from"], reply.json<{ model: string }>().model]).toEqual([200, "us.anthropic.claude-opus-4-8", haiku]);
    await stage.close();
  });

  it("does so once, for keys that may use it, and not for counting", async () => {
    const stage = await startStage({ config });
    await stage.call({ behaviour: dollar });
    const opusOnly = await stage.harness.key({ models: [opus] });
    const refused = await stage.call({ headers: { "x-api-key": opusOnly } });
    expect([refused.status, message(refused)]).toEqual([429, expect.stringMatching(/^Model claude-opus-4-8 has used its/)]);
    const counted = await stage.call({ path: "/v1/messages/count_tokens", body: JSON.stringify({ model: opus, messages: [{ role: "user", content: "x" }] }) });
    expect(counted.status).toBe(200);
    expect(JSON.parse(stage.received(counted.session).body.toString())).toMatchObject({ model: opus });
    await stage.call({ body: messagesBody({ model: haiku }), behaviour: { usage: { input_tokens: 10_000, output_tokens: 0 } } });
    const both = await stage.call();
    expect([both.status, message(both)]).toEqual([429, expect.stringMatching(/^Model claude-opus-4-8 has used its/)]);
    await stage.close();
  });
});

/** A gateway with two places for one model, each with its own fake. */
interface Places {
  readonly stage: Stage;
  readonly second: FakeAnthropic;
  readonly file: string;
  readonly close: () => Promise<void>;
}

async function twoPlaces(config: string, secondModel = opus): Promise<Places> {
  const secondKey = "sk-ant-second-canary-0000000000000000";
  const second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  const models = `models: [{name: claude-two, targets: [{provider: anthropic, model: ${opus}, id: first}, {provider: second, model: ${secondModel}, id: second}]}]`;
  const stage = await startStage({ config, models, providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}` });
  return {
    stage,
    second,
    file: [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      `providers: {anthropic: {kind: anthropic, base_url: "${stage.fake.url}", api_key: "${upstreamKey}"}, second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}}`,
      models,
      "logging: {level: silent}",
      config,
    ].join("\n"),
    async close() {
      await stage.close().catch(() => undefined);
      await second.close();
    },
  };
}

describe("failover_price_max", () => {
  const call: CallOptions = { body: messagesBody({ model: "claude-two" }) };

  it.each([
    ["a target that is dearer than that is left out", 2, "claude-opus-4-1", 529],
    ["one that is not serves", 3.5, "claude-opus-4-1", 200],
    ["one that is cheaper serves", 1, haiku, 200],
  ])("%s", async (_what, factor, model, status) => {
    const { stage, second, close } = await twoPlaces(`spending: {failover_price_max: ${factor}}`, model);
    stage.fake.setDefault({ status: 529 });
    const reply = await stage.call(call);
    expect([reply.status, second.requests.length]).toEqual([status, status === 200 ? 1 : 0]);
    await close();
  });

  it("holds for a target that has room where the first has none", async () => {
    const { stage, second, close } = await twoPlaces("spending: {failover_price_max: 1.5}\nbudgets: [{scope: 'target:first', amount: 0}]", "claude-opus-4-1");
    const refused = await stage.call(call);
    expect([refused.status, message(refused)]).toEqual([429, expect.stringMatching(/^Target first has a/)]);
    expect(second.requests).toHaveLength(0);
    await close();
  });
});

describe("an attempt that its caller never saw", () => {
  const budgets = "budgets: [{scope: global, amount: 50}, {scope: 'key:*', amount: 50}, {scope: 'target:*', amount: 50}, {scope: 'model:*', amount: 50}]";

  it.each([
    ["is the platform's", "", ["global", "target:first"]],
    ["is the caller's where the operator says so", "spending: {charge_wasted: caller}\n", ["global", "target:first", "key", "model:claude-two"]],
  ])("%s, over a restart too, and shown apart", async (_what, spending, scopes) => {
    const { stage, second, file, close } = await twoPlaces(`${spending}${budgets}`);
    stage.fake.setDefault({ page: "html" });
    const reply = await stage.call({ body: messagesBody({ model: "claude-two" }) });
    expect(reply.status).toBe(200);
    const [first, served] = (await stage.rows(reply.session, 2)).toSorted((a, b) => Number(a["ordinal"]) - Number(b["ordinal"]));
    expect(first).toMatchObject({ is_wasted: true, payer: spending === "" ? "platform" : "caller", source: "estimated" });
    expect(served).toMatchObject({ is_wasted: false, payer: "caller" });
    const [wasted, paid] = [Number(first!["charge_usd"]), Number(served!["charge_usd"])];
    expect(wasted).toBeGreaterThan(0);
    const spent = await spentOf(stage.harness);
    const amounts = new Map(Object.entries(spent).map(([scope, amount]) => [scope.startsWith("key:") ? "key" : scope, Number(amount)]));
    for (const scope of ["global", "key", "model:claude-two"]) expect(amounts.get(scope)).toBeCloseTo(paid + (scopes.includes(scope) ? wasted : 0), 9);
    expect(amounts.get("target:first")).toBeCloseTo(wasted, 9);
    const total = await totalOf(stage.harness);
    expect(Number(total["charge_usd"])).toBeCloseTo(wasted + paid, 9);
    expect(Number(total["wasted_usd"])).toBeCloseTo(wasted, 9);
    expect(billEntries(second.bill())).toHaveLength(1);
    await stage.harness.gateway.close(0);
    const again = await startHarness({ upstreamUrl: stage.fake.url, file, dataDir: stage.harness.dataDir });
    expect(await spentOf(again)).toEqual(spent);
    await again.close();
    await close();
  });

  it("is none where no other is tried: the caller's own failure counts for the caller", async () => {
    const stage = await startStage({ config: "budgets: [{scope: 'key:*', amount: 50}]" });
    const reply = await stage.call({ behaviour: { page: "html" } });
    expect(reply.status).toBeGreaterThanOrEqual(500);
    expect(await stage.rows(reply.session)).toMatchObject([{ is_wasted: false, payer: "caller", source: "estimated" }]);
    expect(Number(Object.values(await spentOf(stage.harness))[0])).toBeGreaterThan(0);
    await stage.close();
  });
});

describe("a user's budget", () => {
  it.each([
    ["all", 429],
    ["personal_keys", 200],
  ])("under %s answers a key with a team with %i", async (userBudget, status) => {
    const stage = await startStage({ config: `spending: {user_budget: ${userBudget}}\nbudgets: [{scope: 'user:ann', amount: 1}]` });
    const personal = await stage.harness.key({ user_id: "ann" });
    const ofTeam = await stage.harness.key({ user_id: "ann", team_id: "payments" });
    await stage.call({ headers: { "x-api-key": personal }, behaviour: dollar });
    expect((await stage.call({ headers: { "x-api-key": personal } })).status).toBe(429);
    expect((await stage.call({ headers: { "x-api-key": ofTeam } })).status).toBe(status);
    await stage.close();
  });
});

describe("a model without a price", () => {
  it.each([
    ["refuse", 400],
    ["warn", 200],
    ["free", 200],
  ])("under a budget and %s is answered with %i", async (unpriced, status) => {
    const stage = await startStage({ config: `spending: {unpriced: ${unpriced}}\nbudgets: [{scope: global, amount: 1, mode: strict}]`, models: "models: [{name: mystery-1, provider: anthropic}]", fake: { models: ["mystery-1"] } });
    const reply = await stage.call({ body: messagesBody({ model: "mystery-1" }) });
    expect(reply.status).toBe(status);
    if (status === 200) expect(await stage.rows(reply.session)).toMatchObject([{ is_unpriced: true, charge_usd: "0.00" }]);
    await stage.close();
  });
});

describe("a caller's own login", () => {
  const login = "sk-ant-oat01-canary-of-a-client-000000000000";
  const oauth = { authorization: `Bearer ${login}`, "anthropic-beta": "oauth-2025-04-20" };

  it.each([
    ["is outside caps", "", "0.00"],
    ["is within them where the operator says so", "spending: {count_client_credentials: true, margin: 50}\n", "1.00"],
  ])("%s, and what it would have cost is notional in any case", async (_what, spending, spent) => {
    const own = await startFakeAnthropic({ authToken: login, forbiddenSecrets: [upstreamKey, adminKey] });
    const file = [
      "listen: {host: 127.0.0.1, port: 0}",
      `admin: {key: "${adminKey}"}`,
      `providers: {own: {kind: anthropic, base_url: "${own.url}", api_key: "sk-ant-unused-canary-000000000000"}}`,
      `models: [{name: "claude-*", provider: own, credential: client}]`,
      "logging: {level: silent}",
      `${spending}budgets: [{scope: global, amount: 10}]`,
    ].join("\n");
    const first = await startHarness({ upstreamUrl: own.url, file });
    const key = await first.key();
    const reply = await openCall(first.url, key, { headers: oauth, behaviour: dollar });
    await reply.ended;
    expect(reply.status).toBe(200);
    const [row] = await until("the row", async () => (await first.rows()).filter(({ closed_at }) => closed_at !== null).slice(0, 1));
    expect(row).toMatchObject({ is_notional: true, payer: spent === "1.00" ? "caller" : "client", cost_usd: "1.00", charge_usd: "1.00" });
    expect(await totalOf(first)).toMatchObject({ attempts: 1, cost_usd: "0.00", charge_usd: "0.00", reported_usd: "0.00", notional_usd: "1.00" });
    expect((await spentOf(first))["global"] ?? "0.00").toBe(spent);
    await first.gateway.close(0);
    const again = await startHarness({ upstreamUrl: own.url, file, dataDir: first.dataDir });
    expect((await spentOf(again))["global"] ?? "0.00").toBe(spent);
    await again.close();
    await first.close().catch(() => undefined);
    await own.close();
  });
});

describe("a key's budget for each run", () => {
  it("ends the run that has used it and no other, also after a restart, and asks for the run's name", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const first = await startHarness({ upstreamUrl: fake.url });
    const key = await first.key({ run_budget_usd: 1 });
    const call = async (url: string, session: string, options: CallOptions = {}): Promise<Reply> => {
      const reply = await openCall(url, key, { session, ...options });
      return { ...reply, isComplete: await reply.ended };
    };
    expect((await call(first.url, "run-a", { behaviour: dollar })).status).toBe(200);
    const refused = await call(first.url, "run-a");
    expect([refused.status, message(refused)]).toEqual([429, expect.stringMatching(/^This run has used its .* \(\$1 of \$1\)/)]);
    expect((await call(first.url, "run-b")).status).toBe(200);
    expect(message(await call(first.url, "", { headers: { "x-claude-code-session-id": null } }))).toContain("send x-claude-code-session-id");
    await first.gateway.close(0);
    const again = await startHarness({ upstreamUrl: fake.url, dataDir: first.dataDir });
    expect((await call(again.url, "run-a")).status).toBe(429);
    expect((await call(again.url, "run-b")).status).toBe(200);
    await again.admin("POST", "/key/update", { key, metadata: { run_budget_usd: "2" } });
    expect((await again.admin<{ info: Row }>("GET", `/key/info?key=${key}`)).info).toMatchObject({ run_budget_usd: 2 });
    expect((await call(again.url, "run-a")).status).toBe(200);
    await again.admin("POST", "/key/update", { key, run_budget_usd: null });
    expect((await call(again.url, "run-a", { behaviour: dollar })).status).toBe(200);
    await again.close();
    await first.close().catch(() => undefined);
    await fake.close();
  });
});

describe("a team's margin", () => {
  it("is in what is charged, capped and shown, and not in what the provider's bill is held against", async () => {
    const stage = await startStage({ config: "spending: {margin: 10, margins: {payments: 50}}\nbudgets: [{scope: 'key:*', amount: 3}]" });
    const key = await stage.harness.key({ team_id: "payments" });
    const reply = await stage.call({ headers: { "x-api-key": key }, behaviour: dollar });
    expect(reply.headers["x-litellm-response-cost"]).toBe("1.5");
    const other = await stage.call({ behaviour: dollar });
    expect(other.headers["x-litellm-response-cost"]).toBe("1.1");
    expect(await stage.rows(reply.session)).toMatchObject([{ cost_usd: "1.00", charge_usd: "1.50" }]);
    expect(Object.values(await spentOf(stage.harness)).toSorted()).toEqual(["1.10", "1.50"]);
    const total = await totalOf(stage.harness);
    const billed = billEntries(stage.fake.bill()).reduce((sum, { billed: { model, usage } }) => sum + billedNanoUsd(model, usage), 0n);
    expect(total).toMatchObject({ cost_usd: (Number(billed) / 1e9).toFixed(2), charge_usd: "2.60", reported_usd: "2.60" });
    await stage.call({ headers: { "x-api-key": key }, behaviour: dollar });
    expect(message(await stage.call({ headers: { "x-api-key": key } }))).toContain("($3 of $3)");
    await stage.close();
  });
});
