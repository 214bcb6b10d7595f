/** What the test of pruning kills: sums and removes rows, and opens, closes and adjusts others, without end. The folder is its only argument. */
import { join } from "node:path";
import { systemClock } from "../../src/kernel/clock.ts";
import { idFloor } from "../../src/kernel/ids.ts";
import { nanoUsd } from "../../src/kernel/money.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { closingOf, openingOf } from "./store-fixtures.ts";

const dayMs = 86_400_000;
const stores = await openSqliteStores({ path: join(process.argv[2]!, "tollgate.db"), sync: "normal", clock: systemClock, checkpointPeriodMs: 20 });
const tell = (line: string): Promise<void> => new Promise((resolve) => process.stdout.write(`${line}\n`, () => resolve()));
const startMs = systemClock.now();
for (let serial = 0; ; serial++) {
  const openedAtMs = startMs - 20 * dayMs + serial * 1_000;
  const attemptId = `${idFloor("att", openedAtMs).slice(0, 14)}${String(process.pid).padStart(8, "0")}${String(serial).padStart(8, "0")}` as `att_${string}`;
  await stores.books.openEntry(openingOf({ attemptId, openedAtMs, keyId: `key_${serial % 3}`, teamId: `team-${serial % 2}` }));
  await stores.books.closeEntry(closingOf(attemptId, { costNanoUsd: nanoUsd(1_000n + BigInt(serial)) }));
  await tell(`closed ${attemptId}`);
  if (serial % 5 === 0) await stores.usage.adjust([{ id: `adj_${serial}`, attemptId, atMs: startMs, deltaNanoUsd: nanoUsd(-7n), priceRow: "", reason: "a test" }]);
  if (serial % 3 === 0) stores.upkeep.step({ retentionMs: dayMs, reconcilable: [] });
}
