/**
 * Guarantee: the gateway reaches its upstreams only by the configured proxy and authorities, and never a host that nobody
 * configured: no redirect is followed, no name leads to this machine, nothing a client writes chooses a host. What fails on
 * the way is told to the client in its own form without any address, and to the operator with what to do.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createEgressLab, type EgressLab, type RecordingProxy, type Treatment } from "../support/egress-lab.ts";
import { killLeftovers, startGatewayProcess } from "../support/gateway-process.ts";
import { configText, messagesBody, startHarness, until, upstreamKey } from "../support/harness.ts";
import { checkStreamGrammar } from "../support/stream-grammar.ts";
import { openCall, rawExchange, startStage, type CallOptions, type ErrorBody, type Reply, type Stage, type StageOptions } from "./stage.ts";

/** What names of `.test` resolve to; no other name is looked up in this file, but `localhost`. */
const addressesOf: Readonly<Record<string, readonly string[]>> = {
  "loopback.test": ["127.0.0.1"],
  "metadata.test": ["169.254.169.254"],
  "mapped.test": ["::ffff:127.0.0.1"],
  "unspecified.test": ["0.0.0.0"],
  "six.test": ["::1"],
  "several.test": ["169.254.169.254", "127.0.0.1", "::1"],
  "upstream.test": ["127.0.0.1"],
};
const lookedUp: string[] = [];

vi.mock("node:dns", async (importOriginal) => {
  const original = await importOriginal<typeof import("node:dns")>();
  type Answer = (fault: Error | null, addresses: readonly { address: string; family: number }[]) => void;
  const lookup = (name: string, options: object, answer: Answer): void => {
    const known = addressesOf[name];
    if (known === undefined) return original.lookup(name, { ...options, all: true }, answer);
    lookedUp.push(name);
    setImmediate(() => answer(null, known.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }))));
  };
  return { ...original, lookup };
});

let lab: EgressLab;
beforeAll(() => {
  lab = createEgressLab();
});

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await killLeftovers();
  for (const close of closers.splice(0).reverse()) await close();
  lab.closeAll();
  lookedUp.length = 0;
});
afterAll(() => lab.remove());

async function start(options: StageOptions): Promise<Stage> {
  const stage = await startStage(options);
  closers.push(() => stage.close());
  return stage;
}

/** A gateway before a TLS upstream with the given egress section; `name` is how the upstream is called. */
function startBehindTls(egress: string, pair?: string): Promise<Stage> {
  return start({ through: async (port) => `https://127.0.0.1:${await lab.startTlsFront(port, pair)}`, config: egress === "" ? "" : `egress: ${egress}` });
}

const count: CallOptions = { path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] }) };
const bedrockCall: CallOptions = { path: "/bedrock/model/claude-opus-4-8/invoke", body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 64, messages: [{ role: "user", content: "x" }] }) };
const vertexCall: CallOptions = {
  path: "/vertex_ai/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-4-8:rawPredict",
  body: JSON.stringify({ anthropic_version: "vertex-2023-10-16", max_tokens: 64, messages: [{ role: "user", content: "x" }] }),
};
const unreachable = "The model provider could not be reached.";

/** An error of ours that tells nothing of the way: no host, port, proxy or certificate. */
function expectUnreachable(reply: Reply): void {
  expect(reply.status, reply.text()).toBe(502);
  const body = reply.json<ErrorBody>();
  expect(body).toMatchObject({ type: "error", error: { type: "api_error", message: unreachable } });
  expectSilent(reply);
}

function expectSilent(reply: Reply): void {
  expect(`${JSON.stringify(reply.headers)}${reply.text()}`).not.toMatch(/127\.0\.0\.1|localhost|169\.254|\.test\b|https?:|certificate|proxy|redirect|_CERT|CONNECT\b|ECONN/);
}

