/**
 * `npm run test:clients`: installs the pinned real clients when they are not there yet (about 700 MB, kept out of the root
 * install for that reason), then runs the tests of this folder. Arguments go to vitest.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;

/** True when npm's own note of what it installed says the same as the lockfile about every package that fits this machine. */
function isInstalled(): boolean {
  const installed = join(here, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return false;
  const packagesOf = (path: string): Record<string, { version?: string; optional?: boolean }> =>
    (JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, { version?: string; optional?: boolean }> }).packages;
  const there = packagesOf(installed);
  return Object.entries(packagesOf(join(here, "package-lock.json"))).every(
    ([path, { version, optional }]) => path === "" || there[path]?.version === version || (optional === true && there[path] === undefined),
  );
}

if (!isInstalled()) {
  // npm is a script beside its own Node: through the shell it is found on every system.
  const install = spawnSync("npm ci --no-audit --no-fund", { cwd: here, stdio: "inherit", shell: true });
  if (install.status !== 0) {
    process.stderr.write("The real clients could not be installed; see the lines above.\n");
    process.exit(1);
  }
}
const root = join(here, "..", "..");
const tests = spawnSync(process.execPath, ["scripts/run-tests.ts", "--config", "test/clients/vitest.config.ts", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
process.exitCode = tests.status ?? 1;
