/**
 * Guarantee: `tollgate statusline` as Claude Code's `statusLine` puts what is spent, left and when it begins anew below the prompt, with a
 * coloured warning from 75 per cent, and asks the gateway once in a while however often the client runs it.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeSurroundings, newest } from "./clients.ts";
import { until } from "../support/harness.ts";
import { scene, type Scene } from "./stage.ts";
import { hasTerminal, startTerminal, type Terminal } from "./terminal.ts";

const launcher = join(import.meta.dirname, "..", "..", "bin", "tollgate.js");
const budget = "budgets: [{scope: global, amount: 1, window: month}]";

/** Claude Code at work on a terminal, past its first questions. */
interface Desk {
  readonly terminal: Terminal;
  /** What the client wrote to the status line's command, one text a run. */
  readonly inputs: () => readonly Record<string, unknown>[];
}

async function open(stage: Scene, key: string): Promise<Desk> {
  const inputsPath = join(stage.folder, "inputs");
  const script = join(stage.folder, "status.sh");
  writeFileSync(script, `#!/bin/sh\ntee -a '${inputsPath}' | '${process.execPath}' '${launcher}' statusline\n`, { mode: 0o755 });
  const settings = { statusLine: { type: "command", command: script, refreshInterval: 1 } };
  const { home, workFolder, env } = makeSurroundings({ folder: stage.folder, settings, env: { ANTHROPIC_BASE_URL: stage.tee.url, ANTHROPIC_AUTH_TOKEN: key } });
  // The greeting with its themes, and the question whether the folder can be trusted, are over.
  writeFileSync(join(home, ".claude.json"), JSON.stringify({ hasCompletedOnboarding: true, projects: { [workFolder]: { hasTrustDialogAccepted: true } } }));
  return {
    terminal: startTerminal({ command: newest.command, cwd: workFolder, env }),
    inputs: () => (existsSync(inputsPath) ? readFileSync(inputsPath, "utf8").split(/(?<=\})\s*(?=\{"session_id")/).map((text) => JSON.parse(text) as Record<string, unknown>) : []),
  };
}

/** A call of this many output tokens, at 25 dollars a million. */
async function spend(stage: Scene, key: string, outputTokens: number): Promise<void> {
  stage.fake.script(() => ({ text: "spent", usage: { input_tokens: 0, output_tokens: outputTokens } }));
  const body = JSON.stringify({ model: "claude-opus-4-8", max_tokens: outputTokens, messages: [{ role: "user", content: "Hello" }] });
  const reply = await fetch(`${stage.tee.url}/v1/messages`, { method: "POST", headers: { "x-api-key": key, "content-type": "application/json", "anthropic-version": "2023-06-01" }, body });
  expect(reply.status).toBe(200);
  await reply.text();
}

interface Me {
  readonly budgets: readonly { readonly scope: string; readonly spent_usd: string; readonly left_usd: string; readonly resets_at: string }[];
}

/** What must be on the screen by the gateway's own answer. */
async function lineOf(stage: Scene, key: string): Promise<string> {
  const reply = await fetch(`${stage.gateway.url}/v1/me`, { headers: { "x-api-key": key } });
  const found = ((await reply.json()) as Me).budgets.find(({ scope }) => scope === "global")!;
  return `$${Number(found.spent_usd).toFixed(2)} of $1.00 for everybody · $${Number(found.left_usd).toFixed(2)} left · resets ${found.resets_at.slice(0, 10)}`;
}

describe.skipIf(!hasTerminal)(`Claude Code ${newest.version} on a terminal (util-linux's script)`, () => {
  it("shows below the prompt what is spent and left and when it resets, warned or not", async () => {
    await scene({ config: [budget] }, async (stage) => {
      const key = await stage.key();
      for (const [outputTokens, warning] of [[12_000, ""], [19_000, " · ⚠ 77 % used"], [7_000, " · ⚠ 95 % used"]] as const) {
        await spend(stage, key, outputTokens);
        const { terminal } = await open(stage, key);
        try {
          const screen = await terminal.until(/left · resets/);
          const lines = screen.split("\n").map((line) => line.trim());
          const at = lines.indexOf(`${await lineOf(stage, key)}${warning}`);
          expect(at, screen).toBeGreaterThan(lines.findLastIndex((line) => line.startsWith("❯")));
          expect(lines.findLastIndex((line) => line.startsWith("❯")), screen).toBeGreaterThan(0);
          const colour = /\u001b\[(\d+)m⚠/.exec(terminal.written())?.[1];
          expect(colour).toBe(warning === "" ? undefined : warning.includes("95") ? "31" : "33");
        } finally {
          await terminal.close();
        }
      }
    });
  });

  it("runs it again and again, also while nobody types, which asks the gateway once, as the session that it is", async () => {
    await scene({ config: [budget] }, async (stage) => {
      const key = await stage.key();
      await spend(stage, key, 12_000);
      stage.fake.script(() => ({ text: "here I am", usage: { input_tokens: 10, output_tokens: 10 } }));
      const { terminal, inputs } = await open(stage, key);
      try {
        await terminal.until(/left · resets/);
        for (const turn of ["one", "two"]) {
          terminal.type(`Say ${turn}.`);
          await terminal.until(new RegExp(`❯\\sSay ${turn}\\.`));
          terminal.type("\r");
          await terminal.until(new RegExp(`❯\\sSay ${turn}\\.[\\s\\S]*here I am[\\s\\S]*❯[\\s\\S]*left · resets`));
        }
        const before = inputs().length;
        await until("runs by the interval", () => inputs().length > before + 1);
        const sessions = new Set(inputs().map(({ session_id }) => session_id));
        expect(sessions.size).toBe(1);
        expect(stage.tee.requests().filter(({ target }) => /^\/v1\/me\b/.test(target)).map(({ target }) => target)).toEqual([`/v1/me?session=${String([...sessions][0])}`]);
      } finally {
        await terminal.close();
      }
    });
  });
});