/** Every kind of call fails in its own form. */
async function expectUnreachableInEveryForm(stage: Stage): Promise<void> {
  for (const call of [{}, { body: messagesBody({ stream: true }) }, count]) expectUnreachable(await stage.call(call));
  const bedrock = await stage.call(bedrockCall);
  expect([bedrock.status, bedrock.json()]).toEqual([502, expect.objectContaining({ message: unreachable })]);
  const vertex = await stage.call(vertexCall);
  expect([vertex.status, vertex.text()]).toEqual([502, expect.stringContaining(unreachable)]);
  for (const reply of [bedrock, vertex]) expectSilent(reply);
  expect(stage.fake.requests).toEqual([]);
}

/** A gateway process whose log can be read. */
async function startLogged(file: string, env: Record<string, string> = {}): Promise<{ call(options?: CallOptions): Promise<Reply>; requestLines(): readonly Record<string, unknown>[]; printed(): string }> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-egress-process-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "tollgate.yaml");
  writeFileSync(path, file.replace("level: silent", "level: info"));
  const gateway = startGatewayProcess({ cwd: folder, args: ["--config", path, "--data-dir", join(folder, "data")], env });
  const url = await gateway.ready;
  const key = readFileSync(join(folder, "data", "developer-key"), "utf8").trim();
  const printed = (): string => gateway.stdout() + gateway.stderr();
  return {
    async call(options = {}) {
      const reply = await openCall(url, key, options);
      return { ...reply, isComplete: await reply.ended };
    },
    requestLines: () =>
      gateway
        .stdout()
        .split("\n")
        .filter((line) => line.startsWith("{") && line.includes('"msg":"request"'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    printed,
  };
}

describe("egress.ca_file", () => {
  it("lets an upstream of a private authority be reached, for plain replies, streams and counts", async () => {
    const stage = await startBehindTls(`{ca_file: "${lab.file("authority.pem")}"}`);
    const plain = await stage.call();
    expect(plain.status, plain.text()).toBe(200);
    expect(stage.received(plain.session).headers["x-api-key"]).toBe(upstreamKey);
    const stream = await stage.call({ body: messagesBody({ stream: true }) });
    expect(checkStreamGrammar(stream.bytes())).toMatchObject({ ok: true, outcome: "stop" });
    expect((await stage.call(count)).json()).toMatchObject({ input_tokens: expect.any(Number) as number });
  });

  it.each([
    ["is absent", "", undefined],
    ["names another authority", "stranger.pem", undefined],
    ["fits, but the certificate is for another host", "authority.pem", "elsewhere"],
  ])("that %s leaves the upstream unreached, told in the caller's form without any address", async (_what, file, pair) => {
    const stage = await startBehindTls(file === "" ? "" : `{ca_file: "${lab.file(file)}"}`, pair);
    await expectUnreachableInEveryForm(stage);
  });

  it.each([
    ["holds no certificate", "hello", "this file holds no certificates in PEM, or a part of one cannot be read"],
    ["is cut off", "-----BEGIN CERTIFICATE-----\nMIIB", "this file holds no certificates in PEM, or a part of one cannot be read"],
    ["is not there", undefined, "this file cannot be read (ENOENT)"],
  ])("that %s stops the start, with its place", async (_what, text, message) => {
    const file = lab.file("spoilt.pem");
    if (text === undefined) rmSync(file, { force: true });
    else writeFileSync(file, text);
    const started = startHarness({ upstreamUrl: "http://127.0.0.1:1", config: `egress:\n  ca_file: "${file}"` });
    await expect(started).rejects.toMatchObject({ exitCode: 78, notices: [{ line: 7, column: 12, path: "egress.ca_file", message }] });
  });
});

describe("NODE_EXTRA_CA_CERTS", () => {
  it("does the same, also beside ca_file; without either the log names what to do", async () => {
    const stage = await start({});
    const upstreamUrl = `https://127.0.0.1:${await lab.startTlsFront(stage.fake.port)}`;
    const lost = await startLogged(configText({ upstreamUrl }));
    expectUnreachable(await lost.call());
    await until("the line", () => lost.requestLines().length > 0);
    expect(lost.requestLines()).toMatchObject([{ status: 502, code: "upstream_unreachable", internal: expect.stringMatching(/UNABLE_TO_VERIFY_LEAF_SIGNATURE.*egress\.ca_file or NODE_EXTRA_CA_CERTS/) as string }]);
    for (const config of ["", `egress: {ca_file: "${lab.file("stranger.pem")}"}`]) {
      const found = await startLogged(configText({ upstreamUrl, config }), { NODE_EXTRA_CA_CERTS: lab.file("authority.pem") });
      const reply = await found.call();
      expect(reply.status, reply.text()).toBe(200);
      // Node.js warns of what it finds doubtful in an outgoing connection.
      expect(found.printed()).not.toMatch(/Warning/);
    }
    expect(stage.fake.requests).toHaveLength(2);
  }, 40_000);
});

/** A gateway whose upstream is `https://upstream.test[:port]`, which only the proxy knows how to reach. */
async function startBehindProxy(options: { readonly login?: string; readonly env?: "HTTPS_PROXY" | "https_proxy"; readonly noProxy?: string; readonly noProxyVariable?: string; readonly secureProxy?: boolean; readonly own?: string; readonly more?: string }): Promise<{ stage: Stage; proxy: RecordingProxy }> {
  let front = 0;
  const proxy = await lab.startProxy(() => front, options.secureProxy === true ? "upstream" : undefined);
  const address = `${options.secureProxy === true ? "https" : "http"}://${options.login ?? ""}127.0.0.1:${proxy.port}`;
  const egress = [`ca_file: "${lab.file("authority.pem")}"`, options.own ?? (options.env === undefined ? `proxy: "${address}"` : ""), options.noProxy === undefined || options.noProxyVariable !== undefined ? "" : `no_proxy: ["${options.noProxy}"]`];
  const stage = await start({
    config: `egress: {${egress.filter((part) => part !== "").join(", ")}}\n${options.more ?? ""}`,
    env: { ...(options.env === undefined ? {} : { [options.env]: address }), ...(options.noProxyVariable === undefined ? {} : { [options.noProxyVariable]: options.noProxy ?? "" }) },
    async through(port) {
      front = await lab.startTlsFront(port);
      return "https://upstream.test";
    },
  });
  return { stage, proxy };
}

describe("egress.proxy", () => {
  it("carries every request, and sees no more than where it goes and its own login", async () => {
    const { stage, proxy } = await startBehindProxy({ login: "gate:p%40ss%3Aword@" });
    const calls: CallOptions[] = [{}, { body: messagesBody({ stream: true }) }, count, bedrockCall, { headers: { "x-api-key": null, "proxy-authorization": `Bearer ${stage.key}` } }];
    for (const call of calls) {
      const reply = await stage.call(call);
      expect(reply.status, reply.text()).toBe(200);
    }
    expect(stage.fake.requests).toHaveLength(calls.length);
    expect(lookedUp).toEqual([]);
    expect(new Set(proxy.heads)).toEqual(new Set([`CONNECT upstream.test:443 HTTP/1.1\r\nhost: upstream.test:443\r\nproxy-authorization: Basic ${Buffer.from("gate:p@ss:word").toString("base64")}\r\n\r\n`]));
    for (const secret of [stage.key, upstreamKey, "claude-opus"]) expect(proxy.bytes()).not.toContain(secret);
    for (const { headers } of stage.fake.requests) expect(JSON.stringify(headers)).not.toMatch(/proxy-auth|p@ss|gate:/);
  });

  it("may lead a stream that lasts longer than a connection may take to open", async () => {
    const { stage } = await startBehindProxy({ more: "timeouts: {connect: 200ms}" });
    const stream = await stage.call({ body: messagesBody({ stream: true }), behaviour: { text: "word ".repeat(30), deltaCharacters: 5, writeDelayMs: 25 } });
    expect(checkStreamGrammar(stream.bytes())).toMatchObject({ ok: true, outcome: "stop" });
  });

  it("gets no login when its address has none", async () => {
    const { stage, proxy } = await startBehindProxy({});
    expect((await stage.call()).status).toBe(200);
    expect(proxy.heads).toEqual(["CONNECT upstream.test:443 HTTP/1.1\r\nhost: upstream.test:443\r\n\r\n"]);
  });

  it("may speak TLS itself, with a certificate of the private authority", async () => {
    const { stage, proxy } = await startBehindProxy({ secureProxy: true, login: "gate:word@" });
    const reply = await stage.call();
    expect(reply.status, reply.text()).toBe(200);
    expect(proxy.asked()).toEqual(["CONNECT upstream.test:443 HTTP/1.1"]);
  });

  it("tunnels to upstreams without TLS too, and uses a tunnel again", async () => {
    let port = 0;
    const proxy = await lab.startProxy(() => port);
    const stage = await start({
      config: `egress: {proxy: "127.0.0.1:${proxy.port}"}`,
      through: (fakePort) => Promise.resolve(`http://upstream.test:${(port = fakePort)}`),
    });
    for (let turn = 0; turn < 3; turn++) expect((await stage.call()).status).toBe(200);
    expect(proxy.asked()).toEqual([`CONNECT upstream.test:${port} HTTP/1.1`]);
  });

  it.each(["HTTPS_PROXY", "https_proxy"] as const)("is %s when the file names none", async (env) => {
    const { stage, proxy } = await startBehindProxy({ env, login: "gate:word@" });
    expect((await stage.call()).status).toBe(200);
    expect(proxy.heads[0]).toContain(`proxy-authorization: Basic ${Buffer.from("gate:word").toString("base64")}`);
  });

  it("that is empty switches the environment's off", async () => {
    const { stage, proxy } = await startBehindProxy({ env: "HTTPS_PROXY", own: 'proxy: ""' });
    expectUnreachable(await stage.call());
    expect([proxy.heads, lookedUp]).toEqual([[], ["upstream.test"]]);
  });

  it.each([
    ["NO_PROXY", "upstream.test"],
    ["no_proxy", "other.example, .test"],
    ["NO_PROXY", "*"],
    [undefined, "*.test"],
  ])("is passed by for exceptions (%s: %s)", async (variable, exceptions) => {
    const { stage, proxy } = await startBehindProxy({ env: "HTTPS_PROXY", noProxy: exceptions, ...(variable === undefined ? {} : { noProxyVariable: variable }) });
    // By its name this upstream leads to this machine, so the direct way ends at the guard; that it was taken is what counts.
    expectUnreachable(await stage.call());
    expect([proxy.heads, lookedUp]).toEqual([[], ["upstream.test"]]);
  });

  it.each([
    ["NO_PROXY of the environment", "", { NO_PROXY: "127.0.0.1" }],
    ["no_proxy of the environment", "", { no_proxy: "example.com 127.0.0.1" }],
    ["no_proxy of the file", ", no_proxy: [127.0.0.1]", {}],
  ])("is passed by for an address in %s, which is then reached directly", async (_where, own, env) => {
    const proxy = await lab.startProxy(() => ({ answer: "HTTP/1.1 500 No\r\n\r\n" }));
    const stage = await start({ config: `egress: {proxy: "http://127.0.0.1:${proxy.port}"${own}}`, env });
    expect((await stage.call()).status).toBe(200);
    expect(proxy.heads).toEqual([]);
  });

  it("of the environment is never asked for this machine, one of the file is", async () => {
    const proxy = await lab.startProxy(() => ({ answer: "HTTP/1.1 500 No\r\n\r\n" }));
    const address = `http://127.0.0.1:${proxy.port}`;
    expect((await (await start({ env: { HTTPS_PROXY: address } })).call()).status).toBe(200);
    expect(proxy.heads).toEqual([]);
    expectUnreachable(await (await start({ config: `egress: {proxy: "${address}"}` })).call());
    expect(proxy.heads).toHaveLength(1);
  });

  it("that refuses, breaks off or is not there is a clear error for the client, and the log tells what to do", async () => {
    const answers: Readonly<Record<string, Treatment>> = {
      "upstream.test:407": { answer: 'HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="company"\r\ncontent-length: 5\r\n\r\nlogin' },
      "upstream.test:403": { answer: "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n" },
      "upstream.test:502": { answer: "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<h1>502</h1>\n" },
      "upstream.test:302": { answer: "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.test/login\r\ncontent-length: 0\r\n\r\n" },
      "upstream.test:1": { answer: "SSH-2.0-OpenSSH_9.2\r\n\r\n" },
      "upstream.test:2": { answer: "" },
      "upstream.test:3": "break",
    };
    const proxy = await lab.startProxy((target) => answers[target]!);
    const ports = Object.keys(answers).map((target) => target.split(":")[1]!);
    const places = ports.map((port) => `p${port}: {kind: anthropic, base_url: "https://upstream.test:${port}", api_key: "${upstreamKey}"}`);
    const file = (egress: string): string => `${configText({ upstreamUrl: "", models: "models:", config: egress }).replace(/providers: .*/, `providers: {${places.join(", ")}}`)}`.replace("models:", `models:\n${ports.map((port) => `  - {name: claude-${port}, provider: p${port}, model: claude-opus-4-8}`).join("\n")}`);
    const site = await startLogged(file(`egress: {proxy: "http://gate:passw0rd-of-the-proxy@127.0.0.1:${proxy.port}"}`));
    const told: Record<string, unknown> = {};
    for (const port of ports) {
      const reply = await site.call({ body: messagesBody({ model: `claude-${port}` }) });
      expectUnreachable(reply);
      for (const name of ["proxy-authenticate", "location", "www-authenticate"]) expect(reply.headers).not.toHaveProperty(name);
      const lines = await until("the line", () => (site.requestLines().length > Object.keys(told).length ? site.requestLines() : undefined));
      told[port] = lines.at(-1)!["internal"];
    }
    expect(told).toMatchObject({
      407: expect.stringMatching(/^the proxy answered 407: it does not take the login that egress\.proxy or HTTPS_PROXY has$/) as string,
      403: expect.stringMatching(/^the proxy answered 403: .*upstream\.test:403.*egress\.no_proxy or NO_PROXY$/) as string,
      502: expect.stringMatching(/^the proxy answered 502: it cannot reach upstream\.test:502 itself/) as string,
      302: expect.stringMatching(/^the proxy answered 302 .*is an HTTP proxy that tunnels$/) as string,
      1: expect.stringMatching(/^the proxy's answer: .*egress\.proxy or HTTPS_PROXY/) as string,
      2: expect.stringMatching(/^the proxy .*egress\.proxy or HTTPS_PROXY/) as string,
      3: expect.stringMatching(/ECONNRESET|closed|disconnected/) as string,
    });
    expect(site.printed()).not.toMatch(/passw0rd-of-the-proxy|Z2F0ZTpwYXNzdzByZC1vZi10aGUtcHJveHk/);
    expect(proxy.bytes()).not.toContain(upstreamKey);

    const gone = await lab.startProxy(() => 1);
    gone.close();
    const open = await startLogged(file(`egress: {proxy: "http://127.0.0.1:${gone.port}"}`));
    expectUnreachable(await open.call({ body: messagesBody({ model: "claude-407" }) }));
    const [line] = await until("the line", () => (open.requestLines().length > 0 ? open.requestLines() : undefined));
    expect(line!["internal"]).toMatch(/^the proxy: ECONNREFUSED .*; check egress\.proxy or HTTPS_PROXY$/);
  }, 40_000);

  it("that wants a login and is given none leads to a 502, not to a 407, and the log says where a login is written", async () => {
    const proxy = await lab.startProxy(() => ({ answer: "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n" }));
    const site = await startLogged(configText({ upstreamUrl: "https://upstream.test" }), { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` });
    expectUnreachable(await site.call());
    const [line] = await until("the line", () => (site.requestLines().length > 0 ? site.requestLines() : undefined));
    expect(line!["internal"]).toMatch(/^the proxy answered 407: it wants a login; write egress\.proxy or HTTPS_PROXY as http:\/\/user:password@host:port$/);
  });
});

describe("a name that leads to this machine or to a metadata service", () => {
  it("is refused for requests and counts, whatever else it resolves to; what the configuration writes as an address is not", async () => {
    const names = Object.keys(addressesOf);
    let port = 0;
    const stage = await start({
      through: (fakePort) => Promise.resolve(`http://localhost:${(port = fakePort)}`),
      models: `models:\n  - {name: "claude-*", provider: anthropic}\n${names.map((name, index) => `  - {name: claude-${index}, provider: p${index}, model: claude-opus-4-8}`).join("\n")}`,
      get providers() {
        return names.map((name, index) => `p${index}: {kind: anthropic, base_url: "http://${name}:${port}", api_key: "${upstreamKey}"}`).join(", ");
      },
    });
    expect((await stage.call()).status).toBe(200);
    const { connections } = stage.fake;
    for (const [index, name] of names.entries()) {
      for (const call of [{ body: messagesBody({ model: `claude-${index}` }) }, { ...count, body: String(count.body).replace("claude-opus-4-8", `claude-${index}`) }]) {
        expectUnreachable(await stage.call(call));
        expect(lookedUp.at(-1)).toBe(name);
      }
    }
    expect(stage.fake.connections).toBe(connections);
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("with status %i is not followed, and its address goes nowhere", async (status) => {
    let visits = 0;
    const trap = await lab.listen(
      createServer((socket) => {
        visits += 1;
        socket.destroy();
      }),
    );
    const stage = await start({});
    const location = `http://127.0.0.1:${trap}/v1/messages`;
    stage.fake.scriptOther(() => ({ status, headers: { location } }));
    for (const call of [{ behaviour: { status, headers: { location } } }, { body: messagesBody({ stream: true }), behaviour: { status, headers: { location } } }, count]) {
      const before = stage.fake.requests.length;
      const reply = await stage.call(call);
      expect(reply.status, reply.text()).toBe(502);
      expect(reply.json<ErrorBody>()).toMatchObject({ type: "error", error: { type: "api_error" } });
      expect(reply.headers).not.toHaveProperty("location");
      expectSilent(reply);
      expect(stage.fake.requests.length).toBe(before + 1);
    }
    expect(visits).toBe(0);
  });
});

describe("nothing that a client writes", () => {
  it("chooses a host", async () => {
    const { stage, proxy } = await startBehindProxy({});
    const evil = "http://evil.test:8080";
    const hints = Object.fromEntries(["x-forwarded-host", "x-forwarded-server", "x-original-url", "x-rewrite-url", "x-host", "forwarded", "anthropic-base-url", "x-litellm-api-base", "x-tollgate-upstream", "referer", "origin"].map((name) => [name, evil]));
    expect((await stage.call({ headers: hints })).status).toBe(200);
    expect((await stage.call({ headers: { host: "evil.test" } })).status).toBe(200);
    expect((await stage.call({ path: `/v1/messages?api_base=${encodeURIComponent(evil)}&base_url=//evil.test` })).status).toBe(200);
    // Members that other gateways read a destination from; the strict upstream refuses them by name.
    await stage.call({ body: messagesBody({ api_base: evil, base_url: evil }) });
    for (const model of [evil, `${evil}/claude-opus-4-8`, "anthropic/claude-opus-4-8", "claude-x@evil.test/../.."]) await stage.call({ body: messagesBody({ model }) });
    for (const target of [`${evil}/v1/messages`, "//evil.test/v1/messages", "/v1/messages/../../evil"]) {
      const text = await rawExchange(stage.port, `POST ${target} HTTP/1.1\r\nhost: evil.test\r\nx-api-key: ${stage.key}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
      expect(text).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(await rawExchange(stage.port, "CONNECT evil.test:443 HTTP/1.1\r\nhost: evil.test:443\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(new Set(proxy.asked())).toEqual(new Set(["CONNECT upstream.test:443 HTTP/1.1"]));
    for (const { headers } of stage.fake.requests) expect(headers["host"]).toBe("upstream.test");
    expect(lookedUp).toEqual([]);
  });
});
