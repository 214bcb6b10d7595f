/** What every store must do with budgets, shared terms of keys and warnings. A store's own test file calls `budgetsSuite`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KeyTerms } from "../../src/identity/key-terms.ts";
import { newId } from "../../src/kernel/ids.ts";
import type { StoredBudget } from "../../src/ledger/budget-store.ts";
import type { BudgetWarning } from "../../src/ledger/warnings.ts";
import type { Stores } from "../../src/store/stores.ts";
import { auditOf, noonMs } from "./store-fixtures.ts";
import type { StoreSuiteOptions } from "./store.suite.ts";

const unavailable = { code: "gateway_store_unavailable" };

const budgetOf = (members: Partial<StoredBudget> = {}): StoredBudget => ({
  id: "team:payments pool month/UTC", scope: "team:payments", definition: { scope: "team:payments", amount: "0.1", contact: "#ünïcode", warn_at: [50, 80], fail_open: { share: 1, for: "5m" } }, createdAtMs: noonMs, updatedAtMs: noonMs, ...members,
});
const termsOf = (members: Partial<KeyTerms> = {}): KeyTerms => ({
  id: "gold", maxBudgetUsd: "12.50", softBudgetUsd: "10", budgetDuration: "30d", modelBudgets: { claude: { maxBudgetUsd: "4", budgetDuration: "1d" } }, rpmLimit: 60, tpmLimit: 100_000, maxParallelRequests: 0, createdAtMs: noonMs, createdBy: "admin", updatedAtMs: noonMs, updatedBy: "admin", ...members,
});
const warningOf = (id: string, members: Partial<BudgetWarning> = {}): BudgetWarning => ({
  id, atMs: noonMs, isNewAfterMs: 0, event: { type: "budget.threshold_crossed", created_at: "2026-03-01T12:00:00.000Z", budget_id: "b", scope: "global", window: "March", threshold_percent: 75, spent_usd: "75.00", amount_usd: "100.00", resets_at: null }, ...members,
});

/**
 * @param name of the store
 * @param open opens the store that lives in a folder, on the system's clock; called again for the same folder after `close`
 */
