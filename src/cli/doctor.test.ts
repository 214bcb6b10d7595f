// Guarantees that each check of `doctor` tells good from bad by itself, and that every bad result names a mend.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Secret } from "../kernel/secret.ts";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkClientSettings, checkClientVersion } from "./doctor-client.ts";
import { renderFindings, type Finding } from "./doctor-finding.ts";
import { checkClock, checkNode, checkStore } from "./doctor-machine.ts";
import { probe } from "./probe.ts";

const gateway = "http://127.0.0.1:4000";
const levels = (findings: readonly Finding[]): Record<string, string> => Object.fromEntries(findings.map((finding) => [finding.check, finding.level]));

describe("checkNode", () => {
  it("wants 24", () => {
    expect([checkNode("24.0.0").level, checkNode("20.20.2").level]).toEqual(["ok", "fail"]);
  });
});

describe("checkClock", () => {
  const date = "Sat, 31 Jan 2026 12:00:00 GMT";
  const noonMs = Date.parse(date);

  it("grades the distance to another clock, either way", () => {
    expect([0, 5_000, -60_000, 60_000, 600_000].map((skew) => checkClock(date, "x", noonMs + skew).level)).toEqual(["ok", "ok", "warn", "warn", "fail"]);
  });

  it("skips when there is nothing to compare with", () => {
    expect([checkClock(undefined, "x", noonMs).level, checkClock("soon", "x", noonMs).level]).toEqual(["skip", "skip"]);
  });
});

describe("checkStore", () => {
  let root = "";
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "tollgate-doctor-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("takes a missing folder and a missing ledger for a first start", async () => {
    expect(levels(await checkStore(join(root, "data"), join(root, "data", "tollgate.db"), false))).toEqual({ "data folder": "skip" });
    expect(levels(await checkStore(root, join(root, "tollgate.db"), false))).toMatchObject({ "data folder": "ok", ledger: "skip" });
  });

  it("fails a file that is no ledger, and a folder that is a file", async () => {
    const path = join(root, "tollgate.db");
    await writeFile(path, "this is not a database file");
    expect(levels(await checkStore(root, path, false))).toMatchObject({ ledger: "fail" });
    expect(levels(await checkStore(path, path, false))).toEqual({ "data folder": "fail" });
  });

  it("accepts SQLite's first bytes, and an empty file", async () => {
    const path = join(root, "tollgate.db");
    await writeFile(path, "SQLite format 3\0rest");
    expect(levels(await checkStore(root, path, false))).toMatchObject({ ledger: "ok" });
    await writeFile(path, "");
    expect(levels(await checkStore(root, path, false))).toMatchObject({ ledger: "ok" });
  });

  it("warns of a key file that others can read", async () => {
    await writeFile(join(root, "admin-key"), "sk-x", { mode: 0o644 });
    await writeFile(join(root, "developer-key"), "sk-y", { mode: 0o600 });
    const found = (await checkStore(root, join(root, "tollgate.db"), false)).filter((finding) => finding.check === "key files");
    expect(found).toEqual([expect.objectContaining({ level: "warn", mend: expect.stringContaining("admin-key") as unknown })]);
  });
});

describe("checkClientVersion", () => {
  it("reads the version, warns of one older than any tested, and fails a client that does not answer", () => {
    expect([checkClientVersion("/bin/claude", "2.1.330 (Claude Code)").level, checkClientVersion("/bin/claude", "0.2.9 (Claude Code)").level, checkClientVersion("/bin/claude", "").level, checkClientVersion(undefined, "").level]).toEqual(["ok", "warn", "fail", "skip"]);
  });
});

describe("checkClientSettings", () => {
  const file = (env: Record<string, string>, hasApiKeyHelper = false): Parameters<typeof checkClientSettings>[1][number] => ({ path: "/home/x/.claude/settings.json", env, hasApiKeyHelper, isBroken: false });
  const good = { ANTHROPIC_BASE_URL: gateway, ANTHROPIC_AUTH_TOKEN: "sk-tollgate" };

  it("raises nothing for a right shell", () => {
    expect(levels(checkClientSettings(good, [], gateway))).toEqual({ "base URL": "ok", credentials: "ok" });
  });

  it("leaves a shell alone that does not use the gateway, even with a provider's key in it", () => {
    expect(levels(checkClientSettings({ ANTHROPIC_API_KEY: "sk-ant-x" }, [], gateway))).toEqual({ "base URL": "skip" });
  });

  it("lets a settings file win over the shell, and says so", () => {
    const findings = checkClientSettings(good, [file({ ANTHROPIC_BASE_URL: `${gateway}/v1` })], gateway);
    expect(findings).toContainEqual(expect.objectContaining({ check: "base URL", level: "fail", message: expect.stringContaining("settings.json") as unknown }));
    expect(findings).toContainEqual(expect.objectContaining({ check: "settings", level: "warn" }));
  });

  it("fails a cloud switch and a missing key", () => {
    expect(checkClientSettings({ ANTHROPIC_BASE_URL: gateway, CLAUDE_CODE_USE_BEDROCK: "1" }, [], gateway).map((finding) => [finding.check, finding.level])).toEqual([["base URL", "ok"], ["settings", "fail"], ["credentials", "fail"]]);
  });

  it("warns of a provider's key and of two credentials, without showing them", () => {
    const findings = checkClientSettings({ ...good, ANTHROPIC_API_KEY: "sk-ant-private" }, [file({}, true)], gateway);
    expect(findings.filter((finding) => finding.level === "warn")).toHaveLength(3);
    expect(JSON.stringify(findings)).not.toMatch(/private|sk-tollgate/);
  });
});

describe("renderFindings", () => {
  it("puts the mend under what it mends and sums up", () => {
    const text = renderFindings([{ check: "node", level: "ok", message: "Node 24", mend: "" }, { check: "key", level: "fail", message: "Bad.", mend: "Make one." }], { style: (_, part) => part });
    expect(text).toBe("ok    node  Node 24\nfail  key   Bad.\n            → Make one.\n\n1 to mend, 0 to look at.");
  });
});

describe("probe", () => {
  const direct = { proxy: undefined, noProxy: [], caFile: undefined };

  it("takes any status for an answer, follows no redirect, and goes through a proxy when told to", async () => {
    const methods: string[] = [];
    const server = createServer((request, response) => {
      methods.push(request.method ?? "");
      response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
    });
    const connects: string[] = [];
    server.on("connect", (request, socket) => {
      connects.push(request.url ?? "");
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      expect(await probe(url, direct, 5_000)).toMatchObject({ isReached: true, status: 302, date: expect.any(String) as unknown });
      expect(methods).toEqual(["HEAD"]);
      expect(await probe("https://provider.invalid", { ...direct, proxy: new Secret(url) }, 5_000)).toMatchObject({ isReached: false });
      expect(connects).toEqual(["provider.invalid:443"]);
    } finally {
      await new Promise((done) => server.close(done));
    }
    expect(await probe(url, direct, 5_000)).toEqual({ isReached: false, reason: expect.stringContaining("ECONNREFUSED") as unknown });
  });
});
