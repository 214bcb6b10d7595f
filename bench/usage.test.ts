/** Guarantee: the measurement of reports and pruning runs, and holds its bound on a short ledger; `npm run proof -- usage` has the long one. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

it("a short ledger is read by day, team and model within the bound, and pruned", { timeout: 120_000 }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, "usage.ts"), "--rows", "20000", "--days", "30", "--keys", "50", "--teams", "10", "--runs", "1", "--assert", "200"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^by day: .* ms over a year/m);
  expect(stdout).toMatch(/^pruned: [1-9]/m);
  expect(status).toBe(0);
});
