// Guarantee: `tollgate budget` sets, shows and ends budgets of a running gateway, says in words what was wrong, and sends nothing that it can refuse itself.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../../test/support/fake-anthropic.ts";
import { adminKey, startHarness, upstreamKey, type Harness } from "../../test/support/harness.ts";

const launcher = fileURLToPath(new URL("../../bin/tollgate.js", import.meta.url));
let fake: FakeAnthropic;
let harness: Harness;
beforeAll(async () => {
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
  harness = await startHarness({ upstreamUrl: fake.url, config: "budgets: [{scope: global, amount: 1000}]" });
});
afterAll(async () => {
  await harness.close();
  await fake.close();
});

function budget(...args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((done) => {
    const child = execFile(process.execPath, [launcher, "budget", ...args], { cwd: harness.dataDir, env: { HOME: harness.dataDir, TOLLGATE_URL: harness.url, TOLLGATE_ADMIN_KEY: adminKey } }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(child.exitCode), stdout, stderr });
    });
    child.stdin?.end();
  });
}

it("a budget is set with every flag, changed by setting it again, shown with the file's, and removed", async () => {
  const set = await budget("set", "team:payments", "4000", "--id", "pay", "--zone", "Europe/Paris", "--mode", "incremental", "--on-exhausted", "finish", "--overrun-max", "5", "--warn-at", "50,90", "--contact", "#llm");
  expect(set).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Budget "pay" is in force: \$[\d,]+\.\d+ for team:payments\.\n$/) });
  expect((await budget("set", "team:payments", "40", "--id", "pay", "--rolling", "7d", "--json")).stdout).toContain('"rolling": "7d"');
  const list = (await budget("list")).stdout.split("\n");
  expect(list[0]).toMatch(/^SCOPE +WINDOW +AMOUNT USD +SPENT +HELD +LEFT +BEGINS ANEW/);
  expect(list.slice(1, 3).toSorted().map((line) => line.split(/ {2,}/).slice(0, 2))).toEqual([["global", expect.any(String)], ["team:payments", "rolling 7-day"]]);
  expect((await budget("show", "team:payments")).stdout).toMatch(/amount +40\.00/);
  expect(JSON.parse((await budget("show", "pay", "--json")).stdout)).toMatchObject([{ id: "pay", scope: "team:payments", amount_usd: "40.00", spent_usd: "0.00" }]);
  expect(await budget("remove", "pay")).toMatchObject({ code: 0, stdout: 'Budget "pay" is gone.\n' });
  expect(await budget("show", "pay")).toMatchObject({ code: 1, stderr: expect.stringMatching(/No budget has the scope or id "pay"/) });
}, 30_000);

it.each<[string, readonly string[], number, RegExp]>([
  ["an amount that is none", ["set", "team:x", "lots"], 2, /amount/],
  ["two windows", ["set", "team:x", "1", "--window", "day", "--rolling", "7d"], 2, /rolling/],
  ["per cents that are none", ["set", "team:x", "1", "--warn-at", "0"], 2, /1 to 100/],
  ["a scope that is none", ["set", "temas:x", "1"], 1, /scope: must be `global` or begin with/],
  ["a scope of the file", ["set", "global", "1"], 1, /configuration file \S+tollgate\.yaml has a budget/],
  ["an end of what was not set here", ["remove", "global pool month/UTC"], 1, /No budget with this id was set here/],
])("%s is said, with an exit code", async (_what, args, code, words) => {
  expect(await budget(...args)).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(words) });
});