export function budgetsSuite<Opened extends Stores>(name: string, open: (folder: string) => Promise<Opened>, { fill, free }: Pick<StoreSuiteOptions<Opened>, "fill" | "free">): void {
  let folder = "";
  let stores: Opened;
  const reopen = async (): Promise<void> => {
    await stores.close();
    stores = await open(folder);
  };
  const auditCount = async (): Promise<number> => (await stores.audit.list({ limit: 100 })).length;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "tollgate-store-"));
    stores = await open(folder);
  });
  afterEach(async () => {
    await stores.close();
    rmSync(folder, { recursive: true });
  });

  describe(`${name}: budgets and terms`, () => {
    it("are there as they were written, replaced as a whole and gone when removed, after opening the store again, each change with its audit record", async () => {
      await stores.budgets.put(budgetOf(), auditOf({ id: newId("aud", noonMs), action: "budget.set" }));
      await stores.budgets.put(budgetOf({ id: "other", scope: "global" }), auditOf({ id: newId("aud", noonMs) }));
      await stores.keyTerms.put(termsOf(), auditOf({ id: newId("aud", noonMs), action: "key_terms.set" }));
      await stores.keyTerms.put(termsOf({ id: "bare", maxBudgetUsd: null, softBudgetUsd: null, budgetDuration: null, modelBudgets: {}, rpmLimit: null, tpmLimit: null, maxParallelRequests: null }), auditOf({ id: newId("aud", noonMs) }));
      await reopen();
      expect(await stores.budgets.load()).toEqual([budgetOf({ id: "other", scope: "global" }), budgetOf()]);
      expect(await stores.keyTerms.load()).toEqual([termsOf({ id: "bare", maxBudgetUsd: null, softBudgetUsd: null, budgetDuration: null, modelBudgets: {}, rpmLimit: null, tpmLimit: null, maxParallelRequests: null }), termsOf()]);
      await stores.budgets.put(budgetOf({ definition: { scope: "team:payments", amount: 5 }, updatedAtMs: noonMs + 1 }), auditOf({ id: newId("aud", noonMs) }));
      await stores.budgets.remove("other", auditOf({ id: newId("aud", noonMs) }));
      await stores.keyTerms.put(termsOf({ maxBudgetUsd: null, updatedAtMs: noonMs + 1, updatedBy: "key_1" }), auditOf({ id: newId("aud", noonMs) }));
      await stores.keyTerms.remove("bare", auditOf({ id: newId("aud", noonMs) }));
      await reopen();
      expect(await stores.budgets.load()).toEqual([budgetOf({ definition: { scope: "team:payments", amount: 5 }, updatedAtMs: noonMs + 1 })]);
      expect(await stores.keyTerms.load()).toEqual([termsOf({ maxBudgetUsd: null, updatedAtMs: noonMs + 1, updatedBy: "key_1" })]);
      expect(await auditCount()).toBe(8);
    });

    it("change with their audit record or not at all", async () => {
      const taken = auditOf({ id: newId("aud", noonMs) });
      await stores.audit.append([taken]);
      await expect(stores.budgets.put(budgetOf(), taken)).rejects.toMatchObject(unavailable);
      await expect(stores.keyTerms.put(termsOf(), taken)).rejects.toMatchObject(unavailable);
      expect([await stores.budgets.load(), await stores.keyTerms.load(), await auditCount()]).toEqual([[], [], 1]);
    });

    it("are unchanged when the store cannot write, and can be changed when it can again", async () => {
      fill(stores);
      const large = budgetOf({ definition: { scope: "team:payments", contact: "x".repeat(20_000) } });
      await expect(stores.budgets.put(large, auditOf({ id: newId("aud", noonMs) }))).rejects.toMatchObject(unavailable);
      free(stores);
      expect(await stores.budgets.load()).toEqual([]);
      await stores.budgets.put(large, auditOf({ id: newId("aud", noonMs) }));
      expect(await stores.budgets.load()).toEqual([large]);
    });
  });

  describe(`${name}: warnings`, () => {
    it("are new once, also after opening the store again, unless the earlier one has slid out of its window", async () => {
      expect(await stores.warnings.note([warningOf("a"), warningOf("b")], true)).toEqual(new Set(["a", "b"]));
      expect(await stores.warnings.note([warningOf("a"), warningOf("c")], true)).toEqual(new Set(["c"]));
      await reopen();
      expect(await stores.warnings.note([warningOf("a", { atMs: noonMs + 10, isNewAfterMs: noonMs })], true)).toEqual(new Set());
      expect(await stores.warnings.note([warningOf("a", { atMs: noonMs + 10, isNewAfterMs: noonMs + 1 })], true)).toEqual(new Set(["a"]));
    });

    it("are due until they are done, later after each failure, oldest first, also after opening the store again", async () => {
      await stores.warnings.note([warningOf("late", { atMs: noonMs + 1 }), warningOf("early")], true);
      await stores.warnings.note([warningOf("untold")], false);
      const due = async (nowMs: number): Promise<readonly (readonly [string, number])[]> => (await stores.warnings.due(nowMs, 10)).map(({ id, attempts }) => [id, attempts]);
      expect(await due(noonMs + 1)).toEqual([["early", 0], ["late", 0]]);
      await stores.warnings.failed("early", noonMs + 2_000);
      await stores.warnings.done("late");
      expect(await due(noonMs + 1_999)).toEqual([]);
      await reopen();
      expect(await due(noonMs + 2_000)).toEqual([["early", 1]]);
      expect(JSON.parse((await stores.warnings.due(noonMs + 2_000, 1))[0]!.body)).toEqual(warningOf("early").event);
      await stores.warnings.done("early");
      expect(await due(noonMs + 1e9)).toEqual([]);
    });
  });
}
