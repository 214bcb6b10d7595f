/**
 * Guarantee: the first start in an empty folder gives a newcomer everything, once: keys in files that only the owner reads,
 * lines that work pasted into a shell one by one, a streamed answer and its ledger line. Later starts show no key. With a
 * credential of Anthropic's in the environment the same start serves Claude itself.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startFakeAnthropic } from "../support/fake-anthropic.ts";
import { killLeftovers, launcher, startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";
import { messagesBody, post, until } from "../support/harness.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tollgate-first-"));
});
afterEach(async () => {
  await killLeftovers();
  rmSync(root, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  return new Promise((done) => {
    const child = execFile(file, args, { cwd: root, env: { HOME: root, PATH: process.env["PATH"] ?? "", ...env } }, (error, stdout, stderr) => done({ code: error === null ? 0 : Number(child.exitCode ?? 1), stdout, stderr }));
  });
}

const tollgate = (...args: string[]): Promise<Outcome> => run(process.execPath, [launcher, ...args]);
const start = (env: Readonly<Record<string, string>> = {}): GatewayProcess => startGatewayProcess({ cwd: root, env: { HOME: root, ...env } });

async function stop(gateway: GatewayProcess): Promise<void> {
  gateway.signal("SIGTERM");
  expect(await gateway.exit, gateway.stderr()).toBe(0);
}

/** What the first start says, once it has said all of it. */
async function printedBy(gateway: GatewayProcess): Promise<string> {
  await gateway.ready;
  return until("the end of the text", () => (gateway.stdout().includes("tollgate keys create") ? gateway.stdout() : undefined));
}

const keyPattern = /sk-[\w-]{20,}/g;
const dataFile = (name: string): string => join(root, "data", name);
const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe("the first start", () => {
  it("prints both keys once, and keeps them where only their owner reads", async () => {
    const gateway = start();
    const printed = await printedBy(gateway);
    const keys = printed.match(keyPattern) ?? [];
    expect(new Set(keys).size).toBe(2);
    expect(keys).toHaveLength(2);
    expect(printed).toMatch(/^Admin key, shown this once$/m);
    expect(printed).toMatch(/simulated/);
    const [admin, developer] = keys;
    expect(readFileSync(dataFile("admin-key"), "utf8").trim()).toBe(admin);
    expect(readFileSync(dataFile("developer-key"), "utf8").trim()).toBe(developer);
    expect(modeOf(join(root, "data"))).toBe(0o700);
    for (const name of readdirSync(join(root, "data"))) expect([name, modeOf(dataFile(name)) & 0o077]).toEqual([name, 0]);
    expect(modeOf(dataFile("admin-key"))).toBe(0o600);
    // Neither in the log nor, but as a hash, in the store.
    for (const key of keys) {
      expect(gateway.stderr()).not.toContain(key);
      for (const name of readdirSync(join(root, "data")).filter((file) => file.startsWith("tollgate.db"))) expect(readFileSync(dataFile(name)).includes(key), name).toBe(false);
    }
    await stop(gateway);

    for (const environment of [{}, { ANTHROPIC_BASE_URL: "http://127.0.0.1:4000", ANTHROPIC_AUTH_TOKEN: developer! }]) {
      const again = start(environment);
      const url = await again.ready;
      for (const key of keys) expect(again.stdout() + again.stderr()).not.toContain(key);
      expect(again.stdout()).not.toMatch(/export/);
      // The keys of the first start still work, also in the shell into which they were pasted.
      expect((await post(url, developer!, messagesBody())).status).toBe(200);
      expect((await fetch(`${url}/key/list`, { headers: { authorization: `Bearer ${admin}` } })).status).toBe(200);
      await stop(again);
    }
  }, 60_000);

  it("prints a command that bash runs as it stands, and whose answer is in the ledger and costs no money", async () => {
    const gateway = start();
    const printed = await printedBy(gateway);
    const exports = Object.fromEntries([...printed.matchAll(/^ +export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]));
    expect(Object.keys(exports)).toEqual(["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "TOLLGATE_URL"]);
    expect(exports["ANTHROPIC_BASE_URL"]).toBe(await gateway.ready);
    const command = /^ +curl [^]*?-d '[^]*?'$/m.exec(printed)![0];
    const answer = await run("bash", ["-c", command], exports);
    expect(answer, answer.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/^event: message_start\n[^]*event: content_block_delta\n[^]*event: message_stop\n/) as unknown });
    expect(answer.stdout).toContain("simulat");

    const line = await until("its ledger line", async () => {
      const usage = await run(process.execPath, [launcher, "usage", "--by", "model", "--json"], exports);
      expect(usage.code, usage.stderr).toBe(0);
      return (JSON.parse(usage.stdout) as { groups: Record<string, unknown>[] }).groups[0];
    });
    const model = /"model":"([^"]+)"/.exec(command)![1];
    expect(line).toMatchObject({ value: model, attempts: 1, unresolved_attempts: 0, unpriced_attempts: 0 });
    expect([line["cost_usd"], line["input_tokens"]]).toEqual(["0.00", expect.any(Number)]);
    expect(Number(line["output_tokens"])).toBeGreaterThan(0);
    const adminKey = readFileSync(dataFile("admin-key"), "utf8").trim();
    const report = (await (await fetch(`${await gateway.ready}/api/v1/usage?rows=1`, { headers: { authorization: `Bearer ${adminKey}` } })).json()) as { simulated_attempts: number; rows: Record<string, unknown>[] };
    expect([report.simulated_attempts, report.rows[0]!["price_row"], report.rows[0]!["is_unpriced"]]).toEqual([1, "demo/simulated", false]);
    const table = await run(process.execPath, [launcher, "usage", "--by", "model"], exports);
    expect(table.stdout).toContain(model);
    expect(table.stdout).toMatch(/^From \d{4}-\d\d-\d\d \d\d:\d\d to .* \(UTC\)\.$/m);
    expect(table.stdout).toMatch(/built-in demo answered 1 attempt; it is a simulation and costs nothing/);
    await stop(gateway);
  }, 60_000);

  it("makes no new key where all were revoked, and leaves a second start on its folder out", async () => {
    const gateway = start();
    await printedBy(gateway);
    const other = start();
    expect(await other.exit).not.toBe(0);
    expect(other.stdout()).not.toMatch(keyPattern);
    expect(other.stderr()).toMatch(/data/);
    const url = await gateway.ready;
    const revoked = await tollgate("keys", "revoke", "first-developer", "--url", url);
    expect(revoked.code, revoked.stderr).toBe(0);
    await stop(gateway);
    const again = start();
    await again.ready;
    expect(again.stdout()).not.toMatch(keyPattern);
    await stop(again);
  }, 60_000);
});

