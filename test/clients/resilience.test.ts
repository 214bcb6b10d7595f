/**
 * Guarantee: Claude Code works on, inside a tool loop, whatever happens behind or to the gateway: a target that is overloaded for ever or dies,
 * keys that are rotated, a configuration that is read again, a process that gives way to another. The session ends well, the tool runs
 * exactly once, every stream is legal, and each attempt that a provider bills is one row of the ledger.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { newest } from "./clients.ts";
import { until } from "../support/harness.ts";
import { resilienceStage, type ResilienceStage } from "./resilience-stage.ts";
import { hasTerminal } from "./terminal.ts";
import { isMainTurn, toolResults, working } from "./turns.ts";
import type { Behaviour, JsonObject, Script } from "../support/fake-anthropic-types.ts";

const text = "all is well";

/** Slow enough to be met on its way: about a second and a half. */
const slowly: Behaviour = { writeDelayMs: 100 };

/** So many runs of the tool, then the answer. */
function atWork(stage: ResilienceStage, calls = 1): Script {
  return working({ command: stage.command, calls, text, isThinking: true });
}

/** Another behaviour for the first main turn that brings so many tool results. */
function once(work: Script, results: number, behaviour: Behaviour): Script {
  let isDone = false;
  return (request, body) => {
    if (isDone || !isMainTurn(body) || toolResults(body) !== results) return work(request, body);
    isDone = true;
    return { ...work(request, body), ...behaviour };
  };
}

/** Both providers do the same work. */
function bothWork(stage: ResilienceStage, calls = 1): void {
  for (const { fake } of [stage.first, stage.second]) fake.script(atWork(stage, calls));
}

async function token(stage: ResilienceStage): Promise<Readonly<Record<string, string>>> {
  return { ANTHROPIC_AUTH_TOKEN: await stage.key() };
}

/** Statuses of the replies to the client. */
function statuses(stage: ResilienceStage): readonly number[] {
  return stage.replies().map(({ status }) => status);
}

describe(`Claude Code ${newest.version} notices nothing`, () => {
  it("while the first target answers 529 for ever: the second one serves every turn", async () => {
    await resilienceStage(async (stage) => {
      stage.first.fake.setDefault({ status: 529 });
      stage.second.fake.script(atWork(stage, 4));
      stage.letToolGo();
      await stage.verify(await stage.run({ env: await token(stage) }), { toolRuns: 4 });
      expect(stage.served()).toEqual(Array.from({ length: 5 }, () => "second"));
      expect(statuses(stage)).toEqual(Array.from({ length: 5 }, () => 200));
      const refused = (await stage.rows()).filter(({ provider }) => provider === "first");
      expect(refused.length).toBeGreaterThan(0);
      expect(new Set(refused.map(({ source }) => source))).toEqual(new Set(["none"]));
    });
  });

  it.each([
    { name: "before its head", failure: { fault: { at: "connect", does: "reset" } }, guessed: 1 },
    { name: "after its head", failure: { fault: { at: "headers", does: "reset" } }, guessed: 1 },
    { name: "after its first event", failure: { fault: { at: "first-event", does: "destroy" } }, guessed: 1 },
    { name: "with an error in the place of its first event", failure: { isErrorFirst: true }, guessed: 0 },
  ] satisfies readonly { name: string; failure: Behaviour; guessed: number }[])("when a target dies $name, in the turn after the tool: another one serves it", async ({ failure, guessed }) => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      stage.first.fake.script(once(atWork(stage), 1, failure));
      stage.letToolGo();
      await stage.verify(await stage.run({ env: await token(stage) }), { guessed });
      expect(stage.served()).toEqual(["first", "second"]);
      expect(statuses(stage)).toEqual([200, 200]);
    });
  });

  it("when its key is rotated with a time of grace while a tool runs", async () => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      const key = await stage.key();
      const running = stage.run({ env: { ANTHROPIC_AUTH_TOKEN: key } });
      await stage.toolBegun();
      await stage.admin("POST", "/key/regenerate", { key, grace_period: "10m" });
      stage.letToolGo();
      await stage.verify(await running);
      expect(statuses(stage)).toEqual([200, 200]);
    });
  });

  it.each(["the file changes", "SIGHUP comes"])("when a provider's key is rotated and %s: that provider, which refuses the old key at once, never sees it again", async (how) => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      const running = stage.run({ env: await token(stage) });
      await stage.toolBegun();
      stage.first.login.apiKey = "sk-ant-first-rotated-3Jd7Lq1Vx9Bn5Ry";
      stage.write();
      if (how === "SIGHUP comes") stage.signal("SIGHUP");
      await until("the new configuration", async () => (await stage.reloads()) > 0);
      stage.letToolGo();
      // A request with the old key would stand among the provider's rejections.
      await stage.verify(await running);
      expect(stage.served()).toEqual(["first", "first"]);
      expect(stage.first.fake.requests.map(({ headers }) => headers["x-api-key"])).toEqual(["sk-ant-first-canary-8vQ2mZx6Tn4Kp0Ws", "sk-ant-first-rotated-3Jd7Lq1Vx9Bn5Ry"]);
    });
  });

  it.each(["the file changes", "SIGHUP comes"])("when the configuration is read again in the middle of a stream because %s: the stream ends under the old one, the next turn begins under the new one", async (how) => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      stage.first.fake.script(once(atWork(stage), 0, slowly));
      const running = stage.run({ env: await token(stage) });
      await until("the stream", () => stage.replies().length === 1, 30_000);
      stage.write({ targets: ["second"] });
      if (how === "SIGHUP comes") stage.signal("SIGHUP");
      await until("the new configuration", async () => (await stage.reloads()) > 0);
      expect(stage.replies()[0]!.isWhole).toBe(false);
      stage.letToolGo();
      await stage.verify(await running);
      expect(stage.served()).toEqual(["first", "second"]);
      expect(statuses(stage)).toEqual([200, 200]);
    });
  });

  it.skipIf(!hasTerminal)("when the terminal of a gateway that was started with nohup is closed: it goes on and reads its configuration again (util-linux's script)", async () => {
    await resilienceStage(
      async (stage) => {
        const terminal = await stage.startOnTerminal();
        bothWork(stage);
        const running = stage.run({ env: await token(stage) });
        await stage.toolBegun();
        stage.write({ targets: ["second"] });
        await until("the new configuration", async () => (await stage.reloads()) === 1);
        await terminal.close();
        await until("what the terminal's end brings", async () => (await stage.reloads()) === 2);
        stage.letToolGo();
        await stage.verify(await running);
        expect(stage.served()).toEqual(["first", "second"]);
        expect(stage.gateway.hasEnded()).toBe(false);
      },
      { isStarted: false },
    );
  });
});

