// Guarantee: changed certificate files are found even where nothing tells of changes, used only when they fit together, and
// each state of them is told once.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, afterEach, expect, it } from "vitest";
import { manualClock, type ManualClock } from "../kernel/clock.ts";
import type { TlsTexts } from "../kernel/tls-pair.ts";
import { readTls, watchTls } from "./tls.ts";

let made: string;
let folder: string;
let clock: ManualClock;
let used: TlsTexts[];
let told: (string | undefined)[];
let watching: { close(): void };

beforeAll(() => {
  made = mkdtempSync(join(tmpdir(), "tollgate-pairs-"));
  for (const name of ["first", "second"]) {
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.pem`], { cwd: made, stdio: "ignore" });
  }
});

afterAll(() => rmSync(made, { recursive: true }));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-watch-"));
  put("first");
  clock = manualClock();
  used = [];
  told = [];
  const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem"), clientCaFile: undefined };
  watching = watchTls(files, readTls(files), { clock, use: (texts) => void used.push(texts), onReload: (fault) => void told.push(fault) });
});

afterEach(() => {
  watching.close();
  rmSync(folder, { recursive: true });
});

function put(pair: string): void {
  copyFileSync(join(made, `${pair}.pem`), join(folder, "cert.pem"));
  copyFileSync(join(made, `${pair}.key`), join(folder, "key.pem"));
}

it("unchanged files are left alone", () => {
  clock.advance(300_000);
  expect(used).toEqual([]);
  expect(told).toEqual([]);
});

it("a change that nobody told of is found within a minute", () => {
  put("second");
  clock.advance(60_000);
  expect(used).toHaveLength(1);
  expect(told).toEqual([undefined]);
  clock.advance(300_000);
  expect(used).toHaveLength(1);
});

it("a pair that does not fit is told once, and the first one that fits again is used", () => {
  copyFileSync(join(made, "second.pem"), join(folder, "cert.pem"));
  clock.advance(300_000);
  expect(used).toEqual([]);
  expect(told).toEqual([expect.stringContaining("key.pem is not the key of the certificate")]);
  put("first");
  clock.advance(60_000);
  expect(used).toHaveLength(1);
  expect(told).toHaveLength(2);
});

it("a file that is gone is told once, and each new fault of its own", () => {
  rmSync(join(folder, "key.pem"));
  clock.advance(300_000);
  writeFileSync(join(folder, "key.pem"), "");
  clock.advance(300_000);
  expect(used).toEqual([]);
  expect(told).toEqual([expect.stringContaining("cannot be read (ENOENT)"), expect.stringContaining("holds no private key")]);
});

it("files that do not fit at the start are an error that names the file and shows nothing of it", () => {
  writeFileSync(join(folder, "key.pem"), "canary");
  const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem"), clientCaFile: undefined };
  expect(() => readTls(files)).toThrow(/key\.pem holds no private key/);
  expect(() => readTls(files)).not.toThrow(/canary/);
});
