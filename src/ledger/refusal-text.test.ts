// Guarantee: who is refused reads which budget it was, how much of it is left, when it opens, and what else is there to do.
import { describe, expect, it } from "vitest";
import type { NanoUsd } from "../kernel/money.ts";
import { defaultOverrun, type Budget } from "./budget.ts";
import type { Shortage } from "./ledger.ts";
import { dollars, refusalText, secondsUntilRoom } from "./refusal-text.ts";
import type { Scope } from "./scope.ts";
import { windowAt } from "./window.ts";
import { parseWindow } from "./window-words.ts";

const nowMs = Date.UTC(2026, 10, 23, 12);
const usd = (amount: number): NanoUsd => BigInt(Math.round(amount * 1e9)) as NanoUsd;

function shortage(scope: Scope, amount: number, settled: number, held: number, needed: number | undefined, rest: { readonly words?: string; readonly zone?: string; readonly contact?: string } = {}): Shortage {
  const parsed = parseWindow({ window: rest.words ?? "month", ...(rest.zone === undefined ? {} : { zone: rest.zone }) });
  if ("fault" in parsed) throw new Error(parsed.fault);
  const budget: Budget = {
    id: scope, scope, per: "pool", amountNanoUsd: usd(amount), window: parsed.window, mode: "incremental", onExhausted: "finish",
    overrunMaxNanoUsd: defaultOverrun(usd(amount)), downgradeModel: undefined, warnAtPercent: [], contact: rest.contact,
  };
  return { budget, scope, settled: usd(settled), held: usd(held), needed: needed === undefined ? "max_tokens" : usd(needed), endMs: windowAt(parsed.window, nowMs).endMs };
}

const text = (shortages: readonly Shortage[], openModels: readonly string[] = []): string =>
  refusalText(shortages, { nowMs, nameOf: (scope) => (scope === "team:payments" ? "Payments" : undefined), openModels, requestId: "req_1" });

describe("the sentence", () => {
  it("tells a budget that is used up", () => {
    expect(text([shortage("team:payments", 4_000, 4_000.12, 0, 0.2, { zone: "Europe/Paris", contact: "#llm-platform" })], ["claude-haiku-5-5"])).toBe(
      "Team Payments has used its November budget ($4,000.12 of $4,000), resets 1 Dec 00:00 Europe/Paris. Still open to you: claude-haiku-5-5. Ask: #llm-platform. Ref req_1",
    );
  });

  it("tells both numbers where some is left", () => {
    expect(text([shortage("key:key_1", 10, 9.1, 0.5, 0.62)])).toBe("Key key_1 has $0.40 left of its November budget of $10, with $0.50 held for calls that run, and this call needs about $0.62, resets 1 Dec 00:00 UTC. Ref req_1");
  });

  it("names the one that is shut longest, and the others behind it", () => {
    expect(text([shortage("session:s", 1, 1, 0, 1, { words: "day" }), shortage("user:ann", 5, 5, 0, 1, { words: "week" })])).toBe(
      "User ann has used its weekly budget ($5 of $5), resets 30 Nov 00:00 UTC. Without room as well: This session, resets 24 Nov 00:00 UTC. Ref req_1",
    );
  });

  it("tells a budget of nothing, and one that needs an upper bound", () => {
    expect(text([shortage("model:claude-opus", 0, 0, 0, 1, { words: "lifetime" })])).toBe("Model claude-opus has a lifetime budget of $0. Ref req_1");
    expect(text([shortage("global", 9, 0, 0, undefined, { words: "lifetime" })])).toContain("This gateway's lifetime budget lets through only calls whose cost has an upper bound: set max_tokens");
  });
});

describe("the wait", () => {
  it("is until the longest one ends; for one that never does there is none", () => {
    expect(secondsUntilRoom([shortage("user:a", 1, 1, 0, 1, { words: "day" }), shortage("user:b", 1, 1, 0, 1, { words: "week" })], nowMs)).toBe(6.5 * 86_400);
    expect(secondsUntilRoom([shortage("user:a", 1, 1, 0, 1, { words: "lifetime" })], nowMs)).toBeUndefined();
  });
});

it.each([
  [0, "$0"], [0.004, "$0.0040"], [0.01, "$0.01"], [1234.5, "$1,234.50"], [1_000_000, "$1,000,000"],
])("%d dollars read %s", (amount, words) => {
  expect(dollars(usd(amount))).toBe(words);
});
