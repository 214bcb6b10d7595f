/**
 * Guarantee: with `check_interval` a place that is down is known before a caller's request finds it out, and one that is back is tried
 * soon, by counts of tokens alone: no call that is paid for is made, and the ledger has no row of it.
 */
import { expect, it } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { adminKey, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { startStage } from "./stage.ts";

it("opens a circuit and lets it be tried again, for nothing", async () => {
  const secondKey = "sk-ant-second-canary-0000000000000000";
  const second = await startFakeAnthropic({ apiKey: secondKey, forbiddenSecrets: [upstreamKey, adminKey] });
  const stage = await startStage({
    config: "routing: {check_interval: 1s, circuit: {failures: 1, cooldown: 10m}}",
    providers: `second: {kind: anthropic, base_url: "${second.url}", api_key: "${secondKey}"}`,
    models: `models:
  - {name: claude-pair, targets: [{provider: anthropic, model: claude-opus-4-8, id: first, headers: {x-operator: "yes"}}, {provider: second, model: claude-opus-4-8, id: second}]}
  - {name: "claude-any-*", provider: anthropic}`,
  });
  stage.forbid(secondKey);
  const counts = (): number => stage.fake.requests.filter(({ url }) => url.includes("count_tokens")).length;
  const served = async (): Promise<string | undefined> => (await stage.call({ body: messagesBody({ model: "claude-pair" }) })).headers["x-litellm-model-id"];
  stage.fake.scriptOther(() => ({ status: 529 }));
  await until("a check", () => counts() > 0);
  await until("the circuit to open", async () => (await served()) === "second");
  expect(stage.fake.requests.filter(({ url }) => url.includes("count_tokens")).map(({ headers }) => [headers["x-operator"], headers["authorization"] ?? headers["x-api-key"]])).toContainEqual(["yes", upstreamKey]);
  stage.fake.scriptOther(() => ({}));
  await until("the place to be tried again", async () => (await served()) === "first");
  // A place that refuses the request says nothing of how it is.
  const before = counts();
  stage.fake.scriptOther(() => ({ status: 400 }));
  await until("another check", () => counts() > before + 1);
  expect(await served()).toBe("first");
  const messages = [...stage.fake.requests, ...second.requests].filter(({ url }) => !url.includes("count_tokens")).length;
  await until("every call to be in the ledger", async () => (await stage.harness.rows()).length === messages);
  await stage.close();
  await second.close();
}, 30_000);
