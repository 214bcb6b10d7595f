// Guarantee: reloads happen one after the other, each whole; one that fails leaves what is in force and is told of in one line; one that
// failed for want of the store is tried again; and a gateway without a file has nothing to read.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { AuditRecord } from "../audit/record.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { manualClock } from "../kernel/clock.ts";
import { GatewayError } from "../kernel/gateway-error.ts";
import { readConfig, type ConfigReading } from "./read-config.ts";
import { createReload, type Reload } from "./reload.ts";

const models = 'providers: {a: {kind: anthropic, api_key: "${file:secret}"}}\nmodels: [{name: "claude-*", provider: a}]\n';

let folder = "";
let path = "";
const closers: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-reload-"));
  path = join(folder, "tollgate.yaml");
  writeFileSync(path, models);
  writeFileSync(join(folder, "secret"), "sk-ant-one");
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
  rmSync(folder, { recursive: true });
});

interface Site {
  readonly reload: Reload;
  readonly clock: ReturnType<typeof manualClock>;
  readonly lines: readonly { readonly level: string; readonly fields: object; readonly text: string }[];
  readonly audit: readonly AuditRecord[];
  readonly applied: readonly GatewayConfig[];
  readonly inForce: () => GatewayConfig;
}

function start(apply: (next: GatewayConfig) => Promise<void> = () => Promise.resolve(), configPath: string | undefined = path): Site {
  const source = { ...(configPath === "" ? {} : { configPath }), insecureDevKey: false, acceptUnenforced: [], env: {} };
  const read = (): ConfigReading => readConfig(source);
  const first = read();
  if (!first.ok) throw new Error(JSON.stringify(first.errors));
  let inForce = first.config;
  const clock = manualClock();
  const lines: { level: string; fields: object; text: string }[] = [];
  const write = (level: string) => (fields: object, text: string) => void lines.push({ level, fields, text });
  const audit: AuditRecord[] = [];
  const applied: GatewayConfig[] = [];
  const reload = createReload({
    read,
    filesAtStart: first.files,
    inForce: () => inForce,
    facts: () => ({ mayFailOpen: false, hasAdminKeyFile: true }),
    async apply(next) {
      await apply(next);
      applied.push(next);
      inForce = next;
    },
    appendAudit: (records) => Promise.resolve(void audit.push(...records)),
    clock,
    log: { info: write("info"), warn: write("warn"), error: write("error") },
  });
  closers.push(() => reload.close());
  return { reload, clock, lines, audit, applied, inForce: () => inForce };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("waits for one that is under way, and sees the file as it is then", async () => {
  const gate = Promise.withResolvers<void>();
  const { reload, applied } = start(() => gate.promise);
  writeFileSync(path, `${models}limits: {in_flight_max: 5}\n`);
  const [first, second] = [reload.reload(), reload.reload()];
  await settled();
  expect(applied).toEqual([]);
  writeFileSync(path, `${models}limits: {in_flight_max: 6}\n`);
  gate.resolve();
  const [one, two] = [await first, await second];
  expect(applied.map(({ limits }) => limits.inFlightMax)).toEqual([5, 6]);
  expect([one, two].map((result) => (result.isOk ? result.changes.map(({ text }) => text) : result))).toEqual([["limits.in_flight_max is 5 instead of 10000."], ["limits.in_flight_max is 6 instead of 5."]]);
});

it("leaves an audit record of what has changed and by whom, and none where nothing has", async () => {
  const { reload, audit } = start();
  await reload.reload();
  expect(audit).toEqual([]);
  writeFileSync(path, `${models}limits: {in_flight_max: 5}\n`);
  await reload.reload({ actor: "admin", sourceAddress: "10.0.0.1" });
  expect(audit).toMatchObject([{ action: "config.reload", actor: "admin", object: path, details: { changes: ["limits.in_flight_max is 5 instead of 10000."], count: 1 }, sourceAddress: "10.0.0.1" }]);
});

it("of files with faults changes nothing, and says all of them in one line that shows no secret", async () => {
  const { reload, lines, applied } = start();
  writeFileSync(join(folder, "secret"), "sk-ant canary with spaces");
  writeFileSync(path, `${models}limits: {in_flight_max: many}\n`);
  expect(await reload.reload()).toMatchObject({ isOk: false });
  expect(applied).toEqual([]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ level: "error", fields: { faults: expect.stringMatching(/tollgate\.yaml:1:\d+: providers\.a\.api_key: .*; .*tollgate\.yaml:3:\d+: limits\.in_flight_max: /) as string } });
  expect(JSON.stringify(lines)).not.toContain("canary");
  expect(reload.status()).toMatchObject({ reloads: 1, failures: 1, isFailed: true });
});

it("that the store could not take is tried again within a minute, and shows as failed until then", async () => {
  let isDown = true;
  const { reload, clock, inForce } = start(() => (isDown ? Promise.reject(new GatewayError("gateway_store_unavailable")) : Promise.resolve()));
  writeFileSync(path, `${models}limits: {in_flight_max: 5}\n`);
  expect(await reload.reload()).toMatchObject({ isOk: false, errors: [{ message: expect.stringContaining("could not be put in force") as string }] });
  isDown = false;
  clock.advance(60_000);
  await settled();
  await reload.reload();
  expect(inForce().limits.inFlightMax).toBe(5);
  expect(reload.status()).toMatchObject({ reloads: 3, failures: 1, isFailed: false, lastSuccessMs: clock.now() });
});

it("comes of itself when a file that the configuration names has changed, and of nothing else", async () => {
  const { reload, clock } = start();
  clock.advance(60_000);
  await settled();
  expect(reload.status().reloads).toBe(0);
  writeFileSync(join(folder, "secret"), "sk-ant-two");
  clock.advance(60_000);
  await settled();
  expect(reload.status()).toMatchObject({ reloads: 1, failures: 0 });
  rmSync(join(folder, "secret"));
  clock.advance(60_000);
  await settled();
  expect(reload.status()).toMatchObject({ reloads: 2, failures: 1 });
  clock.advance(180_000);
  await settled();
  expect(reload.status().reloads).toBe(2);
  writeFileSync(join(folder, "secret"), "sk-ant-two");
  clock.advance(60_000);
  await settled();
  expect(reload.status()).toMatchObject({ reloads: 3, failures: 1, isFailed: false });
});

it("refuses what is too large to be a configuration, without reading it", async () => {
  const { reload } = start();
  writeFileSync(path, `${models}# ${"x".repeat(5 * 1024 * 1024)}\n`);
  expect(await reload.reload()).toMatchObject({ isOk: false, errors: [{ message: "the file cannot be read (EFBIG)" }] });
});

it("has nothing to read where the gateway was started without a file", async () => {
  const { reload } = start(undefined, "");
  expect(await reload.reload()).toMatchObject({ isOk: false, errors: [{ message: expect.stringContaining("without a configuration file") as string }] });
  expect(reload.status()).toMatchObject({ reloads: 0, isFailed: false });
});
