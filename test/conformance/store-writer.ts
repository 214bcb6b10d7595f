/** What a crash test kills: writes to a store without end, several requests at a time, and prints each acknowledgement. */
import { nanoUsd } from "../../src/kernel/money.ts";
import type { Stores } from "../../src/store/stores.ts";
import { auditOf, closingOf, keyOf, openingOf, secretOf } from "./store-fixtures.ts";

/** Never resolves. A line is in the pipe before its request goes on. */
export async function writeWithoutEnd(stores: Stores): Promise<void> {
  const acknowledge = (kind: string, id: string): Promise<void> => new Promise((resolve) => process.stdout.write(`${kind} ${id}\n`, () => resolve()));
  const request = async (): Promise<void> => {
    const opening = openingOf();
    await stores.books.openEntry(opening);
    await acknowledge("opened", opening.attemptId);
    await stores.books.closeEntry(closingOf(opening.attemptId, { costNanoUsd: nanoUsd(7n) }));
    await acknowledge("closed", opening.attemptId);
  };
  for (;;) {
    await Promise.all(Array.from({ length: 8 }, request));
    const key = keyOf();
    await stores.keys.apply({ key, addSecrets: [secretOf(key)], audit: auditOf({ object: key.id }) });
    await acknowledge("key", key.id);
  }
}