/** A CONNECT proxy that notes where it was asked to go and leads everything to one port, or nowhere. */
async function startConnectProxy(port: number | undefined): Promise<{ url: string; asked: string[]; close(): void }> {
  const asked: string[] = [];
  const server = createServer((_, response) => void response.writeHead(405).end());
  server.on("connect", (request, socket) => {
    asked.push(request.url ?? "");
    socket.on("error", () => socket.destroy());
    if (port === undefined) return void socket.end("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    const onward = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, close: () => void server.close() };
}

const upstreamKey = "sk-ant-first-start-000000000000000000000";
const developerKey = (): string => readFileSync(dataFile("developer-key"), "utf8").trim();
const hasOpenssl = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].some((folder) => existsSync(join(folder, "openssl")));

describe("the first start with a credential of Anthropic's", () => {
  it.each([
    [{ ANTHROPIC_API_KEY: upstreamKey }],
    [{ ANTHROPIC_AUTH_TOKEN: upstreamKey }],
  ])("leads every claude-* name to api.anthropic.com and simulates nothing: %j", async (credential) => {
    const proxy = await startConnectProxy(undefined);
    const gateway = start({ ...credential, HTTPS_PROXY: proxy.url });
    const printed = await printedBy(gateway);
    expect(printed).not.toMatch(/simulated/);
    expect(printed).not.toContain(upstreamKey);
    const url = await gateway.ready;
    const reply = await post(url, developerKey(), messagesBody({ model: "claude-any-name-there-is" }));
    expect(reply.status).toBe(502);
    expect(await reply.text()).not.toContain(upstreamKey);
    expect(proxy.asked).toEqual(["api.anthropic.com:443"]);
    expect((await post(url, developerKey(), messagesBody({ model: "gpt-5" }))).status).toBe(404);
    await stop(gateway);
    expect(gateway.stderr()).not.toContain(upstreamKey);
    proxy.close();
  }, 30_000);

  it.skipIf(!hasOpenssl)("answers with what Anthropic says, by the printed command (needs openssl for a certificate)", async () => {
    const fake = await startFakeAnthropic({ apiKey: upstreamKey });
    const folder = join(root, "tls");
    mkdirSync(folder);
    const made = await run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=api.anthropic.com", "-addext", "subjectAltName=DNS:api.anthropic.com", "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")]);
    expect(made.code, made.stderr).toBe(0);
    const terminator = createTlsServer({ key: readFileSync(join(folder, "key.pem")), cert: readFileSync(join(folder, "cert.pem")) }, (socket) => {
      const onward = connect(fake.port, "127.0.0.1");
      for (const end of [socket, onward]) end.on("error", () => void end.destroy());
      socket.pipe(onward).pipe(socket);
    });
    await new Promise<void>((done) => void terminator.listen(0, "127.0.0.1", done));
    const proxy = await startConnectProxy((terminator.address() as AddressInfo).port);
    const gateway = start({ ANTHROPIC_API_KEY: upstreamKey, HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: join(folder, "cert.pem") });
    const printed = await printedBy(gateway);
    const exports = Object.fromEntries([...printed.matchAll(/^ +export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]));
    const answer = await run("bash", ["-c", /^ +curl [^]*?-d '[^]*?'$/m.exec(printed)![0]], exports);
    expect(answer.stdout, answer.stderr).toMatch(/^event: message_start\n[^]*event: message_stop\n/);
    expect(fake.requests).toHaveLength(1);
    expect(fake.rejections).toEqual([]);
    expect(fake.requests[0]!.headers["x-api-key"]).toBe(upstreamKey);
    expect(JSON.stringify(fake.requests[0]!.headers)).not.toContain(developerKey());
    const billed = fake.bill().find(({ type }) => type === "billed");
    const usage = await until("its ledger line", async () => (JSON.parse((await run(process.execPath, [launcher, "usage", "--by", "provider", "--json"], exports)).stdout) as { groups: Record<string, unknown>[] }).groups[0]);
    expect(usage).toMatchObject({ value: "anthropic", attempts: 1, input_tokens: billed?.type === "billed" ? billed.usage.input_tokens : -1 });
    await stop(gateway);
    proxy.close();
    terminator.close();
    await fake.close();
    expect(fake.violations).toEqual([]);
  }, 30_000);
});