describe(`Claude Code ${newest.version} asks again by itself`, () => {
  it.each([
    { name: "the answer's text", at: "mid-text", results: 1 },
    { name: "a tool's input", at: "mid-tool-json", results: 0 },
  ] as const)("when a target dies in the middle of $name, which nobody may replay for it, and no tool runs twice", async ({ at, results }) => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      stage.first.fake.script(once(atWork(stage), results, { fault: { at, does: "destroy" } }));
      stage.letToolGo();
      await stage.verify(await stage.run({ env: await token(stage) }), { brokenStreams: 1, guessed: 1 });
      expect(statuses(stage)).toEqual([200, 200, 200]);
      const bodies = stage.tee.requests().filter(({ method }) => method === "POST").map(({ body }) => JSON.parse(String(body)) as JsonObject);
      // The same turn once more, as a stream.
      expect(bodies.map((body) => [body["stream"], toolResults(body)])).toEqual([[true, 0], [true, results], [true, 1]]);
    });
  });

  it("when its key is rotated without grace: its helper gives the new key, and the refused request comes again with it", async () => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      const key = await stage.key();
      const keyFile = join(stage.folder, "key");
      writeFileSync(keyFile, key);
      const running = stage.run({ env: {}, settings: { apiKeyHelper: `cat '${keyFile}'` } });
      await stage.toolBegun();
      writeFileSync(keyFile, (await stage.admin<{ key: string }>("POST", "/key/regenerate", { key })).key);
      stage.letToolGo();
      await stage.verify(await running);
      expect(statuses(stage)).toEqual([200, 401, 200]);
    });
  });

  it("while nobody listens: a gateway that drains lets its stream end whole, and another takes over on the same data and port", async () => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      stage.first.fake.script(once(atWork(stage), 0, slowly));
      const running = stage.run({ env: await token(stage) });
      await until("the stream", () => stage.replies().length === 1, 30_000);
      const before = stage.gateway;
      stage.signal("SIGTERM");
      expect(await before.exited, before.said()).toBe(0);
      await stage.toolBegun();
      const connections = stage.tee.connections();
      stage.letToolGo();
      await until("a request that nobody takes", () => stage.tee.connections() > connections, 30_000);
      await stage.start();
      await stage.verify(await running);
      expect(statuses(stage)).toEqual([200, 200]);
      expect(stage.gateway.pid).not.toBe(before.pid);
    });
  });

  it("while a gateway drains: it is told 503 and when to come again, and the next process serves it", async () => {
    await resilienceStage(async (stage) => {
      bothWork(stage);
      const key = await stage.key();
      const running = stage.run({ env: { ANTHROPIC_AUTH_TOKEN: key } });
      await stage.toolBegun();
      // Another call keeps the old process up while the tool's result comes.
      const before = stage.gateway;
      const other = await stage.callThatHangs(key);
      stage.signal("SIGTERM");
      stage.letToolGo();
      await until("the refusal", () => statuses(stage).includes(503), 30_000);
      other.abort();
      expect(await before.exited, before.said()).toBe(0);
      await stage.start();
      await stage.verify(await running, { guessed: 1 });
      expect(statuses(stage).filter((status) => status === 200)).toHaveLength(2);
      expect(stage.replies().find(({ status }) => status === 503)!.headers["retry-after"]).toBe("1");
    });
  });
});
