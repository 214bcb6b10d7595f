/**
 * Guarantee: `x-claude-code-*` headers stay here when they are switched off; web pages of other origins move nothing in the
 * control plane; the audit table holds the address that a trusted proxy vouches for, and the keys that a first start made.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, it } from "vitest";
import { startGateway, type Gateway } from "../../src/main.ts";
import { adminKey, configText, messagesBody } from "../support/harness.ts";
import { openCall, startStage, type Reply, type Stage } from "./stage.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(config = ""): Promise<Stage> {
  const stage = await startStage({ config });
  closers.push(() => stage.close());
  return stage;
}

interface AuditLine {
  readonly action: string;
  readonly actor: string;
  readonly object: string;
  readonly source_address: string;
  readonly details: string;
}

/** The audit table as SQLite has it, oldest first, while the gateway runs. */
function auditOf(dataDir: string): readonly AuditLine[] {
  const database = new DatabaseSync(join(dataDir, "tollgate.db"), { readOnly: true });
  try {
    return database.prepare("SELECT action, actor, object, source_address, details FROM audit ORDER BY seq").all() as unknown as AuditLine[];
  } finally {
    database.close();
  }
}

describe("forward.claude_code_headers", () => {
  const own = { "x-claude-code-session-id": "s-1", "x-claude-code-agent-id": "a-1", "X-Claude-Code-Made-Up-Next-Year": "1", "x-app": "cli", "anthropic-beta": "a-beta-2026-01-01" };
  const ofClaudeCode = (headers: Readonly<Record<string, unknown>>): readonly string[] => Object.keys(headers).filter((name) => name.startsWith("x-claude-code-"));
  const calls = [
    { headers: own },
    { headers: own, body: messagesBody({ stream: true }) },
    { headers: own, path: "/v1/messages/count_tokens", body: JSON.stringify({ model: "claude-opus-4-8", messages: [{ role: "user", content: "x" }] }) },
    { headers: own, path: "/bedrock/model/claude-opus-4-8/invoke", body: JSON.stringify({ anthropic_version: "bedrock-2023-05-31", max_tokens: 8, messages: [{ role: "user", content: "x" }] }) },
  ];

  it("that is false keeps them all here, and nothing else; the ledger knows the session all the same", async () => {
    const stage = await start("forward: {claude_code_headers: false}");
    for (const call of calls) {
      const reply = await stage.call(call);
      expect(reply.status, reply.text()).toBe(200);
      const arrived = stage.fake.requests.at(-1)!.headers;
      expect(ofClaudeCode(arrived)).toEqual([]);
      expect(arrived["x-app"]).toBe("cli");
      expect(arrived["anthropic-beta"]).toContain("a-beta-2026-01-01");
    }
    const rows = await stage.rows("s-1", 3);
    expect(rows).toHaveLength(3);
  });

  it("that is absent lets them pass, unknown ones too", async () => {
    const stage = await start();
    for (const call of calls) {
      expect((await stage.call(call)).status).toBe(200);
      expect(ofClaudeCode(stage.fake.requests.at(-1)!.headers).toSorted()).toEqual(["x-claude-code-agent-id", "x-claude-code-made-up-next-year", "x-claude-code-session-id"]);
    }
  });
});

