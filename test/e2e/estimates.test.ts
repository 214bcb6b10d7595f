/**
 * Guarantee: under a strict budget no call costs more than was held for it, whatever its prompt holds; a call that nothing bounds is
 * told what to leave out. A warm session is held at its warm price. What breaks off is booked at what it was expected to have used.
 */
import { expect, it } from "vitest";
import { messagesBody, until } from "../support/harness.ts";
import { openCall, startStage, type Reply, type Stage } from "./stage.ts";

interface Budgets {
  readonly budgets: readonly { readonly spent_usd: string; readonly held_usd: string; readonly estimated_usd: string }[];
  readonly holds: readonly { readonly held_usd: string }[];
}

const budgetsOf = (stage: Stage): Promise<Budgets> => stage.harness.admin<Budgets>("GET", "/api/v1/budgets");
const messageOf = (reply: Reply): string => reply.json<{ error: { message: string } }>().error.message;
const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "A".repeat(40) } };

it("a strict budget covers what an image of a few bytes may cost", async () => {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 0.3, mode: strict}]" });
  const body = messagesBody({ max_tokens: 100, messages: [{ role: "user", content: [image] }] });
  // 5,000 tokens of picture behind a body of a few hundred bytes.
  const replies = [];
  for (let count = 0; count < 12; count++) replies.push(await stage.call({ body, behaviour: { usage: { input_tokens: 5_000, output_tokens: 100 } } }));
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200, 429]));
  const { budgets } = await budgetsOf(stage);
  expect(Number(budgets[0]!.spent_usd)).toBeLessThanOrEqual(0.3);
  await stage.close();
});

it.each<[string, Record<string, unknown>, string]>([
  ["searches without a bound", { tools: [{ type: "web_search_20250305", name: "web_search" }] }, "set max_uses on each tool that the provider runs"],
  ["compaction", { context_management: { edits: [{ type: "compact_20260112" }] } }, "leave out advisor tools, fallbacks and compaction"],
])("a strict budget refuses %s and says what to do", async (_name, members, words) => {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 100, mode: strict}]" });
  const sent = stage.fake.requests.length;
  const reply = await stage.call({ body: messagesBody(members) });
  expect([reply.status, messageOf(reply)]).toEqual([429, expect.stringContaining(words)]);
  expect(stage.fake.requests.length).toBe(sent);
  await stage.close();
});

it("a session's next turn is held near the price of a warm cache", async () => {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 100}]" });
  const body = (turns: number): string => messagesBody({ messages: [{ role: "user", content: "x".repeat(200_000) + "y".repeat(turns * 400) }] });
  const session = "warm-session";
  await stage.call({ body: body(0), session, behaviour: { usage: { input_tokens: 10, cache_creation_input_tokens: 50_000, output_tokens: 50 } } });
  const abort = new AbortController();
  const next = openCall(stage.url, stage.key, { body: body(1), session, signal: abort.signal, headers: { "anthropic-test-behaviour": JSON.stringify({ firstByteDelayMs: 60_000 }) } });
  next.catch(() => undefined);
  const [hold] = await until("a hold", async () => {
    const { holds } = await budgetsOf(stage);
    return holds.length > 0 ? holds : undefined;
  });
  const { held_usd: held } = hold!;
  expect(hold).toMatchObject({ request_id: expect.stringMatching(/^req_/) as string, model: "claude-opus-4-8" });
  // 50,000 tokens read at $0.50 a million and at most 4,096 written at $25; cold they would be $0.25 and more.
  expect(Number(held)).toBeLessThan(0.14);
  abort.abort();
  await stage.close();
});

it("a stream that its client leaves is booked with its reported input and what had passed", async () => {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 100}]" });
  const abort = new AbortController();
  const open = await openCall(stage.url, stage.key, {
    body: messagesBody({ stream: true, max_tokens: 20_000 }), session: "left", signal: abort.signal,
    headers: { "anthropic-test-behaviour": JSON.stringify({ usage: { input_tokens: 100_000, output_tokens: 10_000 }, textBytes: 40_000, writeDelayMs: 5 }) },
  });
  await until("some text", async () => (open.bytes().length > 20_000 ? true : undefined));
  abort.abort();
  const [row] = await stage.rows("left");
  expect(row).toMatchObject({ source: "estimated", input_tokens: 100_000 });
  expect(Number(row!["output_tokens"])).toBeGreaterThan(100);
  expect(Number(row!["output_tokens"])).toBeLessThan(10_000);
  const { budgets, holds } = await until("nothing held", async () => {
    const found = await budgetsOf(stage);
    return found.holds.length === 0 ? found : undefined;
  });
  expect([Number(budgets[0]!.held_usd), holds, budgets[0]!.estimated_usd]).toEqual([0, [], budgets[0]!.spent_usd]);
  await stage.close();
});

it("a call that is left before its reply begins is booked at its expected input", async () => {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 100}]" });
  const abort = new AbortController();
  const sent = openCall(stage.url, stage.key, { body: messagesBody({ messages: [{ role: "user", content: "x".repeat(300_000) }] }), session: "early", signal: abort.signal, headers: { "anthropic-test-behaviour": JSON.stringify({ firstByteDelayMs: 60_000 }) } });
  sent.catch(() => undefined);
  await until("the request upstream", async () => stage.fake.requests.length > 0 || undefined);
  abort.abort();
  const [row] = await stage.rows("early");
  // Three bytes a token until more is known, at the price of a cache write, and no output.
  expect(row).toMatchObject({ source: "estimated", output_tokens: 0 });
  expect(Number(row!["cache_write_5m_tokens"])).toBeGreaterThan(90_000);
  expect(Number(row!["cost_usd"])).toBeGreaterThan(0.6);
  await stage.close();
});
