/**
 * Guarantee: every way in which Claude Code can be given a Tollgate key works with the real client, old and new: a static
 * token, an API key, a helper script whose key rotates while a session runs. `Proxy-Authorization`, which old versions send
 * too, does no harm and never reaches the provider. A key that is no longer good ends the session at once.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newest, versions } from "./clients.ts";
import { adminKey } from "./gateway-process.ts";
import { scene, type Scene } from "./stage.ts";
import { working } from "./turns.ts";

/** How long a client may use a helper's key before it asks again. */
const helperTtlMs = 400;
const helperTurns = 7;

describe.each(versions)("Claude Code $version", (client) => {
  it("answers with a static token in ANTHROPIC_AUTH_TOKEN", async () => {
    await scene({}, async (stage) => {
      stage.fake.setDefault({ text: "static token works" });
      const key = await stage.key();
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: key } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "static token works\n" });
      const { headers } = stage.sent()[0]!;
      expect(headers["authorization"]).toBe(`Bearer ${key}`);
      expect(headers["proxy-authorization"]).toBe(client.hasProxyAuthorization ? `Bearer ${key}` : undefined);
      expect("x-claude-code-session-id" in headers).toBe(client.hasSessionId);
    });
  });

  it("answers with a key in ANTHROPIC_API_KEY", async () => {
    await scene({}, async (stage) => {
      stage.fake.setDefault({ text: "api key works" });
      const key = await stage.key();
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_API_KEY: key } });
      expect(run).toMatchObject({ exitCode: 0, stdout: "api key works\n" });
      expect(stage.sent()[0]!.headers["x-api-key"]).toBe(key);
    });
  });

  it("works on through five lifetimes of a helper's key that rotates", async () => {
    await scene({}, async (stage) => {
      stage.fake.script(working({ command: "sleep 0.5; echo step", calls: helperTurns, text: "rotation survived" }));
      const helper = rotatingHelper(stage, await stage.key());
      const run = await stage.run(client, {
        prompt: "Work.",
        args: ["--allowedTools", "Bash"],
        env: { CLAUDE_CODE_API_KEY_HELPER_TTL_MS: String(helperTtlMs) },
        settings: { apiKeyHelper: helper.command },
      });
      const given = helper.given();
      for (const key of given) stage.keepSecret(key);
      expect(run).toMatchObject({ exitCode: 0, stdout: "rotation survived\n" });
      const used = new Set(stage.sent().map(({ headers }) => headers["authorization"]));
      expect(used.size).toBeGreaterThanOrEqual(6);
      expect(given.length).toBeGreaterThanOrEqual(used.size);
      // Nothing failed on the way: the overlap carries the request that still holds the key before.
      expect(stage.received()).toHaveLength(stage.sent().length);
    });
  });

  it("is refused at once, with the gateway's sentence, when its key was revoked", async () => {
    await scene({}, async (stage) => {
      const key = await stage.key();
      await stage.gateway.admin("POST", "/key/delete", { keys: [key] });
      const run = await stage.run(client, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: key, CLAUDE_CODE_MAX_RETRIES: "10" } });
      expect(run.exitCode).toBe(1);
      expect(run.output).toMatch(/401/);
      expect(run.output).toMatch(/key/i);
      expect(run.durationMs).toBeLessThan(10_000);
      stage.expect({ heldBack: client.requestsPerRefusal });
      expect(stage.sent()).toHaveLength(client.requestsPerRefusal);
    });
  });
});

