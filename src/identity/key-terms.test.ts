// Guarantee: a key has from its terms what it does not set itself, at once when they change, and what is stored of it stays its own.
import fc from "fast-check";
import { expect, it } from "vitest";
import { keyOf, secretOf } from "../../test/conformance/store-fixtures.ts";
import { createKeyIndex } from "./key-index.ts";
import type { KeyRecord } from "./key-store.ts";
import { createKeyTermsBook, type KeyTerms } from "./key-terms.ts";

const shared = ["maxBudgetUsd", "softBudgetUsd", "budgetDuration", "rpmLimit", "tpmLimit", "maxParallelRequests"] as const;
const nothing = { maxBudgetUsd: null, softBudgetUsd: null, budgetDuration: null, rpmLimit: null, tpmLimit: null, maxParallelRequests: null };

function termsOf(members: Partial<KeyTerms> = {}): KeyTerms {
  return { id: "gold", ...nothing, modelBudgets: {}, createdAtMs: 1, createdBy: "admin", updatedAtMs: 1, updatedBy: "admin", ...members };
}
const amount = fc.option(fc.constantFrom("0", "5", "12.5"), { nil: null });
const limit = fc.option(fc.nat(9), { nil: null });
const someFields = fc.record({ maxBudgetUsd: amount, softBudgetUsd: amount, budgetDuration: fc.option(fc.constantFrom("1d", "30d"), { nil: null }), rpmLimit: limit, tpmLimit: limit, maxParallelRequests: limit });

it("each field is the key's own, zero included, or else that of its terms", () => {
  fc.assert(
    fc.property(someFields, someFields, (own, given) => {
      const key = keyOf({ ...own, termsId: "gold" });
      const effective = createKeyTermsBook([termsOf(given)]).effective(key);
      for (const field of shared) expect(effective[field]).toBe(own[field] ?? given[field]);
      expect({ ...effective, ...own }).toEqual(key);
    }),
  );
});

it("a key without terms is handed out as the record it is", () => {
  const key = keyOf({ termsId: null });
  expect(createKeyTermsBook([termsOf({ rpmLimit: 1 })]).effective(key)).toBe(key);
});

it("a change of terms is in force for the next look-up of every key that names them, and of no other", () => {
  const book = createKeyTermsBook([termsOf({ rpmLimit: 60 })]);
  const index = createKeyIndex(book);
  const keys = ["gold", "gold", "silver", null].map((termsId) => keyOf({ ...nothing, termsId, alias: null, expiresAtMs: null }));
  index.load({ keys, secrets: keys.map((key) => secretOf(key)) });
  const limits = (): readonly (number | null | undefined)[] => keys.map(({ tokenHash }) => index.find(tokenHash, 1)?.key?.rpmLimit);
  expect(limits()).toEqual([60, 60, null, null]);
  book.put(termsOf({ rpmLimit: 5 }));
  expect(index.termsChanged("gold").map(({ id }) => id)).toEqual(keys.slice(0, 2).map(({ id }) => id));
  expect(limits()).toEqual([5, 5, null, null]);
  const stored: readonly (KeyRecord | undefined)[] = [...keys.map(({ id }) => index.byId(id)), ...keys.map(({ tokenHash }) => index.byHash(tokenHash))];
  expect(stored).toEqual([...keys, ...keys]);
});

it("caps of models are the key's own as a whole, or else those of its terms", () => {
  const [own, given] = [{ small: { maxBudgetUsd: "1", budgetDuration: null } }, { big: { maxBudgetUsd: "5", budgetDuration: "1d" } }];
  const of = (modelBudgets: KeyRecord["modelBudgets"]): KeyRecord["modelBudgets"] => createKeyTermsBook([termsOf({ modelBudgets: given })]).effective(keyOf({ modelBudgets, termsId: "gold" })).modelBudgets;
  expect(of(own)).toEqual(own);
  expect(of({})).toEqual(given);
});
