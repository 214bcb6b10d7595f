/** Guarantee: the log has one line when a target is left alone and one when it is well again, however many calls meet it, and neither has a secret. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { callAdmin, startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";
import { adminKey, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { openCall } from "./stage.ts";

const model = "claude-opus-4-8";
const folder = mkdtempSync(join(tmpdir(), "tollgate-circuits-"));
let fake: FakeAnthropic;
let gateway: GatewayProcess;
let url: string;
let key: string;

beforeAll(async () => {
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
  const config = join(folder, "tollgate.yaml");
  writeFileSync(config, `listen: {host: 127.0.0.1, port: 0}
admin: {key: "${adminKey}"}
providers: {anthropic: {kind: anthropic, base_url: "${fake.url}", api_key: "${upstreamKey}"}}
models: [{name: ${model}, provider: anthropic, id: only}]
routing: {circuit: {failures: 2, cooldown: 1ms}}
logging: {level: info}
`);
  gateway = startGatewayProcess({ cwd: folder, args: ["--config", config, "--data-dir", join(folder, "data")] });
  url = await gateway.ready;
  ({ key } = await callAdmin<{ key: string }>(url, "/key/generate", {}));
});

afterAll(async () => {
  await gateway.kill9();
  await fake.close();
  rmSync(folder, { recursive: true, force: true });
  expect(fake.violations).toEqual([]);
});

const status = async (): Promise<number> => {
  const reply = await openCall(url, key, { body: messagesBody({ model }) });
  await reply.ended;
  return reply.status;
};
const circuitLines = (): readonly Record<string, unknown>[] =>
  `${gateway.stdout()}${gateway.stderr()}`.split("\n").filter((line) => line.startsWith("{") && /left alone for a while|well again/.test(line)).map((line) => JSON.parse(line) as Record<string, unknown>);
const words = (): readonly unknown[] => circuitLines().map(({ msg }) => msg);

it("one line at each turn", async () => {
  fake.script([{ status: 529 }, { status: 529 }]);
  expect([await status(), await status()]).toEqual([529, 529]);
  expect(await until("a probe that succeeds", async () => ((await status()) === 200 ? true : undefined))).toBe(true);
  await until("both lines", () => circuitLines().length >= 2);
  expect(circuitLines()).toEqual([
    expect.objectContaining({ targetId: "only", model, failure: "overloaded", failuresInRow: 2, forMs: expect.any(Number) as unknown, msg: "this target is left alone for a while" }),
    expect.objectContaining({ targetId: "only", model, msg: "this target is well again" }),
  ]);

  fake.script(Array.from({ length: 6 }, () => ({ status: 429, headers: { "retry-after": "1" } })));
  await Promise.all(Array.from({ length: 6 }, status));
  expect(await until("the quota to be there again", async () => ((await status()) === 200 ? true : undefined))).toBe(true);
  await until("the line of its end", async () => {
    await status();
    return words().filter((word) => word === "this target is well again").length >= 2;
  });
  expect(words().slice(2)).toEqual(["this target is left alone for a while", "this target is well again"]);
  for (const secret of [upstreamKey, adminKey, key]) expect(JSON.stringify(circuitLines())).not.toContain(secret);
});
