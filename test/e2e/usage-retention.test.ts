/**
 * Guarantee: a gateway that removes old rows answers reports and holds budgets as one that keeps them: every sum and every balance is the same
 * before, after, and after further starts, and what is no longer known is said in words.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { systemClock } from "../../src/kernel/clock.ts";
import { idFloor } from "../../src/kernel/ids.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { closingOf, openingOf } from "../conformance/store-fixtures.ts";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { startHarness, until, upstreamKey, type Harness } from "../support/harness.ts";
import { openCall } from "./stage.ts";

const dayMs = 86_400_000;
const attemptsADay = 4;
const dayCount = 100;

/** Attempts of some months, a few a day, by several of everything. */
async function writeHistory(dataDir: string, keyId: string): Promise<void> {
  const stores = await openSqliteStores({ path: join(dataDir, "tollgate.db"), sync: "normal", clock: systemClock });
  const fromMs = systemClock.now() - dayCount * dayMs;
  for (let index = 0; index < dayCount * attemptsADay; index++) {
    const openedAtMs = Math.floor(fromMs + (index * dayMs) / attemptsADay);
    const attemptId = `${idFloor("att", openedAtMs).slice(0, 14)}${String(index).padStart(16, "0")}` as `att_${string}`;
    const tags = index % 3 === 0 ? ["ci"] : [];
    await stores.books.openEntry(openingOf({ attemptId, openedAtMs, keyId, teamId: index % 2 === 0 ? "blue" : "red", tags, sessionId: `session-${index % 7}`, userId: index % 5 === 0 ? null : "ada", holdNanoUsd: nanoUsd(1_000_000n) }));
    const source = index % 29 === 0 ? "unresolved" : index % 23 === 0 ? "estimated" : "reported";
    await stores.books.closeEntry(closingOf(attemptId, { closedAtMs: openedAtMs + 1_000, source, costNanoUsd: nanoUsd(source === "unresolved" ? 0n : 10_000_000n + BigInt(index)) }));
  }
  await stores.close();
}

interface Answers {
  readonly budgets: unknown;
  readonly sums: Readonly<Record<string, unknown>>;
}

/** Everything that must stay as it was. */
async function answersOf(harness: Harness): Promise<Answers> {
  const { budgets } = await harness.admin<{ budgets: readonly Record<string, unknown>[] }>("GET", "/api/v1/budgets");
  const sums: Record<string, unknown> = {};
  for (const by of ["day", "team", "model", "key", "user", "project", "provider", "tag"]) {
    const { groups, total } = await harness.admin("GET", `/api/v1/usage?by=${by}`);
    sums[by] = { groups, total };
  }
  return { budgets, sums };
}

it("has the same balances and sums before it prunes, afterwards, and after another start", { timeout: 60_000 }, async () => {
  const fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const budgets = `budgets:
  - {scope: global, amount: 1000}
  - {scope: global, amount: 1000, window: lifetime, id: ever}
  - {scope: "team:*", amount: 1000, rolling: 30d}
  - {scope: "tag:ci", amount: 1000, window: lifetime, mode: strict}
  - {scope: "session:*", amount: 0.2, window: lifetime}
`;
  const first = await startHarness({ upstreamUrl: fake.url, config: budgets });
  const key = await first.key({ max_budget: 1_000 });
  const own = await openCall(first.url, key, {});
  await own.ended;
  const id = await until("its row", async () => (await first.rows()).find(({ state }) => state === "closed")?.["key_id"] as string | undefined);
  await first.gateway.close(0);
  await writeHistory(first.dataDir, id);

  const keeping = await startHarness({ upstreamUrl: fake.url, config: budgets, dataDir: first.dataDir });
  const before = await answersOf(keeping);
  const exact = await keeping.admin("GET", `/api/v1/usage?by=team&since=${new Date(systemClock.now() - 20 * dayMs).toISOString()}`);
  await keeping.gateway.close(0);

  const config = `${budgets}store: {usage_retention: 7d}\n`;
  const pruning = await startHarness({ upstreamUrl: fake.url, config, dataDir: first.dataDir });
  const pruned = await until("old rows are gone", async () => {
    const answer = await pruning.admin<{ rows: readonly { state: string; source: string; opened_at: string }[]; pruned_before: string | null; notes: readonly string[] }>("GET", "/api/v1/usage?by=session&rows=1000");
    return answer.rows.length < 40 * attemptsADay && answer;
  });
  // The sliding thirty days are still needed, row by row, with their first day and a day for the clock.
  const ageDays = (openedAt: string): number => (systemClock.now() - Date.parse(openedAt)) / dayMs;
  const young = pruned.rows.filter(({ opened_at }) => ageDays(opened_at) < 31);
  expect(young.length).toBeGreaterThanOrEqual(31 * attemptsADay - 1);
  const old = pruned.rows.filter(({ opened_at }) => ageDays(opened_at) > 33);
  expect(old.length).toBeGreaterThan(10);
  expect(old.filter(({ state, source }) => state !== "unresolved" && source !== "estimated")).toEqual([]);
  expect(pruned.notes).toEqual([expect.stringMatching(/^Which session and agent attempts before \d{4}-\d\d-\d\d were of is no longer known/), expect.stringMatching(/^Single attempts before /)]);
  expect(await answersOf(pruning)).toEqual(before);
  expect((await pruning.admin("GET", `/api/v1/usage?by=team&since=${String(exact["since"])}`))["groups"]).toEqual(exact["groups"]);
  const wide = await pruning.admin<{ since: string; notes: readonly string[] }>("GET", `/api/v1/usage?by=team&since=${new Date(Math.floor(systemClock.now() / dayMs - 60) * dayMs + 1_000).toISOString()}`);
  expect(wide.since).toMatch(/T00:00:00\.000Z$/);
  expect(wide.notes).toEqual([expect.stringContaining("sums of whole days (UTC)")]);
  await pruning.gateway.close(0);

  const again = await startHarness({ upstreamUrl: fake.url, config, dataDir: first.dataDir });
  expect(await answersOf(again)).toEqual(before);
  const refused = await openCall(again.url, key, { session: "session-3" });
  await refused.ended;
  expect([refused.status, refused.json<{ error: { message: string } }>().error.message]).toEqual([429, expect.stringMatching(/^This session has used its lifetime budget \(\$0\.55 of \$0\.20\)/)]);
  for (const each of [first, keeping, pruning, again]) await each.close().catch(() => undefined);
  rmSync(first.dataDir, { recursive: true, force: true });
  await fake.close();
});
