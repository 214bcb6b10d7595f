/**
 * Guarantee: with `listen.tls` the gateway speaks HTTPS; a changed certificate serves new connections and disturbs no open
 * one; files that do not fit change nothing and are named once in the log; with `client_ca_file` nobody without a certificate
 * gets in; and a broken file is an error of the configuration, with its place.
 */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway } from "../../src/main.ts";
import { startFakeAnthropic, type FakeAnthropic } from "../support/fake-anthropic.ts";
import { killLeftovers, startGatewayProcess } from "../support/gateway-process.ts";
import { adminKey, configText, messagesBody, until, upstreamKey } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";

/** Certificates are made once; each test works on copies. */
let made: string;
let folder: string;
let fake: FakeAnthropic;

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { cwd: made, stdio: "ignore" });
}

/** A key and a certificate that signs itself, `<name>.key` and `<name>.pem`. */
function makePair(name: string): void {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", `${name}.key`, "-out", `${name}.pem`);
}

beforeAll(async () => {
  made = mkdtempSync(join(tmpdir(), "tollgate-certificates-"));
  for (const name of ["first", "second", "authority", "stranger"]) makePair(name);
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=client", "-keyout", "client.key", "-out", "client.csr");
  openssl("x509", "-req", "-in", "client.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2", "-out", "client.pem");
  openssl("ec", "-in", "first.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key");
  fake = await startFakeAnthropic({ apiKey: upstreamKey });
});

afterAll(async () => {
  await fake.close();
  rmSync(made, { recursive: true });
});

afterEach(async () => {
  await killLeftovers();
  rmSync(folder, { recursive: true, force: true });
});

function certificate(name: string): string {
  return readFileSync(join(made, `${name}.pem`), "utf8");
}

interface Site {
  readonly url: string;
  readonly port: number;
  readonly key: string;
  /** Lines of the log so far. */
  log(): readonly Record<string, unknown>[];
  file(name: string): string;
  close(): Promise<void>;
}

/** A gateway process, whose log can be read, with `cert.pem` and `key.pem` of the pair `first` unless `prepare` does otherwise. */
async function startSite(tls = "{cert_file: cert.pem, key_file: key.pem}", prepare?: () => void): Promise<Site> {
  const path = writeSite(tls, prepare);
  const gateway = startGatewayProcess({ cwd: folder, args: ["--config", path, "--data-dir", join(folder, "data")] });
  const url = await until("the address", () => /https:\/\/127\.0\.0\.1:\d+/.exec(gateway.stdout())?.[0], 20_000);
  return {
    url,
    port: Number(new URL(url).port),
    key: readFileSync(join(folder, "data", "developer-key"), "utf8").trim(),
    log: () =>
      gateway
        .stdout()
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    file: (name) => join(folder, name),
    async close() {
      gateway.signal("SIGTERM");
      expect(await gateway.exit, gateway.stderr()).toBe(0);
    },
  };
}

function writeSite(tls: string, prepare?: () => void): string {
  folder = mkdtempSync(join(tmpdir(), "tollgate-tls-"));
  copyFileSync(join(made, "first.pem"), join(folder, "cert.pem"));
  copyFileSync(join(made, "first.key"), join(folder, "key.pem"));
  prepare?.();
  const path = join(folder, "tollgate.yaml");
  const text = configText({ upstreamUrl: fake.url }).replace("listen: {host: 127.0.0.1, port: 0}", `listen: {host: 127.0.0.1, port: 0, tls: ${tls}}`);
  writeFileSync(path, text.replace("level: silent", "level: info"));
  return path;
}

interface Call {
  readonly path?: string;
  readonly body?: string;
  readonly trust?: string;
  readonly client?: string;
  readonly headers?: Record<string, string>;
}