describe("a web page", () => {
  /** Calls of the control plane, an admin's and a developer's, reading and writing. */
  const paths = [
    ["POST", "/key/generate"],
    ["GET", "/key/list"],
    ["GET", "/api/v1/usage?by=key"],
    ["POST", "/v1/me/token"],
    ["GET", "/v1/me"],
  ] as const;
  const withKey = (stage: Stage, method: string, path: string, headers: Readonly<Record<string, string>>): Promise<Reply> =>
    stage.call({ method, path, body: method === "POST" ? "{}" : null, headers: { "x-api-key": null, authorization: `Bearer ${path.startsWith("/v1/me") ? stage.key : adminKey}`, ...headers } });

  it.each<[string, Record<string, string>]>([
    ["of another site", { "sec-fetch-site": "cross-site" }],
    ["of a sibling host", { "sec-fetch-site": "same-site" }],
    ["of another origin", { origin: "https://evil.test" }],
    ["of another port of this machine", { origin: "http://127.0.0.1:1" }],
    ["without an origin, such as a file or a sandboxed frame", { origin: "null" }],
    ["of another origin, whatever the browser says of the site", { origin: "https://evil.test", "sec-fetch-site": "same-origin" }],
  ])("%s is refused with a key that is good, and moves nothing", async (_what, headers) => {
    const stage = await start();
    const before = auditOf(stage.harness.dataDir).filter(({ action }) => action !== "request.refused");
    for (const [method, path] of paths) {
      const reply = await withKey(stage, method, path, headers);
      expect([reply.status, reply.json()]).toEqual([403, { error: { message: "Requests from web pages of another origin are refused.", type: "permission_error", param: null, code: "403" } }]);
      expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control-"))).toEqual([]);
    }
    expect(auditOf(stage.harness.dataDir).filter(({ action }) => action !== "request.refused")).toEqual(before);
  });

  it("that this gateway served itself, or a program without an origin, is let in", async () => {
    const stage = await start();
    const host = `127.0.0.1:${stage.port}`;
    for (const headers of [{}, { origin: `http://${host}` }, { origin: `https://${host}`, "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }]) {
      for (const [method, path] of paths) {
        const reply = await withKey(stage, method, path, headers as Record<string, string>);
        expect([path, reply.status], reply.text()).toEqual([path, 200]);
      }
    }
  });

  it("that asks beforehand is promised nothing", async () => {
    const stage = await start();
    for (const path of ["/key/generate", "/v1/messages", "/metrics", "/v1/models"]) {
      const reply = await stage.call({ method: "OPTIONS", path, body: null, headers: { "x-api-key": null, origin: "https://evil.test", "access-control-request-method": "POST", "access-control-request-headers": "x-api-key" } });
      expect([path, reply.status]).toEqual([path, 405]);
      expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control-"))).toEqual([]);
    }
  });

  it("without a valid key learns nothing of the rule", async () => {
    const stage = await start();
    const reply = await stage.call({ path: "/key/list", method: "GET", body: null, headers: { "x-api-key": "sk-wrong", origin: "https://evil.test" } });
    expect(reply.status).toBe(401);
  });
});

describe("listen.trusted_proxies", () => {
  async function recordedFor(trusted: string | undefined, forwarded: string | readonly string[] | null): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-clauses-"));
    const path = join(folder, "tollgate.yaml");
    const text = configText({ upstreamUrl: "http://127.0.0.1:1" });
    writeFileSync(path, trusted === undefined ? text : text.replace("port: 0}", `port: 0, trusted_proxies: ${trusted}}`));
    const gateway = await startGateway({ configPath: path, dataDir: join(folder, "data"), insecureDevKey: false, acceptUnenforced: [], env: {} });
    closers.push(async () => {
      await gateway.close(0);
      rmSync(folder, { recursive: true });
    });
    const reply = await openCall(gateway.url, adminKey, { path: "/key/generate", body: '{"key_alias": "made-by-test"}', headers: { "x-forwarded-for": forwarded } });
    await reply.ended;
    expect(reply.status, reply.text()).toBe(200);
    return auditOf(join(folder, "data")).findLast(({ action }) => action === "key.create")!.source_address;
  }

  it.each<[string, string | undefined, string | readonly string[] | null, string]>([
    ["is read when the peer is one", "[127.0.0.0/8]", "203.0.113.9", "203.0.113.9"],
    ["is read from the right, past further proxies, to the first address that nobody vouches for", "[127.0.0.1, 10.0.0.0/8]", "198.51.100.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"],
    ["is read as one list when it came twice", "[127.0.0.1]", ["198.51.100.66", "203.0.113.9"], "203.0.113.9"],
    ["is not read when the peer is none of them", "[10.0.0.0/8]", "203.0.113.9", "127.0.0.1"],
    ["is not read when there are none", undefined, "203.0.113.9", "127.0.0.1"],
    ["is not read where it is no address", "[127.0.0.1]", "somewhere", "127.0.0.1"],
    ["may be missing", "[127.0.0.1]", null, "127.0.0.1"],
  ])("x-forwarded-for %s", async (_what, trusted, forwarded, address) => {
    expect(await recordedFor(trusted, forwarded)).toBe(address);
  });
});

describe("the audit table of a first start", () => {
  let folder = "";
  async function begin(config = ""): Promise<Gateway> {
    const path = join(folder, "tollgate.yaml");
    writeFileSync(path, `listen: {port: 0}\nlogging: {level: silent}\nproviders: {demo: {kind: demo}}\nmodels: [{name: "claude-*", provider: demo}]\n${config}`);
    return startGateway({ configPath: path, dataDir: join(folder, "data"), insecureDevKey: false, acceptUnenforced: [], env: {} });
  }
  function prepare(): void {
    folder = mkdtempSync(join(tmpdir(), "tollgate-clauses-"));
    closers.push(() => rmSync(folder, { recursive: true }));
  }
  const keysMade = (): readonly AuditLine[] => auditOf(join(folder, "data")).filter(({ action }) => action === "admin_key.create" || action === "key.create");

  it("holds the admin key and the developer key that it made, once, by the gateway and without the keys", async () => {
    prepare();
    const gateway = await begin();
    const developerKey = readFileSync(join(folder, "data", "developer-key"), "utf8").trim();
    const madeAdminKey = readFileSync(join(folder, "data", "admin-key"), "utf8").trim();
    const info = (await (await fetch(`${gateway.url}/key/info`, { headers: { authorization: `Bearer ${developerKey}` } })).json()) as { info: { key_alias: string } };
    expect(info.info.key_alias).toBe("first-developer");
    const lines = keysMade();
    expect(lines).toMatchObject([
      { action: "admin_key.create", actor: "gateway", object: "admin", source_address: "" },
      { action: "key.create", actor: "gateway", object: expect.stringMatching(/^key_/) as string, source_address: "" },
    ]);
    expect(JSON.parse(lines[1]!.details)).toMatchObject({ after: { alias: "first-developer" } });
    for (const key of [developerKey, madeAdminKey]) expect(JSON.stringify(auditOf(join(folder, "data")))).not.toContain(key);
    await gateway.close(0);
    await (await begin()).close(0);
    expect(keysMade()).toEqual(lines);
  });

  it("holds no admin key where the configuration names one", async () => {
    prepare();
    await (await begin(`admin: {key: "${adminKey}"}\n`)).close(0);
    expect(keysMade().map(({ action, actor }) => [action, actor])).toEqual([["key.create", "gateway"]]);
  });
});
