/**
 * Runs vitest and ends with the one line that says how it went, `N passed, N failed`, failing on zero tests too: a suite
 * that ran nothing proves nothing. Arguments go to vitest; `--total-file F` adds the counts to a running total in F.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Counts {
  passed: number;
  failed: number;
}

const args = process.argv.slice(2);
const totalAt = args.indexOf("--total-file");
const totalFile = totalAt === -1 ? process.env["TOLLGATE_TEST_TOTALS"] : args.splice(totalAt, 2)[1];

const folder = mkdtempSync(join(tmpdir(), "tollgate-tests-"));
const counts = run(join(folder, "results.json"));
rmSync(folder, { recursive: true, force: true });
if (totalFile !== undefined) addTo(totalFile, counts);
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;

function run(resultsFile: string): Counts {
  const outcome = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--reporter=default", "--reporter=json", `--outputFile=${resultsFile}`, ...args], { stdio: "inherit" });
  if (!existsSync(resultsFile)) return { passed: 0, failed: 1 };
  const results = JSON.parse(readFileSync(resultsFile, "utf8")) as { numPassedTests: number; numFailedTests: number; numFailedTestSuites: number };
  // A file that cannot even be loaded has no failed test, but is a failure.
  const failed = Math.max(results.numFailedTests, outcome.status === 0 ? 0 : 1);
  return { passed: results.numPassedTests, failed };
}

function addTo(file: string, counts: Counts): void {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Counts) : { passed: 0, failed: 0 };
  writeFileSync(file, JSON.stringify({ passed: before.passed + counts.passed, failed: before.failed + counts.failed }));
}