/** One request over a connection of its own. */
function call(site: Pick<Site, "url" | "key">, { path, body, trust = "first", client, headers }: Call = {}): Promise<{ readonly status: number; readonly text: Promise<string>; readonly soFar: () => string }> {
  const identity = client === undefined ? {} : { cert: readFileSync(join(made, `${client}.pem`)), key: readFileSync(join(made, `${client}.key`)) };
  return new Promise((resolve, reject) => {
    const request = httpsRequest(`${site.url}${path ?? "/v1/messages"}`, {
      method: body === undefined ? "GET" : "POST",
      ca: certificate(trust),
      agent: false,
      ...identity,
      headers: { "x-api-key": site.key, "anthropic-version": "2023-06-01", ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    });
    request.on("error", reject);
    request.on("response", (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      resolve({ status: reply.statusCode ?? 0, soFar: () => text, text: new Promise((done, fail) => reply.on("end", () => done(text)).on("error", fail)) });
    });
    request.end(body);
  });
}

/** Common name of the certificate that a new connection is shown. */
function shownName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", ca: [certificate("first"), certificate("second")] }, () => {
      resolve(new X509Certificate(socket.getPeerX509Certificate()!.raw).subject);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

/** As renewal tools do: complete files, moved into place one after the other. */
function replace(site: Site, pair: string): void {
  for (const [from, to] of [[`${pair}.pem`, "cert.pem"], [`${pair}.key`, "key.pem"]] as const) {
    copyFileSync(join(made, from), site.file(`${to}.new`));
    renameSync(site.file(`${to}.new`), site.file(to));
  }
}

const errorsOf = (site: Site): readonly Record<string, unknown>[] => site.log().filter(({ level }) => level === "error");
const reloadsOf = (site: Site): readonly Record<string, unknown>[] => site.log().filter(({ msg, level }) => level === "info" && String(msg).startsWith("TLS files changed"));

describe("listen.tls", () => {
  it("serves HTTPS, plain replies and streams, and nothing older than TLS 1.2", async () => {
    const site = await startSite();
    const plain = await call(site, { body: messagesBody() });
    expect(plain.status).toBe(200);
    expect(await plain.text).toContain('"type":"message"');
    const stream = await call(site, { body: messagesBody({ stream: true }) });
    expect(checkStreamGrammar(Buffer.from(await stream.text))).toMatchObject({ ok: true, outcome: "stop" });
    const old = await new Promise<string>((resolve) => {
      connect({ port: site.port, host: "127.0.0.1", ca: certificate("first"), minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }, () => resolve("connected")).on("error", () => resolve("refused"));
    });
    expect(old).toBe("refused");
    await site.close();
  });

  it("ends a connection that speaks plain HTTP, or noise, at once", async () => {
    const site = await startSite();
    for (const bytes of ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x00\x01\x02\x03 no hello of any kind \xff\xff"]) {
      const startedAt = performance.now();
      await new Promise<void>((resolve) => {
        const socket = connectPlain(site.port, "127.0.0.1", () => socket.write(bytes, "latin1"));
        socket.on("error", () => undefined).on("close", () => resolve()).resume();
      });
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    }
    expect((await call(site, { path: "/health/readiness" })).status).toBe(200);
    await site.close();
  });
});

describe("a changed certificate", () => {
  it("serves new connections, while an open stream goes on to its end", async () => {
    const site = await startSite();
    const stream = await call(site, { body: messagesBody({ stream: true }), headers: { "anthropic-test-behaviour": JSON.stringify({ text: "word ".repeat(80), deltaCharacters: 5, writeDelayMs: 25 }) } });
    await until("the stream has begun", () => stream.soFar().includes("message_start"));
    expect(await shownName(site.port)).toBe("CN=first");
    replace(site, "second");
    await until("the new certificate", async () => (await shownName(site.port)) === "CN=second");
    expect(stream.soFar()).not.toContain("message_stop");
    expect(checkStreamGrammar(Buffer.from(await stream.text))).toMatchObject({ ok: true, outcome: "stop" });
    expect((await call(site, { body: messagesBody(), trust: "second" })).status).toBe(200);
    // Two files, one change; and no word of the moment between them.
    expect(reloadsOf(site)).toHaveLength(1);
    expect(errorsOf(site)).toEqual([]);
    await site.close();
  });

  it("that is swapped with its whole folder is seen, as Kubernetes does it", async () => {
    const site = await startSite("{cert_file: live/cert.pem, key_file: live/key.pem}", () => {
      for (const pair of ["first", "second"]) {
        mkdirSync(join(folder, "live", `..${pair}`), { recursive: true });
        copyFileSync(join(made, `${pair}.pem`), join(folder, "live", `..${pair}`, "cert.pem"));
        copyFileSync(join(made, `${pair}.key`), join(folder, "live", `..${pair}`, "key.pem"));
      }
      symlinkSync("..first", join(folder, "live", "..data"));
      for (const name of ["cert.pem", "key.pem"]) symlinkSync(join("..data", name), join(folder, "live", name));
    });
    expect(await shownName(site.port)).toBe("CN=first");
    symlinkSync("..second", site.file("live/..tmp"));
    renameSync(site.file("live/..tmp"), site.file("live/..data"));
    await until("the new certificate", async () => (await shownName(site.port)) === "CN=second");
    await site.close();
  });

  it.each([
    ["is half written", (site: Site) => writeFileSync(site.file("cert.pem"), certificate("second").slice(0, 200)), "cert.pem holds no certificate chain"],
    ["is empty", (site: Site) => writeFileSync(site.file("cert.pem"), ""), "cert.pem holds no certificate chain"],
    ["has a chain that is half written", (site: Site) => writeFileSync(site.file("cert.pem"), certificate("first") + certificate("second").slice(0, 200)), "cert.pem holds no certificate chain"],
    ["has another key", (site: Site) => copyFileSync(join(made, "second.pem"), site.file("cert.pem")), "key.pem is not the key of the certificate"],
    ["is gone", (site: Site) => rmSync(site.file("cert.pem")), "cert.pem cannot be read (ENOENT)"],
  ])("that %s changes nothing and is told once; a whole one serves again", async (_what, spoil, words) => {
    const site = await startSite();
    spoil(site);
    await until("the error", () => errorsOf(site).length > 0);
    expect(await shownName(site.port)).toBe("CN=first");
    expect((await call(site, { body: messagesBody() })).status).toBe(200);
    expect(errorsOf(site)).toMatchObject([{ msg: expect.stringContaining("the old certificate stays") as string, internal: expect.stringContaining(words) as string }]);
    replace(site, "second");
    await until("the new certificate", async () => (await shownName(site.port)) === "CN=second");
    expect(errorsOf(site)).toHaveLength(1);
    await site.close();
  });
});

describe("client_ca_file", () => {
  const tls = "{cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem}";
  const withAuthority = (): void => copyFileSync(join(made, "authority.pem"), join(folder, "ca.pem"));

  it("lets in who shows a certificate of that authority, and nobody else", async () => {
    const site = await startSite(tls, withAuthority);
    const before = fake.requests.length;
    expect((await call(site, { body: messagesBody(), client: "client" })).status).toBe(200);
    expect(fake.requests.length).toBe(before + 1);
    await expect(call(site, { body: messagesBody() })).rejects.toThrow();
    await expect(call(site, { body: messagesBody(), client: "stranger" })).rejects.toThrow();
    await expect(call(site, { path: "/health/readiness" })).rejects.toThrow();
    expect(fake.requests.length).toBe(before + 1);
    await site.close();
  });

  it("that is spoilt while the gateway runs shuts nobody out and lets nobody in", async () => {
    const site = await startSite(tls, withAuthority);
    writeFileSync(site.file("ca.pem"), "-----BEGIN CERTIFICATE-----\nMIIB");
    await until("the error", () => errorsOf(site).length > 0);
    expect(errorsOf(site)[0]!["internal"]).toContain("ca.pem holds no certificates");
    expect((await call(site, { body: messagesBody(), client: "client" })).status).toBe(200);
    await expect(call(site, { body: messagesBody(), client: "stranger" })).rejects.toThrow();
    await site.close();
  });

  it("that changes holds for new connections", async () => {
    const site = await startSite(tls, withAuthority);
    copyFileSync(join(made, "stranger.pem"), site.file("ca.pem"));
    await until("the new authority", async () => call(site, { body: messagesBody(), client: "stranger" }).then(({ status }) => status === 200, () => false));
    await expect(call(site, { body: messagesBody(), client: "client" })).rejects.toThrow();
    await site.close();
  });
});

describe("a broken file at the start", () => {
  const spoils: readonly (readonly [string, () => void, string, string])[] = [
    ["no certificate", () => writeFileSync(join(folder, "cert.pem"), "hello"), "cert_file", "this file holds no certificate chain in PEM"],
    ["no key", () => writeFileSync(join(folder, "key.pem"), "hello"), "key_file", "this file holds no private key in PEM"],
    ["a key with a passphrase", () => copyFileSync(join(made, "locked.key"), join(folder, "key.pem")), "key_file", "this file is protected by a passphrase"],
    ["the key of another certificate", () => copyFileSync(join(made, "second.key"), join(folder, "key.pem")), "key_file", "this file is not the key of the certificate"],
    ["no authority", () => writeFileSync(join(folder, "ca.pem"), "hello"), "client_ca_file", "this file holds no certificates in PEM"],
  ];

  it.each(spoils)("with %s is an error with file, line and column", async (_what, spoil, key, words) => {
    const path = writeSite("{cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem}", () => {
      copyFileSync(join(made, "authority.pem"), join(folder, "ca.pem"));
      spoil();
    });
    const line = readFileSync(path, "utf8").split("\n").find((text) => text.startsWith("listen:"))!;
    const fault = await startGateway({ configPath: path, dataDir: join(folder, "data"), insecureDevKey: false, acceptUnenforced: [], env: {} }).then(
      () => undefined,
      (error: unknown) => error as { exitCode: number; notices: readonly Record<string, unknown>[] },
    );
    expect(fault).toMatchObject({ exitCode: 78, notices: [{ file: path, line: 1, column: line.indexOf(`${key}: `) + key.length + 3, path: `listen.tls.${key}`, message: expect.stringContaining(words) as string }] });
    expect(JSON.stringify(fault?.notices)).not.toContain("hello");
  });

  it("ends the process with 78 and the place on standard error", async () => {
    const path = writeSite("{cert_file: cert.pem, key_file: key.pem}", () => writeFileSync(join(folder, "cert.pem"), certificate("first").slice(0, 300)));
    const gateway = startGatewayProcess({ cwd: folder, args: ["--config", path, "--data-dir", join(folder, "data")] });
    expect(await gateway.exit).toBe(78);
    expect(gateway.stderr()).toMatch(/tollgate\.yaml:1:\d+: .*cert_file.*holds no certificate chain/);
    expect(gateway.stderr()).not.toMatch(/\n\s+at /);
    expect(gateway.stderr()).not.toContain(adminKey);
  });
});
