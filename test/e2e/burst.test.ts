/**
 * Guarantee: of a thousand calls that reach the gateway at once, a strict budget worth ten and a half of them lets at most ten through,
 * and the provider's bill is within its amount.
 */
import { expect, it } from "vitest";
import { billedNanoUsd } from "../support/bill-prices.ts";
import { billEntries } from "../support/fake-anthropic-bill.ts";
import { noteFigure } from "../support/figures.ts";
import { messagesBody, until } from "../support/harness.ts";
import { startStage } from "./stage.ts";

const calls = 1_000;
const body = messagesBody({ max_tokens: 2_000 });

/** What one call holds under a strict budget, in dollars. */
async function worstCase(): Promise<number> {
  const stage = await startStage({ config: "budgets: [{scope: global, amount: 1000, mode: strict}]" });
  const call = stage.call({ body, behaviour: { firstByteDelayMs: 400 } });
  const held = await until("a hold", async () => {
    const { budgets } = await stage.harness.admin<{ budgets: { held_usd: string }[] }>("GET", "/api/v1/budgets");
    return Number(budgets[0]?.held_usd) || undefined;
  });
  await call;
  await stage.close();
  return held;
}

it(`${calls} calls at once upon a strict budget of ten and a half get at most ten through, and cost no more than it`, async () => {
  const amount = (await worstCase()) * 10.5;
  const stage = await startStage({ config: `budgets: [{scope: global, amount: ${amount.toFixed(6)}, mode: strict}]`, fake: { isRecordingBodies: false } });
  // Each reply uses all that it may, and none ends before the last call has come.
  const behaviour = { usage: { output_tokens: 2_000 }, firstByteDelayMs: 5_000 };
  const replies = await Promise.all(Array.from({ length: calls }, () => stage.call({ body, behaviour })));
  const served = replies.filter(({ status }) => status === 200).length;
  expect(replies.filter(({ status }) => status === 429).length).toBe(calls - served);
  const bill = billEntries(stage.fake.bill());
  const billed = bill.reduce((sum, entry) => sum + billedNanoUsd(entry.billed.model, entry.billed.usage), 0n);
  expect(bill.length).toBe(served);
  expect(served).toBe(10);
  expect(Number(billed) / 1e9).toBeLessThanOrEqual(amount);
  await stage.close();
  noteFigure("burst-http", { calls, served, billedPercent: Math.round((Number(billed) / 1e9 / amount) * 1_000) / 10 });
}, 60_000);
