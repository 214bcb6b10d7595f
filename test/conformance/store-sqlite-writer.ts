/** The crash test's writer on the SQLite store; the folder is its only argument. */
import { join } from "node:path";
import { systemClock } from "../../src/kernel/clock.ts";
import { openSqliteStores } from "../../src/store/sqlite/open.ts";
import { writeWithoutEnd } from "./store-writer.ts";

await writeWithoutEnd(await openSqliteStores({ path: join(process.argv[2]!, "tollgate.db"), sync: "normal", clock: systemClock, checkpointPeriodMs: 20 }));