describe(`Claude Code ${newest.version} with two credentials`, () => {
  const pairs = [
    { settings: "ANTHROPIC_AUTH_TOKEN and ANTHROPIC_API_KEY", has: { token: true, apiKey: true, helper: false }, billed: "token" },
    { settings: "ANTHROPIC_AUTH_TOKEN and apiKeyHelper", has: { token: true, apiKey: false, helper: true }, billed: "token" },
    { settings: "ANTHROPIC_API_KEY and apiKeyHelper", has: { token: false, apiKey: true, helper: true }, billed: "helper" },
    { settings: "all three", has: { token: true, apiKey: true, helper: true }, billed: "token" },
  ] as const;

  it.each(pairs)("bills the bearer's key when both are given: $settings", async ({ has, billed }) => {
    await scene({}, async (stage) => {
      const keys = { token: await stage.key({ key_alias: "token" }), apiKey: await stage.key({ key_alias: "api-key" }), helper: await stage.key({ key_alias: "helper" }) };
      const helper = join(stage.folder, "helper.sh");
      writeFileSync(helper, `#!/bin/sh\necho ${keys.helper}\n`);
      chmodSync(helper, 0o755);
      const run = await stage.run(newest, {
        prompt: "Say it.",
        env: { ...(has.token ? { ANTHROPIC_AUTH_TOKEN: keys.token } : {}), ...(has.apiKey ? { ANTHROPIC_API_KEY: keys.apiKey } : {}) },
        ...(has.helper ? { settings: { apiKeyHelper: helper } } : {}),
      });
      expect(run.exitCode).toBe(0);
      expect(stage.sent()[0]!.headers["authorization"]).toBe(`Bearer ${keys[billed]}`);
      await stage.verify();
      const { info } = await stage.gateway.admin<{ info: { spend: number } }>("GET", `/key/info?key=${keys[billed]}`);
      expect(info.spend).toBeGreaterThan(0);
    });
  });

  it("works when only one of the two headers holds a Tollgate key", async () => {
    await scene({}, async (stage) => {
      stage.keepSecret("sk-ant-somebody-elses-key");
      const run = await stage.run(newest, { prompt: "Say it.", env: { ANTHROPIC_AUTH_TOKEN: "sk-ant-somebody-elses-key", ANTHROPIC_API_KEY: await stage.key() } });
      expect(run.exitCode).toBe(0);
    });
  });
});

describe(`Claude Code ${newest.version} with a helper`, () => {
  it("recovers by itself when its key stops being good in the middle of a session", async () => {
    await scene({}, async (stage) => {
      const [before, after] = [await stage.key(), await stage.key()];
      const keyFile = join(stage.folder, "key");
      const done = join(stage.folder, "key-was-replaced");
      writeFileSync(keyFile, before);
      const replaceKey = async (): Promise<void> => {
        writeFileSync(keyFile, after);
        await stage.gateway.admin("POST", "/key/delete", { keys: [before] });
        writeFileSync(done, "");
      };
      const work = working({ command: `until [ -e ${done} ]; do sleep 0.02; done; echo step`, calls: 2, text: "healed" });
      let replacing: Promise<void> | undefined;
      stage.fake.script((request, body) => {
        replacing ??= replaceKey();
        return work(request, body);
      });
      const run = await stage.run(newest, { prompt: "Work.", args: ["--allowedTools", "Bash"], env: {}, settings: { apiKeyHelper: `cat ${keyFile}` } });
      await replacing;
      expect(run).toMatchObject({ exitCode: 0, stdout: "healed\n" });
      // One request with the dead key, then the helper was run again.
      expect(stage.sent().map(({ headers }) => headers["x-api-key"])).toEqual([before, before, after, after]);
      stage.expect({ heldBack: 1 });
    });
  });

  it("gets short-lived tokens from a helper of three lines", async () => {
    await scene({}, async (stage) => {
      stage.fake.script(working({ command: "sleep 0.5; echo step", calls: 2, text: "token works" }));
      const key = await stage.key();
      const helper = join(stage.folder, "helper.sh");
      writeFileSync(helper, `#!/bin/sh\ncurl -sf -X POST ${stage.gateway.url}/v1/me/token -H "Authorization: Bearer ${key}" |\n  sed -n 's/.*"token": *"\\([^"]*\\)".*/\\1/p'\n`);
      chmodSync(helper, 0o755);
      const run = await stage.run(newest, {
        prompt: "Work.",
        args: ["--allowedTools", "Bash"],
        env: { CLAUDE_CODE_API_KEY_HELPER_TTL_MS: String(helperTtlMs) },
        settings: { apiKeyHelper: helper },
      });
      expect(run).toMatchObject({ exitCode: 0, stdout: "token works\n" });
      const used = [...new Set(stage.sent().map(({ headers }) => headers["x-api-key"]))];
      // The same token to all callers until half its life: prompt caches and connection pools stay warm.
      expect(used).toHaveLength(1);
      expect(used[0]).not.toBe(key);
      stage.keepSecret(used[0]!);
    });
  });
});

/** A helper command that rotates the key each time it is run, and what it has given out so far, oldest first. */
function rotatingHelper(stage: Scene, firstKey: string): { readonly command: string; given(): string[] } {
  const state = join(stage.folder, "helper-keys");
  writeFileSync(state, `${firstKey}\n`);
  const script = join(import.meta.dirname, "rotating-helper.ts");
  return {
    command: [process.execPath, script, stage.gateway.url, adminKey, state].join(" "),
    given: () => readFileSync(state, "utf8").trim().split("\n"),
  };
}
