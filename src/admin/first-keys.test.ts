// Guarantee: no key of a first start is ever lost. Whatever ends a start before it has shown them, the next one shows the same keys,
// and they work; once shown they are never shown again.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type Gateway } from "../main.ts";

let root = "";
let dataDir = "";
const running: Gateway[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tollgate-first-keys-"));
  dataDir = join(root, "data");
});
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.close(0);
  rmSync(root, { recursive: true, force: true });
});

const silent = 'logging: {level: silent}\nproviders: {demo: {kind: demo}}\nmodels: [{name: "claude-*", provider: demo}]\n';

async function start({ port = 0, extra = "" } = {}): Promise<Gateway> {
  const configPath = join(root, "tollgate.yaml");
  writeFileSync(configPath, silent + extra);
  const gateway = await startGateway({ configPath, dataDir, port, insecureDevKey: false, acceptUnenforced: [], env: {} });
  running.push(gateway);
  return gateway;
}

async function stop(gateway: Gateway): Promise<void> {
  running.splice(running.indexOf(gateway), 1);
  await gateway.close(0);
}

async function statusOf(gateway: Gateway, key: string, path = "/v1/me"): Promise<number> {
  return (await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${key}` } })).status;
}

const inFile = (name: string): string => readFileSync(join(dataDir, name), "utf8").trim();

describe("the keys of a first start", () => {
  it("are shown by the next start when the port was taken", async () => {
    const other = createServer();
    await new Promise<void>((done) => void other.listen(0, "127.0.0.1", done));
    await expect(start({ port: (other.address() as AddressInfo).port })).rejects.toThrow(/EADDRINUSE/);
    await new Promise((done) => other.close(done));
    const made = [inFile("admin-key"), inFile("developer-key")];
    const gateway = await start();
    expect([gateway.firstStart.adminKey?.reveal(), gateway.firstStart.developerKey?.reveal()]).toEqual(made);
    expect([await statusOf(gateway, made[0]!, "/key/list"), await statusOf(gateway, made[1]!)]).toEqual([200, 200]);
  });

  it("are shown until they have been shown, and then no more", async () => {
    const first = await start();
    const key = first.firstStart.developerKey?.reveal();
    expect(key).toBe(inFile("developer-key"));
    await stop(first);
    const second = await start();
    expect(second.firstStart.developerKey?.reveal()).toBe(key);
    second.firstStart.shown();
    await stop(second);
    const third = await start();
    expect(third.firstStart).toMatchObject({ adminKey: undefined, developerKey: undefined, developerKeyFile: "valid" });
    expect(await statusOf(third, key!)).toBe(200);
    expect(readdirSync(dataDir)).not.toContain("keys-to-show");
  });

  it("work when the start ended between the file and the store", async () => {
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "keys-to-show"), "developer-key");
    writeFileSync(join(dataDir, "developer-key"), "sk-0123456789abcdefghijABCDEFGHIJ0123456789abc\n");
    const gateway = await start();
    expect(gateway.firstStart.developerKey?.reveal()).toBe(inFile("developer-key"));
    expect(await statusOf(gateway, inFile("developer-key"))).toBe(200);
  });

  it("are made anew when the start ended before any file", async () => {
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "keys-to-show"), "admin-key\ndeveloper-key");
    const gateway = await start();
    expect(await statusOf(gateway, gateway.firstStart.adminKey!.reveal(), "/key/list")).toBe(200);
    expect(await statusOf(gateway, gateway.firstStart.developerKey!.reveal())).toBe(200);
  });
});

describe("a later start", () => {
  it("tells when the store does not know the developer key of the file, and makes none by itself", async () => {
    const first = await start();
    first.firstStart.shown();
    await stop(first);
    for (const name of readdirSync(dataDir).filter((file) => file.startsWith("tollgate.db"))) rmSync(join(dataDir, name));
    const second = await start();
    expect(second.firstStart).toMatchObject({ developerKey: undefined, developerKeyFile: "stale" });
  });

  it("tells when a store has keys, but no file has the first one", async () => {
    const first = await start();
    first.firstStart.shown();
    await stop(first);
    rmSync(join(dataDir, "developer-key"));
    expect((await start()).firstStart).toMatchObject({ developerKey: undefined, developerKeyFile: "none" });
    expect(existsSync(join(dataDir, "developer-key"))).toBe(false);
  });

  it("tells when the configuration names another admin key than the data folder has, which then does not count", async () => {
    const first = await start();
    const old = first.firstStart.adminKey!.reveal();
    first.firstStart.shown();
    await stop(first);
    const second = await start({ extra: 'admin: {key: "sk-Zq81mKp0Lx72VbNwTr55"}\n' });
    expect([second.firstStart.isAdminKeyFileStale, second.firstStart.adminKey]).toEqual([true, undefined]);
    expect([await statusOf(second, old, "/key/list"), await statusOf(second, "sk-Zq81mKp0Lx72VbNwTr55", "/key/list")]).toEqual([401, 200]);
  });
});
